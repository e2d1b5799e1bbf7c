"""Tasks that wait for a worker, first come, first served."""

from __future__ import annotations

import contextlib
from collections import deque

import trio

from reptarium.pool.workers.worker import Worker

__all__ = ["NoWorker", "Waiting"]


class NoWorker(Exception):
    """No worker can be had. The text says why."""


class _Entry:
    __slots__ = ("since", "task", "worker")

    def __init__(self, task: trio.lowlevel.Task, since: float) -> None:
        self.task = task
        self.since = since
        self.worker: Worker | None = None


class Waiting:
    """The queue. ``since`` and ``before`` are of the pool's own clock, in seconds."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    async def worker(self, since: float) -> Worker | None:
        """A worker, when it is this task's turn; None when it was told that there is none."""
        entry = _Entry(trio.lowlevel.current_task(), since)
        self._entries.append(entry)

        def abort(raise_cancel: object) -> trio.lowlevel.Abort:
            with contextlib.suppress(ValueError):
                self._entries.remove(entry)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        return entry.worker

    def hand(self, worker: Worker) -> None:
        """Whoever is first has this one."""
        entry = self._entries.popleft()
        entry.worker = worker
        trio.lowlevel.reschedule(entry.task)

    def tell(self, before: float) -> None:
        """Who has waited since then or longer waits no more, and has none."""
        while self._entries and self._entries[0].since <= before:
            trio.lowlevel.reschedule(self._entries.popleft().task)
