"""A runner or a broker that does what signals mean to it (``signals.py``)."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
import trio

from reptarium.pool.cli.signals import MEANINGLESS, heard, let_come, name

log = structlog.get_logger("reptarium.pool.cli.obeying")


class Served(Protocol):
    """What signals end."""

    @property
    def stopping(self) -> bool:
        """Whether it is ending."""

    def shutdown(self) -> None:
        """End in order."""


async def obey(
    served: Served,
    reload: Callable[[], Awaitable[None]] | None = None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen, until cancelled. ``reload``: what SIGHUP is for, where it isn't an end.

    Raises KeyboardInterrupt at the second signal that ends.
    """
    async with trio.open_nursery() as reloads:
        with trio.open_signal_receiver(*heard()) as signals, let_come():
            task_status.started()
            async for number in signals:
                if number in MEANINGLESS:
                    log.warning("a signal that means nothing here", signal=name(number))
                elif number == signal.SIGHUP and reload is not None:
                    reloads.start_soon(reload)  # a file that can't be read in time holds up no other
                elif served.stopping and number == signal.SIGXCPU:
                    pass  # it comes again with each second
                elif served.stopping:
                    log.warning("second signal: ending at once")
                    raise KeyboardInterrupt
                else:
                    log.info("shutting down", signal=name(number))
                    served.shutdown()
