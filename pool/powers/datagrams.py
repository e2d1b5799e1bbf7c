"""A task's sockets of UDP: they lead to its resolver, and nowhere else.

Theory of operation. A worker that asks for such a socket gets one end of a pair that keeps messages apart; at the other
end `answers.py` answers. No packet leaves, and none comes in: there is no socket of UDP. What the kernel would say of
such a pair isn't what resolvers expect (c-ares, musl's, dnspython: they compare where an answer comes from), so
calls that name an address or ask for one are stopped (`sandbox/kernel/notify.py`) and answered here, for these
sockets, as UDP would. Others' go on as if they had not been stopped. ``poll``, ``send`` and ``recv`` are the kernel's.

To a message only the address of a resolver is let; it is read once, and nothing is done with it but to compare it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

import msgspec
import trio

from reptarium.pool.powers.answers import Answers
from reptarium.pool.powers.listener import Destination, Listener, Stopped

__all__ = ["Datagrams"]

#: Bytes of a question, and of what is taken out of a socket at once.
_LONGEST_QUESTION: Final = 4096
_LONGEST: Final = 65_536
#: What getsockname tells of a connected one.
_OWN_PORT: Final = 49_152
#: struct msghdr of a 64-bit machine: name, its length, vectors, how many, control, its length, flags
_MESSAGE: Final = struct.Struct("=QI4xQQQQi4x")
_LENGTH: Final = struct.Struct("=I")


class _Held(msgspec.Struct, kw_only=True):
    """A worker's by its number there. ``theirs`` is the same socket as the worker's, ``ours`` the other end."""

    theirs: socket.socket
    ours: trio.socket.SocketType
    lock: trio.Lock
    peer: Destination | None = None  # connected to
    asked: Destination | None = None  # where the last message went

    def close(self) -> None:
        if self.theirs.fileno() >= 0:
            trio.lowlevel.notify_closing(self.theirs)
            self.theirs.close()
            self.ours.close()


class Datagrams:
    """Those of one task, at most ``most``. ``resolves`` knows a resolver's address, ``pace`` is awaited before an
    answer.
    """

    def __init__(
        self,
        listener: Listener,
        answers: Answers,
        resolves: Callable[[Destination], bool],
        refuse: Callable[[str], None],
        pace: Callable[[], Awaitable[None]],
        most: int,
    ) -> None:
        self._listener = listener
        self._answers = answers
        self._resolves = resolves
        self._refuse = refuse
        self._pace = pace
        self._most = most
        self._held: dict[int, _Held] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._held

    def forget(self, number: int) -> None:
        """The worker's number stands for something else now."""
        if (held := self._held.pop(number, None)) is not None:
            held.close()

    def close(self) -> None:
        """The task has ended."""
        for number in list(self._held):
            self.forget(number)

    async def make(self, stopped: Stopped, nursery: trio.Nursery) -> int | None:
        """Answer a ``socket``; the number that it has got there."""
        kind = stopped.args[1] & 0xFFFFFFFF
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            self._listener.answer(stopped, error.errno or errno.ENFILE)
            return None
        ours.setblocking(False)
        theirs.setblocking(not kind & socket.SOCK_NONBLOCK)
        held = _Held(theirs=theirs, ours=trio.socket.from_stdlib_socket(ours), lock=trio.Lock())
        number = -1
        try:
            number = await self._listener.put(stopped, theirs)
        except OSError as error:
            self._listener.answer(stopped, error.errno or errno.EMFILE)
            return None
        finally:
            if number < 0:
                held.close()
        self.forget(number)
        if len(self._held) >= self._most:
            self.forget(next(iter(self._held)))
        self._held[number] = held
        self._listener.answer(stopped, value=number)
        nursery.start_soon(self._serve, held)
        return number

    async def _serve(self, held: _Held) -> None:
        """Answer the questions of one of them, one after the other."""
        with contextlib.suppress(OSError, trio.ClosedResourceError):
            while question := await held.ours.recv(_LONGEST_QUESTION):
                await self._pace()
                if (reply := await self._answers.reply(question)) is not None:
                    await held.ours.send(reply)

    async def answer(self, stopped: Stopped, nursery: trio.Nursery) -> None:
        """Answer a call about one of them."""
        held = self._held[stopped.fd]
        try:
            if stopped.call == "connect":
                held.peer = held.asked = await self._target(stopped, 1)
            elif stopped.call == "sendto":
                self._listener.answer(stopped, value=await self._send(stopped, held))
                return
            elif stopped.call == "getsockname":
                await self._tell(stopped, _own(held.peer), 1)
            elif stopped.call == "getpeername":
                if held.peer is None:
                    raise OSError(errno.ENOTCONN, "")
                await self._tell(stopped, held.peer, 1)
            elif stopped.call in ("recvfrom", "recvmsg"):
                nursery.start_soon(self._receive, stopped, held)
                return
            self._listener.answer(stopped)  # bind among them: it has an address
        except OSError as error:
            self._listener.answer(stopped, error.errno or errno.EFAULT)

    async def _target(self, stopped: Stopped, at: int) -> Destination:
        target = await self._listener.target(stopped, at)
        if target is None:
            raise OSError(errno.EBADF, "")
        if isinstance(target, int):
            raise OSError(target, "")
        if not self._resolves(target):
            if stopped.call != "connect":  # glibc connects to see which of several addresses is the better one
                self._refuse(f"UDP leads to the resolver only, not to {target.address} port {target.port}")
            raise OSError(errno.EACCES, "")
        return target

    async def _send(self, stopped: Stopped, held: _Held) -> int:
        pointer, size = stopped.args[1:3]
        target = await self._target(stopped, 4)
        if size > _LONGEST_QUESTION:
            raise OSError(errno.EMSGSIZE, "")
        held.asked = target
        message = await self._listener.read(pointer, size)
        return await self._listener.aside(held.theirs.send, message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    async def _tell(self, stopped: Stopped, address: Destination, at: int) -> None:
        """Write an address to where these arguments point: itself, and its length."""
        await self._write_address(address, *stopped.args[at : at + 2])

    async def _write_address(self, address: Destination, place: int, length_place: int) -> None:
        packed = _packed(address)
        (room,) = _LENGTH.unpack(await self._listener.read(length_place, _LENGTH.size))
        await self._listener.write(place, packed[: room & 0x7FFFFFFF])
        await self._listener.write(length_place, _LENGTH.pack(len(packed)))

    async def _receive(self, stopped: Stopped, held: _Held) -> None:
        """Take a message for the worker, with the address that it asked."""
        flags = stopped.args[3 if stopped.call == "recvfrom" else 2]
        waits = not flags & socket.MSG_DONTWAIT
        try:
            waits = waits and not fcntl.fcntl(held.theirs, fcntl.F_GETFL) & os.O_NONBLOCK
            async with held.lock:  # one waits for a descriptor at a time
                if waits:
                    await trio.lowlevel.wait_readable(held.theirs)
                only_look = socket.MSG_DONTWAIT | flags & socket.MSG_PEEK
                message = await self._listener.aside(held.theirs.recv, _LONGEST, only_look)
            if stopped.call == "recvfrom":
                size = await self._give(message, *stopped.args[1:3])
                await self._tell(stopped, held.asked or _own(None), 4)
            else:
                size = await self._give_message(message, held.asked or _own(None), stopped.args[1])
            self._listener.answer(stopped, value=size)
        except (trio.ClosedResourceError, ValueError):  # closed meanwhile, or before this has begun
            self._listener.answer(stopped, errno.EBADF)
        except OSError as error:
            self._listener.answer(stopped, error.errno or errno.EFAULT)

    async def _give(self, message: bytes, place: int, room: int) -> int:
        await self._listener.write(place, message[:room])
        return min(len(message), room)

    async def _give_message(self, message: bytes, address: Destination, header_place: int) -> int:
        raw = await self._listener.read(header_place, _MESSAGE.size)
        name, room, vectors, count, control, _, _ = _MESSAGE.unpack(raw)
        size = 0
        if count & 0xFFFFFFFF:  # musl's is an int; one vector is what a resolver has
            base, length = struct.unpack("=QQ", await self._listener.read(vectors, 16))
            size = await self._give(message, base, length)
        packed = _packed(address) if name else b""
        await self._listener.write(name, packed[:room])
        header = _MESSAGE.pack(name, len(packed), vectors, count, control, 0, 0)
        await self._listener.write(header_place, header)
        return size


def _own(peer: Destination | None) -> Destination:
    """What such a socket is bound to: loopback when it is connected, nothing before."""
    if peer is None:
        return Destination(ip_address("0.0.0.0"), 0)
    return Destination(ip_address("::1" if peer.address.version == 6 else "127.0.0.1"), _OWN_PORT)


def _packed(address: Destination) -> bytes:
    """``struct sockaddr_in`` or ``sockaddr_in6``."""
    port = address.port.to_bytes(2, "big")
    if isinstance(address.address, IPv6Address):
        return struct.pack("=H2s4x16s4x", socket.AF_INET6, port, address.address.packed)
    return struct.pack("=H2s4s8x", socket.AF_INET, port, address.address.packed)
