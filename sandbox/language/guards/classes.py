"""The class of a value, as a task sees it: never a metaclass, nor one that makes something runnable."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any


class _TypeMeta(type):
    """Makes :class:`TypeFacade` behave as ``type`` in calls and checks."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not TypeFacade or len(args) != 1 or kwargs:
            raise TypeError("only type(x) with one argument is available; write a class statement instead")
        return class_of(args[0])

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, type)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, type) or subclass is TypeFacade

    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError("cannot change attributes of 'type'")

    def __delattr__(cls, name: str) -> None:
        raise TypeError("cannot change attributes of 'type'")

    def __repr__(cls) -> str:
        return "<class 'type'>"

    def __or__(cls, other: Any) -> Any:
        return type.__or__(cls, other)


class TypeFacade(metaclass=_TypeMeta):
    """``type`` in a task: tells the class of an object, makes none."""

    def __init_subclass__(cls) -> None:
        raise TypeError("metaclasses are not available in a task")

    def __class_getitem__(cls, item: object) -> object:
        return cls


for _name, _value in {"__name__": "type", "__qualname__": "type", "__module__": "builtins"}.items():
    type.__setattr__(TypeFacade, _name, _value)


class _StandInMeta(type):
    """Makes a class that answers for a real one in checks, makes no instances and takes no subclasses."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _StandInMeta:
        if bases:
            raise TypeError(f"type '{bases[0].__name__}' is not an acceptable base type")
        return type.__new__(mcs, name, bases, namespace)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"cannot create '{cls.__name__}' instances")

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _REAL[cls])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return subclass is cls or issubclass(subclass, _REAL[cls])

    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError(f"cannot change attributes of '{cls.__name__}'")

    def __delattr__(cls, name: str) -> None:
        raise TypeError(f"cannot change attributes of '{cls.__name__}'")

    def __repr__(cls) -> str:
        return repr(_REAL[cls])


_REAL: dict[type, type] = {}
#: Classes that would make something runnable of a code object, or read attributes, and what a task has for each.
STAND_INS: dict[type, type] = {}
for _real in (types.FunctionType, types.CodeType, types.CellType, types.FrameType, types.TracebackType):
    _names = {"__qualname__": _real.__qualname__, "__module__": _real.__module__, "__doc__": _real.__doc__}
    STAND_INS[_real] = _StandInMeta(_real.__name__, (), _names)
    _REAL[STAND_INS[_real]] = _real


def class_of(value: object) -> Any:
    """The class of a value; for a class, ``type`` as the task knows it, never a metaclass."""
    kind = type(value)
    return TypeFacade if issubclass(kind, type) else STAND_INS.get(kind, kind)


def refuse_metaclasses(bases: Iterable[Any]) -> None:
    """Raise when a class with these bases would be a metaclass. An alias (``Type[int]``) stands for its origin."""
    for base in bases:
        origin = base if isinstance(base, type) else getattr(base, "__origin__", None)
        if isinstance(origin, type) and issubclass(origin, type):
            raise TypeError("metaclasses are not available in a task")


def makes_classes(value: object) -> bool:
    """Whether it is a library's ``type[…]``: calling it, or inheriting from it, is calling ``type``.

    ``typing.Type`` is made harmless in hardening/gadgets.py.
    """
    if type(value) is not types.GenericAlias:
        return False
    origin = value.__origin__
    return isinstance(origin, type) and issubclass(origin, type)
