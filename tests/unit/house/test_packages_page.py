"""docs/packages.md tells of the packages that were run."""

from __future__ import annotations

from pathlib import Path

from tests.packages import corpus, record

ROOT = Path(__file__).resolve().parents[3]
#: What packages of the corpus want otherwise than the tests have it.
OTHERWISE = {"python-dateutil"}


def test_the_page_of_packages_is_what_was_run() -> None:
    """docs/packages.md is what docs/packages.json gives, with a row for each package of the corpus, which ran."""
    found = record.load()
    assert record.PAGE.read_text("utf-8") == record.page(found)
    named = {program.package for program in corpus.programs()}
    for run in found.values():
        assert run["packages"].keys() <= named
    assert any(named == run["packages"].keys() for run in found.values())


def test_programs_of_the_corpus_use_what_they_name() -> None:
    """Each imports what its package is imported as, and ends in items."""
    for program in corpus.programs():
        assert any(f"import {name}" in program.code or f"from {name}" in program.code for name in program.imports)
        assert isinstance(program.returns[0]["json"], dict), program.key


def pins(file: str) -> set[str]:
    """The lines that pin something, in one spelling."""
    lines = (line.partition("#")[0].strip().lower() for line in (ROOT / file).read_text("utf-8").splitlines())
    return {line.replace("_", "-") for line in lines if "==" in line}


def test_packages_are_run_with_what_is_tested() -> None:
    """What the constraints pin, make packages pins alike, but for what its packages forbid."""
    pinned = pins("constraints.txt") | pins("constraints-test.txt")
    others = {pin.partition("=")[0] for pin in pinned - pins("tests/packages/constraints.txt")}
    assert others == OTHERWISE
