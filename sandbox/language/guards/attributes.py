"""Guards: what the compiled program calls where a name alone cannot decide.

No guard keeps anything in defaults, attributes or other places that user code could change, and
none trusts a name that is not exactly ``str``: a subclass could lie about what it is.
"""

from __future__ import annotations

import builtins
import functools
import operator
import types
import typing
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from reptarium.sandbox.language.guards import formats
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy import names as rules

_MISSING = object()
_HARMLESS_PROBES = rules.DEFINABLE | rules.READABLE_DUNDERS | rules.GUARDED_DUNDERS

#: Façades by id, so that a module object can be told from a real one. Filled by modules.py.
FACADES: dict[int, ModuleType] = {}
#: Classes of packages whose instances read attributes by name. Filled by gadgets.py.
READERS: set[type] = set()


def _refused(message: str, why: str = "it belongs to the interpreter") -> RefusedAttribute:
    return RefusedAttribute(f"{message}: {why}. No setting allows it.")


def refusing(what: str, why: str) -> Callable[..., Any]:
    """A function that says why it isn't there: better than a missing attribute for what people know."""

    def refused(*args: object, **kwargs: object) -> Any:
        raise _refused(f"{what} is not allowed", why)

    refused.__name__ = refused.__qualname__ = what.rpartition(".")[2]
    return refused


def checked_name(name: object) -> str:
    """The name, if it is exactly a ``str``. Raises TypeError otherwise."""
    if type(name) is not str:
        raise TypeError(f"attribute name must be exactly str, not '{type(name).__name__}'")
    return name


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


# ---- type(x) -----------------------------------------------------------------------------


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


# ---- attributes --------------------------------------------------------------------------


def checked_value(value: Any, name: str) -> Any:
    """The value, unless it is a module that is no façade. A metaclass becomes ``type``, ``function`` its stand-in."""
    if isinstance(value, ModuleType) and FACADES.get(id(value)) is not value:
        raise _refused(f"the attribute '{name}' is not allowed", "it leads to a module that isn't allowed")
    if type(value) in READERS:
        raise _refused(f"the attribute '{name}' is not allowed", "it leads to what reads attributes by name")
    if isinstance(value, type):
        return value if value is TypeFacade else TypeFacade if issubclass(value, type) else STAND_INS.get(value, value)
    return TypeFacade if makes_classes(value) else value


def refuse_metaclasses(bases: Iterable[Any]) -> None:
    """Raise when a class with these bases would be a metaclass. An alias (``Type[int]``) stands for its origin."""
    for base in bases:
        origin = base if isinstance(base, type) else getattr(base, "__origin__", None)
        if isinstance(origin, type) and issubclass(origin, type):
            raise TypeError("metaclasses are not available in a task")


def makes_classes(value: object) -> bool:
    """Whether it is a library's ``type[…]``: calling it, or inheriting from it, is calling ``type``.

    ``typing.Type`` is made harmless in gadgets.py.
    """
    if type(value) is not types.GenericAlias:
        return False
    origin = value.__origin__
    return isinstance(origin, type) and issubclass(origin, type)


def check_write(name: str) -> None:
    """Raise when no attribute of this name may be changed."""
    if not rules.may_write(name):
        raise _refused(f"changing the attribute '{name}' is not allowed")


def _guarded_change(obj: Any, name: str) -> Callable[..., None]:
    """``super().__setattr__``, ``object.__setattr__`` and their like: the name is checked, then the real one runs."""
    real = getattr(obj, name)
    position = 1 if issubclass(type(obj), type) else 0  # isinstance() would ask the object

    def guarded(*args: Any) -> None:
        if len(args) <= position:
            raise TypeError(f"{name} takes an attribute's name")
        check_write(checked_name(args[position]))
        real(*args)

    return guarded


def _dunder(obj: Any, name: str) -> Any:
    if name == "__class__":
        return class_of(obj)
    if name == "__dict__":
        return instance_dict(obj)
    return _guarded_change(obj, name)


def _format_method(obj: Any, name: str) -> Any:
    """``format`` of strings and string classes, checked; None for anything else."""
    if isinstance(obj, str):
        if getattr(type(obj), name) is getattr(str, name):
            return formats.bound_format(obj) if name == "format" else formats.bound_format_map(obj)
    elif isinstance(obj, type) and issubclass(obj, str):
        if getattr(obj, name) is getattr(str, name):
            return formats.unbound_format if name == "format" else formats.unbound_format_map
    elif isinstance(obj, super):
        found = getattr(obj, name)
        owner = getattr(found, "__self__", None)
        if isinstance(owner, str):
            return formats.bound_format(owner) if name == "format" else formats.bound_format_map(owner)
        if found is getattr(str, name):
            return formats.unbound_format if name == "format" else formats.unbound_format_map
    return None


def guarded_read(obj: Any, name: str) -> Any:
    """An attribute whose name needs a look at the object or at the result. ``name`` is allowed already."""
    if name in rules.GUARDED_DUNDERS:
        return _dunder(obj, name)
    if name == "format" or name == "format_map":
        method = _format_method(obj, name)
        if method is not None:
            return method
    elif name == "obj":
        owner = obj.__self__ if issubclass(type(obj), super) else obj
        if isinstance(owner, (AttributeError, NameError)):
            raise _refused("the attribute 'obj' of an exception is not allowed", "it betrays what the code failed on")
    elif name in ("dump", "ctypes", "cffi") and type(obj).__module__.partition(".")[0] == "numpy":
        raise _refused(f"the attribute '{name}' of an array is not allowed", "it writes files or hands out pointers")
    return checked_value(getattr(obj, name), name)


def guarded_getattr(obj: Any, name: str, default: Any = _MISSING, /) -> Any:
    """``getattr`` in a task: the rules of a written attribute, applied to a computed name."""
    checked_name(name)
    if not rules.may_read(name):
        raise _refused(f"the attribute '{name}' is not allowed")
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


def guarded_hasattr(obj: Any, name: str, /) -> bool:
    """``hasattr`` in a task: what may not be read isn't there; asking for ordinary special methods is fine."""
    checked_name(name)
    if not rules.may_read(name) and name not in _HARMLESS_PROBES:
        return False
    return hasattr(obj, name)


def guarded_setattr(obj: Any, name: str, value: Any, /) -> None:
    """``setattr`` in a task."""
    check_write(checked_name(name))
    setattr(obj, name, value)


def guarded_delattr(obj: Any, name: str, /) -> None:
    """``delattr`` in a task."""
    check_write(checked_name(name))
    delattr(obj, name)


def guarded_dir(*args: Any) -> list[str]:
    """``dir(x)`` in a task: names that may be read."""
    if len(args) != 1:
        raise TypeError("dir() needs an object: the names of the task itself are not listed")
    return [name for name in dir(args[0]) if type(name) is str and rules.may_read(name)]


# ---- vars(x) and x.__dict__ -----------------------------------------------------------------


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
        raise _refused("vars() of a module is not allowed", "use dir() and getattr()")
    real = getattr(obj, "__dict__", None)
    if real is None:
        raise TypeError("vars() argument must have __dict__ attribute")
    of_class = isinstance(obj, type)
    values: dict[str, Any] = {}
    for name, value in dict(real).items():
        if type(name) is not str or not rules.may_read(name):
            continue
        if isinstance(value, ModuleType) and FACADES.get(id(value)) is not value:
            continue
        # A class's own, or a class's behind a types.GenericAlias: a descriptor would hand out the real __dict__
        if type(value).__name__.endswith("_descriptor") or (of_class and rules.is_dunder(name)):
            continue
        values[name] = checked_value(value, name)
    return values if of_class else InstanceDict(obj, values)


def guarded_vars(*args: Any) -> Any:
    """``vars(x)`` in a task."""
    if len(args) != 1:
        raise TypeError("vars() needs an object: the names of the task itself are not listed")
    return instance_dict(args[0])


# ---- match --------------------------------------------------------------------------------


def match_class(cls: Any) -> Any:
    """The class of a positional pattern, once the attributes that it would read are known to be harmless."""
    if not isinstance(cls, type):
        return cls  # Python says what is wrong
    names = getattr(cls, "__match_args__", ())
    if type(names) is not tuple:
        raise _refused("this class pattern is not allowed", "its __match_args__ is not a tuple")
    for name in names:
        if type(name) is not str or not (rules.is_plain(name) or (_may_hold(name) and _holds_own_data(cls))):
            raise _refused("this class pattern is not allowed", f"it would read the attribute {name!r}")
    return cls


def _may_hold(name: str) -> bool:
    """Whether a class of the user's own may keep data under this name, which elsewhere needs a look at the object."""
    return rules.may_read(name) and not rules.is_dunder(name)


#: Classes that put nothing of their own into instances under a guarded name.
_BARE = {object, tuple, list, dict, set, typing.Generic} | {
    value
    for value in vars(builtins).values()
    if isinstance(value, type) and issubclass(value, BaseException) and not hasattr(value, "obj")
}


def _holds_own_data(cls: type) -> bool:
    """Whether instances hold only what the task put there, under names where libraries keep modules or ``format``.

    With a metaclass (ABCMeta) any object could be registered as an instance.
    """
    return type(cls) is type and all(base in _BARE or base.__module__ == "__main__" for base in cls.__mro__)


# ---- gadgets of the standard library ---------------------------------------------------------


class attrgetter:
    """``operator.attrgetter`` whose every step is a guarded read."""

    __slots__ = ("_names",)

    def __init__(self, name: str, /, *names: str) -> None:
        self._names = tuple(checked_name(each) for each in (name, *names))

    def __call__(self, obj: Any, /) -> Any:
        found = tuple(_walk(obj, name) for name in self._names)
        return found[0] if len(found) == 1 else found


def _walk(obj: Any, path: str) -> Any:
    return functools.reduce(guarded_getattr, checked_name(path).split("."), obj)


class methodcaller:
    """``operator.methodcaller`` that reads the method through the guard."""

    __slots__ = ("_args", "_kwargs", "_name")

    def __init__(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        self._name = checked_name(name)
        self._args = args
        self._kwargs = kwargs

    def __call__(self, obj: Any, /) -> Any:
        return guarded_getattr(obj, self._name)(*self._args, **self._kwargs)


# Objects of the real ones exist (PurePath.drive.fget on Python 3.11), and type(x) would tell their class
STAND_INS |= {operator.attrgetter: attrgetter, operator.methodcaller: methodcaller}


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
            if type(name) is str and rules.may_write(name) and not isinstance(value, ModuleType):
                setattr(wrapper, name, value)
    return wrapper


def wraps(wrapped: Any) -> Callable[[Any], Any]:
    """``functools.wraps`` without a choice of attributes."""
    return lambda wrapper: update_wrapper(wrapper, wrapped)
