"""What a program returns, as far as its text tells."""

from __future__ import annotations

import ast
from typing import Any

from reptarium.sandbox.judge.messages import Returned


def returned(tree: ast.Module, nodes: list[tuple[ast.AST, bool, bool]]) -> list[Returned]:
    """What a program returns, at its end too; nothing where that isn't known before it runs."""
    found: list[Returned] = []
    for node, _, function in nodes:
        if isinstance(node, ast.Return) and not function:
            try:
                found.append(Returned(node.lineno, _json(node.value)))
            except ValueError:
                return []
    last = tree.body[-1] if tree.body else None
    return found if isinstance(last, ast.Return | ast.Raise) else [*found, Returned(last.lineno if last else 1, None)]


def _json(node: ast.expr | None) -> Any:
    """The value of a constant, or of a list of some; of a dict that it is one. Raises ValueError for all else."""
    if node is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str | float | bool | int | None):
        return node.value if not isinstance(node.value, int) or abs(node.value) < 1 << 53 else 0
    if isinstance(node, ast.List | ast.Tuple) and all(isinstance(one, ast.Constant) for one in node.elts[:100]):
        return [_json(one) for one in node.elts[:100]]
    if isinstance(node, ast.Dict | ast.DictComp):
        return {}
    raise ValueError
