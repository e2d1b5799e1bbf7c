"""One thread: ids, capabilities, Landlock and seccomp belong to threads, and are given up by the one that asks.

Which process does what
    The zygote counts its threads (``/proc/self/task``) while it imports, so that it can say which import has started
    some, and again before it restricts itself. A thread that an import has started ends by itself soon, or stands in
    the way: it would go on as root and unfiltered, beside everything that the zygote hands to workers. What starts
    threads is left to the tasks that import it (`process/zygote.py`, which starts anew without it); should there be
    others all the same, the start is refused. The zygote's filter is installed for all threads
    (``SECCOMP_FILTER_FLAG_TSYNC``), as a belt. Workers have one: fork(2) copies the calling thread.

References: `credentials(7)`, `landlock(7)`, `seccomp(2)`, `proc_pid_task(5)`.
"""

from __future__ import annotations

import os
import time
from typing import Final

from reptarium.sandbox.kernel.layers import Layers

__all__ = ["Threads"]

# Seconds that threads of an import may take to end.
_PATIENCE: Final = 1.0


def _count() -> int:
    return len(os.listdir("/proc/self/task"))


class Threads:
    """Which imports have started threads."""

    def __init__(self) -> None:
        self._known = _count()
        #: Imports after which there were more threads than before.
        self.starters: list[str] = []

    def imported(self, name: str) -> None:
        """`name` has been imported just now."""
        count = _count()
        if count > self._known:
            self.starters.append(name)
        self._known = count

    def others(self) -> int:
        """How many threads there are beside the calling one, when those that end soon have ended. Raises OSError when
        /proc isn't there.
        """
        until = time.monotonic() + _PATIENCE
        while (count := _count()) > 1 and time.monotonic() < until:
            time.sleep(0.01)
        return count - 1

    def require_one(self, layers: Layers) -> None:
        """Enter the layer ``one thread`` when there are others. Raises IsolationUnavailable under ``enforce``, OSError
        when /proc isn't there.
        """
        if others := self.others():
            by = f" started by importing {', '.join(self.starters)}" if self.starters else ""
            layers.require(
                "one thread",
                f"the zygote has {others} more{by}; they would stay unrestricted",
                "Leave such packages out of REPTARIUM_PRELOAD and of the allowlists.",
            )
