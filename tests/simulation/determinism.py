"""One seed, one history: the scheduler of trio, the module ``random``, and time.

The one file that uses private parts of trio (0.27 to 0.35). trio shuffles the tasks that can go on, on purpose, with a
random number generator of its own (``trio._core._run._r``), so that nobody relies on an order. What it shuffles is a
set, whose order is that of memory addresses: with ``_ALLOW_DETERMINISTIC_SCHEDULING`` it is put into the order in
which the tasks were made before it is shuffled. trio has that switch for its users' property tests (its plugin of
Hypothesis sets the same two), but no public name for it. The shuffling stays: each seed tries another order.

Time is trio's public ``MockClock``: it stands still while anything can go on, and then jumps to the next deadline.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import trio
import trio.testing
from trio._core import _run

_T = TypeVar("_T")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    switch, state, ours = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate(), random.getstate()
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r.seed(seed)
    random.seed(seed)  # trio-websocket's pings
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = switch  # type: ignore[misc]
        _run._r.setstate(state)
        random.setstate(ours)


def run(seed: int, main: Callable[[trio.testing.MockClock], Awaitable[_T]], *instruments: trio.abc.Instrument) -> _T:
    """What ``main`` returns, run to its end in imaginary time, in the order that ``seed`` says."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    with _seeded(seed):
        return trio.run(main, clock, clock=clock, instruments=instruments)
