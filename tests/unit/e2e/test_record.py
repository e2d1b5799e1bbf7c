"""The page of n8n versions, which the runs in tests/e2e write. No n8n is started here."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def record() -> ModuleType:
    """tests/e2e/record.py, which isn't in a package."""
    spec = importlib.util.spec_from_file_location("e2e_record", ROOT / "tests/e2e/record.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def result(passed: int = 3, failed: list[str] | None = None, date: str = "2026-01-02") -> dict[str, Any]:
    return {"date": date, "passed": passed, "failed": failed or [], "beside": {"Python": "3.11.2"}}


def rows(page: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]


def test_page_is_what_the_record_says(record: ModuleType) -> None:
    """docs/n8n-versions.md is made of docs/n8n-versions.json: nobody edits either by hand."""
    assert (ROOT / "docs/n8n-versions.md").read_text() == record.page(record.load())


def test_record_has_a_date_and_counts_of_every_run(record: ModuleType) -> None:
    """Each suite that was run on a version says when, and how many of its tests passed."""
    known = json.loads((ROOT / "docs/n8n-versions.json").read_text())
    assert known
    for entry in known.values():
        for suite, run in entry["suites"].items():
            assert suite in record.SUITES
            assert len(run["date"].split("-")) == 3
            assert run["passed"] + len(run["failed"]) > 0


def test_newest_version_comes_first(record: ModuleType) -> None:
    """Versions are ordered as numbers: 2.100.0 is newer than 2.41.3."""
    known: dict[str, Any] = {}
    for version in ("2.41.3", "2.100.0", "2.9.10"):
        record.note(known, version, {"node": "24.1.0", "substituted": {}}, "cases", result())
    assert [row[0] for row in rows(record.page(known))[2:]] == ["2.100.0", "2.41.3", "2.9.10"]


def test_what_failed_is_named(record: ModuleType) -> None:
    """A suite's cell says how many of how many passed, and which didn't."""
    known: dict[str, Any] = {}
    record.note(known, "2.41.3", {"node": "24.1.0", "substituted": {}}, "plain", result(3, ["loop"]))
    assert rows(record.page(known))[2][1] == "3 of 4, failed: `loop`"


def test_suite_that_was_not_run_says_so(record: ModuleType) -> None:
    """A version on which a suite was never run doesn't look as if it had passed; an older run shows its own date."""
    known: dict[str, Any] = {}
    facts = {"node": "24.1.0", "substituted": {}}
    record.note(known, "2.41.3", facts, "cases", result(date="2026-01-01"))
    record.note(known, "2.41.3", facts, "queue", result(date="2026-01-02"))
    record.note(known, "2.40.5", facts, "cases", result())
    newest, older = rows(record.page(known))[2:]
    assert newest[1:3] == ["3 of 3 (2026-01-01)", "3 of 3"]
    assert older[1:3] == ["3 of 3", "not run"]


def test_replaced_packages_are_named(record: ModuleType) -> None:
    """A version that the registry had only in part says which packages were older ones."""
    known: dict[str, Any] = {}
    record.note(known, "2.41.3", {"node": "24.1.0", "substituted": {"n8n-core": "2.41.1"}}, "cases", result())
    page = record.page(known)
    assert "lacked 1 of its packages" in page
    assert "n8n-core 2.41.1" in page
