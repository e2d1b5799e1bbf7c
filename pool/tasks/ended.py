"""What is kept of an ended task: its metrics and its log line."""

from __future__ import annotations

import structlog

from reptarium.pool.endings import ENDINGS, Ending
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.logs import task_context, task_finished_fields, task_used_fields
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.protocol.messages import TaskSettings
from reptarium.pool.tasks.execution import Execution
from reptarium.sandbox import wire

log = structlog.get_logger("reptarium.pool.tasks.ended")


def record_ended(
    execution: Execution, settings: TaskSettings, metrics: Metrics, faults: OwnFaults, *, broker: str
) -> None:
    """Count a task that was started and has ended, and log it, when it is known what its worker has used.

    That is a moment after the outcome, which doesn't wait for it: the zygote reaps the worker and says so. Where it
    doesn't, the line comes without (``Worker.when_gone``); it comes in any case, and once. Of one that isn't reaped,
    since it may serve again, it is known already.
    """
    report, worker = execution.report, execution.worker
    meaning = ENDINGS[report.ending]
    result_bytes = report.bytes_out if report.ending is Ending.DONE else None
    metrics.task_finished(report.ending, report.duration, result_bytes=result_bytes)
    # nothing of the execution itself is kept until then
    context = task_context(execution.task_id, settings)
    known = task_finished_fields(
        outcome=meaning.outcome or report.ending,
        seconds=report.duration,
        queue_seconds=execution.waited,
        request_bytes=report.bytes_in,
        result_bytes=result_bytes,
        worker=report.worker,
        broker=broker,
        reason=report.reason,
    )
    crashed = report.ending is Ending.CRASH
    if execution.ruling is not None:
        known["rule"] = execution.ruling.rule
    if report.reused:
        known["reused"] = True
    connected = {"connections": report.connections} if report.connections else {}

    def tell(end: wire.Exited | None) -> None:
        try:
            if end is not None:
                metrics.task_memory(end.peak)
            getattr(log, meaning.level)(
                "task", **context, **known, **connected, **task_used_fields(end, crashed=crashed)
            )
        except Exception as error:  # the zygote, of which this is heard, has no part in it
            faults.met(error, "execution", "a task was not logged through a fault of the runner", task=context["task"])

    if worker is None or report.used is not None:
        tell(report.used)
    else:
        worker.when_gone(tell)
