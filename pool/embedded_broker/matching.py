"""Which request goes to which offer, and how each task ends: without I/O.

Theory of operation. A *peer* is one connection of a runner. It makes *offers*, one per free slot. A *task*
begins as a request that waits; when a request and an offer of the same type are both there, the oldest of
each are matched and the offer is gone, whatever becomes of it::

      submit          offer accepted           taskaccepted
    ─────────► waiting ───────────► offered ─────────────────► running ──► ended
                  ▲                    │                          │
                  └────────────────────┘                 taskdone, taskerror, timeout,
          taskrejected, taskdeferred, no                 cancel, peer gone
          acknowledgement in time, peer gone

Matching happens when a request or an offer arrives or a request is put back, never on a timer. A
deferred request alone waits for the next arrival: the launcher that deferred it is still starting
the runner it is meant for. What peers say is taken apart in ``conversation.py``, which calls here
for what it means: ``offer``, ``start``, ``refuse``, ``answer``.

Every method takes ``now`` (seconds, any monotonic clock) and returns the actions that it causes, in
order. ``next_deadline`` says when ``tick`` is due.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable

from reptarium.pool.embedded_broker.attempts import Attempts, new_task_id
from reptarium.pool.embedded_broker.outcome import Counters, Outcome, Status
from reptarium.pool.embedded_broker.queues import Deadlines, OfferBook
from reptarium.pool.embedded_broker.records import (
    CANCELLED,
    CLOSE_GOING_AWAY,
    CLOSE_NORMAL,
    CLOSE_UNRESPONSIVE,
    MAX_UNACKNOWLEDGED,
    NOT_ACKNOWLEDGED,
    SHUTTING_DOWN,
    TIMED_OUT,
    BrokerAction,
    BrokerTask,
    Close,
    Finish,
    Offer,
    Peer,
    Tell,
    note,
)
from reptarium.pool.protocol.messages import (
    BrokerDrain,
    BrokerInfoRequest,
    BrokerTaskCancel,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    RunnerTaskOffer,
    TaskDoneData,
    TaskErrorData,
    TaskSettings,
)

#: Open offers of one runner: more are ignored (n8n's runners have as many as slots).
MAX_OFFERS = 10_000

#: A queue of requests may hold this many times more entries than there are unfinished tasks.
_SLACK = 4


class Matchmaker:
    """The broker's state: peers, offers, requests, tasks.

    ``accept_timeout``, ``request_timeout`` and ``task_timeout`` are seconds. ``stamp`` is the clock of
    the outcome's timings, apart from ``now`` so that measuring doesn't depend on how time is faked.
    """

    def __init__(
        self,
        *,
        accept_timeout: float = 2.0,
        request_timeout: float = 60.0,
        task_timeout: float = 300.0,
        new_id: Callable[[], str] = new_task_id,
        stamp: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.counters = Counters()
        self.draining = False
        self.peers: dict[int, Peer] = {}
        self.attempts = Attempts(new_id)
        self._accept_timeout = accept_timeout
        self._request_timeout = request_timeout
        self._task_timeout = task_timeout
        self._stamp = stamp
        self._numbers = 0
        self._tasks: dict[int, BrokerTask] = {}
        self._waiting: dict[str, list[int]] = {}
        self._offers = OfferBook()
        self._deadlines = Deadlines(self._tasks)

    # --- what the outside asks -------------------------------------------------------------

    @property
    def unfinished(self) -> int:
        """How many tasks have no outcome yet."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many requests wait for an offer."""
        return sum(task.state == "waiting" for task in self._tasks.values())

    def next_deadline(self) -> float | None:
        """When :meth:`tick` is due; None while nothing waits for time to pass."""
        return self._deadlines.next()

    def open_offers(self, peer: Peer, now: float) -> int:
        """How many offers of ``peer`` are still good."""
        return sum(offer.expires > now for offer in peer.offers.values())

    # --- requesters ------------------------------------------------------------------------

    def submit(
        self,
        settings: TaskSettings,
        now: float,
        *,
        task_type: str = "python",
        timeout: float | None = None,
        request_timeout: float | None = None,
    ) -> tuple[BrokerTask, list[BrokerAction]]:
        """Queue a request. While draining it ends at once."""
        self._numbers += 1
        task = BrokerTask(
            self._numbers,
            self.attempts.fresh_id(),
            settings,
            task_type,
            self._task_timeout if timeout is None else timeout,
            self._stamp(),
        )
        self.counters.requests += 1
        self._tasks[task.number] = task
        actions: list[BrokerAction] = []
        if self.draining:
            self._end(task, "cancelled", SHUTTING_DOWN, actions)
            return task, actions
        task.request_deadline = now + (self._request_timeout if request_timeout is None else request_timeout)
        self._enqueue(task)
        self._match(now, actions)
        return task, actions

    def cancel(self, task: BrokerTask, reason: str = CANCELLED) -> list[BrokerAction]:
        """End a task that its requester no longer wants. Nothing happens when it has already ended."""
        actions: list[BrokerAction] = []
        if task.state != "ended":
            self._withdraw(task, reason, actions)
            self._end(task, "cancelled", reason, actions)
        return actions

    # --- peers -----------------------------------------------------------------------------

    def connect(self, key: int, runner_id: str, now: float) -> list[BrokerAction]:
        """A runner's connection is open. An older one with the same id is closed with 1000."""
        actions: list[BrokerAction] = []
        for peer in [peer for peer in self.peers.values() if peer.runner_id == runner_id]:
            actions.append(Close(peer.key, CLOSE_NORMAL, "Runner connected again"))
            self._forget(peer, "The runner connected again and gave up its tasks", now, actions)
        self.peers[key] = Peer(key, runner_id)
        self.counters.connects += 1
        actions.append(Tell(key, BrokerInfoRequest()))
        return actions

    def disconnect(self, key: int, now: float, fault: str = "The runner's connection was lost") -> list[BrokerAction]:
        """A peer's connection is gone: its running tasks fail, what it hadn't acknowledged is asked again."""
        actions: list[BrokerAction] = []
        peer = self.peers.get(key)
        if peer is not None:
            self._forget(peer, fault, now, actions)
        return actions

    def close(
        self, key: int, code: int, reason: str, now: float, fault: str = "The runner's connection was closed"
    ) -> list[BrokerAction]:
        """Close a peer's connection from our side."""
        actions: list[BrokerAction] = []
        peer = self.peers.get(key)
        if peer is not None:
            self._cut_off(peer, code, reason, fault, now, actions)
        return actions

    def sending(self, message: BrokerTaskSettings) -> None:
        """The connection's writer begins to send a task's settings: for the timings."""
        task = self.attempts.held(message.task_id)
        if task is not None:
            task.timings.settings_sent = self._stamp()

    def tick(self, now: float) -> list[BrokerAction]:
        """Let time pass: requests, acknowledgements and tasks that are overdue."""
        actions: list[BrokerAction] = []
        put_back = False
        while (task := self._deadlines.pop(now)) is not None:
            if task.state == "waiting":
                self._give_up(task, actions)
            elif task.state == "offered":
                put_back = True
                self._unacknowledged(task, now, actions)
            else:
                self._withdraw(task, TIMED_OUT, actions)
                self._end(task, "timeout", TIMED_OUT, actions)
        if put_back:
            self._match(now, actions)
        return actions

    def drain(self) -> list[BrokerAction]:
        """Stop: what hasn't started ends as cancelled, runners are told to finish what runs."""
        actions: list[BrokerAction] = []
        if self.draining:
            return actions
        self.draining = True
        for task in list(self._tasks.values()):
            if task.state != "running":
                self._withdraw(task, SHUTTING_DOWN, actions)
                self._end(task, "cancelled", SHUTTING_DOWN, actions)
        for peer in self.peers.values():
            self._offers.drop(peer)
            actions.append(Tell(peer.key, BrokerDrain()))
        return actions

    def abort(self, now: float) -> list[BrokerAction]:
        """After :meth:`drain` and its grace: cancel what still runs, close every connection."""
        actions: list[BrokerAction] = []
        for task in list(self._tasks.values()):
            actions += self.cancel(task, SHUTTING_DOWN)
        for peer in list(self.peers.values()):
            self._cut_off(peer, CLOSE_GOING_AWAY, "Broker is shutting down", SHUTTING_DOWN, now, actions)
        return actions

    # --- what a peer's messages mean -------------------------------------------------------

    def offer(self, peer: Peer, offer: RunnerTaskOffer, now: float) -> list[BrokerAction]:
        """A peer has a free slot."""
        actions: list[BrokerAction] = []
        self.counters.offers += 1
        if self.draining:
            return actions
        if len(peer.offers) >= MAX_OFFERS and offer.offer_id not in peer.offers:
            self.counters.unexpected += 1
            return actions
        expires = math.inf if offer.valid_for < 0 else now + offer.valid_for / 1000
        self._offers.add(peer, offer.offer_id, offer.task_type, expires)
        self._match(now, actions)
        return actions

    def start(self, peer: Peer, task: BrokerTask, now: float) -> list[BrokerAction]:
        """A peer has acknowledged a task that it was offered: it gets the settings."""
        self.counters.accepts += 1
        peer.unacknowledged = 0
        task.state = "running"
        task.timings.accepted = self._stamp()
        self._deadlines.set(task, now + task.timeout)
        return [Tell(peer.key, BrokerTaskSettings(task.task_id, task.settings))]

    def refuse(self, peer: Peer, task: BrokerTask, fault: str, now: float, *, deferred: bool) -> list[BrokerAction]:
        """A peer doesn't take a task that it was offered."""
        actions: list[BrokerAction] = []
        peer.unacknowledged = 0
        if deferred:
            self.counters.deferrals += 1
            self._put_back(task, fault, now, actions)
        else:
            self.counters.rejects += 1
            self._put_back(task, fault, now, actions, refused=True)
            self._match(now, actions)
        return actions

    def answer(self, task: BrokerTask, answer: TaskDoneData | TaskErrorData) -> list[BrokerAction]:
        """A running task has come to its end."""
        actions: list[BrokerAction] = []
        self._end(task, "done" if isinstance(answer, TaskDoneData) else "error", answer, actions)
        return actions

    # --- offers and requests ---------------------------------------------------------------

    def _match(self, now: float, actions: list[BrokerAction]) -> None:
        self.counters.offers_expired += self._offers.expire(now)
        for task_type, waiting in self._waiting.items():
            while waiting and (offer := self._offers.oldest(task_type)) is not None:
                task = self._tasks.get(heapq.heappop(waiting))
                if task is not None and task.state == "waiting":
                    self._offers.take(offer)
                    self._pair(task, offer, now, actions)

    def _pair(self, task: BrokerTask, offer: Offer, now: float, actions: list[BrokerAction]) -> None:
        peer = offer.peer
        self.counters.matches += 1
        task.state = "offered"
        self.attempts.begin(task, peer)
        self._deadlines.set(task, now + self._accept_timeout)
        actions.append(Tell(peer.key, BrokerTaskOfferAccept(task.task_id, offer.offer_id)))

    def _enqueue(self, task: BrokerTask) -> None:
        task.state = "waiting"
        waiting = self._waiting.setdefault(task.task_type, [])
        heapq.heappush(waiting, task.number)
        if len(waiting) > _SLACK * (len(self._tasks) + 16):
            # mostly requests that were given up while no offer came
            waiting[:] = sorted({number for number in waiting if number in self._tasks})
        self._deadlines.set(task, task.request_deadline)

    def _put_back(
        self, task: BrokerTask, fault: str, now: float, actions: list[BrokerAction], *, refused: bool = False
    ) -> None:
        """The attempt has come to nothing: the request takes its old place in the queue again."""
        self.attempts.end(task, "rejected")
        task.fault = fault
        task.refused = refused
        if task.request_deadline <= now:
            self._give_up(task, actions)
        else:
            self._enqueue(task)

    def _unacknowledged(self, task: BrokerTask, now: float, actions: list[BrokerAction]) -> None:
        peer = task.peer
        assert peer is not None
        self.counters.ack_timeouts += 1
        peer.unacknowledged += 1
        actions.append(Tell(peer.key, BrokerTaskCancel(task.task_id, NOT_ACKNOWLEDGED)))
        actions.append(note("warning", "broker.not_acknowledged", peer, task_id=task.task_id))
        self._offers.drop(peer)  # as n8n does
        self._put_back(task, "not acknowledged by the runner in time", now, actions)
        if peer.unacknowledged >= MAX_UNACKNOWLEDGED:
            fault = f"The runner left {peer.unacknowledged} tasks in a row unacknowledged"
            self._cut_off(peer, CLOSE_UNRESPONSIVE, "Tasks not acknowledged", fault, now, actions)

    # --- ends ------------------------------------------------------------------------------

    def _cut_off(self, peer: Peer, code: int, reason: str, fault: str, now: float, actions: list[BrokerAction]) -> None:
        actions.append(Close(peer.key, code, reason))
        self._forget(peer, fault, now, actions)

    def _forget(self, peer: Peer, fault: str, now: float, actions: list[BrokerAction]) -> None:
        del self.peers[peer.key]
        self.counters.disconnects += 1
        self._offers.drop(peer)
        actions.append(note("info", "broker.runner_gone", peer, tasks=len(peer.tasks), why=fault))
        put_back = False
        for task in list(peer.tasks.values()):
            if task.state == "running":
                self._end(task, "disconnected", fault, actions)
            else:
                put_back = True
                self._put_back(task, fault, now, actions)
        if put_back:
            self._match(now, actions)

    def _give_up(self, task: BrokerTask, actions: list[BrokerAction]) -> None:
        """No runner has taken the task in time."""
        if task.refused:
            self._end(task, "rejected", f"Task request timed out: {task.fault}", actions)
        else:
            why = task.fault or "no runner had a free slot"
            self._end(task, "no-runner", f"Task request timed out: {why}", actions)

    def _withdraw(self, task: BrokerTask, reason: str, actions: list[BrokerAction]) -> None:
        if task.peer is not None:
            actions.append(Tell(task.peer.key, BrokerTaskCancel(task.task_id, reason)))

    def _end(
        self, task: BrokerTask, status: Status, what: TaskDoneData | TaskErrorData | str, actions: list[BrokerAction]
    ) -> None:
        self.attempts.end(task, status)
        del self._tasks[task.number]
        task.state = "ended"
        task.timings.finished = self._stamp()
        self.counters.count(status)
        if isinstance(what, str):
            what = TaskErrorData(message=what)
        outcome = Outcome(
            task_id=task.task_id,
            status=status,
            timings=task.timings,
            data=what if isinstance(what, TaskDoneData) else None,
            error=what if isinstance(what, TaskErrorData) else None,
            runner_id=task.runner_id,
            attempts=task.attempts,
        )
        actions.append(Finish(task, outcome))
