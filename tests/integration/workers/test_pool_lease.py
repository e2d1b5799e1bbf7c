"""Leases that are given up: no worker is lost to a task that doesn't want one any more. Real zygote, no broker."""

from __future__ import annotations

import pytest
import trio

from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.pool import WorkerPool
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")


async def test_lease_of_a_cancelled_task_takes_no_worker() -> None:
    """Cancelled before it asks, while it waits, or as its turn comes: the pool has all its workers."""
    pool = WorkerPool(zygote_config(make_settings()), size=2)
    with fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            await pool.wait_warm()
            for _ in range(5):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await pool.lease()
            assert pool.parked == 2
            taken = [await pool.lease(), await pool.lease()]
            scopes: list[trio.CancelScope] = []
            served = 0

            async def wait() -> None:
                nonlocal served
                with trio.CancelScope() as scope:
                    scopes.append(scope)
                    pool.give_back(await pool.lease())
                    served += 1

            async with trio.open_nursery() as waiting:
                for _ in range(4):
                    waiting.start_soon(wait)
                while pool.waiting + served < 4:  # a surplus worker may have been on its way
                    await trio.lowlevel.checkpoint()
                scopes[0].cancel()
                pool.give_back(taken.pop())  # to the second of them, which is cancelled before it runs
                scopes[1].cancel()
                pool.give_back(taken.pop())
            await pool.wait_warm()
            while len(pool.workers) > 2:  # surplus ones end
                await trio.sleep(0.01)
            assert pool.parked == 2
            assert {worker.state for worker in pool.workers.values()} == {"parked"}
            pool.close()
            nursery.cancel_scope.cancel()
