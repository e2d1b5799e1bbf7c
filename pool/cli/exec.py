"""``reptarium exec``: one script, without n8n, through the whole path."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from reptarium.pool.check.pins import with_pins
from reptarium.pool.cli.flagged import flagged
from reptarium.pool.cli.interruptible import run_interruptibly
from reptarium.pool.cli.say import say
from reptarium.pool.cli.showing import show, show_print
from reptarium.pool.cli.status import BAD_INPUT, FAILED
from reptarium.pool.cli.task_input import BadInput, Given, files, read_task, task_arguments
from reptarium.pool.config import Settings
from reptarium.pool.embedded import embedded_runner, embedded_settings
from reptarium.pool.embedded_broker import Broker, RpcError, TaskHandle
from reptarium.pool.embedded_broker.calls import own_task_data
from reptarium.pool.embedded_broker.outcome import Outcome
from reptarium.pool.installing.installation import Installation
from reptarium.pool.installing.place import place_of
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.workers.configuration import zygote_config
from reptarium.sandbox.nesting import room

#: Seconds between looks at watched files.
_LOOK = 0.2
_Versions = list[tuple[int, int, int] | None]
_TIMEOUT = "N8N_RUNNERS_TASK_TIMEOUT"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Run CODE.py, or a node of WORKFLOW.json, as a Code node would: embedded broker, warm pool, real sandbox, on "
        "loopback. "
        "The items that n8n would make of its result go to standard output as JSON, prints to standard error. "
        "Exit status: 0 done, 1 the task failed or its result is none that n8n takes, 2 bad input, 78 a wrong setting."
    )
    task_arguments(parser)
    parser.add_argument("--watch", action="store_true", help="run again whenever the file, or the items', changes")
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


@room()
def call(arguments: argparse.Namespace) -> int:
    """Run the script. Returns the exit status."""
    if arguments.watch and "-" in (arguments.code, arguments.items):
        say("reptarium exec: --watch needs files, not standard input")
        return BAD_INPUT
    given: Given | None = None
    try:
        given = read_task(arguments, "exec")
    except BadInput as error:
        say(f"reptarium exec: {error}")
        if not arguments.watch:
            return BAD_INPUT
    environ = dict(os.environ)
    environ.setdefault("N8N_RUNNERS_STDLIB_ALLOW", "*")
    flags = {
        "N8N_RUNNERS_STDLIB_ALLOW": ("--allow-stdlib", arguments.allow_stdlib),
        "N8N_RUNNERS_EXTERNAL_ALLOW": ("--allow-external", arguments.allow_external),
        _TIMEOUT: ("--timeout", arguments.timeout),
    }
    chosen = flagged("exec", environ, flags, embedded_settings)
    if chosen is None:
        return BAD_INPUT
    configure_logging(chosen)
    if arguments.watch:
        return run_interruptibly(_watch, chosen, arguments, given)
    assert given is not None
    return run_interruptibly(_exec_one, chosen, arguments, given)


async def _no_n8n(task: TaskHandle, name: str, params: list[Any]) -> Any:
    """The answer to all that a task asks n8n for."""
    raise RpcError("there is no n8n here that could do it: `reptarium exec` runs a script without one")


@asynccontextmanager
async def _runner(settings: Settings, arguments: argparse.Namespace) -> AsyncIterator[Broker]:
    if (place := place_of(settings)) is not None and not place.ready():
        await Installation(place, settings, os.environ, lambda step: say(f"reptarium exec: {step}")).have()
    # with rules for some workflows the pools are theirs, and prints as in n8n
    zygote = None
    if arguments.console == "python" and settings.policy is None:
        zygote = msgspec.structs.replace(zygote_config(settings), plain_prints=True)
    async with embedded_runner(settings, zygote=zygote) as broker:
        broker.rpc_handler = _no_n8n
        yield broker


async def _exec_one(settings: Settings, arguments: argparse.Namespace, given: Given) -> int:
    async with _runner(settings, arguments) as broker:
        outcome = await _outcome(broker, settings, given)
    return show(outcome, arguments.raw, _words(arguments), tool="query" in given.task)


async def _watch(settings: Settings, arguments: argparse.Namespace, given: Given | None) -> int:
    """Run the task, and again whenever one of its files has changed, on one runner. Ends with Ctrl-C."""
    async with _runner(settings, arguments) as broker:
        seen = _versions(arguments)
        while True:
            if given is not None:
                outcome = await _outcome(broker, settings, given)
                try:
                    show(outcome, arguments.raw, _words(arguments), tool="query" in given.task)
                    sys.stdout.flush()
                except OSError as error:  # nobody reads it any more
                    say(f"reptarium exec: {error.strerror} (standard output)")
                    return FAILED
            say(f"--- waiting for {arguments.code} to change (Ctrl-C ends)")
            seen = await _changed(arguments, seen)
            try:
                given = read_task(arguments, "exec")
            except BadInput as error:
                say(f"reptarium exec: {error}")
                given = None


async def _changed(arguments: argparse.Namespace, seen: _Versions) -> _Versions:
    """Wait until the files are others, and none is being written."""
    last = seen
    while True:
        await trio.sleep(_LOOK)
        before, last = last, _versions(arguments)
        if last != seen and last == before:
            return last


def _versions(arguments: argparse.Namespace) -> _Versions:
    """What tells one version of a file from the next; editors replace files, and for a moment there is none."""
    found: _Versions = []
    for path in files(arguments):
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return found


async def _outcome(broker: Broker, settings: Settings, given: Given) -> Outcome:
    """What came of one run; its prints are shown as they come. Nodes of its workflow have what is pinned to them."""
    workflow = given.workflow

    async def task_data(handle: TaskHandle, params: dict[str, Any]) -> Any:
        data = await own_task_data(handle, params)
        return data if workflow is None else with_pins(data, workflow)

    broker.task_data_handler = task_data
    handle = broker.submit(given.task, timeout=settings.task_timeout + 30, on_console=show_print)
    return await handle.outcome()


def _words(arguments: argparse.Namespace) -> dict[str, str]:
    """What is said of a variable is said of the flag that set it."""
    return {} if arguments.timeout is None else {_TIMEOUT: "--timeout"}
