"""The load generator: closed loop and open loop, over one broker, into one :class:`Round`.

Closed loop: a fixed number of tasks is in flight. Open loop: tasks arrive at a rate, and a task's
latency counts from when it *should* have arrived, so that a stall of runner or generator shows up
in every task that it delayed and not only in the one that it hit.
"""

from __future__ import annotations

import math
import random
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable

import msgspec
import trio

from reptarium.pool.bench.cases import Case
from reptarium.pool.bench.runners import Site
from reptarium.pool.bench.stages import Stage, arrivals
from reptarium.pool.bench.stats import Usage, usage
from reptarium.pool.embedded_broker import Outcome

Choose = Callable[[], Case]

#: Tasks that may be in flight in the open loop: beyond that the runner is hopelessly behind (explicit overload).
MAX_OPEN = 5000
#: How those beyond that end.
SHED = "not sent"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much load: ``tasks`` or ``duration`` (seconds), and ``concurrency`` or ``stages`` of rates."""

    tasks: int | None = None
    duration: float | None = None
    concurrency: int = 50
    stages: tuple[Stage, ...] = ()
    pause: float = 0.0
    seed: int = 1


class Split:
    """A part of a round's tasks: latencies (s) of those that ended well, and the others by how they ended."""

    def __init__(self) -> None:
        self.latencies = array("d")
        self.failed: Counter[str] = Counter()


class Round:
    """What one round measured. ``starts`` and ``latencies`` are seconds, in step; ``starts`` count from the round's.

    They are of the tasks that ended as they must: one that n8n would have given up after a minute is no measurement of
    how fast tasks are, and counts among ``failed``, by how it ended; ``failed_starts`` has when those arrived.
    ``by_case`` and ``by_runner`` (its id) have the same tasks by kind and by who ran them. ``begun`` is on
    ``time.perf_counter()``.
    """

    def __init__(self) -> None:
        self.begun = 0.0
        self.in_flight = 0
        self.starts = array("d")
        self.latencies = array("d")
        self.failed_starts: list[tuple[float, str]] = []
        self.by_case: defaultdict[str, Split] = defaultdict(Split)
        self.by_runner: defaultdict[str, Split] = defaultdict(Split)
        self.endings: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.rejects = 0
        self.expired = 0
        self.wall = 0.0
        self.cpu = 0.0
        self.own_cpu = 0.0
        self.samples: list[tuple[int, Usage]] = []

    @property
    def tasks(self) -> int:
        """How many tasks have ended, however they did."""
        return self.endings.total()

    @property
    def good(self) -> int:
        """How many ended as they must."""
        return len(self.latencies)

    @property
    def failures(self) -> int:
        """How many didn't end as they must."""
        return self.failed.total()

    def add(self, case: Case, number: int, start: float, outcome: Outcome, console: int, ended: float) -> None:
        """Record one task. ``start`` and ``ended`` are seconds since the round began."""
        splits = [self.by_case[case.name]]
        if outcome.runner_id is not None:
            splits.append(self.by_runner[outcome.runner_id])
        if case.right(number, outcome, console):
            self.starts.append(start)
            self.latencies.append(ended - start)
            for split in splits:
                split.latencies.append(ended - start)
            self.endings[outcome.status] += 1
            return
        kind = outcome.status if outcome.status != case.expect else "another result"
        self.failed[kind] += 1
        self.failed_starts.append((start, kind))
        for split in splits:
            split.failed[kind] += 1
        self.endings[f"wrong: {outcome.status} for {case.expect}"] += 1
        if len(self.wrong) < 20:
            said = outcome.error.message if outcome.error is not None else case.told(outcome)
            self.wrong.append(f"{case.name} {number}: {outcome.status}: {said}")

    def shed(self, case: Case, start: float) -> None:
        """Record one task that was never asked for: too many were in flight."""
        self.failed[SHED] += 1
        self.endings[SHED] += 1
        self.failed_starts.append((start, SHED))
        self.by_case[case.name].failed[SHED] += 1


async def _rpc(task: object, name: str, params: object) -> dict[str, str]:
    return {"mimeType": "text/plain"}


async def run_round(
    site: Site,
    choose: Choose,
    plan: Plan,
    *,
    sample_every: float = 1.0,
    into: Round | None = None,
) -> Round:
    """Load ``site`` as ``plan`` says.

    ``into``: where it is recorded; when the round is cancelled it holds what had been measured.
    """
    found = Round() if into is None else into
    site.broker.rpc_handler = _rpc
    counters = site.broker.counters
    rejects, expired = counters.rejects, counters.offers_expired
    before = usage(site.processes())
    own = time.process_time()
    begun = found.begun = time.perf_counter()

    async def sample() -> None:
        while True:
            await trio.sleep(sample_every)
            # In a thread: the kernel takes 1 to 4 ms a process for its memory, and no task's latency is to hold that
            at = await trio.to_thread.run_sync(usage, site.processes(), abandon_on_cancel=True)
            found.samples.append((found.tasks, at))

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sample)
            if not plan.stages:
                await _closed(site, choose, plan, found, begun)
            else:
                await _open(site, choose, plan, found, begun)
            nursery.cancel_scope.cancel()
    finally:
        found.wall = time.perf_counter() - begun
        found.own_cpu = time.process_time() - own
        after = usage(site.processes())
        found.samples.append((found.tasks, after))
        found.cpu = after.cpu - before.cpu
        found.rejects, found.expired = counters.rejects - rejects, counters.offers_expired - expired
    return found


async def _one(site: Site, case: Case, number: int, found: Round, begun: float, start: float) -> None:
    handle = site.broker.submit(case.settings(number), timeout=case.timeout)
    found.in_flight += 1
    try:
        if case.cancel_after is not None:
            await trio.sleep(case.cancel_after)
            handle.cancel()
        outcome = await handle.outcome()
    finally:
        found.in_flight -= 1
    found.add(case, number, start, outcome, len(handle.console), time.perf_counter() - begun)


async def _closed(site: Site, choose: Choose, plan: Plan, found: Round, begun: float) -> None:
    ends = math.inf if plan.duration is None else begun + plan.duration
    limit = plan.tasks if plan.tasks is not None else math.inf
    given = 0

    async def client() -> None:
        nonlocal given
        while given < limit and time.perf_counter() < ends:
            given += 1
            await _one(site, choose(), given, found, begun, time.perf_counter() - begun)
            if plan.pause:
                await trio.sleep(plan.pause)

    async with trio.open_nursery() as nursery:
        for _ in range(plan.concurrency):
            nursery.start_soon(client)


async def _open(site: Site, choose: Choose, plan: Plan, found: Round, begun: float) -> None:
    ends = math.inf if plan.duration is None else plan.duration
    async with trio.open_nursery() as nursery:
        for number, due in enumerate(arrivals(plan.stages, random.Random(plan.seed)), 1):
            if due >= ends or (plan.tasks is not None and number > plan.tasks):
                break
            wait = due - (time.perf_counter() - begun)
            if wait > 0:
                await trio.sleep(wait)
            else:
                await trio.lowlevel.checkpoint()
            case = choose()
            if found.in_flight >= MAX_OPEN:
                found.shed(case, due)
                continue
            nursery.start_soon(_one, site, case, number, found, begun, due)
