"""What became of a connection, as its socket tells. Loopback."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest

from reptarium.pool.powers.sockets import was_connected


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def connecting(port: int) -> socket.socket:
    """A socket that has begun to connect there, and knows what came of it."""
    made = socket.socket()
    made.setblocking(False)
    made.connect_ex(("127.0.0.1", port))
    assert select.select([], [made], [], 10)[1]
    return made


def test_a_connection_that_was_reset_was_one(server: socket.socket) -> None:
    """A server that takes it and drops it at once has been connected to; so has one that ends it."""
    for linger, states in ((1, select.POLLHUP), (0, select.POLLRDHUP)):
        with closing(connecting(server.getsockname()[1])) as made:
            peer, _ = server.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", linger, 0))
            peer.close()
            poll = select.poll()
            poll.register(made, states)
            assert poll.poll(10_000)
            assert was_connected(made)


def test_a_connection_that_was_refused_was_none(server: socket.socket) -> None:
    """Nobody has listened there."""
    port = server.getsockname()[1]
    server.close()
    with closing(connecting(port)) as made:
        assert not was_connected(made)
