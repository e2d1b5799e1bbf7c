"""Names that a program surely reads when it runs: before anything in it decides, or may fail as expected."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_PLAIN = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return, ast.Raise, ast.Import, ast.ImportFrom)
_LEAVING = (ast.Return, ast.Raise, ast.Break, ast.Continue, ast.Await, ast.Yield, ast.YieldFrom)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def surely_read(tree: ast.Module) -> dict[str, int]:
    """Name → the first line that surely reads it. What a program may leave, or catch, before is left out."""
    found: dict[str, int] = {}
    for statement in tree.body:
        for name in _names(_first(statement)):
            found.setdefault(name.id, name.lineno)
        if not _goes_on(statement):
            break
    return found


def _first(statement: ast.stmt) -> ast.AST | None:
    """What of a statement is evaluated in any case."""
    if isinstance(statement, _PLAIN):
        return statement
    if isinstance(statement, ast.If | ast.While):
        return statement.test
    return statement.iter if isinstance(statement, ast.For) else None


def _goes_on(statement: ast.stmt) -> bool:
    """Whether the statement after it is surely reached, unless an error ends the program."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return True
    if isinstance(statement, ast.If | ast.While | ast.For):
        return not any(isinstance(node, _LEAVING) for node in ast.walk(statement))
    return isinstance(statement, _PLAIN) and not isinstance(statement, ast.Return | ast.Raise)


def _names(node: ast.AST | None) -> Iterator[ast.Name]:
    """Names that are read whenever it is evaluated. Without recursion: a program may be as deep as it is long."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Name):
            if isinstance(one.ctx, ast.Load):
                yield one
        elif isinstance(one, ast.IfExp):
            waiting.append(one.test)
        elif isinstance(one, ast.BoolOp):
            waiting.append(one.values[0])
        elif isinstance(one, _COMPREHENSIONS):
            waiting.append(one.generators[0].iter)
        elif isinstance(one, ast.Compare):
            waiting += [one.left, one.comparators[0]]
        elif isinstance(one, ast.AnnAssign):
            waiting.append(one.value)
        elif one is not None and not isinstance(one, ast.Lambda):
            waiting += ast.iter_child_nodes(one)
