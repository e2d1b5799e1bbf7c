"""How commands run what is asynchronous in them: until it is done, or somebody interrupts it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import trio

_T = TypeVar("_T")


def run_interruptibly(work: Callable[..., Awaitable[_T]], *args: Any) -> _T:
    """What :func:`trio.run` does, but Ctrl-C interrupts the main task alone, at a checkpoint.

    It would come up in whichever task happens to run: a server's takes it for an error of its connection, and the
    command goes on without that connection.
    """
    return trio.run(partial(work, *args), restrict_keyboard_interrupt_to_checkpoints=True)
