"""What runners say, and what of it counts: the broker's side of the protocol, without I/O.

Theory of operation. A peer says first who it is; nothing else counts before that. From then on it offers
slots, answers for the tasks that it was given, and calls for them. Only about its own tasks may it speak, and
only what the task's state allows: accept or refuse one that it was offered, end or call for one that runs. What is
allowed goes on to ``matching.py``; everything else is counted by its kind (``outcome.Counters``) and changes
nothing, because runners of any make, old answers and lost connections are all normal here.
"""

from __future__ import annotations

from reptarium.pool.embedded_broker.matching import Matchmaker
from reptarium.pool.embedded_broker.records import BrokerAction, BrokerTask, Call, Peer, Registered, Serve, Tell, note
from reptarium.pool.protocol.messages import (
    BrokerRunnerRegistered,
    Malformed,
    RunnerInfo,
    RunnerMessage,
    RunnerTaskAccepted,
    RunnerTaskDeferred,
    RunnerTaskDone,
    RunnerTaskError,
    RunnerTaskOffer,
    RunnerTaskRejected,
    Unknown,
)

# Tuples, made once: a union would be made anew for each message
_ABOUT_NO_TASK = (RunnerInfo, Unknown, Malformed)
_ANSWERS = (RunnerTaskDone, RunnerTaskError)
_REFUSALS = (RunnerTaskRejected, RunnerTaskDeferred)

#: Messages about a task.
_AboutTask = RunnerTaskAccepted | RunnerTaskRejected | RunnerTaskDeferred | RunnerTaskDone | RunnerTaskError | Call


class Conversation:
    """Listens to all peers of one matchmaker."""

    def __init__(self, core: Matchmaker) -> None:
        self._core = core
        self._counters = core.counters

    def receive(self, key: int, message: RunnerMessage | Unknown | Malformed, now: float) -> list[BrokerAction]:
        """One message from a peer. Messages of a forgotten peer are dropped silently."""
        peer = self._core.peers.get(key)
        if peer is None:
            return []
        if not peer.registered:
            return self._introduce(peer, message)
        if isinstance(message, RunnerTaskOffer):
            return self._core.offer(peer, message, now)
        if isinstance(message, _ABOUT_NO_TASK):
            return self._odd(peer, message)
        task = peer.tasks.get(message.task_id)
        if task is None:
            return self._not_its_own(peer, message)
        if isinstance(message, RunnerTaskAccepted):
            return self._accepted(peer, task, now)
        if isinstance(message, _ANSWERS):
            return self._answered(peer, task, message)
        if isinstance(message, _REFUSALS):
            return self._refused(peer, task, message, now)
        return self._called(peer, task, message)

    def _introduce(self, peer: Peer, message: RunnerMessage | Unknown | Malformed) -> list[BrokerAction]:
        if not isinstance(message, RunnerInfo):
            self._counters.unexpected += 1
            return [note("warning", "broker.message_before_info", peer, kind=type(message).__name__)]
        peer.name = message.name
        peer.types = message.types
        peer.registered = True
        return [
            Tell(peer.key, BrokerRunnerRegistered()),
            Registered(peer.key),
            note("info", "broker.runner_registered", peer, name=peer.name, types=list(peer.types)),
        ]

    def _odd(self, peer: Peer, message: RunnerInfo | Unknown | Malformed) -> list[BrokerAction]:
        if isinstance(message, Malformed):
            self._counters.malformed += 1
            fields = {"kind": message.type, "task_id": message.task_id, "fault": message.fault}
            return [note("warning", "broker.malformed_message", peer, **fields)]
        if isinstance(message, Unknown):
            self._counters.unknown += 1
            return [note("info", "broker.unknown_message", peer, kind=message.type)]
        self._counters.unexpected += 1
        return [note("info", "broker.second_info", peer)]

    def _not_its_own(self, peer: Peer, message: _AboutTask) -> list[BrokerAction]:
        """The task is not this peer's to talk about: another's, one that has ended, or none that there was."""
        task_id = message.task_id
        kind = message.__struct_config__.tag
        ended = self._core.attempts.ended(task_id)
        if self._core.attempts.held(task_id) is not None:
            self._counters.foreign += 1
            return [note("warning", "broker.foreign_task", peer, kind=kind, task_id=task_id)]
        if ended in ("done", "error") and isinstance(message, _ANSWERS):
            self._counters.duplicates += 1
            return [note("warning", "broker.second_answer", peer, kind=kind, task_id=task_id)]
        if ended is not None:
            self._counters.late += 1
            return []
        self._counters.unexpected += 1
        return [note("warning", "broker.unknown_task", peer, kind=kind, task_id=task_id)]

    # --- about a task of its own -----------------------------------------------------------

    def _accepted(self, peer: Peer, task: BrokerTask, now: float) -> list[BrokerAction]:
        if task.state != "offered":
            self._counters.unexpected += 1
            return []
        return self._core.start(peer, task, now)

    def _refused(
        self, peer: Peer, task: BrokerTask, message: RunnerTaskRejected | RunnerTaskDeferred, now: float
    ) -> list[BrokerAction]:
        if task.state != "offered":
            self._counters.unexpected += 1
            return [note("warning", "broker.refused_after_accepting", peer, task_id=task.task_id)]
        if isinstance(message, RunnerTaskDeferred):
            return self._core.refuse(peer, task, "deferred by the runner", now, deferred=True)
        return self._core.refuse(peer, task, f"rejected by the runner: {message.reason}", now, deferred=False)

    def _answered(self, peer: Peer, task: BrokerTask, message: RunnerTaskDone | RunnerTaskError) -> list[BrokerAction]:
        if task.state != "running":
            self._counters.unexpected += 1
            return [note("warning", "broker.answer_before_accepting", peer, task_id=task.task_id)]
        return self._core.answer(task, message.data if isinstance(message, RunnerTaskDone) else message.error)

    def _called(self, peer: Peer, task: BrokerTask, call: Call) -> list[BrokerAction]:
        if task.state != "running":
            self._counters.unexpected += 1
            return []
        self._counters.rpc_calls += 1
        return [Serve(peer.key, task, call)]
