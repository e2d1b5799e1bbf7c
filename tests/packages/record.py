"""What the corpus of packages gave, by Python version: docs/packages.json, and the page made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.packages import corpus

DOCS = Path(__file__).resolve().parents[2] / "docs"
RECORD = DOCS / "packages.json"
PAGE = DOCS / "packages.md"

#: Python's minor version → ``python`` (whole), ``date``, ``packages``: of each ``version``, ``passed``, ``failed``.
Record = dict[str, dict[str, Any]]

_TOP = """# Packages that were run

What people name for Code nodes, in real workers: sealed, restricted, with no network and no files. Each package has a
few lines of ordinary use in `tests/packages/corpus.toml`, with the result that plain CPython gives. They are run in
plain CPython, in a worker whose zygote imported what `N8N_RUNNERS_EXTERNAL_ALLOW` names, and in a worker that imports
for itself (`*`). Written by the runs themselves (`make packages`), from `packages.json`: not by hand.

What isn't in the table was not run; that says nothing about it. Packages that go to the network need
`REPTARIUM_CONNECT_ALLOW` ([connections.md](connections.md)), those that write files `REPTARIUM_SCRATCH`
([powers.md](powers.md)).
"""


def load(path: Path = RECORD) -> Record:
    """The record; empty where there is none yet."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def with_run(record: Record, python: str, date: str, packages: dict[str, Any]) -> Record:
    """The record with the run of one Python (``3.11.7``) in the place of its former one."""
    minor = ".".join(python.split(".")[:2])
    return {**record, minor: {"python": python, "date": date, "packages": packages}}


def save(record: Record) -> None:
    """Write the record and the page."""
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    PAGE.write_text(page(record), "utf-8")


def cell(run: dict[str, Any], package: str) -> str:
    """What the table says of a package under one Python."""
    entry = run["packages"].get(package)
    if entry is None:
        return "not installed"
    return f"{'not' if entry['failed'] else 'works'} ({entry['version']})"


def note(record: Record, package: str, notes: list[str]) -> str:
    """What a reader should know: the corpus's own words, and how it failed."""
    said = list(dict.fromkeys(filter(None, notes)))
    for minor, run in sorted(record.items(), key=_by_number):
        for key, ways in run["packages"].get(package, {}).get("failed", {}).items():
            said += [f"{minor}, {key}, {way}: {_one_line(text)}" for way, text in ways.items()]
    return "; ".join(said)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200].replace("|", "\\|")


def _by_number(item: tuple[str, Any]) -> list[int]:
    return [int(number) for number in item[0].split(".")]


def page(record: Record) -> str:
    """The page, whole."""
    programs = corpus.programs()
    pythons = [minor for minor, _ in sorted(record.items(), key=_by_number)]
    lines = [_TOP]
    lines += [
        f"- Python {record[minor]['python']}, {record[minor]['date']}: {len(record[minor]['packages'])} packages, "
        f"{sum(not entry['failed'] for entry in record[minor]['packages'].values())} work"
        for minor in pythons
    ]
    lines += ["", f"| package | {' | '.join(f'Python {minor}' for minor in pythons)} | note |"]
    lines.append("| --- |" + " --- |" * (len(pythons) + 1))
    for package in sorted({program.package for program in programs}, key=str.lower):
        notes = [program.note for program in programs if program.package == package]
        cells = [cell(record[minor], package) for minor in pythons]
        lines.append(f"| {package} | {' | '.join(cells)} | {note(record, package, notes)} |")
    return "\n".join(lines) + "\n"
