"""The bytes below a connection: one TCP stream that HTTP and WebSocket share.

The broker serves both on one port, so it reads a request's head before it knows which of the two will
read it again: :class:`Transport` gives back what was read ahead. It also serialises writers, because two
write to a WebSocket: trio-websocket (handshake, pongs, pings, close) and the connection's own writer
(messages). The latter frames its text itself. A server's frames carry no mask, so that is a header and the
bytes as they are: many small messages go out in one system call, and a large one goes out in fragments,
between which pings and pongs find their place and the event loop its turn.

A bad network is made here too (see ``faults.py``): a side that reads slowly, one that has
fallen silent, one that breaks off.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import trio

#: A request's head may be this long; more is not from a runner.
MAX_HEAD = 16 * 1024

#: A message is cut into fragments of this many bytes.
FRAGMENT = 256 * 1024

#: A throttled stream is read this many times a second (a rate is kept in small steps, not in gulps).
_STEPS = 50

_FINAL = 0x80
_TEXT = 0x01
_CONTINUATION = 0x00


class Transport(trio.abc.HalfCloseableStream):
    """A socket stream with a read-ahead and with writers in turn.

    ``received`` and ``sent`` count its bytes; a buffer that is on its way counts when it is all out.
    """

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        self.received = self.sent = 0
        self._stream = stream
        self._ahead = b""
        self._lock = trio.Lock()
        self._rate: float | None = None
        self._rate_changed = trio.Event()
        self._silent = False

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket itself (Hypercorn reads its addresses)."""
        return self._stream.transport_stream.socket if isinstance(self._stream, trio.SSLStream) else self._stream.socket

    async def peek_head(self) -> bytes:
        """The head of the first request, left to be read again; whatever came when there is no whole one."""
        while b"\r\n\r\n" not in self._ahead and len(self._ahead) < MAX_HEAD:
            more = await self._stream.receive_some(MAX_HEAD)
            if not more:
                break
            self._ahead += more
        return self._ahead.partition(b"\r\n\r\n")[0]

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """What was read ahead, then what comes."""
        if self._ahead:
            await trio.lowlevel.checkpoint()
            ahead, self._ahead = self._ahead[:max_bytes], self._ahead[max_bytes:] if max_bytes else b""
            return ahead
        await self._pace(0)
        if self._rate is not None:
            step = max(int(self._rate / _STEPS), 1)
            max_bytes = step if max_bytes is None else min(step, max_bytes)
        data = await self._stream.receive_some(max_bytes)
        self.received += len(data)
        await self._pace(len(data))
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of ``data``, after what others are sending."""
        async with self._lock:
            if self._silent:
                await trio.sleep_forever()
            await self._stream.send_all(data)
            self.sent += len(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As :class:`trio.abc.SendStream` has it."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Close the sending half, which TLS hasn't got."""
        async with self._lock:
            if not isinstance(self._stream, trio.SSLStream):
                await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the socket."""
        await self._stream.aclose()

    def throttle(self, rate: float | None) -> None:
        """Read at most ``rate`` bytes a second (0: nothing at all; None: whatever comes)."""
        self._rate = rate
        self._rate_changed.set()
        self._rate_changed = trio.Event()

    def silence(self) -> None:
        """Neither read nor send from now on: whoever tries waits until he is cancelled."""
        self._silent = True
        self.throttle(0.0)

    async def _pace(self, size: int) -> None:
        """Wait as long as ``size`` bytes take, or as nothing is to be read; a changed rate ends the wait."""
        if self._rate:
            with trio.move_on_after(size / self._rate):
                await self._rate_changed.wait()
        while self._rate == 0:
            await self._rate_changed.wait()

    def reset(self) -> None:
        """Make the coming close an abrupt one: the other side sees a reset, not an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def is_upgrade(head: bytes) -> bool:
    """Whether a request's head asks for a WebSocket."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"upgrade" and b"websocket" in value.lower():
            return True
    return False


def text_frame(payload: bytes) -> bytes:
    """One unmasked text message in one frame."""
    return _header(_FINAL | _TEXT, len(payload)) + payload


def text_fragments(payload: bytes, size: int = FRAGMENT) -> Iterator[bytes]:
    """One unmasked text message in frames of at most ``size`` bytes of payload."""
    view = memoryview(payload)
    opcode = _TEXT
    for start in range(0, max(len(payload), 1), size):
        part = view[start : start + size]
        final = _FINAL if start + size >= len(payload) else 0
        yield b"".join((_header(final | opcode, len(part)), part))
        opcode = _CONTINUATION


def _header(first: int, length: int) -> bytes:
    if length < 126:
        return bytes((first, length))
    if length < 65536:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)
