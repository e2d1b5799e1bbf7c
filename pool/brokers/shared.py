"""What all links of a runner share; the runner makes it."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable

import msgspec
import trio

from reptarium.pool.brokers.capacity import Capacity, Holder
from reptarium.pool.config import Settings
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.powers.connector import Connector
from reptarium.pool.protocol.messages import TaskSettings
from reptarium.pool.tasks.limits import Limits
from reptarium.pool.tasks.rulings import Ruling
from reptarium.pool.turns import Turnstile
from reptarium.pool.workers.pools import Lender
from reptarium.pool.workers.reuse import Reuse
from reptarium.pool.workers.watchdog import Watchdog


class Slots:
    """The owner of the slots with its clock, as a fault boundary: one of its faults is no connection's."""

    def __init__(self, capacity: Capacity, faults: OwnFaults) -> None:
        self.capacity = capacity
        self._faults = faults
        self._timer = trio.CancelScope()

    def changed(self, holder: Holder) -> None:
        """Anything may have changed that ``holder`` tells of itself."""
        self._tell(lambda: self.capacity.changed(holder, trio.current_time()))

    def leave(self, holder: Holder) -> None:
        """The broker is gone for good."""
        self._tell(lambda: self.capacity.leave(holder, trio.current_time()))

    def set_slots(self, slots: int) -> None:
        """The pool can serve so many tasks from now on."""
        self._tell(lambda: self.capacity.set_slots(slots, trio.current_time()))

    def _tell(self, tell: Callable[[], None]) -> None:
        """Things stay as they are if that fails."""
        try:
            tell()
            deadline = self.capacity.next_deadline()
            if deadline is not None and deadline < self._timer.deadline:
                self._timer.deadline = deadline
        except Exception as error:
            self._faults.met(error, "capacity", "the slots could not be shared anew through a fault of the runner")

    async def keep_time(self) -> None:
        """A slot that was kept for a broker and not taken goes to the next. A service (``OwnFaults.keep``)."""
        while True:
            deadline = self.capacity.next_deadline()
            with trio.CancelScope(deadline=float("inf") if deadline is None else deadline) as self._timer:
                await trio.sleep_forever()
            self.capacity.tick(trio.current_time())


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """The means of every link, and what it tells the runner: ``task_ended`` when an outcome is on its way.

    ``stopping`` is set once the runner shuts down: a connection that is lost then is not made anew. ``tls`` is what
    brokers' certificates are checked against (``stream.py``). ``connector`` is None where tasks have no connections,
    ``reuse`` where each has a worker of its own, ``ruling_of`` where all run under the same limits. Large messages of
    all links go through ``turnstile``.
    """

    settings: Settings
    limits: Limits
    slots: Slots
    pool: Lender
    watchdog: Watchdog
    metrics: Metrics
    faults: OwnFaults
    rng: random.Random
    stopping: trio.Event
    turnstile: Turnstile = msgspec.field(default_factory=Turnstile)
    task_ended: Callable[[], None]
    connector: Connector | None = None
    reuse: Reuse | None = None
    ruling_of: Callable[[TaskSettings], Ruling] | None = None
    tls: ssl.SSLContext | None = None
