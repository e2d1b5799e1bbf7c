"""The end of a connection as a broker may make it: whatever comes after our close frame ends nothing else."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from functools import partial

import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage
from wsproto.frame_protocol import FrameProtocol

from reptarium.pool.brokers.connection import connect
from reptarium.pool.brokers.errors import LinkError
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")


async def serve(stream: trio.SocketStream, *, afterwards: list[Ping | TextMessage]) -> None:
    """A broker that goes on with ``afterwards`` when it has read the close frame, and answers that at last."""
    server = WSConnection(ConnectionType.SERVER)
    # after a close frame wsproto sends nothing but its answer, so what follows is made by a codec of its own
    codec = FrameProtocol(client=False, extensions=[])
    with suppress(trio.BrokenResourceError):
        async for data in stream:
            server.receive_data(data)
            for event in server.events():
                if isinstance(event, Request):
                    await stream.send_all(server.send(AcceptConnection()))
                elif isinstance(event, CloseConnection):
                    for late in afterwards:
                        if isinstance(late, Ping):
                            await stream.send_all(codec.ping(late.payload))
                        else:
                            await stream.send_all(codec.send_data(late.data, fin=True))
                    await stream.send_all(server.send(event.response()))


@pytest.mark.parametrize("reset", [False, True])
async def test_broker_that_breaks_the_protocol(reset: bool) -> None:
    """A frame that is none ends the connection, whether or not our word about it can still be sent."""

    async def babble(stream: trio.SocketStream) -> None:
        server = WSConnection(ConnectionType.SERVER)
        with suppress(trio.BrokenResourceError):
            async for data in stream:
                server.receive_data(data)
                for event in server.events():
                    if isinstance(event, Request):
                        await stream.send_all(server.send(AcceptConnection()) + b"\xff\xff\xff\xff")
                        if reset:
                            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                            return

    with fail_after(20):
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, babble, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            with suppress(LinkError):
                async with connect(f"http://127.0.0.1:{port}", "/runners", "r", "grant", 2**20) as connection:
                    async for frame in connection.frames():
                        raise AssertionError(f"a frame was read: {frame!r}")
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("afterwards", [[], [Ping(b"x")], [TextMessage("{}")], [TextMessage("{}"), Ping(b"x")]])
async def test_broker_that_goes_on_while_we_close(afterwards: list[Ping | TextMessage]) -> None:
    """A ping that crosses our close frame is a lost connection at worst, and no fault of the runner."""
    with fail_after(20):
        async with trio.open_nursery() as nursery:
            handler = partial(serve, afterwards=afterwards)
            (listener,) = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            try:
                async with connect(f"http://127.0.0.1:{port}", "/runners", "r", "grant", 2**20) as connection:
                    await connection.aclose()
            except LinkError as error:
                assert "being closed" in str(error)  # noqa: PT017
            nursery.cancel_scope.cancel()
