"""A case on its runners: they are started, or waited for, warmed up, and take turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import msgspec
import trio

from reptarium.pool.bench import fleet, report
from reptarium.pool.bench.cases import CASES, Case, Mix
from reptarium.pool.bench.live import LiveFigures
from reptarium.pool.bench.load import Choose, Plan, Round, run_round
from reptarium.pool.bench.runners import KNOWN, Site, open_site
from reptarium.pool.bench.stages import Stage, shown
from reptarium.pool.bench.stats import Usage, usage
from reptarium.pool.bench.targets import SETTLED, SOAK
from reptarium.pool.embedded_broker import BrokerConfig

#: Tasks in a mix, and tasks of each case that are run before anything is measured.
MIX_TASKS, _WARM_UP = 2000, 20
#: Seconds between looks at whether runners live.
_LOOK = 0.2
#: Seconds of a round when two runners take turns.
_TURN = 5.0


class Work(msgspec.Struct, frozen=True):
    """What is asked for under one name: tasks of one case, or of several by their shares."""

    name: str
    cases: tuple[Case, ...]

    def chooser(self, seed: int) -> Choose:
        """What gives the next task's case."""
        return Mix(seed, self.cases) if len(self.cases) > 1 else partial(self.cases.__getitem__, 0)

    @property
    def only(self) -> Case | None:
        """The one case."""
        return self.cases[0] if len(self.cases) == 1 else None

    @property
    def environ(self) -> Mapping[str, str]:
        """What its runners must be started with."""
        return {name: value for case in self.cases for name, value in case.environ.items()}


def works(name: str) -> Work:
    """A case of the generator's own, or the mix."""
    return Work(name, tuple(case for case in CASES.values() if case.share) if name == "mix" else (CASES[name],))


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How much is asked for; what isn't said is the case's."""

    tasks: int | None
    duration: float | None
    concurrency: int | None
    stages: tuple[Stage, ...]
    rounds: int
    seed: int

    def plan(self, work: Work, turns: bool) -> Plan:
        """The plan of a round. ``turns``: two runners take them."""
        case, tasks, duration = work.only, self.tasks, self.duration
        if self.stages and math.isfinite(seconds := sum(stage.seconds for stage in self.stages)):
            duration = seconds
        elif tasks is None and duration is None and turns:
            duration = _TURN  # the slower of two would take for ever with the same number of tasks
        elif tasks is None and duration is None:
            tasks = case.tasks if case is not None else MIX_TASKS
        return Plan(
            tasks=tasks,
            duration=duration,
            concurrency=self.concurrency or (case.concurrency if case is not None else 50),
            stages=self.stages,
            pause=case.pause if case is not None and self.concurrency is None else 0.0,
            seed=self.seed,
        )


def load_text(plan: Plan) -> str:
    """The load in words."""
    if plan.stages:
        return shown(plan.stages)
    pause = f", {plan.pause * 1000:g} ms pause" if plan.pause else ""
    return f"closed loop, {plan.concurrency} in flight{pause}"


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Runners that are started for each case: one command, or two that take turns."""

    commands: tuple[str, ...]
    runners: int
    queue_timeout: float

    async def open(self, work: Work, stack: AsyncExitStack) -> list[Site]:
        """Fresh ones, stopped with the stack. Raises RuntimeError."""
        labels = [command if command in KNOWN else Path(command.split()[0]).name for command in self.commands]
        if len(set(labels)) < len(labels):
            labels = [f"{label} ({letter})" for label, letter in zip(labels, "AB", strict=True)]
        sites = []
        for label, command in zip(labels, self.commands, strict=True):
            config = BrokerConfig(request_timeout=self.queue_timeout)
            opened = open_site(label, command, runners=self.runners, environ=work.environ, config=config)
            sites.append(await stack.enter_async_context(opened))
        return sites


class Elsewhere:
    """Runners that were started elsewhere and serve every case."""

    def __init__(self, site: Site, within: float, say: Callable[[str], None]) -> None:
        self._site, self._within, self._say = site, within, say

    async def open(self, work: Work, stack: AsyncExitStack) -> list[Site]:
        """Those that are there; where none is left, all are waited for again. Raises NotThere."""
        if work.environ:
            needed = " ".join(f"{name}={value}" for name, value in work.environ.items())
            self._say(f"{work.name}: the runners need {needed}")
        if not self._site.there():
            await fleet.everybody(self._site, self._within, self._say)
        return [self._site]


async def measure(
    work: Work,
    load: Load,
    runners: Started | Elsewhere,
    live: LiveFigures,
    results: list[report.CaseResult],
    since: float,
    say: Callable[[str], None],
) -> None:
    """One case. Cancelled, it adds to ``results`` what it has by then. ``since``: when the run began."""
    async with AsyncExitStack() as stack:
        sites = await runners.open(work, stack)
        plan = load.plan(work, len(sites) > 1)
        for site in sites:
            warm = Plan(tasks=min(_WARM_UP, plan.tasks or _WARM_UP), concurrency=min(plan.concurrency, 4))
            await run_round(site, work.chooser(load.seed), warm)
            _tell_if_few(work, plan, site, say)
        rest: dict[str, list[Usage]] = {site.label: [] for site in sites}
        soak = (plan.tasks or 0) * load.rounds >= SOAK and all(site.runners for site in sites)
        if soak:
            for site in sites:
                await run_round(site, work.chooser(load.seed), msgspec.structs.replace(plan, tasks=SETTLED))
                rest[site.label].append(await _at_rest(site))
        rounds: dict[str, list[Round]] = {site.label: [] for site in sites}
        try:
            for number in range(load.rounds):
                for site in sites:
                    # the same seed for both runners of a round: the same tasks, the same arrivals
                    choose = work.chooser(load.seed + number)
                    rounds[site.label].append(into := Round())
                    turn = msgspec.structs.replace(plan, seed=plan.seed + number)
                    with live.round(work.name, f"{number + 1}/{load.rounds}", plan.tasks, into, site):
                        await _round(site, choose, turn, into)
            if soak:
                for site in sites:
                    rest[site.label].append(await _at_rest(site))
        finally:
            for site in sites:
                measured = [one for one in rounds[site.label] if one.tasks]
                if measured:
                    text = load_text(plan)
                    results.append(
                        report.case_result(
                            work.name, text, site, measured, rest[site.label], stages=plan.stages, since=since
                        )
                    )


async def _round(site: Site, choose: Choose, plan: Plan, into: Round) -> None:
    """A round, which ends with a runner that ends: what is asked for would only run into time limits.

    Raises RuntimeError for that.
    """
    ended: str | None = None
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            nonlocal ended
            while (ended := site.ended()) is None:
                await trio.sleep(_LOOK)
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        await run_round(site, choose, plan, into=into)
        nursery.cancel_scope.cancel()
    if ended is not None:
        raise RuntimeError(ended)


def _tell_if_few(work: Work, plan: Plan, site: Site, say: Callable[[str], None]) -> None:
    """A load that can't fill the runners measures itself."""
    if site.coming is not None and not plan.stages and not plan.pause and plan.concurrency < fleet.slots(site):
        say(
            f"{work.name}: {plan.concurrency} tasks in flight don't fill {fleet.slots(site)} slots: "
            "--concurrency says how many"
        )


async def _at_rest(site: Site) -> Usage:
    await trio.sleep(2.0)  # the last workers are replaced
    return usage(site.processes())
