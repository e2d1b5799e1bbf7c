"""The warm pool: parked single-use workers, lease, kill, respawn, one zygote after the other.

Theory of operation. :meth:`WorkerPool.run` starts a zygote (``brood.py``) and keeps ``size`` workers
parked. A task leases one (:meth:`WorkerPool.lease`), speaks with it over its socket, and discards it
(:meth:`WorkerPool.discard`): SIGKILL on its pidfd, whatever it was doing. A replacement is asked for when the task has
ended (a fork beside it would cost it a third of its latency on two processors), or at its start where less than half of
the pool is still warm. A worker that has been leased and not used may be parked again. Their states: ``states.py``.

Once one zygote has been ready, nothing that a zygote does ends the pool: another is started, with backoff, beside one
that hangs and after one that has ended. What of it is a fault is counted and reported.

**What the pool can serve** is :attr:`WorkerPool.limit`: no limit while it can start workers, otherwise those that it
has, parked or with a task. It can't while there is no zygote of which a worker has become ready, while that owes
workers for a second (:data:`SLOW`), and until :data:`CALM` seconds after a fork that came to nothing. Whoever waits for
a lease keeps waiting meanwhile, but not for ever: when no worker has become ready for :data:`NO_WORKER` seconds,
:class:`NoWorker` says why.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
from collections import ChainMap, deque
from collections.abc import Callable, Iterator, Mapping

import structlog
import trio

from reptarium.pool.endings import ENDINGS, Ending
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.workers.brood import Brood, Owner, ZygoteEnded
from reptarium.pool.workers.preloading import Preloading
from reptarium.pool.workers.scratch import scratch_of
from reptarium.pool.workers.waiting import NoWorker, Waiting
from reptarium.pool.workers.worker import Worker
from reptarium.pool.workers.zygote import ZygoteFault
from reptarium.pool.workers.zygotes import one_after_the_other
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import LayerStatus

log = structlog.get_logger("reptarium.pool.workers.pool")

#: Seconds without forks after one that came to nothing: the first time, and at most while none succeeds.
PAUSE_FIRST, PAUSE_LAST = 0.05, 0.5
#: Seconds: how often it is looked whether all goes on; how long a zygote may owe a worker, and how long ago the last
#: fork must be that came to nothing, for the pool to be one that can start workers.
LOOK, SLOW, CALM = 0.25, 1.0, 5.0
#: Seconds: after how many without any new worker a lease is told that there is none; in which the zygote says how a
#: discarded worker ended.
NO_WORKER, END_KNOWN = 15.0, 1.0


class WorkerPool:
    """Keeps ``size`` workers parked. ``meter`` counts, ``faults`` is told of zygotes', ``preloading`` may learn."""

    def __init__(
        self,
        config: wire.ZygoteConfig,
        *,
        size: int,
        meter: Metrics | None = None,
        faults: OwnFaults | None = None,
        preloading: Preloading | None = None,
    ) -> None:
        self.config = config
        self.size = size
        self.processors = len(os.sched_getaffinity(0))
        self.layers: tuple[LayerStatus, ...] = ()
        self.tricks: tuple[wire.Trick, ...] = ()
        self.numbers: Iterator[int] = itertools.count(1)  # that workers get
        #: Called when :attr:`limit` has changed.
        self.on_limit: Callable[[], None] = lambda: None
        self.limit: int | None = None
        self.on_greeted: Callable[[], None] = lambda: None  # a zygote has told its layers and tricks
        self._meter = meter or Metrics()
        self._faults = faults or OwnFaults(self._meter, Reporter())
        self._learns = preloading is not None
        self._preloading = preloading or Preloading.of_nothing(config.language, self._meter.preload)
        self._parked: deque[Worker] = deque()
        self._resting: set[Worker] = set()
        self._broods: list[Brood] = []  # all that have a process: those that are being buried, those that hang
        self._brood: Brood | None = None  # of which workers are to be had
        self._greeted: trio.TaskStatus[None] | None = None
        self._started = self._closing = False  # a zygote has been ready, once; the end has come
        self._changed, self._waiting = trio.Event(), Waiting()
        self._nursery: trio.Nursery | None = None
        self._pause, self._pausing = PAUSE_FIRST, False
        self._no_zygote = "no zygote is up yet"
        self._proven = False  # a worker of the present zygote has become ready
        self._failure = ""  # why the last worker didn't start, if that is the state of affairs
        self._looked = 0.0  # the clock of what is waited for, in seconds
        self._failed_at = self._ready_at = -math.inf
        self._gone: Callable[[int], None] = lambda pid: None  # told of each worker that is no more

    # ---- what tasks use ---------------------------------------------------------------

    @property
    def workers(self) -> Mapping[int, Worker]:
        """Every worker that there is, by its process id."""
        if len(self._broods) == 1:
            return self._broods[0].workers
        return ChainMap(*(brood.workers for brood in self._broods))

    @property
    def parked(self) -> int:
        """How many warm workers are free."""
        return len(self._parked)

    @property
    def waiting(self) -> int:
        """How many tasks wait for a worker."""
        return len(self._waiting)

    @property
    def trouble(self) -> str:
        """Why it can't start workers; empty: it can."""
        if self._brood is None:
            return self._no_zygote
        if self._brood.silent >= SLOW:
            return "the zygote doesn't answer"
        return self._failure or ("" if self._proven else "no worker of the new zygote is ready yet")

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
        """A parked worker, as soon as there is one (first come, first served). Raises :class:`NoWorker`."""
        await trio.lowlevel.checkpoint_if_cancelled()  # not later: nobody would give a leased worker back
        worker = self.lease_nowait()
        if worker is not None:
            return worker
        self._refill(1)
        worker = await self._waiting.worker(self._looked)
        if worker is None:
            raise NoWorker(self.trouble or "they take too long to start")
        return worker

    def give_back(self, worker: Worker) -> None:
        """Park a leased worker again that was not given a task."""
        if worker.state == "leased":
            worker.happened("given back")
            self._park(worker)

    def keep(self, worker: Worker) -> None:
        """Its task has ended well, and the same code may have it again (``reuse.py``)."""
        self._preloading.heard(worker)
        worker.happened("kept")
        self._resting.add(worker)
        self._refill()
        self._weigh()

    def take_again(self, worker: Worker) -> bool:
        """Lease one that rests. Whether it still does."""
        self._resting.discard(worker)
        return worker.taken_again()

    def discard(self, worker: Worker, reason: Ending = Ending.DONE) -> None:
        """The worker's task has ended: kill it and close its socket. Safe to call twice."""
        self._preloading.heard(worker)
        if worker.state == "dead":
            worker.close_socket()  # it died while a task had it
            return
        if worker.state == "parked":
            self._unpark(worker)
        self._resting.discard(worker)
        worker.kill(reason)
        worker.close_socket()
        worker.happened("discarded")
        worker.discarded = trio.current_time()
        self._refill()
        self._weigh()

    async def wait_warm(self, count: int = -1) -> None:
        """Wait until ``count`` workers are parked (all of them by default)."""
        while self.parked < (self.size if count < 0 else count):
            await self._changed.wait()

    def close(self) -> None:
        """No more refills: what follows is shutdown."""
        self._closing = True

    # ---- life -------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own zygotes and workers until cancelled.

        ``task_status.started()`` is called when the first zygote is ready to fork. Raises
        :class:`PoolRefused`, in a group, when the sandbox can't be had as configured, and ``ScratchRefused``.
        """
        self._greeted, self._pausing = task_status, False
        scratch = scratch_of(self.config, lambda: self.workers, self._faults)
        async with scratch as (self.config, self._gone), trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._look)
            if self._learns:
                nursery.start_soon(self._faults.keep, "pool", self._preloading.run, self)
            await one_after_the_other(self._one_zygote, lambda: self._started, self._meter, self._faults)

    async def _one_zygote(self) -> Exception:
        """Start a zygote; why no more workers are to be had of it, or of those that followed, once that is so."""
        try:
            brood = self.beside(self, self._preloading.added(self.config))
        except OSError as error:  # out of processes, descriptors, memory
            problem = ZygoteEnded(f"the zygote cannot be started: {error}")
            self._no_zygote = f"no zygote is up: {problem}"
            return problem
        for hung in [other for other in self._broods if other.retired and other.problem][:-1]:
            hung.end()  # each costs as much as a pool: one of them is let finish
        await brood.over.wait()
        while brood.successor is not None:
            brood = brood.successor
            await brood.over.wait()
        if not brood.greeted and self._preloading.distrust(str(brood.problem)):
            return ZygoteEnded(str(brood.problem), killed=True)
        return brood.problem or ZygoteEnded("the zygote ended")

    def beside(self, owner: Owner, config: wire.ZygoteConfig) -> Brood:
        """Start a zygote, with whatever others there are. Raises OSError."""
        assert self._nursery is not None
        brood = Brood(owner, self.numbers, self._faults)
        self._broods.append(brood)
        self._nursery.start_soon(self._keep, brood, config)
        return brood

    async def _keep(self, brood: Brood, config: wire.ZygoteConfig) -> None:
        try:
            await brood.live(config)
        finally:
            self._broods.remove(brood)
            if self._brood is brood:  # at the end of the pool
                self._brood = None

    def serving(self, *, calm: bool) -> tuple[Brood, list[Worker]] | None:
        """The zygote that serves, and its parked workers. ``calm``: None where no other is to be started beside it."""
        busy = calm and (self._pausing or self.trouble or any(brood.retired for brood in self._broods))
        return None if self._brood is None or self._closing or busy else (self._brood, [*self._parked])

    def succeed(self, old: Brood, new: Brood, hello: wire.Hello, parked: list[Worker]) -> None:
        """Have workers of ``new`` from now on, these first; those of ``old`` end with their tasks."""
        new.owner, self._brood, self._proven = self, new, True
        self._parked.clear()
        self._take(hello)
        for worker in parked:
            self._park(worker)
        old.relieve(new)

    async def _look(self) -> None:
        """Look now and then for what nobody tells: that something doesn't happen."""
        while True:
            before = trio.current_time()
            await trio.sleep(LOOK)
            now = trio.current_time()
            passed = min(now - before, 2 * LOOK)  # whoever stood still himself has missed nothing
            self._looked += passed
            if self._brood is not None:
                self._brood.look(passed)
            for brood in self._broods:
                if brood.retired and not brood.lent:
                    brood.end()
            since = self._looked - NO_WORKER * self.config.patience
            if self._ready_at <= since:
                self._waiting.tell(since)
            if self._failure and self._looked - self._failed_at >= CALM:
                self._failure = ""
            for worker in self.workers.values():
                if worker.state == "discarded" and now - worker.discarded >= END_KNOWN:
                    worker.tell_end()
            self._weigh()

    def _weigh(self) -> None:
        """Find out what can be served now, and tell if that has changed."""
        limit = None
        if self.trouble:
            limit = len(self._parked) + sum(worker.state == "leased" for worker in self.workers.values())
        if limit != self.limit:
            self.limit = limit
            with self._faults.contained("pool", "a fault of the runner: nobody was told what can be served"):
                self.on_limit()

    # ---- what the brood tells ---------------------------------------------------------

    def greeted(self, brood: Brood, hello: wire.Hello) -> None:
        """A zygote is ready to fork."""
        self._take(hello)
        self._brood, self._started = brood, True
        self._proven, self._failure = False, ""
        self._weigh()
        if self._greeted is not None:
            self._greeted.started()
            self._greeted = None
        self._refill()

    def _take(self, hello: wire.Hello) -> None:
        self.layers, self.tricks = hello.layers, hello.tricks
        self._meter.isolation(hello.layers)
        self._meter.tricks(hello.tricks)
        self._preloading.greeted(hello)
        self.on_greeted()

    def lost(self, brood: Brood) -> None:
        """No more workers are to be had of it."""
        said = isinstance(brood.problem, ZygoteEnded | ZygoteFault)
        self._no_zygote = f"no zygote is up: {brood.problem if said else 'a fault of the runner; its log tells which'}"
        if self._brood is brood:
            self._brood = None
            self._parked.clear()  # at once: who needs a worker meanwhile waits for the next zygote's
        self._weigh()

    def born(self) -> None:
        """A worker was forked."""
        self._meter.worker_forked()

    def fork_failed(self, number: int) -> None:
        """A worker could not be forked, for this errno."""
        self._meter.fork_failed()
        name = errno.errorcode.get(number, str(number))
        if not self._pausing:  # one line a try, however many it asked for
            log.error("fork failed; fewer warm workers until it works again", error=name, pause_s=self._pause)
        self.not_started(f"fork failed ({name}): a limit of processes, descriptors or memory")

    def not_started(self, reason: str) -> None:
        """Ask for no worker for a while: forks, or what is forked, come to nothing."""
        self._failure, self._failed_at = reason, self._looked
        if not self._pausing and self._nursery is not None:
            self._pausing = True
            self._nursery.start_soon(self._go_on, self._pause)
            self._pause = min(self._pause * 2, PAUSE_LAST)
        self._weigh()

    async def _go_on(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self._pausing = False
        self._refill()

    def ready(self, worker: Worker) -> None:
        """A new worker can take a task."""
        self._pause = PAUSE_FIRST
        self._proven, self._ready_at = True, self._looked
        self._park(worker)

    def ended(self, worker: Worker, *, parked: bool) -> None:
        """A worker is no more; nobody has seen how, if its ``end`` is None."""
        self._gone(worker.pid)
        self._resting.discard(worker)
        if worker.end is not None:
            self._meter.worker_cpu(worker.end.cpu - worker.cpu)  # the watchdog has counted the rest
        if worker.killed_for is not None and ENDINGS[worker.killed_for].kills:
            self._meter.worker_killed(worker.killed_for)
        if parked:
            self._unpark(worker)  # or it would count as warm until a lease comes across it
        self._refill()
        self._weigh()

    def _park(self, worker: Worker) -> None:
        if self._brood is None or self._brood.workers.get(worker.pid) is not worker:
            self.discard(worker, Ending.ZYGOTE)  # given back when its zygote is one no more
        elif self._waiting:
            worker.happened("taken")
            self._waiting.hand(worker)
            self._refill()
        elif len(self._parked) >= self.size:
            # one was given back while its replacement was on its way
            self.discard(worker, Ending.SURPLUS)
        else:
            self._parked.append(worker)
            self._changed.set()
            self._changed = trio.Event()
        self._weigh()

    def _unpark(self, worker: Worker) -> None:
        with contextlib.suppress(ValueError):
            self._parked.remove(worker)

    def _refill(self, more: int = 0) -> None:
        brood = self._brood
        if brood is None or self._closing or self._pausing:
            return
        starting = len(brood.starting)
        wanted = self.size + len(self._waiting) + more - len(self._parked) - starting - brood.requested
        if wanted <= 0:
            return
        busy = len(brood.workers) - starting - len(self._parked) - len(self._resting)
        # A dummy task is for processors with nothing to do: more tasks run than there are processors, or none is
        # warm though tasks are running, and the next lease will wait for this one
        urgent = busy > self.processors or (busy > 0 and not self._parked)
        brood.order(wanted, urgent=urgent)
