"""SECURITY.md's figures are those of the tables."""

from __future__ import annotations

import re

from docs import figures


def test_figures_are_as_the_tables_are() -> None:
    """``python docs/figures.py`` has nothing to write."""
    page = figures.PAGE.read_text("utf-8")
    assert figures.written(page) == page


def test_figures_are_on_the_page() -> None:
    """The sentence stands there once, and no other number of system calls does."""
    page = figures.PAGE.read_text("utf-8")
    assert page.count(figures.sentence()) == 1
    assert re.findall(r"\w+ system\s+calls", page.replace(figures.sentence(), "")) == ["of system calls"]
