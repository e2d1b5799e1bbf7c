"""Faults from a seeded schedule while tasks run, and the invariants that must hold all the same.

Each fault is done to real processes and real connections of runners under load (``faults.py``, ``hostile.py``), among
neighbours that answer garbage all the time (``neighbours.py``).
What is checked is seen from the broker and from the operating system, never from inside the runner:

* a task has one outcome; a result is its own task's; a task ends as ``done`` or for a reason that a fault
  explains which was done to its runner at that time;
* each task that a runner has accepted is answered by it exactly once, while its connection lives;
* after the last fault each pool becomes whole again (how soon is reported): its processes, no zombie, no stopped one;
* the descriptors and threads of a runner are what they were before.
"""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import trio

from reptarium.pool.bench.cases import CASES, Case
from reptarium.pool.bench.faults import GIVEN_UP, FaultMaker
from reptarium.pool.bench.hostile import HostileNeighbours
from reptarium.pool.bench.injuries import Record
from reptarium.pool.bench.lag import Loop, Stall, learnt, longest, loop, waited
from reptarium.pool.bench.ledger import Ledger, wrong
from reptarium.pool.bench.neighbours import Around
from reptarium.pool.bench.runners import RunnerProcess, Site, registered
from reptarium.pool.bench.wholeness import State, changed, quiet
from reptarium.pool.embedded_broker import BrokerConfig, open_broker

Say = Callable[[str], None]

_SLEEPER = Case(
    name="trivial",
    about="still running when a fault strikes",
    code='import time\nn = _items[0]["json"]["n"]\ntime.sleep(0.05)\nreturn [{"json": {"n": n + 1}}]',
)
#: What many tasks import and nobody named for preloading: a runner learns it amid the faults, and changes over to
#: another zygote.
_IMPORTER = Case(
    name="trivial",
    about="imports what takes long",
    code='import asyncio\nn = _items[0]["json"]["n"]\nreturn [{"json": {"n": n + 1}}]',
)
#: What tasks do under faults: quick ones, ones that are in the midst of something, and some that print.
_WORK = (
    *(CASES[name] for name in ("trivial", "trivial", "map100", "each100", "prints", "failing", "rpc")),
    _SLEEPER,
    _SLEEPER,
    _IMPORTER,
    _IMPORTER,
)
#: How often a fault is done, at most, until it has been seen what it does to a loop.
TRIES = 6
#: Limits in seconds, short ones so that what waits in vain is seen to end: the broker's and the runner's.
_CONFIG = BrokerConfig(task_timeout=6.0, request_timeout=60.0, heartbeat_interval=2.0)
_ENVIRON = {
    "N8N_RUNNERS_TASK_TIMEOUT": "4",
    "REPTARIUM_SETTINGS_TIMEOUT": "2",
    "REPTARIUM_HEARTBEAT_INTERVAL": "1",
    "REPTARIUM_LOG_LEVEL": "info",
}


class Chaos(msgspec.Struct, kw_only=True):
    """What a run of faults came to. ``broken`` names each invariant that didn't hold."""

    seed: int
    tasks: int = 0
    outcomes: dict[str, int] = {}
    faults: dict[str, int] = {}
    proves: dict[str, str] = {}
    """Fault → what is done, and what it is to prove."""
    stalls: dict[str, Stall] = {}
    """Fault → how the runners' event loops fared from its begin to the next one's, at worst."""
    broken: list[str] = []
    recovery: float = math.nan
    learnt: float = 0
    """How often a runner that lives at the end has gone over to a zygote that imports what its tasks do."""

    def text(self) -> str:
        """For people: one fact a line."""
        lines = [f"seed {self.seed}: {self.tasks} tasks, {sum(self.faults.values())} faults"]
        lines += [self._line(name, count) for name, count in sorted(self.faults.items())]
        lines.append("outcomes: " + ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items())))
        lines.append(f"preloading was learnt {self.learnt:g} times, amid all that")
        lines.append(f"whole again {self.recovery:.2f} s after the last fault")
        lines += [f"BROKEN: {text}" for text in self.broken] or ["nothing lost"]
        return "\n".join(lines)

    def _line(self, name: str, count: int) -> str:
        measured = self.stalls[name].text() if name in self.stalls else "loop stall not measured"
        return f"  {name} {count}: {self.proves.get(name, '')} {measured[0].upper()}{measured[1:]}"


@asynccontextmanager
async def _open(command: str, names: Sequence[str], around: Around) -> AsyncIterator[Site]:
    """A broker with a registered runner of each name."""
    async with open_broker(_CONFIG) as broker:
        site = Site(command, broker, [])
        try:
            for number, name in enumerate(names):
                environ = {**_ENVIRON, **around.environ(number, broker.uri), "REPTARIUM_RUNNER_NAME": name}
                runner = RunnerProcess(command, broker, environ)
                runner.stderr = around.logs[number].writing
                runner.start()
                site.runners.append(runner)
            await registered(site, len(names))
            yield site
        finally:
            for runner in site.runners:
                await runner.stop()
            around.close()


async def run(
    *,
    seed: int,
    runners: int = 1,
    tasks: int | None = None,
    duration: float | None = None,
    concurrency: int = 50,
    command: str = "reptarium",
    every: float = 0.15,
    faults: Sequence[str] | None = None,
    say: Say = lambda text: None,
) -> Chaos:
    """Load ``runners`` runners and do a fault about each ``every`` seconds until the load ends.

    ``tasks`` ends it, or ``duration`` (seconds) when each fault has been done and measured; ``faults`` names the
    methods of :class:`FaultMaker` and :class:`HostileNeighbours` to draw from. Raises RuntimeError when a runner
    can't be started, trio.TooSlowError when the load hangs.
    """
    names = [f"runner-{number}" for number in range(1, runners + 1)]
    around = Around(runners, random.Random(seed))
    async with _open(command, names, around) as site:
        return await _Run(site, names, around, seed).run(tasks, duration, concurrency, every, faults, say)


class _Run:
    def __init__(self, site: Site, names: Sequence[str], around: Around, seed: int) -> None:
        self._site, self._around = site, around
        self._rng = random.Random(seed)
        self._found = Chaos(seed=seed)
        self._record, self._ledger = Record(), Ledger()
        self._ledger.names.update((view.id, view.name) for view in site.broker.runners)
        self._ledger.owed.update((view.id, set()) for view in site.broker.runners)
        self._faults = FaultMaker(site, names, self._rng, self._record)
        self._hostile = HostileNeighbours(site, names, around, self._rng, self._record)
        self._given = 0
        site.broker.incoming_filter = self._incoming
        site.broker.on_event = self._ledger.event
        site.broker.rpc_handler = self._rpc

    def _incoming(self, runner_id: str, message: Any) -> Iterable[Any]:
        if not self._faults.incoming(runner_id, message):
            return ()
        self._ledger.message(runner_id, message)
        return (message,)

    @staticmethod
    async def _rpc(task: object, name: str, params: object) -> dict[str, str]:
        return {"mimeType": "text/plain"}

    async def run(
        self,
        tasks: int | None,
        duration: float | None,
        concurrency: int,
        every: float,
        faults: Sequence[str] | None,
        say: Say,
    ) -> Chaos:
        every_one = [*self._faults.all(), *self._hostile.all()]
        chosen = [one for one in every_one if faults is None or one.__name__ in faults]
        before = await quiet(self._site)
        self._around.garbage.start()
        ends = math.inf if duration is None else trio.current_time() + duration
        limit = math.inf if tasks is None else tasks

        def goes_on() -> bool:
            return self._given < limit and (trio.current_time() < ends or not self._had(chosen))

        with trio.fail_after(120.0 + (duration or 0.0) * 2 + (tasks or 0) * 0.05):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._torment, chosen, every, say, goes_on)
                for _ in range(concurrency):
                    nursery.start_soon(self._client, goes_on)
        self._faults.settle()
        self._around.garbage.stop()
        self._ended_alone()
        await self._whole(before)
        self._found.learnt = sum([await learnt(port) for port in self._around.ports])
        self._found.broken += self._ledger.wrong
        counters = self._site.broker.counters
        for name in ("duplicates", "foreign", "malformed", "unknown"):
            if getattr(counters, name):
                self._found.broken.append(f"{getattr(counters, name)} {name} messages came from the runners")
        return self._found

    def _had(self, chosen: Sequence[Callable[[], Awaitable[None]]]) -> bool:
        """Whether each fault has been done, and it was seen what it does to a loop: some come while a runner starts."""
        done, seen = self._found.faults, {*self._found.stalls, "kill_runner"}  # which leaves no loop
        return all(done.get(name, 0) >= (1 if name in seen else TRIES) for name in (one.__name__ for one in chosen))

    async def _torment(
        self, chosen: Sequence[Callable[[], Awaitable[None]]], every: float, say: Say, goes_on: Callable[[], bool]
    ) -> None:
        """One fault after the other, each once before any comes again."""
        left: list[Callable[[], Awaitable[None]]] = []
        name, before = "", await self._loops()
        while True:
            await trio.sleep(every * self._rng.uniform(0.5, 1.5))
            before = await self._measure(name, before)
            if not goes_on():
                return
            left = left or self._rng.sample(chosen, len(chosen))
            fault = left.pop()
            name = fault.__name__
            self._found.proves[name] = (fault.__doc__ or "").partition("\n")[0]
            say(name)
            self._ended_alone()
            try:
                await fault()
            except AssertionError as error:
                self._found.broken.append(str(error))
            self._found.faults[name] = self._found.faults.get(name, 0) + 1

    async def _loops(self) -> list[tuple[Loop, float]]:
        """What each runner's loop says of itself."""
        processors = [waited(runner.pid) for runner in self._site.runners]
        return [(await loop(port) or Loop(), one) for port, one in zip(self._around.ports, processors, strict=True)]

    async def _measure(self, name: str, before: list[tuple[Loop, float]]) -> list[tuple[Loop, float]]:
        """What they say of the fault ``name`` that was done since ``before``. Returns what they say now."""
        now = await self._loops()
        for (then, waited_before), (since, waited_now) in zip(before, now, strict=True):
            lag, work = longest(then.lags, since.lags), longest(then.works, since.works)
            if name and lag is not None and work is not None:
                stall = Stall(lag, work, max(waited_now - waited_before, 0.0))
                self._found.stalls[name] = stall.or_worse(self._found.stalls.get(name))
        return [(new[0] if new[0].lags else old[0], new[1]) for old, new in zip(before, now, strict=True)]

    def _ended_alone(self) -> None:
        """No fault but a SIGKILL may end a runner: note one that has ended, and start it anew."""
        for runner in self._site.runners:
            if runner.status is not None:
                self._found.broken.append(f"a runner ended by itself with status {runner.status}")
                runner.start()

    async def _client(self, goes_on: Callable[[], bool]) -> None:
        """One task after the other."""
        found = self._found
        while goes_on():
            self._given += 1
            number = self._given
            case = self._rng.choice(_WORK)
            settings = msgspec.structs.replace(case.settings(number), code=case.code)
            began = trio.current_time()
            handle = self._site.broker.submit(settings)
            self._faults.handles.add(handle)
            outcome = await handle.outcome()
            self._faults.handles.discard(handle)
            found.tasks += 1
            found.outcomes[outcome.status] = found.outcomes.get(outcome.status, 0) + 1
            runner = self._ledger.names.get(outcome.runner_id or "")
            explained = partial(self._record.explains, outcome, runner, began, trio.current_time())
            problem = wrong(case, number, outcome, len(handle.console), explained)
            if problem is not None and len(found.broken) < 20:
                found.broken.append(f"task {number} ({case.name}) {problem}")

    async def _whole(self, before: State) -> None:
        """Wait until everything is as before, and note what isn't, and how long it took."""
        since = trio.current_time()
        left = ["no runner is registered"]
        with trio.move_on_after(GIVEN_UP):
            await registered(self._site, len(self._site.runners))
            while left := self._left(before):
                await trio.sleep(0.02)
        self._found.recovery = trio.current_time() - since
        self._found.broken += left

    def _left(self, before: State) -> list[str]:
        """What isn't as before the faults, in words."""
        owed = self._ledger.open
        return changed(self._site, before) + ([f"{owed} accepted tasks were never answered"] if owed else [])
