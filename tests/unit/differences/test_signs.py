"""Which differences a program's text tells of: the installed file is the table's."""

from __future__ import annotations

import ast
from pathlib import Path

from reptarium.pool.differences import signs
from reptarium.pool.differences.table import load
from reptarium.sandbox.judge import features


def test_in_step_with_the_table() -> None:
    """signs.json is what docs/differences.toml makes: python -m reptarium.pool.differences.signs prints it."""
    assert signs.PATH.read_text("utf-8") == signs.render(load())


def test_every_sign_is_one_that_programs_can_have() -> None:
    """Signs of a row's own are of kinds that the judge knows, so that none is written in vain."""
    source = Path(features.__file__).read_text("utf-8")
    literal = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    for row in load().row:
        for sign in row.signs:
            kind, _, name = sign.partition("/")
            known = kind in ("names", "import", "builtin", "define") or sign in literal or name in literal
            assert known, f"{row.id}: {sign}"


def test_rows_of_a_program() -> None:
    """A program's signs lead to the rows that are about it, by name or by pattern, each once."""
    found = {
        row.id: shown for row, shown in signs.about(["import/subprocess", "import/_thread", "names/datetime.date"])
    }
    assert found == {
        "modules-processes": ("import/subprocess",),
        "modules-private": ("import/_thread",),
        "dates": ("names/datetime.date",),
    }
