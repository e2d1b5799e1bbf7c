"""What the matchmaker deals in: tasks, peers, offers, and the actions that it asks for."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from reptarium.pool.embedded_broker.outcome import Outcome, Timings
from reptarium.pool.protocol.messages import (
    BrokerMessage,
    RunnerNodeTypesRequest,
    RunnerRpcCall,
    RunnerTaskDataRequest,
    TaskSettings,
)

#: The reasons that n8n puts into ``broker:taskcancel`` (checked against a live n8n 2.40.5).
NOT_ACKNOWLEDGED = "Acknowledgement window elapsed"
TIMED_OUT = "Task execution timed out"
CANCELLED = "Task cancelled by user"
SHUTTING_DOWN = "Task aborted because the broker is shutting down"

#: So many unacknowledged tasks in a row, and the runner is cut off.
MAX_UNACKNOWLEDGED = 3

CLOSE_NORMAL = 1000
CLOSE_GOING_AWAY = 1001
CLOSE_UNRESPONSIVE = 1002

Call = RunnerRpcCall | RunnerTaskDataRequest | RunnerNodeTypesRequest


class Tell(msgspec.Struct, frozen=True):
    """Send the peer ``message``."""

    peer: int
    message: BrokerMessage


class Close(msgspec.Struct, frozen=True):
    """Close the peer's connection, after what is already on its way. The peer is forgotten."""

    peer: int
    code: int
    reason: str


class Registered(msgspec.Struct, frozen=True):
    """The peer has said who it is."""

    peer: int


class Serve(msgspec.Struct, frozen=True):
    """A running task wants an answer; forget it when the task ends."""

    peer: int
    task: BrokerTask
    call: Call


class Finish(msgspec.Struct, frozen=True):
    """The task's only outcome."""

    task: BrokerTask
    outcome: Outcome


class Note(msgspec.Struct, frozen=True):
    """A line for the log; ``level`` as in :mod:`logging`, in small letters."""

    level: str
    event: str
    fields: dict[str, Any]


BrokerAction = Tell | Close | Registered | Serve | Finish | Note

TaskState = Literal["waiting", "offered", "running", "ended"]


class BrokerTask:
    """One request on its way. ``number`` is stable and orders the queue; ``task_id`` is the attempt's."""

    __slots__ = (
        "attempts",
        "deadline",
        "fault",
        "number",
        "peer",
        "refused",
        "request_deadline",
        "runner_id",
        "settings",
        "state",
        "task_id",
        "task_type",
        "timeout",
        "timings",
    )

    def __init__(
        self, number: int, task_id: str, settings: TaskSettings, task_type: str, timeout: float, stamp: float
    ) -> None:
        self.number = number
        self.task_id = task_id
        self.settings = settings
        self.task_type = task_type
        self.timeout = timeout
        self.timings = Timings(stamp)
        self.state: TaskState = "waiting"
        self.peer: Peer | None = None
        self.runner_id: str | None = None
        self.attempts = 0
        self.deadline = 0.0
        self.request_deadline = 0.0
        self.refused = False
        self.fault = ""


class Peer:
    """One connection of a runner, as the matchmaker sees it."""

    __slots__ = ("key", "name", "offers", "registered", "runner_id", "tasks", "types", "unacknowledged")

    def __init__(self, key: int, runner_id: str) -> None:
        self.key = key
        self.runner_id = runner_id
        self.name = ""
        self.types: tuple[str, ...] = ()
        self.registered = False
        self.offers: dict[str, Offer] = {}
        self.tasks: dict[str, BrokerTask] = {}
        self.unacknowledged = 0


class Offer:
    """One free slot of a peer, good until ``expires``."""

    __slots__ = ("expires", "number", "offer_id", "peer", "task_type")

    def __init__(self, number: int, offer_id: str, peer: Peer, task_type: str, expires: float) -> None:
        self.number = number
        self.offer_id = offer_id
        self.peer = peer
        self.task_type = task_type
        self.expires = expires


def note(level: str, event: str, peer: Peer, **fields: Any) -> Note:
    """A line about a peer."""
    return Note(level, event, {"runner_id": peer.runner_id, **fields})
