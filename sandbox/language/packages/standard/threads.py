"""Pools of threads: of the size that a task may have where the task says none, and without what only several processes
need.
"""

from __future__ import annotations

import functools
import importlib
import os
import threading
from typing import Any

from reptarium.sandbox.language.packages.package import Package
from reptarium.sandbox.language.policy.stdlib import NO_PROCESSES

_most = 8


def bound_threads(most: int) -> None:
    """So many threads may a task have (``REPTARIUM_MAX_THREADS``): a pool whose size it leaves open is made no larger
    than what is left of them, however many processors there are.
    """
    global _most
    _most = most


def _left(wanted: int, beside: int) -> int:
    """As many of the wanted threads as the task may still start with some beside them, and one at least."""
    return max(1, min(wanted, _most + 1 - threading.active_count() - beside))


class _OneProcess:
    """What a pool of threads needs of a context: a queue that wakes who waits for it, with locks that need no named
    semaphores, which would be files.
    """

    def Lock(self) -> Any:
        return threading.Lock()

    def SimpleQueue(self) -> Any:
        return importlib.import_module("multiprocessing.queues").SimpleQueue(ctx=self)


def _patch_pool(pool: Any) -> None:
    """Make ``multiprocessing.pool.ThreadPool`` do with threads."""

    def __init__(self: Any, processes: Any = None, initializer: Any = None, initargs: Any = ()) -> None:
        if processes is None:
            processes = _left(os.cpu_count() or 1, beside=3)  # which hand tasks and results over
        pool.Pool.__init__(self, processes, initializer, initargs, context=_OneProcess())

    pool.ThreadPool.__init__ = __init__


def _patch_executor(module: Any) -> None:
    executor = module.ThreadPoolExecutor
    init = executor.__init__

    @functools.wraps(init)
    def __init__(self: Any, max_workers: Any = None, *args: Any, **named: Any) -> None:
        init(self, max_workers, *args, **named)
        if max_workers is None:
            self._max_workers = _left(self._max_workers, beside=1)  # which asyncio ends its executor with

    executor.__init__ = __init__


PATCHES = {"multiprocessing.pool": _patch_pool, "concurrent.futures.thread": _patch_executor}
PACKAGES = (
    Package("multiprocessing", patches={"multiprocessing.pool": _patch_pool}),
    Package(
        "concurrent",
        refused={"concurrent.futures": {NO_PROCESSES: "ProcessPoolExecutor"}},
        patches={"concurrent.futures.thread": _patch_executor},
    ),
)
