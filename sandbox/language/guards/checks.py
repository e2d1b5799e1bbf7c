"""Checks of one name or one value, and what says that something is refused."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from reptarium.sandbox.language.guards.classes import STAND_INS, TypeFacade, is_own_metaclass, makes_classes
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy import names as rules
from reptarium.sandbox.language.policy.names import GETATTR

#: Façades by id, so that a module object can be told from a real one. Filled by runtime/facades.py.
FACADES: dict[int, ModuleType] = {}
#: What sets an attribute of a façade, or says why not: one function, of runtime/facades.py.
SET_ON_MODULE: list[Callable[[ModuleType, str, Any], None]] = []
#: Classes of packages whose instances read attributes by name. Filled by packages/.
READERS: set[type] = set()


#: By id: what no façade carries, and what tasks have in its place, or None. Filled by runtime/facades.py.
WITHHELD: dict[int, Any] = {}


#: Code of what stands before ``__getattr__`` and ``__getattribute__`` of a task's class. Filled by attributes.py.
HOOK_CODES: set[CodeType] = set()
_NOTHING: Any = object()


def is_hook(value: object) -> bool:
    """Whether it is a task's hook for attributes, with the guard before it."""
    return type(value) is FunctionType and value.__code__ in HOOK_CODES


def beneath(obj: Any, name: str, default: Any = _NOTHING) -> Any:
    """``getattr`` for what the interpreter keeps of an object: a hook of the task's is not asked. It could not be told
    who asks: what is written in C asks in the name of whatever code is around it.
    """
    kind = type(obj)
    found: list[Any] = [vars(each)["__getattribute__"] for each in kind.__mro__ if "__getattribute__" in vars(each)]
    if not is_hook(found[0]):
        return getattr(obj, name) if default is _NOTHING else getattr(obj, name, default)
    real = next(each for each in found if not is_hook(each))
    try:
        return real(obj, name)
    except AttributeError:
        if default is _NOTHING:
            raise
        return default


def refused(message: str, why: str = "it belongs to the interpreter") -> RefusedAttribute:
    """The error that says so."""
    return RefusedAttribute(f"{message}: {why}. No setting allows it.")


def refusing(what: str, why: str) -> Callable[..., Any]:
    """A function that says why it isn't there: better than a missing attribute for what people know."""

    def answer(*args: object, **kwargs: object) -> Any:
        raise refused(f"{what} is not allowed", why)

    answer.__name__ = answer.__qualname__ = what.rpartition(".")[2]
    return answer


def deleting(module: ModuleType, name: str) -> RefusedAttribute:
    """The error of ``del module.name``."""
    return refused(f"deleting '{name}' of the module '{module.__name__}' is not allowed", "others use it")


def is_facade(obj: object) -> bool:
    """Whether it is what tasks get for a module."""
    return FACADES.get(id(obj)) is obj


def checked_name(name: object) -> str:
    """The name, if it is exactly a ``str``. Raises TypeError otherwise."""
    if type(name) is not str:
        raise TypeError(f"attribute name must be exactly str, not '{type(name).__name__}'")
    return name


def checked_value(value: Any, name: str) -> Any:
    """The value, unless it is a module that is no façade. A metaclass becomes ``type``, ``function`` its stand-in."""
    if isinstance(value, ModuleType) and not is_facade(value):
        raise refused(f"the attribute '{name}' is not allowed", "it leads to a module that isn't allowed")
    if type(value) is CodeType:  # FrameSummary's, of Python 3.14
        raise refused(f"the attribute '{name}' is not allowed", "it belongs to the interpreter")
    if type(value) in READERS:
        raise refused(f"the attribute '{name}' is not allowed", "it leads to what reads attributes by name")
    if isinstance(value, type):
        if issubclass(value, type):
            return value if is_own_metaclass(value) else TypeFacade
        return STAND_INS.get(value, value)
    return TypeFacade if makes_classes(value) else value


def told(value: Any, name: str) -> Any:
    """A parameter's default, or annotation. Libraries' functions hold what no façade carries (``getattr=getattr``)."""
    return checked_value(WITHHELD.get(id(value), value), name)


def parts_told(value: Any, name: str) -> Any:
    """Annotations and defaults of a function or class, as a copy: nothing can be put into somebody else's."""
    if isinstance(value, tuple):
        parts = tuple(told(each, name) for each in value)
        return value if all(map(operator.is_, parts, value)) else parts
    if isinstance(value, Mapping):
        return {key: told(each, name) for key, each in dict(value).items()}
    return told(value, name)


def is_own_function(value: object) -> bool:
    """Whether it is a function of the task's text (or one that a library generated over the task's names)."""
    function: Any = value
    return type(value) is FunctionType and GETATTR in function.__builtins__


def is_own_class(value: Any) -> bool:
    """Whether it is a class that the task made."""
    return issubclass(type(value), type) and type.__getattribute__(value, "__module__") == "__main__"


#: By id: descriptors that sealed classes carry. Their own attributes say what everybody's reads call. Filled by
#: hardening/sealing.py.
CARRIED: set[int] = set()


def refuse_carried(obj: object, name: object) -> None:
    """Raise where an attribute of a descriptor of the standard library's would be changed."""
    if id(obj) in CARRIED:
        raise refused(f"changing the attribute '{name}' is not allowed", "a class of the standard library carries it")


def check_write(name: str) -> None:
    """Raise when no attribute of this name may be changed."""
    if not rules.may_write(name):
        raise refused(f"changing the attribute '{name}' is not allowed")
