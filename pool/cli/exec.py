"""``reptarium exec``: one script, without n8n, through the whole path."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from reptarium.pool.cli.status import BAD_INPUT, FAILED
from reptarium.pool.config import Settings
from reptarium.pool.embedded import embedded_runner, embedded_settings
from reptarium.pool.embedded_broker.outcome import failure_text
from reptarium.pool.ops.logs import configure_logging
from reptarium.sandbox.nesting import room


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Run CODE.py as a Code node would: embedded broker, warm pool, real sandbox, on loopback. "
        "The result goes to standard output as JSON, prints to standard error. "
        "Exit status: 0 done, 1 the task failed, 2 bad input."
    )
    parser.add_argument("code", metavar="CODE.py", help="the script ('-' reads it from standard input)")
    parser.add_argument("--items", metavar="FILE|-", help="JSON list of items, or of bare objects (default: [])")
    parser.add_argument("--each-item", action="store_true", help="run once for each item (default: once for all)")
    parser.add_argument("--query", metavar="JSON", help="what a Code tool gets as _query (JSON, or plain text)")
    parser.add_argument(
        "--timeout", type=_seconds, metavar="S", help="time limit (default: N8N_RUNNERS_TASK_TIMEOUT, 60)"
    )
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


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("a number of seconds above 0 is wanted")
    return value


class _BadInput(Exception):
    pass


@room()
def call(arguments: argparse.Namespace) -> int:
    """Run the script. Returns the exit status."""
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


def _read_input(arguments: argparse.Namespace) -> tuple[str, list[Any], Any]:
    if arguments.code == "-" and arguments.items == "-":
        raise _BadInput("code and items can't both come from standard input")
    try:
        code = sys.stdin.read() if arguments.code == "-" else Path(arguments.code).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _BadInput(f"{arguments.code} cannot be read: {error}") from None
    items: Any = []
    if arguments.items is not None:
        try:
            text = sys.stdin.read() if arguments.items == "-" else Path(arguments.items).read_text("utf-8-sig")
            items = json.loads(text)
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


async def _exec_one(settings: Settings, task: Mapping[str, Any]) -> int:
    configure_logging(settings)
    async with embedded_runner(settings) as broker:
        handle = broker.submit(task, timeout=settings.task_timeout + 30, on_console=_show_print)
        outcome = await handle.outcome()
    if outcome.status == "done" and outcome.data is not None:
        result = json.loads(bytes(outcome.data.result))
        try:
            sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        except UnicodeEncodeError:  # a lone surrogate, or a terminal of few characters
            sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return 0
    print(failure_text(outcome), file=sys.stderr)
    return FAILED


def _show_print(parts: Sequence[str]) -> None:
    with suppress(BrokenPipeError):  # whoever doesn't read the prints may still read the result
        print(*parts, file=sys.stderr, flush=True)
