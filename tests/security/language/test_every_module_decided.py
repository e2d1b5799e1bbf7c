"""Every module of the running Python's standard library has been read and decided on."""

from __future__ import annotations

import sys

import pytest

from reptarium.sandbox.language.policy.stdlib import ONLY, OPEN, REFUSED
from tests.each import each

PUBLIC = sorted(name for name in sys.stdlib_module_names if not name.startswith("_"))


@each("name", PUBLIC)
def test_module_is_open_shortened_or_refused(name: str) -> None:
    """A public standard library module is in exactly one of the two tables: open (perhaps shortened) or refused."""
    assert (name in OPEN) != (name in REFUSED)


@each("name", sorted(name for name in sys.stdlib_module_names if name.startswith("_")))
def test_private_module_is_not_open(name: str) -> None:
    """A private module, which no table names, is never open."""
    assert name not in OPEN


@pytest.mark.parametrize("name", sorted(ONLY))
def test_shortened_module_is_open(name: str) -> None:
    """A list of names belongs to an open module: a list beside a refusal would say two things."""
    assert name in OPEN
    assert name not in REFUSED
