"""A client's end of a WebSocket (RFC 6455): wsproto knows the protocol, this moves the bytes.

Whoever iterates over :meth:`WebSocket.messages` is the reader, which also answers pings; anybody may send, in turn.
A message is handled where it is read, without a task or a channel in between, and frames that are ready at the
same time go out in one system call: both are a good part of what a small task costs the supervisor.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import suppress

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

#: Bytes that are read at once: with 4 KiB a message of 1 MB costs 12 times as much.
RECEIVE_BUFFER = 256 * 1024


class Closed(Exception):
    """The connection is closed, or being closed."""


class Rejected(Exception):
    """The server answered the handshake with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


class WebSocket:
    """One connection over ``stream``, which stays its maker's to close.

    ``received`` counts bytes: proof that the other side lives. ``closed`` says why the connection was or is being
    closed. A message of more than ``max_message`` characters ends it.
    """

    def __init__(self, stream: trio.abc.Stream, *, max_message: int) -> None:
        self.received = 0
        self.closed: str | None = None
        self._stream = stream
        self._max_message = max_message
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._sending = trio.StrictFIFOLock()
        # not a lock: a generator that nobody closes ends in another task than the one that began it
        self._reading = trio.Semaphore(1)
        self._over = False  # nothing more will be read
        self._pongs: dict[bytes, trio.Event] = {}

    async def open(self, host: str, target: str, headers: list[tuple[bytes, bytes]]) -> None:
        """The handshake. Raises :class:`Rejected` and :class:`Closed`."""
        try:
            await self._stream.send_all(self._protocol.send(Request(host=host, target=target, extra_headers=headers)))
            while True:
                for event in self._protocol.events():
                    if isinstance(event, AcceptConnection):
                        return
                    if isinstance(event, RejectConnection):
                        raise Rejected(event.status_code)
                data = await self._stream.receive_some(RECEIVE_BUFFER)
                if not data:
                    raise Closed("closed within the handshake")
                self.received += len(data)
                self._protocol.receive_data(bytes(data))
        except RemoteProtocolError as error:
            raise Closed(f"this is no WebSocket: {error}") from None
        except trio.BrokenResourceError as error:  # of TLS, say: then the cause tells more
            raise Closed(str(error.__cause__ or "") or "broken off within the handshake") from None

    async def messages(self) -> AsyncGenerator[str | bytes, None]:
        """Every message that comes, until the connection is closed."""
        async with self._reading:
            parts: list[str] | list[bytes] = []
            size = 0
            while not self._over:
                for event in await self._events():
                    if isinstance(event, TextMessage | BytesMessage):
                        if self.closed is not None:
                            continue  # we are leaving: it comes too late
                        size += len(event.data)
                        if size > self._max_message:
                            await self._leave(1009, f"Exceeded maximum message size: {self._max_message} bytes")
                            return
                        parts.append(event.data)  # type: ignore[arg-type] # all of one kind
                        if event.message_finished:
                            yield parts[0] if len(parts) == 1 else parts[0][:0].join(parts)  # type: ignore[arg-type]
                            parts, size = [], 0
                    else:
                        await self._answer(event)

    async def _events(self) -> list[Event]:
        """What has come; waits until something has."""
        events = list(self._protocol.events())
        while not events and not self._over:
            try:
                data = await self._stream.receive_some(RECEIVE_BUFFER)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                self._lost()
                break
            self.received += len(data)
            self._protocol.receive_data(bytes(data))
            events = list(self._protocol.events())
        return events

    async def _answer(self, event: Event) -> None:
        if isinstance(event, Ping):
            if self._protocol.state is ConnectionState.OPEN:
                await self._reply(event.response())
        elif isinstance(event, Pong):
            self._pong(bytes(event.payload))
        elif isinstance(event, CloseConnection):
            if self._protocol.state is ConnectionState.OPEN:  # wsproto's own word: what came is no frame
                await self._leave(event.code, event.reason)
                return
            self._over = True
            self.closed = self.closed or _words(event.code, event.reason)
            if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                await self._reply(event.response())

    async def _reply(self, event: Event) -> None:
        with suppress(Closed):  # then the reader meets the end
            await self._send(self._protocol.send(event))

    async def _leave(self, code: int, reason: str | None) -> None:
        """Close because of what the server has sent; its answer isn't waited for."""
        self.closed, self._over = _words(code, reason), True
        await self._reply(CloseConnection(code=code, reason=reason))

    def _pong(self, payload: bytes) -> None:
        """One pong may answer every ping before it."""
        if payload in self._pongs:
            for earlier in list(self._pongs):
                self._pongs.pop(earlier).set()
                if earlier == payload:
                    break

    def _lost(self) -> None:
        self._over = True
        self.closed = self.closed or _words(CloseReason.ABNORMAL_CLOSURE, None)
        if self._protocol.state is ConnectionState.OPEN:
            self._protocol.send(CloseConnection(code=CloseReason.NORMAL_CLOSURE))  # to nobody: so that it knows

    def frame(self, text: str, *, final: bool = True) -> bytes:
        """A message, or a fragment of one, as :meth:`send` takes it, in this order. Raises :class:`Closed`."""
        self._check()
        return self._protocol.send(TextMessage(data=text, message_finished=final))

    async def send(self, frames: bytes) -> None:
        """Send what :meth:`frame` has made. Raises :class:`Closed`."""
        self._check()
        await self._send(frames)

    def _check(self) -> None:
        if self._protocol.state is not ConnectionState.OPEN:
            raise Closed(self.closed or "being closed")

    async def _send(self, data: bytes) -> None:
        if self._sending.locked():
            await self._sending.acquire()
        else:
            self._sending.acquire_nowait()  # no checkpoint: sending is one
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._lost()
            raise Closed(str(self.closed)) from None
        finally:
            self._sending.release()

    async def ping(self) -> None:
        """Wait for the answer to a ping. Raises :class:`Closed`."""
        self._check()
        payload = secrets.token_bytes(4)
        answered = self._pongs[payload] = trio.Event()
        await self._send(self._protocol.send(Ping(payload=payload)))
        await answered.wait()

    async def aclose(self) -> None:
        """The closing handshake (RFC 6455, 7): our close frame, then whatever comes up to the server's."""
        if self._protocol.state is not ConnectionState.OPEN:
            return
        self.closed = _words(CloseReason.NORMAL_CLOSURE, None)
        await self._reply(CloseConnection(code=CloseReason.NORMAL_CLOSURE))
        async with self._reading:  # the reader goes on to the end; it may have left, or there is none
            while not self._over:
                for event in await self._events():
                    if isinstance(event, CloseConnection):
                        self._over = True


def _words(code: int, reason: str | None) -> str:
    try:
        name = CloseReason(code).name
    except ValueError:
        name = "PRIVATE_RESERVED" if 4000 <= code < 5000 else "RESERVED"
    return f"{int(code)} {name} {reason or ''}".strip()
