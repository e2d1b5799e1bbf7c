"""What is done on sockets that a worker has as well: under a lock that it may hold, so never in the event loop."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
from typing import Final, Literal

import msgspec

from reptarium.pool.powers.listener import Destination

__all__ = ["Held", "give_up", "is_connected", "pair", "start", "was_connected"]

_TIMEVAL, _INTEGER = 16, 4
#: struct tcp_info (linux/tcp.h): the bytes that were acknowledged, a SYN being one.
_ACKNOWLEDGED: Final = struct.Struct("=120xQ")
#: What a task may have set before it connected: level, option, bytes. Sizes of buffers are told doubled (socket(7)).
_KEPT: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, _INTEGER),
    (socket.SOL_SOCKET, socket.SO_OOBINLINE, _INTEGER),
    (socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL),
    (socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, _INTEGER),
    (socket.IPPROTO_TCP, socket.TCP_CORK, _INTEGER),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _INTEGER),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTEGER),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _INTEGER),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _INTEGER),
    (socket.IPPROTO_TCP, socket.TCP_SYNCNT, _INTEGER),
)
_HERE: Final = "127.0.0.1"
_SOON: Final = 1.0
#: Connections of others that may come between.
_STRANGERS: Final = 8
#: struct linger: to close is to reset, and leaves nothing behind in TIME_WAIT for a minute
_AT_ONCE: Final = struct.pack("=ii", 1, 0)
_DOUBLED: Final = (socket.SO_SNDBUF, socket.SO_RCVBUF)


class Held(msgspec.Struct, kw_only=True):
    """A socket of the worker's, by its number there; ``copy`` is ours, as long as it can still be connected.

    While a task of ours waits for it, ``state`` is "connecting", and what lets go of it waits for that task.
    """

    copy: socket.socket | None
    state: Literal["new", "connecting", "connected"] = "new"
    forgotten: bool = False

    def let_go(self) -> None:
        """The worker's number stands for something else now."""
        self.forgotten = True
        if self.state != "connecting":
            self.close()

    def settle(self, *, connected: bool) -> None:
        """The attempt has ended."""
        self.state = "connected" if connected else "new"  # it can be tried again
        if connected or self.forgotten:
            self.close()  # so that the worker's close is a close

    def close(self) -> None:
        if self.copy is not None:
            self.copy.close()
            self.copy = None


def start(before: socket.socket, target: Destination) -> tuple[socket.socket, int]:
    """A socket like ``before`` that connects to ``target``, and the errno that this has begun with. Raises OSError."""
    fresh = socket.socket(before.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    _keep_options(before, fresh)
    return fresh, fresh.connect_ex((str(target.address), target.port))


def pair() -> tuple[socket.socket, socket.socket]:
    """A TCP connection of this process's with itself: our end, which doesn't wait, and the worker's. Raises OSError.

    A pair of Unix sockets would do for most, but c-ares asks a socket for its address, and wants one of IP.
    """
    with socket.create_server((_HERE, 0), backlog=_STRANGERS) as server:
        theirs = socket.create_connection(server.getsockname(), _SOON)
        try:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            server.settimeout(_SOON)
            for _ in range(_STRANGERS):
                ours, other = server.accept()
                if other == theirs.getsockname():
                    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    ours.setblocking(False)
                    return ours, theirs
                ours.close()  # whoever looks for open ports on this machine
            raise ConnectionError(errno.ECONNREFUSED, "others have filled the queue")
        except BaseException:
            theirs.close()
            raise


def is_connected(fresh: socket.socket) -> bool:
    """Whether it is, as far as poll(2) tells, which takes no lock: of one that isn't, see :func:`was_connected`."""
    poll = select.poll()
    poll.register(fresh, select.POLLOUT)
    return [events for _, events in poll.poll(0)] == [select.POLLOUT]


def was_connected(fresh: socket.socket) -> bool:
    """Whether it has ever been, whatever has come since: a reset, an end."""
    try:
        info = fresh.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.size)
        return bool(_ACKNOWLEDGED.unpack(info)[0])
    except (OSError, struct.error):  # a kernel that doesn't tell (gVisor)
        return is_connected(fresh)


def give_up(fresh: socket.socket) -> None:
    """End an attempt, also for the worker that polls it."""
    with contextlib.suppress(OSError):
        fresh.shutdown(socket.SHUT_RDWR)


def _keep_options(before: socket.socket, fresh: socket.socket) -> None:
    """Set what the task has set."""
    for level, option, size in _KEPT:
        with contextlib.suppress(OSError):
            value = before.getsockopt(level, option, size)
            if value != fresh.getsockopt(level, option, size):
                fresh.setsockopt(level, option, value)
    for option in _DOUBLED:
        with contextlib.suppress(OSError):
            size = before.getsockopt(socket.SOL_SOCKET, option)
            if size != fresh.getsockopt(socket.SOL_SOCKET, option):
                fresh.setsockopt(socket.SOL_SOCKET, option, size // 2)
