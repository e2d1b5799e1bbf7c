"""How long one trivial task takes on an idle pool, and how that splits.

    python -m reptarium.pool.bench.dispatch [--tasks N] [--concurrency N]

The whole path is real: embedded broker, WebSocket on loopback, zygote, sandboxed workers. Tasks
go one at a time with a pause in between, so that the worker's replacement is parked again. Then
as many as the machine can take, with ``--concurrency`` in flight.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import trio

from reptarium.pool.embedded import embedded_runner, embedded_settings
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.tasks.execution import Execution

TASK = {"code": "return _items", "items": [{"json": {"n": 1}, "pairedItem": {"item": 0}}]}
#: Seconds between two tasks of the idle measurement: a replacement is forked and parked in 3-4 ms.
PAUSE = 0.02


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m reptarium.pool.bench.dispatch", description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--concurrency", type=int, default=50)
    arguments = parser.parse_args(argv)
    settings = embedded_settings({"N8N_RUNNERS_STDLIB_ALLOW": "*", **os.environ}, max_concurrency=10, warm_workers=10)
    configure_logging(settings)
    return trio.run(_measure, settings, arguments.tasks, arguments.concurrency)


def recording() -> list[Any]:
    """From here on what each execution in this process reports at its end, in a list that grows."""
    reports: list[Any] = []
    run = Execution.run

    async def recorded(self: Execution) -> Any:
        outcome = await run(self)
        reports.append(self.report)
        return outcome

    Execution.run = recorded  # type: ignore[method-assign]
    return reports


async def _measure(settings: Any, tasks: int, concurrency: int) -> int:
    reports = recording()
    async with embedded_runner(settings) as broker:
        for _ in range(50):
            await broker.submit(TASK).outcome()
        reports.clear()
        whole = []
        for _ in range(tasks):
            await trio.sleep(PAUSE)
            started = time.perf_counter()
            outcome = await broker.submit(TASK).outcome()
            whole.append(time.perf_counter() - started)
            if outcome.status != "done":
                print(f"a task ended as {outcome.status}", file=sys.stderr)
                return 1
        print(f"idle pool, {tasks} trivial tasks one at a time ({os.cpu_count()} processors), ms:")
        _row("request to done, at the broker", whole)
        _row("settings received to done ready", [report.duration for report in reports])
        _row("  of it: to the worker's socket", [report.dispatch for report in reports])
        _row("  of it: decode, compile, run, encode", [report.duration - report.dispatch for report in reports])

        count = tasks * 4
        turns = trio.CapacityLimiter(concurrency)
        started = time.perf_counter()
        async with trio.open_nursery() as nursery:

            async def one() -> None:
                async with turns:
                    await broker.submit(TASK).outcome()

            for _ in range(count):
                nursery.start_soon(one)
        took = time.perf_counter() - started
        print(
            f"saturated, {concurrency} in flight on 10 slots: {count / took:.0f} tasks/s (broker in the same process)"
        )
    return 0


def _row(label: str, values: list[float]) -> None:
    quantiles = statistics.quantiles(values, n=100)
    print(
        f"  {label:38} p50 {quantiles[49] * 1e3:6.2f}   p90 {quantiles[89] * 1e3:6.2f}   p99 {quantiles[98] * 1e3:6.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
