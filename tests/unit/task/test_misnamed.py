"""Names that a task hasn't got: what their error says of what was meant."""

from __future__ import annotations

import pytest

from reptarium.sandbox.task.console import Console, StderrTail
from reptarium.sandbox.task.execute import TaskInput, Terms, execute
from reptarium.sandbox.task.failures import TaskFailed
from tests.unit.language.support import OPEN

ALL, EACH = "they are the list _items.", "that one is _item."


def description(code: str, *, per_item: bool = False) -> str:
    """What n8n shows below the message."""
    task = TaskInput(code, per_item, b'[{"json": {}}]', None)
    with pytest.raises(TaskFailed) as caught:
        execute(task, Terms(OPEN, "rich", 10_000, 2**20), Console(lambda line: None, 1000), StderrTail())
    return caught.value.failure.description


@pytest.mark.parametrize(
    ("code", "per_item", "said"),
    [
        ("return items", False, ALL),
        ("return _item", False, ALL),
        ("return item", True, EACH),
        ("return _items", True, EACH),
        ("return helpers", False, "Did you mean _helpers?"),
        ("return node('In').all()", False, "Did you mean _node?"),
        ("return json.dumps(1)", False, "Is there an import missing? import json"),
        ("def f():\n    return pd.DataFrame()\nreturn f()", False, "Is there an import missing? import pandas as pd"),
        ("x = $input.all()", False, "Names with $ are JavaScript's"),
        ("return [$json.name]", False, "Names with $ are JavaScript's"),
    ],
)
def test_what_was_meant_is_said(code: str, per_item: bool, said: str) -> None:
    """In a line of its own, below the error."""
    last = description(code, per_item=per_item).splitlines()[-1]
    assert said in last
    assert "is not defined" not in last


@pytest.mark.parametrize(
    "code",
    ["return itemss", "raise NameError('items')", "x = 1\ndel x\nreturn x", "x = (1",
     "class N(str):\n    def __eq__(self, other): raise SystemExit\n    __hash__ = str.__hash__\n"
     "raise NameError('x', name=N('items'))"],
)  # fmt: skip
def test_nothing_is_guessed(code: str) -> None:
    """Where no name of a task's suggests itself, or the program raises the error itself."""
    said = description(code)
    assert not any(hint in said for hint in (ALL, EACH, "Did you mean", "import missing", "JavaScript"))
