"""When two results are the same, and where they differ first."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reptarium.pool.check.compared import difference
from reptarium.pool.check.running import _result
from reptarium.pool.embedded_broker.outcome import Outcome, Timings
from reptarium.pool.protocol.messages import TaskDoneData
from reptarium.sandbox.nesting import MAX_NESTING


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([], []),
        ([{"json": {"n": 1}, "pairedItem": {"item": 0}}], [{"json": {"n": 1.0}, "pairedItem": 3, "binary": {}}]),
        ([{"json": {"n": 1}}], [{"n": 1}]),
        ({"json": {"n": 1}}, [{"json": {"n": 1}}]),
        ("text", "text"),
        ([{"json": {"a": 1, "b": [None, True]}}], [{"json": {"b": [None, True], "a": 1}}]),
    ],
)
def test_same(ours: Any, theirs: Any) -> None:
    """Items are the same by their JSON, whatever they go back to and in whichever order their keys are."""
    assert difference(ours, theirs) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ([{"n": 1}], [], "1 items, and there 0"),
        ([{"n": 1}, {"n": 2}], [{"n": 1}, {"n": 3}], "item 1.n: 2, and there 3"),
        ([{"a": {"b": [1, 2]}}], [{"a": {"b": [1, "2"]}}], "item 0.a.b[1]: 2, and there '2'"),
        ([{"a": 1, "c": 1}], [{"b": 1, "c": 1}], "item 0: a only here; b only there"),
        ([{"a": True}], [{"a": 1}], "item 0.a: True, and there 1"),
        ([{"a": [1]}], [{"a": []}], "item 0.a: [1], and there []"),
        ("x" * 100, "y", f"the result: '{'x' * 59}…, and there 'y'"),
    ],
)
def test_differs(ours: Any, theirs: Any, words: str) -> None:
    """The first difference is told with its place and both values, long ones shortened."""
    assert difference(ours, theirs) == words


def test_deep_values() -> None:
    """A difference in a value as deep as results may be is told, and only its beginning."""
    for levels in (MAX_NESTING - 2, 100_000):
        deep: Any = 1
        for _ in range(levels):
            deep = [deep]
        text = difference([{"a": deep}], [{"a": 2}])
        assert text is not None
        assert text.startswith(f"item 0.a: {'[' * 60}…" if levels < MAX_NESTING else "item 0.a: a value nested too")
        assert text.endswith(", and there 2")


def test_deep_results_are_decoded() -> None:
    """A result as deep as results may be is read from where many calls are under way already."""
    text = '[{"json": {"a": ' + "[" * (MAX_NESTING - 3) + "]" * (MAX_NESTING - 3) + "}}]"
    data = TaskDoneData(result=msgspec.Raw(text.encode()))
    outcome = Outcome(task_id="T", status="done", timings=Timings(0.0), data=data)
    assert (difference(_result(outcome), [{"a": 3}]) or "").startswith("item 0.a: [[[")


def test_deep_results() -> None:
    """Results may be as deep as they are."""
    one: Any = 1
    for _ in range(5_000):
        one = [one]
    assert difference([{"a": one}], [{"a": one}]) is None
