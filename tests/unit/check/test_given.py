"""Names, and attributes of what a task has, that aren't there: told with what there is instead."""

from __future__ import annotations

import sys

import pytest

from tests.unit.check.exported import code, only

ALL = {"N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_EXTERNAL_ALLOW": "*"}


def told(source: str) -> list[tuple[str, str]]:
    """What isn't there, and what is said of it."""
    return [(one.message, one.why) for one in only(source, ALL).refusals]


@pytest.mark.parametrize(
    ("source", "what", "why"),
    [
        ("return [{'t': _now.toISO()}]", "_now.toISO", "instead: _now.isoformat()"),
        ("t = _today\nreturn [{'t': t.minus(1)}]", "t.minus", "instead: t - datetime.timedelta(days=1)"),
        ("return [{'t': _now.weekday}]", "_now.weekday", "instead: _now.isoweekday()"),
        ("return [{'t': _now.reconfigure()}]", "_now.reconfigure", "it is a datetime of Python's"),
        ("return [_node.In.json]", "_node.In", 'instead: _node["In"]'),
        ("return [{'n': _('In').all().length}]", "_(…).all().length", "instead: len(_(…).all())"),
        ("for item in _items:\n    item.json.x = 1\nreturn _items", "item.json", "instead: item['json']"),
        ("return [{'n': one.json} for one in reversed(_items)]", "one.json", "instead: one['json']"),
        ("for i, one in enumerate(_items[1:]):\n    one.json", "one.json", "instead: one['json']"),
        ("n = _items[0][1 + 1].n\nreturn [n]", "_items[0][…].n", 'it is a dict; instead: _items[0][…]["n"]'),
        ("return [x.to_py() for x in _items]", "x.to_py", "instead: x itself"),
        ("_helpers.httpRequestWithAuthentication('a', {})\nreturn []", "_helpers.httpRequestWithAuthentication",
         "instead: an HTTP Request node, which has credentials"),
        ("_execution.customData.add('a', 1)\nreturn []", "_execution.customData.add",
         "docs/user-code.md has what is there"),
    ],
)  # fmt: skip
def test_attributes_that_are_not_there(source: str, what: str, why: str) -> None:
    """An attribute that what a task has hasn't got ends its program, whatever it stands for elsewhere."""
    assert told(source) == [(f"'{what}' isn't there", why)]
    assert only(source, ALL).status == "never"


@pytest.mark.parametrize(
    "source",
    [
        "return [{'t': _now.isoformat(), 'w': _now.weekday(), 'y': _today.year}]",
        "return [{'a': _node['In'].first().json.a, 'b': _('In').item.json, 'c': _prevNode.name}]",
        "for item in _input.all():\n    item.json.x = 1\nreturn _items",
        "x = _json\nreturn [{'n': one.json.n} for one in _items]",
        "try:\n    t = _now.toISO()\nexcept AttributeError:\n    t = _now.isoformat()\nreturn [{'t': t}]",
        "for item in _items:\n    item['json'].setdefault('n', item.get('pairedItem'))\nreturn _items",
        "rows = _input.all()\nrows = rows.to_py() if hasattr(rows, 'to_py') else rows\nreturn rows",
        "x = _items[0]\nreturn [x.to_py() if hasattr(x, 'to_py') else x]",
        "_now = Moment()\nreturn [{'t': _now.toISO()}]\nclass Moment: pass",
        "one = _items[0]\none = Row(one)\nreturn [{'n': one.json}]\ndef Row(x): return x",
        "from string import Template as item\nfor item in _items:\n    item.json\nreturn []",
        "def item(): pass\nfor item in _items[:0]:\n    pass\nreturn [{'n': item.json}]",
        "def f(item):\n    return item.json\nfor item in _items:\n    item['json']\nreturn []",
        "_workflow.static_data['n'] = 1\n_execution.custom_data.set('a', 'b')\nreturn []",
    ],
)
def test_attributes_that_are_there(source: str) -> None:
    """What is there, may fail as expected, or isn't surely what a task has, is nobody's business."""
    assert told(source) == []


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("return [{'m': np.mean([1])}]", "write import numpy as np"),
        ("return [{'m': json.dumps({})}]", "write import json"),
        ("x = helpers.request('a')\nreturn []", "instead: _helpers"),
        ("return [{'ok': true}]", "instead: True"),
        ("return [{'m': nowhere}]", "nothing defines it"),
    ],
)
def test_names_that_nothing_defines(source: str, why: str) -> None:
    """A name that the program surely reads, and that neither it nor a task has, ends it."""
    assert [said for _, said in told(source)] == [why]


def test_an_attribute_is_told_of_each_node_by_its_mode() -> None:
    """In a node that runs once for each item it is `_item` that is a dict."""
    node = code("Each", "return {'n': _item.json.n}")
    source = node["parameters"]["pythonCode"]
    one = only(source, ALL, parameters={**node["parameters"], "mode": "runOnceForEachItem"})
    assert [refusal.message for refusal in one.refusals] == ["'_item.json' isn't there"]


@pytest.mark.parametrize(
    ("source", "line", "why"),
    [
        ("x = 1\nreturn [{'n': $json.n}]", 2, "instead: _json ($json is JavaScript's)"),
        ("x = {{ $input.all() }}", 1, "instead: _input ($input is JavaScript's)"),
        ("x = 'a' $ 2", 1, f"it isn't Python {sys.version_info[0]}.{sys.version_info[1]}"),
    ],
)
def test_javascript(source: str, line: int, why: str) -> None:
    """Names that n8n has in JavaScript are told with what they are here."""
    (refusal,) = only(source).refusals
    assert (refusal.line, refusal.why, refusal.kind) == (line, why, "syntax")
