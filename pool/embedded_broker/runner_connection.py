"""One runner's WebSocket: a reader, a writer, a heartbeat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from reptarium.pool.embedded_broker.transport import FRAGMENT, Transport, text_fragments, text_frame
from reptarium.pool.protocol.messages import BrokerMessage, BrokerTaskSettings, encode

#: Messages that may wait for a connection's writer; a runner that lets more pile up is cut off.
MAX_QUEUED = 16 * 1024

#: From so many waiting messages on, the runner's own are not read until it has read some of ours.
_HIGH = 1024
_LOW = 256

#: How long a close may take: what is queued, our close frame, the runner's (seconds).
_CLOSE_TIMEOUT = 2.0


class _Close(msgspec.Struct, frozen=True):
    code: int
    reason: str


class RunnerConnection:
    """A WebSocket with its tasks. :meth:`run` lasts as long as the connection.

    ``on_frame`` gets each message as it came, ``on_sending`` each task's settings when their turn has
    come, ``on_unresponsive`` is called once when a ping went unanswered or the runner doesn't read.
    """

    def __init__(
        self,
        key: int,
        runner_id: str,
        *,
        heartbeat_interval: float,
        on_frame: Callable[[RunnerConnection, str | bytes], Awaitable[None]],
        on_sending: Callable[[BrokerTaskSettings], None],
        on_unresponsive: Callable[[RunnerConnection], None],
    ) -> None:
        self.key = key
        self.runner_id = runner_id
        self._interval = heartbeat_interval
        self._on_frame = on_frame
        self._on_sending = on_sending
        self._on_unresponsive = on_unresponsive
        self._queue, self._queued = trio.open_memory_channel[BrokerMessage | bytes | _Close](MAX_QUEUED)
        self._waiting = 0
        self._below = trio.Event()
        self._written = trio.Event()
        self._closing = False
        self._scope = trio.CancelScope()
        self._transport: Transport | None = None
        self.silent = False

    @property
    def traffic(self) -> tuple[int, int]:
        """How many bytes have been received and sent, the handshake's included."""
        return (0, 0) if self._transport is None else (self._transport.received, self._transport.sent)

    # --- called by the broker, never blocking ----------------------------------------------

    def send(self, message: BrokerMessage | bytes) -> None:
        """Queue a message, or the bytes of a frame as they are. Dropped once the connection is closing."""
        if self._closing:
            return
        try:
            self._queue.send_nowait(message)
        except trio.WouldBlock:
            self._on_unresponsive(self)
        except trio.BrokenResourceError:
            pass  # the writer has met the end of the connection; the reader is about to
        else:
            self._waiting += 1

    def close(self, code: int, reason: str) -> None:
        """Close after what is queued, or after two seconds without."""
        if self._closing:
            return
        self._closing = True
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + _CLOSE_TIMEOUT)
        try:
            self._queue.send_nowait(_Close(code, reason))
        except (trio.WouldBlock, trio.BrokenResourceError):
            self._scope.cancel()

    def abort(self) -> None:
        """End the connection without a word, as a broken network would."""
        self._closing = True
        if self._transport is not None:
            self._transport.reset()
        self._scope.cancel()

    def throttle(self, rate: float | None) -> None:
        """Read at most ``rate`` bytes a second; None: as fast as they come."""
        if self._transport is not None:
            self._transport.throttle(rate)

    def silence(self) -> None:
        """Say and hear nothing any more, and leave the socket open."""
        self._closing = self.silent = True
        if self._transport is not None:
            self._transport.silence()
        self._scope.cancel()

    # --- the tasks -------------------------------------------------------------------------

    async def run(self, socket: WebSocketConnection, transport: Transport) -> str:
        """Serve the connection to its end. Returns why it ended, for the log."""
        self._transport = transport
        why = "closed by the broker"
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, socket, transport)
                nursery.start_soon(self._beat, socket)
                why = await self._read(socket)
                if self._closing:
                    # our close ends the reading at once, but the runner's close frame is still to come:
                    # a socket that is closed before it has read all resets, and our frame may be lost
                    await self._written.wait()
                nursery.cancel_scope.cancel()
        return why

    async def _read(self, socket: WebSocketConnection) -> str:
        while True:
            try:
                frame = await socket.get_message()
            except ConnectionClosed as closed:
                return f"closed with {closed.reason.code}" if closed.reason else "lost"
            await self._on_frame(self, frame)
            del frame  # not kept until the next one comes
            while self._waiting > _HIGH:
                self._below = trio.Event()
                await self._below.wait()

    async def _write(self, socket: WebSocketConnection, transport: Transport) -> None:
        item: BrokerMessage | bytes | _Close | None
        try:
            with self._queued:
                async for item in self._queued:
                    batch = bytearray()
                    while item is not None:
                        if isinstance(item, _Close):
                            await transport.send_all(batch)
                            await socket.aclose(item.code, item.reason)
                            return
                        await self._put(item, batch, transport)
                        item = self._next()
                    if socket.closed is None:
                        await transport.send_all(batch)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the reader tells
        finally:
            self._written.set()

    async def _put(self, item: BrokerMessage | bytes, batch: bytearray, transport: Transport) -> None:
        """Add a message to the batch; large ones, and batches that have become large, go out at once."""
        if isinstance(item, BrokerTaskSettings):
            self._on_sending(item)
        payload = item if isinstance(item, bytes) else encode(item)
        self._waiting -= 1
        if self._waiting <= _LOW:
            self._below.set()
        if len(payload) > FRAGMENT:
            await transport.send_all(batch)
            batch.clear()
            for fragment in text_fragments(payload):
                await transport.send_all(fragment)
            return
        batch += text_frame(payload)
        if len(batch) > FRAGMENT:
            await transport.send_all(batch)
            batch.clear()

    def _next(self) -> BrokerMessage | bytes | _Close | None:
        try:
            return self._queued.receive_nowait()
        except trio.WouldBlock:
            return None

    async def _beat(self, socket: WebSocketConnection) -> None:
        """Ping every interval; a pong that is missing at the next one ends the connection."""
        due = trio.current_time()
        while True:
            due += self._interval
            await trio.sleep_until(due)
            try:
                with trio.move_on_at(due + self._interval) as scope:
                    await socket.ping()
            except (ConnectionClosed, trio.ClosedResourceError):
                return
            if scope.cancelled_caught:
                self._on_unresponsive(self)
                return
