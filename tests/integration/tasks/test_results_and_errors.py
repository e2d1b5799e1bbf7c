"""What goes into tasks and what comes out of them: items, results and errors, through all of the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from reptarium.pool.embedded_broker import Outcome
from reptarium.pool.protocol.messages import TaskSettings
from tests.conftest import make_settings
from tests.integration.tasks.test_execution import PEOPLE, error, value
from tests.shared_runner import SharedRunner


@pytest.fixture(scope="module")
def runner() -> Iterator[SharedRunner]:
    """Two slots."""
    with SharedRunner(make_settings()).serving() as runner:
        yield runner


def submit(runner: SharedRunner, code: str, **settings: Any) -> Outcome:
    """Run one task."""
    return runner.run({"code": code, "items": PEOPLE, **settings})


EACH = {"nodeMode": "runOnceForEachItem"}


def test_all_items(runner: SharedRunner) -> None:
    """`_items` in, what the code returns out."""
    code = "return [{'json': {'n': len(_items), 'first': _items[0]['json']['name']}}]"
    assert value(submit(runner, code)) == [{"json": {"n": 3, "first": "Ada"}}]


def test_results_pass_through(runner: SharedRunner) -> None:
    """In all-items mode any value is the result: n8n judges it."""
    for code, expected in (
        ("return None", None),
        ("return 'x'", "x"),
        ("pass", None),
        ("return {'a': 1}", {"a": 1}),
    ):
        assert value(submit(runner, code)) == expected


def test_query(runner: SharedRunner) -> None:
    """A Code tool finds its input in `_query`."""
    assert value(submit(runner, "return _query['a'] * 2", items=[], query={"a": 21})) == 42
    assert value(submit(runner, "return _query.upper()", items=[], query="hi")) == "HI"


def test_each_item(runner: SharedRunner) -> None:
    """None drops an item, a dict with json uses it, binary is kept, anything else becomes the json."""
    code = """
name = _item["json"]["name"]
if name == "Bob":
    return None
if name == "Ada":
    return {"json": {"is": "ada"}, "binary": {"f": {"mimeType": "text/plain"}}}
return name
"""
    assert value(submit(runner, code, **EACH)) == [
        {"json": {"is": "ada"}, "binary": {"f": {"mimeType": "text/plain"}}, "pairedItem": {"item": 0}},
        {"json": "Cleo", "pairedItem": {"item": 2}},
    ]


def test_each_item_bare_dict_with_binary(runner: SharedRunner) -> None:
    """A bare dict becomes the json, without its binary part."""
    code = "return {'n': 1, 'binary': {'f': {'mimeType': 'a/b'}}}"
    (first, *_) = value(submit(runner, code, **EACH))
    assert first == {"json": {"n": 1}, "binary": {"f": {"mimeType": "a/b"}}, "pairedItem": {"item": 0}}


def test_each_item_runs_are_apart(runner: SharedRunner) -> None:
    """What one item's run left in its globals is not there in the next."""
    code = "global seen\ntry:\n    seen += 1\nexcept NameError:\n    seen = 1\nreturn {'seen': seen}"
    assert [row["json"]["seen"] for row in value(submit(runner, code, **EACH))] == [1, 1, 1]


def test_runtime_error(runner: SharedRunner) -> None:
    """Message, the user's own line, the exception's type, and only the user's frames."""
    code = "a = 1\n\ndef compute(b):\n    return a / b\n\nreturn [compute(0)]"
    report = error(submit(runner, code))
    assert report["message"] == "division by zero"
    assert report["description"].startswith("Line 4: ZeroDivisionError: division by zero (in compute)")
    assert report["lineNumber"] == 4
    assert [line for line in report["stack"].splitlines() if "File" in line] == [
        '  File "<task>", line 6, in task',
        '  File "<task>", line 4, in compute',
    ]


def test_error_of_an_item(runner: SharedRunner) -> None:
    """In per-item mode the error says which item."""
    report = error(submit(runner, "if _item['json']['age'] < 18:\n    raise ValueError('minor')\nreturn _item", **EACH))
    assert (report["message"], report["itemIndex"], report["lineNumber"]) == ("minor", 1, 2)


def test_syntax_error(runner: SharedRunner) -> None:
    """Line and caret, in the user's own numbering."""
    report = error(submit(runner, "items = _items\nfor item in items\n    pass"))
    assert report["message"] == "expected ':' (line 2)"
    assert report["description"].splitlines() == [
        "Line 2: SyntaxError: expected ':'",
        "for item in items",
        "                 ^",
    ]
    assert report["lineNumber"] == 2


def test_continue_on_fail(runner: SharedRunner) -> None:
    """A failed task is done with one item that carries the message."""
    outcome = submit(runner, "raise ValueError('boom')", continueOnFail=True)
    assert value(outcome) == [{"json": {"error": "boom"}}]


def test_system_exit_is_an_error(runner: SharedRunner) -> None:
    """User code has no say over the worker's life."""
    report = error(submit(runner, "raise SystemExit(3)"))
    assert "tried to exit" in report["message"]


def test_exception_that_lies(runner: SharedRunner) -> None:
    """An exception whose __str__ fails is reported by its type."""
    code = "class Odd(Exception):\n    def __str__(self):\n        raise ValueError('no')\nraise Odd()"
    assert error(submit(runner, code))["message"] == "Odd"


def test_recursion(runner: SharedRunner) -> None:
    """Endless recursion is an ordinary error."""
    report = error(submit(runner, "def f():\n    return f()\nreturn f()"))
    assert "recursion" in report["message"]
    assert report["lineNumber"] == 2


def test_lone_surrogates_travel(runner: SharedRunner) -> None:
    """Half an emoji in, half an emoji out: JavaScript allows it."""
    items = [{"json": {"s": "\ud83d"}}]
    raw = msgspec.Raw(json.dumps(items).encode())  # as JSON.stringify writes it: msgspec alone could not carry it
    outcome = runner.run(TaskSettings(code="return _items", items=raw))
    assert value(outcome) == items


def test_half_an_emoji_in_the_code_is_the_persons_own_error(runner: SharedRunner) -> None:
    """No worker is told such code, and nothing of ours is at fault."""
    code = "x = 1\ny = '\ud83d'\nreturn x"
    outcome = runner.run(TaskSettings(code=code, items=msgspec.Raw(b"[]")))
    assert outcome.error is not None
    assert outcome.error.message == "The code is no text: half of a character (U+D83D) in line 2"
    assert outcome.error.line_number == 2


def test_large_items_in_and_out(runner: SharedRunner) -> None:
    """Ten megabytes pass through every layer unharmed."""
    items = [{"json": {"n": n, "blob": "0123456789" * 100}} for n in range(10_000)]
    assert value(submit(runner, "return _items", items=items)) == items
