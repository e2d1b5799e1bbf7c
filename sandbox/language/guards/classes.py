"""The class of a value, as a task sees it: never a metaclass, nor one that makes something runnable."""

from __future__ import annotations

import abc
import collections
import functools
import types
from collections.abc import Callable, Iterable
from typing import Any

from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy import names as rules
from reptarium.sandbox.language.policy.refusals import unavailable


class _Prepare:
    """``__prepare__`` of the task's own metaclasses as the interpreter asks it: the answer is looked at, and a copy.

    A class body looks its names up there first, those of our guards among them.
    """

    def __get__(self, metaclass: Any, owner: Any = None) -> Any:
        return type.__prepare__ if metaclass is None else functools.partial(_prepared, metaclass)

    def __set__(self, metaclass: Any, value: object) -> None:  # what has it comes before what a class has
        raise TypeError("__prepare__ cannot be set")


def _prepared(metaclass: type, name: str, bases: tuple[Any, ...], **options: Any) -> dict[str, Any]:
    # of the classes that say so, the last one is `type`
    where = next(cls for cls in type.mro(metaclass) if "__prepare__" in vars(cls))
    made = vars(where)["__prepare__"].__get__(None, metaclass)(name, bases, **options)
    if type(made) not in (dict, collections.OrderedDict):
        raise unavailable("a __prepare__ that returns another mapping is not available in a task: return a dict")
    checked = checked_namespace(made)
    if any(" " in key for key in checked):
        raise unavailable("a __prepare__ that returns other names is not available in a task: return names of Python")
    return checked


class _TypeMeta(type):
    """Makes :class:`TypeFacade` behave as ``type`` in calls and checks."""

    __prepare__ = _Prepare()

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is not TypeFacade:
            return type.__call__(cls, *args, **kwargs)
        if len(args) == 1 and not kwargs:
            return class_of(args[0])
        if len(args) != 3:
            raise TypeError("type() takes 1 or 3 arguments")
        return made_class(*args, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        real = _REAL_METACLASSES.get(cls)
        return type.__instancecheck__(cls, instance) if real is None else isinstance(instance, real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        real = _REAL_METACLASSES.get(cls)
        return type.__subclasscheck__(cls, subclass) if real is None else issubclass(subclass, real)

    def __setattr__(cls, name: str, value: object) -> None:
        if cls in _REAL_METACLASSES:
            raise TypeError(f"cannot change attributes of '{cls.__name__}'")
        type.__setattr__(cls, name, value)

    def __delattr__(cls, name: str) -> None:
        if cls in _REAL_METACLASSES:
            raise TypeError(f"cannot change attributes of '{cls.__name__}'")
        type.__delattr__(cls, name)

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__qualname__}'>".replace("builtins.", "")

    def __or__(cls, other: Any) -> Any:
        return type.__or__(cls, other)


class _Maker(type, metaclass=_TypeMeta):
    """What :class:`TypeFacade` inherits from, so that ``super(type, metaclass)`` leads here; nobody gets it itself."""

    def __new__(mcs, name: str, bases: tuple[Any, ...], namespace: dict[str, Any], /, **options: Any) -> Any:
        refuse_metaclasses(bases)
        return _beyond(mcs)(mcs, str.__str__(name), bases, checked_namespace(namespace), **options)


def _beyond(metaclass: type[_Maker]) -> Any:
    """What really makes a class. A function of its own: who is called while a class is made may not ask for super()."""
    return super(_Maker, metaclass).__new__


class TypeFacade(_Maker):
    """``type`` in a task: tells the class of an object, makes classes of checked names, and is inherited from by the
    task's own metaclasses.
    """

    def __class_getitem__(cls, item: object) -> object:
        return cls


class ABCMetaFacade(TypeFacade, abc.ABCMeta):
    """``abc.ABCMeta`` in a task."""


_REAL_METACLASSES: dict[type, type] = {TypeFacade: type, ABCMetaFacade: abc.ABCMeta}
for _facade, _name, _module in ((TypeFacade, "type", "builtins"), (ABCMetaFacade, "ABCMeta", "abc")):
    for _key, _value in {"__name__": _name, "__qualname__": _name, "__module__": _module}.items():
        type.__setattr__(_facade, _key, _value)

#: What the interpreter itself puts into a class body's names.
_BODY = frozenset(
    "__module__ __qualname__ __doc__ __annotations__ __classcell__ __classdictcell__ __firstlineno__ "
    "__static_attributes__ __orig_bases__ __type_params__ __annotate__ __annotate_func__ "
    "__conditional_annotations__ __parameters__ __abstractmethods__".split()
)


def checked_namespace(namespace: dict[str, Any]) -> dict[str, Any]:
    """The names of a class that is made without a class statement, under the rules of one."""
    checked: dict[str, Any] = {}
    for name, value in dict(namespace).items():
        if type(name) is not str:
            raise TypeError(f"names of a class must be exactly str, not '{type(name).__name__}'")
        unguarded = name in rules.HOOKS and not any(is_hook(value) for is_hook in IS_HOOK)
        if unguarded or (rules.is_dunder(name) and name not in _BODY and name not in rules.DEFINABLE):
            raise RefusedAttribute(
                f"the name '{name}' in a class made by a call is not allowed: it belongs to the interpreter. "
                "No setting allows it."
            )
        checked[name] = value
    checked["__module__"] = "__main__"  # libraries take the names of the module that a class says it is from
    return checked


#: What knows a hook of a task's class that has a guard before it. Filled by attributes.py, which imports this module.
IS_HOOK: list[Callable[[object], bool]] = []


def made_class(name: str, bases: tuple[Any, ...], namespace: dict[str, Any], /, **options: Any) -> Any:
    """``type(name, bases, namespace)`` in a task."""
    bases = tuple(bases)
    refuse_metaclasses(bases)
    checked = checked_namespace(namespace)
    return types.new_class(str.__str__(name), bases, options, lambda body: body.update(checked))


class StandInMeta(type):
    """Makes a class that answers for a real one in checks, makes no instances and takes no subclasses."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> StandInMeta:
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


def stand_in(real: type, kind: type[StandInMeta] = StandInMeta) -> type:
    """A class that answers for this one from now on."""
    names = {"__qualname__": real.__qualname__, "__module__": real.__module__, "__doc__": real.__doc__}
    made = STAND_INS[real] = kind(real.__name__, (), names)
    _REAL[made] = real
    return made


for _real in (types.FunctionType, types.CodeType, types.CellType, types.FrameType, types.TracebackType):
    stand_in(_real)


class _SuperMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _super) if cls is Super else type.__instancecheck__(cls, instance)

    def __repr__(cls) -> str:
        return "<class 'super'>" if cls is Super else type.__repr__(cls)


_super = super


class Super(super, metaclass=_SuperMeta):
    """``super`` where it isn't called by that name. Python's own, called without arguments from C (by ``iter(super,
    0)``, which a library asks that it is given to), would speak for the library's method.
    """

    def __init__(self, *args: Any) -> None:
        if not args:
            raise RuntimeError("super(): no arguments")
        _super.__init__(self, *args)


Super.__name__ = Super.__qualname__ = "super"
Super.__module__ = "builtins"
STAND_INS[super] = Super


#: Classes of ours whose objects pass for those of a built-in class in ``type(x)``.
PASSING_FOR: dict[type, type] = {}


def passes_for(real: type, *classes: type) -> None:
    """``type(x)`` of objects of these classes is ``real`` in a task: they are as good as that."""
    PASSING_FOR.update(dict.fromkeys(classes, real))


def class_of(value: object) -> Any:
    """The class of a value; for a class, ``type`` as the task knows it or the task's own metaclass, never another."""
    kind = type(value)
    if issubclass(kind, type):
        return kind if is_own_metaclass(kind) else TypeFacade
    return STAND_INS.get(kind) or PASSING_FOR.get(kind, kind)


def is_own_metaclass(kind: type) -> bool:
    """Whether it is one that checks what classes it makes: ours, or one that the task made of ours."""
    return TypeFacade in kind.__mro__


def refuse_metaclasses(bases: Iterable[Any]) -> None:
    """Raise when a class with these bases would be a metaclass that isn't the task's own. An alias (``Type[int]``)
    stands for its origin.
    """
    for base in bases:
        origin = base if isinstance(base, type) else getattr(base, "__origin__", None)
        if isinstance(origin, type) and issubclass(origin, type) and not (origin is base and is_own_metaclass(base)):
            raise unavailable("this metaclass is not available in a task: inherit from type or abc.ABCMeta")


def checked_metaclass(metaclass: Any) -> Any:
    """What ``metaclass=`` of a class statement stands for: ``type`` itself, ABCMeta, or the task's own."""
    if metaclass is TypeFacade:
        return type
    if isinstance(metaclass, type) and is_own_metaclass(metaclass):
        return metaclass
    raise unavailable("this metaclass is not available in a task: use type, abc.ABCMeta or one that inherits from them")


def makes_classes(value: object) -> bool:
    """Whether it is a library's ``type[…]``: calling it, or inheriting from it, is calling ``type``.

    ``typing.Type`` is made harmless in hardening/gadgets.py.
    """
    if type(value) is not types.GenericAlias:
        return False
    origin = value.__origin__
    return isinstance(origin, type) and issubclass(origin, type)
