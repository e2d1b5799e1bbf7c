"""``vars(x)`` and ``x.__dict__``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from copy import deepcopy
from types import FrameType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

from reptarium.sandbox.language.guards.checks import (
    beneath,
    check_write,
    checked_name,
    checked_value,
    is_facade,
    is_own_class,
    is_own_function,
    parts_told,
    refuse_carried,
    refused,
)
from reptarium.sandbox.language.policy import names as rules

#: What no attribute holds.
_NOTHING: Any = object()


class InstanceDict(dict[str, Any]):
    """An object's attributes as they are when they are looked at, whose changes go to the object, by names that the
    policy permits.

    As in Python they bypass ``__setattr__`` and properties: both are written by way of ``self.__dict__``. It is a copy
    that is brought up to date by its methods: what calls those of ``dict`` on it sees the last state, and changes it
    alone.
    """

    __slots__ = ("__weakref__", "_owner")

    def __init__(self, owner: object, values: dict[str, Any]) -> None:
        self._owner = owner  # not its real __dict__: whoever holds that writes what they like
        self._hold(values)

    def _hold(self, values: dict[str, Any]) -> None:
        dict.clear(self)
        # never empty: ``json`` asks an empty dict no further, whatever its object has got since
        dict.update(self, values or {_NOTHING: None})

    def _looked(self) -> dict[str, Any]:
        """What the object has now: itself, or an empty dict."""
        now = _readable(self._owner)
        pairs = zip(now.items(), dict.items(self), strict=False)
        # whoever goes through it isn't disturbed where nothing has changed
        if len(now) != dict.__len__(self) or not all(a is c and b is d for (a, b), (c, d) in pairs):
            self._hold(now)
        return self if now else {}

    def _value(self, key: Any) -> object:
        """The value, or _NOTHING. Raises TypeError for what is no key."""
        real, value = _real(self._owner), dict.get(self, key, _NOTHING)
        if type(key) is str and value is real.get(key, _NOTHING) and len(real) == dict.__len__(self):
            return value
        return dict.get(self._looked(), key, _NOTHING)

    def __getitem__(self, key: str) -> Any:
        value = self._value(key)
        if value is _NOTHING:
            raise KeyError(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        value = self._value(key)
        return default if value is _NOTHING else value

    def __contains__(self, key: object) -> bool:
        return self._value(key) is not _NOTHING

    def __len__(self) -> int:
        return dict.__len__(self._looked())

    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self._looked())

    def __reversed__(self) -> Iterator[str]:
        return dict.__reversed__(self._looked())

    def keys(self) -> Any:
        return dict.keys(self._looked())

    def values(self) -> Any:
        return dict.values(self._looked())

    def items(self) -> Any:
        return dict.items(self._looked())

    def copy(self) -> dict[str, Any]:
        return dict.copy(self._looked())

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return deepcopy(self.copy(), memo)

    def __repr__(self) -> str:
        return dict.__repr__(self._looked())

    def __eq__(self, other: object) -> bool:
        return dict.__eq__(self._looked(), other._looked() if isinstance(other, InstanceDict) else other)

    __hash__ = None

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __setitem__(self, key: str, value: Any) -> None:
        check_write(checked_name(key))
        refuse_carried(self._owner, key)
        _real(self._owner)[key] = value
        dict.__setitem__(self, key, value)
        dict.pop(self, _NOTHING, None)

    def __delitem__(self, key: str) -> None:
        check_write(checked_name(key))
        refuse_carried(self._owner, key)
        self[key]  # raises KeyError, if need be
        _real(self._owner).pop(key, None)
        self._looked()

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> InstanceDict:  # type: ignore[override]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, *default: Any) -> Any:
        if key not in self:
            return dict.pop(self, key, *default)
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        if not self:
            raise KeyError("popitem(): dictionary is empty")
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        for key in list(self):
            del self[key]


#: Those that somebody holds, by the id of their object: ``vars(x) is vars(x)``.
_held: WeakValueDictionary[int, InstanceDict] = WeakValueDictionary()


def instance_dict(obj: Any) -> Any:
    """``vars(obj)`` in a task: the readable attributes of an object that keeps some; of a class a copy."""
    if isinstance(obj, type):
        return _readable(obj)
    held = _held.get(id(obj))
    if held is None or held._owner is not obj:
        held = _held[id(obj)] = InstanceDict(obj, _readable(obj))
    return held


def _real(obj: Any) -> dict[str, Any]:
    if isinstance(obj, ModuleType):
        raise refused("vars() of a module is not allowed", "use dir() and getattr()")
    real: dict[str, Any] | None = beneath(obj, "__dict__", None)
    if real is None:
        raise TypeError("vars() argument must have __dict__ attribute")
    return real


def _readable(obj: Any) -> dict[str, Any]:
    of_class = isinstance(obj, type)
    values: dict[str, Any] = {}
    for name, value in dict(_real(obj)).items():
        if type(name) is not str or not rules.may_read(name):
            continue
        if isinstance(value, ModuleType) and not is_facade(value):
            continue
        # A class's own, or a class's behind a types.GenericAlias: a descriptor would hand out the real __dict__
        if type(value).__name__.endswith("_descriptor"):
            continue
        if not of_class or not rules.is_dunder(name):
            values[name] = checked_value(value, name)
        elif is_own_class(obj) and (name in rules.TOLD_OF_CLASSES or is_own_function(value)):
            values[name] = parts_told(value, name)
    return values


def own_names(frame: FrameType, asked: str) -> dict[str, Any]:
    """The names of a frame of the task's, without those of ours. Raises RefusedAttribute for anybody else's frame: what
    is written in C calls whatever it is given in the name of the Python code around it, which may be a library's.
    """
    if rules.GETATTR not in frame.f_builtins:
        raise refused(f"{asked}() in a library's place is not allowed", "the names are the library's")
    return {name: value for name, value in dict(frame.f_locals).items() if " " not in name and name[:1] != "."}


def guarded_vars(*args: Any) -> Any:
    """``vars(x)`` in a task."""
    if not args:
        return own_names(sys._getframe(1), "vars")
    if len(args) != 1:
        raise TypeError(f"vars expected at most 1 argument, got {len(args)}")
    return instance_dict(args[0])
