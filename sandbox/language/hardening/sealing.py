"""Classes of the standard library, and our own, that no task can change.

Whoever may replace a method of the standard library's class is called by everything, with what it hands around inside:
the globals of modules, frames, code. No name shows that (``ForwardRef._evaluate = grab`` is an ordinary attribute
store), and a check at each store would cost hot loops a third of their speed. So the zygote sets, in those classes, the
flag that makes CPython refuse changes: what ``Py_TPFLAGS_IMMUTABLETYPE`` does for ``int`` (PEP 630, C API "Type
Objects"). A store on such a class then ends in CPython's own TypeError, through ``setattr``, ``type.__setattr__`` and
``del`` too, and costs nothing.

Classes of packages are left as they are: packages keep state on them, give instances another class, take settings there
(``DetectorFactory.seed = 0``), and what they hand around is held by the kernel layer.

The flag has no Python interface: it is set in memory, once in a class's life, and never taken back. Where the flags lie
is found out and checked at run time, against ``cls.__flags__``; an interpreter whose classes look different is left as
it is, and said so.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import types
from collections.abc import Iterable, Iterator
from types import ModuleType

from reptarium.sandbox.language.guards import CARRIED

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE

#: Whose classes are sealed besides the standard library's.
_OURS = frozenset({"reptarium", "RestrictedPython", "msgspec"})

#: Modules, and some classes, that keep state on their own classes while they work: difflib's counter of tables, the
#: flags of weakref.finalize (urllib3 uses it), patterns that string.Template makes when asked (since Python 3.14),
#: what asyncio and multiprocessing learn about the machine; views, which change their class. And the task's own.
_UNSEALED = frozenset(
    {
        "__main__",
        "difflib",
        "weakref.finalize",
        "string.Template",
        "asyncio",
        "multiprocessing",
        "reptarium.sandbox.userspace.views",
    }
)


#: Descriptors in Python, whose own attributes say what they call.
DESCRIPTORS = (types.DynamicClassAttribute, functools.cached_property, functools.partialmethod)


class _Sealed:
    """What is sealed in this process. An instance, since it changes after classes are sealed."""

    def __init__(self) -> None:
        self.offset: int | None = None


_sealed = _Sealed()


def seal() -> bool:
    """Seal every class of the standard library and of ours that this process has, for good. False where the
    interpreter's classes aren't as we know them.
    """
    _sealed.offset = _offset()
    if _sealed.offset is None:
        return False
    _seal(_classes())
    return True


def seal_module(module: ModuleType) -> None:
    """Once :func:`seal` was called: seal what a module has brought, if it is of the standard library."""
    if _sealed.offset is not None and module.__name__.partition(".")[0] in sys.stdlib_module_names:
        _seal(_brought(module))


def _brought(module: ModuleType) -> Iterator[type]:
    """The classes in a module's namespace, and in those classes'."""
    for cls in [value for value in vars(module).values() if isinstance(value, type)]:
        yield cls
        yield from [value for value in vars(cls).values() if isinstance(value, type)]


def _seal(classes: Iterable[type]) -> None:
    assert _sealed.offset is not None
    for cls in classes:
        if not cls.__flags__ & _HEAP_TYPE or cls.__flags__ & _IMMUTABLE:
            continue
        module = str(cls.__module__)
        top = module.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in _OURS:
            continue
        if _UNSEALED.isdisjoint((module, top, f"{module}.{cls.__qualname__}")):
            CARRIED.update(id(value) for value in vars(cls).values() if isinstance(value, DESCRIPTORS))
            flags = ctypes.c_ulong.from_address(id(cls) + _sealed.offset)
            flags.value |= _IMMUTABLE


def _classes() -> Iterator[type]:
    seen: set[int] = set()
    waiting: list[type] = [object]
    while waiting:
        cls = waiting.pop()
        if id(cls) not in seen:
            seen.add(id(cls))
            yield cls
            waiting += type.__subclasses__(cls)


def _offset() -> int | None:
    """Where a class keeps its flags, in bytes from its address; None unless exactly one place fits."""

    class Plain:
        pass

    class Child(Plain):
        __slots__ = ()

    probes: list[type] = [int, str, list, dict, tuple, type, BaseException, Plain, Child, memoryview]
    size = int(type.__dict__["__basicsize__"].__get__(type))
    word = ctypes.sizeof(ctypes.c_ulong)
    found = [
        offset
        for offset in range(0, size - word, word)
        if all(ctypes.c_ulong.from_address(id(cls) + offset).value == cls.__flags__ for cls in probes)
    ]
    return found[0] if len(found) == 1 else None
