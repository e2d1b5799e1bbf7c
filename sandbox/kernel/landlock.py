"""Landlock: what a process can reach through the file system, TCP, abstract sockets and signals.

Which process does what
    The zygote opens every granted path (`paths.py`) while it still may, makes two rulesets and restricts
    itself with the finer one. Each worker restricts itself with the other, whose descriptor it has
    inherited: the same roots without their exceptions, since a path must be granted by *every* layer and
    fewer rules are put in force faster. It takes nothing away; what counts is that it makes a domain of its
    own. Landlock lets a process look at another one (``/proc/<pid>/fd``, ptrace) only inside its own domain
    or one nested in it, so siblings, and the zygote above them, are out of reach. No privilege is needed
    but ``no_new_privs``.

What is handled
    Every right that the running kernel knows is handled, i.e. denied unless granted; only reading is
    granted. The kernel announces an ABI number, and a ruleset that names a right it doesn't know is refused
    whole, so masks are cut to the ABI:

    ===  ==========================================================
    ABI  what it adds (and the Linux it came with)
    ===  ==========================================================
    1    13 file system rights (5.13)
    2    REFER, renaming and linking across directories (5.19)
    3    TRUNCATE (6.2)
    4    BIND_TCP and CONNECT_TCP (6.7)
    5    IOCTL_DEV (6.10)
    6    scopes: abstract Unix sockets, signals (6.12)
    7    flags that say what goes to the audit log (6.15)
    8    TSYNC, for all threads of a process at once (7.0)
    9    RESOLVE_UNIX, Unix sockets by their paths (7.1)
    10   BIND_UDP and CONNECT_SEND_UDP (7.2)
    ===  ==========================================================

    A later ABI is treated as the latest that we know. The signal scope bars signals that a restricted
    process *sends* to outside its domain; the supervisor is outside and unrestricted, so that its SIGKILL
    arrives as always.

"Not available here" has three spellings: ENOSYS (kernel without Landlock), EOPNOTSUPP (built in but not
started), EPERM (a container's seccomp profile that predates it).

References: `landlock(7)`, `landlock_create_ruleset(2)`, `landlock_add_rule(2)`, `landlock_restrict_self(2)`,
``include/uapi/linux/landlock.h``.
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
from reptarium.sandbox.kernel.paths import Grant

__all__ = [
    "NEWEST_ABI",
    "UNAVAILABLE",
    "Features",
    "PathRule",
    "Ruleset",
    "abi",
    "build",
    "build_and_restrict_with",
    "features",
    "opened",
    "restrict",
    "restrict_with",
    "scratch_rule",
]

#: The newest ABI that this module knows rights of.
NEWEST_ABI: Final = 10

#: Errors that mean "this machine has no Landlock for us", as opposed to a mistake of ours.
UNAVAILABLE: Final = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES})

_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1

_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3

# WRITE_FILE READ_FILE READ_DIR REMOVE_DIR REMOVE_FILE MAKE_DIR MAKE_REG; REFER (ABI 2), TRUNCATE (ABI 3)
_SCRATCH: Final = _WRITE_FILE | _READ_FILE | _READ_DIR | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | 1 << 14
_RIGHTS: Final = {
    "tree": _READ_FILE | _READ_DIR, "file": _READ_FILE, "listing": _READ_DIR, "scratch": _SCRATCH,
    "device": _READ_FILE | _WRITE_FILE, "memory": _READ_FILE | _WRITE_FILE,
}  # fmt: skip

_FS_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16, 9: 17}  # ABI → how many file system rights exist from there on
_NET_RIGHTS: Final = {4: 2, 10: 4}  # likewise: BIND_TCP, CONNECT_TCP, BIND_UDP, CONNECT_SEND_UDP
_SCOPES: Final = 0b11  # ABSTRACT_UNIX_SOCKET, SIGNAL

_LOG_SAME_EXEC_OFF: Final = 1 << 0
_LOG_SUBDOMAINS_OFF: Final = 1 << 2
_TSYNC: Final = 1 << 3


def _mask(rights: dict[int, int], abi: int) -> int:
    return (1 << max((count for since, count in rights.items() if since <= abi), default=0)) - 1


class Features:
    """What a ruleset handles under one ABI, and what is missing from the newest one."""

    __slots__ = (
        "_buffer",
        "abi",
        "address",
        "attribute",
        "handled_fs",
        "handled_net",
        "missing",
        "scoped",
        "worker_flags",
        "zygote_flags",
    )

    def __init__(self, abi: int) -> None:
        self.abi = min(abi, NEWEST_ABI)
        self.handled_fs = _mask(_FS_RIGHTS, self.abi)
        self.handled_net = _mask(_NET_RIGHTS, self.abi)
        self.scoped = _SCOPES if self.abi >= 6 else 0
        # A hostile worker could flood the audit log: its own denials stay out of it. The zygote's, a sign
        # of a bug, go in.
        self.zygote_flags = _LOG_SUBDOMAINS_OFF if self.abi >= 7 else 0
        if self.abi >= 8:  # it has one thread, or is refused; if it had another, this would hold for that one, too
            self.zygote_flags |= _TSYNC
        self.worker_flags = _LOG_SAME_EXEC_OFF if self.abi >= 7 else 0
        # struct landlock_ruleset_attr has grown; a shorter one is always understood.
        if self.abi >= 6:
            self.attribute = struct.pack("=QQQ", self.handled_fs, self.handled_net, self.scoped)
        elif self.abi >= 4:
            self.attribute = struct.pack("=QQ", self.handled_fs, self.handled_net)
        else:
            self.attribute = struct.pack("=Q", self.handled_fs)
        self._buffer = ctypes.create_string_buffer(self.attribute, len(self.attribute))
        self.address = ctypes.addressof(self._buffer)
        # Of what came later the filter leaves nothing: no task makes a UDP or Unix socket with an address
        self.missing = tuple(
            what
            for since, what in (
                (2, "links and renames between directories"),
                (3, "truncation"),
                (4, "TCP"),
                (5, "device ioctls"),
                (6, "abstract Unix sockets and signals"),
            )
            if self.abi < since
        )


def abi() -> tuple[int, int]:
    """(ABI, 0), or (0, errno) when Landlock isn't available."""
    try:
        version, error = syscalls.try_call("landlock_create_ruleset", 0, 0, _CREATE_RULESET_VERSION)
    except KeyError:
        return 0, errno.ENOSYS
    return (0, error) if error else (version, 0)


def features(number: int) -> Features:
    """The rights to handle under ABI `number` (1 or more)."""
    if number < 1:
        raise ValueError("Landlock's ABI numbers start at 1")
    return Features(number)


class Ruleset:
    """A ruleset descriptor, ready to restrict any number of processes. Inherited over fork; close with
    `close`.
    """

    __slots__ = ("fd", "features", "rules", "skipped")

    def __init__(self, fd: int, features: Features, rules: int, skipped: tuple[str, ...]) -> None:
        self.fd = fd
        self.features = features
        self.rules = rules
        self.skipped = skipped

    def close(self) -> None:
        """Close the descriptor; processes already restricted stay so."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class PathRule:
    """What may be done beneath an open directory, or with an open file; ready for the kernel. The descriptor is the
    owner's to close.
    """

    __slots__ = ("_buffer", "address", "fd")

    def __init__(self, fd: int, rights: int) -> None:
        self.fd = fd
        # struct landlock_path_beneath_attr is packed: __u64 allowed_access, __s32 parent_fd.
        self._buffer = ctypes.create_string_buffer(struct.pack("=Qi", rights, fd), 12)
        self.address = ctypes.addressof(self._buffer)


def scratch_rule(fd: int, features: Features) -> PathRule:
    """Writing beneath an open directory: files and directories, no links, devices, FIFOs, sockets."""
    return PathRule(fd, _SCRATCH & features.handled_fs)


def opened(grants: Iterable[Grant], features: Features) -> tuple[list[PathRule], tuple[str, ...]]:
    """The rules of `grants`, and a line for each path that can't be opened, which is left out."""
    rules: list[PathRule] = []
    skipped: list[str] = []
    for grant in grants:
        try:
            fd = os.open(grant.path, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            skipped.append(f"{grant.path}: {error.strerror}")
            continue
        rights = _RIGHTS[grant.kind] & features.handled_fs
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _READ_FILE | _WRITE_FILE
        if rights:
            rules.append(PathRule(fd, rights))
        else:
            os.close(fd)
    return rules, tuple(skipped)


def build(grants: Iterable[Grant], features: Features) -> Ruleset:
    """Create the ruleset with all `grants`. A path that can't be opened is left out (`Ruleset.skipped`).
    Raises OSError.
    """
    rules, skipped = opened(grants, features)
    try:
        fd = syscalls.call("landlock_create_ruleset", features.address, len(features.attribute), 0)
        try:
            for rule in rules:
                syscalls.call("landlock_add_rule", fd, _RULE_PATH_BENEATH, rule.address, 0)
        except BaseException:
            os.close(fd)
            raise
        return Ruleset(fd, features, len(rules), skipped)
    finally:
        for rule in rules:
            os.close(rule.fd)


def restrict(ruleset: Ruleset, flags: int) -> None:
    """Put a new layer of `ruleset` in force for this thread. Raises OSError; needs ``no_new_privs``.

    A process can have 16 layers: the container's, the zygote's and the worker's are far from that.
    """
    syscalls.call("landlock_restrict_self", ruleset.fd, flags)


def restrict_with(calls: syscalls.CallList, ruleset: Ruleset, flags: int) -> None:
    """Have `calls` put a layer of `ruleset` in force; see `restrict`."""
    calls.call("landlock_restrict_self", ruleset.fd, flags)


def build_and_restrict_with(calls: syscalls.CallList, fd: int, rules: Iterable[PathRule], features: Features) -> None:
    """Have `calls` create the ruleset of these rules and put it in force as a worker's layer. `fd` is the number that
    its descriptor will have: the lowest that is free then.
    """
    calls.call("landlock_create_ruleset", features.address, len(features.attribute), 0, keep=features)
    for rule in rules:
        calls.call("landlock_add_rule", fd, _RULE_PATH_BENEATH, rule.address, 0, keep=rule)
    calls.call("landlock_restrict_self", fd, features.worker_flags)
