"""docs/architecture.md shows the code as it is."""

from __future__ import annotations

from docs import diagrams


def test_diagrams_are_as_the_code_is() -> None:
    """Each diagram of the page is the one that the code gives: ``python docs/diagrams.py`` writes them."""
    page = diagrams.PAGE.read_text("utf-8")
    assert diagrams.drawn(page) == page


def test_every_diagram_is_on_the_page() -> None:
    """The page has a place for each diagram that there is."""
    assert {block[2] for block in diagrams._BLOCK.finditer(diagrams.PAGE.read_text("utf-8"))} == set(diagrams.DIAGRAMS)
