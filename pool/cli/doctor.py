"""``reptarium doctor``: what ``reptarium.pool.doctor`` found, as tables or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reptarium import __version__
from reptarium.pool.cli.interruptible import run_interruptibly
from reptarium.pool.config import load_settings
from reptarium.pool.doctor import Examination, examine
from reptarium.pool.installing.place import place_of
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.policy.file import read_policy
from reptarium.pool.tasks.rulings import wanted_pools
from reptarium.pool.workers.configuration import zygote_config
from reptarium.sandbox.wire import ZygoteConfig


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Show each layer of isolation, and let a real worker try what no task may do; with REPTARIUM_POLICY one of "
        "each pool that its rules take."
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def call(arguments: argparse.Namespace) -> int:
    """Examine this machine. Returns 0 when tasks are isolated as they should be, 1 otherwise."""
    # Everything that the pool would log is in the tables; standard output is the tables' alone.
    settings = load_settings({**os.environ, "REPTARIUM_LOG_LEVEL": "error"})
    configure_logging(settings)
    pools: list[tuple[tuple[str, ...], ZygoteConfig]] = [((), zygote_config(settings))]
    if settings.policy is not None:
        pools = wanted_pools(read_policy(settings.policy, settings))
    place = place_of(settings)
    # nothing is installed for an examination
    missing = place is not None and not place.ready()
    pools = [
        (rules, msgspec.structs.replace(config, preload_from="") if missing else config) for rules, config in pools
    ]
    found = [(rules, run_interruptibly(examine, config)) for rules, config in pools]
    if arguments.json:
        print(_as_json(found))
    else:
        for rules, one in found:
            if rules:
                print(f"Workers of tasks under: {', '.join(rules)}\n")
            _show(one)
        if place is not None:
            there = "not installed yet: `reptarium install` or the start does it" if missing else "installed"
            print(f"Packages of {place.requirements.path}, in {place.site}: {there}")
    return 0 if all(one.healthy for _, one in found) else 1


def _as_json(found: Sequence[tuple[tuple[str, ...], Examination]]) -> str:
    """That of the environment's values; below ``rules`` the others, each with the names of its rules."""
    (_, first), *others = found
    data = _as_data(first)
    if others:
        data["rules"] = [{"names": names, **_as_data(one)} for names, one in others]
    return json.dumps(data, indent=2, ensure_ascii=False)


def _as_data(found: Examination) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(found)
    data.update(healthy=found.healthy, verdict=found.verdict, version=__version__)
    for attempt, shown in zip(found.attempts, data["attempts"], strict=True):
        shown["ok"] = attempt.ok
    return data


_COLOURS = {"active": "green", "partial": "yellow", "missing": "red", "off": "dim"}


#: Columns below which a table's cells would have room for a word or two each.
_NARROW = 90


def _show(found: Examination) -> None:
    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140, highlight=False)
    console.print(
        f"Reptarium {__version__}, Python {found.python}, Linux {found.kernel}, {found.machine}; "
        f"isolation policy: {found.policy}"
    )
    if found.refusal:
        console.print(f"\n[red]The sandbox refuses to start:[/red] {escape(found.refusal)}")
    _rows(
        console,
        "Layers",
        ("layer", "state", "what holds, and why not more", "what to change"),
        [
            (layer.name, _coloured(layer.state, _COLOURS[layer.state]), layer.detail, layer.remedy)
            for layer in found.layers
        ],
    )
    _rows(
        console,
        "What a worker tried",
        ("attempt", "", "layer", "must be", "came of it"),
        [
            (
                one.name,
                _coloured("ok", "green") if one.ok else _coloured("WRONG", "red"),
                one.layer,
                one.wanted,
                one.got,
            )
            for one in found.attempts
        ],
    )
    _rows(
        console,
        "Tricks with the interpreter's memory",
        ("trick", "", "how far, or why not"),
        [
            (trick.name, _coloured("on", "green") if trick.on else _coloured("off", "yellow"), trick.detail)
            for trick in found.tricks
        ],
    )
    if found.worker:
        console.print(
            "A parked worker, seen from outside: " + ", ".join(f"{k} {v or '-'}" for k, v in found.worker.items())
        )
    colour = "green" if found.healthy else "red" if found.problems else "yellow"
    console.print(escape(found.verdict), style=colour)


def _literal(text: str | Text) -> Text:
    """What has brackets in it is no markup."""
    return Text(text) if isinstance(text, str) else text


def _coloured(text: str, colour: str) -> Text:
    return Text(text, style=colour)


def _rows(console: Console, title: str, head: tuple[str, ...], rows: Sequence[tuple[str | Text, ...]]) -> None:
    """A table; on a narrow terminal a paragraph for each row: its name and state, and the rest below."""
    if not rows:
        return
    if console.width >= _NARROW:
        table = Table(*head, title=title, title_justify="left", pad_edge=False)
        for row in rows:
            table.add_row(*map(_literal, row))
        console.print(table)
        return
    console.print(Text(f"\n{title}", style="bold"))
    for name, state, *rest in rows:
        console.print(Text.assemble(name, ": ", state))
        for label, text in zip(head[2:], rest, strict=True):
            if str(text):
                words = f"{label}: {text}" if len(rest) > 2 else str(text)
                console.print(Padding(Text(words, style="dim"), (0, 0, 0, 2)))
