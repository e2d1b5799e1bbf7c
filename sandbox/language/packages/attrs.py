"""attrs: it writes source text out of the names and aliases of fields, and reads fields of whatever its methods get.

What it writes is read before Python compiles it: a field's alias is pasted as it is, and could carry statements. What
its methods read by a name that needs a look (``parser``, ``format``), they read as the task would.

Facts about the text: read off what attrs 22 to 26 generate.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping
from typing import Any

from reptarium.sandbox.language.hardening import trusted, watching
from reptarium.sandbox.language.hardening.generated_classes import execute_guarded
from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.names import GUARDED_DUNDERS, may_read

_NODES = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.Expr, ast.Return, ast.If, ast.Raise, ast.Pass,
    ast.Try, ast.ExceptHandler, ast.Call, ast.keyword, ast.Attribute, ast.Name, ast.Constant, ast.Tuple, ast.Set,
    ast.Subscript, ast.JoinedStr, ast.FormattedValue, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp,
    ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_BUILTINS = frozenset("AttributeError BaseException NotImplemented getattr hash id object repr".split())
_BUILTIN_NAMES = frozenset(dir(builtins))
#: What the methods themselves are made of, wherever it stands.
_DUNDERS = frozenset("__setattr__ __attrs_init__ __attrs_pre_init__ __attrs_post_init__ __qualname__ __name__".split())


def _is_honest(node: ast.AST, meant: set[int]) -> bool:
    """Whether this is made of what attrs makes of names; ``meant``: what stands where attrs itself needs it."""
    match node:
        case ast.Attribute(attr=name):
            return may_read(name) and (name not in GUARDED_DUNDERS or name in _DUNDERS or id(node) in meant)
        case ast.FunctionDef(args=arguments):
            named = {each.arg for each in ast.walk(arguments) if isinstance(each, ast.arg)}
            used = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
            return not used & _BUILTIN_NAMES - _BUILTINS - named
        case ast.Name(id="_inst_dict"):
            return id(node) in meant
    return isinstance(node, _NODES)


def _meant(tree: ast.Module) -> set[int]:
    """``other.__class__ is not self.__class__``, ``self.__class__.__qualname__``, ``_inst_dict = self.__dict__``, into
    which values are put, and nothing else.
    """
    found: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot()], comparators=[right]):
                found |= {id(left), id(right)}
            case ast.Attribute(attr="__qualname__" | "__name__", value=value):
                found.add(id(value))
            case ast.Assign(targets=[ast.Name(id="_inst_dict") as target], value=value):
                found |= {id(target), id(value)}
            case ast.Subscript(value=ast.Name(id="_inst_dict") as value, ctx=ast.Store()):
                found.add(id(value))
    return found


def _checked(real: Callable[..., None]) -> Callable[..., None]:
    def _compile_and_eval(
        script: str, globs: dict[str, Any], locs: Mapping[str, object] | None = None, filename: str = ""
    ) -> None:
        if not watching():
            real(script, globs, locs, filename)
            return
        tree = ast.parse(script)
        meant = _meant(tree)
        if not all(_is_honest(node, meant) for node in ast.walk(tree)):
            raise RefusedAttribute(
                "a name of this class's fields is not allowed: what attrs makes of it is more than a name. "
                "No setting allows it."
            )
        execute_guarded(tree, filename, globs, locs)

    return _compile_and_eval


def _unwatched(real: Callable[..., Any]) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        """Makes a function whose text has no name of the task's in it."""
        with trusted():
            return real(*args)

    return make


def _patch(make: Any) -> None:
    make._compile_and_eval = _checked(make._compile_and_eval)
    name = "_make_cached_property_getattr"  # since 23.3
    if hasattr(make, name):
        setattr(make, name, _unwatched(getattr(make, name)))


PACKAGE = Package("attr", patches={"attr._make": _patch})
