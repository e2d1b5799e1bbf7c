"""Views cost what dicts cost, by the calls of Python functions that reading makes: the machine has no part in those."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from reptarium.sandbox.userspace.nodes import Cursor
from reptarium.sandbox.userspace.views import View, Views


def calls(work: Callable[[], object]) -> int:
    """How many Python functions the work calls."""
    count = 0

    def note(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("size", [10, 5000])
def test_reading_a_view_calls_nothing(size: int) -> None:
    """Neither a field, nor a row, nor a field of a row, however many there are."""
    view = View({"rows": [{"n": index} for index in range(size)]})

    def read() -> int:
        total = 0
        for index in range(size):
            total += view.rows[index].n + view["rows"][index]["n"]
        return total

    assert calls(read) == 1
    assert read() == size * (size - 1)


@pytest.mark.parametrize("size", [10, 5000])
def test_all_items_are_one_list(size: int) -> None:
    """Asked for in a loop it is made once."""
    cursor = Cursor([{"json": {"n": index}} for index in range(size)])
    cursor.views()
    assert calls(lambda: [cursor.views()[index]["json"]["n"] for index in range(size)]) <= 2 + size
    assert cursor.views() is cursor.views()


def test_what_is_stored_is_the_object_itself_and_becomes_a_view_when_read() -> None:
    """As in a dict; and its keys are attributes as well."""
    view = View({"rows": [{"n": 1}]})
    rows: list[Any] = []
    view.out = rows
    rows.append({"a": {"b": 2}})
    assert view.out is rows
    assert view.out[0].a.b == 2
    view.rows.append({"n": 2})
    assert [row.n for row in view.rows] == [1, 2]
    assert (type(view.to_py()), type(view.to_py()["rows"])) == (dict, list)
    assert isinstance(View({"l": [1]}).l, Views)
