"""What `reptarium exec` runs: a script, or one node of a workflow's export, and the items for it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from reptarium.pool.check.exports import read_all
from reptarium.pool.check.pins import Items, WrongItems, as_items, as_query, comes_in, task_of
from reptarium.pool.check.shown import shown
from reptarium.pool.check.workflows import CodeNode, Found, ReadWorkflow, find
from reptarium.pool.cli.say import say
from reptarium.sandbox.nesting import bounded


class Given(NamedTuple):
    """A task in the protocol's form, and the workflow that it is a node of, where it is one."""

    task: dict[str, Any]
    workflow: ReadWorkflow | None = None


class BadInput(Exception):
    """What was given can't be run. The text says what, and what is wanted."""


def task_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what a task is read from, and how its result is shown."""
    parser.add_argument(
        "code", metavar="CODE.py|WORKFLOW.json", help="the script, or an export of n8n's ('-' reads standard input)"
    )
    parser.add_argument(
        "--node", metavar="NAME", help="which node of the export; it runs on the items that are pinned before it"
    )
    parser.add_argument("--items", metavar="FILE|-", help="JSON list of items, or of bare objects (default: [])")
    parser.add_argument("--each-item", action="store_true", help="run once for each item (default: once for all)")
    parser.add_argument("--query", metavar="JSON", help="what a Code Tool gets as _query (JSON, or text)")
    parser.add_argument("--raw", action="store_true", help="print the result as it is, whether n8n takes it or not")


def read_task(arguments: argparse.Namespace, command: str) -> Given:
    """What is to be run. Raises :class:`BadInput`."""
    given = _of_workflow(arguments) if _is_workflow(arguments) else Given(_of_script(arguments, command))
    task = given.task
    if arguments.items is not None:
        task["items"] = read_items(arguments.items, "--items")
    if arguments.each_item:
        task["nodeMode"] = "runOnceForEachItem"
    if arguments.query is not None:
        task["query"] = read_query(arguments.query, "--query")
    return given


def files(arguments: argparse.Namespace) -> list[Path]:
    """The files that the task is read from."""
    return [Path(name) for name in (arguments.code, arguments.items) if name not in (None, "-")]


def read_items(path: str, option: str) -> Items:
    """The items in a file, ``-`` is standard input. Raises :class:`BadInput`, which names the option."""
    try:
        return as_items(read_json(path, option))
    except WrongItems as error:
        raise BadInput(f"{option}: {error}") from None


def read_json(path: str, option: str) -> Any:
    """What a file says, ``-`` is standard input. Raises :class:`BadInput`, which names the option."""
    try:
        text = read_text(path)
        with bounded(text.encode()):
            value = json.loads(text)
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate may be spelt out
        return value
    except (OSError, ValueError) as error:
        raise BadInput(f"{option} {path}: {error}") from None
    except RecursionError:
        raise BadInput(f"{option} {path}: nested too deeply") from None


def read_text(name: str) -> str:
    """A file or standard input; editors and PowerShell begin either with a byte order mark."""
    if name == "-":
        return sys.stdin.read().removeprefix("\ufeff")
    return Path(name).read_text("utf-8-sig")


def read_query(text: str, option: str) -> str | dict[str, Any]:
    """What a Code Tool is asked. Raises :class:`BadInput`, which names the option."""
    try:
        return as_query(text)
    except ValueError as error:
        raise BadInput(f"{option}: {error}") from None


def _of_script(arguments: argparse.Namespace, command: str) -> dict[str, Any]:
    if arguments.code == "-" and arguments.items == "-":
        raise BadInput("code and items can't both come from standard input")
    try:
        code = read_text(arguments.code)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{arguments.code} cannot be read: {error}") from None
    return {"code": code, "items": [], "nodeName": arguments.code, "workflowName": f"reptarium {command}"}


# ---- a node of a workflow -----------------------------------------------------------------


def _is_workflow(arguments: argparse.Namespace) -> bool:
    return arguments.node is not None or arguments.code.endswith(".json")


def _of_workflow(arguments: argparse.Namespace) -> Given:
    if arguments.code == "-" and arguments.items == "-":
        raise BadInput("workflow and items can't both come from standard input")
    found = find(read_all([arguments.code]))
    node = _chosen(found, arguments.node, arguments.code)
    if node.tool and arguments.query is None:
        raise BadInput(f"{shown(repr(node.name))} is a Code Tool, which runs on a query: --query TEXT")
    pinned = None if node.tool else comes_in(found, node)
    if pinned is None and not node.tool and arguments.items is None:
        name = shown(repr(node.name))
        say(f"reptarium exec: no items are pinned before {name}: it runs on none (--items gives some)")
    return Given(task_of(node, pinned.items if pinned else []), found.workflows[node.workflow])


def _chosen(found: Found, name: str | None, source: str) -> CodeNode:
    if found.problems and not found.nodes:
        raise BadInput(shown(f"{found.problems[0].source}: {found.problems[0].text}"))
    if not found.nodes:
        raise BadInput(f"{source}: there is no Python node in it")
    nodes = [node for node in found.nodes if name in (None, node.name, node.place)]
    if not nodes:
        there = ", ".join(dict.fromkeys(repr(node.name) for node in found.nodes[:20]))
        raise BadInput(f"{source}: there is no Python node {name!r} in it; there is {there}")
    if len(nodes) > 1:
        there = ", ".join(repr(node.place if name else node.name) for node in nodes[:20])
        raise BadInput(f"{source}: there are {len(nodes)} Python nodes; name one with --node: {there}")
    return nodes[0]
