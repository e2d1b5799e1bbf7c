"""What is kept of an ended task: its metrics and its log line."""

from __future__ import annotations

import structlog

from reptarium.pool.ops.logs import task_context, task_finished_fields
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.protocol.messages import TaskSettings
from reptarium.pool.tasks.execution import Execution, OutcomeKind

log = structlog.get_logger("reptarium.pool.tasks.ended")

_OUTCOMES: dict[OutcomeKind, str] = {
    "done": "done",
    "error": "error",
    "refused": "error",
    "violation": "error",
    "timeout": "timeout",
    "memory": "memory",
    "cancelled": "cancelled",
    "crash": "lost",
    "disconnected": "lost",
    "shutdown": "lost",
    "fault": "failed",
}


def record_ended(execution: Execution, settings: TaskSettings, metrics: Metrics, *, peak_memory: int) -> None:
    """Count a task that was started and has ended, and log it. ``peak_memory`` in bytes (0: not seen)."""
    report = execution.report
    outcome = _OUTCOMES[report.kind]
    result_bytes = report.bytes_out if report.kind == "done" else None
    metrics.task_finished(outcome, report.duration, result_bytes=result_bytes, peak_memory=peak_memory)
    log.info(
        "task",
        **task_context(execution.task_id, settings),
        **task_finished_fields(
            outcome=outcome,
            seconds=report.duration,
            request_bytes=report.bytes_in,
            result_bytes=result_bytes,
            worker=report.worker,
        ),
    )
