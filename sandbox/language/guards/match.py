"""Class patterns with positions, or with names that need a look: they read attributes, some that the class names.

A pattern's class is looked at before the match statement runs, and the interpreter asks it again when the pattern is
tried: what is asked twice can answer twice (a descriptor, a metaclass, a decorator that is called in between). So the
pattern gets a class of ours in its place, which answers ``isinstance`` as the real one does, and whose
``__match_args__`` are the names that were looked at. Names that need a look (``type``, ``obj``) it looks at when it is
asked: there the object is at hand.

A class whose names are plain, are its own, and that nothing sets anew (``class`` makes it, no metaclass of the task's)
stands for itself. What stands for a pattern's class does so for good: the compiled program remembers it, and asks for
another class alone (``compile/patterns.py``).
"""

from __future__ import annotations

import abc
import builtins
import typing
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any
from weakref import ref

from reptarium.sandbox.language.guards.checks import beneath, checked_value, is_hook, is_own_class, refused
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


def _answering(real: ref[type], looked_at: tuple[str, ...]) -> type[type]:
    """What the class of a pattern is made of: it answers as ``real`` does, and looks at the object first, where that
    may have something else than data under one of these names.
    """
    sure: dict[int, type] = {}  # by id: classes whose objects are all of this one, and need no look

    class Answering(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            kind = type(instance)
            return id(kind) in sure or ask(kind, instance)

    def ask(kind: type, instance: Any) -> bool:
        asked: Any = real()
        if not isinstance(instance, asked):
            return False
        line = _line_of(kind)
        if not looked_at or all(each in _BARE or is_own_class(each) for each in line):
            # what it holds the task has put there. (A metaclass, and ABCMeta's hook, may answer otherwise another time)
            if kind is asked or (type(asked) is type and any(each is asked for each in line)):
                sure[id(kind)] = kind
        else:
            for name in looked_at:
                _look_at(instance, name)
        return True

    return Answering


#: By the id of the task's class, whatever it says that it is equal to: what refers to it, and what its patterns got, by
#: what they ask for. Names that a decorator gives it later are no pattern's that has been tried before.
_made: dict[int, tuple[ref[type], dict[tuple[tuple[str, ...], bool], type]]] = {}
_MADE = 1_000


#: Names of patterns that were met, and need no look.
_plain: set[str] = set()
#: Metaclasses that neither answer for ``__match_args__`` nor let anybody set it.
_HONEST = (type, abc.ABCMeta)


def match_class(cls: Any, keywords: tuple[str, ...], positions: bool) -> tuple[Any, Any]:
    """The class of a pattern and what stands for it, once the attributes that it would read are known to be harmless.

    ``keywords`` are those that the pattern names itself; with ``positions`` those that the class names too.
    """
    return cls, _stand_in(cls, keywords, positions)


def _stand_in(cls: Any, keywords: tuple[str, ...], positions: bool) -> Any:
    made = _made.get(id(cls))
    if made is not None and made[0]() is cls:
        known = made[1].get((keywords, positions))
        if known is not None:
            return known
    else:
        made = None
    if not issubclass(type(cls), type):
        return cls  # Python says what is wrong
    names = _match_args(cls) if positions else ()
    looked_at = []
    for name in (*(names or ()), *keywords):
        if type(name) is str and name in _plain:
            continue
        if type(name) is not str or not rules.may_read(name) or (rules.is_dunder(name) and not rules.is_plain(name)):
            raise _refusal(name)
        if rules.is_plain(name):
            _plain.add(name)
        else:
            looked_at.append(name)
    if not looked_at and _stands_for_itself(cls, names):
        return cls
    # a subclass of what Python takes whole (int, str …) is taken whole, too, if it names nothing
    whole = [each for each in _line_of(cls) if _flags_of(each) & (_MATCH_SELF | _HEAP_TYPE) == _MATCH_SELF]
    bases = tuple(whole[:1]) if names is None else ()
    body = {} if names is None else {"__match_args__": names}
    if made is None:
        if len(_made) > _MADE:
            _made.clear()
        made = _made[id(cls)] = ref(cls), {}
    stand_in = _answering(made[0], tuple(looked_at))(_name_of(cls), bases, body)
    made[1][keywords, positions] = stand_in
    return stand_in


def _stands_for_itself(cls: type, names: tuple[Any, ...] | None) -> bool:
    """Whether the interpreter will find these names in the class, whenever it asks."""
    flags = _flags_of(cls)
    if not flags & _HEAP_TYPE or flags & _IMMUTABLE:
        return True  # nobody changes it
    if names is None or type(cls) not in _HONEST:
        return False
    if "__match_args__" not in _names_of(cls):
        if not is_own_class(cls):
            return False
        # inherited: a decorator could still give it some of its own, and leaves those that it has
        type.__setattr__(cls, "__match_args__", names)
    return True


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
