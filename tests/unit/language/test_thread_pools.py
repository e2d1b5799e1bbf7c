"""Pools of threads whose size a task leaves open: however many processors there are, they are of the size that it may
have.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as executors
from multiprocessing import pool as pools

import pytest

from reptarium.sandbox.language.packages.standard import threads


@pytest.fixture(autouse=True)
def of_a_task(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both kinds as a task has them, on a machine with many processors; one thread is there."""
    for made in (ThreadPoolExecutor, pools.ThreadPool):
        monkeypatch.setattr(made, "__init__", made.__init__)
    for name in ("cpu_count", "process_cpu_count"):
        monkeypatch.setattr(os, name, lambda: 64, raising=False)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    for name, patch in threads.PATCHES.items():
        patch({"multiprocessing.pool": pools, "concurrent.futures.thread": executors}[name])
    yield
    threads.bound_threads(8)


@pytest.mark.parametrize(("most", "executor", "pool"), [(1, 1, 1), (8, 7, 5), (4096, 32, 64)])
def test_a_size_that_is_left_open(most: int, executor: int, pool: int) -> None:
    """They and what manages them fit into the task's limit; a higher one than Python's own size changes nothing."""
    threads.bound_threads(most)
    with ThreadPoolExecutor() as one:
        assert one._max_workers == executor
    with pools.ThreadPool() as other:
        assert len(other._pool) == pool  # type: ignore[attr-defined]


def test_threads_that_there_are_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task has started before is not to be had again."""
    monkeypatch.setattr(threading, "active_count", lambda: 6)
    with ThreadPoolExecutor(thread_name_prefix="mine") as one:
        assert (one._max_workers, one._thread_name_prefix) == (2, "mine")


def test_a_size_that_is_said() -> None:
    """It is what it is: too many threads end the task, which is told of the setting."""
    with ThreadPoolExecutor(20) as one:
        assert one._max_workers == 20
