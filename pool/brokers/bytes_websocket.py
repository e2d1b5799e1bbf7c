"""A WebSocket whose text messages are bytes, in both directions.

trio-websocket and wsproto make a str of each text message that comes, whole, and take a str for each that goes. One
character outside the Basic Multilingual Plane makes a str take four bytes a character: a message of 100 MB with one
emoji in it is 400 MB, and as much again while it is put together. What we do with messages needs no str. So here

- what comes is made bytes again piece by piece, as it is read (64 KiB at a time), and put together as bytes, which
  grow as it comes: joining 1 GiB at its end would take a second in which nothing else has its turn;
- what goes is given away as fragments (RFC 6455, 5.4) that are cut between characters and made str one by one.

The one file that uses private parts of trio-websocket (0.12): its public ones neither take nor give text as bytes,
and have no fragments. ``_handle_message_event`` gets each piece of a message and puts whole ones into
``_send_channel``, ``_handle_ping_event`` and ``_handle_pong_event`` get each ping and pong; ``_send`` is what
``send_message`` itself sends with, and with ``_wsproto``, ``_stream_lock``, ``_stream`` and ``_abort_web_socket``;
``_reader_task`` and ``_open_handshake`` are how ``wrap_client_stream`` brings a connection to life, which would make
one of its own class.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

from reptarium.pool.brokers.pace import Fragments, FramePace
from reptarium.pool.brokers.plain_frames import PlainFrames

#: trio-websocket's own default of 4 KiB costs 12 times as much for a message of 1 MB. Four times this costs a tenth
#: less, and 1.5 ms each: fifty brokers that all send large messages would hold up the loop with it.
RECEIVE_BUFFER = 64 * 1024
#: More than this is sent as several fragments, in bytes.
FRAGMENT = 256 * 1024
#: Fragments, pings and pongs that are taken between two looks at the event loop: fifty brokers may have as many each.
EVENTS = 8


class BytesWebSocket(WebSocketConnection):
    """A client's WebSocket. ``get_message`` gives bytes whether what came was text or not."""

    on_flood: Callable[[], None] | None = None
    """Is told when the other side sends more frames that bring nothing on than it may: it is read slowly then."""

    unheard: Callable[[bytes | bytearray], object] | None = None
    """What this says of a message in one piece that nobody wants to hear of it (there are as many as prints)."""
    at_once: Callable[[bytes | bytearray], Callable[[], None] | None] | None = None
    """What this says is to be done about a message in one piece is done as it is read: whoever waits in ``get_message``
    would have to be given a turn first. None of them comes while another is ``queued``."""
    in_pace: Callable[[], Awaitable[None]] | None = None
    """Is told of each of both kinds, in its turn."""

    def __init__(self, stream: trio.abc.Stream, plain: PlainFrames, **named: Any) -> None:
        super().__init__(stream, plain, **named)
        self._plain = plain
        self._begun: bytearray | None = None
        self._pace = FramePace()
        self._frames = Fragments()
        self._events = 0
        #: How many messages wait for ``get_message``, or are with who has asked for them: they count those down.
        self.queued = 0

    @property
    def receiving(self) -> bool:
        """Whether a part of a message has come, and not all of it."""
        return self._begun is not None or self._plain.receiving

    async def _handle_message_event(self, event: BytesMessage | TextMessage) -> None:
        await self._take_turns(idle=not self._frames.brings_on(len(event.data), event.message_finished))
        data = event.data.encode() if isinstance(event, TextMessage) else event.data
        begun, self._begun = self._begun, None
        if begun is None and event.message_finished:  # in one piece
            if self.unheard is not None and self.unheard(data):
                if self.in_pace is not None:
                    await self.in_pace()
                return
            if await self._done_at_once(data):
                return
        if len(data) + len(begun or b"") > self._max_message_size:
            self._message_size = self._max_message_size
            await super()._handle_message_event(BytesMessage(b"-", True, True))  # which says so, and closes
        else:
            message: bytes | bytearray = data
            if begun is not None or not event.message_finished:
                begun = bytearray() if begun is None else begun
                begun += data
                message = begun
            if event.message_finished:
                self.queued += 1
                with suppress(trio.ClosedResourceError, trio.BrokenResourceError):  # nobody reads any more
                    await self._send_channel.send(message)  # type: ignore[arg-type] # as good as bytes, to whom reads
            else:
                self._begun = begun

    async def _done_at_once(self, data: bytes | bytearray) -> bool:
        """Whether the message was one for ``at_once``. One for each read: others have their turns before the next."""
        if self.at_once is None or self.queued or (todo := self.at_once(data)) is None:
            return False
        if self._plain.taken:
            await trio.lowlevel.checkpoint()
        self._plain.taken = True
        if self.in_pace is not None:
            await self.in_pace()
        if self.at_once is not None:  # else they are no longer wanted
            todo()
        return True

    async def _handle_pong_event(self, event: Pong) -> None:
        await self._take_turns(idle=True)
        await super()._handle_pong_event(event)

    async def _take_turns(self, *, idle: bool) -> None:
        """64 KiB may be 30,000 events, none of which waits for anything. ``idle``: one that brings nothing on.

        Once we close, the answer to that is what is waited for, if not for long: it is behind what still comes.
        """
        if idle and self._wsproto.state is ConnectionState.OPEN and (pause := self._pace.take(trio.current_time())):
            if self.on_flood is not None:
                self.on_flood()
            await trio.sleep(pause)
        self._events += 1
        if self._events % EVENTS == 0:
            await trio.lowlevel.checkpoint()

    async def _handle_ping_event(self, event: Ping) -> None:
        # A ping that crosses our close frame needs no answer (RFC 6455, 5.5.1 and 5.5.2), and wsproto refuses to make
        # one: out of the reader, which nobody looks after while the connection is being closed. Nor does it wait then.
        await self._take_turns(idle=True)
        with suppress(LocalProtocolError):
            await super()._handle_ping_event(event)

    async def send_texts(self, texts: Sequence[bytes]) -> None:
        """Send text messages (UTF-8): those that are no longer than a fragment in one write.

        Raises ``ConnectionClosed``.
        """
        frames: list[bytes] = []
        for text in texts:
            if len(text) > FRAGMENT:
                if frames:
                    await self._write(frames)
                frames = []
                await self._send_fragments(text)
            else:
                self._require_open()
                frames.append(self._plain.text(text))
        if frames or not texts:
            await self._write(frames)

    def send_texts_at_once(self, texts: Sequence[bytes]) -> bool | None:
        """Send text messages (UTF-8) if that waits for nothing. True: all of them; False: a part, and the next
        :meth:`send_texts` begins with the rest; None: nothing.
        """
        # a text that comes after our close frame, or amid a frame that is on its way, would be an error
        if self._stream_lock.locked() or self.closed is not None or self._wsproto.state is not ConnectionState.OPEN:
            return None
        stream: Any = self._stream
        sent: bool | None = stream.send_at_once(b"".join(map(self._plain.text, texts)))
        return sent

    def _require_open(self) -> None:
        if self.closed is not None:
            raise ConnectionClosed(self.closed)

    async def _write(self, frames: list[bytes]) -> None:
        """What ``_send`` does with a single one. Of none: write the rest of what was sent at once."""
        async with self._stream_lock:
            try:
                await self._stream.send_all(b"".join(frames))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await self._abort_web_socket()
                self._require_open()
                raise

    async def _send_fragments(self, text: bytes) -> None:
        """Send one text message, with a look at the event loop between its fragments."""
        view, sent = memoryview(text), 0
        while True:
            self._require_open()
            last = len(view) - sent <= FRAGMENT
            part, size = utf_8_decode(view[sent : sent + FRAGMENT], "strict", last)
            await self._send(TextMessage(part, message_finished=last))
            if last:
                return
            sent += size
            await trio.lowlevel.checkpoint()


async def open_websocket(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    host: str,
    resource: str,
    *,
    extra_headers: list[tuple[bytes, bytes]],
    max_message_size: int,
) -> BytesWebSocket:
    """A WebSocket over ``stream``, its handshake done and its reader running in ``nursery``.

    ``max_message_size`` is in bytes. A refused handshake is raised by the reader, out of the nursery.
    """
    socket = BytesWebSocket(
        stream,
        PlainFrames(),
        host=host,
        path=resource,
        client_extra_headers=extra_headers,
        max_message_size=max_message_size,
        receive_buffer_size=RECEIVE_BUFFER,
    )
    nursery.start_soon(socket._reader_task)
    await socket._open_handshake.wait()
    return socket
