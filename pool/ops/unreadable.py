"""What other processes of the same user can read of this one: neither its memory nor the secrets in its environment.

``/proc/<pid>/environ`` shows the memory in which a program's first variables lie, as long as it lives, to every process
that may trace it. Two things stand in the way, since either may be missing somewhere: the process isn't dumpable, so
that the kernel takes it for root's (`PR_SET_DUMPABLE(2const)`), and what is a secret is moved out of that memory
(`proc_pid_environ(5)`).
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

from reptarium.pool.config.secrets import names_secret, shows_secret

_PR_SET_DUMPABLE = 4
# env_start and env_end of proc_pid_stat(5), counted from behind the name, which may have blanks in it
_ENV_START, _ENV_END = 50 - 3, 51 - 3


def become_unreadable() -> None:
    """Call it while there is one thread: the C library's environment is changed. What can't be done is left."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    with suppress(OSError, ValueError, IndexError):  # there is no /proc
        with open("/proc/self/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        _move_secrets(int(fields[_ENV_START]), int(fields[_ENV_END]))


def _move_secrets(begin: int, end: int) -> None:
    at = begin
    for entry in ctypes.string_at(begin, end - begin).split(b"\0"):
        name, _, value = entry.partition(b"=")
        if value and _is_secret(os.fsdecode(name), os.fsdecode(value)):
            if os.environb.get(name) == value:
                os.environb[name] = value  # setenv(3) makes a copy of its own
            ctypes.memset(at + len(name) + 1, 0, len(value))
        at += len(entry) + 1


def _is_secret(name: str, value: str) -> bool:
    return names_secret(name) or shows_secret(value)
