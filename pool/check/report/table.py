"""The report for people, on a terminal."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reptarium.pool.check.checking import Result
from reptarium.pool.check.report.words import (
    STATUS,
    VERDICTS,
    changes,
    facts,
    headline,
    ran,
    sentence,
    settings_text,
    to_change,
)
from reptarium.pool.check.shown import shown

_COLOURS = {"runs": "green", "settings": "yellow", "never": "red"}
_VERDICTS = {"same": "green", "differs": "yellow", "fails": "red"}
#: Nodes that are named for one difference.
_NAMED = 4


def show(result: Result) -> None:
    """Print it to standard output."""
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, soft_wrap=False)
    _nodes(console, result)
    _changes(console, result)
    _runs(console, result)
    _settings(console, result)
    found = result.checked.found
    for title, colour, lines in (("Not read", "red", found.problems), ("Not checked", "yellow", found.notes)):
        if lines:
            console.print(Text(f"\n{title}", style=colour))
            for line in lines:
                console.print(Text(shown(f"  {line.source}: {line.text}" if line.source else f"  {line.text}")))
    console.print()
    console.print(Text(headline(result), style="bold"))


def _nodes(console: Console, result: Result) -> None:
    if not result.checked.reports:
        return
    table = Table(title="Python nodes", title_justify="left", pad_edge=False)
    for column in ("node", "", "what stands in the way", "what it does"):
        table.add_column(column, overflow="fold")
    for one in result.checked.reports:
        node = one.node
        kind = f"{'Code Tool' if node.tool else 'Code'} {node.version:g}, {node.language}"
        name = Text(shown(node.place)).append(f"\n{kind}", style="dim")
        if node.disabled:
            name.append(", disabled", style="dim")
        status = Text(STATUS[one.status], style=_COLOURS[one.status])
        table.add_row(name, status, Text("\n".join(map(sentence, one.refusals))), Text("\n".join(facts(one))))
    console.print(table)


def _changes(console: Console, result: Result) -> None:
    rows = changes(result)
    if not rows:
        return
    table = Table(title="What differs from n8n's own runner", title_justify="left", pad_edge=False)
    for column in ("what", "there", "here", "nodes"):
        table.add_column(column, overflow="fold")
    for warned, nodes in rows:
        named = [shown(one.node.place) for one in nodes[:_NAMED]]
        more = [f"and {len(nodes) - _NAMED} more"] if len(nodes) > _NAMED else []
        table.add_row(
            *(Text(shown(text)) for text in (warned.what, warned.original, warned.ours)),
            Text("\n".join([*named, *more])),
        )
    console.print(table)


def _runs(console: Console, result: Result) -> None:
    if not result.runs:
        return
    table = Table(title="What came of running them", title_justify="left", pad_edge=False)
    for column in ("node", "", "on what, compared with what, and what came of it"):
        table.add_column(column, overflow="fold")
    for one in result.runs:
        verdict = Text(VERDICTS[one.verdict], style=_VERDICTS.get(one.verdict, "dim"))
        table.add_row(Text(shown(one.place)), verdict, Text(ran(one)))
    console.print(table)


def _settings(console: Console, result: Result) -> None:
    for title, text in settings_text(result):
        console.print(Text(f"\n# {title}", style="bold"))
        console.print(Text(text), soft_wrap=True)
    for line in result.proposal.open:
        console.print(Text(f"\nStill to decide: {shown(line)}", style="yellow"))
    for one in result.unproven:
        console.print(Text(f"\nNot enough for {shown(one.node.place)}:", style="yellow"))
        for refusal in one.refusals:
            console.print(Text(f"  {sentence(refusal)}"))
    never = [one for one in result.checked.reports if one.counts and one.status == "never"]
    if never:
        console.print(Text("\nNo setting lets these run; change the code:", style="red"))
        for one in never:
            console.print(Text(f"  {shown(one.node.place)}"))
            for refusal in one.needs.unsolved:
                console.print(Text(f"    {to_change(refusal)}"))
