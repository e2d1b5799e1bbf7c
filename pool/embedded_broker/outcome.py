"""What the broker tells: how a task ended, who is connected, what it has counted."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from reptarium.pool.protocol.messages import TaskDoneData, TaskErrorData

Status = Literal["done", "error", "cancelled", "timeout", "rejected", "no-runner", "disconnected"]


class Timings(msgspec.Struct):
    """When a task took which step, on ``time.perf_counter()``; None where it never got there.

    ``accepted`` is when the runner's ``runner:taskaccepted`` was read, ``settings_sent`` when the
    connection's writer began to send the settings, ``finished`` when the runner's answer was decoded.
    """

    requested: float
    accepted: float | None = None
    settings_sent: float | None = None
    finished: float | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The one end of a task.

    ``done`` carries ``data``; everything else carries ``error``, which is the runner's own for
    ``error`` and the broker's for the rest: ``cancelled`` (by the requester, or the broker is going
    down), ``timeout`` (ran too long), ``no-runner`` (no runner took it in time), ``rejected`` (likewise,
    and the last runner that was asked refused), ``disconnected`` (its runner is gone).
    ``attempts`` counts the offers that were tried.
    """

    task_id: str
    status: Status
    timings: Timings
    data: TaskDoneData | None = None
    error: TaskErrorData | None = None
    runner_id: str | None = None
    attempts: int = 0

    def result(self) -> Any:
        """The decoded result. Raises ValueError unless the task is done."""
        if self.data is None:
            message = self.error.message if self.error else "no data"
            raise ValueError(f"the task has no result ({self.status}): {message}")
        return msgspec.json.decode(self.data.result)


def failure_text(outcome: Outcome) -> str:
    """A failed outcome for a person to read."""
    error = outcome.error
    if error is None:
        return f"Task {outcome.status}."
    lines = [f"Error: {error.message}"]
    for extra in (error.description, error.stack, error.stderr):
        # the description may begin with what standard error says
        if extra is not msgspec.UNSET and not any(str(extra).strip() in line for line in lines):
            lines.append(str(extra))
    if error.item_index is not msgspec.UNSET:
        lines.insert(1, f"Item {error.item_index}")
    return "\n".join(lines)


class RunnerView(msgspec.Struct, frozen=True):
    """A connected runner at one moment. ``offers`` are those still good, ``tasks`` those it holds.

    ``received`` and ``sent`` are the bytes of its connection so far.
    """

    id: str
    name: str
    types: tuple[str, ...]
    registered: bool
    offers: int
    tasks: int
    received: int
    sent: int


class Counters(msgspec.Struct):
    """What has happened since the broker started. Every number only grows."""

    connects: int = 0
    disconnects: int = 0
    requests: int = 0
    offers: int = 0
    offers_expired: int = 0
    matches: int = 0
    accepts: int = 0
    rejects: int = 0
    deferrals: int = 0
    ack_timeouts: int = 0
    done: int = 0
    errors: int = 0
    cancelled: int = 0
    timeouts: int = 0
    no_runner: int = 0
    rejected: int = 0
    disconnected: int = 0
    rpc_calls: int = 0
    rpc_errors: int = 0
    duplicates: int = 0
    """A second ``taskdone``/``taskerror`` for a task that had already ended by one."""
    late: int = 0
    """Messages about a task that the broker had given up (cancelled, timed out, asked someone else)."""
    foreign: int = 0
    """Messages about a task that belongs to another runner."""
    unexpected: int = 0
    """Messages that make no sense at this point: before ``runner:info``, or about an unknown task."""
    unknown: int = 0
    malformed: int = 0

    def count(self, status: Status) -> None:
        """A task has ended so."""
        name = _COUNTER[status]
        setattr(self, name, getattr(self, name) + 1)


_COUNTER: dict[Status, str] = {
    "done": "done",
    "error": "errors",
    "cancelled": "cancelled",
    "timeout": "timeouts",
    "rejected": "rejected",
    "no-runner": "no_runner",
    "disconnected": "disconnected",
}
