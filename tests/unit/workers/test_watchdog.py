"""The watchdog: how often it looks, what it leaves to others, whom it kills. Real /proc files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import pytest
import trio
import trio.testing

from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.workers.watchdog import CPU_INTERVAL, FASTEST, INTERVAL, LONGEST, Watchdog, footprint_of

pytestmark = pytest.mark.usefixtures("nothing_left")


class Process:
    """A worker, as far as it is watched."""

    def __init__(self, pid: int, baseline: int = -1) -> None:
        self.pid, self.baseline = pid, baseline
        self.cpu, self.number, self.limits = 0.0, 1, None
        self.exited = trio.Event()
        self.killed_for: str | None = None

    def kill(self, reason: str) -> None:
        """Note it."""
        self.killed_for = self.killed_for or reason


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When somebody was looked at."""
    times: list[float] = []
    look = Watchdog._look

    def noted(watchdog: Watchdog, entry: Any, now: float) -> None:
        times.append(now)
        look(watchdog, entry, now)

    monkeypatch.setattr(Watchdog, "_look", noted)
    return times


async def watch(watchdog: Watchdog, processes: list[Any], seconds: float) -> None:
    """Watch them for so long, with nothing else to do."""
    for process in processes:
        watchdog.watch(process)
    with trio.move_on_after(seconds):
        await watchdog.run()
    for process in processes:
        watchdog.unwatch(process)
    assert watchdog.watched == {}


@pytest.mark.parametrize(("seconds", "every"), [(0.0, INTERVAL), (0.15, 0.15), (60.0, LONGEST)])
async def test_who_is_far_from_its_limit_is_looked_at_rarely(
    seconds: float, every: float, looks: list[float], autojump_clock: trio.testing.MockClock
) -> None:
    """As soon as it can be over it, if it begins to grow now; where that is at once, as often as ever."""
    held = footprint_of(os.getpid())
    # what this process holds grows and shrinks a little meanwhile
    process = Process(os.getpid(), baseline=held + (64 << 20))
    await watch(Watchdog(int(seconds * FASTEST), 64, Metrics()), [process], 20.0)
    between = [after - before for before, after in pairwise(looks)]
    assert every - INTERVAL <= min(between) <= max(between) <= every + 2 * INTERVAL
    assert process.killed_for is None


async def test_nobody_is_woken_while_there_is_no_task(
    looks: list[float], autojump_clock: trio.testing.MockClock
) -> None:
    """Not even to see that there is none; the next task is looked at as the first one was."""
    watchdog, process = Watchdog(2**40, 64, Metrics()), cast(Any, Process(os.getpid()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watchdog.run)
        for _ in range(2):
            await trio.testing.wait_all_tasks_blocked()
            assert trio.lowlevel.current_statistics().seconds_to_next_deadline == float("inf")
            watchdog.watch(process)
            began = trio.current_time()
            await trio.sleep(1.5 * INTERVAL)
            assert looks == [began + INTERVAL]
            looks.clear()
            watchdog.unwatch(process)
            await trio.sleep(1.5 * INTERVAL)
        nursery.cancel_scope.cancel()


@pytest.fixture
def children() -> Iterator[list[Process]]:
    """Sixty processes that do nothing."""
    started = [subprocess.Popen(["sleep", "60"]) for _ in range(60)]
    yield [Process(child.pid) for child in started]
    for child in started:
        child.kill()
        child.wait()


async def test_everybody_has_their_turn_between_looks(
    children: list[Process], looks: list[float], autojump_clock: trio.testing.MockClock
) -> None:
    """However many are watched: the others go on after a few of them."""
    turns: list[int] = []

    class Others(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            turns.append(len(looks))

    others = Others()
    trio.lowlevel.add_instrument(others)
    await watch(Watchdog(2**40, 64, Metrics()), children, INTERVAL * 1.5)
    trio.lowlevel.remove_instrument(others)
    assert len(looks) == len(children)
    assert max(after - before for before, after in pairwise(turns)) <= 25


async def test_what_was_held_before_the_task_does_not_count(autojump_clock: trio.testing.MockClock) -> None:
    """What goes over it does, and is killed once."""
    held = footprint_of(os.getpid())
    limit = held // 4
    within, beyond = Process(os.getpid(), baseline=held), Process(os.getpid(), baseline=held // 2)
    await watch(Watchdog(limit, 64, Metrics()), [within], 1.0)
    await watch(Watchdog(limit, 64, Metrics()), [beyond], 1.0)
    assert (within.killed_for, beyond.killed_for) == (None, "memory")


async def test_a_thread_too_many_ends_a_task(autojump_clock: trio.testing.MockClock) -> None:
    """Beside the first one it may have so many."""
    now = len(os.listdir("/proc/self/task")) - 1
    for may, killed_for in ((now, None), (now - 1, "threads")):
        process = Process(os.getpid())
        await watch(Watchdog(2**40, may, Metrics()), [process], 1.0)
        assert process.killed_for == killed_for


async def test_processor_time_is_counted_while_a_task_runs(autojump_clock: trio.testing.MockClock) -> None:
    """Up to the last look; the metric rises once for each second of it."""
    metrics = Metrics()
    process = Process(os.getpid())
    await watch(Watchdog(2**40, 64, metrics), [process], 3 * CPU_INTERVAL)
    counted = metrics.registry.get_sample_value("reptarium_workers_cpu_seconds_total")
    assert counted == pytest.approx(process.cpu)
    assert 0 < process.cpu <= sum(os.times()[:2]) + 0.02  # both in ticks of 10 ms, added differently


async def test_a_fault_with_one_is_no_others(
    looks: list[float], monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Whatever can't be made of what the system says of one: it is counted, and the next one is looked at."""
    metrics, look = Metrics(), Watchdog._look
    odd, next_one = Process(os.getpid()), Process(os.getpid())

    def stumble(watchdog: Watchdog, entry: Any, now: float) -> None:
        if entry.worker is odd:
            raise ValueError("of a kind that nobody foresaw")
        look(watchdog, entry, now)

    monkeypatch.setattr(Watchdog, "_look", stumble)
    await watch(Watchdog(2**40, 64, metrics), [odd, next_one], 3 * CPU_INTERVAL)
    assert len(looks) >= 3 * CPU_INTERVAL / LONGEST - 1
    faults = metrics.registry.get_sample_value("reptarium_faults_total", {"part": "watchdog"})
    assert faults is not None
    assert 2 <= faults <= 3


async def test_a_process_id_that_is_used_again(autojump_clock: trio.testing.MockClock) -> None:
    """A worker whose task has not ended yet, though it has, isn't taken for the next one with its id."""
    metrics = Metrics()
    watchdog = Watchdog(2**40, 64, metrics)
    before, after = Process(os.getpid()), Process(os.getpid())
    before.exited.set()
    await watch(watchdog, [before], 1.0)
    assert metrics.registry.get_sample_value("reptarium_workers_memory_bytes") == 0
    watchdog.watch(before)  # type: ignore[arg-type] # as far as it is watched
    watchdog.watch(after)  # type: ignore[arg-type]
    watchdog.unwatch(before)  # type: ignore[arg-type]
    assert list(watchdog.watched) == [after]


@pytest.fixture
def ended() -> subprocess.Popen[bytes]:
    """A process that has ended and isn't reaped."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return process


async def test_who_has_ended_is_nobodys_fault(
    ended: subprocess.Popen[bytes], autojump_clock: trio.testing.MockClock
) -> None:
    """Reaped or not: it holds nothing, and the next one is looked at all the same."""
    metrics, here = Metrics(), Process(os.getpid())
    watchdog = Watchdog(2**40, 64, metrics)
    zombie = Process(ended.pid)
    watchdog.watch(zombie)  # type: ignore[arg-type] # as far as it is watched
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watchdog.run)
        await trio.sleep(3 * CPU_INTERVAL)
        ended.poll()
        await trio.sleep(3 * CPU_INTERVAL)
        watchdog.watch(here)  # type: ignore[arg-type]
        await trio.sleep(CPU_INTERVAL)
        nursery.cancel_scope.cancel()
    assert metrics.registry.get_sample_value("reptarium_workers_memory_bytes") == watchdog.watched[here].held > 0
    for process in (zombie, here):
        watchdog.unwatch(process)  # type: ignore[arg-type]
