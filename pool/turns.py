"""Long work between which everything else has its turn."""

from __future__ import annotations

from typing import TypeVar

import trio

from reptarium.pool.protocol.messages import Steps

_T = TypeVar("_T")


async def in_turns(steps: Steps[_T]) -> _T:
    """Do all steps, with a checkpoint between each two, and return what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: _T = end.value
            return value
        await trio.lowlevel.checkpoint()
