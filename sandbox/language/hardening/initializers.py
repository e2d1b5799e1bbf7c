"""Objects that Python lets anyone make anew: ``property.__init__`` of a library's property exchanges what it calls, and
so it is with class methods, static methods and the names of modules. That would be a way round ``sealing.py``: the
class stays as it is, and what it carries is another's.

Their classes' ``__init__`` makes an object once. It is exchanged in the class's own dict, for which Python has no
interface: who makes an object (``property(f)``) doesn't go by way of it, so that it costs nothing.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from reptarium.sandbox.language.guards import is_facade, refuse_carried, refused
from reptarium.sandbox.language.hardening.addresses import absent_addresses
from reptarium.sandbox.language.hardening.audit import watching
from reptarium.sandbox.language.hardening.sealing import DESCRIPTORS


def _has_functions(value: Any) -> bool:
    return any(getattr(property, name).__get__(value) is not None for name in ("fget", "fset", "fdel"))


def _wraps(cls: Any) -> Callable[[Any], bool]:
    return lambda value: vars(cls)["__func__"].__get__(value) is not None


#: Class → whether an object is made already.
_MADE: dict[type, Callable[[Any], bool]] = {
    property: _has_functions,
    classmethod: _wraps(classmethod),
    staticmethod: _wraps(staticmethod),
    ModuleType: is_facade,
}


def _once(cls: Any, is_made: Callable[[Any], bool]) -> Callable[..., None]:
    real = cls.__init__

    def __init__(self: Any, /, *args: Any, **options: Any) -> None:
        if isinstance(self, cls) and is_made(self) and watching():
            raise refused(f"making a {cls.__name__} anew is not allowed", "others use it; make another one")
        real(self, *args, **options)

    return __init__


def _change(cls: type, names: dict[str, Any]) -> None:
    """Set names of a class that Python itself lets nobody change. Raises RuntimeError where they aren't as we know
    them.
    """
    found = gc.get_referents(vars(cls))
    if len(found) != 1 or type(found[0]) is not dict or found[0] != dict(vars(cls)):
        raise RuntimeError(f"the names of {cls.__name__} aren't where they are looked for")
    found[0].update(names)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(cls))


def _unless_carried(real: Callable[..., None]) -> Callable[..., None]:
    def change(self: Any, name: str, *value: Any) -> None:
        if watching():
            refuse_carried(self, name)
        real(self, name, *value)

    return change


def patch_initializers() -> None:
    """For the process, once. Raises RuntimeError where classes aren't as we know them."""
    for cls, is_made in _MADE.items():
        _change(cls, {"__init__": _once(cls, is_made)})
    for descriptor in DESCRIPTORS:
        for name in ("__setattr__", "__delattr__"):
            setattr(descriptor, name, _unless_carried(getattr(descriptor, name)))
    # tasks make none themselves, but some functions return one (time.get_clock_info)
    _change(SimpleNamespace, absent_addresses())
