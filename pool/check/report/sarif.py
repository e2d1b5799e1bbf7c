"""The report for code review: SARIF 2.1.0 (OASIS), as GitHub, GitLab and editors read it."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from reptarium import __version__
from reptarium.pool.check.checking import Result
from reptarium.pool.check.report.words import ran, sentence, shown
from reptarium.pool.check.reports import NodeReport
from reptarium.pool.check.workflows import CodeNode

_RULES = {
    "imports": "A module is imported that isn't on the lists",
    "builtins": "A built-in name is used that the administrator removed",
    "connections": "The code connects to something",
    "files": "The code has files",
    "language": "The restricted language mode refuses a construct",
    "calls": "A call to n8n isn't allowed",
    "install": "An imported package isn't installed",
    "never": "No setting lets this run",
    "syntax": "The code isn't Python",
    "run": "What came of running it is wrong",
    "unreadable": "An export can't be read",
    "differs": "The code may behave differently from n8n's own runner",
}
#: Errors are what no setting solves.
_LEVELS = {"never": "error", "syntax": "error", "unreadable": "error", "differs": "note"}


def render(result: Result) -> str:
    """The whole report, ending in a line end."""
    results = [one for report in result.checked.reports for one in _of_node(report)]
    for problem in result.checked.found.problems:
        results.append(_result("unreadable", shown(problem.text), {"physicalLocation": _file(problem.source, 1)}))
    nodes = {one.node.place: one.node for one in result.checked.reports}
    for run in result.runs:
        if run.verdict in ("fails", "differs"):
            results.append(_result("run", f"{shown(run.place)} {run.verdict}: {ran(run)}", _where(nodes[run.place])))
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


def _of_node(report: NodeReport) -> list[dict[str, Any]]:
    node = report.node
    where = _where(node)
    level = "note" if node.disabled else None
    results = [
        _result(one.kind, f"{shown(node.place)}, {sentence(one)}", where, level=level) for one in report.refusals
    ]
    for one in report.warnings:
        if not one.gain:
            text = f"{shown(node.place)}, line {one.line}: {one.what}: {one.ours} (n8n's runner: {one.original})"
            results.append(_result("differs", shown(text), where))
    return results


def _where(node: CodeNode) -> dict[str, Any]:
    return {
        "physicalLocation": _file(node.source, _line_of(node.source, node.code)),
        "logicalLocations": [{"name": shown(node.name), "fullyQualifiedName": shown(node.place), "kind": "function"}],
    }


def _result(rule: str, text: str, where: dict[str, Any], level: str | None = None) -> dict[str, Any]:
    return {
        "ruleId": rule,
        "level": level or _LEVELS.get(rule, "warning"),
        "message": {"text": text},
        "locations": [where],
    }


def _file(source: str, line: int) -> dict[str, Any]:
    path = Path(source)
    uri = path.as_uri() if path.is_absolute() else quote(os.fsencode(path.as_posix()))
    return {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}


def _line_of(source: str, code: str) -> int:
    """The line of the export that the code stands in: it is one text of JSON's there."""
    for text in {json.dumps(code)[1:-1], json.dumps(code, ensure_ascii=False)[1:-1]}:
        place = _text(source).find(text) if text else -1
        if place >= 0:
            return _text(source).count("\n", 0, place) + 1
    return 1


@lru_cache(maxsize=1)
def _text(source: str) -> str:
    try:
        return Path(source).read_text("utf-8", errors="replace")
    except (OSError, ValueError):  # standard input, or n8n itself
        return ""
