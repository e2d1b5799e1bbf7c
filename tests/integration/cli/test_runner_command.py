"""`reptarium run` as a process of its own, beside a broker that isn't in it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import psutil
import pytest
import trio

from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from tests.limits import fail_after, patient, within

pytestmark = pytest.mark.usefixtures("nothing_left")


def start(
    environ: dict[str, str], *arguments: str, terminal: int | None = None, stderr: int = subprocess.STDOUT
) -> subprocess.Popen[bytes]:
    """`python -m reptarium run`, with nothing in its environment but what is given.

    ``terminal``: it leads the session that has this one (a pty's descriptor).
    """
    env = {"PATH": os.environ["PATH"], **environ}
    controls = None if terminal is None else partial(fcntl.ioctl, terminal, termios.TIOCSCTTY, 0)
    return subprocess.Popen(
        [sys.executable, "-m", "reptarium", "run", *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=terminal is not None,
        preexec_fn=controls,
    )


async def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit status and everything that was said."""
    out, _ = await trio.to_thread.run_sync(process.communicate)
    return process.returncode, out.decode()


@asynccontextmanager
async def running(
    broker: Broker, *, stderr: int = subprocess.STDOUT, **environ: str
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A registered runner process."""
    process = start({"N8N_RUNNERS_TASK_BROKER_URI": broker.uri, **environ}, stderr=stderr)
    try:
        await broker.wait_for_runner()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        if process.stdout is not None and not process.stdout.closed:
            patience = threading.Timer(within(20), process.kill)
            patience.start()
            with trio.CancelScope(shield=True):
                await ended(process)
            patience.cancel()


async def test_grant_token_and_uri_are_enough() -> None:
    """With only a grant token and the broker's address a task is served; SIGTERM ends with status 0."""
    with fail_after(60):
        async with open_broker(patient()) as broker:
            async with running(broker, N8N_RUNNERS_GRANT_TOKEN=broker.grant_token()) as process:
                outcome = await broker.submit({"code": "return [1]", "items": []}).outcome()
                assert outcome.status == "done"
                assert len(broker.runners) == 1
            assert process.returncode == 0


@pytest.mark.slow
async def test_used_grant_token_ends_the_runner() -> None:
    """A 403 with nothing but a grant token: a non-zero status, and a message that says what to do."""
    with fail_after(60):
        async with open_broker(patient()) as broker:
            process = start({"N8N_RUNNERS_TASK_BROKER_URI": broker.uri, "N8N_RUNNERS_GRANT_TOKEN": "used-up"})
            status, said = await ended(process)
    assert status == 1
    assert "403" in said
    assert "N8N_RUNNERS_AUTH_TOKEN" in said
    assert "used-up" not in said


async def test_auth_token_reconnects() -> None:
    """With the auth token a runner whose connection is cut comes back by itself."""
    with fail_after(60):
        async with (
            open_broker(BrokerConfig(auth_token="secret")) as broker,
            running(broker, N8N_RUNNERS_AUTH_TOKEN="secret"),
        ):
            (first,) = broker.runners
            broker.disconnect(first.id, abrupt=True)
            while broker.runners:
                await trio.sleep(0.01)
            await broker.wait_for_runner()
            outcome = await broker.submit({"code": "return 1", "items": []}).outcome()
            assert outcome.status == "done"


@pytest.mark.slow
async def test_websocket_address_and_a_token_of_one_letter() -> None:
    """`ws://` is an address, and a token that is no secret is served, warned of, and leaves the log readable."""
    with fail_after(60):
        async with open_broker(BrokerConfig(auth_token="e")) as broker:
            environ = {
                "N8N_RUNNERS_TASK_BROKER_URI": broker.uri.replace("http://", "ws://"),
                "N8N_RUNNERS_AUTH_TOKEN": "e",
                "REPTARIUM_LOG_FORMAT": "json",
            }
            process = start(environ)
            await broker.wait_for_runner()
            assert (await broker.submit({"code": "return 1", "items": []}).outcome()).result() == 1
            process.send_signal(signal.SIGTERM)
            status, said = await ended(process)
    assert status == 0
    assert "N8N_RUNNERS_AUTH_TOKEN has fewer than 4 characters" in said
    assert "imports allowed" in said
    assert "(hidden)" not in said


async def test_lost_connection_ends_a_runner_with_a_grant_only() -> None:
    """Under n8n's launcher the runner must end, so that the launcher starts it anew."""
    with fail_after(60):
        async with open_broker(patient()) as broker:
            process = start(
                {"N8N_RUNNERS_TASK_BROKER_URI": broker.uri, "N8N_RUNNERS_GRANT_TOKEN": broker.grant_token()}
            )
            runner = await broker.wait_for_runner()
            broker.disconnect(runner.id, abrupt=False)
            status, said = await ended(process)
    assert status != 0
    assert "the broker is gone" in said


async def test_sigterm_finishes_what_runs() -> None:
    """A running task is finished within the graceful time-out, and nothing new is taken."""
    with fail_after(60):
        async with open_broker(patient()) as broker:
            async with running(
                broker, N8N_RUNNERS_GRANT_TOKEN=broker.grant_token(), N8N_RUNNERS_STDLIB_ALLOW="time"
            ) as process:
                handle = broker.submit({"code": "import time\nprint('on')\ntime.sleep(0.5)\nreturn 'ok'", "items": []})
                while not handle.console:
                    await trio.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                assert (await handle.outcome()).status == "done"
                status, _ = await ended(process)
            assert status == 0


async def test_sigterm_answers_what_does_not_end() -> None:
    """What runs longer than the graceful time-out is killed and still answered."""
    with fail_after(60):
        async with open_broker(patient()) as broker:
            async with running(
                broker,
                N8N_RUNNERS_GRANT_TOKEN=broker.grant_token(),
                N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT="1",
            ) as process:
                handle = broker.submit({"code": "print('on')\nwhile True:\n    pass", "items": []})
                while not handle.console:
                    await trio.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                outcome = await handle.outcome()
                await ended(process)
                assert outcome.status == "error"
                assert outcome.error is not None
                assert "shutting down" in outcome.error.message


async def test_killed_runner_leaves_nothing() -> None:
    """SIGKILL of the runner takes the zygote and every worker with it."""
    with fail_after(60):
        async with open_broker(patient()) as broker:
            async with running(broker, N8N_RUNNERS_GRANT_TOKEN=broker.grant_token()) as process:
                while len(family := psutil.Process(process.pid).children(recursive=True)) < 2:
                    await trio.sleep(0.01)  # a zygote and, soon, its workers
                process.kill()
                await trio.to_thread.run_sync(process.wait)
            _, alive = await trio.to_thread.run_sync(lambda: psutil.wait_procs(family, timeout=within(5)))
            assert not alive


@pytest.mark.slow
async def test_idle_runner_shuts_down() -> None:
    """N8N_RUNNERS_AUTO_SHUTDOWN_TIMEOUT ends a runner that has nothing to do, with status 0."""
    with fail_after(60):
        async with open_broker(patient()) as broker:
            process = start(
                {
                    "N8N_RUNNERS_TASK_BROKER_URI": broker.uri,
                    "N8N_RUNNERS_GRANT_TOKEN": broker.grant_token(),
                    "N8N_RUNNERS_AUTO_SHUTDOWN_TIMEOUT": "1",
                }
            )
            status, said = await ended(process)
    assert status == 0, said


async def test_zygote_is_replaced() -> None:
    """A killed zygote fails the tasks that ran, with words, and the next task is served by a new one."""
    with fail_after(60):
        async with (
            open_broker(patient()) as broker,
            running(broker, N8N_RUNNERS_GRANT_TOKEN=broker.grant_token()) as process,
        ):
            handle = broker.submit({"code": "print('on')\nwhile True:\n    pass", "items": []})
            while not handle.console:
                await trio.sleep(0.01)
            (zygote,) = psutil.Process(process.pid).children()
            zygote.kill()
            outcome = await handle.outcome()
            assert outcome.status == "error"
            assert outcome.error is not None
            assert "sandbox was restarted" in outcome.error.message
            assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"


BAD = [
    ({}, "N8N_RUNNERS_AUTH_TOKEN"),
    ({"N8N_RUNNERS_AUTH_TOKEN": "x", "N8N_RUNNERS_MAX_CONCURRENCY": "many"}, "N8N_RUNNERS_MAX_CONCURRENCY"),
    ({"N8N_RUNNERS_AUTH_TOKEN": "x", "REPTARIUM_ISOLATION": "none"}, "REPTARIUM_ISOLATION"),
]


@pytest.mark.parametrize(("environ", "named"), BAD)
async def test_wrong_settings(environ: dict[str, str], named: str) -> None:
    """A mistake in the settings ends with status 78 and names the variable."""
    with fail_after(30):
        status, said = await ended(start(environ))
    assert status == 78
    assert named in said


async def test_print_config() -> None:
    """--print-config shows every value and its source, and no secret."""
    with fail_after(30):
        status, said = await ended(start({"N8N_RUNNERS_AUTH_TOKEN": "hush-hush"}, "--print-config"))
    assert status == 0
    assert "N8N_RUNNERS_MAX_CONCURRENCY" in said
    assert "hush-hush" not in said


@pytest.mark.slow
async def test_zygote_that_dies_while_it_starts_is_replaced() -> None:
    """A replacement that is killed before it is ready doesn't end the runner: the next one serves."""
    with fail_after(60):
        async with (
            open_broker(patient()) as broker,
            running(broker, N8N_RUNNERS_GRANT_TOKEN=broker.grant_token()) as process,
        ):
            assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
            killed: set[int] = set()
            while len(killed) < 3:
                for zygote in psutil.Process(process.pid).children():
                    if zygote.pid not in killed:
                        killed.add(zygote.pid)
                        zygote.kill()
                await trio.sleep(0.001)
            assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
            assert process.poll() is None


def test_a_start_imports_what_the_runner_needs() -> None:
    """A runner has none of the large packages of other commands in it, and its collector works again."""
    program = (
        "import gc, sys; from reptarium.pool.cli.main import main; main(['run', '--print-config']); "
        "print(gc.isenabled(), sorted({'rich', 'pygments', 'starlette', 'hypercorn'} & sys.modules.keys()))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=within(60)
    )
    assert told.stdout.splitlines()[-1] == "True []"
