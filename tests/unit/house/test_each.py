"""Cases that share a test (`tests/each.py`): none goes missing, and none hides another."""

from __future__ import annotations

import inspect

import pytest

from tests.each import each


def test_every_case_is_tried_whichever_fails() -> None:
    """The failure names each: assertions, exceptions, ``pytest.raises`` that met none, skips."""
    tried = []

    @each("number", range(6))
    def check(number: int, other: str) -> None:
        tried.append((number, other))
        assert number != 1
        if number == 2:
            raise KeyError(number)
        if number == 3:
            with pytest.raises(ValueError, match="x"):
                pass
        if number == 4:
            pytest.skip("not here")

    with pytest.raises(BaseExceptionGroup, match="4 of 6 cases failed") as caught:
        check(other="x")
    assert tried == [(number, "x") for number in range(6)]
    assert [error.__notes__ for error in caught.value.exceptions] == [[f"number={number}"] for number in (1, 2, 3, 4)]


def test_cases_of_several_values() -> None:
    sums = []

    @each(("a", "b"), [(1, 2), (3, 4)])
    def add(a: int, b: int) -> None:
        sums.append(a + b)

    add()
    assert sums == [3, 7]


def test_other_arguments_are_left_to_pytest() -> None:
    @each("name", ["x"])
    def check(form: str, name: str) -> None: ...

    assert list(inspect.signature(check).parameters) == ["form"]


def test_a_test_has_a_case() -> None:
    with pytest.raises(AssertionError, match="without a case"):
        each("name", [])
