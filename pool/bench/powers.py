"""What powers cost a task that doesn't use them.

    python -m reptarium.pool.bench.powers [--tasks N] [--rounds N] [--with WHAT ...]

Runners with different powers stand side by side in one process and are asked in turn, a few tasks each, so that what
the machine is busy with meets them alike. The whole path is real: embedded brokers, WebSockets on loopback, zygotes,
sandboxed workers. Target: with all powers a task takes at most 0.3 ms longer from its settings to its result.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from reptarium.pool.bench.dispatch import recording
from reptarium.pool.embedded import embedded_settings
from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.runner import Runner

TASK = {"code": "return _items", "items": [{"json": {"n": 1}, "pairedItem": {"item": 0}}]}
CONNECT, SCRATCH, PYTHON = "REPTARIUM_CONNECT_ALLOW", "REPTARIUM_SCRATCH", "REPTARIUM_LANGUAGE"
POWERS = {PYTHON: "python", SCRATCH: "64MiB", CONNECT: "db.example:5432"}
#: What is compared with the first.
VARIANTS: dict[str, dict[str, str]] = {
    "no powers": {},
    "limits by a rule": {"REPTARIUM_POLICY": '[[rule]]\nname = "less"\ntask_memory = "64MiB"\n'},
    **{f"{name}={value}": {name: value} for name, value in POWERS.items()},
    "all powers": POWERS,
}
TARGET = 0.3
#: Seconds between two tasks: a replacement is forked and parked in 3-5 ms.
PAUSE = 0.02


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m reptarium.pool.bench.powers", description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=10, help="tasks of each in a round (default: 10)")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument(
        "--with", dest="variants", nargs="*", choices=[*VARIANTS][1:], default=[*VARIANTS][1:], metavar="WHAT",
        help=f"what is compared with no powers: {', '.join(map(repr, [*VARIANTS][1:]))} (default: all of these)",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    configure_logging(embedded_settings(os.environ))
    variants = {name: VARIANTS[name] for name in ("no powers", *arguments.variants)}
    return trio.run(_measure, variants, arguments.tasks, arguments.rounds)


class _Side:
    """A runner with its broker, and what was measured of it, in ms a task."""

    def __init__(self, broker: Broker, runner: Runner) -> None:
        self.broker, self.runner = broker, runner
        self.whole: list[float] = []
        self.settings_to_result: list[float] = []
        self.supervisor: list[float] = []
        self.workers: list[float] = []

    def _worker_cpu(self) -> float:
        return self.runner.metrics.registry.get_sample_value("reptarium_workers_cpu_seconds_total") or 0.0

    async def ask(self, tasks: int, reports: list[Any]) -> None:
        """So many tasks, one after the other."""
        reports.clear()
        own, theirs = time.process_time(), self._worker_cpu()
        for _ in range(tasks):
            await trio.sleep(PAUSE)
            started = time.perf_counter()
            outcome = await self.broker.submit(TASK).outcome()
            self.whole.append((time.perf_counter() - started) * 1e3)
            if outcome.status != "done":
                raise RuntimeError(f"a task ended as {outcome.status}")
        await trio.sleep(PAUSE)
        self.settings_to_result += [report.duration * 1e3 for report in reports]
        self.supervisor.append((time.process_time() - own) * 1e3 / tasks)
        self.workers.append((self._worker_cpu() - theirs) * 1e3 / tasks)


async def _measure(variants: dict[str, dict[str, str]], tasks: int, rounds: int) -> int:
    reports = recording()
    async with contextlib.AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides = {}
        for name, environ in variants.items():
            broker = await stack.enter_async_context(open_broker(BrokerConfig()))
            sides[name] = _Side(broker, await _runner(broker, environ, directory, nursery))
        for side in sides.values():
            await side.ask(10, reports)  # until everything has been used once
            side.__init__(side.broker, side.runner)  # type: ignore[misc]
        for _ in range(rounds):
            for side in sides.values():
                await side.ask(tasks, reports)
        for side in sides.values():
            side.runner.shutdown()
    return _show(sides, rounds * tasks)


async def _runner(broker: Broker, environ: dict[str, str], directory: Path, nursery: trio.Nursery) -> Runner:
    if policy := environ.get("REPTARIUM_POLICY"):
        file = directory / "policy.toml"
        file.write_text(policy)
        environ = {**environ, "REPTARIUM_POLICY": str(file)}
    settings = embedded_settings({"N8N_RUNNERS_STDLIB_ALLOW": "*", **environ}, max_concurrency=2, warm_workers=4)
    told = {"broker_uris": (broker.uri,), "broker_path": "/runners", "grant_token": broker.grant_token()}
    runner = Runner(msgspec.structs.replace(settings, **told))
    nursery.start_soon(runner.run)
    await broker.wait_for_runner()
    await runner.pool.wait_warm()
    return runner


def _show(sides: dict[str, _Side], count: int) -> int:
    first = next(iter(sides.values()))
    print(f"{count} trivial tasks of each, in turns ({os.cpu_count()} processors); medians in ms, and what each adds:")
    print(f"{'':32}{'request to done':>18}{'settings to result':>20}{'supervisor':>18}{'worker':>18}")
    for name, side in sides.items():
        cells = []
        for field in ("whole", "settings_to_result", "supervisor", "workers"):
            own, base = (statistics.median(getattr(one, field)) for one in (side, first))
            cells.append(f"{own:.2f}" + ("" if side is first else f" ({own - base:+.2f})"))
        print(f"{name:32}{cells[0]:>18}{cells[1]:>20}{cells[2]:>18}{cells[3]:>18}")
    if "all powers" not in sides:
        return 0
    grown, fastest = (
        which(sides["all powers"].settings_to_result) - which(first.settings_to_result)
        for which in (statistics.median, _tenth)
    )
    print(f"with all powers {grown:+.2f} ms from settings to result; target: at most {TARGET:+.2f}")
    print(f"in the fastest tenth of each {fastest:+.2f} ms: what a busy machine hides least")
    return int(grown > TARGET)


def _tenth(values: list[float]) -> float:
    return sorted(values)[len(values) // 10]


if __name__ == "__main__":
    sys.exit(main())
