"""The runner's side of the task-broker protocol as a state machine: no I/O, no clock, no tasks.

Rules
-----

* Nothing here waits, sends, logs or asks for the time. Whoever owns the connection feeds in what
  happened (a decoded message, a finished execution, the passing of time as ``now``, seconds on any
  monotonic clock) and carries out the returned *actions* in order. Only :class:`SendMessage` reaches the broker.
* Every method leaves the session settled: the list it returns is all there is to do.
* The broker is never trusted to be right. No message raises; a surprise is a :class:`LogLine` and, where
  somebody waits for an answer, the answer.

Theory of operation
-------------------

**The session** goes connecting → registered → draining → closed; ``_SESSION`` is its table. It lives as
long as one connection. Everything that n8n knows about a runner dies with the connection, so a
reconnect starts a fresh session.

**A task** is unknown, then waiting (accepted, its settings are still to come), running, perhaps
cancelling (its worker is being killed), and ended. ``transitions.TRANSITIONS`` is the table: a cell
says the next state and what is done about it; a pair without a cell cannot happen. Ended tasks are
remembered for a while (``REMEMBERED`` of them) so that a late or repeated message about one is met with
silence and not with a second verdict. An accepted task ends in exactly one ``taskdone`` or ``taskerror``,
or, when the connection is lost, in an Abandon or Kill. A task id is free to be used anew once its task has
ended, if it comes with an offer that still stands.

**Offers.** While registered, with slots of its own, *open offers + accepted tasks = capacity*, re-established by
``_settle`` at the end of every call: a slot that becomes free is offered in the same list that reports the result. The
broker matches only when a request or an offer arrives, so every moment without an offer would be added to the
latency of whoever queues.

**Renewal, and the race in it.** An offer can't be withdrawn or prolonged. So that the broker never holds
none, each is replaced ``renew_margin`` before it expires, and for that moment the broker holds two
offers for one slot. Either may be matched. A replaced offer is therefore *stale*, not dead: it no longer
counts as open, but an accept for it is honoured as long as a slot is free. That uses up a slot, so one open
offer (the one that expires first) becomes stale in its turn: the number of open offers always says how many
tasks we would still take, whichever offers the broker picks to send them. If it matches more offers than
there are slots, the surplus is rejected with "at capacity"; the broker puts the request back and the next
free slot's offer fetches it. So no task is lost, none is taken beyond capacity, and the stale offers die out
by themselves. We don't revive them when a slot becomes free: a fresh offer makes the broker look at its
queue.

A task that is cancelled before its settings have come wasn't acknowledged in time as the broker sees it: because we,
or it, stood still for two seconds. n8n then forgets every offer that it holds of ours, so all are made anew.

The broker counts an offer's validity from its arrival and its accept needs time to reach us, so
an offer is honoured for ``IN_TRANSIT`` seconds longer than it was announced. After that, and for offers
that were never made or were already accepted, the answer is "offer expired". ``Lapsed`` says once of each
offer that it came to nothing; of those that stand when the session drains or ends, nothing is said.

**Shared slots.** Where others have a part in the slots, their owner (``brokers/capacity.py``) says how many offers
stand. ``room``, set before each call, is then how many more tasks may be taken at this moment, and an offer is made
only when the owner says so (:meth:`offer`). One that is used up isn't made anew, and one that is due for renewal lapses
when there is no room. An accept without room is rejected, as above.

**A broker that doesn't read** (``hold``) gets no offers, neither new nor renewed ones, until it does again.

**Draining** (asked for by the broker or by ourselves) forgets all offers; accepts that were on their
way are rejected ("draining"), so that another runner gets the request. What was accepted is finished; then
comes ``Drained``, once. If the connection goes first, ``Drained`` comes with the last Kill.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal, assert_never

from reptarium.pool.protocol.messages import (
    BrokerDrain,
    BrokerInfoRequest,
    BrokerMessage,
    BrokerNodeTypes,
    BrokerRpcResponse,
    BrokerRunnerRegistered,
    BrokerTaskCancel,
    BrokerTaskDataResponse,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    Malformed,
    RunnerInfo,
    RunnerTaskOffer,
    TaskDoneData,
    TaskErrorData,
    Unknown,
)
from reptarium.pool.protocol.transitions import (
    TRANSITIONS,
    Abandon,
    Action,
    Deliver,
    Drained,
    Event,
    Kill,
    Lapsed,
    LogLine,
    Reserve,
    SendMessage,
    Start,
    Task,
    TaskState,
    cancelled,
    quote,
    verdict,
)

__all__ = [
    "Abandon",
    "Action",
    "Deliver",
    "Drained",
    "Kill",
    "Lapsed",
    "LogLine",
    "Reserve",
    "RunnerSession",
    "SendMessage",
    "Start",
    "TaskState",
    "cancelled",
    "verdict",
]

#: Seconds for which an offer is honoured after its announced validity.
IN_TRANSIT = 1.0
#: An offer's validity is stretched by a random share up to this, so that renewals don't come in bursts.
JITTER = 0.1
#: How many ended tasks are remembered, and how many replaced offers (the oldest are forgotten first; an accept of
#: one that was forgotten is rejected).
REMEMBERED, STALE = 1024, 4096

OFFER_EXPIRED = "offer expired"
AT_CAPACITY = "at capacity"
DRAINING = "draining"


SessionState = Literal["connecting", "registered", "draining", "closed"]

#: Session state × what happens to the session → next state. The rest of the session's life is its tasks'.
_SESSION: dict[SessionState, dict[Literal["registered", "drain", "lost"], SessionState]] = {
    "connecting": {"registered": "registered", "drain": "draining", "lost": "closed"},
    "registered": {"registered": "registered", "drain": "draining", "lost": "closed"},
    "draining": {"registered": "draining", "drain": "draining", "lost": "closed"},
    "closed": {"registered": "closed", "drain": "closed", "lost": "closed"},
}


class RunnerSession:
    """One connection's worth of protocol, from the runner's side.

    ``capacity`` is how many tasks may be accepted at once; ``offer_validity``, ``renew_margin`` and
    ``settings_timeout`` are in seconds, and so is every ``now``. ``new_id`` makes offer ids.
    Raises ValueError for settings that can't work.
    """

    def __init__(
        self,
        *,
        name: str,
        capacity: int,
        offer_validity: float = 5.0,
        renew_margin: float = 0.5,
        settings_timeout: float = 30.0,
        rng: random.Random | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        if capacity < 0:
            raise ValueError(f"capacity can't be negative, got {capacity}")
        if not 0 <= renew_margin < offer_validity:
            raise ValueError(f"{renew_margin=} must be within {offer_validity=}")
        self.name = name
        self.capacity = capacity
        #: So many seconds at least pass before anything falls due that begins now: an offer, a task.
        self.lead = min(offer_validity - renew_margin, settings_timeout)
        self.state: SessionState = "connecting"
        #: How many more tasks may be taken, where the slots are shared: to be set before each call. None: they aren't.
        self.room: int | None = None
        #: Whether the broker doesn't read: it gets no offers.
        self.hold = False
        self._offer_validity = offer_validity
        self._renew_margin = renew_margin
        self._settings_timeout = settings_timeout
        self._random = rng or random.Random()
        self._new_id = new_id or (lambda: f"{self._random.getrandbits(128):032x}")
        self._offers: dict[str, float] = {}  # open: id → when it expires
        self._stale: dict[str, float] = {}  # replaced, but perhaps still held by the broker
        self._tasks: dict[str, Task] = {}  # accepted and not ended
        self._ended: dict[str, None] = {}  # an ordered set
        self._drained = False

    @property
    def open_offers(self) -> int:
        """How many more tasks would be taken now."""
        return len(self._offers)

    @property
    def accepted(self) -> int:
        """How many tasks have been accepted and have not ended."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many of them wait for their settings."""
        return sum(task.state is TaskState.WAITING for task in self._tasks.values())

    @property
    def running(self) -> int:
        """How many of the accepted tasks have been started (those being cancelled included)."""
        return sum(task.state is not TaskState.WAITING for task in self._tasks.values())

    def task_state(self, task_id: str) -> TaskState:
        """Where a task stands."""
        if task := self._tasks.get(task_id):
            return task.state
        return TaskState.ENDED if task_id in self._ended else TaskState.UNKNOWN

    def receive(self, message: BrokerMessage | Unknown | Malformed, now: float) -> list[Action]:
        """The broker has sent ``message``."""
        if self.state == "closed":
            return []
        out: list[Action] = []
        match message:
            case BrokerInfoRequest():
                out.append(SendMessage(RunnerInfo(self.name)))
            case BrokerRunnerRegistered():
                if self.state != "connecting":
                    out.append(LogLine("debug", "repeated registration ignored", {"state": self.state}))
                self.state = _SESSION[self.state]["registered"]
            case BrokerTaskOfferAccept(task_id, offer_id):
                reason = self._use_offer(offer_id, now, out)
                out += self._step(task_id, Event.REFUSE if reason else Event.ACCEPT, reason, now)
            case BrokerTaskSettings(task_id, settings):
                out += self._step(task_id, Event.SETTINGS, settings, now)
            case BrokerTaskCancel(task_id, reason):
                forgotten = self.task_state(task_id) is TaskState.WAITING
                out += self._step(task_id, Event.CANCEL, reason, now)
                if forgotten:
                    self._renew([*self._offers], out, now)
            case BrokerRpcResponse() | BrokerTaskDataResponse() | BrokerNodeTypes():
                out += self._step(message.task_id, Event.RESPONSE, message, now)
            case BrokerDrain():
                self._stop_offering()
            case Unknown(kind):
                out.append(LogLine("info", "message of an unknown kind ignored", {"type": quote(kind)}))
            case Malformed(fault, kind, task_id):
                said = {"fault": fault, "type": kind, "task_id": task_id}
                fields = {key: quote(value) for key, value in said.items() if value is not None}
                out.append(LogLine("warning", "malformed message from the broker", fields))
                if task_id is not None:
                    text = f"Malformed message from the broker ({quote(kind or 'no type')}): {quote(fault)}"
                    out += self._step(task_id, Event.MALFORMED, text, now)
            case _:
                assert_never(message)
        return self._settle(out, now)

    def tick(self, now: float, patience: float | None = None) -> list[Action]:
        """Time has passed: give up waiting for settings (after ``patience`` seconds), renew what is about to expire."""
        out: list[Action] = []
        seconds = self._settings_timeout if patience is None else min(patience, self._settings_timeout)
        text = f"Task settings did not arrive within {seconds:g} s of accepting the task"
        for task in [*self._tasks.values()]:
            if task.state is TaskState.WAITING and task.settings_due - (self._settings_timeout - seconds) <= now:
                out.append(LogLine("warning", "no settings in time", {"task_id": quote(task.id)}))
                out += self._step(task.id, Event.OVERDUE, text, now)
        lapsed = [offer for offer, expiry in self._stale.items() if now > expiry + IN_TRANSIT]
        for offer in lapsed:
            del self._stale[offer]
        if lapsed:
            out.append(Lapsed(len(lapsed)))
        self._renew([offer for offer, expiry in self._offers.items() if expiry - self._renew_margin <= now], out, now)
        return self._settle(out, now)

    def next_deadline(self) -> float | None:
        """When :meth:`tick` is due, on the clock of ``now``; None if only an event can change anything."""
        renewals = (expiry - self._renew_margin for expiry in self._offers.values())
        overdue = (task.settings_due for task in self._tasks.values() if task.state is TaskState.WAITING)
        return min((*renewals, *overdue), default=None)

    def finish(self, task_id: str, outcome: TaskDoneData | TaskErrorData, now: float) -> list[Action]:
        """The task's execution has ended, or (while it still waits for settings) can't begin."""
        if self.state == "closed":
            return []
        return self._settle(self._step(task_id, Event.FINISH, outcome, now), now)

    def offer(self, now: float) -> list[Action]:
        """Make one more offer: a shared slot has been left to this broker."""
        out: list[Action] = []
        if self.state == "registered" and not self.hold:
            self._offer(out, now)
        return self._settle(out, now)

    def withdraw(self, now: float) -> list[Action]:
        """Let no offer stand, of shared slots: there are none. The broker, which can't be told, is rejected."""
        for offer in [*self._offers]:
            self._replace(offer)
        return self._settle([], now)

    def set_capacity(self, capacity: int, now: float) -> list[Action]:
        """Take up to ``capacity`` tasks from now on. What was accepted beyond it is finished."""
        if capacity < 0:
            raise ValueError(f"capacity can't be negative, got {capacity}")
        self.capacity = capacity
        return self._settle([], now)

    def drain(self, now: float) -> list[Action]:
        """Stop offering and finish what was accepted; then comes Drained."""
        if self.state == "closed":
            return self._say_drained()
        self._stop_offering()
        return self._settle([], now)

    def disconnected(self) -> list[Action]:
        """The connection is gone: every accepted task is abandoned or killed. The session is over."""
        draining = self.state == "draining"
        out: list[Action] = []
        for task in [*self._tasks.values()]:
            out += self._step(task.id, Event.LOST, "connection to the broker lost", 0.0)
        self._stop_offering()
        self.state = _SESSION[self.state]["lost"]
        return [*out, *self._say_drained()] if draining else out

    def _step(self, task_id: str, event: Event, fact: object, now: float) -> list[Action]:
        due = now + self._settings_timeout
        task = self._tasks.get(task_id) or Task(task_id, self.task_state(task_id), settings_due=due)
        cell = TRANSITIONS[task.state][event]
        actions = cell.do(task, fact)
        task.state = cell.next
        if task.state is TaskState.ENDED:
            self._tasks.pop(task_id, None)
            self._ended[task_id] = None
            if len(self._ended) > REMEMBERED:
                del self._ended[next(iter(self._ended))]
        elif task.state is not TaskState.UNKNOWN:
            self._tasks[task_id] = task
            self._ended.pop(task_id, None)
        return [*actions]

    def _use_offer(self, offer_id: str, now: float, out: list[Action]) -> str | None:
        """The broker has used up an offer. Returns why its task can't be taken, or None."""
        expiry = self._offers.pop(offer_id, None)
        if replaced := expiry is None:
            expiry = self._stale.pop(offer_id, None)
        if self.state == "draining":
            return DRAINING
        if expiry is not None and now > expiry + IN_TRANSIT:
            out.append(Lapsed(1))
            expiry = None
        if expiry is None:
            return OFFER_EXPIRED
        room = self.capacity - self.accepted if self.room is None else self.room
        if room <= 0:
            return AT_CAPACITY
        if replaced and self.room is not None and self._offers:
            self._replace(self._earliest())  # of its own slots, _settle sees to that
        return None

    def _offer(self, out: list[Action], now: float) -> None:
        stretched = self._offer_validity * (1 + JITTER * self._random.random())
        valid_for, offer_id = round(stretched * 1000), self._new_id()
        self._offers[offer_id] = now + valid_for / 1000
        out.append(SendMessage(RunnerTaskOffer(offer_id, valid_for)))

    def _renew(self, offers: list[str], out: list[Action], now: float) -> None:
        """Replace offers. Of own slots, ``_settle`` makes the new ones."""
        for offer in offers:
            self._replace(offer)
        if self.room is not None and not self.hold:
            for _ in range(min(len(offers), self.room - len(self._offers))):
                self._offer(out, now)

    def _earliest(self) -> str:
        return min(self._offers, key=self._offers.__getitem__)

    def _replace(self, offer: str) -> None:
        self._stale[offer] = self._offers.pop(offer)
        if len(self._stale) > STALE:
            del self._stale[next(iter(self._stale))]

    def _stop_offering(self) -> None:
        self.state = _SESSION[self.state]["drain"]
        self._offers.clear()
        self._stale.clear()

    def _settle(self, out: list[Action], now: float) -> list[Action]:
        """Make the number of open offers right again, or say that nothing is left."""
        if self.state == "registered" and self.room is None:
            free = max(0, self.capacity - self.accepted)
            while len(self._offers) > free:
                self._replace(self._earliest())
            while len(self._offers) < free and not self.hold:
                self._offer(out, now)
        elif self.state == "draining" and not self._tasks:
            out += self._say_drained()
        return out

    def _say_drained(self) -> list[Action]:
        already, self._drained = self._drained, True
        return [] if already else [Drained()]
