"""docs/differences.toml: its form, the page made of it, and the tests that it names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from reptarium.pool.differences.page import render
from reptarium.pool.differences.table import PATH, TableError, load, stands_for

ROOT = PATH.parents[1]
TABLE = load()
LEAST = """
original = "theirs"
head = "# Page"
tail = "The end."
[[area]]
id = "a"
title = "Things"
[[row]]
id = "one"
area = "a"
what = "{names} | more"
original = "no"
ours = "yes"
why = "so"
"""
SHOWN = 'surface = ["builtin/star/len", "builtin/bare/len", "import/star/_*", "error/star/x"]\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "table.toml"
    path.write_text(text)
    return path


def test_page_is_in_step_with_the_table() -> None:
    """Run `python -m reptarium.pool.differences.page > docs/moving-from-n8n.md` after a change of the table."""
    assert (ROOT / "docs/moving-from-n8n.md").read_text() == render(TABLE)


def test_page_has_every_row_once() -> None:
    """Each row is a line of four cells, and no cell is empty."""
    page = render(TABLE)
    lines = [line for line in page[page.index("## What differs") :].splitlines() if line.startswith("| ")]
    rows = [line for line in lines if not line.startswith(("| ---", "| | n8n's"))]
    cells = [line.replace("\\|", "").strip("|").split("|") for line in rows]
    assert len(cells) == len(TABLE.row)
    assert all(len(row) == 4 and all(cell.strip() for cell in row) for row in cells)


def test_page_of_the_least_table(tmp_path: Path) -> None:
    """Head, areas and tail stand in order; names come once, and only those that are code; bars don't end a cell."""
    assert render(load(written(tmp_path, LEAST + SHOWN))) == (
        "# Page\n\n### Things\n\n| | n8n's runner | Reptarium | Why |\n| --- | --- | --- | --- |\n"
        "| `len` \\| more | no | yes | so |\n\nThe end.\n"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LEAST, "nothing shows row 'one'"),
        (LEAST.replace('area = "a"', 'area = "b"') + SHOWN, "row 'one' is of no area: 'b'"),
        (LEAST + SHOWN + LEAST[LEAST.index("[[row]]") :] + SHOWN, "there are two rows 'one'"),
        (LEAST + SHOWN + "colour = 1\n", "colour"),
        (LEAST + "surface = [", "table.toml"),
    ],
    ids=["unshown", "area", "twice", "unknown field", "not TOML"],
)
def test_a_table_of_another_form_is_refused(text: str, says: str, tmp_path: Path) -> None:
    """A row that nothing shows, of no area, or there twice, and what isn't a row: the error names it."""
    with pytest.raises(TableError, match=says.replace("(", r"\(")):
        load(written(tmp_path, text))


@pytest.mark.parametrize("row", [row for row in TABLE.row if row.test], ids=lambda row: row.id)
def test_tests_that_rows_name_exist(row: object) -> None:
    """A row that no program shows names a test that is there."""
    path, _, name = row.test.partition("::")  # type: ignore[attr-defined]
    functions = [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "body")]
    assert name in {getattr(node, "name", None) for node in functions}


@pytest.mark.parametrize(
    ("pattern", "item", "meant"),
    [
        ("import/star/a", "import/star/a", True),
        ("import/star/a", "import/star/ab", False),
        ("import/star/a*", "import/star/ab", True),
        ("import/*/a", "import/star/a", True),
        ("import/star/a.b", "import/star/a_b", False),
        ("start/x=[a]?*", "start/x=[a]?b", True),
    ],
)
def test_only_the_star_is_more_than_itself(pattern: str, item: str, meant: bool) -> None:
    """A star stands for any text; everything else in a pattern for itself."""
    assert stands_for(pattern, item) is meant
