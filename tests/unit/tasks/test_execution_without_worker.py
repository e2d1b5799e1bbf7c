"""A pool that can't give a worker: the task ends all the same."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.endings import Ending
from reptarium.pool.protocol.messages import TaskDoneData, TaskErrorData
from reptarium.pool.tasks.callbacks import CallLimits
from reptarium.pool.tasks.execution import Execution
from reptarium.pool.tasks.limits import Limits
from reptarium.pool.tasks.router import RpcRouter
from reptarium.pool.workers.waiting import NoWorker


class EmptyPool:
    """Never has a worker."""

    def lease_nowait(self) -> None:
        pass

    async def lease(self) -> Any:
        await trio.sleep_forever()


async def _send(message: object) -> None:
    raise AssertionError(f"nothing is to be said: {message}")


@pytest.mark.parametrize("early", [True, False])
async def test_a_task_that_gets_no_worker_ends_with_an_error(
    early: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """After the task's time limit, whether its settings come before that or later."""
    limits = Limits(timeout=60.0, memory=2**29, max_result=2**20, max_console=2**20, calls=CallLimits())
    pool: Any = EmptyPool()
    execution = Execution("task", pool, RpcRouter(_send), limits)
    ended: list[object] = []
    begun = trio.current_time()

    async def run() -> None:
        ended.append(await execution.run())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.sleep(1 if early else 100)
        assert ended == []
        execution.start(task_settings({"code": "return 1", "items": []}))
    (error,) = ended
    assert isinstance(error, TaskErrorData)
    assert error.message == "No worker was free for the task within 60 seconds"
    assert execution.report.ending is Ending.TIMEOUT
    assert trio.current_time() - begun == pytest.approx(60 if early else 100)


class FailingPool:
    """Says after a while that it can start no worker."""

    def lease_nowait(self) -> None:
        pass

    async def lease(self) -> Any:
        await trio.sleep(10)
        raise NoWorker("fork failed (EAGAIN)")


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_task_is_told_why_there_is_no_worker(
    early: bool, goes_on: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """As soon as the pool gives up, long before the task's time limit; or when its settings come, if that is later."""
    limits = Limits(timeout=60.0, memory=2**29, max_result=2**20, max_console=2**20, calls=CallLimits())
    pool: Any = FailingPool()
    execution = Execution("task", pool, RpcRouter(_send), limits)
    begun = trio.current_time()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def settings() -> None:
            await trio.sleep(1 if early else 30)
            execution.start(task_settings({"code": "return 1", "items": [], "continueOnFail": goes_on}))

        outcome = await execution.run()
    assert trio.current_time() - begun == pytest.approx(10 if early else 30)
    assert execution.report.ending is Ending.CRASH
    if goes_on:
        assert isinstance(outcome, TaskDoneData)
        assert bytes(outcome.result) == b'[{"json":{"error":"The runner can\'t start workers"}}]'
    else:
        assert isinstance(outcome, TaskErrorData)
        assert outcome.message == "The runner can't start workers"
        assert "fork failed (EAGAIN)" in str(outcome.description)
