"""What n8n makes of a result: items of a Code node's, text of a Code Tool's, or a refusal.

Facts of n8n 2.40.5, some seen in ``tests/e2e/expected.json`` (bare dicts, texts, nothing), the others read there
(a Code Tool's: of 2.41.1, nodes/tools/ToolCode).
"""

from __future__ import annotations

from typing import Any

#: The keys of an item; beside one of them no others may stand.
_KEYS = frozenset({"json", "binary", "pairedItem", "error", "index"})
_RETURN = "Return a list of dicts, one for each item"


class NotItems(Exception):
    """n8n would refuse the result. The text says why, and what to return."""


def items_of(result: object) -> list[dict[str, Any]]:
    """The items that n8n makes of a result (as JSON decodes). Raises :class:`NotItems`."""
    if result is None:
        raise NotItems(f"the code returns nothing. {_RETURN} ([] for none)")
    if isinstance(result, dict):
        result = [result if result.get("json") else {"json": result}]
    if not isinstance(result, list):
        raise NotItems(f"the code returns {_kind(result)}. {_RETURN}")
    for number, item in enumerate(result):
        if not isinstance(item, dict):
            raise NotItems(f"the list that the code returns has {_kind(item)} in it, at index {number}. {_RETURN}")
    if any(not _KEYS.isdisjoint(item) for item in result):
        _require_no_other_keys(result)
    found = _wrapped(result)
    for number, item in enumerate(found):
        for key in ("json", "binary"):
            if (key == "json" or key in item) and not isinstance(item.get(key), dict):
                raise NotItems(f"{key!r} of the item at index {number} is {_kind(item.get(key))}; it must be a dict")
    return found


def text_of(result: object) -> str | int | float:
    """What a Code Tool tells its agent. Raises :class:`NotItems`: n8n tells the agent of an error then."""
    if isinstance(result, bool) or not isinstance(result, str | int | float):
        raise NotItems(f"the tool returns {'nothing' if result is None else _kind(result)}. Return a text, or a number")
    return result


def _require_no_other_keys(items: list[dict[str, Any]]) -> None:
    for number, item in enumerate(items):
        others = [key for key in item if key not in _KEYS]
        if others:
            raise NotItems(
                f"{others[0]!r} stands beside the keys of an item, at index {number}. Put it into its 'json'"
            )


def _wrapped(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for key in ("json", "binary"):
        having = sum(key in item for item in items)
        if 0 < having < len(items):
            raise NotItems(f"some of the items have {key!r} and some don't. Give it to all of them, or to none")
        if items and having and key == "json":
            return items
        if items and having:
            return [{"json": {k: v for k, v in item.items() if k != key}, key: item[key]} for item in items]
    return [{"json": item} for item in items]


def _kind(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int | float):
        return f"a number ({value})"
    return "a text" if isinstance(value, str) else "a dict" if isinstance(value, dict) else "a list"
