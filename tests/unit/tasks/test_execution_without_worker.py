"""A pool that can't give a worker: the task ends all the same."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.protocol.messages import TaskErrorData
from reptarium.pool.tasks.callbacks import CallLimits
from reptarium.pool.tasks.execution import Execution
from reptarium.pool.tasks.limits import Limits
from reptarium.pool.tasks.router import RpcRouter


class EmptyPool:
    """Never has a worker."""

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
    assert execution.report.kind == "timeout"
    assert trio.current_time() - begun == pytest.approx(60 if early else 100)
