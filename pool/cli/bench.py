"""``reptarium bench``: put a runner under load, or under faults, and say what came of it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec
import structlog
import trio
from rich.console import Console
from rich.table import Table

from reptarium.pool.bench import brokers, chaos, page, report
from reptarium.pool.bench.cases import CASES, DEFAULT_CASES, Case, Mix
from reptarium.pool.bench.load import Plan, Round, run_round
from reptarium.pool.bench.progress import LoadProgress
from reptarium.pool.bench.runners import KNOWN, Site, kill_all, open_site
from reptarium.pool.bench.stats import Usage, usage
from reptarium.pool.bench.targets import SETTLED, SOAK, judge
from reptarium.pool.bench.thresholds import Threshold, compared, threshold
from reptarium.pool.cli.say import say
from reptarium.pool.cli.status import BAD_INPUT, INTERRUPTED
from reptarium.pool.embedded_broker import BrokerConfig

#: Tasks in the mix, and tasks of each case that are run before anything is measured.
_MIX_TASKS, _WARM_UP = 2000, 20
_NAMES = (*DEFAULT_CASES, brokers.NAME)
#: Seconds of a round when two runners take turns.
_TURN = 5.0
#: Columns that the table needs.
_WIDE = 130
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
    parser.add_argument("--report", type=_report_file, metavar="FILE", help="write FILE, .html or .json, at the end")
    parser.add_argument("--seed", type=int, default=1, help="of the mix, of arrivals, of faults (default: 1)")
    parser.add_argument(
        "--queue-timeout",
        type=_positive,
        default=60.0,
        metavar="S",
        help="how long a task may wait for a runner before it has failed (default: 60, n8n's)",
    )
    parser.add_argument(
        "--fail-if",
        type=_threshold,
        action="append",
        default=[],
        metavar="COND",
        help="exit status 1 when it holds for the first runner: 'p99>50ms', 'rate<400', 'failed>0'; may be repeated",
    )
    parser.add_argument(
        "what", nargs="*", metavar="diff A.json B.json", help="compare two reports instead, the second over the first"
    )
    parser.add_argument("--targets", action="store_true", help="hold the figures against the project's own targets")
    parser.add_argument("--chaos", action="store_true", help="inject faults and check that nothing is lost")


def call(arguments: argparse.Namespace) -> int:
    """Run the load. Returns 0; 1 when a task ended as it must not, 2 for what can't be started or written.

    On SIGINT, SIGTERM or SIGHUP it ends, reports what it has measured by then, and returns 130.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(stderr=True)
    if arguments.what:
        return _diff(arguments.what)
    try:
        if arguments.chaos:
            return trio.run(_chaos, arguments, console)
        return trio.run(_bench, arguments, console)
    except BrokenPipeError:
        raise
    except (RuntimeError, OSError) as error:
        print(f"reptarium bench: {error}", file=sys.stderr)
        return BAD_INPUT


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _diff(what: Sequence[str]) -> int:
    """Compare two reports. Returns 0, or 2 for what are none, or have nothing in common."""
    if what[0] != "diff" or len(what) != 3:
        say("reptarium bench: after the options, only: diff A.json B.json")
        return BAD_INPUT
    found = []
    for name in what[1:]:
        try:
            found.append(msgspec.json.decode(Path(name).read_bytes(), type=report.BenchReport))
        except OSError as error:
            say(f"reptarium bench: {name}: {error.strerror}")
            return BAD_INPUT
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            say(f"reptarium bench: {name} is no report of this version (--report FILE.json): {error}")
            return BAD_INPUT
    lines = list(compared(*found))
    if not lines:
        say("reptarium bench: the two have no case of the same runner in common")
        return BAD_INPUT
    print("\n".join(lines))
    return 0


def _threshold(text: str) -> Threshold:
    try:
        return threshold(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _report_file(text: str) -> Path:
    if (path := Path(text)).suffix not in (".html", ".json"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither .html nor .json")
    return path


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


class _Found:
    """What has been measured by now."""

    def __init__(self) -> None:
        self.results: list[report.CaseResult] = []
        self.ratios: list[report.Ratio] = []
        self.targets: list[report.Target] = []


async def _bench(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.report is not None:
        try:  # before an hour's load, not after it
            arguments.report.open("ab").close()
        except OSError as error:
            say(f"reptarium bench: --report {arguments.report}: {error.strerror}")
            return BAD_INPUT
    found, conditions = _Found(), report.Conditions()
    interrupted = True
    async with trio.open_nursery() as nursery:
        await nursery.start(_end_on_signal, nursery.cancel_scope)
        await _measure_all(arguments, console, found)
        interrupted = False
        nursery.cancel_scope.cancel()
    targets = [*judge(found.results, found.ratios), *found.targets] if arguments.targets else []
    whole = report.build(
        arguments.argv, found.results, found.ratios, targets, conditions=conditions, interrupted=interrupted
    )
    if arguments.report is not None:
        data = report.to_json(whole) if arguments.report.suffix == ".json" else page.to_html(whole).encode()
        arguments.report.write_bytes(data)
    _show(whole, Console())
    if interrupted:
        return INTERRUPTED
    ours = [one for one in found.results if one.runner == found.results[0].runner]
    broken = [text for one in ours for limit in arguments.fail_if if (text := limit.broken(one)) is not None]
    for text in broken:
        say(f"failed if {text}")
    return 1 if broken or any(result.failures for result in found.results) else 0


async def _end_on_signal(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """The first signal ends the load in order, the second everything."""
    with trio.open_signal_receiver(*_ENDING) as signals:
        task_status.started()
        async for _ in signals:
            break
    for number in _ENDING:
        signal.signal(number, _end_at_once)
    say("reptarium bench: ending; once more ends it at once")
    scope.cancel()


def _end_at_once(number: int, frame: object) -> NoReturn:
    kill_all()
    os._exit(INTERRUPTED)


async def _measure_all(arguments: argparse.Namespace, console: Console, found: _Found) -> None:
    for name in dict.fromkeys(arguments.case or _NAMES):
        if name == brokers.NAME:
            tasks, rounds = arguments.tasks or _MIX_TASKS, arguments.rounds
            command = arguments.runner_cmd
            found.targets += await brokers.measure(command, tasks=tasks, rounds=rounds, say=partial(print, flush=True))
            continue
        before = len(found.results)
        await _measure(name, arguments, console, found.results)
        if len(found.results) - before == 2:
            found.ratios.append(report.ratio(*found.results[before:]))


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


async def _measure(
    name: str, arguments: argparse.Namespace, console: Console, results: list[report.CaseResult]
) -> None:
    """One case, on fresh runners; two of them take turns. Cancelled, it adds to ``results`` what it has by then."""
    case, plan = CASES.get(name), _plan(name, arguments)
    commands = [arguments.runner_cmd] + ([arguments.against] if arguments.against is not None else [])
    labels = [_label(command) for command in commands]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({letter})" for label, letter in zip(labels, "AB", strict=True)]
    environ = dict(case.environ) if case is not None else {}
    async with AsyncExitStack() as stack:
        sites: list[Site] = []
        for label, command in zip(labels, commands, strict=True):
            config = BrokerConfig(request_timeout=arguments.queue_timeout)
            opened = open_site(label, command, runners=arguments.runners, environ=environ, config=config)
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
        told = LoadProgress(console)
        try:
            for number in range(arguments.rounds):
                for site in sites:
                    # the same seed for both runners of a round: the same tasks, the same arrivals
                    choose = _chooser(case, arguments.seed + number)
                    rounds[site.label].append(into := Round())
                    with told.round(f"{name} {site.label} {number + 1}/{arguments.rounds}", plan.tasks) as tell:
                        await run_round(site, choose, plan, progress=tell, into=into)
            if soak:
                for site in sites:
                    rest[site.label].append(await _at_rest(site))
        finally:
            for site in sites:
                measured = [one for one in rounds[site.label] if one.tasks]
                if measured:
                    load = _load_text(plan)
                    results.append(report.case_result(name, load, site, measured, rest[site.label]))


async def _at_rest(site: Site) -> Usage:
    await trio.sleep(2.0)  # the last workers are replaced
    return usage(site.processes())


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
        "failed",
        "rejects",
        "CPU ms",
        "peak MB",
        "generator",
    ):
        table.add_column(column, justify="right")
    for one in whole.results:
        table.add_row(
            one.case, one.runner, f"{one.throughput:.1f}", *(report.ms(value) for value in one.latency.values()),
            report.failed_text(one), str(one.rejects), f"{one.cpu_per_task * 1000:.2f}",
            f"{report.peak(one) / 1e6:.0f}", f"{one.generator_share:.0%}",
        )  # fmt: skip
    if whole.results and console.width >= _WIDE:
        console.print(table)
    for one in whole.results if console.width < _WIDE else []:
        times = ", ".join(f"{name} {report.ms(value)}" for name, value in one.latency.items())
        console.print(
            f"{one.case}, {one.runner}: {one.throughput:.1f} tasks/s; ms: {times}; failed: {report.failed_text(one)}; "
            f"rejects: {one.rejects}; CPU {one.cpu_per_task * 1000:.2f} ms a task; "
            f"peak {report.peak(one) / 1e6:.0f} MB; generator {one.generator_share:.0%}",
            markup=False,
            highlight=False,
        )
    if whole.interrupted:
        measured = "what had been measured by then" if whole.results else "nothing had been measured"
        console.print(f"Interrupted: {measured}.", style="red")
    for one in whole.results:
        for text in one.wrong[:3]:
            console.print(f"wrong: {text}", style="red", markup=False)
    for pair in whole.ratios:
        rounds = ", ".join(f"{value:.1f}" for value in pair.rounds)
        console.print(
            f"{pair.case}: {pair.first} has {pair.throughput:.2f} times the tasks/s of {pair.second} "
            f"({report.verdict(pair)}; rounds: {rounds}), p50 {pair.p50:.2f} times"
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
