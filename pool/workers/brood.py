"""One zygote and its workers, from its start to their burial.

Theory of operation. A :class:`Brood` starts a zygote (``zygote.py``), greets it, orders workers from it, and turns what
it tells of births, deaths and failed forks into states of workers. A forked worker belongs to its brood until its first
word says that it is ready; then it is handed to the :class:`Owner` (``pool.py``), who lends it to a task. The brood
hears of its end again: the zygote, which reaps it, says so. With the zygote all of its workers end.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Protocol

import structlog
import trio

from reptarium.pool.workers.worker import Worker, WorkerGone, describe_status
from reptarium.pool.workers.zygote import Newborn, ZygoteProcess
from reptarium.sandbox import wire
from reptarium.sandbox.wire import Kind

log = structlog.get_logger("reptarium.pool.workers.brood")

#: A forked worker that isn't parked after this many seconds is given up.
READY_TIMEOUT = 20.0


class Owner(Protocol):
    """What a brood tells of its workers."""

    def born(self) -> None:
        """A worker was forked."""

    def fork_failed(self, errno: int) -> None:
        """One could not be."""

    def ready(self, worker: Worker) -> None:
        """A worker can take a task."""

    def not_started(self) -> None:
        """A worker was forked in vain: it failed, or died, before it was ready."""

    def discard(self, worker: Worker, reason: str) -> None:
        """A worker is of no use: end it."""

    def ended(self, worker: Worker, exited: wire.Exited | None) -> None:
        """A worker is no more; None: nobody has seen how it ended."""


class Brood:
    """A zygote and its workers. Making one starts the zygote, which raises OSError. ``numbers`` are the workers'."""

    def __init__(self, owner: Owner, numbers: Iterator[int]) -> None:
        self.zygote = ZygoteProcess()
        self.workers: dict[int, Worker] = {}
        self.starting: dict[int, Worker] = {}  # by the descriptor of its socket, oldest first
        self.requested = 0
        self._owner = owner
        self._numbers = numbers

    def order(self, count: int, *, urgent: bool) -> None:
        """Ask for so many workers (``urgent``: see ``wire.Fork``), if the zygote's socket takes the order."""
        if self.zygote.order(count, urgent=urgent):  # otherwise the next change asks again, or the zygote is replaced
            self.requested += count

    async def serve(self) -> None:
        """Bring workers up until the zygote ends."""
        with select.epoll() as first_words:  # of workers that are starting
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._await_ready, first_words)
                nursery.start_soon(self._give_up_late_ones)
                await self._listen(first_words)
                nursery.cancel_scope.cancel()

    async def bury(self, reason: str) -> None:
        """End the zygote and every worker of it, killed for ``reason``."""
        for worker in list(self.workers.values()):
            worker.kill(reason)
            worker.close_socket()
        await self.zygote.bury(self.workers, self._exited)
        for worker in list(self.workers.values()):
            self._forget(worker, None)
        self.requested = 0

    async def _listen(self, first_words: select.epoll) -> None:
        while (news := await self.zygote.receive()) is not None:
            if isinstance(news, wire.Exited):
                self._exited(news)
                continue
            self.requested = max(self.requested - 1, 0)
            if isinstance(news, Newborn):
                worker = Worker(next(self._numbers), news.pid, news.fd, news.pidfd)
                self.workers[news.pid] = self.starting[worker.fd] = worker
                self._owner.born()
                first_words.register(worker.fd, select.EPOLLIN | select.EPOLLONESHOT)
            else:
                self._owner.fork_failed(news.errno)

    async def _await_ready(self, first_words: select.epoll) -> None:
        """Hear workers say that they are ready. One task for all: a worker lives for a single task's time."""
        while True:
            await trio.lowlevel.wait_readable(first_words.fileno())
            for fd, _ in first_words.poll(0):
                worker = self.starting.get(fd)
                if worker is not None and not self._hear(worker):
                    first_words.modify(fd, select.EPOLLIN | select.EPOLLONESHOT)

    def _hear(self, worker: Worker) -> bool:
        """Take a new worker's first word. False when it hasn't all come."""
        try:
            frame = worker.receive_nowait({Kind.READY: 0, Kind.FAILED: 64 * 1024})
        except wire.ProtocolViolation as error:
            log.error("a new worker broke the protocol", worker=worker.number, error=str(error))
            self._give_up(worker, "violation")
            return True
        except WorkerGone:
            return True  # its death is reported by the zygote
        if frame is None:
            return False
        kind, words = frame
        if kind is Kind.FAILED:
            log.error("a new worker failed", worker=worker.number, reason=words.decode("utf-8", "replace"))
            self._owner.not_started()
            self._give_up(worker, "start")
        else:
            self._not_starting(worker)
            worker.happened("ready")
            self._owner.ready(worker)
        return True

    def _not_starting(self, worker: Worker) -> None:
        if self.starting.get(worker.fd) is worker:  # another may have its number by now
            del self.starting[worker.fd]

    async def _give_up_late_ones(self) -> None:
        while True:
            await trio.sleep(1.0)
            for worker in list(self.starting.values()):
                if worker.forked + READY_TIMEOUT < trio.current_time():
                    log.error("a worker was not ready in time", worker=worker.number, seconds=READY_TIMEOUT)
                    self._give_up(worker, "start")

    def _give_up(self, worker: Worker, reason: str) -> None:
        self._not_starting(worker)
        self._owner.discard(worker, reason)

    def _exited(self, message: wire.Exited) -> None:
        worker = self.workers.get(message.pid)
        if worker is None:
            return
        if worker.state in ("starting", "parked") and worker.killed_for is None:
            log.error("a warm worker died", worker=worker.number, status=describe_status(message.status))
            if worker.state == "starting":
                # a worker that can't even park would be forked again and again without a pause
                self._owner.not_started()
        self._forget(worker, message)

    def _forget(self, worker: Worker, exited: wire.Exited | None) -> None:
        del self.workers[worker.pid]
        self._not_starting(worker)
        self._owner.ended(worker, exited)
