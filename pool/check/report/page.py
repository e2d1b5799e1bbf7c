"""The report as one page of HTML that needs nothing else: to be sent on, opened from a mail, printed."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from reptarium import __version__
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

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #8886; }
td { overflow-wrap: anywhere; } td ul { margin: 0; padding-left: 1.1rem; }
pre { padding: .8rem; border: 1px solid #8886; border-radius: 4px; overflow-x: auto; }
.runs { color: #1a7f37; } .settings { color: #9a6700; } .never { color: #cf222e; } .quiet { opacity: .7; }
"""


def render(result: Result) -> str:
    """The whole page."""
    found = result.checked.found
    parts = [f"<h1>Python nodes under Reptarium</h1><p>{_text(headline(result))}</p>", _nodes(result)]
    if rows := changes(result):
        body = (
            [
                *(_text(text) for text in (warned.what, warned.original, warned.ours, warned.why)),
                _list(one.node.place for one in nodes),
            ]
            for warned, nodes in rows
        )
        parts.append("<h2>What differs from n8n's own runner</h2>")
        parts.append(_table(["", "n8n's runner", "Reptarium", "why", "nodes"], body))
    if result.runs:
        lines_of = ([_text(one.place), VERDICTS[one.verdict], _text(ran(one))] for one in result.runs)
        parts.append(
            "<h2>What came of running them</h2>" + _table(["node", "", "on what, and what came of it"], lines_of)
        )
    if texts := settings_text(result):
        parts.append("<h2>The settings that let it run</h2>")
        parts += [f"<h3>{_text(title)}</h3><pre>{escape(text)}</pre>" for title, text in texts]
    if result.proposal.open or result.unproven:
        lines = [*result.proposal.open, *(f"not enough for {one.node.place}" for one in result.unproven)]
        parts.append(f"<h2>Still to decide</h2>{_list(lines)}")
    never = [one for one in result.checked.reports if one.counts and one.status == "never"]
    if never:
        rows_of = ([_text(one.node.place), _list(map(to_change, one.needs.unsolved))] for one in never)
        parts.append("<h2>What no setting lets run</h2>" + _table(["node", "what to change"], rows_of))
    for title, problems in (("Not read", found.problems), ("Not checked", found.notes)):
        if problems:
            parts.append(f"<h2>{title}</h2>{_list(f'{one.source}: {one.text}' for one in problems)}")
    body_text = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Python nodes under Reptarium</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>\n<body>\n{body_text}\n'
        f'<p class="quiet">reptarium check {escape(__version__)}</p></body></html>\n'
    )


def _nodes(result: Result) -> str:
    if not result.checked.reports:
        return "<p>There is no Python node.</p>"
    rows = []
    for one in result.checked.reports:
        node = one.node
        kind = f"{'Code Tool' if node.tool else 'Code'} {node.version:g}, {node.language}"
        off = ", disabled" if node.disabled else ""
        rows.append(
            [
                f'{_text(node.place)}<br><span class="quiet">{_text(kind + off)}</span>',
                f'<span class="{one.status}">{STATUS[one.status]}</span>',
                _list(map(sentence, one.refusals)),
                _list(facts(one)),
            ]
        )
    return "<h2>Nodes</h2>" + _table(["node", "", "what stands in the way", "what it does"], rows)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{_text(one)}</th>" for one in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _text(text: str) -> str:
    return escape(shown(text))
