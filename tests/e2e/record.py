"""Which n8n versions were run, when, and how it went: docs/n8n-versions.json, and the page made of it (stdlib only)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
RECORD = DOCS / "n8n-versions.json"
PAGE = DOCS / "n8n-versions.md"

#: Suites in the order of the page's columns: (title, what it is).
SUITES = {
    "cases": ("code", "ordinary Python in three profiles of allowlists, against what n8n's own runner made of it"),
    "callbacks": ("calls", "HTTP, files, other nodes, static and custom data from user code"),
    "pairs": ("paired items", "`.item` against n8n's own `$('X').item`, over generated workflows"),
    "plain": (
        "scenarios",
        "one n8n: AI agents with Python tools, error workflow, sub-workflow, loop, files, 200 webhooks at the same "
        "time, n8n killed and restarted, stop by hand, the runner replaced",
    ),
    "queue": (
        "queue mode",
        "the same with PostgreSQL, Redis, a main n8n and two workers on one runner; workers restarted one after the "
        "other, a worker and the main one killed",
    ),
}
Record = dict[str, dict[str, Any]]


def load(path: Path = RECORD) -> Record:
    """The record by n8n version; empty where there is none yet."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def note(record: Record, version: str, about: dict[str, Any], suite: str, result: dict[str, Any]) -> None:
    """Put a suite's result into the record.

    Args:
        about: of the version: `node`, and what was `substituted` when it was installed.
        result: `date`, `passed` (a count), `failed` (names), `beside` (versions of what else took part).
    """
    entry = record.setdefault(version, {"suites": {}})
    entry.update(about)
    entry["suites"][suite] = result


def save(record: Record) -> None:
    """Write the record and the page."""
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
    PAGE.write_text(page(record), "utf-8")


def newest_first(record: Record) -> list[str]:
    """The versions, in the order of the page's rows."""
    return sorted(record, key=lambda version: [int(number) for number in re.findall(r"\d+", version)], reverse=True)


def cell(result: dict[str, Any] | None, latest: str) -> str:
    """What the table says of one suite's result."""
    if result is None:
        return "not run"
    total = result["passed"] + len(result["failed"])
    text = f"{result['passed']} of {total}"
    if result["failed"]:
        text += ", failed: " + ", ".join(f"`{name}`" for name in result["failed"])
    return text if result["date"] == latest else f"{text} ({result['date']})"


def page(record: Record) -> str:
    """The page, whole."""
    used = [suite for suite in SUITES if any(suite in entry["suites"] for entry in record.values())]
    titles = ["n8n", *(SUITES[suite][0] for suite in used), "run on", "beside it"]
    rows = []
    notes = []
    for version in newest_first(record):
        entry = record[version]
        latest = max(result["date"] for result in entry["suites"].values())
        beside: dict[str, str] = {"Node": entry["node"]}
        for result in entry["suites"].values():
            beside |= result["beside"]
        name = version
        if substituted := entry.get("substituted"):
            name += " \\*"
            which = ", ".join(f"{package} {other}" for package, other in sorted(substituted.items()))
            notes.append(
                f"\\* n8n {version}: the registry lacked {len(substituted)} of its packages, and the nearest older "
                f"versions were taken: {which}."
            )
        cells = [cell(entry["suites"].get(suite), latest) for suite in used]
        rows.append([name, *cells, latest, ", ".join(f"{what} {number}" for what, number in beside.items())])
    table = ["| " + " | ".join(row) + " |" for row in (titles, ["---"] * len(titles), *rows)]
    columns = [f"- **{SUITES[suite][0]}**: {SUITES[suite][1]}." for suite in used]
    return "\n".join(
        [
            "# n8n versions that were run",
            "",
            "Real n8n processes and a real runner with its sandbox, on one machine. Written by the runs themselves "
            "(`tests/e2e/versions.py`),",
            "from `n8n-versions.json`: not by hand.",
            "",
            *table,
            "",
            *[line for each in notes for line in (each, "")],
            "What the columns count:",
            "",
            *columns,
            "",
            "To run them on a version of your own, which adds its row, see `tests/e2e/README.md`. Versions that aren't "
            "listed are not known to",
            "fail: nobody has run them here.",
            "",
        ]
    )
