"""Special attributes that are read of what the task itself made: its classes' bases and subclasses, the function
beneath its decorators, the binding of its functions. Of all else they lead on to the interpreter's objects.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from reptarium.sandbox.language.guards.checks import checked_value, refused
from reptarium.sandbox.language.policy.names import GETATTR


def is_own_function(value: object) -> bool:
    """Whether it is a function of the task's text (or one that a library generated over the task's names)."""
    function: Any = value
    return type(value) is FunctionType and GETATTR in function.__builtins__


def is_own_class(value: Any) -> bool:
    """Whether it is a class that the task made."""
    return issubclass(type(value), type) and type.__getattribute__(value, "__module__") == "__main__"


def own_read(obj: Any, name: str) -> Any:
    """One of ``policy.names.OWN_DUNDERS`` of the object. Raises RefusedAttribute where it isn't the task's own."""
    if name == "__get__":
        found = getattr(obj, name)
        if type(obj) is FunctionType or (type(found) is MethodType and is_own_function(found.__func__)):
            return found
        raise refused(
            f"the attribute '{name}' is not allowed",
            "it reads what no guard looks at, and is there for functions and the task's own descriptors",
        )
    if name == "__wrapped__":
        found = getattr(obj, name)
        if is_own_function(found):
            return found
        raise refused(
            f"the attribute '{name}' is not allowed",
            "it leads to the interpreter's own names, and is read where it is the task's own function",
        )
    if is_own_class(obj):
        return _subclasses(obj) if name == "__subclasses__" else _bases(obj, name)
    raise refused(
        f"the attribute '{name}' is not allowed",
        "it walks to every class of the interpreter, and is read of the task's own classes alone",
    )


def _bases(cls: type, name: str) -> Any:
    found = type.__getattribute__(cls, name)
    if name == "__base__":
        return checked_value(found, name)
    # a metaclass stands for each that it is made of: once is enough
    return tuple(dict.fromkeys(checked_value(each, name) for each in found))


def _subclasses(cls: type) -> Callable[[], list[Any]]:
    def __subclasses__() -> list[Any]:
        found: list[type] = type.__subclasses__(cls)
        return [checked_value(each, "__subclasses__") for each in found]

    return __subclasses__
