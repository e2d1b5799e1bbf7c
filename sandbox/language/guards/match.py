"""Class patterns with positions, or with names that need a look: they read attributes, some that the class names.

A pattern's class is looked at before the match statement runs, and the interpreter asks it again when the pattern is
tried: what is asked twice can answer twice (a descriptor, a metaclass, a decorator that is called in between). So the
pattern gets a class of ours in its place, which answers ``isinstance`` as the real one does, and whose
``__match_args__`` are the names that were looked at. Names that need a look (``type``, ``obj``) it looks at when it is
asked: there the object is at hand.
"""

from __future__ import annotations

import abc
import builtins
import typing
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any
from weakref import ref

from reptarium.sandbox.language.guards.checks import beneath, checked_value, is_hook, refused
from reptarium.sandbox.language.guards.own import is_own_class
from reptarium.sandbox.language.policy import RefusedAttribute
from reptarium.sandbox.language.policy import names as rules

_NOTHING: Any = object()
_HEAP_TYPE, _IMMUTABLE = 1 << 9, 1 << 8  # Py_TPFLAGS_HEAPTYPE, Py_TPFLAGS_IMMUTABLETYPE
_MATCH_SELF = 1 << 22  # _Py_TPFLAGS_MATCH_SELF: one position is the whole object
#: Asked of Python itself: a metaclass of the task's could answer for these.
_names_of = type.__dict__["__dict__"].__get__
_line_of = type.__dict__["__mro__"].__get__
_flags_of = type.__dict__["__flags__"].__get__
_name_of = type.__dict__["__name__"].__get__


class _Answers(type):
    """What classes of patterns are made of."""

    def __instancecheck__(cls, instance: Any) -> bool:
        made = _names_of(cls)
        if isinstance(instance, made[_REAL]()):
            for name in made[_LOOKED_AT]:
                _look_at(instance, name)
            return True
        return False


#: Names in a pattern's class, which nobody gets: what refers to the task's, the names that need a look at the object.
_REAL, _LOOKED_AT = "guard real", "guard looked at"
#: By the id of the task's class, whatever it says that it is equal to: what refers to it, what the pattern's was made
#: for, and that.
_made: dict[int, tuple[ref[type], tuple[Any, ...], type]] = {}


#: Names of patterns that were met, and need no look.
_plain: set[str] = set()


def match_class(cls: Any, keywords: tuple[str, ...] = (), *, positions: bool = True) -> Any:
    """What stands for the class of a pattern, once the attributes that it would read are known to be harmless.

    ``keywords`` are those that the pattern names itself; with ``positions`` those that the class names too.
    """
    if type(cls) is type and positions and not keywords:
        # what most are: a class that has its own, of plain names. Nothing sets it anew, or comes before it
        names = _names_of(cls).get("__match_args__")
        if type(names) is tuple and all(type(name) is str and name in _plain for name in names):
            return cls
    if not issubclass(type(cls), type):
        return cls  # Python says what is wrong
    names = _match_args(cls) if positions else ()
    key = (names, keywords)
    made = _made.get(id(cls))
    if made is not None and made[0]() is cls and made[1] == key:
        return made[2]
    looked_at = []
    for name in (*(names or ()), *keywords):
        if type(name) is not str or not rules.may_read(name) or (rules.is_dunder(name) and not rules.is_plain(name)):
            raise _refusal(name)
        if rules.is_plain(name):
            _plain.add(name)
        else:
            looked_at.append(name)
    flags = _flags_of(cls)
    if not looked_at and (not flags & _HEAP_TYPE or flags & _IMMUTABLE):
        return cls  # nobody changes it
    # a subclass of what Python takes whole (int, str …) is taken whole, too, if it names nothing
    whole = [each for each in _line_of(cls) if _flags_of(each) & (_MATCH_SELF | _HEAP_TYPE) == _MATCH_SELF]
    bases = tuple(whole[:1]) if names is None else ()
    body = {} if names is None else {"__match_args__": names}
    number = id(cls)
    real = ref(cls, lambda _: _made.pop(number, None))
    stand_in = _Answers(_name_of(cls), bases, {**body, _REAL: real, _LOOKED_AT: tuple(looked_at)})
    _made[number] = real, key, stand_in
    return stand_in


def _match_args(cls: type) -> tuple[Any, ...] | None:
    """The names that a class gives positions, as they stand in it; None: it gives none. Raises RefusedAttribute where
    they are computed.
    """
    for each in _line_of(type(cls)):
        own = _names_of(each)
        if type(own.get("__match_args__")) in (GetSetDescriptorType, MemberDescriptorType):  # msgspec's, in C
            found = own["__match_args__"].__get__(cls)
            return found if type(found) is tuple else None
        if "__match_args__" in own or is_hook(own.get("__getattribute__")) or is_hook(own.get("__getattr__")):
            raise refused("this class pattern is not allowed", "its __match_args__ is its metaclass's to tell")
    told = (_names_of(each)["__match_args__"] for each in _line_of(cls) if "__match_args__" in _names_of(each))
    found = next(told, None)
    if found is not None and type(found) is not tuple:
        raise refused("this class pattern is not allowed", "its __match_args__ is not a tuple")
    return found


def _refusal(name: object) -> RefusedAttribute:
    return refused("this class pattern is not allowed", f"it would read the attribute {name!r}")


def _look_at(instance: Any, name: str) -> None:
    """Raise where the object may have something else than data under a name where libraries keep modules or
    ``format``.
    """
    line = _line_of(type(instance))
    if all(each in _BARE or is_own_class(each) for each in line):
        return  # a class of the task's own: what it holds the task has put there
    held = beneath(instance, "__dict__", None)
    value = held.get(name, _NOTHING) if type(held) is dict else _NOTHING
    first = next((each for each in line if name in _names_of(each)), None)
    if first is not None and is_own_class(first) and type(_names_of(first)[name]) is MemberDescriptorType:
        value, first = _names_of(first)[name].__get__(instance), None  # a slot
    # an object's own, which nothing in its class comes before; what numpy and errors have by such a name is theirs
    if value is _NOTHING or name in _THEIRS or first is not None:
        raise _refusal(name)
    if checked_value(value, name) is not value:
        raise _refusal(name)


_THEIRS = frozenset({"obj", "dump", "ctypes", "cffi"})
#: Classes that put nothing of their own into instances under a guarded name.
_BARE = {object, tuple, list, dict, set, typing.Generic, typing.Protocol, abc.ABC} | {
    value
    for value in vars(builtins).values()
    if isinstance(value, type) and issubclass(value, BaseException) and not hasattr(value, "obj")
}
