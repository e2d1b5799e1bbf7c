"""Faults from a seeded schedule while tasks run, and the invariants that must hold all the same.

Each fault is done to real processes and real connections of runners under load. What is checked is
seen from the broker and from the operating system, never from inside the runner:

* a task has one outcome; a runner reports none twice; a result is its own task's;
* a task ends as ``done`` or for a reason that one of the faults explains;
* after the last fault each pool becomes whole again (how soon is reported): its processes, no zombie, no stopped one;
* the descriptors and threads of a runner are what they were before.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec
import psutil
import trio

from pool.bench.cases import CASES, Case
from pool.bench.runners import RunnerProcess, Site, open_site, registered
from pool.bench.stats import tree
from pool.broker import BrokerConfig, Delayed, Outcome, TaskHandle
from pool.messages import BrokerMessage, BrokerTaskSettings
from sandbox.wire import BUSY_NAME, IDLE_NAME, ZYGOTE_NAME

Say = Callable[[str], None]

#: What tasks do under faults: quick ones, ones that are in the midst of something, and some that print.
_WORK = ("trivial", "trivial", "map100", "each100", "prints", "failing", "rpc")
_SLEEPER = Case(
    name="trivial",
    about="still running when a fault strikes",
    code='import time\nn = _items[0]["json"]["n"]\ntime.sleep(0.05)\nreturn [{"json": {"n": n + 1}}]',
)
#: The runner's own words when a fault took a task's worker, its zygote or its time.
_EXPLAINED = (
    "killed from outside", "sandbox was restarted", "cancelled", "connection to the broker lost",
    "timed out", "settings",
)  # fmt: skip
#: Seconds until a pool that isn't whole again is given up on (a lost connection waits up to 10 s of backoff).
GIVEN_UP = 15.0


class Chaos(msgspec.Struct, kw_only=True):
    """What a run of faults came to. ``broken`` names each invariant that didn't hold."""

    seed: int
    tasks: int = 0
    outcomes: dict[str, int] = {}
    faults: dict[str, int] = {}
    broken: list[str] = []
    recovery: float = math.nan

    def text(self) -> str:
        """For people: one fact a line."""
        lines = [f"seed {self.seed}: {self.tasks} tasks, {sum(self.faults.values())} faults"]
        lines.append("faults:   " + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())))
        lines.append("outcomes: " + ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items())))
        lines.append(f"whole again {self.recovery:.2f} s after the last fault")
        lines += [f"BROKEN: {text}" for text in self.broken] or ["nothing lost"]
        return "\n".join(lines)


def by_name(site: Site, *names: str) -> list[psutil.Process]:
    """The processes below the site's runners that show one of ``names`` (see :mod:`sandbox.wire`)."""
    found = []
    for root in site.processes():
        for process in tree(root)[1:]:
            with suppress(psutil.NoSuchProcess):
                if process.name() in names:
                    found.append(process)
    return found


class Faults:
    """The faults that can be done to a site, each a method that does it once."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self.site, self.rng = site, rng
        self.handles: set[TaskHandle] = set()
        self.cancelled: set[int] = set()
        self._disorder = 0
        self._stopped: list[psutil.Process] = []
        site.broker.outgoing_filter = self._filter

    def all(self) -> list[Callable[[], Awaitable[None]]]:
        """Every fault."""
        return [self.kill_idle_worker, self.kill_busy_worker, self.kill_zygote, self.kill_runner, self.stop_worker,
                self.cut_connection, self.cancel_burst, self.disorder]  # fmt: skip

    async def kill_idle_worker(self) -> None:
        """SIGKILL to a parked worker."""
        self._kill(by_name(self.site, IDLE_NAME))

    async def kill_busy_worker(self) -> None:
        """SIGKILL to a worker with a task."""
        self._kill(by_name(self.site, BUSY_NAME))

    async def kill_zygote(self) -> None:
        """SIGKILL to a zygote: its workers go with it."""
        self._kill(by_name(self.site, ZYGOTE_NAME))

    def _kill(self, processes: Sequence[psutil.Process]) -> None:
        if processes:
            with suppress(psutil.NoSuchProcess):
                self.rng.choice(processes).kill()

    async def kill_runner(self) -> None:
        """SIGKILL to a whole runner; what starts runners starts it anew. Its processes must all go with it."""
        runner: RunnerProcess = self.rng.choice(self.site.runners)
        below = tree(runner.process)[1:]
        await runner.stop(kill=True)
        with trio.move_on_after(5.0):
            while any(alive(process) for process in below):
                await trio.sleep(0.01)
        left = [process.pid for process in below if alive(process)]
        if left:
            raise AssertionError(f"the killed runner left processes: {left}")
        runner.start()

    async def stop_worker(self) -> None:
        """SIGSTOP to a worker, for good: whoever waits for it must not wait for ever."""
        processes = by_name(self.site, BUSY_NAME, IDLE_NAME)
        if processes and len(self._stopped) < 2:
            chosen = self.rng.choice(processes)
            with suppress(psutil.NoSuchProcess):
                chosen.suspend()
                self._stopped.append(chosen)

    async def cut_connection(self) -> None:
        """The network breaks: a reset, without a close frame."""
        views = self.site.broker.runners
        if views:
            self.site.broker.disconnect(self.rng.choice(views).id, abrupt=True)

    async def cancel_burst(self) -> None:
        """Cancel half of all tasks at once, wherever in their lives they are."""
        for handle in list(self.handles):
            if self.rng.random() < 0.5:
                handle.cancel()

    async def disorder(self) -> None:
        """The next messages come twice, late, or (settings) not at all."""
        self._disorder = 12

    def _filter(self, runner_id: str, message: BrokerMessage) -> list[BrokerMessage | bytes | Delayed]:
        if not self._disorder:
            return [message]
        self._disorder -= 1
        dice = self.rng.random()
        if dice < 0.4:
            return [message, message]
        if dice < 0.8:
            return [Delayed(message, self.rng.random() * 0.05)]
        return [] if isinstance(message, BrokerTaskSettings) else [message]

    def settle(self) -> None:
        """No more of it: stopped workers go on (SIGCONT), messages come as they are."""
        self._disorder = 0
        for process in self._stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def alive(process: psutil.Process) -> bool:
    """Whether it runs, or sleeps; a zombie that waits for another parent does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wrong(case: Case, number: int, outcome: Outcome, console: int) -> str | None:
    """What is wrong with the end of a task under faults; None when it is right or a fault explains it."""
    if outcome.status == "done":
        return None if case.right(number, outcome, console) else "the result is not its own"
    if outcome.status in ("cancelled", "disconnected", "timeout"):
        return None
    if outcome.status == "error" and outcome.error is not None:
        text = outcome.error.message + " " + str(outcome.error.description or "")
        if case.expect == "error" and f"wrong {number}" in text:
            return None
        if any(words in text for words in _EXPLAINED):
            return None
        return f"an error that no fault explains: {text}"
    return f"ended as {outcome.status}"


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

    ``tasks`` or ``duration`` (seconds) ends it; ``faults`` names the methods of :class:`Faults` to draw
    from. Raises RuntimeError when a runner can't be started, trio.TooSlowError when the load hangs.
    """
    rng = random.Random(seed)
    found = Chaos(seed=seed)
    config = BrokerConfig(task_timeout=5.0, request_timeout=40.0, heartbeat_interval=1.0)
    environ = {"N8N_RUNNERS_TASK_TIMEOUT": "4", "REPTARIUM_SETTINGS_TIMEOUT": "1", "REPTARIUM_LOG_LEVEL": "critical"}
    async with open_site(command, command, runners=runners, environ=environ, config=config) as site:
        before = await _quiet(site, runners)
        injury = Faults(site, rng)
        chosen = [one for one in injury.all() if faults is None or one.__name__ in faults]
        ended = trio.Event()

        async def torment() -> None:
            names: list[Callable[[], Awaitable[None]]] = []
            while not ended.is_set():
                if not names:  # each fault once before any comes again
                    names = rng.sample(chosen, len(chosen))
                await trio.sleep(every * rng.uniform(0.5, 1.5))
                fault = names.pop()
                say(fault.__name__)
                found.faults[fault.__name__] = found.faults.get(fault.__name__, 0) + 1
                _ended_alone(site, found)
                try:
                    await fault()
                except AssertionError as error:
                    found.broken.append(str(error))

        limit = 120.0 + (duration or 0.0) * 2 + (tasks or 0) * 0.05
        with trio.fail_after(limit):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(torment)
                await _load(site, injury, found, rng, tasks, duration, concurrency)
                ended.set()
        injury.settle()
        _ended_alone(site, found)
        await _whole(site, runners, before, found)
        counters = site.broker.counters
        for name in ("duplicates", "foreign", "malformed", "unknown"):
            if getattr(counters, name):
                found.broken.append(f"{getattr(counters, name)} {name} messages came from the runners")
    return found


def _ended_alone(site: Site, found: Chaos) -> None:
    """No fault but a SIGKILL may end a runner: note one that has ended, and start it anew."""
    for runner in site.runners:
        if runner.status is not None:
            found.broken.append(f"a runner ended by itself with status {runner.status}")
            runner.start()


async def _load(
    site: Site,
    injury: Faults,
    found: Chaos,
    rng: random.Random,
    tasks: int | None,
    duration: float | None,
    concurrency: int,
) -> None:
    async def rpc(task: object, name: str, params: object) -> dict[str, str]:
        return {"mimeType": "text/plain"}

    site.broker.rpc_handler = rpc
    ends = math.inf if duration is None else trio.current_time() + duration
    limit = math.inf if tasks is None else tasks
    outcomes: Counter[str] = Counter()
    given = 0

    async def client() -> None:
        nonlocal given
        while given < limit and trio.current_time() < ends:
            given += 1
            number = given
            case = _SLEEPER if rng.random() < 0.2 else CASES[rng.choice(_WORK)]
            settings = case.settings(number)
            if case is _SLEEPER:
                settings = msgspec.structs.replace(settings, code=case.code)
            handle = site.broker.submit(settings)
            injury.handles.add(handle)
            outcome = await handle.outcome()
            injury.handles.discard(handle)
            found.tasks += 1
            outcomes[outcome.status] += 1
            problem = wrong(case, number, outcome, len(handle.console))
            if problem is not None and len(found.broken) < 20:
                found.broken.append(f"task {number} ({case.name}): {problem}")

    async with trio.open_nursery() as nursery:
        for _ in range(concurrency):
            nursery.start_soon(client)
    found.outcomes = dict(outcomes)


class _State(msgspec.Struct, frozen=True):
    processes: int
    descriptors: int
    threads: int


def _state(site: Site) -> _State:
    processes = descriptors = threads = 0
    for root in site.processes():
        processes += sum(alive(process) for process in tree(root))
        with suppress(psutil.NoSuchProcess):
            descriptors += root.num_fds()
            threads += root.num_threads()
    return _State(processes, descriptors, threads)


async def _quiet(site: Site, runners: int) -> _State:
    """What the site's processes hold once every pool is warm and nothing changes any more."""
    await registered(site, runners)
    last, since = _state(site), trio.current_time()
    with trio.move_on_after(GIVEN_UP):
        while trio.current_time() - since < 0.4:
            await trio.sleep(0.05)
            now = _state(site)
            if now != last:
                last, since = now, trio.current_time()
    return last


async def _whole(site: Site, runners: int, before: _State, found: Chaos) -> None:
    """Wait until everything is as before, and note what isn't, and how long it took."""
    since = trio.current_time()
    with trio.move_on_after(GIVEN_UP):
        await registered(site, runners)
        while True:
            now = _state(site)
            if now.processes == before.processes and now.descriptors <= before.descriptors + 2 * runners:
                break
            await trio.sleep(0.02)
    found.recovery = trio.current_time() - since
    now = _state(site)
    if now.processes != before.processes:
        found.broken.append(f"{now.processes} processes where {before.processes} were before the faults")
    if now.descriptors > before.descriptors + 2 * runners:
        found.broken.append(f"{now.descriptors} descriptors where {before.descriptors} were before the faults")
    # trio keeps an idle thread of its cache for ten seconds: one that fetched a grant is not a leak
    if now.threads > before.threads + runners:
        found.broken.append(f"{now.threads} threads where {before.threads} were before the faults")
    for root in site.processes():
        zombies = [p.pid for p in tree(root) if _zombie(p)]
        if zombies:
            found.broken.append(f"zombies: {zombies}")
        stopped = [p.pid for p in tree(root) if _stopped(p)]
        if stopped:
            found.broken.append(f"stopped processes: {stopped}")


def _zombie(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return False


def _stopped(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_STOPPED
    return False
