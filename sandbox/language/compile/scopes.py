"""Which names of a program's outermost scope are shared with the namespace, and which are its own.

A program becomes the body of a function, though people think of it as a module: ``_items = _items[1:]`` reads the
given name, and a function's ``global total`` means the program's ``total``. Both language modes ask here.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping, Sequence

BUILTIN_NAMES = frozenset(dir(builtins))
_GIVEN_PREFIX = "_"


def shared_names(bound: set[str], loaded: Mapping[str, int], body: Sequence[ast.stmt]) -> set[str]:
    """Given names and builtins that the program both reads and rebinds (``id = id + 1``).

    ``bound`` are the names that its outermost scope binds; ``loaded`` maps each name that it mentions otherwise to the
    first statement of ``body`` that does. A name that is plainly the program's own
    (``_json = _item["json"]``) stays a local of it, as in any function.
    """
    shared, given = set(), set()
    for name in bound & loaded.keys():
        if name in BUILTIN_NAMES:
            shared.add(name)
        elif name[:1] == _GIVEN_PREFIX and name[:2] != "__":
            given.add(name)
    if given:
        shared |= given - _bound_first(given, loaded, body)
    return shared


def names_in_text(annotation: ast.expr, postponed: bool) -> set[str]:
    """The names in an annotation that stay text (all of it where ``postponed``): libraries look them up in the module.

    What the outermost scope binds under one of them is shared with the namespace.
    """
    found: set[str] = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(_IDENTIFIER.findall(node.value))
        elif postponed and isinstance(node, ast.Name):
            found.add(node.id)
    return found


_IDENTIFIER = re.compile(r"[^\W\d]\w*")


def _bound_first(names: set[str], loaded: Mapping[str, int], body: Sequence[ast.stmt]) -> set[str]:
    """Those that surely have a value before any statement mentions them otherwise, be it in a function that is
    called later.
    """
    last = max(loaded[name] for name in names)
    found = set()
    for place, statement in enumerate(body[:last]):
        found |= {name for name in names & _surely_bound(statement) if place < loaded[name]}
    return found


def _surely_bound(statement: ast.stmt) -> set[str]:
    """The names that have a value once the statement has been carried out."""
    if isinstance(statement, ast.Assign):
        return _plain_names(statement.targets)
    if isinstance(statement, ast.With):
        return _plain_names([item.optional_vars for item in statement.items if item.optional_vars is not None])
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    return set()


def _plain_names(targets: list[ast.expr]) -> set[str]:
    found: set[str] = set()
    for target in targets:
        if isinstance(target, ast.Name):
            found.add(target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            found |= _plain_names(target.elts)
        elif isinstance(target, ast.Starred):
            found |= _plain_names([target.value])
    return found
