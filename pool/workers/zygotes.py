"""One zygote after the other, with backoff, for as long as the pool lives."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog
import trio

from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.refusal import PoolRefused
from reptarium.pool.workers.brood import ZygoteEnded

__all__ = ["BACKOFF_FIRST", "BACKOFF_LAST", "FIRST_STARTS", "HEALTHY", "one_after_the_other"]

log = structlog.get_logger("reptarium.pool.workers.zygotes")

BACKOFF_FIRST, BACKOFF_LAST = 0.1, 5.0
#: A first zygote that is killed while it starts (not one that ends by itself) is tried so many times in all.
FIRST_STARTS = 3
#: A zygote that lived this long (seconds) is started anew without a wait.
HEALTHY = 3.0


async def one_after_the_other(
    live: Callable[[], Awaitable[Exception]], started: Callable[[], bool], meter: Metrics, faults: OwnFaults
) -> NoReturn:
    """``live``: the life of one; it returns why no more workers are to be had of it. ``started``: whether one has been
    ready. Raises :class:`PoolRefused` when none can be had.
    """
    backoff = BACKOFF_FIRST
    for attempt in itertools.count(1):
        born = trio.current_time()
        problem = await live()
        lived = trio.current_time() - born
        if lived >= HEALTHY:
            backoff = BACKOFF_FIRST
        killed = isinstance(problem, ZygoteEnded) and problem.killed
        if not (started() or (killed and attempt < FIRST_STARTS)):
            raise PoolRefused(str(problem)) from problem
        meter.zygote_replaced()
        event = "no zygote; starting another"
        said = {"reason": str(problem) or type(problem).__name__, "lived_s": round(lived, 1), "wait_s": backoff}
        if isinstance(problem, ZygoteEnded):
            log.error(event, **said)
        else:
            faults.met(problem, "zygote", event, **said)
        await trio.sleep(backoff)
        backoff = min(backoff * 2, BACKOFF_LAST)
    raise AssertionError("without end")
