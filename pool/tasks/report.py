"""What is known of an execution that has ended."""

from __future__ import annotations

import msgspec

from reptarium.pool.endings import Ending
from reptarium.sandbox import wire


class Report(msgspec.Struct, kw_only=True):
    """What is known of an ended execution, for logs and metrics. Times in seconds."""

    ending: Ending
    duration: float
    dispatch: float | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    worker: int | None = None
    reused: bool = False
    """Its worker had run the same code before."""
    used: wire.Exited | None = None
    """What its worker used for it, where that hasn't ended with it."""
    connections: tuple[str, ...] = ()
    reason: str = ""
    """Why it isn't done, in words of ours: nothing of the code, its items or its own errors is in it."""
