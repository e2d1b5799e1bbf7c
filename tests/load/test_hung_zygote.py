"""A zygote that stands still: the runner offers what it can serve, and replaces it."""

from __future__ import annotations

import os
import signal

import pytest

from tests.limits import fail_after
from tests.load.support import WORKERS, one_runner, printed, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]
QUICK = {"code": "return 1", "items": []}
WAITS = {"code": "print('on')\nimport time\ntime.sleep(8)\nreturn 1", "items": []}


async def test_a_stopped_zygote_costs_no_task() -> None:
    """One is running, some are accepted and find no worker, some wait at the broker: each is done."""
    with fail_after(60):
        async with one_runner() as runner:
            broker = runner.site.broker
            running = broker.submit(WAITS)
            await printed(running)
            (stopped,) = runner.zygotes()
            os.kill(stopped, signal.SIGSTOP)
            handles = [broker.submit(QUICK) for _ in range(3 * WORKERS)]
            await until(lambda: sum(handle.done for handle in handles) == WORKERS - 1, "the warm workers are used")
            assert runner.zygotes() == {stopped}
            await until(lambda: not broker.runners[0].offers, "nothing is offered")
            runner.struck()
            await until(lambda: len(runner.zygotes()) == 2, "there is another beside it")
            for handle in handles:
                assert (await handle.outcome()).status == "done"
            assert not running.done
            assert (await running.outcome()).status == "done"
            await until(lambda: stopped not in runner.zygotes(), "the one that stands still is ended")
            await runner.again()
            assert broker.counters.connects == 1
