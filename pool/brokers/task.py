"""One task of a connection, carried out: a fault boundary.

What fails in it that nobody foresaw (the execution, its connections, what watches and counts it) fails this task: it is
answered with an error that says so, whatever of the rest fails as well, and nothing comes out of here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from reptarium.pool.brokers.errors import first
from reptarium.pool.brokers.shared import Shared
from reptarium.pool.endings import ENDINGS, Ending
from reptarium.pool.powers.connections import Connections
from reptarium.pool.protocol.messages import TaskDoneData, TaskErrorData
from reptarium.pool.tasks.ended import record_ended
from reptarium.pool.tasks.execution import Execution
from reptarium.pool.tasks.router import RpcRouter

_EVENT = "the task failed through a fault of the runner"


def failed(error: BaseException) -> TaskErrorData:
    """What a task is told that has met a fault."""
    kind = type(first(error)).__name__
    return TaskErrorData(message=ENDINGS[Ending.FAULT].told, description=f"{kind}; its log has the details.")


def accepted(shared: Shared, task_id: str, router: RpcRouter, broker: str) -> Execution:
    """The execution of a task of a broker's, whose settings will come."""
    return Execution(task_id, shared.pool, router, shared.limits, shared.ruling_of, shared.reuse, broker)


def met(shared: Shared, execution: Execution, error: Exception) -> None:
    """A fault of that task."""
    shared.faults.met(error, "execution", _EVENT, task=execution.task_id)


def bounds(shared: Shared, execution: Execution) -> AbstractContextManager[None]:
    """What the block raises ends here, as a fault of that task."""
    return shared.faults.contained("execution", _EVENT, task=execution.task_id)


async def perform(shared: Shared, execution: Execution) -> TaskDoneData | TaskErrorData | None:
    """The outcome of an execution, or None where nobody waits for one."""
    bounded = bounds(shared, execution)
    connections: Connections | None = None

    def dispatched(execution: Execution) -> None:  # its own would be held by it and hold it
        nonlocal connections
        shared.watchdog.watch(execution.worker)
        ruling = execution.ruling
        allowed = None if ruling is None else ruling.allowed
        if shared.connector is not None and execution.worker is not None and (ruling is None or allowed is not None):
            connections = shared.connector.begin(execution.worker.take_handed(), allowed)
        shared.metrics.task_dispatched(execution.report.dispatch or 0.0)

    execution.on_dispatch = dispatched
    execution.on_call = shared.metrics.rpc_finished
    outcome: TaskDoneData | TaskErrorData | None = None
    try:
        outcome = await execution.run()
    except* Exception as group:
        met(shared, execution, group)
        outcome = failed(group)
    finally:
        with bounded:
            shared.watchdog.unwatch(execution.worker)
        if connections is not None:
            with bounded:
                connections.end()
                execution.report.connections = connections.seen
    with bounded:
        if execution.settings is None:
            shared.metrics.task_abandoned()
    if outcome is not None and connections is not None:
        with bounded:
            outcome = connections.explain(outcome)
    if isinstance(outcome, TaskErrorData) and execution.ruling is not None:
        with bounded:
            outcome = execution.ruling.explain(outcome)
    return outcome


def record(shared: Shared, execution: Execution, broker: str) -> None:
    """Count a task that was started and has ended, and write its line, whatever came of it."""
    if execution.settings is not None:
        with bounds(shared, execution):
            record_ended(execution, execution.settings, shared.metrics, shared.faults, broker=broker)
