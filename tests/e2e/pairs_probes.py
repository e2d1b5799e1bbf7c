"""Code of the probes of pairs.py: which item of every other node does each of my items go back to?

A probe answers ``{label: [what .item gives, what .item(i) gives, …, all items]}``: per item for the next item, for all
items for every one, and one too many. Last come all items that the node gives where no output is named. An answer is
the item, or ``{"kind": "none" or "several", "why": …}``.
"""

from __future__ import annotations

import json

LANGUAGES, MODES = ("python", "javascript"), ("all", "each")

_PYTHON = """
def look(get):
    try:
        found = get()
        return {"json": found["json"], "pairedItem": found.get("pairedItem")}
    except HelperError as error:
        return {"kind": "several" if "more than one" in str(error) else "none", "why": str(error)}

def every(name):
    try:
        found = [one["json"] for one in _node(name).all()]
    except HelperError as error:
        return {"kind": "none", "why": str(error)}
    return {"json": found} if found else {"kind": "none", "why": "no items"}

nodes = NODES
"""

_JAVASCRIPT = """
function look(get) {
    try {
        const found = get();
        if (found === undefined) return {kind: "none", why: "undefined"};
        return JSON.parse(JSON.stringify({json: found.json, pairedItem: found.pairedItem ?? null}));
    } catch (error) {
        const several = error.context?.type === "paired_item_multiple_matches";
        return {kind: several ? "several" : "none", why: error.message};
    }
}
function every(name) {
    try {
        const found = $(name).all().map((one) => one.json);
        return found.length ? JSON.parse(JSON.stringify({json: found})) : {kind: "none", why: "no items"};
    } catch (error) {
        return {kind: "none", why: error.message};
    }
}
const nodes = NODES;
const out = {};
"""

_TEXTS = {
    ("python", "all"): _PYTHON
    + """
def each(name):
    items = [look(lambda: _node(name).item(i)) for i in range(len(_items) + 1)]
    return [look(lambda: _node(name).item), *items, every(name)]

return [{"json": {label: each(name) for label, name in nodes.items()}}]
""",
    ("python", "each"): _PYTHON
    + """
return {
    label: [look(lambda: _node(name).item), look(lambda: _node(name).item(_item_index + 1)), every(name)]
    for label, name in nodes.items()
}
""",
    ("javascript", "all"): _JAVASCRIPT
    + """
for (const [label, name] of Object.entries(nodes)) {
    out[label] = [look(() => $(name).item)];
    for (let i = 0; i <= items.length; i++) out[label].push(look(() => $(name).itemMatching(i)));
    out[label].push(every(name));
}
return [{json: out}];
""",
    ("javascript", "each"): _JAVASCRIPT
    + """
for (const [label, name] of Object.entries(nodes))
    out[label] = [look(() => $(name).item), look(() => $(name).itemMatching($itemIndex + 1)), every(name)];
return {json: out};
""",
}


def code(language: str, mode: str, text: str) -> dict[str, str]:
    """Parameters of a Code node."""
    return {
        "mode": "runOnceForEachItem" if mode == "each" else "runOnceForAllItems",
        "language": "pythonNative" if language == "python" else "javaScript",
        "pythonCode" if language == "python" else "jsCode": text,
    }


def probe_code(language: str, mode: str, nodes: dict[str, str]) -> dict[str, str]:
    """Parameters of a probe that asks about ``nodes``: names by label."""
    return code(language, mode, _TEXTS[language, mode].replace("NODES", json.dumps(nodes)))


#: What Code nodes of a chain do with their items, in JavaScript and in Python.
STEPS: dict[str, tuple[str, str]] = {
    "keep some": (
        "return items.filter((one, i) => i % 3 !== 1);",
        "return [one for i, one in enumerate(_items) if i % 3 != 1]",
    ),
    "backwards": ("return [...items].reverse();", "return _items[::-1]"),
    "twice": ("return [...items, ...items];", "return _items + _items"),
    "new": (
        "return items.map((one, i) => ({json: {...one.json, new: i}}));",
        "return [{'json': {**one['json'], 'new': i}} for i, one in enumerate(_items)]",
    ),
    "new, fewer": (
        "return items.slice(1).map((one, i) => ({json: {...one.json, new: i}}));",
        "return [{'json': {**one['json'], 'new': i}} for i, one in enumerate(_items[1:])]",
    ),
    "one for all": ("return [{json: {n: items.length}}];", "return [{'json': {'n': len(_items)}}]"),
    "numbers": (
        "return items.map((one, i) => ({json: {...one.json, new: i}, pairedItem: items.length - 1 - i}));",
        "n = len(_items)\n"
        "return [{'json': {**one['json'], 'new': i}, 'pairedItem': n - 1 - i} for i, one in enumerate(_items)]",
    ),
    "lists": (
        "const n = items.length;\n"
        "return items.map((one, i) => ({json: {...one.json, new: i}, pairedItem: [i, {item: (i + 1) % n}]}));",
        "n = len(_items)\n"
        "return [{'json': {**one['json'], 'new': i}, 'pairedItem': [i, {'item': (i + 1) % n}]}"
        " for i, one in enumerate(_items)]",
    ),
}
#: The same, per item.
EACH_STEP = (
    "if ($itemIndex % 3 === 1) return null;\nreturn {json: {...$json, new: $itemIndex}};",
    "return None if _item_index % 3 == 1 else {**_item['json'], 'new': _item_index}",
)
#: By mode: every third item fails, or all do where there are more than two.
FAILING_STEP = {
    "each": (
        "if ($itemIndex % 3 === 1) throw new Error('no');\nreturn {json: {...$json, new: $itemIndex}};",
        "if _item_index % 3 == 1:\n    raise ValueError('no')\nreturn {**_item['json'], 'new': _item_index}",
    ),
    "all": (
        "if (items.length > 2) throw new Error('no');\nreturn items;",
        "if len(_items) > 2:\n    raise ValueError('no')\nreturn _items",
    ),
}
#: What user code may call a pair without n8n minding; ODD stands for one of them.
ODD_STEP = (
    "return items.map((one, i) => ({json: one.json, pairedItem: i % 2 ? i : ODD}));",
    "return [{'json': one['json'], 'pairedItem': i if i % 2 else ODD} for i, one in enumerate(_items)]",
)
ODD_PAIRS: list[object] = [
    {"item": 99},
    {"item": -1},
    {"item": 0, "input": 3},
    {"item": 0, "input": None},
    {"item": "1"},
    {"item": None},
    {},
    [],
    [{"item": 0}, {"item": 99}],
    [{"item": 0}, {"item": 0, "input": 4}],
    [{"item": 0, "input": 4}],
    [{"item": 99}, 0, 0],
    [{}, 0],
    [None, 0],
    {"item": True},
    {"item": 0, "sourceOverwrite": {"previousNode": "Nowhere"}},
    "0",
    True,
    [0, "x"],
]
