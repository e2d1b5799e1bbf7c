"""``reptarium doctor``: what ``doctor.py`` found, as tables or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import trio
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reptarium.pool.config import load_settings
from reptarium.pool.doctor import Examination, examine
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
    found = [(rules, trio.run(examine, config)) for rules, config in pools]
    if arguments.json:
        print(_as_json(found))
    else:
        for rules, one in found:
            if rules:
                print(f"Workers of tasks under: {', '.join(rules)}\n")
            _show(one)
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
    data.update(healthy=found.healthy, verdict=found.verdict)
    for attempt, shown in zip(found.attempts, data["attempts"], strict=True):
        shown["ok"] = attempt.ok
    return data


_COLOURS = {"active": "green", "partial": "yellow", "missing": "red", "off": "dim"}


def _show(found: Examination) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(f"Python {found.python}, Linux {found.kernel}, {found.machine}; isolation policy: {found.policy}")
    if found.refusal:
        console.print(f"\n[red]The sandbox refuses to start:[/red] {found.refusal}")
    if found.layers:
        table = Table(title="Layers", title_justify="left", pad_edge=False)
        for column in ("layer", "state", "what holds, and why not more", "what to change"):
            table.add_column(column)
        for layer in found.layers:
            colour = _COLOURS[layer.state]
            table.add_row(layer.name, f"[{colour}]{layer.state}[/{colour}]", layer.detail, layer.remedy)
        console.print(table)
    if found.attempts:
        table = Table(title="What a worker tried", title_justify="left", pad_edge=False)
        for column in ("attempt", "layer", "must be", "came of it", ""):
            table.add_column(column)
        for one in found.attempts:
            verdict = "[green]ok[/green]" if one.ok else "[red]WRONG[/red]"
            table.add_row(one.name, one.layer, one.wanted, one.got, verdict)
        console.print(table)
    if found.tricks:
        table = Table(title="Tricks with the interpreter's memory", title_justify="left", pad_edge=False)
        for column in ("trick", "", "how far, or why not"):
            table.add_column(column)
        for trick in found.tricks:
            table.add_row(trick.name, "[green]on[/green]" if trick.on else "[yellow]off[/yellow]", trick.detail)
        console.print(table)
    if found.worker:
        console.print(
            "A parked worker, seen from outside: " + ", ".join(f"{k} {v or '-'}" for k, v in found.worker.items())
        )
    colour = "green" if found.healthy else "red" if found.problems else "yellow"
    console.print(escape(found.verdict), style=colour)
