"""What memory that is cheap to fork brings (``sandbox/process/heap.py``): ``python -m reptarium.pool.bench.heap``.

Two zygotes at a time, one with it and one without, give workers for small tasks in turn: a round on the one, a round on
the other, in an order that is drawn. Each pair of rounds has the machine's mood in common, so that their ratio tells
more than either; several pairs of zygotes, since addresses differ from start to start. What is counted is processor
time, that of a task's whole worker and the zygote's share, which a busy machine changes less than what a clock shows.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

import psutil
import trio

from reptarium.pool.embedded import embedded_settings
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.workers import zygote
from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.pool import WorkerPool
from reptarium.sandbox import wire
from reptarium.sandbox.wire import Kind

_WITH = zygote._COMMAND
_START = "from reptarium.sandbox.process import zygote; raise SystemExit(zygote.main())"
_WITHOUT = (*_WITH[: _WITH.index("-m")], "-c", _START)
_ITEMS = b'[{"json": {"n": 1234}}]'
_TASK = wire.with_head(wire.TaskHead(code="return _items", items_size=len(_ITEMS)), _ITEMS)
# Two-sided 95 % of a normal distribution
_SURE = 1.96


def ratio(these: Sequence[float], those: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean of the ratios of pairs, and the bounds of its 95 % interval. At least two pairs."""
    logarithms = [math.log(this / that) for this, that in zip(these, those, strict=True)]
    mean = statistics.fmean(logarithms)
    error = _SURE * statistics.stdev(logarithms) / math.sqrt(len(logarithms))
    return math.exp(mean), math.exp(mean - error), math.exp(mean + error)


async def _pool(stack: AsyncExitStack, command: tuple[str, ...], config: wire.ZygoteConfig) -> WorkerPool:
    """A warm pool whose zygote has been started so."""
    pool = WorkerPool(config, size=2)
    nursery = await stack.enter_async_context(trio.open_nursery())
    stack.callback(nursery.cancel_scope.cancel)
    stack.callback(pool.close)
    zygote._COMMAND = command
    await nursery.start(pool.run)
    await pool.wait_warm(pool.size)
    return pool


async def _round(pool: WorkerPool, tasks: int) -> float:
    """Seconds of processor time that a small task takes of its worker and the zygote, from fork to exit."""
    used, parent, before = 0.0, 0, 0.0
    for _ in range(tasks):
        worker = await pool.lease()
        if not parent:
            parent = psutil.Process(worker.pid).ppid()
            before = _cpu(parent)
        await worker.send(Kind.TASK, *_TASK)
        kind, answer = await worker.receive({Kind.RESULT: 2**16, Kind.FAILED: 2**16})
        if kind is not Kind.RESULT:
            raise RuntimeError(f"a task failed: {bytes(answer)!r}")
        pool.discard(worker)
        await worker.exited.wait()
        used += worker.end.cpu if worker.end else math.nan
    await pool.wait_warm(pool.size)
    return (used + _cpu(parent) - before) / tasks


def _cpu(pid: int) -> float:
    """Seconds that the process has run (``Documentation/scheduler/sched-stats.rst``)."""
    with open(f"/proc/{pid}/schedstat") as schedstat:
        return int(schedstat.read().split()[0]) / 1e9


async def measure(pairs: int, rounds: int, tasks: int, config: wire.ZygoteConfig) -> tuple[list[float], list[float]]:
    """Seconds a task, with and without: one figure a round, `rounds` for each of so many `pairs` of zygotes."""
    found: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs):
        async with AsyncExitStack() as stack:
            commands = (_WITH, _WITHOUT)
            sides = [0, 1] if pair % 2 else [1, 0]
            pools = {side: await _pool(stack, commands[side], config) for side in sides}
            for pool in pools.values():
                await _round(pool, tasks)
            for _ in range(rounds):
                random.shuffle(sides)
                for side in sides:
                    found[side].append(await _round(pools[side], tasks))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Exit status 0 when the interval says that it brings something, otherwise 1."""
    parser = argparse.ArgumentParser(prog="python -m reptarium.pool.bench.heap", description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=6, help="pairs of zygotes")
    parser.add_argument("--rounds", type=int, default=6, help="pairs of rounds on each")
    parser.add_argument("--tasks", type=int, default=60, help="tasks of a round")
    arguments = parser.parse_args(argv)
    settings = embedded_settings({"N8N_RUNNERS_STDLIB_ALLOW": "*"})
    configure_logging(settings)
    with_it, without = trio.run(measure, arguments.pairs, arguments.rounds, arguments.tasks, zygote_config(settings))
    middle, low, high = ratio(with_it, without)
    print(
        f"processor time of a small task, worker and zygote: {statistics.median(with_it) * 1e3:.2f} ms with, "
        f"{statistics.median(without) * 1e3:.2f} ms without; ratio {middle:.3f}, 95 % interval {low:.3f} to {high:.3f} "
        f"({len(with_it)} pairs of rounds, {arguments.pairs} pairs of zygotes)"
    )
    return int(high >= 1)


if __name__ == "__main__":
    sys.exit(main())
