"""Several warm pools: one of the environment's values, and others that rules of a policy take, made when first needed.

Theory of operation. A task leases its worker from a :class:`Lender`: the pool that is always there
(:attr:`Pools.default`), or a :class:`SidePool`, which starts a pool of its own for the first task that asks, and ends
it when none has asked for a while. There are at most ``most`` pools at the same time. Who needs one more waits until
another is of no use: the one that was used longest ago, or, when all have tasks, the oldest one finishes those it has
and takes no more.

A pool that can't be made is no fault of the runner: the tasks that wait for it are told why, and it isn't tried again
for :data:`AGAIN` seconds. Once it has started it is a pool like any other: its zygotes are replaced, and it is kept
running.
"""

from __future__ import annotations

import itertools
import math
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import structlog
import trio

from reptarium.pool.endings import Ending
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.refusal import StartRefused
from reptarium.pool.workers.learnt import Learnt
from reptarium.pool.workers.pool import WorkerPool
from reptarium.pool.workers.sharing import fits, pool_for, same_pool, share_of_uids
from reptarium.pool.workers.waiting import NoWorker
from reptarium.pool.workers.worker import Worker
from reptarium.sandbox.kernel import LayerStatus
from reptarium.sandbox.wire import ZygoteConfig

log = structlog.get_logger("reptarium.pool.workers.pools")

#: Seconds: between two looks at which pools are of no use; without another try after a pool that couldn't be made; that
#: a pool has at least before it makes room for another.
LOOK, AGAIN, TENURE = 1.0, 10.0, 5.0
#: From what is best to what is worst about a layer.
_STATES = ("active", "off", "partial", "missing")


class Lender(Protocol):
    """Whom a task has its worker of."""

    def lease_nowait(self) -> Worker | None:
        """A worker, if there is one at this moment."""

    async def lease(self) -> Worker:
        """A worker, as soon as there is one. Raises ``NoWorker``."""

    def give_back(self, worker: Worker) -> None:
        """It was not given a task."""

    def discard(self, worker: Worker, reason: Ending = Ending.DONE) -> None:
        """Its task has ended."""

    def keep(self, worker: Worker) -> None:
        """Its task has ended well: it rests, for another of the same code."""

    def take_again(self, worker: Worker) -> bool:
        """Lease one that rests. Whether it still does."""


class SidePool:
    """A pool that is there while it is of use. Every worker that is leased is given back or discarded, once."""

    def __init__(self, owner: Pools, config: ZygoteConfig) -> None:
        self.config = config
        self.pool: WorkerPool | None = None
        self.number = 0  # among the pools that there are
        self.users = 0
        """How many tasks have a worker of it, or wait for one."""
        self.used = self.since = -math.inf
        self.retired = self.yields = False
        """No rule takes it any more; it finishes its tasks and makes room."""
        self.ready = trio.Event()
        self.refused = ""
        self.refused_at = -math.inf
        self.scope = trio.CancelScope()
        self._owner = owner
        self._lent: dict[int, WorkerPool] = {}  # by the worker's number

    def lease_nowait(self) -> Worker | None:
        """A worker, if there is one at this moment."""
        pool = self.pool
        if pool is None or self.yields or not self.ready.is_set():
            return None
        pool.size = min(self._owner.size, max(pool.size, self.users + 1))
        worker = pool.lease_nowait()
        if worker is not None:
            self.users += 1
            self._lent[worker.number] = pool
            self._owner.weigh()
        return worker

    async def lease(self) -> Worker:
        """A worker; a pool is made for it if there is none. Raises ``NoWorker``."""
        pool = await self._owner.have(self)
        self.users += 1
        try:
            await self.ready.wait()
            if self.pool is not pool:
                raise NoWorker(self.refused or "their pool has ended")
            pool.size = min(self._owner.size, max(pool.size, self.users))
            worker = await pool.lease()
        except BaseException:
            self._left()
            raise
        self._lent[worker.number] = pool
        self._owner.weigh()
        return worker

    def give_back(self, worker: Worker) -> None:
        """It was not given a task."""
        self._lent.pop(worker.number).give_back(worker)
        self._left()

    def discard(self, worker: Worker, reason: Ending = Ending.DONE) -> None:
        """Its task has ended."""
        self._lent.pop(worker.number).discard(worker, reason)
        self._left()

    def keep(self, worker: Worker) -> None:
        """Its task has ended well: it rests, for another of the same code."""
        self._lent.pop(worker.number).keep(worker)
        self._left()

    def take_again(self, worker: Worker) -> bool:
        """Lease one that rests. Whether it still does."""
        pool = self.pool
        if pool is None or self.yields or not pool.take_again(worker):
            return False
        self.users += 1
        self._lent[worker.number] = pool
        self._owner.weigh()
        return True

    def _left(self) -> None:
        self.users -= 1
        self.used = trio.current_time()
        if not self.users and (self.yields or self._owner.wanting):
            self.end()
        self._owner.weigh()

    def end(self) -> None:
        """Its processes end, if there are any; a later task has it made anew."""
        if self.pool is not None:
            self.yields = True
            self.scope.cancel()


class Pools:
    """The pools of a runner: at most ``most`` of them, each of up to ``size`` warm workers. ``idle``: seconds."""

    def __init__(
        self,
        config: ZygoteConfig,
        *,
        size: int,
        meter: Metrics,
        faults: OwnFaults,
        most: int = 1,
        idle: float = 0.0,
        learnt: Learnt | None = None,
    ) -> None:
        self.size = size
        self._learnt = learnt
        self._most = most
        self._idle = idle
        self._meter = meter
        self._faults = faults
        self._numbers = itertools.count(1)
        self._config = config
        self.default = self._make(config, 0, size)
        self.default.on_limit = lambda: self.on_limit()
        #: Called when :attr:`limit` has changed.
        self.on_limit: Callable[[], None] = lambda: None
        self._sides: list[SidePool] = []
        self._wanted: dict[SidePool, int] = {}  # in the order in which somebody began to wait for one to be made
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._looking = False

    def _make(self, config: ZygoteConfig, number: int, size: int) -> WorkerPool:
        own = config if self._most == 1 else share_of_uids(config, number, self._most)
        preloading = None if self._learnt is None else self._learnt.of(config, default=not number)
        pool = WorkerPool(own, size=size, meter=self._meter, faults=self._faults, preloading=preloading)
        pool.numbers = self._numbers
        pool.on_greeted = self._count_layers
        return pool

    # ---- what rules take ----------------------------------------------------------------

    def lenders(self, configs: Sequence[ZygoteConfig]) -> list[tuple[Lender, ZygoteConfig]]:
        """For each of these, whom its tasks have workers of, and what those are made with.

        What there is serves as far as it can. A pool that none of these takes ends when its tasks have.
        """
        there = [(side.config, side) for side in self._sides if not side.retired]
        found: list[tuple[Lender, ZygoteConfig] | None] = []
        for config in configs:
            serving = [(side, made) for made, side in there if fits(config, made)]
            found.append((self.default, self._config) if fits(config, self._config) else next(iter(serving), None))
        for index, config in enumerate(configs):
            if found[index] is None:
                alike = [one for one, has in zip(configs, found, strict=True) if has is None and same_pool(one, config)]
                side = SidePool(self, pool_for(alike))
                self._sides.append(side)
                for other, has in enumerate(found):
                    if has is None and same_pool(configs[other], config):
                        found[other] = side, side.config
        taken = [one for one in found if one is not None]
        for side in self._sides:
            side.retired = all(lender is not side for lender, _ in taken)
        self._tidy(trio.current_time() if self._nursery is not None else 0.0)
        return taken

    @property
    def wanting(self) -> int:
        """How many tasks wait for a pool to be made."""
        return sum(self._wanted.values())

    async def have(self, side: SidePool) -> WorkerPool:
        """Its pool, made as soon as there is room for one and nobody has waited for another for longer.

        Raises ``NoWorker`` when it couldn't be, a moment ago.
        """
        if side.pool is not None and not side.yields:
            return side.pool
        self._wanted[side] = self._wanted.get(side, 0) + 1
        try:
            while side.pool is None or side.yields:
                now = trio.current_time()
                if side.pool is None:
                    if now - side.refused_at < AGAIN:
                        raise NoWorker(side.refused)
                    if next(iter(self._wanted)) is side and self._has_room() and self._nursery is not None:
                        self._start(side, now)
                        break
                await self._changed.wait()
        finally:
            self._wanted[side] -= 1
            if not self._wanted[side]:
                del self._wanted[side]
                self._wake()  # whoever is the next
        assert side.pool is not None
        return side.pool

    def _has_room(self) -> bool:
        """Whether one more may be made now. If not, one that nobody uses is ended."""
        if self.count < self._most:
            return True
        if not any(side.yields for side in self._sides):
            unused = [side for side in self._sides if side.pool is not None and not side.users]
            if unused:
                min(unused, key=lambda side: side.used).end()
        return False

    def _start(self, side: SidePool, now: float) -> None:
        assert self._nursery is not None
        if side not in self._sides:  # no rule takes it any more, but somebody has waited for it
            self._sides.append(side)
        taken = {other.number for other in self._sides if other.pool is not None}
        side.number = next(number for number in itertools.count(1) if number not in taken)
        side.ready, side.scope, side.since, side.used = trio.Event(), trio.CancelScope(), now, now
        side.pool = self._make(side.config, side.number, 1)
        self._meter.policy.pools(self.count)
        self._nursery.start_soon(self._live, side, side.pool)
        if not self._looking:
            self._looking = True
            self._nursery.start_soon(self._faults.keep, "pool", self._look)

    # ---- what the runner asks -------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many pools there are."""
        return 1 + sum(side.pool is not None for side in self._sides)

    @property
    def workers(self) -> Mapping[int, Worker]:
        """Every worker that there is, by its process id."""
        if self.count == 1:
            return self.default.workers
        return ChainMap(*(dict(pool.workers) for pool in self._there()))

    @property
    def layers(self) -> tuple[LayerStatus, ...]:
        """The layers of the sandbox, each as it is where it is worst."""
        found: dict[str, LayerStatus] = {}
        for pool in self._there():
            for layer in pool.layers:
                known = found.get(layer.name)
                if known is None or _STATES.index(layer.state) > _STATES.index(known.state):
                    found[layer.name] = layer
        return tuple(found.values())

    @property
    def refused(self) -> tuple[str, ...]:
        """Why pools could not be made that are still wanted."""
        return tuple(side.refused for side in self._sides if side.refused)

    @property
    def limit(self) -> int | None:
        """How many tasks can be served; None: no limit. It is the default pool's: which one a task will need, nobody
        knows before it has come, and what keeps that one from starting workers is the machine's trouble, as a rule.
        """
        if self.default.limit is None:
            return None
        return self.default.limit + sum(side.users for side in self._sides)

    def weigh(self) -> None:
        """A side pool serves more tasks now, or fewer."""
        if self.default.limit is not None:
            self.on_limit()

    def close(self) -> None:
        """No more refills: what follows is shutdown."""
        for pool in self._there():
            pool.close()

    def _there(self) -> list[WorkerPool]:
        return [self.default, *(side.pool for side in self._sides if side.pool is not None)]

    def _count_layers(self) -> None:
        self._meter.isolation(self.layers)
        self._meter.tricks(self.default.tricks)

    # ---- life -----------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own all pools until cancelled. ``task_status.started()``, and what is raised: see ``WorkerPool.run``."""
        self._meter.policy.pools(1)
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(self._faults.keep, "pool", self.default.run))
            self._nursery = nursery
            self._wake()  # who has come too early
            task_status.started()

    async def _live(self, side: SidePool, pool: WorkerPool) -> None:
        """A side pool from its start to its end, with which nothing else ends."""
        refused = ""
        try:
            with side.scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(partial(self._faults.keep, "pool", pool.run))
                    side.refused = ""
                    log.info("a pool for rules of the policy is ready", pools=self.count)
                    side.ready.set()
        except* StartRefused as group:
            refused = _first(group)
        except* Exception as group:
            self._faults.met(group, "pool", "a pool for rules of the policy ended through a fault of the runner")
            refused = "a fault of the runner; its log tells which"
        finally:
            side.pool, side.yields = None, False
            if refused:
                log.error("a pool for rules of the policy can't be made", reason=refused, again_s=AGAIN)
                side.refused, side.refused_at = refused, trio.current_time()
            side.ready.set()
            self._meter.policy.pools(self.count)
            self._wake()

    async def _look(self) -> None:
        while True:
            await trio.sleep(LOOK)
            self._tidy(trio.current_time())

    def _tidy(self, now: float) -> None:
        """End what is of no use, and forget what nobody takes any more."""
        for side in self._sides:
            if side.pool is not None and not side.users and (side.retired or now - side.used >= self._idle):
                side.end()
        self._sides = [side for side in self._sides if side.pool is not None or side.users or not side.retired]
        busy = [side for side in self._sides if side.pool is not None and side.users and now - side.since >= TENURE]
        if self.wanting and self.count >= self._most and busy and not any(side.yields for side in self._sides):
            oldest = min(busy, key=lambda side: side.since)
            oldest.yields = True  # its last task ends it
            log.warning(
                "more pools are wanted than REPTARIUM_MAX_POOLS allows: the oldest makes room", pools=self._most
            )

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _first(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
