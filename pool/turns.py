"""Long work between which everything else has its turn."""

from __future__ import annotations

from typing import TypeVar

import trio

from reptarium.pool.protocol.messages import Steps

_T = TypeVar("_T")


class Turnstile:
    """Lets one through at each pass of the event loop, in the order in which they come.

    A step of some milliseconds keeps nobody waiting for long; fifty tasks that each do theirs in the same pass do.
    """

    def __init__(self) -> None:
        self._open = trio.Semaphore(1)

    async def turn(self) -> None:
        """Wait for a pass in which nobody else has had a turn. It is taken until the next await."""
        try:
            self._open.acquire_nowait()
        except trio.WouldBlock:
            await self._open.acquire()
        trio.lowlevel.current_trio_token().run_sync_soon(self._open.release)  # in another task's step, after ours


async def in_turns(steps: Steps[_T], turnstile: Turnstile | None = None) -> _T:
    """Do all steps, with a checkpoint between each two, and return what they come to.

    ``turnstile``: of all that goes through it, one step at each pass of the loop.
    """
    while True:
        if turnstile is not None:
            await turnstile.turn()
        try:
            next(steps)
        except StopIteration as end:
            value: _T = end.value
            return value
        await trio.lowlevel.checkpoint()
