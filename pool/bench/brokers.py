"""What a task costs the supervisor when it serves many brokers, against one: ``reptarium bench --case brokers``.

Two runners, one with a single broker and one with :data:`MANY`, take turns at the same trivial tasks, all of their
slots taken. Measured is the processor time of the supervisor alone, without its zygote and workers: its event loop's.
Once every broker of the many has tasks that wait, once only one has while the others are idle.
"""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from reptarium.pool.bench.cases import CASES
from reptarium.pool.bench.report import Target
from reptarium.pool.bench.runners import START_TIMEOUT, RunnerProcess
from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker

#: The name of the case, and how many brokers are many.
NAME, MANY = "brokers", 40
#: How many times the loop time of one broker's task one of many may take.
LIMIT = 3.0
#: Tasks in flight, over all brokers: several times the slots of a runner under load.
_IN_FLIGHT = 80


class _Served:
    """A runner and its brokers."""

    def __init__(self, brokers: list[Broker], runner: RunnerProcess) -> None:
        self._brokers, self._runner = brokers, runner
        self.rejects = 0

    async def round(self, tasks: int, busy: int) -> float:
        """Milliseconds of the supervisor for each of so many tasks, which ``busy`` brokers ask for in turn.

        Raises RuntimeError for a task that ended as it must not.
        """
        case, brokers = CASES["trivial"], self._brokers[:busy]
        numbers = iter(range(tasks))

        async def ask() -> None:
            for number in numbers:
                outcome = await brokers[number % busy].submit(case.settings(number)).outcome()
                if not case.right(number, outcome):
                    raise RuntimeError(f"a task ended as {outcome.status}: {outcome.error}")

        before = self._loop(), sum(broker.counters.rejects for broker in self._brokers)
        async with trio.open_nursery() as nursery:
            for _ in range(_IN_FLIGHT):
                nursery.start_soon(ask)
        self.rejects = sum(broker.counters.rejects for broker in self._brokers) - before[1]
        return (self._loop() - before[0]) / tasks * 1000

    def _loop(self) -> float:
        times = self._runner.process.cpu_times()
        return float(times.user + times.system)


@asynccontextmanager
async def _served(count: int, command: str) -> AsyncIterator[_Served]:
    async with AsyncExitStack() as stack:
        config = BrokerConfig()
        brokers = [await stack.enter_async_context(open_broker(config)) for _ in range(count)]
        uris = ",".join(broker.uri for broker in brokers)
        runner = RunnerProcess(command, brokers[0], {"N8N_RUNNERS_TASK_BROKER_URI": uris})
        runner.start()
        try:
            with trio.move_on_after(START_TIMEOUT) as waiting:
                for broker in brokers:
                    await broker.wait_for_runner()
            if waiting.cancelled_caught:
                raise RuntimeError(f"not registered with {count} brokers within {START_TIMEOUT:g} s: {command}")
            yield _Served(brokers, runner)
        finally:
            await runner.stop()


async def measure(command: str, *, tasks: int, rounds: int, say: Callable[[str], None]) -> Sequence[Target]:
    """The ratio of both loads as a target each. ``say`` gets a line a load. Raises RuntimeError and OSError."""
    found = []
    async with _served(1, command) as one, _served(MANY, command) as many:
        await one.round(tasks // 4, 1)
        await many.round(tasks // 4, MANY)
        for busy, about in ((MANY, "all with tasks that wait"), (1, "all but one idle")):
            alone, shared, rejects = [], [], 0
            for _ in range(rounds):
                alone.append(await one.round(tasks, 1))
                shared.append(await many.round(tasks, busy))
                rejects += many.rejects
            ratio = statistics.median(shared) / statistics.median(alone)
            say(
                f"{MANY} brokers, {about}: {statistics.median(shared):.3f} ms of the supervisor a task, one broker "
                f"{statistics.median(alone):.3f}: {ratio:.2f} times; {rejects / (tasks * rounds):.2f} rejections a task"
            )
            found.append(
                Target(
                    name=f"loop time of a task, {MANY} brokers ({about}) over one",
                    wanted=f"at most {LIMIT:g} times",
                    measured=f"{ratio:.2f} times",
                    met=ratio <= LIMIT,
                )
            )
    return found
