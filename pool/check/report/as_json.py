"""The report for programs. Code, pinned data and credentials are no part of it."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from reptarium import __version__
from reptarium.pool.check.checking import Result
from reptarium.pool.check.report.words import way
from reptarium.pool.check.reports import NodeReport


def render(result: Result) -> str:
    """The whole report, ending in a line end."""
    raw = msgspec.json.encode(data(result))
    return msgspec.json.format(raw, indent=2).decode() + "\n"


def data(result: Result) -> dict[str, Any]:
    """The whole report."""
    checked, proposal = result.checked, result.proposal
    return {
        "reptarium": __version__,
        "counts": {
            "workflows": len(checked.found.workflows),
            "nodes": checked.found.count,
            "python": len(checked.reports),
            **{status: checked.count(status) for status in ("runs", "settings", "never")},
        },
        "nodes": [node(report) for report in checked.reports],
        "settings": {
            "environ": proposal.environ,
            "policy": proposal.policy,
            "everywhere": proposal.everywhere,
            "requirements": proposal.requirements,
            "guesses": proposal.guesses,
            "open": proposal.open,
            "unproven": [node(report) for report in result.unproven],
        },
        "runs": [_sourced(msgspec.to_builtins(one)) for one in result.runs],
        "problems": [_sourced(msgspec.to_builtins(one)) for one in checked.found.problems],
        "notes": [_sourced(msgspec.to_builtins(one)) for one in checked.found.notes],
    }


def node(report: NodeReport) -> dict[str, Any]:
    """One node of it."""
    found: dict[str, Any] = msgspec.to_builtins(report)
    del found["node"]["code"], found["node"]["workflow"]
    _sourced(found["node"])
    for refusal, shown in zip(report.refusals, found["refusals"], strict=True):
        shown["change"] = way(refusal)
    return found


def _sourced(found: dict[str, Any]) -> dict[str, Any]:
    """A file's name is bytes; JSON is UTF-8."""
    found["source"] = os.fsencode(found["source"]).decode("utf-8", "replace")
    return found
