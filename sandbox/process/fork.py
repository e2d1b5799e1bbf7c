"""fork(2) for a process that has one thread.

``os.fork`` repairs in the child what the threads left behind that a fork doesn't copy: it makes the locks
of :mod:`threading` and :mod:`logging` anew, seeds :mod:`random`, and tells everybody who has asked. A zygote has
one thread, and none of those locks is held while it forks; but each of these visits touches pages
that the child must then copy (measured: 190 of 240 page faults, 0.4 ms of a worker's start). So the C
library's fork is called directly, with the interpreter's lock held and nobody told.

Nobody but the standard library, that is: when an imported package has registered with
``os.register_at_fork``, or has started a thread, forks are CPython's own.

The child sees to its seeds (``worker.py``).
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from typing import Any

#: Who registers in the standard library, for the sake of other threads; ``random`` is seeded by the worker,
#: ``asyncio.events`` forgets a running loop (the zygote has none).
_KNOWN = frozenset({"threading", "logging", "random", "asyncio.events", "concurrent.futures.thread"})

# PyDLL: without giving up the interpreter's lock, which the child could not take back
_fork: Any = ctypes.PyDLL(None, use_errno=True).fork
_fork.restype = ctypes.c_int
_fork.argtypes = ()

_register = os.register_at_fork
_others: list[str] = []


def _noting(**hooks: Any) -> None:
    name = sys._getframe(1).f_globals.get("__name__", "?")
    if name not in _KNOWN:
        _others.append(name)
    _register(**hooks)


def watch() -> None:
    """From here on, notice who registers with ``os.register_at_fork``. Call it before foreign modules are imported."""
    os.register_at_fork = _noting


def settle() -> tuple[str, ...]:
    """All is imported. Returns who must be told of forks: modules that have registered, and threading for a thread."""
    os.register_at_fork = _register
    if threading.active_count() > 1:
        _others.append("threading")
    return tuple(_others)


def fork() -> int:
    """fork(2): 0 in the child, its pid in the parent. Raises OSError. For processes with one thread only."""
    if _others:
        return os.fork()
    pid: int = _fork()
    if pid < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "fork")
    return pid
