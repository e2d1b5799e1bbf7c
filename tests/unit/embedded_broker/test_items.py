"""What n8n makes of results: held by tests/e2e against n8n itself, where the two have the same cases."""

from __future__ import annotations

from typing import Any

import pytest

from reptarium.pool.embedded_broker.items import NotItems, items_of, text_of


@pytest.mark.parametrize(
    ("result", "items"),
    [
        ([], []),
        ({}, [{"json": {}}]),
        ({"a": 1}, [{"json": {"a": 1}}]),
        ({"json": {"a": 1}}, [{"json": {"a": 1}}]),
        ([{"a": 1}, {}], [{"json": {"a": 1}}, {"json": {}}]),
        ([{"json": {"a": 1}, "pairedItem": 0}], [{"json": {"a": 1}, "pairedItem": 0}]),
        ([{"binary": {"d": {}}, "pairedItem": 0}], [{"json": {"pairedItem": 0}, "binary": {"d": {}}}]),
    ],
)
def test_items(result: Any, items: list[Any]) -> None:
    """Bare dicts are wrapped; what is an item stays as it is."""
    assert items_of(result) == items


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "returns nothing"),
        (5, "returns a number (5)"),
        (True, "returns True"),
        ("text", "returns a text"),
        ([{"a": 1}, "text"], "has a text in it, at index 1"),
        ([[]], "has a list in it, at index 0"),
        ([{"json": {}, "more": 1}], "'more' stands beside the keys of an item, at index 0"),
        ([{"json": {}}, {"more": 1}], "'more' stands beside the keys of an item, at index 1"),
        ([{"json": {}}, {"binary": {}}], "some of the items have 'json' and some don't"),
        ([{"binary": {}}, {}], "some of the items have 'binary' and some don't"),
        ([{"json": 5}], "'json' of the item at index 0 is a number (5)"),
        ([{"json": {}, "binary": "x"}], "'binary' of the item at index 0 is a text"),
    ],
)
def test_no_items(result: Any, said: str) -> None:
    """The refusal says what is wrong, and where."""
    with pytest.raises(NotItems) as caught:
        items_of(result)
    assert said in str(caught.value)


def test_what_a_tool_may_return() -> None:
    """A text or a number; n8n tells the agent of an error for all else, true and false included."""
    assert [text_of(one) for one in ("", "a", 5, 0.5)] == ["", "a", 5, 0.5]
    for result, said in ((None, "nothing"), (True, "True"), ([], "a list"), ({}, "a dict")):
        with pytest.raises(NotItems, match=f"the tool returns {said}. Return a text, or a number"):
            text_of(result)
