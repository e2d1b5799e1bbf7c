"""The warm pool by itself: real zygote, real workers, no broker and no task."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import trio

from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.pool import WorkerPool
from reptarium.pool.workers.zygote import ZygoteProcess
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    """A pool of three workers, all parked."""
    pool = WorkerPool(zygote_config(make_settings()), size=3)
    with fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            await pool.wait_warm()
            yield pool
            pool.close()
            nursery.cancel_scope.cancel()


async def test_a_parked_worker_that_dies_is_replaced_though_nobody_asks_for_one(pool: WorkerPool) -> None:
    """A dead worker doesn't count as warm: not until a lease comes across it, and not for a moment longer."""
    parked = {worker.pid: worker for worker in pool.workers.values()}
    victim, *others = parked.values()
    os.kill(victim.pid, signal.SIGKILL)
    with fail_after(10):
        await victim.exited.wait()
        assert pool.parked == 2
        await pool.wait_warm()
    assert len(pool.workers) == 3
    assert victim.pid not in pool.workers
    assert {worker.pid for worker in others} <= set(pool.workers)


async def test_a_worker_given_back_beside_its_replacement_does_not_grow_the_pool(pool: WorkerPool) -> None:
    """Whichever of the two parks last is surplus, and ends."""
    worker = await pool.lease()
    pool.give_back(worker)
    with fail_after(10):
        await pool.wait_warm()
        while len(pool.workers) > 3:
            await trio.sleep(0.01)
    assert pool.parked == 3


def score(pid: int) -> int:
    """What is added to what the process is taken to hold (proc_pid_oom_score_adj(5))."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


async def test_memory_that_runs_out_ends_a_worker(pool: WorkerPool) -> None:
    """To the kernel's OOM killer workers are the first, zygote and supervisor as they are without it."""
    own = score(os.getpid())
    assert {score(pid) for pid in pool.workers} == {min(own + 500, 1000)}
    assert score(psutil.Process(next(iter(pool.workers))).ppid()) == own
    assert "oom" in {layer.name for layer in pool.layers if layer.state == "active"} or own == 1000


async def test_no_other_program_inherits_what_a_worker_is_spoken_to_with(pool: WorkerPool) -> None:
    """Its socket and its pidfd are closed on exec, as all of ours are."""
    for worker in pool.workers.values():
        assert not os.get_inheritable(worker.fd)
        assert not os.get_inheritable(worker._pidfd)


@pytest.mark.parametrize(("processors", "leased", "urgent"), [(2, 1, False), (2, 2, False), (1, 2, True), (8, 3, True)])
async def test_no_dummy_task_where_processors_are_wanted(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, processors: int, leased: int, urgent: bool
) -> None:
    """A replacement runs its dummy task when there is time for it: not with more tasks than processors, nor when the
    next task will find no warm worker.
    """
    orders: list[bool] = []
    order = ZygoteProcess.order

    def written_down(zygote: ZygoteProcess, workers: int, *, urgent: bool) -> bool:
        orders.append(urgent)
        return order(zygote, workers, urgent=urgent)

    monkeypatch.setattr(ZygoteProcess, "order", written_down)
    pool.processors = processors
    workers = [await pool.lease() for _ in range(leased)]
    orders.clear()
    pool.size += 1  # there may be no room for more: as many as there was room for were asked for at the leases
    pool.discard(workers[0])
    assert orders == [urgent]
    for worker in workers[1:]:
        pool.discard(worker)
