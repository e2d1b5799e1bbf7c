"""Pools of threads that are as large as the program says: larger than what a task may have, they fail."""

from __future__ import annotations

import ast

from reptarium.sandbox.judge.constants import Constants

#: Nobody means more.
_MOST = 1 << 20
#: What makes one → the keyword of its size, which is its first argument too.
_POOLS = {
    "concurrent.futures.ThreadPoolExecutor": "max_workers",
    "concurrent.futures.thread.ThreadPoolExecutor": "max_workers",
    "multiprocessing.pool.ThreadPool": "processes",
}


def threads_of(name: str, call: ast.Call, constants: Constants) -> tuple[int, int]:
    """Threads of the pool that a call makes, where a number stands there, and its line; twice 0 otherwise."""
    keyword = _POOLS.get(name)
    if keyword is None:
        return 0, 0
    given = [one.value for one in call.keywords if one.arg == keyword] or call.args[:1]
    value = constants.value(given[0]) if given else None
    number = value.value if isinstance(value, ast.Constant) else 0
    return (min(number, _MOST), call.lineno) if type(number) is int and number > 0 else (0, 0)
