"""What a task costs by the size of its items: it must grow in step with the payload, and no faster.

    python -m reptarium.pool.bench.payload [--rounds N]

The same items go in and out, one task at a time, through broker, WebSocket and sandboxed worker. The
last column is what matters: milliseconds for each MB on top of what an empty task takes.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Sequence

import structlog
import trio

from reptarium.pool.bench.cases import bulk_items
from reptarium.pool.bench.runners import open_site
from reptarium.pool.embedded_broker import Broker
from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.protocol.messages import TaskSettings

#: Bytes of JSON in, and out again.
SIZES = (0, 10_000, 100_000, 1_000_000, 5_000_000, 20_000_000, 50_000_000)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m reptarium.pool.bench.payload", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="tasks of each size (default: 9)")
    arguments = parser.parse_args(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return trio.run(_measure, arguments.rounds)


async def _measure(rounds: int) -> int:
    empty = 0.0
    async with open_site("reptarium", "reptarium") as site:
        print(f"{'bytes in and out':>16} {'ms':>9} {'ms/MB':>8}")
        for size in SIZES:
            settings = task_settings({"code": "return _items", "items": bulk_items(size) if size else []})
            took = statistics.median([await _one(site.broker, settings) for _ in range(rounds)]) * 1000
            empty = empty or took
            each = f"{(took - empty) / (size / 1e6):8.2f}" if size else ""
            print(f"{len(memoryview(settings.items)):16,} {took:9.2f} {each}")
    return 0


async def _one(broker: Broker, settings: TaskSettings) -> float:
    await trio.sleep(0.05)  # the replacement of the last worker is parked
    begun = time.perf_counter()
    outcome = await broker.submit(settings).outcome()
    took = time.perf_counter() - begun
    if outcome.status != "done":
        raise RuntimeError(f"a task ended as {outcome.status}")
    return took


if __name__ == "__main__":
    sys.exit(main())
