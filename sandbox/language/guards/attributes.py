"""Reading and changing attributes, where the name alone cannot decide."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FrameType, ModuleType
from typing import Any

from reptarium.sandbox.language.guards import formats
from reptarium.sandbox.language.guards.checks import (
    SET_ON_MODULE,
    check_write,
    checked_name,
    checked_value,
    deleting,
    is_facade,
    refused,
)
from reptarium.sandbox.language.guards.classes import class_of
from reptarium.sandbox.language.guards.instances import instance_dict
from reptarium.sandbox.language.guards.own import own_read
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy import names as rules

_MISSING = object()
_HARMLESS_PROBES = (rules.DEFINABLE | rules.READABLE_DUNDERS | rules.GUARDED_DUNDERS) - {"__del__"}


def modest_getattr(answer: Any) -> Callable[[Any, str], Any]:
    """A class's ``__getattr__`` that is not asked for attributes that no task may read.

    ``answer`` may be whatever Python takes there: a function, ``dict.get``, a static method, an object to call.
    """
    bind = getattr(type(answer), "__get__", None)

    def __getattr__(self: Any, name: str) -> Any:
        if not rules.may_read(name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        bound = answer if bind is None else bind(answer, self, type(self))
        return bound(name)

    return __getattr__


def _guarded_change(obj: Any, name: str) -> Callable[..., None]:
    """``super().__setattr__``, ``object.__setattr__`` and their like: the name is checked, then the real one runs."""
    real = getattr(obj, name)
    position = 1 if issubclass(type(obj), type) else 0  # isinstance() would ask the object

    def guarded(*args: Any) -> None:
        if len(args) <= position:
            raise TypeError(f"{name} takes an attribute's name")
        check_write(checked_name(args[position]))
        target = args[0] if position else obj
        if is_facade(target):
            getattr(_Module(target), name)(*args[position:])
        else:
            real(*args)

    return guarded


def _dunder(obj: Any, name: str) -> Any:
    if name == "__class__":
        return class_of(obj)
    if name == "__dict__":
        return instance_dict(obj)
    if name in _SIGNATURES:
        return _signature_part(obj, name)
    return _guarded_change(obj, name)


_SIGNATURES = frozenset({"__annotations__", "__defaults__", "__kwdefaults__"})


def _signature_part(obj: Any, name: str) -> Any:
    """Annotations and defaults of a function or class, as a copy: nothing can be put into somebody else's."""
    value = getattr(obj, name)
    if isinstance(value, tuple):
        return tuple(checked_value(each, name) for each in value)
    if isinstance(value, Mapping):
        return {key: checked_value(each, name) for key, each in dict(value).items()}
    return checked_value(value, name)


def _format_method(found: Any) -> Any:
    """``format`` of texts, checked, whatever handed it on (a class of texts, ``super()``, an alias, a weak proxy); what
    else has such a name, as it is.
    """
    kind = type(found)
    if kind is BuiltinFunctionType and found.__name__ in _FORMATS and isinstance(found.__self__, str):
        bound = formats.bound_format if found.__name__ == "format" else formats.bound_format_map
        return bound(found.__self__)
    if found is str.format:
        return formats.unbound_format
    return formats.unbound_format_map if found is str.format_map else found


_FORMATS = ("format", "format_map")


def guarded_read(obj: Any, name: str) -> Any:
    """An attribute whose name needs a look at the object or at the result. ``name`` is allowed already."""
    if name in rules.OWN_DUNDERS:
        return own_read(obj, name)
    if name in rules.GUARDED_DUNDERS:
        return _dunder(obj, name)
    if name in _FORMATS:
        return checked_value(_format_method(getattr(obj, name)), name)
    if name == "obj":
        owner = obj.__self__ if issubclass(type(obj), super) else obj
        if isinstance(owner, (AttributeError, NameError)):
            raise refused("the attribute 'obj' of an exception is not allowed", "it betrays what the code failed on")
    elif name in ("dump", "ctypes", "cffi") and "numpy" in {  # a weak proxy is of another class than it says
        cls.__module__.partition(".")[0] for cls in (type(obj), obj.__class__)
    }:
        raise refused(f"the attribute '{name}' of an array is not allowed", "it writes files or hands out pointers")
    return checked_value(getattr(obj, name), name)


def guarded_getattr(obj: Any, name: str, default: Any = _MISSING, /) -> Any:
    """``getattr`` in a task: the rules of a written attribute, applied to a computed name."""
    checked_name(name)
    if name == "__wrapped__" and default is not _MISSING:
        return own_read(obj, name) if guarded_hasattr(obj, name) else default
    if not rules.may_read(name):
        harmless = rules.is_dunder(name) and name not in rules.LEADING_DUNDERS
        if harmless and default is not _MISSING and not hasattr(obj, name):
            return default
        raise refused(f"the attribute '{name}' is not allowed")
    try:
        if name in rules.GUARDED_ATTRIBUTES:
            return guarded_read(obj, name)
        return checked_value(getattr(obj, name), name)
    except RefusedAttribute:
        raise
    except AttributeError:
        if default is _MISSING:
            raise
        return default


formats.READ.append(guarded_getattr)


def guarded_hasattr(obj: Any, name: str, /) -> bool:
    """``hasattr`` in a task: what may not be read isn't there; asking for ordinary special methods is fine."""
    checked_name(name)
    if name == "__wrapped__":
        try:
            return own_read(obj, name) is not None
        except AttributeError:
            return False
    if not rules.may_read(name) and name not in _HARMLESS_PROBES:
        return False
    return hasattr(obj, name)


def guarded_setattr(obj: Any, name: str, value: Any, /) -> None:
    """``setattr`` in a task."""
    check_write(checked_name(name))
    setattr(changed(obj), name, value)


def guarded_delattr(obj: Any, name: str, /) -> None:
    """``delattr`` in a task."""
    check_write(checked_name(name))
    delattr(changed(obj), name)


class _Module:
    """A façade whose attributes are set, which as a plain module object would keep them to itself."""

    __slots__ = ("_facade",)

    def __init__(self, facade: ModuleType) -> None:
        object.__setattr__(self, "_facade", facade)

    def __getattr__(self, name: str) -> Any:  # x.a += y
        return getattr(self._facade, name)

    def __setattr__(self, name: str, value: object) -> None:
        SET_ON_MODULE[0](self._facade, name, value)

    def __delattr__(self, name: str) -> None:
        raise deleting(self._facade, name)


def changed(obj: Any) -> Any:
    """What an attribute is set on where ``obj`` is meant: itself, but for a module."""
    return _Module(obj) if type(obj) is ModuleType and is_facade(obj) else obj


def own_names(frame: FrameType) -> dict[str, Any]:
    """The names of a frame of the task's, without those of ours."""
    return {name: value for name, value in dict(frame.f_locals).items() if " " not in name and name[:1] != "."}


def guarded_locals() -> dict[str, Any]:
    """``locals()`` in a task: a copy."""
    return own_names(sys._getframe(1))


def guarded_dir(*args: Any) -> list[str]:
    """``dir(x)`` in a task: names that may be read."""
    if not args:
        return sorted(own_names(sys._getframe(1)))
    if len(args) != 1:
        raise TypeError(f"dir expected at most 1 argument, got {len(args)}")
    return [name for name in dir(args[0]) if type(name) is str and rules.may_read(name)]
