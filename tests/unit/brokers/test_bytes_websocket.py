"""Messages are bytes, both ways: what they cost doesn't depend on which characters are in them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial

import msgspec
import pytest
import trio
import trio.testing
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage
from wsproto.frame_protocol import FrameProtocol

from reptarium.pool.brokers import bytes_websocket
from reptarium.pool.brokers.bytes_websocket import EVENTS
from reptarium.pool.brokers.connection import Connection, connect
from reptarium.pool.brokers.pace import FramePace
from reptarium.pool.protocol.messages import RunnerTaskDone, TaskDoneData, encode
from tests.conftest import others_turns
from tests.limits import fail_after
from tests.unit.brokers.test_turnstile import Passes

pytestmark = pytest.mark.usefixtures("nothing_left")

MEGABYTE = 1_000_000
#: An emoji in front of plain text: as a str, four bytes for each of its characters.
EMOJI = b'"' + "\U0001f600".encode() + b"x" * 16 * MEGABYTE + b'"'
#: Characters of one to four bytes, so that every cut between two fragments meets some in the middle.
MIXED = b'"' + "aé€😀".encode() * 500_000 + b'"'

Serve = Callable[[trio.SocketStream, WSConnection], Awaitable[None]]


@asynccontextmanager
async def connected(serve: Serve, max_payload: int = 2**30) -> AsyncIterator[Connection]:
    """A connection to a broker that does what ``serve`` does after the handshake."""

    async def handle(stream: trio.SocketStream) -> None:
        server = WSConnection(ConnectionType.SERVER)
        while not server.state.value:
            server.receive_data(await stream.receive_some(65536))
            for event in server.events():
                assert isinstance(event, Request)
                await stream.send_all(server.send(AcceptConnection()))
        await serve(stream, server)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        uri = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        async with connect(uri, "/runners", "r", "grant", max_payload) as connection:
            yield connection
        nursery.cancel_scope.cancel()


async def test_a_sent_message_costs_what_it_weighs() -> None:
    """A result with an emoji goes out, once it is encoded, in the memory of a few fragments."""
    done = trio.Event()

    async def discard(stream: trio.SocketStream, server: WSConnection) -> None:
        got = 0
        while got < len(EMOJI):
            got += len(await stream.receive_some(65536))
        done.set()
        await trio.sleep_forever()

    with fail_after(60):
        async with connected(discard) as connection:
            message = RunnerTaskDone("t", TaskDoneData(msgspec.Raw(EMOJI)))
            tracemalloc.start()
            try:
                await connection.send(message)
                tracemalloc.reset_peak()
                encoded = tracemalloc.get_traced_memory()[0]
                await done.wait()
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
    assert peak - encoded < 6 * MEGABYTE


async def test_a_received_message_costs_what_it_weighs() -> None:
    """Items with an emoji come in as bytes: once in pieces, and once put together."""
    ready = trio.Event()

    async def send(stream: trio.SocketStream, server: WSConnection) -> None:
        header = bytes((0x81, 127)) + len(EMOJI).to_bytes(8, "big")
        await ready.wait()
        await stream.send_all(header + EMOJI[:1000])
        await stream.send_all(memoryview(EMOJI)[1000:])
        await trio.sleep_forever()

    with fail_after(60):
        async with connected(send) as connection, aclosing(connection.frames()) as frames:
            tracemalloc.start()
            try:
                ready.set()
                frame = await anext(frames)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
    assert frame == EMOJI
    assert peak < len(EMOJI) * 2.1 + 5 * MEGABYTE


async def test_characters_are_not_torn_on_the_way_out() -> None:
    """What is cut into fragments arrives as the text that it was, whatever lies at the cuts and waits beside it."""
    got: list[str] = []
    done = trio.Event()

    async def listen(stream: trio.SocketStream, server: WSConnection) -> None:
        finished = 0
        while finished < len(messages):
            server.receive_data(await stream.receive_some(65536))
            for event in server.events():
                assert isinstance(event, TextMessage)
                got.append(event.data)
                finished += event.message_finished
        done.set()
        await trio.sleep_forever()

    small = [RunnerTaskDone(f"small {number}", TaskDoneData(msgspec.Raw(b"1"))) for number in range(4)]
    first, second = (RunnerTaskDone(task, TaskDoneData(msgspec.Raw(MIXED))) for task in ("t", "longer"))
    messages = [*small[:2], first, small[2], second, small[3]]
    with fail_after(60):
        async with connected(listen) as connection:
            for message in messages:
                await connection.send(message)
            await done.wait()
    assert "".join(got) == b"".join(map(encode, messages)).decode()


async def test_characters_that_come_torn_are_put_together() -> None:
    """A broker may cut a message within a character; what is no UTF-8 ends the connection."""

    async def send(stream: trio.SocketStream, server: WSConnection) -> None:
        await stream.send_all(b"\x01\x02" + "é".encode())
        await stream.send_all(b"\x00\x02" + "😀".encode()[:2])
        await stream.send_all(b"\x80\x02" + "😀".encode()[2:])
        await stream.send_all(FrameProtocol(client=False, extensions=[]).send_data("x"))
        await stream.send_all(b"\x81\x01\xff")
        while True:
            server.receive_data(await stream.receive_some(65536))
            for event in server.events():
                assert isinstance(event, CloseConnection)
                await stream.send_all(server.send(event.response()))
                return

    with fail_after(20):
        async with connected(send) as connection:
            frames = [bytes(frame) async for frame in connection.frames()]
    assert frames == ["é😀".encode(), b"x"]


async def test_a_ping_that_crosses_our_close_is_no_fault() -> None:
    """A broker that pings while we close gets no answer, and the connection ends in order."""
    answered: list[object] = []

    async def ping_then_close(stream: trio.SocketStream, server: WSConnection) -> None:
        close = None
        while close is None:
            server.receive_data(await stream.receive_some(65536))
            close = next((event for event in server.events() if isinstance(event, CloseConnection)), None)
        # the server's own wsproto forbids it by now: a ping that was on its way when our close frame came
        await stream.send_all(b"\x89\x01x" + server.send(close.response()))
        async for data in stream:
            answered.append(data)

    with fail_after(10):
        async with connected(ping_then_close) as connection:
            await connection.aclose()
            assert connection.close_reason.startswith("1000")
    assert answered == []


@pytest.mark.parametrize("flood", [b"\x00\x00", b"\x00\x01x", b"\x8a\x00"])
async def test_a_flood_of_tiny_frames_takes_turns(flood: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty fragments, fragments of a byte, pongs that nobody asked for: everything else has its turn between them.

    However many of them may come (``test_frame_pace.py``).
    """
    count = 10_000
    monkeypatch.setattr(bytes_websocket, "FramePace", lambda: FramePace(1e9, 10**9))

    async def send(stream: trio.SocketStream, server: WSConnection) -> None:
        await stream.send_all(b"\x01\x01a" + flood * count + b"\x80\x01z")
        await trio.sleep_forever()

    with fail_after(60):
        async with (
            connected(send) as connection,
            aclosing(connection.frames()) as frames,
            others_turns() as turns,
        ):
            frame = await anext(frames)
    assert frame == (b"a" + b"x" * count + b"z" if flood[1] else b"az")
    assert turns() > count / EVENTS / 2


async def test_a_flood_of_pings_while_we_close_takes_turns() -> None:
    """They are answered no more, so nothing is waited for with any of them."""
    count = 10_000

    async def send(stream: trio.SocketStream, server: WSConnection) -> None:
        closed = False
        while not closed:
            server.receive_data(await stream.receive_some(65536))
            closed = any(isinstance(event, CloseConnection) for event in server.events())
        await stream.send_all(b"\x89\x00" * count + b"\x88\x02\x03\xe8")
        await trio.sleep_forever()

    with fail_after(60):
        async with connected(send) as connection, others_turns() as turns:
            await connection.aclose()
            assert turns() > count / EVENTS / 2


async def test_a_message_that_is_too_long_in_pieces_ends_the_connection() -> None:
    """However small the fragments, together they have the limit that one has."""
    closed: list[int] = []
    done = trio.Event()

    async def send(stream: trio.SocketStream, server: WSConnection) -> None:
        await stream.send_all(b"\x01\x01a" + b"\x00\x7d" + b"x" * 125 + b"\x00\x7d" + b"x" * 125)
        while not closed:
            server.receive_data(await stream.receive_some(65536))
            closed.extend(event.code for event in server.events() if isinstance(event, CloseConnection))
        done.set()
        await trio.sleep_forever()

    with fail_after(20):
        async with connected(send, max_payload=200) as connection, aclosing(connection.frames()) as frames:
            assert [frame async for frame in frames] == []
            await done.wait()
    assert closed == [1009]


async def test_answers_that_nobody_waits_for_go_no_further() -> None:
    """As many as there are prints: they count as messages, and are none of those that are taken apart."""
    told = trio.Event()

    async def answer(stream: trio.SocketStream, server: WSConnection) -> None:
        await told.wait()
        for number in range(50):
            await stream.send_all(server.send(TextMessage(f'{{"mark":{number}}}')))
        await stream.send_all(server.send(TextMessage('{"type":"broker:drain"}')))
        await trio.sleep_forever()

    with fail_after(60):
        async with connected(answer) as connection:
            counted = 0

            async def count() -> None:
                nonlocal counted
                counted += 1

            connection.leave_out(lambda message: message.startswith(b'{"mark"'))
            connection._ws.in_pace = count
            told.set()
            async with aclosing(connection.frames()) as frames:
                assert await anext(frames) == b'{"type":"broker:drain"}'
            assert counted == 50


async def test_small_messages_are_dealt_with_as_they_are_read_in_their_order() -> None:
    """None overtakes one that waits for its turn."""
    told = trio.Event()

    async def send(stream: trio.SocketStream, server: WSConnection) -> None:
        await told.wait()
        texts = [f'"{kind}{number}"' for number in range(3) for kind in ("small", "large", "small", "small")]
        await stream.send_all(b"".join(server.send(TextMessage(text)) for text in texts))
        await trio.sleep_forever()

    heard: list[bytes] = []
    with fail_after(60):
        async with connected(send) as connection:

            def at_once(frame: bytes | bytearray) -> Callable[[], None] | None:
                return None if b"large" in frame else lambda: heard.append(bytes(frame))

            connection.leave_to(at_once)
            told.set()
            waited = 0
            async with aclosing(connection.frames()) as frames:
                async for frame in frames:
                    waited += frame.startswith(b'"large')
                    await trio.sleep(0.01)  # what is behind it is read meanwhile
                    heard.append(frame)
                    if len(heard) == 12:
                        break
    texts = [f'"{kind}{number}"'.encode() for number in range(3) for kind in ("small", "large", "small", "small")]
    assert heard == texts
    assert waited >= 3


async def test_everything_has_its_turn_between_two_messages_that_are_dealt_with_as_they_are_read() -> None:
    """However many were read at once: fifty brokers may send as many each."""
    told, done = trio.Event(), trio.Event()
    at: list[int] = []

    async def send(stream: trio.SocketStream, server: WSConnection) -> None:
        await told.wait()
        await stream.send_all(b"".join(server.send(TextMessage("1")) for _ in range(EVENTS - 1)))
        await done.wait()

    with fail_after(60):
        async with connected(send) as connection:
            passes = Passes()
            trio.lowlevel.add_instrument(passes)

            def hear() -> None:
                at.append(passes.count)
                if len(at) == EVENTS - 1:
                    done.set()

            connection.leave_to(lambda frame: hear)
            told.set()
            await done.wait()
            trio.lowlevel.remove_instrument(passes)
    assert len(set(at)) == EVENTS - 1


async def test_nothing_goes_at_once_amid_another_frame_or_after_the_close_frame() -> None:
    """It would be an error to who reads it."""

    async def listen(stream: trio.SocketStream, server: WSConnection) -> None:
        while await stream.receive_some(65536):
            pass

    with fail_after(60):
        async with connected(listen) as connection:
            at_once = connection.outbox.write_at_once
            async with connection._ws._stream_lock:
                assert at_once([b"{}"]) is None
            assert at_once([b"{}"]) is True
            with trio.move_on_after(0.05):
                await connection.aclose()
            assert at_once([b"{}"]) is None


async def test_what_is_read_when_nobody_serves_any_more_is_dropped() -> None:
    """A message that had to wait for its turn, as one of too many."""
    told, asked = trio.Event(), trio.Event()

    async def send(stream: trio.SocketStream, server: WSConnection) -> None:
        await told.wait()
        await stream.send_all(server.send(TextMessage('"late"')) + server.send(TextMessage('"later"')))
        await trio.sleep_forever()

    with fail_after(60):
        async with connected(send) as connection, aclosing(connection.frames()) as frames:

            async def pause() -> None:
                asked.set()
                await trio.testing.wait_all_tasks_blocked(0.01)

            connection._ws.in_pace = pause
            connection.leave_to(lambda frame: lambda: pytest.fail("it is heard"))
            told.set()
            await asked.wait()
            connection.leave_to(None)
            assert await anext(frames) == b'"later"'


async def test_what_a_socket_takes_in_part_is_finished_before_anything_else() -> None:
    """Results that are written at once to a broker that doesn't read, and a ping: whole frames, in their order."""
    reads, got = trio.Event(), trio.Event()
    numbers: list[str] = []
    pings = 0

    async def listen(stream: trio.SocketStream, server: WSConnection) -> None:
        nonlocal pings
        stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        await reads.wait()
        texts: list[str] = []
        while len(numbers) < count:
            server.receive_data(await stream.receive_some(65536))
            for event in server.events():
                if isinstance(event, Ping):
                    pings += 1
                    await stream.send_all(server.send(event.response()))
                if isinstance(event, TextMessage):
                    texts.append(event.data)
                    if event.message_finished:
                        numbers.append(json.loads("".join(texts))["taskId"])
                        texts.clear()
        got.set()
        await trio.sleep_forever()

    partly = count = 0
    with fail_after(60):
        async with connected(listen) as connection:
            at_once = connection.outbox.write_at_once

            def counted(texts: Sequence[bytes]) -> bool | None:
                nonlocal partly
                taken = at_once(texts)
                partly += taken is False
                return taken

            connection.outbox.write_at_once = counted
            async with trio.open_nursery() as nursery:
                while not partly:
                    with connection.outbox:
                        data = TaskDoneData(msgspec.Raw(b'"' + b"x" * 60_001 + b'"'))
                        connection.outbox.put(RunnerTaskDone(str(count), data))
                    count += 1
                with connection.outbox:
                    connection.outbox.put(RunnerTaskDone(str(count), data))
                count += 1
                nursery.start_soon(connection._ws.ping)
                await trio.testing.wait_all_tasks_blocked(0.01)
                reads.set()
                await got.wait()
    assert numbers == [str(number) for number in range(count)]
    assert pings == 1
