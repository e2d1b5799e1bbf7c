"""What all links of a runner share; the runner makes it."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable

import msgspec
import trio

from reptarium.pool.brokers.capacity import Capacity
from reptarium.pool.config import Settings
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.tasks.limits import Limits
from reptarium.pool.workers.pool import WorkerPool
from reptarium.pool.workers.watchdog import Watchdog


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """The means of every link, and what it tells the runner: ``task_ended`` when an outcome is on its way.

    ``stopping`` is set once the runner shuts down: a connection that is lost then is not made anew. ``tls`` is what
    brokers' certificates are checked against (``stream.py``).
    """

    settings: Settings
    limits: Limits
    capacity: Capacity
    pool: WorkerPool
    watchdog: Watchdog
    metrics: Metrics
    faults: OwnFaults
    rng: random.Random
    stopping: trio.Event
    task_ended: Callable[[], None]
    tls: ssl.SSLContext | None = None

    def share(self) -> None:
        """Tell every link what it may have now. A fault in that is no connection's: things stay as they are."""
        try:
            self.capacity.share(trio.current_time())
        except Exception as error:
            self.faults.met(error, "capacity", "the slots could not be shared anew through a fault of the runner")
