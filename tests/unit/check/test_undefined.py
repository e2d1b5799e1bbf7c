"""Names of a node's data that a node surely reads and hasn't."""

from __future__ import annotations

import pytest

from tests.unit.check.exported import only, reports, tool, workflow

ALL = {"N8N_RUNNERS_STDLIB_ALLOW": "*"}


@pytest.mark.parametrize(
    ("source", "mode", "line"),
    [
        ("return [{'n': len(items)}]", "runOnceForAllItems", 1),
        ("return [{'n': _item['json']}]", "runOnceForAllItems", 1),
        ("return {'n': len(_items)}", "runOnceForEachItem", 1),
        ("x = 1\nfor item in items:\n    x += 1\nreturn []", "runOnceForAllItems", 2),
        ("def f():\n    return 1\nif f() > len(items):\n    f()\nreturn []", "runOnceForAllItems", 3),
        ("return [f(x) for x in items if f]", "runOnceForAllItems", 1),
    ],
)
def test_undefined(source: str, mode: str, line: int) -> None:
    """It must change, and the line is told."""
    (one,) = reports(
        workflow(
            {
                "name": "A", "type": "n8n-nodes-base.code", "typeVersion": 2,
                "parameters": {"language": "pythonNative", "mode": mode, "pythonCode": source},
            }
        ),
        environ=ALL,
    )  # fmt: skip
    assert one.status == "never"
    assert [refusal.line for refusal in one.refusals] == [line]
    assert one.refusals[0].message.endswith("isn't there")


def test_tools() -> None:
    """What a tool is asked is `_query`, not `query`."""
    (good, wrong) = reports(
        workflow(tool("A", "return _query.upper()"), tool("B", "return query.upper()")), environ=ALL
    )
    assert (good.status, wrong.status) == ("runs", "never")


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    rows = _item\nexcept NameError:\n    rows = _items\nreturn rows",
        "if len(_items) > 9:\n    x = items\nreturn []",
        "if not _items:\n    return []\nreturn [items]",
        "def f():\n    return items\nreturn []",
        "f = lambda: items\nreturn []",
        "x = True or items\ny = 1 if True else items\nreturn []",
        "return [items for x in []]",
        "from math import *\nreturn [{'x': sqrt(4)}]",
        "exec('x = 1')\nreturn [{'x': x}]",
        "x: items = 1\nreturn []",
        "for i in []:\n    x = 1\nreturn [x for x in ()]",
        "import os.path as p\nwith open('a') as f: pass\nreturn [str(p), str(len), __name__, _node, _json]",
        "with items as x: pass\nreturn []",
    ],
)
def test_what_is_not_sure(source: str) -> None:
    """What may never be read, may be caught, or may be bound by its text isn't told."""
    assert [one.message for one in only(source, ALL).refusals if "isn't there" in one.message] == []
