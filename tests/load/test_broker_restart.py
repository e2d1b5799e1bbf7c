"""The broker goes away and comes back on its port: in order, and killed."""

from __future__ import annotations

from contextlib import AsyncExitStack

import msgspec
import pytest
import trio

from reptarium.pool.bench.runners import RunnerProcess, Site, registered
from reptarium.pool.embedded_broker import BrokerConfig, open_broker
from tests.limits import fail_after
from tests.load.support import WORKERS, Whole, busy, idle, one_runner, printed, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]


async def test_broker_that_is_killed() -> None:
    """Its task's worker is killed; the runner tries until the port is open again, with its warm workers."""
    with fail_after(60):
        async with one_runner() as runner:
            broker = runner.site.broker
            handle = broker.submit({"code": "import time\nprint(1)\ntime.sleep(60)", "items": []})
            await printed(handle)
            (worker,) = busy(runner.site)
            waiting = [broker.submit({"code": "return 1", "items": []}) for _ in range(2 * WORKERS)]
            for one in waiting[:2]:
                await one.outcome()
            await broker.faults.outage(0.6)
            runner.struck()
            assert (await handle.outcome()).status == "disconnected"
            await until(lambda: not worker.is_running(), "the task's worker is killed")
            for one in waiting[2:]:
                assert (await one.outcome()).status in ("done", "disconnected")
            await runner.again()
            assert runner.zygotes() == runner.zygote


async def test_broker_that_is_restarted_in_order() -> None:
    """It drains: what runs is done. The runner outlives it and serves the next broker on that port."""
    config = BrokerConfig(auth_token="secret", drain_grace=30)
    environ = {"N8N_RUNNERS_STDLIB_ALLOW": "time", "N8N_RUNNERS_MAX_CONCURRENCY": str(WORKERS)}
    with fail_after(60):
        async with AsyncExitStack() as at_last:
            async with open_broker(config) as first:
                process = RunnerProcess("reptarium", first, {**environ, "REPTARIUM_LOG_LEVEL": "error"})
                process.start()
                at_last.push_async_callback(process.stop)
                site = Site("own", first, [process])
                await registered(site, 1)
                await until(lambda: len(idle(site)) == WORKERS, "the pool is warm")
                runner = Whole(site)
                handle = first.submit({"code": "import time\nprint(1)\ntime.sleep(0.3)\nreturn 1", "items": []})
                await printed(handle)
            assert (await handle.outcome()).status == "done"
            await trio.sleep(0.4)
            assert process.status is None
            async with open_broker(msgspec.structs.replace(config, port=first.port)) as second:
                site.broker = second
                runner.struck()
                await runner.again()
                assert runner.zygotes() == runner.zygote
                assert await process.stop() == 0
