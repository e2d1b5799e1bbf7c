"""Special attributes that are read of what the task itself made: its classes' bases and subclasses, the function
beneath its decorators, the binding of its functions. Of all else they lead on to the interpreter's objects. And what
only its own classes are changed in, or caught as.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from types import FunctionType, MemberDescriptorType, MethodType
from typing import Any

from reptarium.sandbox.language.guards.checks import beneath, checked_value, is_own_class, is_own_function, refused
from reptarium.sandbox.language.guards.instances import instance_dict


def own_read(obj: Any, name: str) -> Any:
    """One of ``policy.names.OWN_DUNDERS`` of the object. Raises RefusedAttribute where it isn't the task's own."""
    if name == "__get__":
        found = beneath(obj, name)
        if type(obj) is FunctionType or (type(found) is MethodType and is_own_function(found.__func__)):
            return found
        raise refused(
            f"the attribute '{name}' is not allowed",
            "it reads what no guard looks at, and is there for functions and the task's own descriptors",
        )
    if name in ("__func__", "__self__"):
        if type(obj) is MethodType and is_own_function(obj.__func__):
            return checked_value(obj.__func__ if name == "__func__" else obj.__self__, name)
        raise refused(
            f"the attribute '{name}' is not allowed",
            "it leads to the interpreter's own names, and is read of methods of the task's own",
        )
    if name in ("__getstate__", "__setstate__"):
        return _state_method(obj, name)
    if name == "__prepare__":
        if is_own_class(owner_of(obj)):
            return beneath(obj, name)
        raise refused(f"the attribute '{name}' is not allowed", "it is for metaclasses of the task's own")
    if name == "__wrapped__":
        found = beneath(obj, name)
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


def owner_of(obj: Any) -> Any:
    """Whose attributes are read of this: its own, or those of the object that a ``super()`` stands for."""
    return obj.__self__ if issubclass(type(obj), super) else obj


def _state_method(obj: Any, name: str) -> Any:
    found, owner = beneath(obj, name), owner_of(obj)
    if is_own_function(getattr(found, "__func__", found)):
        return found
    if name == "__setstate__" or not is_own_class(type(owner)):
        raise refused(
            f"the attribute '{name}' is not allowed",
            "it takes an object apart, and is there for the task's own methods; use vars(x)",
        )

    def __getstate__() -> Any:
        attributes = dict(instance_dict(owner)) if hasattr(owner, "__dict__") else None
        slots = {key: getattr(owner, key) for key in slot_names(type(owner)) if hasattr(owner, key)}
        return (attributes or None, slots) if slots else attributes or None

    return __getstate__


def slot_names(cls: type) -> list[str]:
    """``copyreg._slotnames``: the slots of a class and of those that it inherits from, which copies take along.

    Those that are there. The real one believes ``__slots__``, which a task may have as a list, and lengthen later.
    """
    names: list[str] | None = vars(cls).get("__slotnames__")
    if names is None:
        names = [
            name
            for each in type.__dict__["__mro__"].__get__(cls)
            if "__slots__" in vars(each)
            for name, value in vars(each).items()
            if type(value) is MemberDescriptorType and value.__objclass__ is each
        ]
        with suppress(AttributeError, TypeError):  # a class that can't be changed
            cls.__slotnames__ = names  # type: ignore[attr-defined]
    return names


def copied_state(owner: Any, state: Any) -> Any:
    """What an object tells of itself to be copied, without its own ``__dict__``: a copy in its place."""
    if type(state) is tuple:
        return tuple(copied_state(owner, each) for each in state)
    try:
        own = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return state
    return dict(state) if state is own else state


def own_changed(obj: Any, name: str) -> Any:
    """The object, whose method ``name`` is going to be set or deleted. Raises RefusedAttribute where neither it nor its
    class is one that the task made.
    """
    if is_own_class(obj) or is_own_class(type(obj)):
        return obj
    raise refused(f"changing the attribute '{name}' is not allowed", "the class isn't the task's own: derive one")


#: Whether ``except*`` takes what a group's ``split()`` returns for a pair without a look (CVE-2025-22153).
_BELIEVES_GROUPS = sys.version_info < (3, 13, 2)


def no_odd_group() -> tuple[()]:
    """What the exception that is being handled is compared with before ``except*`` sees it: nothing that matches.

    Raises RefusedAttribute for a group of another class than Python's own, where ``except*`` would believe it.
    """
    if _BELIEVES_GROUPS:
        kind = type(sys.exception())
        if issubclass(kind, BaseExceptionGroup) and kind not in (BaseExceptionGroup, ExceptionGroup):
            raise refused(
                f"except* with a {kind.__name__} is not allowed",
                "this version of Python believes what its split() returns; use except",
            )
    return ()


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
