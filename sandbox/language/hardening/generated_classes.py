"""Classes that the standard library makes from names: data classes, named tuples, enumerations.

Their makers paste names into source text, or make attributes of them: while user code runs, they check names first.
"""

from __future__ import annotations

import ast
import collections
import dataclasses
import enum
import keyword
import sys
from collections.abc import Callable
from typing import Any

from reptarium.sandbox.language.guards import guarded_getattr
from reptarium.sandbox.language.hardening.audit import state, watching
from reptarium.sandbox.language.hardening.evaluating import with_builtins
from reptarium.sandbox.language.hardening.made_code import guarded_reads
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.names import (
    DENIED_ATTRIBUTES,
    GENERATED,
    GENERATED_GETATTR,
    GUARDED_ATTRIBUTES,
    is_dunder,
    is_field_name,
    may_read,
)

# ---- data classes ------------------------------------------------------------------------

#: What the source text consists of that ``dataclasses`` makes for a class (read off CPython 3.11 to 3.14).
_DATACLASS_NODES = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.Expr, ast.Return, ast.If, ast.Raise, ast.Pass,
    ast.Call, ast.Attribute, ast.Name, ast.Constant, ast.Tuple, ast.Set, ast.JoinedStr, ast.FormattedValue, ast.BinOp,
    ast.BoolOp, ast.Compare, ast.IfExp, ast.expr_context, ast.operator, ast.boolop, ast.cmpop,
)  # fmt: skip
_DATACLASS_DUNDERS = frozenset("__class__ __qualname__ __setattr__ __delattr__ __post_init__".split())


def _checked_field_name(slot: Any) -> Any:
    """``dataclasses.Field.name`` that stays an identifier. Holds nothing that user code could change."""

    class FieldName:
        __slots__ = ()

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            return self if instance is None else slot.__get__(instance, owner)

        def __set__(self, instance: Any, value: object) -> None:
            if value is not None and not (is_field_name(value) or (not state.armed and type(value) is str)):
                raise RefusedAttribute(f"{value!r} is not allowed as a field's name: it isn't a plain name of your own")
            slot.__set__(instance, value)

    return FieldName()


def checked_exec(text: str, namespace: dict[str, Any], made: dict[str, Any]) -> None:
    """``exec`` for ``dataclasses``, which pastes fields' names into source text: whatever lied about a name,
    the text must be made of what it makes of identifiers.
    """
    reads: ast.Module | None = None
    if watching():
        tree = ast.parse(text)
        for node in ast.walk(tree):
            honest = isinstance(node, _DATACLASS_NODES)
            if isinstance(node, ast.Attribute):
                honest = is_field_name(node.attr) or node.attr in _DATACLASS_DUNDERS
            elif isinstance(node, ast.Call):
                honest = isinstance(node.func, ast.Name) or (
                    isinstance(node.func, ast.Attribute) and node.func.attr in _DATACLASS_DUNDERS
                )
            if not honest:
                raise RefusedAttribute("a name of this dataclass's fields is not allowed: it isn't an identifier")
        if any(isinstance(node, ast.Attribute) and node.attr in GUARDED_ATTRIBUTES for node in ast.walk(tree)):
            reads = tree
    available = namespace.get("__builtins__")
    if isinstance(available, dict) and GENERATED in available:
        # What the administrator took away from the person's code: this isn't theirs, and needs ``hash`` and ``type``
        namespace = {**namespace, "__builtins__": available[GENERATED]}
    elif watching():
        with_builtins(namespace)
    if reads is None:
        # under the flags of dataclasses, not of this file: with postponed annotations signatures would hold their text
        exec(compile(text, "<string>", "exec", dont_inherit=True), namespace, made)  # noqa: S102
    else:
        execute_guarded(reads, "<string>", dict(namespace), made)


def execute_guarded(tree: ast.Module, file: str, namespace: dict[str, Any], made: Any) -> None:
    """Run a text that a library has written over the task's names, with reads as a task's: methods take any object, of
    which ``parser`` may be a module, and ``format`` a string's.
    """
    namespace[GENERATED_GETATTR] = guarded_getattr
    exec(compile(guarded_reads(tree), file, "exec", dont_inherit=True), namespace, made)  # noqa: S102


# ---- named tuples ------------------------------------------------------------------------


def _checked_namedtuple(typename: str, field_names: Any, **options: Any) -> Any:
    """``collections.namedtuple`` with fields that name nothing of the interpreter's."""
    if isinstance(field_names, str):
        field_names = field_names.replace(",", " ").split()
    names = [str(name) for name in field_names]
    for name in names:
        if name.isidentifier() and not keyword.iskeyword(name) and not may_read(name):
            raise RefusedAttribute(f"{name!r} is not allowed as a field's name: it isn't a plain name of your own")
    options.setdefault("module", sys._getframe(1).f_globals.get("__name__", "__main__"))
    if watching():
        options["module"] = "__main__"
    return _namedtuple(typename, names, **options)


_namedtuple = collections.namedtuple


# ---- enumerations ------------------------------------------------------------------------


def _checked_member_name(name: Any) -> str:
    if type(name) is not str or is_dunder(name) or name in DENIED_ATTRIBUTES:
        raise RefusedAttribute(f"{name!r} is not allowed as a member's name: it isn't a plain name of your own")
    return name


def _checked_enum_names(names: Any) -> list[Any]:
    """Member names of the functional Enum API, checked; in a form that cannot change afterwards."""
    if isinstance(names, str):
        names = names.replace(",", " ").split()
    elif hasattr(names, "items"):
        names = names.items()
    checked: list[Any] = []
    for item in names:
        pair = item if isinstance(item, str) else tuple(item)
        _checked_member_name(pair if isinstance(pair, str) else pair[0])
        checked.append(pair)
    return checked


def _enum_create(real: Callable[..., Any]) -> Callable[..., Any]:
    def _create_(cls: Any, class_name: str, names: Any, **options: Any) -> Any:
        """``Enum(class_name, names)``; in a task with names of members only, and of the task's module."""
        if watching():
            names, options["module"] = _checked_enum_names(names), "__main__"
        return real(cls, class_name, names, **options)

    return _create_


def _enum_add_member(real: Callable[..., Any]) -> Callable[..., Any]:
    def _add_member_(cls: Any, name: str, member: Any) -> None:
        """Since Python 3.13; ``_add_alias_`` gives it any name."""
        real(cls, _checked_member_name(name) if watching() else name, member)

    return _add_member_


def patch_generated_classes() -> None:
    """Have makers of classes check the names that they are given. For the process, once."""
    setattr(dataclasses.Field, "name", _checked_field_name(dataclasses.Field.__dict__["name"]))  # noqa: B010 - for mypy
    setattr(dataclasses, "exec", checked_exec)  # noqa: B010
    setattr(collections, "namedtuple", _checked_namedtuple)  # noqa: B010
    enum_meta: Any = enum.EnumMeta
    enum_meta._create_ = _enum_create(vars(enum_meta)["_create_"])
    if hasattr(enum_meta, "_add_member_"):
        enum_meta._add_member_ = _enum_add_member(enum_meta._add_member_)
