"""The mutants of `make mutants` fit the code as it is: a change that leaves one behind is seen here, in no time."""

from __future__ import annotations

import pytest

from tests.mutants.run import ROOT, Mutant, mutants, mutated


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.breaks)
def test_fits(mutant: Mutant) -> None:
    """What a mutant replaces stands in its file exactly once, and the files of its tests are there."""
    text = (ROOT / mutant.file).read_text("utf-8")
    assert mutated(mutant, text) != text
    files = [test.partition("::")[0] for test in mutant.tests if test.startswith("tests/")]
    assert files
    assert all((ROOT / file).is_file() for file in files)
