"""``reptarium run``: the runner, until it is told to stop."""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
from contextlib import suppress

import structlog
import trio

from reptarium.pool.cli.obeying import obey
from reptarium.pool.cli.policy import changes, described
from reptarium.pool.cli.say import say
from reptarium.pool.cli.status import BAD_INPUT
from reptarium.pool.config import Settings, advice, describe, load_settings, require_credentials
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import open_reporter, own_fault
from reptarium.pool.ops.stderr import take_over_stderr
from reptarium.pool.ops.systemd import Notifier, keep_told, open_notifier
from reptarium.pool.policy.file import read_policy
from reptarium.pool.runner import Runner

log = structlog.get_logger("reptarium.pool.cli.run")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Connect to the task broker and run its Python tasks. All settings come from the environment: "
        "at least N8N_RUNNERS_AUTH_TOKEN (or N8N_RUNNERS_GRANT_TOKEN), and N8N_RUNNERS_TASK_BROKER_URI when the "
        "broker isn't at http://127.0.0.1:5679. See docs/configuration.md."
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print the effective settings and where each came from, and end"
    )
    parser.add_argument("--json", action="store_true", help="with --print-config: as JSON")


def call(arguments: argparse.Namespace) -> int:
    """Serve the brokers. Returns the runner's exit status."""
    if arguments.json and not arguments.print_config:
        say("reptarium run: --json goes with --print-config")
        return BAD_INPUT
    metrics = Metrics()
    sink = None if arguments.print_config else take_over_stderr()
    settings = load_settings(os.environ)
    if arguments.print_config:
        return _print_config(settings, as_json=arguments.json)
    require_credentials(settings)
    flood = configure_logging(settings)
    metrics.process.log_lines_dropped = lambda: flood.left_out + (0 if sink is None else sink.dropped)
    if sink is None:
        log.warning("no thread can be started to write the log: whoever stops reading it stops the runner")
    for warning in (*settings.warnings, *advice(settings)):
        log.warning(warning)
    for variable, value in (
        ("N8N_RUNNERS_STDLIB_ALLOW", settings.stdlib_allow),
        ("N8N_RUNNERS_EXTERNAL_ALLOW", settings.external_allow),
    ):
        log.info(
            "imports allowed",
            names=",".join(value) or "none",
            setting=variable,
            source=settings.sources[variable],
        )
    _take_all_descriptors()
    with open_notifier(os.environ) as notifier:
        lag = metrics.process.loop_lag
        return trio.run(_run_until_stopped, settings, metrics, notifier, instruments=[lag])


def _print_config(settings: Settings, *, as_json: bool) -> int:
    rows = describe(settings)
    policy = None if settings.policy is None else read_policy(settings.policy, settings)
    warnings = (*settings.warnings, *advice(settings), *(policy.warnings if policy else ()))
    if as_json:
        shown = {row.variable: {"value": row.value, "source": row.source} for row in rows}
        rules = [] if policy is None else [{"name": rule.name, "changes": changes(rule)} for rule in policy.rules]
        print(json.dumps({"settings": shown, "rules": rules, "warnings": warnings}, indent=2, ensure_ascii=False))
        return 0
    width = max(len(row.variable) for row in rows)
    for row in rows:
        print(f"{row.variable:<{width}}  {row.value}  ({row.source})")
    for line in [] if policy is None else described(policy):
        print(line)
    for warning in warnings:
        say(f"warning: {warning}")
    return 0


def _take_all_descriptors() -> None:
    """Raise the soft limit of open files to the hard one: connections, workers and clients each take some.

    The usual soft limit of 1024 is there for programs that use select(2), which we don't.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):  # a hard limit above what the kernel gives by now: it stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run_until_stopped(settings: Settings, metrics: Metrics, notifier: Notifier) -> int:
    reporter = open_reporter(settings)
    runner = Runner(settings, metrics=metrics, reporter=reporter)
    # What is there by now stays. Out of the collector's sight it doesn't put off full collections, which come when
    # a quarter has been added: what cycles hold would grow to that.
    gc.collect()
    gc.freeze()
    async with trio.open_nursery() as nursery:
        reload = runner.reload_policy if runner.rulebook is not None else None
        await nursery.start(obey, runner, reload)  # a child that is started before would begin with signals held
        begun = _Begun()
        nursery.start_soon(OwnFaults(metrics, reporter).keep, "systemd", keep_told, notifier, runner, begun.event)
        try:
            status = await runner.run(task_status=begun)
        except BaseException as error:
            if (fault := own_fault(error)) is not None:
                reporter.report(fault, part="runner")
            raise
        finally:
            reporter.close()
        nursery.cancel_scope.cancel()
    return status


class _Begun:
    """A task status that is an event."""

    def __init__(self) -> None:
        self.event = trio.Event()

    def started(self, value: None = None) -> None:
        self.event.set()
