"""A zygote beside the one that serves, until it can take that one's place: who owns its workers meanwhile."""

from __future__ import annotations

import os
from typing import Protocol

import trio

from reptarium.pool.endings import Ending
from reptarium.pool.workers.brood import Brood
from reptarium.pool.workers.watchdog import footprint_of, read_proc
from reptarium.pool.workers.worker import Worker
from reptarium.sandbox import wire

__all__ = ["Successor", "added", "memory"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Predecessor(Protocol):
    """What the pool does for workers that aren't its own yet."""

    def born(self) -> None:
        """A worker was forked."""

    def discard(self, worker: Worker, reason: Ending = Ending.DONE) -> None:
        """End it."""

    def ended(self, worker: Worker, *, parked: bool) -> None:
        """It is no more."""


class Successor:
    """The owner of a brood that has so many workers parked before it serves. It decides nothing but whether it does."""

    def __init__(self, pool: Predecessor, wanted: int) -> None:
        self.hello: wire.Hello | None = None
        """None: it has not been ready, or not yet."""
        self.parked: list[Worker] = []
        self.failure: Exception | str | None = None
        #: Its workers are all parked, or something has gone wrong.
        self.settled = trio.Event()
        self._pool = pool
        self._wanted = wanted

    @property
    def whole(self) -> bool:
        """Whether it can take over."""
        return self.failure is None and len(self.parked) >= self._wanted

    def _fail(self, failure: Exception | str) -> None:
        self.failure = self.failure or failure
        self.settled.set()

    # ---- what the brood tells ---------------------------------------------------------

    def greeted(self, brood: Brood, hello: wire.Hello) -> None:
        """Its zygote is ready to fork."""
        self.hello = hello
        brood.order(self._wanted, urgent=False)

    def lost(self, brood: Brood) -> None:
        """No more workers are to be had of it."""
        self._fail(brood.problem or "it has ended")

    def born(self) -> None:
        """A worker was forked."""
        self._pool.born()

    def fork_failed(self, errno: int) -> None:
        """One could not be."""
        self._fail(f"fork failed ({os.strerror(errno)})")

    def ready(self, worker: Worker) -> None:
        """A worker can take a task, and will have to wait for it."""
        self.parked.append(worker)
        if len(self.parked) >= self._wanted:
            self.settled.set()

    def not_started(self, reason: str) -> None:
        """A worker was forked in vain."""
        self._fail(reason)

    def discard(self, worker: Worker, reason: Ending) -> None:
        """A worker is of no use."""
        self._pool.discard(worker, reason)

    def ended(self, worker: Worker, *, parked: bool) -> None:
        """A worker is no more."""
        if worker in self.parked:
            self.parked.remove(worker)
            self._fail("a parked worker died")
        self._pool.ended(worker, parked=False)


def memory(brood: Brood, workers: list[Worker]) -> tuple[int, int]:
    """Bytes that a zygote holds, and a warm worker of it on top, as far as /proc shows that to any user.

    Of a worker it's the pages that it has touched since it was forked (each was a fault), and its page tables: what it
    shares with its zygote counts once, there. Raises OSError when one has gone.
    """
    own = 0
    if workers:
        facts = [read_proc(worker.pid, "stat").rpartition(b")")[2].split() for worker in workers]
        tables = [_page_tables(worker.pid) for worker in workers]
        # the least: those that have run no dummy task have touched less, and none of the measured has run another
        own = min(int(fields[7]) * _PAGE + table for fields, table in zip(facts, tables, strict=True))
    return footprint_of(brood.zygote.pid), own


def added(after: tuple[int, int], before: tuple[int, int], size: int) -> int:
    """Bytes that ``size`` workers and their zygote hold more, both as :func:`memory` tells.

    Each apart: workers that happened to touch fewer pages than the former make nothing of the module's cheaper.
    """
    zygote, worker = (max(new - old, 0) for new, old in zip(after, before, strict=True))
    return zygote + size * worker


def _page_tables(pid: int) -> int:
    line = read_proc(pid, "status").partition(b"\nVmPTE:")[2].split(None, 1)
    return int(line[0]) * 1024 if line else 0
