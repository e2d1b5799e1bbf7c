"""User ids, capabilities, ``no_new_privs`` and ``dumpable``.

Which process does what
    When the zygote is root it becomes an ordinary user: no supplementary groups, empty bounding set, locked
    securebits (user id 0 means nothing any more, nothing is ever gained by exec), new group and user ids in
    all three slots, no capabilities. With one user id per worker it keeps three: CAP_SETUID and CAP_SETGID,
    so that each worker can take its own id, and CAP_KILL, because the kernel sends the parent-death signal
    in the name of the dying parent and checks whether that one may signal the worker. A worker gives all
    three up with its own drop.

    When the target user can't search the directories that lead to the interpreter (an installation under a
    private home directory), CAP_DAC_READ_SEARCH alone is kept, so that modules can still be imported
    lazily. It lets files be *read* regardless of their mode; Landlock decides which, and the calls that
    turn it into more (``open_by_handle_at``) end the process.

    Without root nothing changes here: the sandbox runs as the supervisor's user, and Landlock and seccomp
    keep them apart.

References: `capabilities(7)`, `credentials(7)`, `PR_SET_SECUREBITS(2const)`, `PR_SET_NO_NEW_PRIVS(2const)`,
`PR_SET_DUMPABLE(2const)`, ``reparent_leader``/``find_child_reaper`` in the kernel's ``kernel/exit.c``
(parent-death signal).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

from reptarium.sandbox.kernel import syscalls

__all__ = [
    "CAP_DAC_READ_SEARCH",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
    "NOBODY",
    "PR_SET_DUMPABLE",
    "CapabilitySet",
    "become",
    "become_with",
    "drop_bounding_set",
    "effective",
    "give_up_all",
    "lock_securebits",
    "no_groups",
    "no_new_privs",
    "not_dumpable",
    "unreachable",
]

#: The user and group id "nobody" of nearly all distributions; owns no files.
NOBODY: Final = 65534

CAP_DAC_READ_SEARCH: Final = 2
CAP_KILL: Final = 5
CAP_SETGID: Final = 6
CAP_SETUID: Final = 7
CAP_SETPCAP: Final = 8
CAP_SYS_ADMIN: Final = 21

PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_SET_SECUREBITS: Final = 28
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_GET_SPECULATION_CTRL: Final = 52
_PR_SET_SPECULATION_CTRL: Final = 53
_PR_SPEC_INDIRECT_BRANCH: Final = 1
_PR_SPEC_PRCTL: Final = 1
_PR_SPEC_FORCE_DISABLE: Final = 8
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

# SECBIT_NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE with their locks; KEEP_CAPS off and locked. With
# NO_SETUID_FIXUP a change of user id leaves capabilities alone: they are set by name, right after.
_SECUREBITS: Final = 0b11_10_11_11

_CAPABILITY_VERSION_3: Final = 0x20080522


def no_new_privs() -> None:
    """From here on no exec can gain privileges; a precondition of unprivileged seccomp and Landlock.
    Raises OSError.
    """
    syscalls.prctl(_PR_SET_NO_NEW_PRIVS, 1)


def not_dumpable() -> None:
    """No core dump, no ptrace by equals, and ``/proc/self`` belongs to root. Changes of user id reset it:
    call it after them.
    """
    syscalls.prctl(PR_SET_DUMPABLE, 0)


def separate_branch_prediction() -> bool:
    """Whether the prediction of indirect branches could be kept apart from other processes', for good; False where the
    kernel doesn't leave that to the process (`PR_SET_SPECULATION_CTRL(2const)`).

    It is what reaches beyond the process, and costs some microseconds each time the processor changes hands.
    Speculative store bypass stays as it is: it betrays a process to itself, a worker holds nothing but its own task,
    and a Python loop takes 1.4 to 2 times as long without (measured; Linux gave up forcing it on filtered processes in
    5.16).
    """
    try:
        if not syscalls.prctl(_PR_GET_SPECULATION_CTRL, _PR_SPEC_INDIRECT_BRANCH) & _PR_SPEC_PRCTL:
            return False
        syscalls.prctl(_PR_SET_SPECULATION_CTRL, _PR_SPEC_INDIRECT_BRANCH, _PR_SPEC_FORCE_DISABLE)
    except OSError:  # ENODEV, EINVAL, ENXIO: not on this processor, this kernel, or switched off at boot
        return False
    return True


def effective() -> int:
    """The effective capabilities of this thread as a bit mask. Raises OSError."""
    low, _, _, high, _, _ = _held()
    return low | high << 32


def give_up_all() -> None:
    """Keep no capability. Where none is held nothing is done: a service's filter may refuse that. Raises OSError."""
    if any(_held()):
        CapabilitySet().apply()


def _held() -> tuple[int, ...]:
    """Effective, permitted and inheritable capabilities of this thread: the lower halves, then the upper."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(24)
    syscalls.call("capget", ctypes.addressof(header), ctypes.addressof(data))
    return struct.unpack("=6I", data.raw)


class CapabilitySet:
    """Permitted and effective capabilities, ready for the kernel (inheritable and ambient empty): made
    once, before fork.
    """

    __slots__ = ("_addresses", "_data", "_header")

    def __init__(self, kept: Iterable[int] = ()) -> None:
        mask = sum(1 << capability for capability in set(kept))
        low, high = mask & 0xFFFFFFFF, mask >> 32
        self._header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
        self._data = ctypes.create_string_buffer(struct.pack("=6I", low, low, 0, high, high, 0), 24)
        self._addresses = (ctypes.addressof(self._header), ctypes.addressof(self._data))

    def apply(self) -> None:
        """Give up all others. Raises OSError."""
        syscalls.call("capset", *self._addresses)

    def apply_with(self, calls: syscalls.CallList) -> None:
        """Have `calls` give up all others."""
        calls.call("capset", *self._addresses, keep=self)


def drop_bounding_set() -> None:
    """Empty the bounding set and the ambient set. Needs CAP_SETPCAP. Raises OSError."""
    for capability in range(64):
        try:
            if syscalls.prctl(_PR_CAPBSET_READ, capability) == 0:
                continue
        except OSError as error:
            if error.errno == errno.EINVAL:
                break  # past the last one that this kernel has
            raise
        syscalls.prctl(_PR_CAPBSET_DROP, capability)
    syscalls.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def lock_securebits() -> None:
    """User id 0 stops meaning anything. Needs CAP_SETPCAP. Raises OSError."""
    syscalls.prctl(_PR_SET_SECUREBITS, _SECUREBITS)


def keep_capabilities(keep: bool) -> None:
    """Whether a change from user 0 to another leaves capabilities permitted (`capabilities(7)`): in the place of locked
    securebits, for those who may not set them. Raises OSError.
    """
    syscalls.prctl(_PR_SET_KEEPCAPS, int(keep))


def become(uid: int, gid: int, kept: CapabilitySet) -> None:
    """Take `uid` and `gid` (real, effective, saved) and only the capabilities `kept`. Raises OSError."""
    calls = syscalls.CallList()
    become_with(calls, ctypes.c_long(uid), gid, kept)
    calls.make()


def become_with(calls: syscalls.CallList, uid: ctypes.c_long, gid: int, kept: CapabilitySet) -> None:
    """Have `calls` do what `become` does, with the user id that `uid` holds by then.

    Group before user: without CAP_SETGID, which goes with the user id, it could not be changed any more.
    Supplementary groups are given up before (`no_groups`).
    """
    calls.call("setresgid", gid, gid, gid)
    calls.call("setresuid", uid, uid, uid)
    kept.apply_with(calls)


def no_groups() -> None:
    """Give up all supplementary groups. Needs CAP_SETGID when there are any. Raises OSError."""
    if os.getgroups():
        os.setgroups([])


def unreachable(paths: Iterable[str], uid: int, gid: int) -> str | None:
    """The first directory on the way to one of `paths` that this user can't search, or a path it can't
    read; None when there is none.

    Looks at mode bits only (a user without groups or capabilities); an ACL that grants more is not seen.
    """
    seen: set[str] = set()
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            part = "/".join(parts[:depth]) or "/"
            if part in seen:
                continue
            seen.add(part)
            try:
                status = os.stat(part)
            except OSError:
                return part
            shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
            bits = status.st_mode >> shift
            if stat.S_ISDIR(status.st_mode):
                if not bits & 1 or (depth == len(parts) and not bits & 4):
                    return part
            elif not bits & 4:
                return part
    return None
