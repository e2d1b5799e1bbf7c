"""Whether two results are the same for those who read them: items by their JSON, whatever they go back to."""

from __future__ import annotations

from itertools import islice
from typing import Any

from reptarium.sandbox.nesting import room

#: Characters of a value that are shown.
_SHOWN = 60


def difference(ours: Any, theirs: Any) -> str | None:
    """The first place where two results differ, in words; None where they are the same."""
    one, other = _values(ours), _values(theirs)
    if isinstance(one, list) and isinstance(other, list) and len(one) != len(other):
        return f"{len(one)} items, and there {len(other)}"
    return _differs(one, other)


def _values(result: Any) -> Any:
    """What counts of a result: the JSON of its items."""
    if isinstance(result, dict):
        result = [result]
    if isinstance(result, list):
        return [item.get("json", item) if isinstance(item, dict) else item for item in result]
    return result


def _differs(ours: Any, theirs: Any) -> str | None:
    """Without recursion: results may be as deep as JSON may."""
    waiting: list[tuple[str, Any, Any]] = [("", ours, theirs)]
    while waiting:
        place, one, other = waiting.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                mine, others = sorted(one.keys() - other.keys()), sorted(other.keys() - one.keys())
                parts = [
                    f"{', '.join(mine)} only here" if mine else "",
                    f"{', '.join(others)} only there" if others else "",
                ]
                return f"{place or 'the result'}: {'; '.join(part for part in parts if part)}"
            waiting += [(f"{place}.{key}" if place else key, one[key], other[key]) for key in reversed(list(one))]
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            inner = list(enumerate(zip(one, other, strict=True)))
            waiting += [(f"{place}[{index}]" if place else f"item {index}", *pair) for index, pair in reversed(inner)]
        elif not _equal(one, other):
            return f"{place or 'the result'}: {_shown(one)}, and there {_shown(other)}"
    return None


def _equal(one: Any, other: Any) -> bool:
    # JSON has one kind of numbers, and true is none of them
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _shown(value: Any) -> str:
    if isinstance(value, str | list):
        value = value[: _SHOWN + 1]
    elif isinstance(value, dict):
        value = dict(islice(value.items(), _SHOWN))
    try:
        with room():
            text = repr(value)
    except RecursionError:
        return "a value nested too deeply to be shown"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
