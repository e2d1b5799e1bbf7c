"""``reptarium exec``: one script, without n8n, through the whole path."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from reptarium.pool.cli.say import say
from reptarium.pool.cli.status import BAD_INPUT, FAILED
from reptarium.pool.config import ConfigError, Settings
from reptarium.pool.embedded import embedded_runner, embedded_settings
from reptarium.pool.embedded_broker import RpcError, TaskHandle
from reptarium.pool.embedded_broker.items import NotItems, items_of
from reptarium.pool.embedded_broker.outcome import failure_text
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.workers.configuration import zygote_config
from reptarium.sandbox.nesting import room

_TIMEOUT = "N8N_RUNNERS_TASK_TIMEOUT"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Run CODE.py as a Code node would: embedded broker, warm pool, real sandbox, on loopback. "
        "The items that n8n would make of its result go to standard output as JSON, prints to standard error. "
        "Exit status: 0 done, 1 the task failed or its result is none that n8n takes, 2 bad input, 78 a wrong setting."
    )
    parser.add_argument("code", metavar="CODE.py", help="the script ('-' reads it from standard input)")
    parser.add_argument("--items", metavar="FILE|-", help="JSON list of items, or of bare objects (default: [])")
    parser.add_argument("--each-item", action="store_true", help="run once for each item (default: once for all)")
    parser.add_argument("--query", metavar="JSON", help="what a Code tool gets as _query (JSON, or text); with --raw")
    parser.add_argument("--raw", action="store_true", help="print the result as it is: a Code tool may return anything")
    parser.add_argument(
        "--console",
        choices=("python", "n8n"),
        default="python",
        help="how prints look: as Python's, or as n8n shows them in the browser (default: python)",
    )
    parser.add_argument("--timeout", metavar="S", help="time limit (default: N8N_RUNNERS_TASK_TIMEOUT, 60)")
    parser.add_argument(
        "--allow-stdlib",
        metavar="NAMES",
        help="standard modules it may import, comma separated "
        "(default: N8N_RUNNERS_STDLIB_ALLOW, or '*' when that is not set)",
    )
    parser.add_argument(
        "--allow-external",
        metavar="NAMES",
        help="other packages it may import (default: N8N_RUNNERS_EXTERNAL_ALLOW)",
    )


class _BadInput(Exception):
    pass


@room()
def call(arguments: argparse.Namespace) -> int:
    """Run the script. Returns the exit status."""
    try:
        code, items, query = _read_input(arguments)
    except _BadInput as error:
        say(f"reptarium exec: {error}")
        return BAD_INPUT
    environ = dict(os.environ)
    environ.setdefault("N8N_RUNNERS_STDLIB_ALLOW", "*")
    given = {
        "N8N_RUNNERS_STDLIB_ALLOW": ("--allow-stdlib", arguments.allow_stdlib),
        "N8N_RUNNERS_EXTERNAL_ALLOW": ("--allow-external", arguments.allow_external),
        _TIMEOUT: ("--timeout", arguments.timeout),
    }
    flags = {variable: flag for variable, (flag, value) in given.items() if value is not None}
    environ.update({variable: str(given[variable][1]) for variable in flags})
    try:
        chosen = embedded_settings(environ)
    except ConfigError as error:
        wrong = [problem for problem in error.problems if problem.partition("=")[0] in flags]
        if not wrong:
            raise
        for problem in wrong:
            say(f"reptarium exec: {_with_flags(problem, flags)}")
        return BAD_INPUT
    for warning in chosen.warnings:
        say(f"reptarium exec: warning: {_with_flags(warning, flags)}")
    settings: dict[str, Any] = {
        "code": code,
        "nodeMode": "runOnceForEachItem" if arguments.each_item else "runOnceForAllItems",
        "items": items,
        "nodeName": arguments.code,
        "workflowName": "reptarium exec",
    }
    if query is not None:
        settings["query"] = query
    raw = arguments.raw or query is not None
    return trio.run(_exec_one, chosen, settings, raw, arguments.console == "python")


def _with_flags(text: str, flags: Mapping[str, str]) -> str:
    """What is said of a variable is said of the flag that set it."""
    for variable, flag in flags.items():
        text = text.replace(variable, flag, 1) if text.startswith(variable) else text
    return text


def _read_input(arguments: argparse.Namespace) -> tuple[str, list[Any], Any]:
    if arguments.code == "-" and arguments.items == "-":
        raise _BadInput("code and items can't both come from standard input")
    try:
        code = _read(arguments.code)
    except (OSError, UnicodeDecodeError) as error:
        raise _BadInput(f"{arguments.code} cannot be read: {error}") from None
    items: Any = []
    if arguments.items is not None:
        try:
            items = json.loads(_read(arguments.items))
            json.dumps(items, ensure_ascii=False).encode()  # a lone surrogate may be spelt out
        except (OSError, ValueError) as error:
            raise _BadInput(f"--items {arguments.items}: {error}") from None
        except RecursionError:
            raise _BadInput(f"--items {arguments.items}: nested too deeply") from None
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


def _read(name: str) -> str:
    """A file or standard input; editors and PowerShell begin either with a byte order mark."""
    if name == "-":
        return sys.stdin.read().removeprefix("\ufeff")
    return Path(name).read_text("utf-8-sig")


async def _no_n8n(task: TaskHandle, name: str, params: list[Any]) -> Any:
    """The answer to all that a task asks n8n for."""
    raise RpcError("there is no n8n here that could do it: `reptarium exec` runs a script without one")


async def _exec_one(settings: Settings, task: Mapping[str, Any], raw: bool, plain_prints: bool) -> int:
    configure_logging(settings)
    # with rules for some workflows the pools are theirs, and prints as in n8n
    zygote = None
    if plain_prints and settings.policy is None:
        zygote = msgspec.structs.replace(zygote_config(settings), plain_prints=True)
    async with embedded_runner(settings, zygote=zygote) as broker:
        broker.rpc_handler = _no_n8n
        handle = broker.submit(task, timeout=settings.task_timeout + 30, on_console=_show_print)
        outcome = await handle.outcome()
    if outcome.status == "done" and outcome.data is not None:
        result = json.loads(bytes(outcome.data.result))
        try:
            result = result if raw else items_of(result)
        except NotItems as error:
            say(f"Error: n8n would refuse the result: {error}; --raw prints any value")
            return FAILED
        try:
            sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        except UnicodeEncodeError:  # a lone surrogate, or a terminal of few characters
            sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return 0
    say(failure_text(outcome))
    return FAILED


def _show_print(parts: Sequence[str]) -> None:
    say(" ".join(parts))  # whoever doesn't read the prints may still read the result
