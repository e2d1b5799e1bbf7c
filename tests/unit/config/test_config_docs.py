"""docs/configuration.md says what the table says."""

from __future__ import annotations

from pathlib import Path

from reptarium.pool.config.docs import render
from reptarium.pool.config.table import VARIABLES

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_page_is_in_step_with_the_table() -> None:
    """Run `python -m reptarium.pool.config.docs > docs/configuration.md` after a change of the table."""
    assert (DOCS / "configuration.md").read_text() == render()


def test_page_has_every_variable_once() -> None:
    """Each variable has one row with four cells."""
    rows = [line for line in render().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [variable.name for variable in VARIABLES]
    for row in rows:
        assert row.replace("\\|", "").count("|") == 5


def test_moving_page_names_every_variable_of_n8ns_runner() -> None:
    """The page for those who move over leaves no variable of n8n's out."""
    page = (DOCS / "moving-from-n8n.md").read_text()
    for variable in VARIABLES:
        if not variable.name.startswith("REPTARIUM_"):
            assert f"`{variable.name}`" in page, variable.name
