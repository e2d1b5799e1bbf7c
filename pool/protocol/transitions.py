"""What can happen to a task, what the session does about it, and the table of both.

The theory of operation is told in ``session.py``, which walks this table. Nothing here has state or I/O:
what is done about an event is a function from the task and the event's fact to *actions* for the
owner of the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Literal, NamedTuple

import msgspec

from reptarium.pool.protocol.messages import (
    BrokerNodeTypes,
    BrokerRpcResponse,
    BrokerTaskDataResponse,
    RunnerMessage,
    RunnerTaskAccepted,
    RunnerTaskDone,
    RunnerTaskError,
    RunnerTaskRejected,
    TaskDoneData,
    TaskErrorData,
    TaskSettings,
)

#: How much of a broker's own words goes into a log line or an error, in characters.
QUOTED = 500


def quote(text: str) -> str:
    """A broker's words, bounded and writable anywhere (they may hold half a surrogate pair)."""
    return text[:QUOTED].encode("utf-8", "backslashreplace").decode("utf-8")


class SendMessage(msgspec.Struct, frozen=True):
    """Send ``message`` to the broker."""

    message: RunnerMessage


class Reserve(msgspec.Struct, frozen=True):
    """The task was accepted: reserve a worker for it."""

    task_id: str


class Abandon(msgspec.Struct, frozen=True):
    """The task has ended before it had settings: give its worker back.

    ``wasted``: because the broker sent none, or has gone.
    """

    task_id: str
    wasted: bool = False


class Start(msgspec.Struct, frozen=True):
    """Run the task; call :meth:`RunnerSession.finish` with what comes of it."""

    task_id: str
    settings: TaskSettings


class Kill(msgspec.Struct, frozen=True):
    """Kill the task's worker, then call :meth:`RunnerSession.finish` as after any other end."""

    task_id: str
    reason: str


class Deliver(msgspec.Struct, frozen=True):
    """Hand an answer to the call ``call_id`` (or request id) of a running task."""

    task_id: str
    call_id: str
    message: BrokerRpcResponse | BrokerTaskDataResponse | BrokerNodeTypes


class Lapsed(msgspec.Struct, frozen=True):
    """So many offers have come to nothing: they ran out, or were answered too late. To be counted."""

    offers: int


class LogLine(msgspec.Struct, frozen=True):
    """Write a log line."""

    level: Literal["debug", "info", "warning"]
    event: str
    fields: dict[str, Any]


class Drained(msgspec.Struct, frozen=True):
    """The session is draining and its last task has ended. Comes once."""


Action = SendMessage | Reserve | Abandon | Start | Kill | Deliver | Lapsed | LogLine | Drained
Actions = tuple[Action, ...]


class TaskState(Enum):
    """Where a task stands."""

    __hash__ = object.__hash__  # an enumeration's own is a function in Python: four calls for each event

    UNKNOWN = "unknown"
    WAITING = "waiting for settings"
    RUNNING = "running"
    CANCELLING = "cancelling"
    ENDED = "ended"


class Event(Enum):
    """What can happen to a task. In brackets: the fact that comes with it."""

    __hash__ = object.__hash__

    ACCEPT = "accept"  # by the broker, of an offer that stands (None)
    REFUSE = "refuse"  # the same of one that doesn't (our reason, str)
    SETTINGS = "settings"  # (TaskSettings)
    CANCEL = "cancel"  # (the broker's reason, str)
    RESPONSE = "response"  # to a call of the task (the message)
    MALFORMED = "malformed"  # a message that can't be read but for the task's id (what was wrong, str)
    OVERDUE = "overdue"  # no settings in time (the text of the error, str)
    FINISH = "finish"  # the execution has ended (TaskDoneData | TaskErrorData)
    LOST = "lost"  # the connection is gone (the reason for the kill, str)


class Task(msgspec.Struct):
    id: str
    state: TaskState
    settings_due: float
    #: Why it is being cancelled.
    reason: str = ""


def cancelled(reason: str) -> TaskErrorData:
    """The error of a task that the broker has cancelled for ``reason``."""
    return TaskErrorData(message=f"Task was cancelled: {reason}" if reason else "Task was cancelled")


def verdict(task_id: str, outcome: TaskDoneData | TaskErrorData) -> RunnerTaskDone | RunnerTaskError:
    """The message that ends a task."""
    if isinstance(outcome, TaskErrorData):
        return RunnerTaskError(task_id, outcome)
    return RunnerTaskDone(task_id, outcome)


# What is done about an event: a function of the task and the event's fact.


def _take(task: Task, _: None) -> Actions:
    return Reserve(task.id), SendMessage(RunnerTaskAccepted(task.id))


def _reject(task: Task, reason: str) -> Actions:
    return (
        LogLine("info", "task rejected", {"task_id": quote(task.id), "reason": reason}),
        SendMessage(RunnerTaskRejected(task.id, reason)),
    )


def _start(task: Task, settings: TaskSettings) -> Actions:
    return (Start(task.id, settings),)


def _kill(task: Task, reason: str) -> Actions:
    task.reason = reason
    return (Kill(task.id, reason),)


def _fail(task: Task, message: str) -> Actions:
    return (SendMessage(RunnerTaskError(task.id, TaskErrorData(message=message))),)


def _abandon(task: Task, _: object) -> Actions:
    return (Abandon(task.id, wasted=True),)


def _abandon_overdue(task: Task, message: str) -> Actions:
    return (Abandon(task.id, wasted=True), *_fail(task, message))


def _abandon_malformed(task: Task, message: str) -> Actions:
    return (Abandon(task.id), *_fail(task, message))


def _abandon_cancelled(task: Task, reason: str) -> Actions:
    return (Abandon(task.id, wasted=True), SendMessage(RunnerTaskError(task.id, cancelled(reason))))


def _report(task: Task, outcome: TaskDoneData | TaskErrorData) -> Actions:
    return (SendMessage(verdict(task.id, outcome)),)


def _abandon_reported(task: Task, outcome: TaskDoneData | TaskErrorData) -> Actions:
    return (Abandon(task.id), *_report(task, outcome))


def _report_cancelled(task: Task, outcome: TaskDoneData | TaskErrorData) -> Actions:
    # The result may have won the race against the kill, but the broker has been promised an error.
    return _report(task, outcome if isinstance(outcome, TaskErrorData) else cancelled(task.reason))


def _deliver(task: Task, message: BrokerRpcResponse | BrokerTaskDataResponse | BrokerNodeTypes) -> Actions:
    call_id = message.call_id if isinstance(message, BrokerRpcResponse) else message.request_id
    return (Deliver(task.id, call_id, message),)


def _silent(_: Task, __: object) -> Actions:
    return ()


def _note(level: Literal["debug", "warning"], event: str) -> Callable[[Task, Any], Actions]:
    def note(task: Task, _: object) -> Actions:
        return (LogLine(level, event, {"task_id": quote(task.id), "task_state": task.state.value}),)

    return note


class Cell(NamedTuple):
    """One cell of the table."""

    next: TaskState
    do: Callable[[Task, Any], Actions]


_UNKNOWN, _WAITING, _RUNNING, _CANCELLING, _ENDED = TaskState
_again = _note("warning", "offer accepted for a task that is already here")
_stray_settings = _note("warning", "settings for an unknown task ignored")
_repeated_settings = _note("warning", "repeated settings ignored")
_stray_cancel = _note("debug", "cancel of a task that is not running ignored")
_stray_response = _note("debug", "response for a task that is not running dropped")
_stray_finish = _note("warning", "outcome of an unknown task dropped")

#: Task state × event → next state and what is done. A malformed message is logged in any case.
TRANSITIONS: dict[TaskState, dict[Event, Cell]] = {
    _UNKNOWN: {
        Event.ACCEPT: Cell(_WAITING, _take),
        Event.REFUSE: Cell(_UNKNOWN, _reject),
        Event.SETTINGS: Cell(_UNKNOWN, _stray_settings),
        Event.CANCEL: Cell(_UNKNOWN, _stray_cancel),
        Event.RESPONSE: Cell(_UNKNOWN, _stray_response),
        # Somebody waits for this task: an error that nobody knows what to do with does no harm.
        Event.MALFORMED: Cell(_ENDED, _fail),
        Event.FINISH: Cell(_UNKNOWN, _stray_finish),
    },
    _WAITING: {
        Event.ACCEPT: Cell(_WAITING, _again),
        Event.REFUSE: Cell(_WAITING, _again),
        Event.SETTINGS: Cell(_RUNNING, _start),
        Event.CANCEL: Cell(_ENDED, _abandon_cancelled),
        Event.RESPONSE: Cell(_WAITING, _stray_response),
        Event.MALFORMED: Cell(_ENDED, _abandon_malformed),
        Event.OVERDUE: Cell(_ENDED, _abandon_overdue),
        Event.FINISH: Cell(_ENDED, _abandon_reported),  # no worker could be had
        Event.LOST: Cell(_ENDED, _abandon),
    },
    _RUNNING: {
        Event.ACCEPT: Cell(_RUNNING, _again),
        Event.REFUSE: Cell(_RUNNING, _again),
        Event.SETTINGS: Cell(_RUNNING, _repeated_settings),
        Event.CANCEL: Cell(_CANCELLING, _kill),
        Event.RESPONSE: Cell(_RUNNING, _deliver),
        Event.MALFORMED: Cell(_CANCELLING, _kill),
        Event.FINISH: Cell(_ENDED, _report),
        Event.LOST: Cell(_ENDED, _kill),
    },
    _CANCELLING: {
        Event.ACCEPT: Cell(_CANCELLING, _again),
        Event.REFUSE: Cell(_CANCELLING, _again),
        Event.SETTINGS: Cell(_CANCELLING, _repeated_settings),
        Event.CANCEL: Cell(_CANCELLING, _stray_cancel),
        Event.RESPONSE: Cell(_CANCELLING, _stray_response),
        Event.MALFORMED: Cell(_CANCELLING, _silent),
        Event.FINISH: Cell(_ENDED, _report_cancelled),
        Event.LOST: Cell(_ENDED, _silent),  # the kill is under way
    },
    _ENDED: {
        Event.ACCEPT: Cell(_WAITING, _take),
        Event.REFUSE: Cell(_ENDED, _again),
        Event.SETTINGS: Cell(_ENDED, _stray_settings),
        Event.CANCEL: Cell(_ENDED, _stray_cancel),
        Event.RESPONSE: Cell(_ENDED, _stray_response),
        Event.MALFORMED: Cell(_ENDED, _silent),
        Event.FINISH: Cell(_ENDED, _stray_finish),
    },
}
