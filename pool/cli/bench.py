"""``reptarium bench``: put a runner under load, or under faults, and say what came of it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import msgspec
import structlog
import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from reptarium.pool.bench import brokers, chaos, report
from reptarium.pool.bench.cases import CASES, DEFAULT_CASES, Case, Mix
from reptarium.pool.bench.load import Plan, Round, run_round
from reptarium.pool.bench.runners import KNOWN, Site, open_site
from reptarium.pool.bench.stats import Usage, usage
from reptarium.pool.bench.targets import SETTLED, SOAK, judge
from reptarium.pool.cli.status import BAD_INPUT

#: Tasks in the mix, and tasks of each case that are run before anything is measured.
_MIX_TASKS, _WARM_UP = 2000, 20
_NAMES = (*DEFAULT_CASES, brokers.NAME)
#: Seconds of a round when two runners take turns.
_TURN = 5.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Load a runner through the embedded broker and measure it. The runner is started as a child "
        "process and told the broker in N8N_RUNNERS_TASK_BROKER_URI and N8N_RUNNERS_AUTH_TOKEN. Without --case, all."
    )
    parser.epilog = (
        "Cases: "
        + "; ".join(f"{case.name} ({case.about})" for case in CASES.values())
        + f"; mix (by weight); brokers (what a task costs the supervisor with {brokers.MANY} brokers, against one)."
    )
    known = ", ".join(KNOWN)
    parser.add_argument("--runner-cmd", default="reptarium", metavar="CMD", help=f"the runner: a command, or {known}")
    parser.add_argument("--against", metavar="CMD", help="a second runner, in turns with the first; prints ratios")
    parser.add_argument("--case", action="append", choices=_NAMES, metavar="NAME", help="may be repeated")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--tasks", type=_count, metavar="N", help="tasks in a round (default: the case's)")
    amount.add_argument("--duration", type=_positive, metavar="S", help="seconds of a round")
    parser.add_argument("--concurrency", type=_count, metavar="N", help="tasks in flight (default: the case's)")
    parser.add_argument("--rate", type=_positive, metavar="R", help="open loop: tasks that arrive per second")
    parser.add_argument("--rounds", type=_count, default=3, metavar="N", help="rounds of each case (default: 3)")
    parser.add_argument("--runners", type=_count, default=1, metavar="N", help="runners on the broker (default: 1)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write FILE.html or FILE.json")
    parser.add_argument("--seed", type=int, default=1, help="of the mix, of arrivals, of faults (default: 1)")
    parser.add_argument("--chaos", action="store_true", help="inject faults and check that nothing is lost")


def call(arguments: argparse.Namespace) -> int:
    """Run the load. Returns 0; 1 when a task ended as it must not, 2 for a runner that couldn't be started."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(stderr=True)
    try:
        if arguments.chaos:
            return trio.run(_chaos, arguments, console)
        return trio.run(_bench, arguments, console)
    except (RuntimeError, OSError) as error:
        print(f"reptarium bench: {error}", file=sys.stderr)
        return BAD_INPUT


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


async def _bench(arguments: argparse.Namespace, console: Console) -> int:
    results: list[report.CaseResult] = []
    ratios: list[report.Ratio] = []
    targets: list[report.Target] = []
    for name in dict.fromkeys(arguments.case or _NAMES):
        if name == brokers.NAME:
            tasks, rounds = arguments.tasks or _MIX_TASKS, arguments.rounds
            command = arguments.runner_cmd
            targets += await brokers.measure(command, tasks=tasks, rounds=rounds, say=partial(print, flush=True))
            continue
        found = await _measure(name, arguments, console)
        results += found
        if len(found) == 2:
            ratios.append(report.ratio(*found))
    whole = report.build(arguments.argv, results, ratios, [*judge(results, ratios), *targets])
    if arguments.report is not None:
        data = report.to_json(whole) if arguments.report.suffix == ".json" else report.to_html(whole).encode()
        arguments.report.write_bytes(data)
    _show(whole, Console())
    return 1 if any(result.failures for result in results) else 0


def _plan(name: str, arguments: argparse.Namespace) -> Plan:
    case = CASES.get(name)
    tasks, duration = arguments.tasks, arguments.duration
    if tasks is None and duration is None and arguments.against is not None:
        duration = _TURN  # the slower of two would take for ever with the same number of tasks
    elif tasks is None and duration is None:
        tasks = case.tasks if case is not None else _MIX_TASKS
    return Plan(
        tasks=tasks,
        duration=duration,
        concurrency=arguments.concurrency or (case.concurrency if case is not None else 50),
        rate=arguments.rate,
        pause=case.pause if case is not None and arguments.concurrency is None else 0.0,
        seed=arguments.seed,
    )


def _load_text(plan: Plan) -> str:
    if plan.rate is not None:
        return f"open loop, {plan.rate:g} tasks/s"
    pause = f", {plan.pause * 1000:g} ms pause" if plan.pause else ""
    return f"closed loop, {plan.concurrency} in flight{pause}"


async def _measure(name: str, arguments: argparse.Namespace, console: Console) -> list[report.CaseResult]:
    """One case, on fresh runners; two of them take turns."""
    case, plan = CASES.get(name), _plan(name, arguments)
    commands = [arguments.runner_cmd] + ([arguments.against] if arguments.against is not None else [])
    labels = [_label(command) for command in commands]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({letter})" for label, letter in zip(labels, "AB", strict=True)]
    environ = dict(case.environ) if case is not None else {}
    async with AsyncExitStack() as stack:
        sites: list[Site] = []
        for label, command in zip(labels, commands, strict=True):
            opened = open_site(label, command, runners=arguments.runners, environ=environ)
            sites.append(await stack.enter_async_context(opened))
        for site in sites:
            warm = Plan(tasks=min(_WARM_UP, plan.tasks or _WARM_UP), concurrency=min(plan.concurrency, 4))
            await run_round(site, _chooser(case, arguments.seed), warm)
        rest: dict[str, list[Usage]] = {label: [] for label in labels}
        soak = (plan.tasks or 0) * arguments.rounds >= SOAK
        if soak:
            for site in sites:
                await run_round(site, _chooser(case, arguments.seed), msgspec.structs.replace(plan, tasks=SETTLED))
                rest[site.label].append(await _at_rest(site))
        rounds: dict[str, list[Round]] = {label: [] for label in labels}
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f} tasks"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        ) as progress:
            for number in range(arguments.rounds):
                for site in sites:
                    bar = progress.add_task(f"{name} {site.label} {number + 1}/{arguments.rounds}", total=plan.tasks)
                    tell = partial(_advance, progress, bar)
                    # the same seed for both runners of a round: the same tasks, the same arrivals
                    choose = _chooser(case, arguments.seed + number)
                    rounds[site.label].append(await run_round(site, choose, plan, progress=tell))
                    progress.remove_task(bar)
        if soak:
            for site in sites:
                rest[site.label].append(await _at_rest(site))
        return [
            report.case_result(name, _load_text(plan), site, rounds[site.label], rest[site.label]) for site in sites
        ]


async def _at_rest(site: Site) -> Usage:
    await trio.sleep(2.0)  # the last workers are replaced
    return usage(site.processes())


def _advance(progress: Progress, bar: object, done: int) -> None:
    progress.update(bar, completed=done)  # type: ignore[arg-type]


def _chooser(case: Case | None, seed: int) -> Mix | partial[Case]:
    return Mix(seed) if case is None else partial(_same, case)


def _same(case: Case) -> Case:
    return case


def _label(command: str) -> str:
    return command if command in KNOWN else Path(command.split()[0]).name


def _show(whole: report.BenchReport, console: Console) -> None:
    if not console.is_terminal:
        console = Console(width=150)
    table = Table("case", "runner", title=None)
    for column in (
        "tasks/s",
        "p50 ms",
        "p90",
        "p99",
        "p99.9",
        "max",
        "wrong",
        "rejects",
        "CPU ms",
        "peak MB",
        "generator",
    ):
        table.add_column(column, justify="right")
    for one in whole.results:
        table.add_row(
            one.case, one.runner, f"{one.throughput:.1f}", *(report.ms(value) for value in one.latency.values()),
            str(one.failures), str(one.rejects), f"{one.cpu_per_task * 1000:.2f}", f"{report.peak(one) / 1e6:.0f}",
            f"{one.generator_share:.0%}",
        )  # fmt: skip
    if whole.results:
        console.print(table)
    for one in whole.results:
        for text in one.wrong[:3]:
            console.print(f"wrong: {text}", style="red", markup=False)
    for pair in whole.ratios:
        rounds = ", ".join(f"{value:.1f}" for value in pair.rounds)
        console.print(
            f"{pair.case}: {pair.throughput:.2f} times the tasks/s (rounds: {rounds}), p50 {pair.p50:.2f} times"
        )
    for target in whole.targets:
        verdict = "met   " if target.met else "missed"
        console.print(f"{verdict}  {target.name}: {target.measured} (wanted: {target.wanted})", markup=False)


async def _chaos(arguments: argparse.Namespace, console: Console) -> int:
    outcome = await chaos.run(
        seed=arguments.seed,
        runners=arguments.runners,
        tasks=arguments.tasks,
        duration=arguments.duration or (None if arguments.tasks else 30.0),
        concurrency=arguments.concurrency or 50,
        command=arguments.runner_cmd,
        say=lambda text: console.print(text, markup=False, highlight=False) if os.isatty(2) else None,
    )
    print(outcome.text())
    return 1 if outcome.broken else 0
