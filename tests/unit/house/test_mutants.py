"""The mutants of `make mutants` fit the code as it is: a change that leaves one behind is seen here, in no time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.limits import within
from tests.mutants.run import ROOT, Mutant, mutants, mutated


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.breaks)
def test_fits(mutant: Mutant) -> None:
    """What a mutant replaces stands in its file exactly once, and the files of its tests are there."""
    text = (ROOT / mutant.file).read_text("utf-8")
    assert mutated(mutant, text) != text
    files = [test.partition("::")[0] for test in mutant.tests if test.startswith("tests/")]
    assert files
    assert all((ROOT / file).is_file() for file in files)


#: A run of tests leaves a process and its child behind, in a session of their own.
_LEAVES = """
import os, subprocess
from tests.mutants.run import adopt, end_what_is_left
adopt()
read, write = os.pipe()
subprocess.run(["setsid", "sh", "-c", "(sleep 60 & exec sleep 60) &"], stdin=subprocess.DEVNULL, pass_fds=[write])
os.close(write)
print(end_what_is_left(), os.read(read, 1))  # which ends when nobody has the other end any more
"""


def test_nothing_of_a_mutant_is_left() -> None:
    """Whatever the tests of a mutant leave behind is the harness's, which ends it."""
    done = subprocess.run(
        [sys.executable, "-c", _LEAVES], cwd=ROOT, capture_output=True, text=True, timeout=within(60), check=False
    )
    assert done.stdout == "2 b''\n", done.stderr
