"""Ctrl-C ends a command, wherever in its tasks it strikes."""

from __future__ import annotations

import signal

import pytest
import trio

from reptarium.pool.cli.interruptible import run_interruptibly
from reptarium.pool.cli.status import contained
from tests.limits import within


async def _struck() -> None:
    """As a server's task that takes whatever comes up in it for an error of its connection."""
    try:
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()
    except KeyboardInterrupt:
        pass


def test_ctrl_c_that_strikes_a_task_which_meets_everything_ends_the_command() -> None:
    """A server's task swallowed it, and the command went on with one connection less."""

    async def work() -> str:
        with trio.move_on_after(within(5)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_struck)
                await trio.sleep_forever()
        return "went on"

    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:
        run_interruptibly(work)
    assert contained(caught.value, KeyboardInterrupt) is not None


def test_what_the_work_returns_is_returned() -> None:
    """And it gets what is meant for it."""

    async def work(one: int, other: int) -> int:
        return one + other

    assert run_interruptibly(work, 1, 2) == 3
