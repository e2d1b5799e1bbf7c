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
#: Nodes that are named for one difference; columns of a terminal below which there is no table.
_NAMED, _NARROW = 4, 90


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
    rows = []
    for one in result.checked.reports:
        node = one.node
        kind = f"{'Code Tool' if node.tool else 'Code'} {node.version:g}, {node.language}"
        name = Text(shown(node.place)).append(f"\n{kind}{', disabled' if node.disabled else ''}", style="dim")
        status = Text(STATUS[one.status], style=_COLOURS[one.status])
        rows.append([name, status, Text("\n".join(map(sentence, one.refusals))), Text("\n".join(facts(one)))])
    _table(console, "Python nodes", ["node", "", "what stands in the way", "what it does"], rows)


def _changes(console: Console, result: Result) -> None:
    rows = []
    for warned, nodes in changes(result):
        named = [shown(one.node.place) for one in nodes[:_NAMED]]
        more = [f"and {len(nodes) - _NAMED} more"] if len(nodes) > _NAMED else []
        texts = [Text(shown(text)) for text in (warned.what, warned.original, warned.ours)]
        rows.append([*texts, Text("\n".join([*named, *more]))])
    _table(console, "What differs from n8n's own runner", ["what", "there", "here", "nodes"], rows)


def _runs(console: Console, result: Result) -> None:
    rows = [
        [
            Text(shown(one.place)),
            Text(VERDICTS[one.verdict], style=_VERDICTS.get(one.verdict, "dim")),
            Text(ran(one)),
        ]
        for one in result.runs
    ]
    heads = ["node", "", "on what, compared with what, and what came of it"]
    _table(console, "What came of running them", heads, rows)


def _table(console: Console, title: str, heads: list[str], rows: list[list[Text]]) -> None:
    """Columns, or one below the other where they would be too narrow to be read."""
    if not rows:
        return
    if console.width < _NARROW:
        console.print(Text(f"\n{title}", style="italic"))
        for row in rows:
            console.print()
            for head, cell in zip(heads, row, strict=True):
                if cell.plain:
                    console.print(Text.assemble((f"{head}: " if head else "", "bold"), cell))
        return
    table = Table(title=title, title_justify="left")
    for column in heads:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
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
