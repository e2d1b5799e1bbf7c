"""``reptarium bench``: put a runner under load, or under faults, and say what came of it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec
import structlog
import trio
from rich.console import Console

from reptarium.pool.bench import brokers, chaos, page, report
from reptarium.pool.bench.cases import CASES, DEFAULT_CASES
from reptarium.pool.bench.conditions import Conditions
from reptarium.pool.bench.fleet import open_fleet
from reptarium.pool.bench.live import LiveFigures
from reptarium.pool.bench.live_metrics import serve_metrics
from reptarium.pool.bench.measuring import MIX_TASKS, Elsewhere, Load, Started, Work, measure, works
from reptarium.pool.bench.runners import KNOWN, kill_all
from reptarium.pool.bench.table import show
from reptarium.pool.bench.targets import judge
from reptarium.pool.bench.thresholds import compared
from reptarium.pool.cli.bench_input import (
    conflict,
    limit,
    of_scripts,
    rate,
    report_file,
    rising,
    script_arguments,
    stepwise,
)
from reptarium.pool.cli.interruptible import run_interruptibly
from reptarium.pool.cli.listening import address, port_or_address, tls, tls_arguments
from reptarium.pool.cli.numbers import count, positive
from reptarium.pool.cli.say import say
from reptarium.pool.cli.status import BAD_INPUT, INTERRUPTED
from reptarium.pool.cli.task_input import BadInput
from reptarium.pool.config import load_settings
from reptarium.pool.embedded_broker import BrokerConfig

_NAMES = (*DEFAULT_CASES, brokers.NAME)
#: Seconds that runners elsewhere have to come.
_EXPECTED_WITHIN = 300.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Load a runner through the embedded broker and measure it. The runner is started as a child process and told "
        "the broker in N8N_RUNNERS_TASK_BROKER_URI and N8N_RUNNERS_AUTH_TOKEN; with --listen runners that were started "
        "elsewhere connect. Without --case or --script, all cases. Exit status: 0 done, 1 a task ended as it must not "
        "or a --fail-if holds, 2 bad input or a runner that can't be had, 130 interrupted; the report is written all "
        "the same."
    )
    parser.epilog = (
        "Cases: "
        + "; ".join(f"{case.name} ({case.about})" for case in CASES.values())
        + f"; mix (by weight); brokers (what a task costs the supervisor with {brokers.MANY} brokers, against one)."
    )
    known = ", ".join(KNOWN)
    parser.add_argument("--runner-cmd", metavar="CMD", help=f"the runner: a command, or {known} (default: reptarium)")
    parser.add_argument("--against", metavar="CMD", help="a second runner, in turns with the first; prints ratios")
    parser.add_argument("--case", action="append", choices=_NAMES, metavar="NAME", help="may be repeated")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--tasks", type=count, metavar="N", help="tasks in a round (default: the case's)")
    amount.add_argument("--duration", type=positive, metavar="S", help="seconds of a round")
    parser.add_argument(
        "--concurrency", type=count, metavar="N", help="closed loop: tasks in flight (default: the case's)"
    )
    arrivals = parser.add_mutually_exclusive_group()
    arrivals.add_argument("--rate", type=rate, metavar="R", help="open loop: tasks that arrive per second")
    arrivals.add_argument(
        "--ramp",
        type=rising,
        metavar="A..B/S",
        help="open loop: from A to B tasks per second in S seconds (10..500/60s)",
    )
    arrivals.add_argument(
        "--steps",
        type=stepwise,
        metavar="A,B,…/S",
        help="open loop: each of these rates for S seconds (50,100,200/30s)",
    )
    parser.add_argument("--rounds", type=count, default=3, metavar="N", help="rounds of each case (default: 3)")
    parser.add_argument("--runners", type=count, metavar="N", help="runners on the broker (default: 1)")
    parser.add_argument("--report", type=report_file, metavar="FILE", help="write FILE, .html or .json, at the end")
    parser.add_argument(
        "--metrics", type=port_or_address, metavar="PORT", help="serve /metrics for Prometheus meanwhile ([HOST:]PORT)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the mix, of arrivals, of faults (default: 1)")
    parser.add_argument(
        "--queue-timeout",
        type=positive,
        default=60.0,
        metavar="S",
        help="how long a task may wait for a runner before it has failed (default: 60, n8n's)",
    )
    parser.add_argument(
        "--fail-if",
        type=limit,
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
    script_arguments(parser)
    elsewhere = parser.add_argument_group("runners elsewhere")
    elsewhere.add_argument(
        "--listen", type=address, metavar="HOST:PORT",
        help="wait there for runners that connect as to n8n, with the token of N8N_RUNNERS_AUTH_TOKEN (without: made"
        " and printed)",
    )  # fmt: skip
    tls_arguments(elsewhere)
    elsewhere.add_argument("--expect-runners", type=count, metavar="N", help="how many must be there (default: 1)")
    elsewhere.add_argument(
        "--expect-within", type=positive, metavar="S", help=f"seconds they have (default: {_EXPECTED_WITHIN:g})"
    )


def call(arguments: argparse.Namespace) -> int:
    """Run the load. Returns 0; 1 when a task ended as it must not, 2 for what can't be started or written.

    On SIGINT, SIGTERM or SIGHUP it ends, reports what it has measured by then, and returns 130.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(stderr=True)
    if arguments.what:
        return _diff(arguments)
    try:
        if problem := conflict(arguments):
            raise BadInput(problem)
        tls(arguments)
        works = _works(arguments)
    except (BadInput, ValueError) as error:
        say(f"reptarium bench: {error}")
        return BAD_INPUT
    if arguments.concurrency is not None and (arguments.rate or arguments.ramp or arguments.steps):
        say("reptarium bench: warning: --concurrency means nothing where tasks arrive at a rate")
    try:
        if arguments.chaos:
            return run_interruptibly(_chaos, arguments, console)
        return run_interruptibly(_bench, arguments, works, console)
    except BrokenPipeError:
        raise
    except (RuntimeError, OSError) as error:
        say(f"reptarium bench: {error}")
        return BAD_INPUT


def _diff(given: argparse.Namespace) -> int:
    """Compare two reports. Returns 0, or 2 for what are none, or have nothing in common."""
    what: Sequence[str] = given.what
    if what[0] != "diff" or len(what) != 3:
        say("reptarium bench: after the options, only: diff A.json B.json")
        return BAD_INPUT
    parser = argparse.ArgumentParser()
    arguments(parser)
    usual = vars(parser.parse_args(what))
    if meant := [name for name, value in usual.items() if getattr(given, name) != value]:  # no check is passed silently
        flags = ", ".join("--" + name.replace("_", "-") for name in meant)
        say(f"reptarium bench: diff compares two reports and takes no options: {flags}")
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


class _Run:
    """A run, and what it has measured by now."""

    def __init__(self, arguments: argparse.Namespace, works: list[Work], console: Console) -> None:
        self.results: list[report.CaseResult] = []
        self.ratios: list[report.Ratio] = []
        self.targets: list[report.Target] = []
        self.conditions = Conditions()
        self.live = LiveFigures(console)
        self.failure: str | None = None
        self._arguments, self._works = arguments, works
        self._load = Load(
            tasks=arguments.tasks,
            duration=arguments.duration,
            concurrency=arguments.concurrency,
            stages=arguments.rate or arguments.ramp or arguments.steps or (),
            rounds=arguments.rounds,
            seed=arguments.seed,
        )

    async def measure(self) -> None:
        """All that was asked for, or what there is until something fails, which is kept as :attr:`failure`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.conditions.watch)
            nursery.start_soon(self.live.watch)
            try:
                if self._arguments.metrics is not None:
                    await self._serve_metrics(nursery)
                if self._arguments.listen is None:
                    await self._on_started_runners()
                else:
                    await self._on_runners_elsewhere()
            except (RuntimeError, OSError) as error:
                self.failure = str(error)
            nursery.cancel_scope.cancel()

    async def _serve_metrics(self, nursery: trio.Nursery) -> None:
        host, port = self._arguments.metrics

        def expose() -> bytes:
            self.live.measure()
            return self.live.metrics.text()

        try:
            port = await nursery.start(serve_metrics, host, port, expose)
        except OSError as error:
            raise RuntimeError(f"--metrics: cannot listen on {host}:{port}: {error}") from None
        say(f"metrics: http://{host}:{port}/metrics")

    async def _on_started_runners(self) -> None:
        arguments = self._arguments
        command = arguments.runner_cmd or "reptarium"
        started = Started(
            commands=(command,) if arguments.against is None else (command, arguments.against),
            runners=arguments.runners or 1,
            queue_timeout=arguments.queue_timeout,
        )
        for work in self._works:
            before = len(self.results)
            await measure(work, self._load, started, self.live, self.results, self.conditions.begun, say)
            if len(self.results) - before == 2:
                self.ratios.append(report.ratio(*self.results[before:]))
        if _wants_brokers(arguments):
            tasks = arguments.tasks or MIX_TASKS
            self.targets += await brokers.measure(
                command, tasks=tasks, rounds=arguments.rounds, say=partial(print, flush=True)
            )

    async def _on_runners_elsewhere(self) -> None:
        arguments = self._arguments
        settings = load_settings(os.environ)
        host, port = arguments.listen
        config = BrokerConfig(
            host=host, port=port, tls=tls(arguments), max_payload=settings.max_payload,
            request_timeout=arguments.queue_timeout,
        )  # fmt: skip
        if settings.auth_token is not None:
            config = msgspec.structs.replace(config, auth_token=settings.auth_token)
        within = arguments.expect_within or _EXPECTED_WITHIN
        async with AsyncExitStack() as stack:
            fleet = open_fleet(
                "fleet", config, expected=arguments.expect_runners or 1, within=within, say=say,
                token_said=settings.auth_token is None,
            )  # fmt: skip
            try:
                site = await stack.enter_async_context(fleet)
            except OSError as error:
                raise RuntimeError(f"--listen: cannot listen on {host}:{port}: {error}") from None
            elsewhere = Elsewhere(site, within, say)
            for work in self._works:
                await measure(work, self._load, elsewhere, self.live, self.results, self.conditions.begun, say)


def _wants_brokers(arguments: argparse.Namespace) -> bool:
    named = arguments.case if arguments.case or arguments.script else _NAMES
    return brokers.NAME in (named or ())


def _works(arguments: argparse.Namespace) -> list[Work]:
    """What is asked for. Raises :class:`BadInput`."""
    scripts = of_scripts(arguments.script)
    names = arguments.case or ([] if scripts else DEFAULT_CASES)
    found = [works(name) for name in dict.fromkeys(names) if name != brokers.NAME]
    if arguments.listen is not None and not arguments.case:  # nobody knows whether they are started for those
        found = [work for work in found if not work.environ]
    return [*found, *scripts]


async def _bench(arguments: argparse.Namespace, works: list[Work], console: Console) -> int:
    if arguments.report is not None:
        try:  # before an hour's load, not after it
            arguments.report.open("ab").close()
        except OSError as error:
            say(f"reptarium bench: --report {arguments.report}: {error.strerror}")
            return BAD_INPUT
    run = _Run(arguments, works, console)
    interrupted = True
    async with trio.open_nursery() as nursery:
        await nursery.start(_end_on_signal, nursery.cancel_scope)
        await run.measure()
        interrupted = False
        nursery.cancel_scope.cancel()
    targets = [*judge(run.results, run.ratios), *run.targets] if arguments.targets else []
    whole = report.build(
        arguments.argv, run.results, run.ratios, targets, conditions=run.conditions,
        interrupted=interrupted or run.failure is not None,
    )  # fmt: skip
    if arguments.report is not None:
        data = report.to_json(whole) if arguments.report.suffix == ".json" else page.to_html(whole).encode()
        arguments.report.write_bytes(data)
    if run.results or interrupted:
        show(whole, Console())
    if run.failure is not None:
        say(f"reptarium bench: {run.failure}")
        return BAD_INPUT
    if interrupted:
        return INTERRUPTED
    ours = [one for one in run.results if one.runner == run.results[0].runner]
    broken = [text for one in ours for limit in arguments.fail_if if (text := limit.broken(one)) is not None]
    for text in broken:
        say(f"failed if {text}")
    return 1 if broken or any(result.failures for result in run.results) else 0


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


async def _chaos(arguments: argparse.Namespace, console: Console) -> int:
    outcome = await chaos.run(
        seed=arguments.seed,
        runners=arguments.runners or 1,
        tasks=arguments.tasks,
        duration=arguments.duration or (None if arguments.tasks else 30.0),
        concurrency=arguments.concurrency or 50,
        command=arguments.runner_cmd or "reptarium",
        say=lambda text: console.print(text, markup=False, highlight=False) if os.isatty(2) else None,
    )
    print(outcome.text())
    return 1 if outcome.broken else 0
