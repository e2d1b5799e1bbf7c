"""The kernel's side of connections: calls that a worker's filter has stopped, and their answers.

A worker's filter answers ``socket``, ``connect`` and what names or tells addresses with "ask the listener"
(`sandbox/kernel/notify.py`). The calling
thread sleeps in the kernel until this side, which holds the listener, has answered; the call is not made. A descriptor
can be put into the worker's table in the meantime.

Nothing here waits for a worker in the event loop. The listener is read only when it has something, which nobody else
can take away (a worker has neither the descriptor nor the ioctl). Putting a descriptor into a table is done by the
thread that asked, once it is scheduled; memory is read, and a socket that the worker has is looked at, under a lock
that one of its threads may hold: a worker with fifty busy threads made that take a second (measured). So these are
done in a thread of ours (:meth:`Listener.aside`).

A process's memory is read through ``/proc/<pid>/mem``, opened by itself while it still could: the file stays with that
memory, whoever has the pid later. A worker's threads may rewrite what is read: so it is read once, and only what was
read counts.

References: `seccomp_unotify(2)`, ``include/uapi/linux/seccomp.h``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeVar, TypeVarTuple

import msgspec
import trio

from reptarium.pool.powers.destinations import Address
from reptarium.sandbox.kernel import stopped_calls

__all__ = ["Destination", "Listener", "Stopped"]

# struct seccomp_notif: id, pid, flags, then seccomp_data: nr, arch, instruction pointer, six arguments
_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
_ANSWER: Final = struct.Struct("=QqiI")  # struct seccomp_notif_resp: id, val, error, flags
_ADD: Final = struct.Struct("=QIIII")  # struct seccomp_notif_addfd: id, flags, srcfd, newfd, newfd_flags
_ID: Final = struct.Struct("=Q")
# _IOWR('!', 0, struct seccomp_notif) and so on: the same on x86-64 and aarch64 (asm-generic/ioctl.h)
_RECV: Final = 0xC0502100
_SEND: Final = 0xC0182101
_VALID: Final = 0x40082102
_ADDFD: Final = 0x40182103
_SETFD: Final = 1  # SECCOMP_ADDFD_FLAG_SETFD
_CONTINUE: Final = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE

#: Bytes of an address that are looked at: struct sockaddr_in6.
_LONGEST: Final = 28


_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class Destination(msgspec.Struct, frozen=True):
    """What a ``connect`` names."""

    address: Address
    port: int


class Stopped(msgspec.Struct, frozen=True):
    """A stopped call: its id, its name, its arguments as the registers held them."""

    id: int
    call: str
    args: tuple[int, ...]

    @property
    def fd(self) -> int:
        """The first argument as the kernel reads an ``int``."""
        low = self.args[0] & 0xFFFFFFFF
        return low - 2**32 if low & 2**31 else low


class Listener:
    """One worker's listener and memory. Owns both descriptors. ``closing`` is told of the first before it is closed."""

    def __init__(self, listener: int, memory: int, closing: Callable[[int], None] = lambda fd: None) -> None:
        self.fd, self._memory = listener, memory
        self._closing = closing
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._names = stopped_calls()
        self._threads = trio.CapacityLimiter(2)  # one for who is waited for, one for who has waited

    def close(self) -> None:
        """Calls that are waiting, and later ones, fail with ENOSYS."""
        if self.fd >= 0:
            self._closing(self.fd)
            trio.lowlevel.notify_closing(self.fd)
            os.close(self.fd)
            os.close(self._memory)
            self.fd = self._memory = -1

    async def aside(self, function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Do in a thread of ours what may have to wait for one of the worker's. A cancellation waits as well."""
        return await trio.to_thread.run_sync(function, *args, limiter=self._threads)

    async def receive(self) -> Stopped | None:
        """The next stopped call; None once the worker has ended. Raises trio.ClosedResourceError."""
        while True:
            await trio.lowlevel.wait_readable(self.fd)
            events = self._poll.poll(0)
            if not events:
                continue
            if not events[0][1] & select.POLLIN:
                return None
            buffer = bytearray(_NOTIFICATION.size)
            try:
                fcntl.ioctl(self.fd, _RECV, buffer)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):  # the caller has died since
                    continue
                raise
            number, _, _, nr, _, _, *args = _NOTIFICATION.unpack(buffer)
            return Stopped(number, self._names.get(nr, "unknown"), tuple(args))

    async def target(self, stopped: Stopped, at: int = 1) -> Destination | int | None:
        """What a call names in its arguments ``at`` (where) and the next (how long), read once; an errno for what isn't
        an address of IP; None: the caller has gone.
        """
        return await self.aside(self._target, stopped, at)

    def _target(self, stopped: Stopped, at: int) -> Destination | int | None:
        found = self._address(*stopped.args[at : at + 2])
        try:
            fcntl.ioctl(self.fd, _VALID, _ID.pack(stopped.id))
        except OSError:
            return None
        return found

    async def read(self, pointer: int, size: int) -> bytes:
        """Bytes of the worker's memory. Raises OSError where there are none."""
        return await self.aside(self._read, pointer, size)

    def _read(self, pointer: int, size: int) -> bytes:
        try:
            raw = os.pread(self._memory, size, pointer)
        except (OSError, OverflowError):
            raw = b""
        if len(raw) < size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return raw

    async def write(self, pointer: int, data: bytes) -> None:
        """Write into the worker's memory. Raises OSError where there is none."""
        await self.aside(self._write, pointer, data)

    def _write(self, pointer: int, data: bytes) -> None:
        try:
            written = os.pwrite(self._memory, data, pointer) if data else 0
        except (OSError, OverflowError):
            written = -1
        if written != len(data):
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))

    def _address(self, pointer: int, length: int) -> Destination | int:
        length &= 0xFFFFFFFF  # an int
        if not 2 <= length <= 128:  # as the kernel has it: struct sockaddr_storage
            return errno.EINVAL
        try:
            raw = self._read(pointer, min(length, _LONGEST))
        except OSError:
            return errno.EFAULT
        family = int.from_bytes(raw[:2], "little")
        port = int.from_bytes(raw[2:4], "big")
        if family == socket.AF_INET and len(raw) >= 16:
            return Destination(IPv4Address(raw[4:8]), port)
        if family == socket.AF_INET6 and len(raw) >= 24:
            return Destination(IPv6Address(raw[8:24]), port)
        return errno.EAFNOSUPPORT if family not in (socket.AF_INET, socket.AF_INET6) else errno.EINVAL

    async def put(self, stopped: Stopped, source: socket.socket, *, at: int | None = None) -> int:
        """Put a copy of our socket into the worker's table, in the place of its number ``at`` or at the lowest that is
        free; returns the number. Raises OSError: the caller is gone, or its table is full.

        ``source`` must not be closed meanwhile; a cancellation waits until it has been put.
        """
        return await self.aside(self._put, stopped, source.fileno(), at)

    def _put(self, stopped: Stopped, source: int, at: int | None) -> int:
        flags, number = (0, 0) if at is None else (_SETFD, at)
        # bytearray: of what is mutable, ioctl() returns the kernel's own answer
        made: int = fcntl.ioctl(self.fd, _ADDFD, bytearray(_ADD.pack(stopped.id, flags, source, number, os.O_CLOEXEC)))
        return made

    def answer(self, stopped: Stopped, error: int = 0, value: int = 0) -> None:
        """Let the caller go on: with an errno, or with ``value``."""
        with contextlib.suppress(OSError):  # the caller is gone
            fcntl.ioctl(self.fd, _SEND, _ANSWER.pack(stopped.id, 0 if error else value, -error, 0))

    def let_go_on(self, stopped: Stopped) -> None:
        """Have the kernel make the call as if it hadn't been stopped: only for one that needs no judging."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.fd, _SEND, _ANSWER.pack(stopped.id, 0, 0, _CONTINUE))
