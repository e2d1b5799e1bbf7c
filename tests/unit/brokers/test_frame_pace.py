"""Frames that bring nothing on: a flood of them is read slowly, what else comes is not.

A real WebSocket over streams in memory, in imaginary time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Ping

from reptarium.pool.brokers.bytes_websocket import BytesWebSocket, open_websocket
from reptarium.pool.brokers.connection import Connection
from reptarium.pool.brokers.pace import BRINGS_ON, BROUGHT, BURST, FRAME_BURST, FRAME_RATE, RATE

MESSAGE = b"\x81\x02{}"
FLOODS = {
    "pings": b"\x89\x00",
    "long pings": b"\x89\x7d" + b"p" * 125,
    "pongs": b"\x8a\x00",
    "empty fragments": b"\x00\x00",
    "fragments of a byte": b"\x00\x01 ",
    "fragments that are too small": b"\x00\x7e" + (BRINGS_ON - 1).to_bytes(2, "big") + b" " * (BRINGS_ON - 1),
}


@asynccontextmanager
async def websocket() -> AsyncIterator[tuple[BytesWebSocket, Callable[[bytes], Awaitable[None]], WSConnection]]:
    """Ours; how the other side sends; what it has of the protocol."""
    here, there = trio.testing.memory_stream_pair()
    server = WSConnection(ConnectionType.SERVER)

    async def accept() -> None:
        server.receive_data(bytes(await there.receive_some(65536)))
        assert list(server.events())
        await there.send_all(server.send(AcceptConnection()))
        async for data in there:
            server.receive_data(bytes(data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        yield (
            await open_websocket(nursery, here, "broker", "/", extra_headers=[], max_message_size=2**30),
            there.send_all,
            server,
        )
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_is_read_slowly(flood: str, autojump_clock: trio.testing.MockClock) -> None:
    """What is behind it waits: the other side has put it there. Said once."""
    count = FRAME_BURST + 100
    frames = FLOODS[flood] * count
    fragments = FLOODS[flood][0] == 0
    async with websocket() as (ours, say, _):
        connection, began = Connection(ours, None, "http://broker"), trio.current_time()  # type: ignore[arg-type]
        with capture_logs() as lines:
            await say(b"\x01\x01{" + frames + b"\x80\x01}" if fragments else frames + MESSAGE)
            async with aclosing(connection.frames()) as messages:
                message = await anext(messages)
        assert message.split() == ([b"{", b"}"] if fragments and b" " in frames else [b"{}"])
        assert trio.current_time() - began == pytest.approx(100 / FRAME_RATE, rel=0.05)
        assert [line["broker"] for line in lines] == ["http://broker"]


async def test_what_brings_a_message_on_is_not_slowed(autojump_clock: trio.testing.MockClock) -> None:
    """A large message in many parts, and a ping now and then."""
    part = b"\x00\x7e" + BRINGS_ON.to_bytes(2, "big") + b"x" * BRINGS_ON
    async with websocket() as (ours, say, _):
        began = trio.current_time()
        await say(b"\x01\x00" + part * 10 * FRAME_BURST + b"\x80\x00")
        assert len(await ours.get_message()) == 10 * FRAME_BURST * BRINGS_ON
        assert trio.current_time() == began
        for _ in range(2 * FRAME_BURST):
            await trio.sleep(2 / FRAME_RATE)
            await say(b"\x89\x00" + MESSAGE)
            asked = trio.current_time()
            await ours.get_message()
            assert trio.current_time() == asked


async def test_reads_that_end_amid_a_message_are_no_flood(autojump_clock: trio.testing.MockClock) -> None:
    """A busy broker on a real network: nearly every read ends somewhere in a message, often near its beginning."""
    message, read, count = b"\x81\x7e" + (350).to_bytes(2, "big") + b"x" * 350, 3 * 354 + 100, 30 * FRAME_BURST
    async with websocket() as (ours, say, _), trio.open_nursery() as nursery:
        began, stream = trio.current_time(), message * count

        async def send() -> None:
            for start in range(0, len(stream), read):
                await say(stream[start : start + read])
                await trio.testing.wait_all_tasks_blocked()

        nursery.start_soon(send)
        for _ in range(count):
            assert len(await ours.get_message()) == 350
        assert trio.current_time() == began


@pytest.mark.parametrize("size", [2**18, 2**16, 1000])
async def test_fragments_that_end_amid_a_read_are_no_flood(size: int, autojump_clock: trio.testing.MockClock) -> None:
    """Files that n8n hands over, one after the other: each fragment ends its head further in a read than the last."""
    head = b"\x00\x7f" + size.to_bytes(8, "big") if size > 65535 else b"\x00\x7e" + size.to_bytes(2, "big")
    message = b"\x01\x00" + (head + b"x" * size) * 20 + b"\x80\x00"
    async with websocket() as (ours, say, _):
        began = trio.current_time()
        for _ in range(FRAME_BURST // 8):
            await say(message)
            assert len(await ours.get_message()) == 20 * size
        assert trio.current_time() == began


async def test_much_of_a_message_pays_for_no_flood_after_it(autojump_clock: trio.testing.MockClock) -> None:
    size, tiny = 2**20, b"\x00\x01x"
    many = FRAME_BURST + BROUGHT // BRINGS_ON + 100
    async with websocket() as (ours, say, _):
        began = trio.current_time()
        await say(b"\x01\x7f" + size.to_bytes(8, "big") + b"x" * size + tiny * many + b"\x80\x00")
        assert len(await ours.get_message()) == size + many
        assert trio.current_time() - began == pytest.approx(100 / FRAME_RATE, rel=0.05)


async def test_what_trickles_is_no_later(autojump_clock: trio.testing.MockClock) -> None:
    """A network that brings twenty bytes at a time: they are read less often than they come, and all at once then."""
    size = 100_000
    async with websocket() as (ours, say, _), trio.open_nursery() as nursery:
        began = trio.current_time()

        async def trickle() -> None:
            left = b"\x81\x7f" + size.to_bytes(8, "big") + b"x" * size
            while left:
                await say(left[:20])
                left = left[20:]
                await trio.sleep(0.001)

        nursery.start_soon(trickle)
        assert len(await ours.get_message()) == size
        assert trio.current_time() - began == pytest.approx(size / 20 * 0.001, abs=2 / FRAME_RATE)


async def test_pings_are_answered_at_their_pace(autojump_clock: trio.testing.MockClock) -> None:
    """Each of a burst, and none is forgotten after it."""
    async with websocket() as (_, say, server):
        await say(server.send(Ping(b"one")) * (FRAME_BURST + 10))
        await trio.sleep(20 / FRAME_RATE)
        assert len(list(server.events())) == FRAME_BURST + 10


async def test_messages_that_nobody_hears_count_as_any_other(autojump_clock: trio.testing.MockClock) -> None:
    """Answers to prints, in a flood that no print has asked for: what is behind it waits."""
    async with websocket() as (ours, say, _):
        connection, began = Connection(ours, None, "http://broker"), trio.current_time()  # type: ignore[arg-type]
        connection.leave_out(lambda message: message == b"unheard")
        with capture_logs() as lines:
            await say(b"\x81\x07unheard" * (BURST + 99) + MESSAGE)
            async with aclosing(connection.frames()) as messages:
                assert await anext(messages) == b"{}"
        assert trio.current_time() - began == pytest.approx(100 / RATE, rel=0.05)
        assert [line["broker"] for line in lines] == ["http://broker"]
