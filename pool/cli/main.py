"""The ``reptarium`` command: run, exec, broker, demo, bench, doctor."""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio

from reptarium import __version__
from reptarium.pool.config import ConfigError, Settings, describe, load_settings, require_credentials
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.workers.pool import PoolRefused

log = structlog.get_logger("reptarium.pool.cli.main")

#: Exit statuses: a failed task, bad input, a configuration that can't work (sysexits(3) EX_CONFIG).
FAILED, BAD_INPUT, BAD_CONFIG = 1, 2, 78


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    try:
        return _dispatch(sys.argv[1:] if argv is None else argv)
    except ConfigError as error:
        print(f"reptarium: {error}", file=sys.stderr)
        return BAD_CONFIG
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # whoever read our output has gone; keep the interpreter from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except BaseExceptionGroup as group:
        if _find(group, KeyboardInterrupt) is not None:
            return 130
        refused = _find(group, PoolRefused)
        endpoint = None if refused else _find_named(group, "EndpointError")
        if refused is None and endpoint is None:
            raise
        print(f"reptarium: {refused or endpoint}", file=sys.stderr)
        return BAD_CONFIG
    except PoolRefused as error:
        print(f"reptarium: {error}", file=sys.stderr)
        return BAD_CONFIG


def _find(group: BaseExceptionGroup[BaseException], kind: type[BaseException]) -> BaseException | None:
    for error in group.exceptions:
        found = _find(error, kind) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, kind):
            return found
    return None


def _find_named(group: BaseExceptionGroup[BaseException], name: str) -> BaseException | None:
    from reptarium.pool.ops import endpoint

    return _find(group, getattr(endpoint, name))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reptarium", description="A sandboxed, warm worker pool that runs n8n's Python Code nodes."
    )
    parser.add_argument("--version", action="version", version=f"reptarium {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        help="the runner: connect to n8n's task broker and serve it",
        description="Connect to the task broker and run its Python tasks. All settings come from the environment: "
        "at least N8N_RUNNERS_AUTH_TOKEN (or N8N_RUNNERS_GRANT_TOKEN), and N8N_RUNNERS_TASK_BROKER_URI when the "
        "broker isn't at http://127.0.0.1:5679. See docs/configuration.md.",
    )
    run.add_argument(
        "--print-config",
        action="store_true",
        help="print the effective settings and where each came from, and end",
    )
    run.set_defaults(call=_run)

    execute = commands.add_parser(
        "exec",
        help="run one script on an embedded broker and print its result",
        description="Run CODE.py as a Code node would: embedded broker, warm pool, real sandbox, on loopback. "
        "The result goes to standard output as JSON, prints to standard error. "
        "Exit status: 0 done, 1 the task failed, 2 bad input.",
    )
    execute.add_argument("code", metavar="CODE.py", help="the script ('-' reads it from standard input)")
    execute.add_argument("--items", metavar="FILE|-", help="JSON list of items, or of bare objects (default: [])")
    execute.add_argument("--each-item", action="store_true", help="run once for each item (default: once for all)")
    execute.add_argument("--query", metavar="JSON", help="what a Code tool gets as _query (JSON, or plain text)")
    execute.add_argument(
        "--timeout", type=_seconds, metavar="S", help="time limit (default: N8N_RUNNERS_TASK_TIMEOUT, 60)"
    )
    execute.add_argument(
        "--allow-stdlib",
        metavar="NAMES",
        help="standard modules it may import, comma separated "
        "(default: N8N_RUNNERS_STDLIB_ALLOW, or '*' when that is not set)",
    )
    execute.add_argument(
        "--allow-external",
        metavar="NAMES",
        help="other packages it may import (default: N8N_RUNNERS_EXTERNAL_ALLOW)",
    )
    execute.set_defaults(call=_exec)

    broker = commands.add_parser(
        "broker",
        help="the embedded broker alone",
        description="Serve the task-broker protocol for runners of any make, without n8n. Tasks can only be requested "
        "through the Python API (reptarium.pool.embedded_broker); it is for trying out a runner's connection.",
    )
    broker.add_argument("--host", default="127.0.0.1")
    broker.add_argument("--port", type=int, default=5679)
    broker.set_defaults(call=_broker)

    demo = commands.add_parser("demo", help="run a handful of example scripts and show what comes out")
    demo.set_defaults(call=_lazily("reptarium.pool.demo", "main"))
    for name, (_, text) in _OWN_PARSERS.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


#: Commands that parse their own arguments: their module, and a line about them.
_OWN_PARSERS = {
    "bench": ("reptarium.pool.cli.bench", "load a runner of this protocol and measure it"),
    "doctor": ("reptarium.pool.doctor", "show each layer of isolation: active, partial or missing, and what to change"),
}


def _lazily(module: str, name: str) -> Any:
    """A command of a module that the others needn't pay for."""

    def call(_: argparse.Namespace) -> int:
        return int(getattr(importlib.import_module(module), name)())

    return call


def _dispatch(argv: Sequence[str]) -> int:
    if argv and argv[0] in _OWN_PARSERS:
        module, _ = _OWN_PARSERS[argv[0]]
        return int(importlib.import_module(module).main(list(argv[1:])))
    arguments = _parser().parse_args(argv)
    return int(arguments.call(arguments))


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("a number of seconds above 0 is wanted")
    return value


# ---- run -------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(os.environ)
    if arguments.print_config:
        rows = describe(settings)
        width = max(len(row.variable) for row in rows)
        for row in rows:
            print(f"{row.variable:<{width}}  {row.value}  ({row.source})")
        for warning in settings.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        return 0
    require_credentials(settings)
    configure_logging(settings)
    for warning in settings.warnings:
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
    return trio.run(_run_until_stopped, settings)


async def _run_until_stopped(settings: Settings) -> int:
    from reptarium.pool.ops.sentry import open_reporter, own_fault
    from reptarium.pool.runner import Runner

    reporter = open_reporter(settings)
    runner = Runner(settings, reporter=reporter)
    # What is there by now stays. Out of the collector's sight it doesn't put off full collections, which come when
    # a quarter has been added: what cycles hold would grow to that.
    gc.collect()
    gc.freeze()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, runner)
        try:
            status = await runner.run()
        except BaseException as error:
            if (fault := own_fault(error)) is not None:
                reporter.report(fault, part="runner")
            raise
        finally:
            reporter.close()
        nursery.cancel_scope.cancel()
    return status


async def _stop_on_signal(runner: Any) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if runner.stopping:
                log.warning("second signal: ending at once")
                raise KeyboardInterrupt
            log.info("shutting down", signal=signal.Signals(number).name)
            runner.shutdown()


# ---- exec ------------------------------------------------------------------------------


class _BadInput(Exception):
    pass


def _exec(arguments: argparse.Namespace) -> int:
    try:
        code, items, query = _read_input(arguments)
    except _BadInput as error:
        print(f"reptarium exec: {error}", file=sys.stderr)
        return BAD_INPUT
    environ = dict(os.environ)
    environ.setdefault("N8N_RUNNERS_STDLIB_ALLOW", "*")
    for variable, value in (
        ("N8N_RUNNERS_STDLIB_ALLOW", arguments.allow_stdlib),
        ("N8N_RUNNERS_EXTERNAL_ALLOW", arguments.allow_external),
        ("N8N_RUNNERS_TASK_TIMEOUT", arguments.timeout),
    ):
        if value is not None:
            environ[variable] = str(value)
    settings: dict[str, Any] = {
        "code": code,
        "nodeMode": "runOnceForEachItem" if arguments.each_item else "runOnceForAllItems",
        "items": items,
        "nodeName": arguments.code,
        "workflowName": "reptarium exec",
    }
    if query is not None:
        settings["query"] = query
    return trio.run(_exec_one, embedded_settings(environ), settings)


def embedded_settings(environ: Mapping[str, str], **changes: Any) -> Settings:
    """Settings for a runner beside an embedded broker: quiet, one task at a time, no health server."""
    settings = load_settings({"REPTARIUM_LOG_LEVEL": "error", **environ})
    settings = msgspec.structs.replace(
        settings, max_concurrency=1, warm_workers=1, health_enabled=False, auto_shutdown_timeout=0.0
    )
    return msgspec.structs.replace(settings, **changes)


def _read_input(arguments: argparse.Namespace) -> tuple[str, list[Any], Any]:
    if arguments.code == "-" and arguments.items == "-":
        raise _BadInput("code and items can't both come from standard input")
    try:
        code = sys.stdin.read() if arguments.code == "-" else Path(arguments.code).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _BadInput(f"{arguments.code} cannot be read: {error}") from None
    items: Any = []
    if arguments.items is not None:
        try:
            text = sys.stdin.read() if arguments.items == "-" else Path(arguments.items).read_text("utf-8")
            items = json.loads(text)
        except (OSError, ValueError) as error:
            raise _BadInput(f"--items {arguments.items}: {error}") from None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _BadInput("--items: a JSON list of objects is wanted")
    items = [item if isinstance(item.get("json"), dict) else {"json": item} for item in items]
    items = [{**item, "pairedItem": item.get("pairedItem", {"item": index})} for index, item in enumerate(items)]
    query: Any = None
    if arguments.query is not None:
        try:
            query = json.loads(arguments.query)
        except ValueError:
            query = arguments.query
        if not isinstance(query, str | dict):
            raise _BadInput("--query: a string or a JSON object is wanted")
    return code, items, query


async def _exec_one(settings: Settings, task: Mapping[str, Any]) -> int:
    from reptarium.pool.embedded import embedded_runner

    configure_logging(settings)
    async with embedded_runner(settings) as broker:
        handle = broker.submit(task, timeout=settings.task_timeout + 30, on_console=_show_print)
        outcome = await handle.outcome()
    if outcome.status == "done" and outcome.data is not None:
        sys.stdout.write(json.dumps(json.loads(bytes(outcome.data.result)), indent=2, ensure_ascii=False) + "\n")
        return 0
    print(failure_text(outcome), file=sys.stderr)
    return FAILED


def _show_print(parts: Sequence[str]) -> None:
    print(*parts, file=sys.stderr, flush=True)


def failure_text(outcome: Any) -> str:
    """A failed outcome (``embedded_broker.Outcome``) for a person to read."""
    error = outcome.error
    if error is None:
        return f"Task {outcome.status}."
    lines = [f"Error: {error.message}"]
    for extra in (error.description, error.stack, error.stderr):
        if extra is not msgspec.UNSET and extra:
            lines.append(str(extra))
    if error.item_index is not msgspec.UNSET:
        lines.insert(1, f"Item {error.item_index}")
    return "\n".join(lines)


# ---- broker ------------------------------------------------------------------------------


def _broker(arguments: argparse.Namespace) -> int:
    settings = load_settings(os.environ)
    configure_logging(settings)
    return trio.run(_serve_broker, settings, arguments.host, arguments.port)


async def _serve_broker(settings: Settings, host: str, port: int) -> int:
    from reptarium.pool.embedded_broker import BrokerConfig, open_broker

    config = BrokerConfig(host=host, port=port, max_payload=settings.max_payload)
    if settings.auth_token is not None:
        config = msgspec.structs.replace(config, auth_token=settings.auth_token)
    try:
        async with open_broker(config) as broker:
            print(f"N8N_RUNNERS_TASK_BROKER_URI={broker.uri}")
            if settings.auth_token is None:
                print(f"N8N_RUNNERS_AUTH_TOKEN={config.auth_token}")
            sys.stdout.flush()
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    break
    except OSError as error:
        print(f"reptarium broker: cannot listen on {host}:{port}: {error} (--port, --host)", file=sys.stderr)
        return BAD_INPUT
    return 0
