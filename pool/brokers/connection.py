"""The WebSocket to one broker: connect, reader, writer, heartbeat, close.

One :class:`Connection` is one WebSocket. Its reader always drains; everything that goes out
passes through one bounded outbox, so that frames never interleave
and a broker that doesn't read makes senders wait instead of our memory grow. Each hop from one task to another is a
pass of the event loop, so small messages make none: they are dealt with by the reader itself, and what is said to them
is written in the same breath, if nothing else is being written and the socket takes it. All else has its turn: with
who iterates over :meth:`Connection.frames`, and with the writer. A broker that says more
than it is asked for is read slowly (``pace.py``). Messages are
bytes here, and large ones go out in pieces (``bytes_websocket.py``): heartbeats are answered
while 100 MB do.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote, urlsplit

import structlog
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError
from wsproto.utilities import LocalProtocolError

from reptarium.pool.brokers.bytes_websocket import BytesWebSocket, open_websocket
from reptarium.pool.brokers.errors import GrantRefused, LinkError
from reptarium.pool.brokers.outbox import Outbox
from reptarium.pool.brokers.pace import Pace
from reptarium.pool.brokers.stream import CONNECT_TIMEOUT, open_stream, send_at_once
from reptarium.pool.heads import HeadLines
from reptarium.pool.protocol.messages import BrokerMessage, RunnerMessage, RunnerTaskOffer

log = structlog.get_logger("reptarium.pool.brokers.connection")

#: How much of the answer to the handshake is looked at before everything else has its turn, in bytes.
HANDSHAKE_PIECE = 4096


class _Heard(trio.abc.Stream):
    """A stream that counts what has been received: proof that the other side lives. What is sent may wait for nothing.

    While the WebSocket isn't open its end is an error: trio-websocket would wait on for the rest of the handshake. A
    :class:`LinkError`, since it may come when the WebSocket has just opened.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.received = 0
        self.opening = True
        self._stream = stream
        self._rest = b""  # of what was sent at once in part
        self._lines = HeadLines()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self.opening:  # what comes is taken apart in one go: headers, or interim answers without end
            max_bytes = min(max_bytes or HANDSHAKE_PIECE, HANDSHAKE_PIECE)
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            if not self.opening:
                raise
            data = b""
        if self.opening and not data:
            raise LinkError("the connection was closed during the WebSocket's handshake")
        if self.opening and self._lines.too_many(data):
            raise LinkError("it answered more lines than a WebSocket's handshake has")
        self.received += len(data)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        await self._stream.send_all(data)

    def send_at_once(self, data: bytes) -> bool | None:
        """Send ``data`` if that waits for nothing. True: all of it; False: the next ``send_all`` begins with the rest;
        None: nothing. Nobody may be sending meanwhile.
        """
        sent = 0 if self._rest else send_at_once(self._stream, data)
        if not sent:
            return None
        self._rest = data[sent:]
        return not self._rest

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()
        if self.opening:
            raise LinkError("it answered something that is not a WebSocket")


class Connection:
    """One open WebSocket to a broker. What is put into ``outbox`` goes out."""

    def __init__(self, ws: BytesWebSocket, heard: _Heard, uri: str) -> None:
        self.outbox = Outbox()
        self._ws = ws
        self._heard = heard
        self._uri = uri
        self._pace = Pace()
        self._slowed = False
        self._closing: trio.Event | None = None
        ws.on_flood = self._slow
        ws.in_pace = self._in_pace
        self.outbox.write_at_once = ws.send_texts_at_once

    def send_nowait(self, message: RunnerMessage | BrokerMessage) -> None:
        """Queue a small message. Raises :class:`LinkError` when the broker has long stopped reading."""
        if isinstance(message, RunnerTaskOffer):
            self._pace.offered()
        self.outbox.put(message)

    async def send(self, message: RunnerMessage | BrokerMessage) -> None:
        """Queue a message of bulk, waiting for room. A closed connection swallows it: its tasks have failed.

        No checkpoint where there is room: who sends many sees to everybody's turns.
        """
        self._pace.called()
        if not self.outbox.roomy:
            await self.outbox.room()
        self.outbox.put(message, bulk=True)

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Every message that comes, until the connection ends."""
        while True:
            try:
                message = await self._ws.get_message()
            except ConnectionClosed:
                return
            await self._in_pace()
            yield message  # type: ignore[misc] # no str: see there
            del message  # not kept until the next one comes
            self._ws.queued -= 1

    def leave_out(self, unheard: Callable[[bytes | bytearray], object]) -> None:
        """Messages of which this is true are no part of :meth:`frames` from now on. They count as any other."""
        self._ws.unheard = unheard

    def leave_to(self, at_once: Callable[[bytes | bytearray], Callable[[], None] | None] | None) -> None:
        """Messages in one piece, of which this says what is to be done, are no part of :meth:`frames` from now on: it
        is done when they come, in their order, unless it is None by then. They count as any other.
        """
        self._ws.at_once = at_once

    async def _in_pace(self) -> None:
        if pause := self._pace.take(trio.current_time()):
            self._slow()
            await trio.sleep(pause)  # what is behind it waits too, answers to pings as well

    def _slow(self) -> None:
        if not self._slowed:
            log.warning("the broker says more than it is asked for: it is read slowly", broker=self._uri)
        self._slowed = True

    @property
    def close_reason(self) -> str:
        """Why the connection ended, in words."""
        reason = self._ws.closed
        return "not closed" if reason is None else f"{reason.code} {reason.name} {reason.reason or ''}".strip()

    @property
    def receiving(self) -> bool:
        """Whether a message is on its way to us."""
        return self._ws.receiving

    async def write(self) -> None:
        """The writer task."""
        with suppress(ConnectionClosed, trio.ClosedResourceError):
            await self.outbox.write(self._ws.send_texts)

    async def aclose(self) -> None:
        """Close in order: what was queued goes out, then the closing handshake (RFC 6455, 7)."""
        await self.outbox.flush()
        self._closing = trio.Event()
        try:
            await self._ws.aclose()
        finally:
            self._closing.set()

    async def finish(self) -> None:
        """The end of the connection's life, whoever began it; takes a second at most, even when cancelled."""
        with trio.move_on_after(1.0, shield=True) as scope:
            if self._closing is not None:
                await self._closing.wait()  # the closing handshake needs the reader, which goes next
            elif self._ws.closed is None:
                # leaving in a hurry: the reader may be cancelled already, so nobody waits for an answer
                scope.deadline = trio.current_time() + 0.05
                await self._ws.aclose()

    async def keepalive(self, interval: float) -> None:
        """Ping every ``interval`` seconds, and notice a broker that is gone without a word.

        That is one that has neither answered for as long nor sent anything else: its answer may be stuck
        behind a message of 1 GiB. Raises :class:`LinkError`.
        """
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(interval)
                answered = trio.Event()
                # not cancelled when it takes too long: half a ping on its way would spoil what comes after
                nursery.start_soon(self._ping, answered)
                silent = 0
                while not answered.is_set():
                    heard = self._heard.received
                    with trio.move_on_after(interval / 2):
                        await answered.wait()
                    silent = silent + 1 if self._heard.received == heard else 0
                    # twice, because time may have passed while we were stopped, with the answer at the door
                    if silent == 2 and not answered.is_set():
                        raise LinkError(f"the broker has not answered a ping for {interval:g} s")

    async def _ping(self, answered: trio.Event) -> None:
        # Closed, it is no answer: the reader may be stuck with the answer to a close frame, which a broker that has
        # stopped reading doesn't take, and the connection would never end.
        with suppress(ConnectionClosed):
            await self._ws.ping()
            answered.set()


@asynccontextmanager
async def connect(
    uri: str, path: str, runner_id: str, grant: str, max_payload: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Connection]:
    """An open connection with its writer running; closed on exit.

    ``tls``: see :func:`open_stream`. Raises :class:`LinkError`, and :class:`GrantRefused` when the broker says 403.
    """
    opened = False
    try:
        with trio.fail_after(CONNECT_TIMEOUT):
            stream = await open_stream(uri, tls)
        try:
            async with trio.open_nursery() as nursery:
                with trio.fail_after(CONNECT_TIMEOUT):
                    heard = _Heard(stream)
                    ws = await open_websocket(
                        nursery,
                        heard,
                        urlsplit(uri).netloc,
                        f"{urlsplit(uri).path.rstrip('/')}{path}/_ws?id={quote(runner_id)}",
                        extra_headers=[(b"Authorization", b"Bearer " + grant.encode())],
                        max_message_size=max_payload,
                    )
                opened, heard.opening = True, False
                connection = Connection(ws, heard, uri)
                nursery.start_soon(connection.write)
                try:
                    yield connection
                finally:
                    await connection.finish()
                    nursery.cancel_scope.cancel()
        finally:
            # a connection that the other side has ended is left open by trio-websocket
            await trio.aclose_forcefully(stream)
    except (BaseExceptionGroup, OSError, HandshakeError, trio.TooSlowError) as error:
        # trio-websocket reports a refused handshake from its reader task, hence in a group
        if opened:
            # a LinkError of the block comes out as it is: in a group, nobody would know it for a lost connection
            ends = (LinkError, LocalProtocolError, ConnectionClosed)
            lost, rest = error.split(ends) if isinstance(error, BaseExceptionGroup) else (None, error)
            if lost is None or rest is not None:
                raise
            raise _end(lost) from None
        raise _explained(uri, error) from None


def _end(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    if isinstance(first, BaseExceptionGroup):
        return _end(first)
    if isinstance(first, LocalProtocolError | ConnectionClosed):
        # of trio-websocket's reader: it would answer a ping that comes after our close frame, which wsproto
        # forbids, or a frame that is none, when nothing can be sent any more
        return LinkError("the broker went on while the connection was being closed")
    return first


def _explained(uri: str, error: BaseException) -> BaseException:
    """What to raise for a connection that didn't come about."""
    if isinstance(error, BaseExceptionGroup):
        if error.split(Exception)[1] is not None:
            return error  # a cancellation
        return _explained(uri, error.exceptions[0])
    if isinstance(error, ConnectionRejected):
        if error.status_code == 403:
            return GrantRefused(f"{uri} refused the grant token (403): it is wrong, used or too old", fatal=True)
        return LinkError(f"{uri} refused the WebSocket ({error.status_code})")
    if isinstance(error, trio.TooSlowError):
        return LinkError(f"{uri}: no connection within {CONNECT_TIMEOUT:.0f} s")
    if isinstance(error, OSError | HandshakeError | LinkError):
        return LinkError(f"{uri}: {str(error) or type(error).__name__}")
    # Nothing but the handshake has run: what it stumbles on came from there. Of one that is none trio-websocket makes
    # errors of several libraries, as it would answer it, which a client can't.
    return LinkError(f"{uri} answered something that is not a WebSocket ({type(error).__name__})")
