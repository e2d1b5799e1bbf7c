"""Ways to end, a runner's name, what it answers of its health: scenarios that a runner of either make goes through."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import trio

from reptarium.pool.embedded_broker import Broker, TaskHandle, open_broker
from tests.integration.differences.driver import FACTOR, PATIENT, REGISTERS, ended, launch, registered, stop, taken
from tests.limits import fail_after

#: Seconds in which a runner that is to end ends.
ENDS = 20.0 * FACTOR
_EVERYTHING = {"N8N_RUNNERS_STDLIB_ALLOW": "*"}


def _sleeper(seconds: float) -> dict[str, object]:
    return {"code": f"import time\nprint('on')\ntime.sleep({seconds})\nreturn 'done'", "items": []}


async def _runs(task: TaskHandle) -> None:
    """Wait until the code runs. Where prints come at the end only, that is soon after it was taken."""
    with trio.move_on_after(4):
        while not task.console:
            await trio.sleep(0.01)


async def _status(process: subprocess.Popen[bytes], seconds: float = ENDS) -> str:
    status = await ended(process, seconds)
    return "still runs" if status is None else f"exit {status}"


async def name(command: str) -> str:
    """What the runner calls itself."""
    async with open_broker(PATIENT) as broker, registered(broker, command, {}):
        return broker.runners[0].name


async def grant_refused(command: str) -> str:
    """The broker answers 403: a grant token that it doesn't know."""
    async with open_broker(PATIENT) as broker:
        process = launch(broker, command, {"N8N_RUNNERS_GRANT_TOKEN": "unknown"})
        try:
            return await _status(process)
        finally:
            await stop(process)


async def _attempts(process: subprocess.Popen[bytes], listeners: list[trio.SocketListener]) -> str:
    """What a runner does whose connections are closed as soon as they are made: it ends, or tries again."""
    tried = 0

    async def refuse(stream: trio.SocketStream) -> None:
        nonlocal tried
        tried += 1
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, refuse, listeners)
        try:
            with fail_after(ENDS * 2):
                while process.poll() is None and tried < 3:
                    await trio.sleep(0.01)
            return "tries again" if process.poll() is None else f"exit {process.poll()}"
        finally:
            nursery.cancel_scope.cancel()


async def broker_unreachable(command: str) -> str:
    """Nobody answers where the broker should be."""
    async with open_broker(PATIENT) as broker:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        uri = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        process = launch(broker, command, {"N8N_RUNNERS_TASK_BROKER_URI": uri})
        try:
            return await _attempts(process, listeners)
        finally:
            await stop(process)


async def connection_lost(command: str) -> str:
    """The broker closes the connection and goes on; the runner has a grant token that is used up."""
    async with open_broker(PATIENT) as broker, registered(broker, command, {}) as process:
        broker.disconnect(broker.runners[0].id, abrupt=True)
        return await _status(process)


async def broker_gone(command: str) -> str:
    """The broker shuts down: drain, close with 1001, and nobody answers any more."""
    async with open_broker(msgspec.structs.replace(PATIENT, drain_grace=0.1)) as broker:
        process = launch(broker, command, {})
        await broker.wait_for_runner(REGISTERS)
        port = broker.port
    try:
        return await _attempts(process, await trio.open_tcp_listeners(port, host="127.0.0.1"))
    finally:
        await stop(process)


async def _signalled(command: str, number: signal.Signals) -> str:
    async with open_broker(PATIENT) as broker, registered(broker, command, {}) as process:
        process.send_signal(number)
        return await _status(process)


async def sigterm(command: str) -> str:
    """SIGTERM while nothing runs."""
    return await _signalled(command, signal.SIGTERM)


async def sigint(command: str) -> str:
    """SIGINT while nothing runs."""
    return await _signalled(command, signal.SIGINT)


async def sighup(command: str) -> str:
    """SIGHUP while nothing runs: the terminal has gone."""
    return await _signalled(command, signal.SIGHUP)


async def second_signal(command: str) -> str:
    """SIGTERM while a task runs, and SIGINT before that ends."""
    async with open_broker(PATIENT) as broker, registered(broker, command, _EVERYTHING) as process:
        task = broker.submit(_sleeper(6))
        await _runs(task)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        answered = (await task.outcome()).data is not None
        return f"the task {'ends' if answered else 'is lost'}, {await _status(process)}"


async def sigterm_task_ends(command: str) -> str:
    """SIGTERM while a task runs that ends within the graceful time-out."""
    async with open_broker(PATIENT) as broker, registered(broker, command, _EVERYTHING) as process:
        task = broker.submit(_sleeper(6))
        await _runs(task)
        process.send_signal(signal.SIGTERM)
        outcome = (await taken(task)).outcome.partition(" | ")[0]
        return f"{outcome}, {await _status(process)}"


async def sigterm_task_goes_on(command: str) -> str:
    """SIGTERM while a task runs that doesn't end within the graceful time-out."""
    environ = {**_EVERYTHING, "N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT": "2", "N8N_RUNNERS_TASK_TIMEOUT": "15"}
    async with open_broker(PATIENT) as broker, registered(broker, command, environ) as process:
        task = broker.submit(_sleeper(60))
        await _runs(task)
        process.send_signal(signal.SIGTERM)
        outcome = await task.outcome()
        return f"{outcome.status}: {outcome.error and outcome.error.message}, {await _status(process)}"


async def idle_for_long(command: str) -> str:
    """No task for longer than N8N_RUNNERS_AUTO_SHUTDOWN_TIMEOUT."""
    async with open_broker(PATIENT) as broker:
        environ = {"N8N_RUNNERS_AUTO_SHUTDOWN_TIMEOUT": "2"}
        async with registered(broker, command, environ) as process:
            return await _status(process)


async def task_timeout(command: str) -> str:
    """A task over N8N_RUNNERS_TASK_TIMEOUT."""
    async with open_broker(PATIENT) as broker:
        async with registered(broker, command, {**_EVERYTHING, "N8N_RUNNERS_TASK_TIMEOUT": "2"}):
            return (await taken(broker.submit({"code": "while True: pass", "items": []}))).outcome


async def task_timeout_continue(command: str) -> str:
    """The same with continue on fail."""
    async with open_broker(PATIENT) as broker:
        async with registered(broker, command, {**_EVERYTHING, "N8N_RUNNERS_TASK_TIMEOUT": "2"}):
            program = {"code": "while True: pass", "items": [], "continueOnFail": True}
            return (await taken(broker.submit(program))).outcome


async def cancelled(command: str) -> str:
    """A task is cancelled; the slot serves the next one."""
    async with open_broker(PATIENT) as broker:
        async with registered(broker, command, {**_EVERYTHING, "N8N_RUNNERS_MAX_CONCURRENCY": "1"}):
            task = broker.submit(_sleeper(60))
            await _runs(task)
            task.cancel()
            return f"then {(await taken(broker.submit({'code': 'return 1', 'items': []}))).outcome}"


async def result_too_large(command: str) -> str:
    """A result above N8N_RUNNERS_MAX_PAYLOAD."""
    async with open_broker(msgspec.structs.replace(PATIENT, max_payload=2**20, task_timeout=20.0 * FACTOR)) as broker:
        environ = {**_EVERYTHING, "N8N_RUNNERS_MAX_PAYLOAD": str(2**20)}
        async with registered(broker, command, environ) as process:
            outcome = await broker.submit({"code": "return 'x' * 2 ** 21", "items": []}).outcome()
            return f"{outcome.status}: {outcome.error and outcome.error.message}, {await _status(process, 0.5)}"


# ---- health --------------------------------------------------------------------------------


@asynccontextmanager
async def _healthy(command: str) -> AsyncIterator[tuple[Broker, int]]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
    health = {
        "N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED": "true",
        "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": str(port),
    }
    async with open_broker(PATIENT) as broker:
        process = launch(broker, command, health)
        try:
            yield broker, port
        finally:
            await stop(process)


async def _ask(port: int, request: str) -> str:
    """``status body`` of one request, tried until somebody listens."""
    with fail_after(REGISTERS):
        while True:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                await trio.sleep(0.05)
                continue
            break
        answer = b""
        async with stream:
            # the original answers whoever connects, and closes: what is sent to it then comes back as an error
            with suppress(trio.BrokenResourceError):
                await stream.send_all(f"{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            with suppress(trio.BrokenResourceError):
                async for chunk in stream:
                    answer += chunk
    if not answer:
        return await _ask(port, request)
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split()[1].decode()
    return f"{status} {body.decode()!r}" if len(body) < 60 else f"{status} with more to read"


def _request(request: str) -> Callable[[str], Awaitable[str]]:
    async def ask(command: str) -> str:
        """One request to the health endpoint of a registered runner."""
        async with _healthy(command) as (broker, port):
            await broker.wait_for_runner(REGISTERS)
            answer = await _ask(port, request)
            with trio.move_on_after(30):
                # it is registered, and its zygote or its workers are still being made
                while answer.startswith("503") or "workers: no" in answer:
                    await trio.sleep(0.05)
                    answer = await _ask(port, request)
            return answer

    return ask


async def health_at_once(command: str) -> str:
    """``/`` as soon as somebody listens."""
    async with _healthy(command) as (_, port):
        return await _ask(port, "GET /")


#: By the id of the surface's item.
SCENARIOS: dict[str, Callable[[str], Awaitable[str]]] = {
    "start/name": name,
    "end/grant-refused": grant_refused,
    "end/broker-unreachable": broker_unreachable,
    "end/connection-lost": connection_lost,
    "end/broker-gone": broker_gone,
    "end/sigterm": sigterm,
    "end/sigint": sigint,
    "end/sighup": sighup,
    "end/second-signal": second_signal,
    "end/sigterm-task-ends": sigterm_task_ends,
    "end/sigterm-task-goes-on": sigterm_task_goes_on,
    "end/idle-for-long": idle_for_long,
    "end/task-timeout": task_timeout,
    "end/task-timeout-continue": task_timeout_continue,
    "end/cancelled": cancelled,
    "end/result-too-large": result_too_large,
    "health/GET /": _request("GET /"),
    "health/GET /healthz": _request("GET /healthz"),
    "health/GET /readyz": _request("GET /readyz"),
    "health/GET /metrics": _request("GET /metrics"),
    "health/GET /nothing": _request("GET /nothing"),
    "health/HEAD /": _request("HEAD /"),
    "health/POST /": _request("POST /"),
    "health/GET / at once": health_at_once,
}
