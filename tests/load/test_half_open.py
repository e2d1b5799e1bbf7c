"""A broker that is gone without a word: no end, no reset, no answer. The runner must find out by itself."""

from __future__ import annotations

import pytest
import trio

from tests.limits import fail_after
from tests.load.support import busy, one_runner, printed, runner_of, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]


async def test_half_open_connection_is_given_up() -> None:
    """Nothing answers the runner's pings: it kills what runs, connects anew and serves with its warm workers."""
    with fail_after(60):
        async with one_runner(REPTARIUM_HEARTBEAT_INTERVAL="0.4") as runner:
            broker = runner.site.broker
            handle = broker.submit({"code": "import time\nprint(1)\ntime.sleep(60)", "items": []})
            await printed(handle)
            (worker,) = busy(runner.site)
            assert broker.faults.silence(runner_of(runner.site).id)
            assert (await handle.outcome()).status == "disconnected"
            assert not broker.runners
            await until(lambda: not worker.is_running(), "the task's worker is killed")
            await runner.again()
            assert broker.counters.connects == 2
            assert runner.zygotes() == runner.zygote


async def test_half_open_connection_with_a_writer_that_is_stuck() -> None:
    """The same when a large result waits for a socket that takes nothing any more."""
    with fail_after(60):
        async with one_runner(REPTARIUM_HEARTBEAT_INTERVAL="0.4") as runner:
            broker = runner.site.broker
            code = "print(1)\nimport time\ntime.sleep(0.2)\nreturn [{'json': {'x': 'x' * 50_000_000}}]"
            handle = broker.submit({"code": code, "items": []})
            await printed(handle)
            broker.faults.silence(runner_of(runner.site).id)
            assert (await handle.outcome()).status == "disconnected"
            await runner.again()
            assert broker.counters.connects == 2


async def test_stopped_runner_does_not_blame_the_broker() -> None:
    """One that was stopped (a machine that slept) for longer than an answer may take keeps its connection."""
    with fail_after(60):
        async with one_runner(REPTARIUM_HEARTBEAT_INTERVAL="0.3") as runner:
            (process,) = runner.site.processes()
            for _ in range(2):
                process.suspend()
                await trio.sleep(0.4)
                process.resume()
                await trio.sleep(0.05)
            await runner.again()
            assert runner.site.broker.counters.connects == 1
