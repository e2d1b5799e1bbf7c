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
import itertools
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog
import trio

from reptarium.pool.refusal import StartRefused
from reptarium.pool.workers.brood import Brood
from reptarium.pool.workers.worker import Worker
from reptarium.pool.workers.zygote import START_TIMEOUT, ZygoteProcess
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import LayerStatus

log = structlog.get_logger("reptarium.pool.workers.pool")

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
        self._meter = meter
        self._parked: deque[Worker] = deque()
        self._waiting: deque[tuple[trio.lowlevel.Task, list[Worker]]] = deque()
        self._numbers = itertools.count(1)
        self._brood: Brood | None = None
        self._closing = False
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._pause = PAUSE_FIRST
        self._pausing = False
        self._starts = 0

    # ---- what tasks use ---------------------------------------------------------------

    @property
    def workers(self) -> Mapping[int, Worker]:
        """Every worker that there is, by its process id."""
        return {} if self._brood is None else self._brood.workers

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
        brood = Brood(self, self._numbers)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(brood.zygote.log_stderr)
                if await self._greet(brood.zygote):
                    ready()
                    self._brood, self._nursery = brood, nursery
                    self._pausing = False
                    self._refill()
                    await brood.serve()
                self._nursery = None
                nursery.cancel_scope.cancel()
        finally:
            self._brood = self._nursery = None
            with trio.CancelScope(shield=True):
                self._parked.clear()  # first: who needs a worker meanwhile waits for the next zygote's
                await brood.bury("shutdown" if self._closing else "zygote")

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

    # ---- what the brood tells ---------------------------------------------------------

    def born(self) -> None:
        """A worker was forked."""
        if self._meter is not None:
            self._meter.worker_forked()

    def fork_failed(self, number: int) -> None:
        """A worker could not be forked, for this errno."""
        if self._meter is not None:
            self._meter.fork_failed()
        if not self._pausing:  # one line a try, however many it asked for
            name = errno.errorcode.get(number, str(number))
            log.error("fork failed; fewer warm workers until it works again", error=name, pause_s=self._pause)
        self.not_started()

    def not_started(self) -> None:
        """Ask for no worker for a while: forks, or what is forked, come to nothing."""
        if not self._pausing and self._nursery is not None:
            self._pausing = True
            self._nursery.start_soon(self._go_on, self._pause)
            self._pause = min(self._pause * 2, PAUSE_LAST)

    async def _go_on(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self._pausing = False
        self._refill()

    def ready(self, worker: Worker) -> None:
        """A new worker can take a task."""
        self._pause = PAUSE_FIRST
        self._park(worker)

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

    def ended(self, worker: Worker, exited: wire.Exited | None) -> None:
        """A worker is no more; None: nobody has seen how it ended."""
        if self._meter is not None:
            if exited is not None:
                self._meter.worker_cpu(exited.cpu - worker.cpu)  # the watchdog has counted the rest
            if worker.killed_for is not None and worker.killed_for not in ENDED:
                self._meter.worker_killed(worker.killed_for)
        if worker.state == "parked":
            with contextlib.suppress(ValueError):
                self._parked.remove(worker)  # or it would count as warm until a lease comes across it
        if worker.state in ("starting", "parked", "discarded"):
            worker.close_socket()
        worker.gone(None if exited is None else exited.status)
        self._refill()

    def _refill(self) -> None:
        brood = self._brood
        if brood is None or self._closing or self._pausing:
            return
        starting = len(brood.starting)
        wanted = self.size + len(self._waiting) - len(self._parked) - starting - brood.requested
        if wanted <= 0:
            return
        busy = len(brood.workers) - starting - len(self._parked)
        # A dummy task is for processors with nothing to do: more tasks run than there are processors, or none is
        # warm though tasks are running, and the next lease will wait for this one
        urgent = busy > self.processors or (busy > 0 and not self._parked)
        brood.order(wanted, urgent=urgent)

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
