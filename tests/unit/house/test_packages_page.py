"""docs/packages.md tells of the packages that were run."""

from __future__ import annotations

from tests.packages import corpus, record


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
