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


def _json(node: ast.expr | None, name_of: Callable[[ast.expr], str | None]) -> Any:
    """The value of a constant, or of a list of some; of a dict, a text or a number that is made, some such.
    Raises ValueError for all else.
    """
    if node is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str | float | bool | int | None):
        return node.value if not isinstance(node.value, int) or abs(node.value) < 1 << 53 else 0
    if isinstance(node, ast.List | ast.Tuple) and all(isinstance(one, ast.Constant) for one in node.elts[:100]):
        return [_json(one, name_of) for one in node.elts[:100]]
    if isinstance(node, ast.Dict | ast.DictComp):
        return {}
    if isinstance(node, ast.JoinedStr):
        return ""
    if isinstance(node, ast.Call) and (name := name_of(node.func)) in _MADE:
        return _MADE[name or ""]
    raise ValueError
