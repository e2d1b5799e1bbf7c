"""Modules of the standard library that read attributes by name, or make classes from names."""

from __future__ import annotations

import functools
import inspect
import operator
import typing
from collections.abc import Callable
from types import ModuleType
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.names import is_field_name, may_write

# ---- operator ----------------------------------------------------------------------------


class attrgetter:
    """``operator.attrgetter`` whose every step is a guarded read."""

    __slots__ = ("_names",)

    def __init__(self, name: str, /, *names: str) -> None:
        self._names = tuple(guards.checked_name(each) for each in (name, *names))

    def __call__(self, obj: Any, /) -> Any:
        found = tuple(_walk(obj, name) for name in self._names)
        return found[0] if len(found) == 1 else found


def _walk(obj: Any, path: str) -> Any:
    return functools.reduce(guards.guarded_getattr, guards.checked_name(path).split("."), obj)


class methodcaller:
    """``operator.methodcaller`` that reads the method through the guard."""

    __slots__ = ("_args", "_kwargs", "_name")

    def __init__(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        self._name = guards.checked_name(name)
        self._args = args
        self._kwargs = kwargs

    def __call__(self, obj: Any, /) -> Any:
        return guards.guarded_getattr(obj, self._name)(*self._args, **self._kwargs)


# Objects of the real ones exist (PurePath.drive.fget on Python 3.11), and type(x) would tell their class
guards.STAND_INS.update({operator.attrgetter: attrgetter, operator.methodcaller: methodcaller})


# ---- functools ---------------------------------------------------------------------------


def update_wrapper(wrapper: Any, wrapped: Any) -> Any:
    """``functools.update_wrapper`` without a choice of attributes: it would copy any attribute by name.

    ``__module__`` stays: libraries take the names of the module that a class says it is from.
    """
    for name in ("__name__", "__qualname__", "__doc__"):
        value = getattr(wrapped, name, None)
        if type(value) is str:
            setattr(wrapper, name, value)
    if not isinstance(wrapped, (type, ModuleType)):
        for name, value in dict(getattr(wrapped, "__dict__", {})).items():
            if type(name) is str and may_write(name) and not isinstance(value, ModuleType):
                setattr(wrapper, name, value)
    return wrapper


def wraps(wrapped: Any) -> Callable[[Any], Any]:
    """``functools.wraps`` without a choice of attributes."""
    return lambda wrapper: update_wrapper(wrapper, wrapped)


def singledispatch(func: Any) -> Any:
    """``functools.singledispatch`` whose ``dispatch`` takes classes only.

    The real one compares the ``__mro__`` of whatever it is given with every class that there is.
    """
    dispatching = functools.singledispatch(func)
    real = dispatching.dispatch

    def dispatch(cls: type) -> Any:
        if not issubclass(type(cls), type):
            raise TypeError(f"dispatch() takes a class, not '{type(cls).__name__}'")
        return real(cls)

    dispatching.dispatch = dispatch  # type: ignore[method-assign]
    return dispatching


# ---- typing ------------------------------------------------------------------------------


def get_origin(tp: Any) -> Any:
    """``typing.get_origin``: the unsubscripted version of a type."""
    return guards.checked_value(typing.get_origin(tp), "origin")


def get_args(tp: Any) -> tuple[Any, ...]:
    """``typing.get_args``: the type arguments of a type."""
    return tuple(guards.checked_value(each, "args") for each in typing.get_args(tp))


# ---- dataclasses -------------------------------------------------------------------------


def _make_dataclass(real: Callable[..., Any]) -> Callable[..., Any]:
    parameters = inspect.signature(real).parameters

    def make_dataclass(cls_name: str, fields: Any, *, bases: tuple[type, ...] = (), **options: Any) -> Any:
        """``dataclasses.make_dataclass`` without a namespace of one's own."""
        if "namespace" in options or "module" in options or "decorator" in options:
            raise RefusedAttribute("make_dataclass() with a namespace is not allowed: write a class statement")
        checked = []
        for item in fields:
            parts = (item,) if isinstance(item, str) else tuple(item)
            if not is_field_name(parts[0]):
                raise RefusedAttribute(f"{parts[0]!r} is not allowed as a field's name")
            checked.append(parts[0] if len(parts) == 1 else parts)
        bases = tuple(bases)
        guards.refuse_metaclasses(bases)
        # without it the class would be ours, or types': its functions would have that module's names
        place: dict[str, Any] = {"namespace": {"__module__": "__main__"}}
        if "module" in parameters:
            place["module"] = "__main__"
        return real(str(cls_name), checked, bases=bases, **place, **options)

    return make_dataclass


PACKAGES = (
    Package("operator", replaced={"operator": {"attrgetter": attrgetter, "methodcaller": methodcaller}}),
    Package(
        "functools",  # contextlib and others carry these too
        everywhere=(
            (functools.wraps, wraps),
            (functools.update_wrapper, update_wrapper),
            (functools.singledispatch, singledispatch),
        ),
    ),
    Package("typing", everywhere=((typing.get_origin, get_origin), (typing.get_args, get_args))),
    Package("dataclasses", made={"dataclasses": lambda real: {"make_dataclass": _make_dataclass(real.make_dataclass)}}),
)
