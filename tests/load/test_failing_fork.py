"""The kernel refuses new processes (EAGAIN): warm workers serve, what comes after waits, nothing ends.

The limit is set on the runner's zygote alone, which is never root.
"""

from __future__ import annotations

import resource

import pytest
import trio

from reptarium.sandbox.wire import BUSY_NAME, IDLE_NAME
from tests.load.support import WORKERS, limited, one_runner, until

pytestmark = pytest.mark.usefixtures("nothing_left")


async def test_tasks_wait_while_no_process_can_be_forked() -> None:
    """Each parked worker serves a task, the others wait, and are done when the zygote can fork again."""
    with trio.fail_after(60):
        async with one_runner() as runner:
            (zygote,) = runner.zygotes()
            with limited(zygote, resource.RLIMIT_NPROC, 0):
                handles = [runner.site.broker.submit({"code": "return 1", "items": []}) for _ in range(3 * WORKERS)]
                done = handles[:WORKERS]
                for handle in done:
                    assert (await handle.outcome()).status == "done"
                await until(lambda: not runner.pids(IDLE_NAME, BUSY_NAME), "every warm worker is used")
                await trio.sleep(0.4)  # the pool tries again, and again
                assert [handle.done for handle in handles] == [True] * WORKERS + [False] * 2 * WORKERS
                assert runner.zygotes() == runner.zygote
                # the slots are taken by tasks that wait for a worker; the rest waits at the broker
                assert runner.site.broker.runners[0].tasks == WORKERS
                runner.struck()
            for handle in handles:
                assert (await handle.outcome()).status == "done"
            await runner.again()
            assert runner.zygotes() == runner.zygote
            assert runner.site.broker.counters.connects == 1


async def test_waiting_tasks_can_be_cancelled() -> None:
    """A task that waits for a worker ends when it is cancelled, and its slot is free for another."""
    with trio.fail_after(60):
        async with one_runner() as runner:
            (zygote,) = runner.zygotes()
            broker = runner.site.broker
            with limited(zygote, resource.RLIMIT_NPROC, 0):
                for _ in range(WORKERS):
                    assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
                waiting = [broker.submit({"code": "return 1", "items": []}) for _ in range(WORKERS)]
                await until(lambda: broker.runners[0].tasks == WORKERS, "they are accepted")
                for handle in waiting:
                    handle.cancel()
                    assert (await handle.outcome()).status == "cancelled"
                await until(lambda: broker.runners[0].offers == WORKERS, "the slots are offered again")
            await runner.again()
