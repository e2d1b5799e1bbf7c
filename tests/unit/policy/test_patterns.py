"""Names with stars."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reptarium.pool.policy.patterns import matches


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("Report", "Report", True),
        ("Report", "report", False),
        ("Report", "Report 1", False),
        ("Report *", "Report 1", True),
        ("Report *", "Report ", True),
        ("Report *", "Report", False),
        ("*", "", True),
        ("**", "a", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("*.internal", "a.internal", True),
        ("ab*ba", "aba", False),
        ("ab*ba", "abba", True),
        ("*ab*ab", "xab", False),
        ("[a]*", "[a]b", True),
        ("[a]*", "ab", False),
        ("a*b", "a\nb", True),
    ],
)
def test_examples(pattern: str, name: str, fits: bool) -> None:
    """A star stands for any characters, a question mark for one, all else for itself, from the first to the last."""
    assert matches(pattern, name) is fits


@settings(deadline=None)  # a machine may be busy
@given(st.text("ab?*", max_size=8), st.text("ab", max_size=10))
def test_as_an_expression_would(pattern: str, name: str) -> None:
    """The same as the regular expression that it stands for."""
    expression = "".join({"*": ".*", "?": "."}.get(one, one) for one in pattern)
    assert matches(pattern, name) is bool(re.fullmatch(expression, name))


def test_a_hostile_name_takes_no_time() -> None:
    """As an expression this would take years."""
    began = time.process_time()
    assert not matches("*a" * 30 + "b", "a" * 20_000)
    assert time.process_time() - began < 1
