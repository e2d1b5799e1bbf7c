"""Which names of a program's outermost scope are shared with the namespace, and which are its own.

A program becomes the body of a function, though people think of it as a module: ``_items = _items[1:]`` reads the
given name, and a function's ``global total`` means the program's ``total``. Both language modes ask here.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Mapping, Sequence

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


def bound_anew(node: ast.ClassDef) -> set[str]:
    """The names that a class's body both reads and binds (``date: date``, ``timeout = timeout * 2``).

    Python looks such a name up in the class and in the module, in no function between: what the outermost scope binds
    under it is shared with the namespace.
    """
    read, bound = set(), set()
    for each in in_scope(node.body):
        bound.update(binds(each))
        if isinstance(each, ast.AugAssign):
            read.update(binds(each.target))
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
            read.add(each.id)
    return read & bound


def in_scope(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The nodes that stand in the scope of these statements itself, in no certain order."""
    waiting = [*body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _COMPREHENSIONS):
            # a scope of its own, but for its first iterable and the targets of `:=`
            waiting.append(node.generators[0].iter)
            waiting += [each.target for each in ast.walk(node) if isinstance(each, ast.NamedExpr)]
            continue
        yield node
        if isinstance(node, ast.arguments):  # the names are the function's
            arguments = (*node.posonlyargs, *node.args, node.vararg, *node.kwonlyargs, node.kwarg)
            waiting += filter(None, (*node.defaults, *node.kw_defaults))
            waiting += [each.annotation for each in arguments if each is not None and each.annotation is not None]
        elif isinstance(node, ast.Lambda):
            waiting.append(node.args)
        elif isinstance(node, ast.ClassDef):
            waiting += [*node.decorator_list, *node.bases, *node.keywords]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, node.args, *filter(None, [node.returns])]
        else:
            waiting += ast.iter_child_nodes(node)


def binds(node: ast.AST) -> list[str]:
    """The names that this node by itself binds or deletes, in whatever scope it stands."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    name: str | None = None
    if isinstance(node, (*_FUNCTIONS, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        name = node.name
    elif isinstance(node, ast.MatchMapping):
        name = node.rest
    elif isinstance(node, ast.arg):
        name = node.arg
    return [] if name is None else [name]


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
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
