"""``vars(x)`` and ``x.__dict__``."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from reptarium.sandbox.language.guards.checks import check_write, checked_name, checked_value, is_facade, refused
from reptarium.sandbox.language.policy import names as rules


class InstanceDict(dict[str, Any]):
    """A copy of an object's attributes whose changes go to the object as well, by names that the policy permits.

    As in Python they bypass ``__setattr__`` and properties: both are written by way of ``self.__dict__``.
    """

    __slots__ = ("_owner",)

    def __init__(self, owner: object, values: dict[str, Any]) -> None:
        dict.__init__(self, values)
        self._owner = owner  # not its real __dict__: whoever holds that writes what they like

    def __setitem__(self, key: str, value: Any) -> None:
        check_write(checked_name(key))
        self._owner.__dict__[key] = value
        dict.__setitem__(self, key, value)

    def __delitem__(self, key: str) -> None:
        check_write(checked_name(key))
        dict.__delitem__(self, key)
        self._owner.__dict__.pop(key, None)

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> InstanceDict:  # type: ignore[misc,override]
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


def instance_dict(obj: Any) -> Any:
    """``vars(obj)`` in a task: the readable attributes of an object that keeps some."""
    if isinstance(obj, ModuleType):
        raise refused("vars() of a module is not allowed", "use dir() and getattr()")
    real = getattr(obj, "__dict__", None)
    if real is None:
        raise TypeError("vars() argument must have __dict__ attribute")
    of_class = isinstance(obj, type)
    values: dict[str, Any] = {}
    for name, value in dict(real).items():
        if type(name) is not str or not rules.may_read(name):
            continue
        if isinstance(value, ModuleType) and not is_facade(value):
            continue
        # A class's own, or a class's behind a types.GenericAlias: a descriptor would hand out the real __dict__
        if type(value).__name__.endswith("_descriptor") or (of_class and rules.is_dunder(name)):
            continue
        values[name] = checked_value(value, name)
    return values if of_class else InstanceDict(obj, values)


def guarded_vars(*args: Any) -> Any:
    """``vars(x)`` in a task."""
    if not args:
        return {name: value for name, value in dict(sys._getframe(1).f_locals).items() if " " not in name}
    if len(args) != 1:
        raise TypeError(f"vars expected at most 1 argument, got {len(args)}")
    return instance_dict(args[0])
