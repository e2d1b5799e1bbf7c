"""`reptarium run` as a process that is told to end, by each signal that means it, whatever its neighbours do."""

from __future__ import annotations

import contextlib
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from reptarium.pool.cli.obeying import obey
from reptarium.pool.cli.signals import ENDING, MEANINGLESS, hold, name
from reptarium.pool.embedded_broker import Broker, BrokerConfig, TaskHandle, open_broker
from tests.integration.cli.test_runner_command import ended, running, start
from tests.integration.ops.plain_http import get
from tests.limits import fail_after, patient

pytestmark = pytest.mark.usefixtures("nothing_left")
ENDLESS = "print('on')\nwhile True:\n    pass"
SHORT = "import time\nprint('on')\ntime.sleep(0.5)\nreturn 'ok'"


async def begun(broker: Broker, code: str) -> TaskHandle:
    """A task that runs."""
    handle = broker.submit({"code": code, "items": []})
    while not handle.console:
        await trio.sleep(0.01)
    return handle


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def with_health(port: int) -> dict[str, str]:
    return {
        "N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED": "true",
        "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": str(port),
    }


async def drains(port: int) -> None:
    """Wait until the runner has understood a first signal: its readiness says so."""
    while b"shutting down" not in (await get(f"http://127.0.0.1:{port}", "/readyz"))[2]:
        await trio.sleep(0.01)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)),
    ],
)
async def test_signal_drains(number: signal.Signals) -> None:
    """The end of a terminal, Ctrl-C and SIGTERM alike: what runs is finished, then the runner ends with status 0."""
    with fail_after(60):
        async with open_broker(patient()) as broker:
            async with running(
                broker, N8N_RUNNERS_GRANT_TOKEN=broker.grant_token(), N8N_RUNNERS_STDLIB_ALLOW="time"
            ) as process:
                handle = await begun(broker, SHORT)
                process.send_signal(number)
                assert (await handle.outcome()).status == "done"
                status, said = await ended(process)
            assert status == 0, said
            assert f"signal={number.name}" in said


def _typed(process: subprocess.Popen[bytes], terminal: int) -> None:
    os.write(terminal, b"\x03")


def _sent_to_the_group(process: subprocess.Popen[bytes], terminal: int) -> None:
    os.killpg(process.pid, signal.SIGTERM)


def _hung_up(process: subprocess.Popen[bytes], terminal: int) -> None:
    os.killpg(process.pid, signal.SIGHUP)


def _sent_to_each(process: subprocess.Popen[bytes], terminal: int) -> None:
    for one in (*psutil.Process(process.pid).children(recursive=True), process):
        one.send_signal(signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize(
    "send",
    [_typed, *(pytest.param(one, marks=pytest.mark.slow) for one in (_sent_to_the_group, _hung_up, _sent_to_each))],
)
async def test_signal_to_every_process_drains(send: Callable[[subprocess.Popen[bytes], int], None]) -> None:
    """Ctrl-C on a terminal, `timeout 60 …`, systemd's KillMode=control-group: the sandbox leaves them to the runner."""
    ours, theirs = pty.openpty()
    with fail_after(60):
        async with open_broker(patient()) as broker:
            environ = {
                "N8N_RUNNERS_TASK_BROKER_URI": broker.uri,
                "N8N_RUNNERS_GRANT_TOKEN": broker.grant_token(),
                "N8N_RUNNERS_STDLIB_ALLOW": "time",
            }
            process = start(environ, terminal=theirs)
            try:
                await broker.wait_for_runner()
                handle = await begun(broker, SHORT)
                send(process, ours)
                outcome = await handle.outcome()
                assert outcome.status == "done", outcome
                status, said = await ended(process)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.communicate()
                os.close(ours)
                os.close(theirs)
    assert status == 0, said
    assert "Traceback" not in said


async def test_nohup_is_obeyed() -> None:
    """A runner that was started to ignore SIGHUP ignores it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with fail_after(60):
            async with (
                open_broker(patient()) as broker,
                running(broker, N8N_RUNNERS_GRANT_TOKEN=broker.grant_token()) as process,
            ):
                process.send_signal(signal.SIGHUP)
                assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
                assert process.poll() is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SIGTERM", "SIGTERM"),
        *(pytest.param(*both, marks=pytest.mark.slow) for both in (("SIGHUP", "SIGTERM"), ("SIGINT", "SIGINT"))),
    ],
)
async def test_second_signal_ends_at_once(first: str, second: str) -> None:
    """Whatever the graceful time-out says: status 130, no traceback, and nothing is left."""
    port = free_port()
    with fail_after(60):
        async with open_broker(patient()) as broker:
            async with running(
                broker,
                N8N_RUNNERS_GRANT_TOKEN=broker.grant_token(),
                N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT="600",
                **with_health(port),
            ) as process:
                await begun(broker, ENDLESS)
                process.send_signal(getattr(signal, first))
                await drains(port)
                process.send_signal(getattr(signal, second))
                status, said = await ended(process)
            assert status == 130
            assert "ending at once" in said
            assert "Traceback" not in said


async def deaf(port: int) -> trio.SocketStream:
    """A client of the health port that asks for a lot and reads none of it."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with trio.move_on_after(0.5):
        await trio.SocketStream(sock).send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 5000)
    return trio.SocketStream(sock)


@pytest.mark.slow
async def test_client_that_does_not_read_keeps_no_runner_from_ending() -> None:
    """SIGTERM ends a runner while clients of the health port don't read."""
    port = free_port()
    with fail_after(60):
        async with (
            open_broker(patient()) as broker,
            running(broker, N8N_RUNNERS_GRANT_TOKEN=broker.grant_token(), **with_health(port)) as process,
        ):
            clients = [await deaf(port) for _ in range(3)]
            process.send_signal(signal.SIGTERM)
            status, said = await ended(process)
            for client in clients:
                await trio.aclose_forcefully(client)
    assert status == 0, said


@pytest.mark.slow
async def test_second_signal_beside_a_client_that_does_not_read() -> None:
    """Nor does it keep the second signal from ending it at once."""
    port = free_port()
    with fail_after(60):
        async with (
            open_broker(patient()) as broker,
            running(
                broker,
                N8N_RUNNERS_GRANT_TOKEN=broker.grant_token(),
                N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT="600",
                **with_health(port),
            ) as process,
        ):
            await begun(broker, ENDLESS)
            client = await deaf(port)
            process.send_signal(signal.SIGTERM)
            await drains(port)
            process.send_signal(signal.SIGTERM)
            status, said = await ended(process)
            await trio.aclose_forcefully(client)
    assert status == 130, said


@pytest.mark.slow
async def test_request_for_another_protocol_ends_nothing() -> None:
    """A task that runs meanwhile is done, and the runner lives: n8n can reach the port, and so can any workflow."""
    port = free_port()
    with fail_after(60):
        async with (
            open_broker(BrokerConfig(auth_token="secret")) as broker,
            running(
                broker, N8N_RUNNERS_AUTH_TOKEN="secret", N8N_RUNNERS_STDLIB_ALLOW="time", **with_health(port)
            ) as process,
        ):
            handle = await begun(broker, SHORT)
            async with await trio.open_tcp_stream("127.0.0.1", port) as client:
                await client.send_all(
                    b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n"
                    b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: YWJjZGU=\r\n\r\n"
                )
                assert b"".join([chunk async for chunk in client]).startswith(b"HTTP/1.1 200")
            assert (await handle.outcome()).status == "done"
            assert (await get(f"http://127.0.0.1:{port}", "/healthz"))[0] == 200
            assert process.poll() is None


@pytest.mark.parametrize("command", [["run"], ["broker", "--port", "0"]], ids=lambda command: command[0])
async def test_signal_before_anything_has_started(command: list[str]) -> None:
    """One that comes in the first milliseconds drains as any other does: it waits until somebody listens."""
    told = (
        "import os, signal, sys; from reptarium.pool import config; from reptarium.pool.cli import main\n"
        "load = config.load_settings\n"
        "config.load_settings = lambda environ: os.kill(os.getpid(), signal.SIGTERM) or load(environ)\n"
        f"sys.exit(main.main({command}))"
    )
    with fail_after(60):
        done = await trio.run_process(
            [sys.executable, "-c", told], env={"N8N_RUNNERS_AUTH_TOKEN": "x"}, capture_stderr=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert b"signal=SIGTERM" in done.stderr


class Told:
    """A runner, as far as signals go."""

    stopping = False

    def shutdown(self) -> None:
        """It is to end."""
        self.stopping = True


async def test_signals_that_mean_nothing_end_nothing() -> None:
    """They would kill the process by default; held or not, before somebody listens, meanwhile or after it.

    They go to this thread: other tests have left threads that hold nothing, a runner has none before it holds them.
    """
    before, runner = signal.pthread_sigmask(signal.SIG_BLOCK, ()), Told()
    try:
        hold()
        with fail_after(20), capture_logs() as logs:
            signal.raise_signal(signal.SIGUSR1)
            async with trio.open_nursery() as nursery:
                await nursery.start(obey, runner)
                signal.raise_signal(signal.SIGALRM)
                signal.raise_signal(signal.SIGRTMIN + 3)
                while len(logs) < 3:
                    await trio.sleep(0.001)
                assert not runner.stopping
                signal.raise_signal(signal.SIGXCPU)
                while not runner.stopping:
                    await trio.sleep(0.001)
                signal.raise_signal(signal.SIGXCPU)  # it is no second signal: the processor time goes on
                await trio.testing.wait_all_tasks_blocked(0.01)
                nursery.cancel_scope.cancel()
            signal.raise_signal(signal.SIGUSR2)
        assert [line.get("signal") for line in logs] == ["SIGUSR1", "SIGALRM", "SIGRTMIN+3", "SIGXCPU"]
        assert signal.sigtimedwait({signal.SIGUSR2}, 1) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_zygote(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "reptarium.sandbox" in process.cmdline()
    return False


async def test_signal_while_the_pool_starts_ends_the_start() -> None:
    """Whoever is told to end before any task could come waits for no zygote, hung or slow: the status is 0."""
    with fail_after(60):
        async with open_broker(patient()) as broker:
            process = start({"N8N_RUNNERS_TASK_BROKER_URI": broker.uri, "N8N_RUNNERS_AUTH_TOKEN": "x"})
            patience = threading.Timer(30, process.kill)
            patience.start()
            # its own program by now: whoever starts it waits in vfork(2) until then
            while not (zygotes := [one for one in psutil.Process(process.pid).children() if _is_zygote(one)]):
                await trio.sleep(0.01)
            zygotes[0].suspend()
            process.send_signal(signal.SIGTERM)
            status, said = await ended(process)
            patience.cancel()
    assert status == 0, said
    assert "signal=SIGTERM" in said
    assert not zygotes[0].is_running()


def open_files(pid: int) -> tuple[str, str]:
    """Soft and hard limit of a process's descriptors."""
    (line,) = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max open")]
    return line.split()[3], line.split()[4]


@pytest.mark.slow
async def test_descriptors_up_to_the_hard_limit() -> None:
    """The runner raises its soft limit of descriptors to the hard one; the zygote needs few and keeps a usual one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        with fail_after(60):
            async with (
                open_broker(patient()) as broker,
                running(broker, N8N_RUNNERS_GRANT_TOKEN=broker.grant_token()) as process,
            ):
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                assert (await broker.submit({"code": "return []", "items": []}).outcome()).status == "done"
                ours = open_files(process.pid)
                (zygote,) = psutil.Process(process.pid).children()
                assert ours[0] == ours[1] == str(hard)
                assert open_files(zygote.pid) == (str(min(hard, 1024)), str(hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_wrong_file_of_authorities_ends_the_start(tmp_path: Path) -> None:
    """Status 78, and the error names setting and file."""
    with fail_after(30):
        status, said = await ended(
            start({"N8N_RUNNERS_AUTH_TOKEN": "x", "REPTARIUM_BROKER_CA": str(tmp_path / "ca.pem")})
        )
    assert status == 78
    assert "REPTARIUM_BROKER_CA" in said
    assert "ca.pem" in said
    assert "Traceback" not in said


async def test_with_a_policy_sighup_reads_it_anew(tmp_path: Path) -> None:
    """What runs goes on, what comes next runs under the new rules, and the runner stays."""
    rules = trio.Path(tmp_path / "policy.toml")
    await rules.write_text("")
    with fail_after(60):
        async with open_broker(patient()) as broker:
            environ = {"N8N_RUNNERS_GRANT_TOKEN": broker.grant_token(), "REPTARIUM_POLICY": str(rules)}
            async with running(broker, N8N_RUNNERS_STDLIB_ALLOW="time", **environ) as process:
                handle = await begun(broker, SHORT)
                await rules.write_text("[[rule]]\nname = 'short'\ntask_timeout = 0.2")
                process.send_signal(signal.SIGHUP)
                assert (await handle.outcome()).status == "done"
                outcome = await broker.submit({"code": ENDLESS, "items": []}).outcome()
                assert outcome.error is not None
                assert outcome.error.message == "Task execution timed out after 0.2 seconds"
                process.send_signal(signal.SIGTERM)
                status, said = await ended(process)
            assert status == 0, said
            assert "rule=short" in said


def test_signals_are_one_of_three_kinds() -> None:
    """Each ends the runner in order, or ends nothing, or is left to the system on purpose: none kills by omission."""
    left = set(signal.valid_signals()) - ENDING - MEANINGLESS
    assert {name(number).removeprefix("SIG") for number in left} == set(
        "ABRT BUS FPE ILL SEGV SYS TRAP KILL STOP CONT TSTP TTIN TTOU CHLD URG WINCH PIPE XFSZ".split()
    )
