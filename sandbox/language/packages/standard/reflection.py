"""Modules of the standard library that read attributes by name, or make classes from names."""

from __future__ import annotations

import abc
import enum
import functools
import inspect
import operator
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterable
from types import FrameType, ModuleType
from typing import Any, ClassVar

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.guards.classes import stand_in
from reptarium.sandbox.language.guards.instances import own_names
from reptarium.sandbox.language.hardening.addresses import SimpleNamespace
from reptarium.sandbox.language.hardening.annotations import patch_get_annotations
from reptarium.sandbox.language.hardening.audit import frame_is_users
from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy.names import GETATTR, is_field_name, may_write
from reptarium.sandbox.language.policy.stdlib import TEXT_AS_CODE

# ---- functools ---------------------------------------------------------------------------


_ASSIGNED = ("__name__", "__qualname__", "__doc__")
#: Copied between functions of the task's own. 3.14 has the function that makes the annotations in their place.
_OF_FUNCTIONS = tuple({"__annotations__", "__annotate__", "__type_params__"} & set(functools.WRAPPER_ASSIGNMENTS))
#: Of those that the real one copies these stay behind otherwise, without a word.
_LEFT = frozenset({"__module__", "__annotations__", "__annotate__", "__type_params__"})


def update_wrapper(
    wrapper: Any, wrapped: Any, assigned: Iterable[str] = _ASSIGNED, updated: Iterable[str] = ("__dict__",)
) -> Any:
    """``functools.update_wrapper``; of the attributes that it is told to copy it copies those that a task may set.

    ``__module__`` stays: libraries take the names of the module that a class says it is from.
    """
    target = guards.changed(wrapper)
    for name in assigned:
        if name in _ASSIGNED:
            value = getattr(wrapped, name, None)
            if type(value) is str:
                setattr(target, name, value)
        elif name not in _LEFT and hasattr(wrapped, name):
            guards.guarded_setattr(wrapper, name, guards.guarded_getattr(wrapped, name))
    if any(name != "__dict__" for name in updated):
        raise guards.refused(f"updating from {tuple(updated)!r} is not allowed")
    if "__dict__" in updated and not isinstance(wrapped, (type, ModuleType)):
        for name, value in dict(getattr(wrapped, "__dict__", {})).items():
            if type(name) is str and may_write(name) and not isinstance(value, ModuleType):
                setattr(target, name, value)
    if guards.is_own_function(wrapper) and guards.is_own_function(wrapped):
        wrapper.__wrapped__ = wrapped  # inspect.signature follows it
        for name in _OF_FUNCTIONS:
            if hasattr(wrapped, name):
                setattr(wrapper, name, getattr(wrapped, name))
    return wrapper


def wraps(
    wrapped: Any, assigned: Iterable[str] = _ASSIGNED, updated: Iterable[str] = ("__dict__",)
) -> Callable[[Any], Any]:
    """``functools.wraps``, with :func:`update_wrapper`."""
    return lambda wrapper: update_wrapper(wrapper, wrapped, assigned, updated)


def _registered(cls: Any) -> Any:
    """What arguments' classes are compared with: ``type`` of a class is the real one."""
    return type if cls is guards.TypeFacade else cls


def singledispatch(func: Any) -> Any:
    """``functools.singledispatch`` whose ``dispatch`` takes classes only.

    The real one compares the ``__mro__`` of whatever it is given with every class that there is.
    """
    dispatching = functools.singledispatch(func)
    real = dispatching.dispatch

    def dispatch(cls: type) -> Any:
        if not issubclass(type(cls), type):
            raise TypeError(f"dispatch() takes a class, not '{type(cls).__name__}'")
        return real(_registered(cls))

    register = dispatching.register

    def registering(cls: Any, func: Any = None) -> Any:
        return register(_registered(cls), func)

    dispatching.dispatch = dispatch  # type: ignore[method-assign]
    dispatching.register = registering  # type: ignore[method-assign]
    return dispatching


class singledispatchmethod:
    """``functools.singledispatchmethod`` over our ``singledispatch``."""

    def __init__(self, func: Any) -> None:
        if not callable(func) and not hasattr(func, "__get__"):
            raise TypeError(f"{func!r} is not callable or a descriptor")
        self._dispatcher, self.func = singledispatch(func), func

    def register(self, cls: Any, method: Any = None) -> Any:
        """Another implementation, for the class or for the annotation of its first argument."""
        return self._dispatcher.register(cls, func=method)

    def __get__(self, obj: Any, cls: Any = None) -> Any:
        dispatch = self._dispatcher.dispatch
        register = self.register

        def method(*args: Any, **kwargs: Any) -> Any:
            if not args:
                raise TypeError("a singledispatchmethod requires at least 1 positional argument")
            return dispatch(type(args[0])).__get__(obj, cls)(*args, **kwargs)

        method.register = register  # type: ignore[attr-defined]
        return update_wrapper(method, self.func)


# ---- weakref, enum ------------------------------------------------------------------------


_TELLS_WHOSE = "it tells whose the method is; keep weakref.ref() of the object, and the method's name"


class _OwnMethod(weakref.WeakMethod[Any]):
    """What :class:`WeakMethod` inherits from, so that ``super(WeakMethod, …)`` leads here; nobody gets it itself."""

    __slots__ = ()

    def __new__(cls, meth: Any, callback: Any = None) -> _OwnMethod:
        if type(meth) is types.MethodType and not guards.is_own_function(meth.__func__):
            raise guards.refused("WeakMethod() of a library's method is not allowed", _TELLS_WHOSE)
        return weakref.WeakMethod.__new__(cls, meth, callback)


class WeakMethod(_OwnMethod):
    """``weakref.WeakMethod`` of methods of the task's own: it tells whose they are."""

    __slots__ = ()


guards.STAND_INS.update({weakref.WeakMethod: WeakMethod, _OwnMethod: WeakMethod})


class finalize:
    """``weakref.finalize``, without what all of the process's have in common: the real one's registry shows libraries'.

    What is alive when the task ends isn't called, whatever ``atexit`` says: its process ends at once.
    """

    __slots__ = ("__weakref__", "_call", "_ref", "atexit")
    _ALIVE: ClassVar[set[finalize]] = set()

    def __init__(self, obj: Any, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        self._ref, self._call, self.atexit = weakref.ref(obj, self), (func, args, kwargs), True
        self._ALIVE.add(self)

    def __call__(self, _: Any = None) -> Any:
        """Call the function and give what it returns, the first time."""
        if self._died():
            func, args, kwargs = self._call
            return func(*args, **kwargs)
        return None

    def _died(self) -> bool:
        alive = self in self._ALIVE
        self._ALIVE.discard(self)
        return alive

    @property
    def alive(self) -> bool:
        """Whether it is going to be called."""
        return self in self._ALIVE

    def peek(self) -> Any:
        """The object, the function and its arguments; None once it is dead."""
        obj = self._ref() if self.alive else None
        return None if obj is None else (obj, *self._call)

    def detach(self) -> Any:
        """As :meth:`peek`, and it isn't going to be called."""
        found = self.peek()
        return found if found is not None and self._died() else None


stand_in(enum.EnumMeta)  # for isinstance(); classes it makes by class statements that inherit from enumerations


# ---- inspect -----------------------------------------------------------------------------


def signature(obj: Any, **options: Any) -> inspect.Signature:
    """``inspect.signature``; annotations that are text stay text."""
    if options.get("eval_str"):
        raise RefusedAttribute(
            "signature() with eval_str is not allowed: it runs text as code; use typing.get_type_hints"
        )
    return _told(inspect.signature(obj, follow_wrapped=bool(options.get("follow_wrapped", True))))


def _told(made: inspect.Signature) -> inspect.Signature:
    """The signature, with what a task may have of the defaults and annotations that libraries' functions hold."""
    parameters = []
    for each in made.parameters.values():
        default, annotation = guards.told(each.default, "default"), guards.told(each.annotation, "annotation")
        same = default is each.default and annotation is each.annotation
        parameters.append(each if same else each.replace(default=default, annotation=annotation))
    returned = guards.told(made.return_annotation, "return_annotation")
    if returned is made.return_annotation and all(map(operator.is_, parameters, made.parameters.values())):
        return made
    return made.replace(parameters=parameters, return_annotation=returned)


def getfullargspec(func: Any) -> inspect.FullArgSpec:
    """``inspect.getfullargspec``, under the rules of :func:`signature`."""
    found = inspect.getfullargspec(func)
    defaults = found.defaults and tuple(guards.told(each, "defaults") for each in found.defaults)
    named = found.kwonlydefaults and {name: guards.told(each, name) for name, each in found.kwonlydefaults.items()}
    annotations = {name: guards.told(each, name) for name, each in found.annotations.items()}
    return found._replace(defaults=defaults, kwonlydefaults=named, annotations=annotations)


def _patch_inspect(module: Any) -> None:
    real = module.Signature.from_callable.__func__

    def from_callable(cls: Any, /, obj: Any, **options: Any) -> Any:
        """Constructs Signature for the given callable object."""
        made = real(cls, obj, **options)
        return _told(made) if frame_is_users(sys._getframe(1)) else made

    module.Signature.from_callable = classmethod(from_callable)


def getmembers(object: Any, predicate: Callable[[Any], Any] | None = None) -> list[tuple[str, Any]]:
    """``inspect.getmembers``: the attributes that a task may read."""
    found = []
    for name in guards.guarded_dir(object):
        try:
            value = guards.guarded_getattr(object, name)
        except AttributeError:
            continue
        if predicate is None or predicate(value):
            found.append((name, value))
    return sorted(found, key=lambda pair: pair[0])


def getmro(cls: Any) -> tuple[Any, ...]:
    """``inspect.getmro``, of the task's own classes."""
    found: tuple[Any, ...] = guards.guarded_read(cls, "__mro__")
    return found


# ---- typing ------------------------------------------------------------------------------


def get_origin(tp: Any) -> Any:
    """``typing.get_origin``: the unsubscripted version of a type."""
    return guards.checked_value(typing.get_origin(tp), "origin")


def get_args(tp: Any) -> tuple[Any, ...]:
    """``typing.get_args``: the type arguments of a type."""
    return tuple(guards.checked_value(each, "args") for each in typing.get_args(tp))


def get_type_hints(obj: Any, globalns: Any = None, localns: Any = None, include_extras: bool = False) -> dict[str, Any]:
    """``typing.get_type_hints``: text in annotations is read with the names of the functions that are running."""
    local: dict[str, Any] = {}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if GETATTR in frame.f_builtins:
            local = {**own_names(frame, "get_type_hints"), **local}
        frame = frame.f_back
    hints = typing.get_type_hints(obj, None, {**local, **(localns or {})}, include_extras=include_extras)
    return {name: guards.checked_value(hint, name) for name, hint in hints.items()}


# ---- dataclasses -------------------------------------------------------------------------


def _make_dataclass(real: Callable[..., Any]) -> Callable[..., Any]:
    parameters = inspect.signature(real).parameters

    def make_dataclass(cls_name: str, fields: Any, *, bases: tuple[type, ...] = (), **options: Any) -> Any:
        """``dataclasses.make_dataclass``; the names of a namespace of one's own are checked as those of ``type()``."""
        if "module" in options or "decorator" in options:
            raise RefusedAttribute(
                "make_dataclass() with a module or a decorator is not allowed: write a class statement"
            )
        checked = []
        for item in fields:
            parts = (item,) if isinstance(item, str) else tuple(item)
            if not is_field_name(parts[0]):
                raise RefusedAttribute(
                    f"{parts[0]!r} is not allowed as a field's name: it isn't a plain name of your own"
                )
            checked.append(parts[0] if len(parts) == 1 else parts)
        bases = tuple(bases)
        guards.refuse_metaclasses(bases)
        # without it the class would be ours, or types': its functions would have that module's names
        place: dict[str, Any] = {"namespace": guards.checked_namespace(options.pop("namespace", None) or {})}
        if "module" in parameters:
            place["module"] = "__main__"
        return real(str(cls_name), checked, bases=bases, **place, **options)

    return make_dataclass


PACKAGES = (
    Package("abc", everywhere=((abc.ABCMeta, guards.ABCMetaFacade),)),
    Package("weakref", replaced={"weakref": {"WeakMethod": WeakMethod, "finalize": finalize}}),
    Package("types", everywhere=((types.SimpleNamespace, SimpleNamespace),)),
    Package(
        "functools",  # contextlib and others carry these too
        everywhere=(
            (functools.wraps, wraps),
            (functools.update_wrapper, update_wrapper),
            (functools.singledispatch, singledispatch),
            (functools.singledispatchmethod, singledispatchmethod),
        ),
    ),
    Package(
        "typing_extensions",
        withheld={"typing_extensions": {f"{TEXT_AS_CODE}; use get_type_hints": "evaluate_forward_ref"}},  # as of typing
        patches={"typing_extensions": patch_get_annotations},
    ),
    Package(
        "inspect",
        replaced={"inspect": {each.__name__: each for each in (signature, getfullargspec, getmembers, getmro)}},
        patches={"inspect": _patch_inspect},
    ),
    Package(
        "typing",
        everywhere=(
            (typing.get_origin, get_origin),
            (typing.get_args, get_args),
            (typing.get_type_hints, get_type_hints),
        ),
    ),
    Package("dataclasses", made={"dataclasses": lambda real: {"make_dataclass": _make_dataclass(real.make_dataclass)}}),
)
