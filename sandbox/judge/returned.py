"""What a program returns, as far as its text tells."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from reptarium.sandbox.judge.messages import Returned

#: What surely gives a text, or a number, where it gives anything.
_MADE: dict[str, Any] = {
    **dict.fromkeys(("str", "repr", "json.dumps"), ""),
    **dict.fromkeys(("len", "int", "float"), 0),
}
#: Values within values, and of one list, that are looked at: items, and what is in them.
_DEEPEST, _MOST = 3, 100
_UNKNOWN: Any = object()


def returned(
    tree: ast.Module, nodes: list[tuple[ast.AST, bool, bool]], name_of: Callable[[ast.expr], str | None]
) -> list[Returned]:
    """What a program returns, at its end too; nothing where that isn't known before it runs. ``name_of``: which
    builtin, or name of a module, an expression is.
    """
    found: list[Returned] = []
    for node, _, function in nodes:
        if isinstance(node, ast.Return) and not function:
            try:
                found.append(Returned(node.lineno, _json(node.value, name_of)))
            except ValueError:
                return []
    last = tree.body[-1] if tree.body else None
    return found if isinstance(last, ast.Return | ast.Raise) else [*found, Returned(last.lineno if last else 1, None)]


def _known(node: ast.expr, name_of: Callable[[ast.expr], str | None], deep: int) -> Any:
    """A value within another, or that it isn't known."""
    try:
        return _json(node, name_of, deep + 1)
    except ValueError:
        return _UNKNOWN


def _json(node: ast.expr | None, name_of: Callable[[ast.expr], str | None], deep: int = 0) -> Any:
    """The value of a constant, or of a list or a dict with some; of a text or a number that is made, some such.
    Raises ValueError for all else.
    """
    if node is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str | float | bool | int | None):
        return node.value if not isinstance(node.value, int) or abs(node.value) < 1 << 53 else 0
    if isinstance(node, ast.List | ast.Tuple | ast.Set) and deep < _DEEPEST:
        values = [_known(one, name_of, deep) for one in node.elts[:_MOST]]
        # what isn't known is taken for an item like the others
        item: dict[str, Any] = {"json": {}} if any(isinstance(one, dict) and "json" in one for one in values) else {}
        return [item if one is _UNKNOWN else one for one in values]
    if isinstance(node, ast.Dict):
        if None in node.keys or deep >= _DEEPEST:  # what is spread out into it isn't known
            raise ValueError
        own = [value for key, value in zip(node.keys, node.values, strict=True) if getattr(key, "value", "") == "json"]
        value = _known(own[-1], name_of, deep) if own else _UNKNOWN
        return {"json": {} if value is _UNKNOWN else value} if own else {}
    if isinstance(node, ast.JoinedStr):
        return ""
    if isinstance(node, ast.Call) and (name := name_of(node.func)) in _MADE:
        return _MADE[name or ""]
    raise ValueError
