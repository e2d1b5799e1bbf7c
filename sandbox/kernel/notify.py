"""Connections that are handed over: a worker's filter stops ``socket`` and ``connect`` and asks the supervisor.

Calls that name an address, or tell one, are stopped as well: a socket of UDP is one end of a pair, at whose other end
is the task's resolver (`pool/powers/datagrams.py`); it only looks like one because the supervisor answers for it.

Which process does what
    The zygote looks once whether the kernel can do it (`problem`) and keeps /proc open. Each worker, before it
    is restricted, opens its own memory, and installs its final filter with a *listener*: a descriptor on which
    calls that the filter answers with NOTIFY can be received, and answered. Both descriptors travel to the
    supervisor with the worker's first word; the worker keeps neither. From there on the thread that calls
    ``connect`` sleeps in the kernel until the supervisor has answered; the call itself is never made.

    What the supervisor does with it is `pool/powers/connections.py`. A connection is a thing that it hands over,
    never a right to make one: nothing here lets a call through.

Why a worker's limit on descriptors comes after its first word
    Descriptors that are on their way through Unix sockets are counted per *user*, and who has its limit's number of
    them on their way may send none (`unix(7)`, ETOOMANYREFS). A task that lets some lie in a pair of sockets would keep
    every new worker of the same user from handing over its two. So a new worker has the zygote's limit, which tasks
    can't reach, until it has, and then lowers it to that of tasks. That is why its filter lets it: down for good, never
    up.

Why /proc is in the zygote's Landlock rules, and not in the worker's
    /proc/<pid>/mem belongs to root once a process isn't dumpable, and a path under /proc is out of reach once
    the worker's own layer holds. So a worker is dumpable again for the moment in which it opens the file, when it is
    still one thread of known code.

References: `seccomp_unotify(2)`, `seccomp(2)`, `proc_pid_mem(5)`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import struct
from dataclasses import replace
from typing import Final

from reptarium.sandbox.kernel import bpf, syscalls
from reptarium.sandbox.kernel.bpf import ALLOW, PID, Check, Clause, Rules, errno_action
from reptarium.sandbox.kernel.layers import kernel_version
from reptarium.sandbox.kernel.paths import Grant

__all__ = ["NOTIFY", "PROC", "Handover", "problem", "stopped_calls", "worker_rules", "zygote_rules"]

#: The answer "ask the listener" (SECCOMP_RET_USER_NOTIF).
NOTIFY: Final = 0x7FC00000
#: What the zygote must be able to open files of, for its workers.
PROC: Final = Grant("/proc", "memory")
#: O_CLOEXEC, and O_LARGEFILE of either architecture.
_MEMORY_FLAGS: Final = 0o2000000 | 0o100000 | 0o400000

_AF_INET, _AF_INET6 = 2, 10
_STREAM, _DATAGRAM = 1, 2
_NONBLOCK, _CLOEXEC = 0o4000, 0o2000000
_TCP, _UDP = 6, 17
# Send flags that are refused: an address comes with the one, and Unix sockets have had holes where the other is handled
# (MSG_OOB, CVE-2025-38236).
MSG_OOB: Final = 0x1
_MSG_FASTOPEN: Final = 0x20000000
_F_SETFL: Final = 4
_FIONREAD: Final = 0x541B
# O_ACCMODE, O_NONBLOCK, and O_LARGEFILE of either architecture, which F_GETFL may have told
_SETTABLE: Final = 0o3 | _NONBLOCK | 0o100000 | 0o400000

# Options by level. asm-generic/socket.h: TYPE ERROR SNDBUF RCVBUF KEEPALIVE OOBINLINE PRIORITY RCVLOWAT
# RCVTIMEO SNDTIMEO PROTOCOL DOMAIN and, for a look only, REUSEADDR ACCEPTCONN. linux/tcp.h: NODELAY MAXSEG CORK
# KEEPIDLE KEEPINTVL KEEPCNT SYNCNT WINDOW_CLAMP INFO QUICKACK CONGESTION USER_TIMEOUT NOTSENT_LOWAT.
# IP_TOS; IPV6_V6ONLY, IPV6_TCLASS. Missing on purpose: LINGER (a close would wait, the supervisor's too), filters
# (BPF), TCP_ULP, TCP_REPAIR, TCP_FASTOPEN_CONNECT, binding to devices, IPV6_ADDRFORM, everything that has never been
# needed and parses memory of the task's.
_OPTIONS: Final[dict[int, tuple[int, ...]]] = {
    1: (2, 3, 4, 7, 8, 9, 10, 12, 18, 20, 21, 30, 38, 39),
    _TCP: (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 18, 25),
    0: (1,),
    41: (26, 67),
}
#: IP_RECVERR, IPV6_RECVERR: glibc's resolver has no use for a socket that doesn't take them.
_RECVERR: Final = ((0, 11), (41, 25))

# Beside what every worker may do with descriptors that it waits on
_ANYTHING: Final = ("shutdown", "recvmsg")
#: Asked about beside ``socket``, and ``sendto`` and ``recvfrom`` with an address.
_ASKED: Final = ("connect", "bind", "getsockname", "getpeername")
_EPOLL: Final = ("epoll_create", "epoll_pwait2")


def _without(arg: int, flags: int) -> Check:
    """None of `flags` is set in this int argument."""
    return Check(arg, (0,), mask=flags)


def _sockets(action: int) -> tuple[Clause, ...]:
    """A socket of TCP or UDP, blocking or not → `action`."""
    family, flags = Check(0, (_AF_INET, _AF_INET6)), 0xFFFFFFFF & ~(_NONBLOCK | _CLOEXEC)
    return tuple(
        Clause((family, Check(1, (kind,), mask=flags), Check(2, (0, protocol))), action)
        for kind, protocol in ((_STREAM, _TCP), (_DATAGRAM, _UDP))
    )


def worker_rules(rules: Rules) -> Rules:
    """The worker's rules with this power: sockets that are asked for, and what one does with a connected one.

    An address is only ever named by calls that go to the listener. ``sendmsg`` hides its own in memory, where TCP
    and connected Unix sockets of these types don't look (`unix(7)`: EISCONN for streams, not looked at for
    SEQPACKET); TCP does with MSG_FASTOPEN, hence refused.
    """
    plain = dict(rules.plain) | dict.fromkeys((*_ANYTHING, *_EPOLL), ALLOW)
    plain |= dict.fromkeys(_ASKED, NOTIFY)
    if not _has_glibc():  # musl's resolver asks so where an answer has come from
        plain["recvmsg"] = NOTIFY
    checked = dict(rules.checked)
    checked["socket"] = _sockets(NOTIFY)
    no_address = (Check(4, (0,)), Check(4, (0,), high=True))
    sent = _without(3, MSG_OOB | _MSG_FASTOPEN)
    checked["sendto"] = (Clause((sent, *no_address, Check(5, (0,)))), Clause((sent,), NOTIFY))
    del plain["recvfrom"]
    checked["recvfrom"] = (Clause(no_address), Clause((), NOTIFY))
    checked["sendmsg"] = (Clause((_without(2, MSG_OOB | _MSG_FASTOPEN),)),)
    own_files = (Check(0, (0, PID)), Check(1, (resource.RLIMIT_NOFILE,)))
    checked["prlimit64"] = (*checked["prlimit64"], Clause(own_files))
    for name in ("setsockopt", "getsockopt"):
        known = [Clause((Check(1, (level,)), Check(2, options))) for level, options in _OPTIONS.items()]
        if name == "setsockopt":
            known += [Clause((Check(1, (level,)), Check(2, (option,))), errno_action(0)) for level, option in _RECVERR]
        checked[name] = (*known, Clause((), errno_action(errno.ENOPROTOOPT)))
    checked["fcntl"] = (
        *checked["fcntl"],
        Clause((Check(1, (_F_SETFL,)), Check(2, (0,), mask=0xFFFFFFFF & ~_SETTABLE))),
    )
    checked["ioctl"] = (*checked["ioctl"], Clause((Check(1, (_FIONREAD,)),)))
    return replace(rules, plain=plain, checked=checked)


def stopped_calls() -> dict[int, str]:
    """The calls that a listener of this machine gets: number → name."""
    arch = syscalls.machine()
    assert arch is not None  # without a filter there is no listener
    names = ("socket", *_ASKED, "sendto", "recvfrom", "recvmsg")
    return {number: name for name in names if (number := syscalls.number(name, arch)) is not None}


def _has_glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):
        return False


def zygote_rules(rules: Rules) -> Rules:
    """The zygote's rules with this power: the strictest filter wins, so that what its workers are to be asked about
    must pass here. The zygote itself has no use for it; Landlock (6.7) and an empty network refuse it there.
    """
    plain = dict(rules.plain) | dict.fromkeys((*_EPOLL, *_ASKED), ALLOW)
    checked = dict(rules.checked)
    checked["socket"] = _sockets(ALLOW)
    # a worker's own memory, before its filter (`Handover.open_memory`); Landlock leaves nothing else to write
    checked["openat"] = (*checked["openat"], Clause((Check(2, (os.O_RDWR,), mask=0xFFFFFFFF & ~_MEMORY_FLAGS),)))
    checked["ioctl"] = (*checked["ioctl"], Clause((Check(1, (_FIONREAD,)),)))
    return replace(rules, plain=plain, checked=checked)


# --- the kernel's side ----------------------------------------------------------------------------

_SET_MODE_FILTER: Final = 1
_GET_NOTIF_SIZES: Final = 3
_NEW_LISTENER: Final = 1 << 3  # SECCOMP_FILTER_FLAG_NEW_LISTENER
_KILLABLE: Final = 1 << 5  # SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19
#: ``struct seccomp_notif``, ``seccomp_notif_resp``, ``seccomp_data``: bytes.
_SIZES: Final = struct.Struct("=HHH")
_KNOWN_SIZES: Final = (80, 24, 64)
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38


class _FilterProgram(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _install(address: int, flags: int) -> tuple[int, int]:
    return syscalls.try_call("seccomp", _SET_MODE_FILTER, _NEW_LISTENER | flags, address)


def problem() -> str:
    """Why connections can't be handed over on this machine; "" when they can. For a process with one thread."""
    if syscalls.machine() is None:
        return "there is no filter for this processor architecture"
    if kernel_version() < (5, 9):
        return f"it needs Linux 5.9 or later, this is {os.uname().release}"
    sizes = ctypes.create_string_buffer(_SIZES.size)
    error = syscalls.try_call("seccomp", _GET_NOTIF_SIZES, 0, ctypes.addressof(sizes))[1]
    if error:
        return f"the kernel has no seccomp notifications ({errno.errorcode.get(error, error)})"
    if _SIZES.unpack(sizes.raw) != _KNOWN_SIZES:
        return "the kernel's seccomp notifications have a layout that is not known"
    error = _try_in_child()
    if error == errno.EBUSY:
        return "the container's runtime holds a seccomp listener of its own, and there can be one only (EBUSY)"
    return f"the kernel refused a seccomp listener ({errno.errorcode.get(error, error)})" if error else ""


def _try_in_child() -> int:
    """Install a listener in a child that ends right after: its errno, or 0."""
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            with contextlib.suppress(OSError):
                syscalls.prctl(_PR_SET_NO_NEW_PRIVS, 1)
            # the shortest filter there is: allow everything
            code = struct.pack("=HBBI", 0x06, 0, 0, bpf.ALLOW)
            buffer = ctypes.create_string_buffer(code, len(code))
            status = _install(ctypes.addressof(_FilterProgram(1, ctypes.addressof(buffer))), 0)[1]
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Handover:
    """What a worker hands to the supervisor: the listener of its filter, and its memory. Made in the zygote."""

    def __init__(self, header: int) -> None:
        """`header` is the address of the filter's ``struct sock_fprog``."""
        self._header = header
        #: To be kept open until the zygote's end.
        self.proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.memory = self.listener = -1
        # A signal would otherwise break off a call whose answer is on its way (EINTR, and a socket too many)
        self._flags = _KILLABLE if kernel_version() >= (5, 19) else 0

    def open_memory(self) -> int:
        """Open this process's memory, to read addresses and to tell some; it is dumpable afterwards. Raises OSError."""
        syscalls.prctl(_PR_SET_DUMPABLE, 1)
        try:
            self.memory = os.open("self/mem", os.O_RDWR | os.O_CLOEXEC, dir_fd=self.proc)
        except OSError:  # /proc is mounted to be read only: what tells addresses of UDP won't work
            self.memory = os.open("self/mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.proc)
        return 0

    def install(self) -> int:
        """Put the filter in force. Raises OSError."""
        self.listener, error = _install(self._header, self._flags)
        if error:
            raise OSError(error, os.strerror(error), "seccomp")
        return 0
