"""What signals mean to a runner or a broker, and that none gets lost, or ends it in the midst of its start or its end.

From the command's first line on they are held back (``hold``): by default each would kill the process, with nothing
finished and with another status. Whoever is ready for them lets them come (``let_come``), those too that were held.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

#: What ends it in order. Ctrl-\\ and the end of a terminal too: tasks are somebody else's work. And the soft
#: limit of processor time, which says that SIGKILL comes at the hard one (setrlimit(2)).
ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU})
#: Left as they are: a program's own faults, what nobody can catch, what stops it and lets it go on, what kills nobody
#: (the last two are Python's to ignore).
_LEFT = frozenset(
    {
        *(signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP),
        *(signal.SIGKILL, signal.SIGSTOP),
        *(signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
        *(signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGPIPE, signal.SIGXFSZ),
    }
)
#: All others would kill it and say nothing to it: timers that it doesn't set, what programs define for themselves, and
#: every real-time signal (SIGRTMIN+3 is what containers with systemd in them are stopped with).
MEANINGLESS = frozenset(signal.valid_signals() - ENDING - _LEFT)


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


def name(number: int) -> str:
    """What people call a signal: ``SIGTERM``, ``SIGRTMIN+3``."""
    # Python names the first and the last of the real-time signals only
    return f"SIGRTMIN+{number - signal.SIGRTMIN}" if number > signal.SIGRTMIN else signal.Signals(number).name


def heard() -> list[int]:
    """Those to listen to: SIGHUP not under nohup(1), where the runner is to outlive its terminal."""
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    return sorted((ENDING | MEANINGLESS) - ignored)
