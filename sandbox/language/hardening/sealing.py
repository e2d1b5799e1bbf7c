"""Library classes that no task can change.

Whoever may replace a method of a library's class is called by the library, with what the library hands
around inside: the globals of modules, frames, code. No name shows that (``Reference._evaluate = grab`` is an
ordinary attribute store), and a check at each store would cost hot loops a third of their speed. So the
zygote sets, in every class there is, the flag that makes CPython refuse changes: what
``Py_TPFLAGS_IMMUTABLETYPE`` does for ``int`` (PEP 630, C API "Type Objects"). A store on a class then ends in
CPython's own TypeError, through ``setattr``, ``type.__setattr__`` and ``del`` too, and costs nothing.

The flag has no Python interface: it is set in memory. Where the flags lie is found out and checked at run time,
against ``cls.__flags__``; an interpreter whose classes look different is left as it is, and said so.

Imports may still extend other packages' classes: they are opened while a module is imported for the first time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE

#: Modules, and one class, that keep state on their own classes while they work: YAML's tables of tags, dateutil's
#: singletons, pytz's lists that fill when asked, difflib's counter of tables, the flags of weakref.finalize (urllib3
#: uses it). With them the task's own classes, when an import comes in its middle: user code has no way to change a
#: class's ``__module__``.
_UNSEALED = frozenset(
    {"__main__", "dateutil", "difflib", "phonenumbers.unicode_util", "pytz.lazy", "weakref.finalize", "yaml"}
)


class _Sealed:
    """What is sealed in this process. An instance, since it changes after classes are sealed."""

    def __init__(self) -> None:
        self.active = False
        self.flags: dict[int, ctypes.c_ulong] = {}
        self.classes: list[type] = []  # addresses stay theirs


_sealed = _Sealed()


def seal() -> bool:
    """Seal every class of this process, for good. False where the interpreter's classes aren't as we know them."""
    offset = _offset()
    if offset is None:
        return False
    _sealed.active = True
    for cls in _classes():
        if id(cls) in _sealed.flags or not cls.__flags__ & _HEAP_TYPE or cls.__flags__ & _IMMUTABLE:
            continue
        module = str(cls.__module__)
        if not _UNSEALED.isdisjoint((module, module.partition(".")[0], f"{module}.{cls.__qualname__}")):
            continue
        _sealed.classes.append(cls)
        _sealed.flags[id(cls)] = ctypes.c_ulong.from_address(id(cls) + offset)
    _set(closed=True)
    return True


class opened:
    """Classes can be changed while a module is imported for the first time; what it brings is sealed at the end.

    ``unless`` it is known that nothing will be imported.
    """

    def __init__(self, *, unless: bool = False) -> None:
        self._needed = _sealed.active and not unless

    def __enter__(self) -> None:
        if self._needed:
            _set(closed=False)

    def __exit__(self, *_: object) -> None:
        if self._needed:
            seal()


def _set(*, closed: bool) -> None:
    for flags in _sealed.flags.values():
        flags.value = flags.value | _IMMUTABLE if closed else flags.value & ~_IMMUTABLE


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
