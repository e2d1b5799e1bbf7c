"""The warm pool: one zygote, parked single-use workers, lease, kill, respawn.

Theory of operation. :meth:`WorkerPool.run` starts a zygote (``zygote.py``) and keeps ``size`` workers
parked: what the zygote tells of births, deaths and failed forks becomes states of workers here. A task leases
one (:meth:`WorkerPool.lease`), speaks with it over its socket, and discards it (:meth:`WorkerPool.discard`):
SIGKILL on its pidfd, whatever it was doing. A replacement is asked for when the task has ended (a fork beside
it would cost it a third of its latency on two processors), or at its start where less than half of the pool is
still warm. A worker that has been leased and not used may be parked again.

The states that a worker goes through are a table: ``states.py``.

When the zygote dies its workers die with it (``PR_SET_PDEATHSIG``); the pool starts another,
with backoff. Who waits for a lease keeps waiting.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog
import trio

from reptarium.pool.refusal import StartRefused
from reptarium.pool.workers.worker import Worker, WorkerGone, describe_status
from reptarium.pool.workers.zygote import START_TIMEOUT, Newborn, ZygoteProcess
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import LayerStatus
from reptarium.sandbox.wire import Kind

log = structlog.get_logger("reptarium.pool.workers.pool")

#: A forked worker that isn't parked after this many seconds is given up.
READY_TIMEOUT = 20.0
BACKOFF_FIRST, BACKOFF_LAST = 0.1, 5.0
#: A first zygote that is killed while it starts (not one that ends by itself) is tried so many times in all.
FIRST_STARTS = 3
#: Seconds without forks after one that came to nothing: the first time, and at most while none succeeds.
PAUSE_FIRST, PAUSE_LAST = 0.05, 0.5
#: Layers that a stock container can't have and that nothing depends on.
OPTIONAL_LAYERS = frozenset({"cgroup", "namespaces"})
#: What workers are discarded for that have served their task, or died: nobody's kills.
ENDED = frozenset({"done", "error", "refused", "crash", "died parked"})
#: A zygote that lived this long (seconds) is started anew without a wait.
HEALTHY = 3.0


class PoolRefused(StartRefused):
    """The sandbox cannot be had as configured. The text says what is missing and what to change."""


class Meter(Protocol):
    """The metrics that the pool counts (see ``ops/metrics.py``)."""

    def worker_forked(self) -> None: ...
    def fork_failed(self) -> None: ...
    def worker_killed(self, reason: str) -> None: ...
    def worker_cpu(self, seconds: float) -> None: ...
    def zygote_replaced(self) -> None: ...
    def isolation(self, layers: tuple[LayerStatus, ...]) -> None: ...


class WorkerPool:
    """Keeps ``size`` workers parked. ``meter`` counts, and may be left out."""

    def __init__(self, config: wire.ZygoteConfig, *, size: int, meter: Meter | None = None) -> None:
        self.config = config
        self.size = size
        self.processors = len(os.sched_getaffinity(0))
        self.layers: tuple[LayerStatus, ...] = ()
        self.workers: dict[int, Worker] = {}
        self._meter = meter
        self._starting: dict[int, Worker] = {}  # by the descriptor of its socket, oldest first
        self._parked: deque[Worker] = deque()
        self._waiting: deque[tuple[trio.lowlevel.Task, list[Worker]]] = deque()
        self._requested = 0
        self._numbers = 0
        self._zygote: ZygoteProcess | None = None
        self._closing = False
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._pause = PAUSE_FIRST
        self._pausing = False
        self._starts = 0

    # ---- what tasks use ---------------------------------------------------------------

    @property
    def parked(self) -> int:
        """How many warm workers are free."""
        return len(self._parked)

    @property
    def waiting(self) -> int:
        """How many tasks wait for a worker."""
        return len(self._waiting)

    def lease_nowait(self) -> Worker | None:
        """A parked worker, or None."""
        while self._parked:
            worker = self._parked.popleft()
            if worker.state == "parked":
                worker.happened("taken")
                if len(self._parked) * 2 < self.size:  # else its end is time enough: the task has the processors now
                    self._refill()
                return worker
        return None

    async def lease(self) -> Worker:
        """A parked worker, as soon as there is one (first come, first served)."""
        await trio.lowlevel.checkpoint_if_cancelled()  # not later: nobody would give a leased worker back
        worker = self.lease_nowait()
        if worker is not None:
            return worker
        slot: list[Worker] = []
        entry = (trio.lowlevel.current_task(), slot)
        self._waiting.append(entry)
        self._refill()

        def abort(raise_cancel: object) -> trio.lowlevel.Abort:
            with contextlib.suppress(ValueError):
                self._waiting.remove(entry)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        return slot[0]

    def give_back(self, worker: Worker) -> None:
        """Park a leased worker again that was not given a task."""
        if worker.state == "leased":
            worker.happened("given back")
            self._park(worker)

    def discard(self, worker: Worker, reason: str = "done") -> None:
        """The worker's task has ended: kill it and close its socket. Safe to call twice."""
        if worker.state == "dead":
            worker.close_socket()  # it died while a task had it
            return
        worker.kill(reason)
        self._not_starting(worker)
        worker.close_socket()
        worker.happened("discarded")
        self._refill()

    async def wait_warm(self, count: int | None = None) -> None:
        """Wait until ``count`` workers are parked (all of them by default)."""
        while self.parked < (self.size if count is None else count):
            await self._changed.wait()

    # ---- life -------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the zygote and its workers until cancelled.

        ``task_status.started()`` is called when the first zygote is ready to fork. Raises
        :class:`PoolRefused` when the sandbox can't be had as configured.
        """
        backoff = BACKOFF_FIRST
        started = False
        while True:
            born = trio.current_time()
            problem = "the zygote died; starting another"

            def ready() -> None:
                nonlocal started
                if not started:
                    started = True
                    task_status.started()

            try:
                await self._one_zygote(ready)
            except OSError as error:  # out of processes, descriptors, memory
                if not started:
                    raise PoolRefused(f"the zygote cannot be started: {error}") from None
                problem = f"the zygote cannot be started ({error}); trying again"
            lived = trio.current_time() - born
            if lived >= HEALTHY:
                backoff = BACKOFF_FIRST
            if self._meter is not None:
                self._meter.zygote_replaced()
            log.error(problem, lived_s=round(lived, 1), wait_s=backoff)
            await trio.sleep(backoff)
            backoff = min(backoff * 2, BACKOFF_LAST)

    async def _one_zygote(self, ready: Callable[[], None]) -> None:
        zygote = ZygoteProcess()
        try:
            with select.epoll() as first_words:  # of workers that are starting
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(zygote.log_stderr)
                    if await self._greet(zygote):
                        ready()
                        self._zygote, self._nursery = zygote, nursery
                        self._requested, self._pausing = 0, False
                        nursery.start_soon(self._await_ready, first_words)
                        nursery.start_soon(self._give_up_late_ones)
                        self._refill()
                        await self._listen(zygote, first_words)
                    self._nursery = None
                    nursery.cancel_scope.cancel()
        finally:
            self._zygote = self._nursery = None
            with trio.CancelScope(shield=True):
                await self._bury(zygote)

    async def _bury(self, zygote: ZygoteProcess) -> None:
        """End a zygote and every worker of it."""
        self._parked.clear()  # first: who needs a worker meanwhile waits for the next zygote's
        for worker in list(self.workers.values()):
            worker.kill("shutdown" if self._closing else "zygote")
            worker.close_socket()
        await zygote.bury(self.workers, self._exited)
        for worker in list(self.workers.values()):
            self._forget(worker, None)
        self._starting.clear()
        self._requested = 0

    async def _greet(self, zygote: ZygoteProcess) -> bool:
        """Wait until the zygote is ready. False when it died before that and is to be tried again."""
        self._starts += 1
        try:
            hello = await zygote.greet(self.config)
        except trio.TooSlowError:
            raise PoolRefused(
                f"the zygote was not ready after {START_TIMEOUT:.0f} s (REPTARIUM_PRELOAD may be too much)"
            ) from None
        if hello is None:
            if self.layers:  # it can start: one did
                return False
            if await zygote.exit_status() < 0 and self._starts < FIRST_STARTS:
                return False  # killed: that says nothing about whether it can
            raise PoolRefused("the zygote ended while it started; the log lines above tell why")
        if isinstance(hello, wire.Refusal):
            raise PoolRefused(hello.message)
        self.layers = hello.layers
        if self._meter is not None:
            self._meter.isolation(hello.layers)
        _log_hello(hello)
        return True

    async def _listen(self, zygote: ZygoteProcess, first_words: select.epoll) -> None:
        while (news := await zygote.receive()) is not None:
            if isinstance(news, wire.Exited):
                self._exited(news)
                continue
            self._requested = max(self._requested - 1, 0)
            if isinstance(news, Newborn):
                self._numbers += 1
                worker = Worker(self._numbers, news.pid, news.fd, news.pidfd)
                self.workers[news.pid] = self._starting[worker.fd] = worker
                if self._meter is not None:
                    self._meter.worker_forked()
                first_words.register(worker.fd, select.EPOLLIN | select.EPOLLONESHOT)
            else:
                self._fork_failed(news.errno)

    def _fork_failed(self, number: int) -> None:
        if self._meter is not None:
            self._meter.fork_failed()
        if not self._pausing:  # one line a try, however many it asked for
            name = errno.errorcode.get(number, str(number))
            log.error("fork failed; fewer warm workers until it works again", error=name, pause_s=self._pause)
        self._hold_off()

    def _hold_off(self) -> None:
        """Ask for no worker for a while: forks, or what is forked, come to nothing."""
        if not self._pausing and self._nursery is not None:
            self._pausing = True
            self._nursery.start_soon(self._go_on, self._pause)
            self._pause = min(self._pause * 2, PAUSE_LAST)

    async def _go_on(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self._pausing = False
        self._refill()

    async def _await_ready(self, first_words: select.epoll) -> None:
        """Park workers as they say that they are ready. One task for all: a worker lives for a single task's time."""
        while True:
            await trio.lowlevel.wait_readable(first_words.fileno())
            for fd, _ in first_words.poll(0):
                worker = self._starting.get(fd)
                if worker is not None and not self._hear(worker):
                    first_words.modify(fd, select.EPOLLIN | select.EPOLLONESHOT)

    def _hear(self, worker: Worker) -> bool:
        """Take a new worker's first word. False when it hasn't all come."""
        try:
            frame = worker.receive_nowait({Kind.READY: 0, Kind.FAILED: 64 * 1024})
        except wire.ProtocolViolation as error:
            log.error("a new worker broke the protocol", worker=worker.number, error=str(error))
            self.discard(worker, "violation")
            return True
        except WorkerGone:
            return True  # its death is reported by the zygote
        if frame is None:
            return False
        kind, words = frame
        if kind is Kind.FAILED:
            log.error("a new worker failed", worker=worker.number, reason=words.decode("utf-8", "replace"))
            self._hold_off()
            self.discard(worker, "start")
        else:
            self._pause = PAUSE_FIRST
            self._not_starting(worker)
            worker.happened("ready")
            self._park(worker)
        return True

    def _not_starting(self, worker: Worker) -> None:
        if self._starting.get(worker.fd) is worker:  # another may have its number by now
            del self._starting[worker.fd]

    async def _give_up_late_ones(self) -> None:
        while True:
            await trio.sleep(1.0)
            for worker in list(self._starting.values()):
                if worker.forked + READY_TIMEOUT < trio.current_time():
                    log.error("a worker was not ready in time", worker=worker.number, seconds=READY_TIMEOUT)
                    self.discard(worker, "start")

    def _park(self, worker: Worker) -> None:
        if self._waiting:
            task, slot = self._waiting.popleft()
            worker.happened("taken")
            slot.append(worker)
            trio.lowlevel.reschedule(task)
            self._refill()
            return
        if len(self._parked) >= self.size:
            # one was given back while its replacement was on its way
            self.discard(worker, "surplus")
            return
        self._parked.append(worker)
        self._changed.set()
        self._changed = trio.Event()

    def _exited(self, message: wire.Exited) -> None:
        worker = self.workers.get(message.pid)
        if worker is None:
            return
        if worker.state in ("starting", "parked") and worker.killed_for is None:
            log.error("a warm worker died", worker=worker.number, status=describe_status(message.status))
            if worker.state == "starting":
                # a worker that can't even park would be forked again and again without a pause
                self._hold_off()
        if self._meter is not None:
            self._meter.worker_cpu(message.cpu - worker.cpu)  # the watchdog has counted the rest
        self._forget(worker, message.status)
        self._refill()

    def _forget(self, worker: Worker, status: int | None) -> None:
        self.workers.pop(worker.pid, None)
        self._not_starting(worker)
        if worker.killed_for is not None and worker.killed_for not in ENDED and self._meter is not None:
            self._meter.worker_killed(worker.killed_for)
        if worker.state == "parked":
            with contextlib.suppress(ValueError):
                self._parked.remove(worker)  # or it would count as warm until a lease comes across it
        if worker.state in ("starting", "parked", "discarded"):
            worker.close_socket()
        worker.gone(status)

    def _refill(self) -> None:
        if self._zygote is None or self._closing or self._pausing:
            return
        starting = len(self._starting)
        wanted = self.size + len(self._waiting) - len(self._parked) - starting - self._requested
        if wanted <= 0:
            return
        busy = len(self.workers) - starting - len(self._parked)
        # A dummy task is for processors with nothing to do: more tasks run than there are processors, or none is
        # warm though tasks are running, and the next lease will wait for this one
        urgent = busy > self.processors or (busy > 0 and not self._parked)
        if self._zygote.order(wanted, urgent=urgent):  # otherwise the next change asks again, or the zygote is replaced
            self._requested += wanted

    def close(self) -> None:
        """No more refills: what follows is shutdown."""
        self._closing = True


def _log_hello(hello: wire.Hello) -> None:
    """What a new zygote has and hasn't got."""
    for layer in hello.layers:
        if layer.state in ("missing", "partial"):
            say = log.info if layer.name in OPTIONAL_LAYERS else log.warning
            say(f"isolation layer {layer.name} is {layer.state}", detail=layer.detail, remedy=layer.remedy)
    for name, reason in hello.failed.items():
        log.warning("a module could not be preloaded", module=name, reason=reason)
    if not hello.sealed:
        log.warning("tasks can change library classes: this interpreter lays its classes out in an unknown way")
    log.info("zygote ready", python=hello.python, modules=hello.preloaded)
