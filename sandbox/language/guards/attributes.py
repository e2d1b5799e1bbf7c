"""Reading and changing attributes, where the name alone cannot decide."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import (
    BuiltinFunctionType,
    FrameType,
    FunctionType,
    GenericAlias,
    MethodDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

from reptarium.sandbox.language.guards import formats
from reptarium.sandbox.language.guards.checks import (
    HOOK_CODES,
    SET_ON_MODULE,
    beneath,
    check_write,
    checked_name,
    checked_value,
    deleting,
    is_facade,
    is_hook,
    parts_told,
    refuse_carried,
    refused,
)
from reptarium.sandbox.language.guards.classes import IS_HOOK, class_of
from reptarium.sandbox.language.guards.instances import instance_dict, own_names
from reptarium.sandbox.language.guards.own import copied_state, own_changed, own_read, owner_of
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy import names as rules
from reptarium.sandbox.language.policy.names import GETATTR

_MISSING = object()


def modest_getattr(answer: Any) -> Callable[[Any, str], Any]:
    """A class's ``__getattr__`` that is not asked for attributes that no task may read.

    ``answer`` may be whatever Python takes there: a function, ``dict.get``, a static method, an object to call.
    """
    bind = getattr(type(answer), "__get__", None)

    def __getattr__(self: Any, name: str) -> Any:
        if not rules.may_read(name) or name in rules.DOCUMENTED_DUNDERS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        bound = answer if bind is None else bind(answer, self, type(self))
        return bound(name)

    return __getattr__


def modest_getattribute(answer: Any) -> Callable[[Any, str], Any]:
    """A class's ``__getattribute__`` that is asked for names that a task may read, but for what the interpreter keeps
    of an object (its class, its dict): those are read as if there was none.
    """

    def __getattribute__(self: Any, name: str) -> Any:
        if rules.may_read(name) and name not in rules.GUARDED_DUNDERS:
            bound = answer if not hasattr(type(answer), "__get__") else answer.__get__(self, type(self))
            return bound(name)
        asking: FrameType | None = sys._getframe(1)
        while asking is not None and asking.f_globals.get("__name__") == _FOR_LIBRARIES:
            asking = asking.f_back
        assert asking is not None
        real = _beyond(type(self), __getattribute__)
        # ours: the second is asked for while the first tells
        if asking.f_globals.get("__name__") in ("copy", __name__) and name in ("__reduce_ex__", "__getstate__"):
            tell = real(self, name)
            return lambda *args: copied_state(self, tell(*args))
        # others may be calling a function that the task has taken out of its class's names
        if name in rules.GUARDED_DUNDERS:
            return _dunder(self, name)
        if name in _TAKES_APART or GETATTR in asking.f_builtins:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return real(self, name)

    return __getattribute__


for _guarded in (modest_getattr(None), modest_getattribute(None)):
    HOOK_CODES.add(_guarded.__code__)


class checked_class_hook:
    """A class's ``__subclasshook__``, ``__subclasscheck__``, ``__instancecheck__``, which are given classes and objects
    of whoever asks: they see what a task has for a metaclass, and no module.
    """

    __slots__ = ("_answer",)

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __get__(self, obj: Any, cls: Any = None) -> Callable[[Any], Any]:
        answer = self._answer
        bound = answer.__get__(obj, cls) if hasattr(type(answer), "__get__") else answer

        def check(value: Any) -> Any:
            try:
                shown = checked_value(value, "__class__")
            except RefusedAttribute:
                return False  # a library's own, which is none of the task's
            return bound(shown)

        return check


def _is_hook(value: object) -> bool:
    return is_hook(value) or type(value) is checked_class_hook


IS_HOOK.append(_is_hook)

#: Reads in a library's place.
_FOR_LIBRARIES = "reptarium.sandbox.language.hardening.readers"
_TAKES_APART = rules.LEADING_DUNDERS | {"__getstate__", "__setstate__"}


def _beyond(cls: type, hook: object) -> Any:
    """The ``__getattribute__`` that this one of the class's stands before, and is no other hook."""
    found = [vars(each)["__getattribute__"] for each in type.mro(cls) if "__getattribute__" in vars(each)]
    if hook not in found:
        raise TypeError("this __getattribute__ is another class's")
    return next(each for each in found[found.index(hook) + 1 :] if not is_hook(each))


def _getattribute(obj: Any) -> Callable[..., Any]:
    """``super().__getattribute__`` and ``object.__getattribute__``: what they read is looked at as what is spelled."""
    real = beneath(obj, "__getattribute__")

    def __getattribute__(*args: Any) -> Any:
        if not args:
            raise TypeError("__getattribute__ takes an attribute's name")
        name, owner = checked_name(args[-1]), owner_of(args[0] if len(args) > 1 else obj)
        if not rules.may_read(name):
            raise refused(f"the attribute '{name}' is not allowed")
        if name in rules.GUARDED_DUNDERS:
            return _dunder(owner, name)
        if name in _OF_SOME:
            _look_at_owner(owner, name)
        return _looked_at(real(*args), name)

    return __getattribute__


def _guarded_change(obj: Any, name: str) -> Callable[..., None]:
    """``super().__setattr__``, ``object.__setattr__`` and their like: the name is checked, then the real one runs."""
    real = beneath(obj, name)
    position = 1 if issubclass(type(obj), type) else 0  # isinstance() would ask the object

    def guarded(*args: Any) -> None:
        if len(args) <= position:
            raise TypeError(f"{name} takes an attribute's name")
        check_write(checked_name(args[position]))
        target = args[0] if position else owner_of(obj)
        refuse_carried(target, args[position])
        if is_facade(target):
            getattr(_Module(target), name)(*args[position:])
        else:
            real(*args)

    return guarded if isinstance(real, (FunctionType, MethodType)) else _Change(guarded)


class _Change:
    """The guard of a method that isn't written in Python, and isn't taken for one that is."""

    __slots__ = ("_guarded",)

    def __init__(self, guarded: Callable[..., None]) -> None:
        self._guarded = guarded

    def __call__(self, *args: Any) -> None:
        self._guarded(*args)


def _dunder(obj: Any, name: str) -> Any:
    if name == "__class__":
        return class_of(obj)
    if name == "__dict__":
        beneath(obj, name)  # raises Python's own AttributeError where there is none
        return instance_dict(obj)
    if name in _SIGNATURES:
        return parts_told(beneath(obj, name), name)
    return _guarded_change(obj, name)


_SIGNATURES = frozenset({"__annotations__", "__defaults__", "__kwdefaults__"}) | rules.DOCUMENTED_DUNDERS


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
    """An attribute whose name needs a look at the object or at the result. The compiler asks for no others; who found
    this among a task's builtins (a library may hand out the names of whoever calls it) gets no others, either.
    """
    if checked_name(name) == "__getattribute__":
        return _getattribute(obj)
    if name in rules.OWN_DUNDERS:
        return own_read(obj, name)
    if name in rules.GUARDED_DUNDERS:
        return _dunder(obj, name)
    if name not in rules.GUARDED_ATTRIBUTES:
        raise refused(f"the attribute '{name}' is not allowed")
    if name in _OF_SOME:
        _look_at_owner(obj, name)
    return _looked_at(getattr(obj, name), name)


#: Read of most objects, and not of some.
_OF_SOME = frozenset({"obj", "dump", "ctypes", "cffi"})


def _looked_at(found: Any, name: str) -> Any:
    """What was read under a name, as a task may have it."""
    if name == "mro" and type(found) in (BuiltinFunctionType, MethodDescriptorType) and found.__name__ == name:
        return lambda *args: list(dict.fromkeys(checked_value(each, name) for each in found(*args)))
    return checked_value(_format_method(found) if name in _FORMATS else found, name)


def _look_at_owner(obj: Any, name: str) -> None:
    """Raise where the name may be read of most objects, but not of this one."""
    if _stands_for_another(obj, name):
        raise refused(
            f"the attribute '{name}' of what stands for another object is not allowed", "read it of that object"
        )
    if name == "obj":
        if isinstance(owner_of(obj), (AttributeError, NameError)):
            raise refused("the attribute 'obj' of an exception is not allowed", "it betrays what the code failed on")
    elif name in ("dump", "ctypes", "cffi") and "numpy" in {  # a weak proxy is of another class than it says
        cls.__module__.partition(".")[0] for cls in (type(obj), obj.__class__)
    }:
        raise refused(f"the attribute '{name}' of an array is not allowed", "it writes files or hands out pointers")


def _stands_for_another(obj: Any, name: str) -> bool:
    """Whether the standard library would read it of another object: of a reader's stream, an alias's class."""
    kind = type(obj)
    if issubclass(kind, GenericAlias):
        return True
    hook = next((cls for cls in kind.__mro__ if "__getattr__" in vars(cls)), None)
    if hook is None or str(hook.__module__).partition(".")[0] not in sys.stdlib_module_names:
        return False
    try:
        object.__getattribute__(obj, name)
    except AttributeError:
        return True
    return False


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


_OWN_ALONE = rules.OWN_DUNDERS - rules.DEFINABLE
_NOT_TOLD = (rules.LEADING_DUNDERS - rules.DEFINABLE) | {"__del__"}


def guarded_hasattr(obj: Any, name: str, /) -> bool:
    """``hasattr`` in a task: what leads on to the interpreter isn't there unless the task may read it. Of all other
    special names (``__set_name__``, ``__clause_element__``) it is told the truth.
    """
    checked_name(name)
    if name in _OWN_ALONE:
        try:
            return own_read(obj, name) is not None
        except AttributeError:
            return False
    if not rules.may_read(name) and (name in _NOT_TOLD or not rules.is_dunder(name)):
        return False
    return hasattr(obj, name)


def guarded_setattr(obj: Any, name: str, value: Any, /) -> None:
    """``setattr`` in a task."""
    if checked_name(name) in rules.OWN_METHODS:
        own_changed(obj, name)
    else:
        check_write(name)
    setattr(changed(obj), name, value)


def guarded_delattr(obj: Any, name: str, /) -> None:
    """``delattr`` in a task."""
    if checked_name(name) in rules.OWN_METHODS:
        own_changed(obj, name)
    else:
        check_write(name)
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


def guarded_locals() -> dict[str, Any]:
    """``locals()`` in a task: a copy."""
    return own_names(sys._getframe(1), "locals")


def guarded_dir(*args: Any) -> list[str]:
    """``dir(x)`` in a task: names that may be read."""
    if not args:
        return sorted(own_names(sys._getframe(1), "dir"))
    if len(args) != 1:
        raise TypeError(f"dir expected at most 1 argument, got {len(args)}")
    return [name for name in dir(args[0]) if type(name) is str and rules.may_read(name)]
