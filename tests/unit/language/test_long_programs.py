"""Programs that are long in one line or one statement compile as they do in CPython: the walk is as deep as they are long."""

from __future__ import annotations

import sys

import pytest

from tests.unit.language.support import execute

#: CPython 3.12 takes less of a tree than of a text: its check of trees (`Python/ast.c`) has a fixed depth. Longer ones are said to be
#: nested too deeply.
ELIFS, CALLS = (1_400, 600) if sys.version_info[:2] == (3, 12) else (2_000, 900)
LONG = {
    "terms": ("return " + " + ".join(["1"] * 1_000), 1_000),
    "texts": ("return len(" + " + ".join(["x"] * 1_000) + ")", 1_000),
    "conditions": ("return " + " or ".join(["0"] * 1_000 + ["7"]), 7),
    "elifs": ("if n == -1: pass\n" + "\n".join(f"elif n == {i}: return {i}" for i in range(ELIFS)), ELIFS - 1),
    "calls": ("return x" + ".strip()" * CALLS, "x"),
}


@pytest.mark.parametrize(("program", "value"), LONG.values(), ids=LONG)
def test_as_long_as_in_cpython(program: str, value: object) -> None:
    """As many terms, conditions, branches and calls as CPython takes."""
    assert execute(program, n=ELIFS - 1, x="x") == value
