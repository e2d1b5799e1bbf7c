"""docs/user-code.md lists all that the restricted mode refuses, with its reason."""

from __future__ import annotations

from docs import refusals
from reptarium.sandbox.language.policy import names, stdlib


def test_the_list_is_as_the_tables_are() -> None:
    """``python docs/refusals.py`` has nothing to write."""
    page = refusals.PAGE.read_text("utf-8")
    assert refusals.written(page) == page


def test_the_list_has_every_name() -> None:
    """Each builtin, module and package that is refused stands on the page."""
    page = refusals.PAGE.read_text("utf-8")
    for name in (*names.DENIED_BUILTINS, *stdlib.REFUSED, *stdlib.REFUSED_EXTERNAL, "except*"):
        assert f"`{name}`" in page, name
