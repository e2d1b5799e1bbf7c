"""The report for code review: SARIF 2.1.0 (OASIS), as GitHub, GitLab and editors read it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from reptarium import __version__
from reptarium.pool.check.checking import Result
from reptarium.pool.check.report.words import ran, sentence
from reptarium.pool.check.reports import NodeReport
from reptarium.pool.check.shown import shown
from reptarium.pool.check.workflows import CodeNode

_RULES = {
    "imports": "A module is imported that isn't on the lists",
    "builtins": "A built-in name is used that the administrator removed",
    "connections": "The code connects to something",
    "files": "The code has files",
    "language": "The restricted language mode refuses a construct",
    "calls": "A call to n8n isn't allowed",
    "limits": "The code wants more than a task may have",
    "install": "An imported package isn't installed",
    "never": "No setting lets this run",
    "syntax": "The code isn't Python",
    "run": "What came of running it is wrong",
    "unreadable": "An export can't be read",
    "differs": "The code may behave differently from n8n's own runner",
}
#: Errors are what no setting solves.
_LEVELS = {"never": "error", "syntax": "error", "unreadable": "error", "differs": "note"}
#: Nodes of an export that are looked for in the whole of it: those whose workflow is JSON in text aren't found.
_MOST_MISSED = 50


def render(result: Result) -> str:
    """The whole report, ending in a line end."""
    places = {id(one.node): place for one, place in _places(result.checked.reports)}
    results = [one for report in result.checked.reports for one in _of_node(report, places[id(report.node)])]
    for problem in result.checked.found.problems:
        results.append(_result("unreadable", shown(problem.text), {"physicalLocation": _file(problem.source, 1)}))
    # what is equal in both is told apart by nobody
    nodes = {(one.node.source, one.node.place): places[id(one.node)] for one in result.checked.reports}
    for run in result.runs:
        if run.verdict in ("fails", "differs"):
            results.append(
                _result("run", f"{shown(run.place)} {run.verdict}: {ran(run)}", nodes[run.source, run.place])
            )
    driver = {
        "name": "reptarium check",
        "version": __version__,
        "rules": [{"id": name, "shortDescription": {"text": text}} for name, text in _RULES.items()],
    }
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return msgspec.json.format(msgspec.json.encode(log), indent=2).decode() + "\n"


def _of_node(report: NodeReport, where: dict[str, Any]) -> list[dict[str, Any]]:
    node = report.node
    level = "note" if node.disabled else None
    results = [
        _result(one.kind, f"{shown(node.place)}, {sentence(one)}", where, level=level) for one in report.refusals
    ]
    for one in report.warnings:
        if not one.gain:
            text = f"{shown(node.place)}, line {one.line}: {one.what}: {one.ours} (n8n's runner: {one.original})"
            results.append(_result("differs", shown(text), where))
    return results


def _places(reports: list[NodeReport]) -> Iterator[tuple[NodeReport, dict[str, Any]]]:
    export = None
    for one in reports:
        if export is None or export.source != one.node.source:
            export = _Export(one.node.source)
        yield one, _where(one.node, export.line_of(one.node.code))


def _where(node: CodeNode, line: int) -> dict[str, Any]:
    return {
        "physicalLocation": _file(node.source, line, node.workflow_id),
        "logicalLocations": [{"name": shown(node.name), "fullyQualifiedName": shown(node.place), "kind": "function"}],
    }


def _result(rule: str, text: str, where: dict[str, Any], level: str | None = None) -> dict[str, Any]:
    return {
        "ruleId": rule,
        "level": level or _LEVELS.get(rule, "warning"),
        "message": {"text": text},
        "locations": [where],
    }


def _file(source: str, line: int, workflow_id: str = "") -> dict[str, Any]:
    return {"artifactLocation": {"uri": _uri(source, workflow_id)}, "region": {"startLine": line}}


def _uri(source: str, workflow_id: str) -> str:
    """A file's, or the address at which n8n itself shows a workflow."""
    if source.startswith(("http://", "https://")):
        return f"{source}/workflow/{quote(workflow_id, safe='')}" if workflow_id else source
    path = Path(source)
    return path.as_uri() if path.is_absolute() else quote(os.fsencode(path.as_posix()))


class _Export:
    """An export's text, read from its beginning to its end as nodes are looked for in their order."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._text = _text(source)
        self._place, self._line = 0, 1
        self._ascii = True  # whether its texts are escaped so: one program wrote them all
        self._missed = 0

    def line_of(self, code: str) -> int:
        """The line that the code stands in: it is one text of JSON's there. 1 where it isn't found."""
        if not code or self._missed >= _MOST_MISSED:
            return 1
        for start in dict.fromkeys((self._place, 0)):
            for is_ascii in (self._ascii, not self._ascii):
                text = json.dumps(code, ensure_ascii=is_ascii)[1:-1]
                place = self._text.find(text, start)
                if place >= 0:
                    return self._at(place, len(text), is_ascii)
        self._missed += 1
        return 1

    def _at(self, place: int, length: int, is_ascii: bool) -> int:
        if place < self._place:
            self._missed += 1
            return self._text.count("\n", 0, place) + 1
        self._line += self._text.count("\n", self._place, place)
        # the text has no line end in it
        self._place, self._ascii = place + length, is_ascii
        return self._line


def _text(source: str) -> str:
    try:
        if not Path(source).is_file():  # a pipe is read once
            return ""
        return Path(source).read_text("utf-8", errors="replace")
    except (OSError, ValueError):  # standard input, or n8n itself
        return ""
