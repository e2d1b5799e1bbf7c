"""Programs that are long in one line or one statement compile as they do in CPython: the walk is as deep as they are long."""

from __future__ import annotations

import pytest

from tests.unit.language.support import execute

LONG = {
    "terms": ("return " + " + ".join(["1"] * 1_000), 1_000),
    "texts": ("return len(" + " + ".join(["x"] * 1_000) + ")", 1_000),
    "conditions": ("return " + " or ".join(["0"] * 1_000 + ["7"]), 7),
    "elifs": ("if n == -1: pass\n" + "\n".join(f"elif n == {i}: return {i}" for i in range(2_000)), 1_999),
    "calls": ("return x" + ".strip()" * 900, "x"),
}


@pytest.mark.parametrize(("program", "value"), LONG.values(), ids=LONG)
def test_as_long_as_in_cpython(program: str, value: object) -> None:
    """As many terms, conditions, branches and calls as CPython takes."""
    assert execute(program, n=1_999, x="x") == value
