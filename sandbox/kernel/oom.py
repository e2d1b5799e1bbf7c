"""Whom the kernel ends when memory runs out: a worker, not the supervisor.

Which process does what
    The kernel's OOM killer ends the process that holds most, and ``oom_score_adj`` adds to what it is taken to hold:
    thousandths of all the memory that there is (of the control group's, where that has run out). Workers have 500 more
    than the supervisor and the zygote: one that is idle goes before a supervisor that holds half as much as there is.
    Not all of the 1,000 that there are: parked workers are replaced, and what leaks beside them would never be ended.

    A worker can't set its own: /proc is out of its zygote's reach. So the zygote keeps its own file open (`Score`) and
    raises itself for the moment of a fork, which the child inherits. To lower it again takes no capability, as long as
    it isn't below what was set with one (``oom_score_adj_min`` in the kernel's ``fs/proc/base.c``). Workers keep no
    descriptor of it.

References: `proc_pid_oom_score_adj(5)`, ``oom_badness`` in the kernel's ``mm/oom_kill.c``.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["Score"]

_WORKERS: Final = 500
_MOST: Final = 1000


class Score:
    """The zygote's own score; making one tries it out."""

    def __init__(self) -> None:
        self.fd = -1
        #: Why children can't be made to go first; "" when they can.
        self.problem = ""
        try:
            self.fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
            own = int(os.read(self.fd, 16))
            self._own = str(own).encode()
            self._raised = str(min(own + _WORKERS, _MOST)).encode()
            self.raise_()
            self.lower()
        except (OSError, ValueError) as error:
            self.problem = f"/proc/self/oom_score_adj: {error}"
        else:
            if own == _MOST:
                self.problem = f"the runner's own is {_MOST} already: workers can't go before it"
        if self.problem:
            self._close()

    def raise_(self) -> None:
        """Children that are forked from here on go first. Raises OSError."""
        if self.fd >= 0:
            os.write(self.fd, self._raised)

    def lower(self) -> None:
        """They don't. Raises OSError."""
        if self.fd >= 0:
            os.write(self.fd, self._own)

    def _close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
