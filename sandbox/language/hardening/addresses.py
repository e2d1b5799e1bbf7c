"""Attributes that numpy takes for addresses of memory (``__array_interface__``), which no task may give to an object.

No program can spell them, but objects take attributes from data: ``SimpleNamespace(**options)``, a log record's
``extra``, an option's ``dest``. The classes of such objects hide these names behind properties that are never there:
what an instance holds under them nobody finds, at no cost to any other attribute.
"""

from __future__ import annotations

import ast
import functools
import logging
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from reptarium.sandbox.language.guards import STAND_INS, refused

ADDRESSES = ("__array_interface__", "__array_struct__")


class _Absent:
    """A property that is never there."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: object = None) -> NoReturn:
        raise AttributeError(f"no attribute {self._name!r}")

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise refused(f"changing the attribute '{self._name}' is not allowed")


def absent_addresses() -> dict[str, Any]:
    """Names of a class whose instances have no such attributes."""
    return {name: _Absent(name) for name in ADDRESSES}


def hide_addresses(cls: type) -> None:
    """Instances of this class, and of those that inherit from it, have no such attributes."""
    for name, absent in absent_addresses().items():
        setattr(cls, name, absent)


def hides_addresses(cls: type) -> bool:
    """Whether :func:`hide_addresses` was done to it."""
    return any(type(vars(each).get(ADDRESSES[0])) is _Absent for each in cls.__mro__)


def refuse_addresses(names: Iterable[object]) -> None:
    """Raise :class:`RefusedAttribute` when one of these names is to become an attribute."""
    for name in names:
        if isinstance(name, str) and str.__str__(name) in ADDRESSES:
            raise refused(f"changing the attribute '{name}' is not allowed")


def without_addresses(real: Callable[..., Any]) -> Callable[..., Any]:
    """A class's ``__getattr__`` that answers for labels or keys of data, but not for these."""

    def __getattr__(self: Any, name: str) -> Any:
        if name in ADDRESSES:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return real(self, name)

    return __getattr__


class SimpleNamespace(types.SimpleNamespace):
    """``types.SimpleNamespace`` in a task."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = super().__repr__()
        return shown.replace("SimpleNamespace", "namespace", 1) if type(self) is SimpleNamespace else shown


SimpleNamespace.__module__ = "types"
hide_addresses(SimpleNamespace)
STAND_INS[types.SimpleNamespace] = SimpleNamespace


def _cached(real: Callable[..., Any]) -> Callable[..., Any]:
    def __get__(self: Any, instance: Any, owner: Any = None) -> Any:
        value = real(self, instance, owner)
        kept = getattr(instance, "__dict__", {})
        for name in ADDRESSES:
            if name in kept:  # what ``attrname`` was set to
                del kept[name]
                refuse_addresses([name])
        return value

    return __get__


def patch_addresses() -> None:
    """Hide them in the standard library's classes that are always there. For the process, once."""
    hide_addresses(logging.LogRecord)
    hide_addresses(ast.AST)  # a node takes any keyword for an attribute
    cached: Any = functools.cached_property
    cached.__get__ = _cached(cached.__get__)
    logger: Any = logging.Logger
    make, make_record = logging.makeLogRecord, logger.makeRecord

    def makeLogRecord(dict: Any) -> Any:  # a record's class may be the task's own
        refuse_addresses(dict)
        return make(dict)

    def makeRecord(self: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_addresses(kwargs.get("extra", args[8] if len(args) > 8 else None) or ())
        return make_record(self, *args, **kwargs)

    setattr(logging, "makeLogRecord", makeLogRecord)  # noqa: B010 - for mypy
    logger.makeRecord = makeRecord
