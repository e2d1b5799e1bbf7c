"""The kernel refuses new processes (EAGAIN): warm workers serve, nothing more is offered, nothing ends.

The limit is set on the runner's zygote alone, which is never root.
"""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from reptarium.pool.embedded_broker import TaskHandle
from reptarium.sandbox.wire import BUSY_NAME, IDLE_NAME
from tests.limits import fail_after
from tests.load.support import WORKERS, Whole, limited, one_runner, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]
QUICK = {"code": "return 1", "items": []}


@asynccontextmanager
async def no_worker_left(runner: Whole, tasks: int) -> AsyncIterator[list[TaskHandle]]:
    """Nothing can be forked, and so many tasks are one for each warm worker and others; what becomes of the others."""
    (zygote,) = runner.zygotes()
    with limited(zygote, resource.RLIMIT_NPROC, 0):
        handles = [runner.site.broker.submit(QUICK) for _ in range(tasks)]
        for handle in handles[:WORKERS]:
            assert (await handle.outcome()).status == "done"
        await until(lambda: not runner.pids(IDLE_NAME, BUSY_NAME), "every warm worker is used")
        yield handles[WORKERS:]
    await runner.again()
    assert runner.zygotes() == runner.zygote
    assert runner.site.broker.counters.connects == 1


async def test_tasks_wait_at_the_broker_while_no_process_can_be_forked() -> None:
    """Each parked worker serves a task, the others are taken when the zygote can fork again: by any runner that can."""
    with fail_after(60):
        async with one_runner() as runner:
            broker = runner.site.broker
            async with no_worker_left(runner, 4 * WORKERS) as handles:
                # what was accepted before the first fork failed waits for a worker; more is not accepted
                await until(lambda: not broker.runners[0].offers, "nothing is offered")
                await trio.sleep(1.0)  # the pool tries again, and again
                assert broker.runners[0].tasks <= WORKERS
                assert not any(handle.done for handle in handles)
                runner.struck()
            for handle in handles:
                assert (await handle.outcome()).status == "done"


async def test_offers_come_back_by_themselves() -> None:
    """With every worker used nothing is offered, not even renewed, until one can be forked."""
    with fail_after(60):
        async with one_runner() as runner:
            broker = runner.site.broker
            async with no_worker_left(runner, WORKERS):
                await until(lambda: not broker.runners[0].offers, "no offer stands")
                runner.struck()
            await until(lambda: broker.runners[0].offers >= WORKERS, "the slots are offered again")


async def test_waiting_tasks_can_be_cancelled() -> None:
    """A task that waits for a worker ends when it is cancelled, and its slot is free once there are workers."""
    with fail_after(60):
        async with one_runner() as runner:
            broker = runner.site.broker
            async with no_worker_left(runner, 2 * WORKERS) as waiting:
                for handle in waiting:
                    handle.cancel()
                    assert (await handle.outcome()).status == "cancelled"
                runner.struck()
            await until(lambda: broker.runners[0].offers == WORKERS, "the slots are offered again")
