"""Pools of threads that ``multiprocessing`` has: they ask for what only several processes need."""

from __future__ import annotations

import importlib
import threading
from typing import Any

from reptarium.sandbox.language.packages.package import Package


class _OneProcess:
    """What a pool of threads needs of a context: a queue that wakes who waits for it, with locks that need no named
    semaphores, which would be files.
    """

    def Lock(self) -> Any:
        return threading.Lock()

    def SimpleQueue(self) -> Any:
        return importlib.import_module("multiprocessing.queues").SimpleQueue(ctx=self)


def patch_pool(pool: Any) -> None:
    """Make ``multiprocessing.pool.ThreadPool`` do with threads."""

    def __init__(self: Any, processes: Any = None, initializer: Any = None, initargs: Any = ()) -> None:
        pool.Pool.__init__(self, processes, initializer, initargs, context=_OneProcess())

    pool.ThreadPool.__init__ = __init__


PATCHES = {"multiprocessing.pool": patch_pool}
PACKAGE = Package("multiprocessing", patches=PATCHES)
