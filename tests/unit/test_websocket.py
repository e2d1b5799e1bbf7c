"""The client's end of a WebSocket, against wsproto's server over a stream in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
import trio
import trio.testing
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

from pool.websocket import Closed, Rejected, WebSocket

MAX = 1000


class Server:
    """wsproto's server. ``heard`` is all that came after the handshake."""

    def __init__(
        self, stream: trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]
    ) -> None:
        self.heard: list[Event] = []
        self.packets = 0
        self.protocol = WSConnection(ConnectionType.SERVER)
        self._stream = stream

    async def run(self, answer: Event) -> None:
        """Answer the request, pings and a close frame; note everything."""
        while data := await self._stream.receive_some():
            self.packets += 1
            self.protocol.receive_data(bytes(data))
            for event in self.protocol.events():
                if isinstance(event, Request):
                    await self.say(answer)
                    continue
                self.heard.append(event)
                asked = isinstance(event, CloseConnection) and self.protocol.state is ConnectionState.REMOTE_CLOSING
                if asked or isinstance(event, Ping):
                    await self.say(event.response())

    async def say(self, *events: Event, raw: bytes = b"") -> None:
        """Send these in one piece."""
        await self._stream.send_all(b"".join(map(self.protocol.send, events)) + raw)

    async def hang_up(self) -> None:
        """End the stream."""
        await self._stream.send_eof()


@asynccontextmanager
async def connected(answer: Event | None = None) -> AsyncIterator[tuple[WebSocket, Server]]:
    """An open connection."""
    ours, theirs = trio.testing.memory_stream_pair()
    ws, server = WebSocket(ours, max_message=MAX), Server(theirs)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run, answer or AcceptConnection())
            await ws.open("localhost", "/", [])
            yield ws, server
            nursery.cancel_scope.cancel()


async def read(ws: WebSocket, into: list[str | bytes]) -> None:
    """Read to the end."""
    async with aclosing(ws.messages()) as messages:
        async for message in messages:
            into.append(message)


async def test_messages_in_one_piece_and_in_many() -> None:
    """Several in one packet, one in several fragments with a ping in between, bytes: each comes once, in order."""
    async with connected() as (ws, server), trio.open_nursery() as nursery:
        got: list[str | bytes] = []
        nursery.start_soon(read, ws, got)
        await server.say(TextMessage("a"), TextMessage("b"), TextMessage("c", message_finished=False))
        await server.say(Ping(b"now"), TextMessage("d", message_finished=False), TextMessage("é"), BytesMessage(b"x"))
        await trio.testing.wait_all_tasks_blocked()
        assert got == ["a", "b", "cdé", b"x"]
        assert server.heard == [Pong(b"now")]
        await ws.aclose()


async def test_frames_that_go_out_together() -> None:
    """Several messages in one send, one of them in fragments."""
    async with connected() as (ws, server):
        await trio.testing.wait_all_tasks_blocked()
        before = server.packets
        await ws.send(ws.frame("a") + ws.frame("b", final=False) + ws.frame("é") + ws.frame("c"))
        await trio.testing.wait_all_tasks_blocked()
        assert [(event.data, event.message_finished) for event in server.heard if isinstance(event, TextMessage)] == [
            ("a", True),
            ("b", False),
            ("é", True),
            ("c", True),
        ]
        assert server.packets == before + 1


@pytest.mark.parametrize("reader", [False, True])
async def test_we_close(reader: bool) -> None:
    """With somebody reading or nobody; what comes meanwhile is dropped, and afterwards nothing can be sent."""
    async with connected() as (ws, server), trio.open_nursery() as nursery:
        if reader:
            nursery.start_soon(read, ws, [])
            await trio.testing.wait_all_tasks_blocked()
        frame = ws.frame("late")
        async with trio.open_nursery() as closing:
            closing.start_soon(ws.aclose)
            await server.say(TextMessage("too late"), Ping(b""))
        assert ws.closed == "1000 NORMAL_CLOSURE"
        assert server.heard[-1] == CloseConnection(code=1000, reason="")
        assert server.protocol.state is ConnectionState.CLOSED
        for send in (ws.ping(), ws.send(frame)):
            with pytest.raises(Closed):
                await send
        with pytest.raises(Closed):
            ws.frame("x")
        await ws.aclose()


async def test_reader_that_leaves_while_we_close() -> None:
    """The closing handshake is finished without it."""
    async with connected() as (ws, server), trio.open_nursery() as nursery:
        async with trio.open_nursery() as reading:
            reading.start_soon(read, ws, [])
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ws.aclose)
            reading.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert server.protocol.state is ConnectionState.CLOSED


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda server: server.say(CloseConnection(1001, "going away")), "1001 GOING_AWAY going away"),
        (lambda server: server.say(CloseConnection(4321)), "4321 PRIVATE_RESERVED"),
        (lambda server: server.hang_up(), "1006 ABNORMAL_CLOSURE"),
        (lambda server: server.say(raw=b"\xff\xff\xff\xff"), "1002 PROTOCOL_ERROR Invalid opcode"),
        (lambda server: server.say(TextMessage("x" * (MAX + 1))), "1009 MESSAGE_TOO_BIG Exceeded"),
    ],
    ids=["close", "private code", "end", "no frame", "too large"],
)
async def test_they_end_it(end: Callable[[Server], Awaitable[None]], why: str) -> None:
    """What came before is read, the end is told, and nothing can be sent any more."""
    async with connected() as (ws, server):
        got: list[str | bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, ws, got)
            await server.say(TextMessage("x" * MAX))
            await end(server)
        assert got == ["x" * MAX]
        assert (ws.closed or "").startswith(why)
        with pytest.raises(Closed):
            ws.frame("x")
        await ws.aclose()


async def test_pings() -> None:
    """Each is answered; a connection that is closed answers none."""
    async with connected() as (ws, server), trio.open_nursery() as nursery:
        nursery.start_soon(read, ws, [])
        async with trio.open_nursery() as pings:
            for _ in range(3):
                pings.start_soon(ws.ping)
        assert len(server.heard) == 3
        await ws.aclose()
        with pytest.raises(Closed):
            await ws.ping()


async def test_handshakes_that_fail() -> None:
    """Refused, answered with something else, broken off."""
    with pytest.RaisesGroup(pytest.RaisesExc(Rejected, check=lambda error: error.status == 403)):
        async with connected(RejectConnection(status_code=403, has_body=True)):
            pass
    for answer in (b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200", b""):
        ours, theirs = trio.testing.memory_stream_pair()
        ws = WebSocket(ours, max_message=MAX)
        await theirs.send_all(answer)
        await theirs.send_eof()
        with pytest.raises(Closed):
            await ws.open("localhost", "/", [])
