"""What signals mean to a runner, and that none gets lost, or ends it in the midst of its start or its end.

From the command's first line on they are held back (``hold``): by default each would kill the process, with nothing
finished and with another status. Whoever is ready for them lets them come (``let_come``), those too that were held.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

#: What ends a runner in order. Ctrl-\\ and the end of a terminal too: tasks are somebody else's work.
ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
#: What says nothing to a runner, and would kill it: timers that it doesn't set, what programs define for themselves.
MEANINGLESS = frozenset(
    {signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR}
)


def hold() -> None:
    """From now on they wait."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING | MEANINGLESS)


@contextmanager
def let_come() -> Iterator[None]:
    """They come while the block runs, and wait again when it ends: what is left of the process is its end."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING | MEANINGLESS)
    try:
        yield
    finally:
        hold()


def heard() -> list[signal.Signals]:
    """Those to listen to: SIGHUP not under nohup(1), where the runner is to outlive its terminal."""
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    return sorted((ENDING | MEANINGLESS) - ignored)
