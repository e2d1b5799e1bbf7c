"""When a broker that doesn't answer is given up: never while anything comes from it."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
import trio.testing
from trio_websocket import CloseReason, ConnectionClosed

from reptarium.pool.brokers.connection import Connection
from reptarium.pool.brokers.errors import LinkError

INTERVAL = 30.0


class Peer:
    """A WebSocket and its stream: answers pings after ``delay`` seconds, sends something each ``trickle`` seconds."""

    def __init__(self, delay: float, trickle: float = float("inf")) -> None:
        self.received = 0
        self.pings = 0
        self._delay, self._trickle = delay, trickle

    def send_texts_at_once(self, texts: object) -> None:
        """Nobody does."""

    async def ping(self) -> None:
        self.pings += 1
        await trio.sleep(self._delay)
        self.received += 6

    async def send(self) -> None:
        while True:
            await trio.sleep(self._trickle)
            self.received += 1


async def given_up(peer: Peer, limit: float = 1000 * INTERVAL) -> float | None:
    """After how many seconds the peer is given up; None when it isn't."""
    connection = Connection(cast(Any, peer), cast(Any, peer), "http://broker")
    began, found = trio.current_time(), None
    with trio.move_on_after(limit):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.send)
            try:
                await connection.keepalive(INTERVAL)
            except* LinkError:
                found = trio.current_time() - began
            nursery.cancel_scope.cancel()
    return found


@pytest.mark.parametrize(
    ("peer", "gives_up"),
    [
        (Peer(delay=0.1), None),
        (Peer(delay=INTERVAL * 0.9), None),
        (Peer(delay=float("inf")), 2 * INTERVAL),
        (Peer(delay=INTERVAL * 1.1), 2 * INTERVAL),
        (Peer(delay=INTERVAL * 10, trickle=INTERVAL / 3), None),
        (Peer(delay=float("inf"), trickle=INTERVAL * 2.5), 2 * INTERVAL),
    ],
    ids=["answers", "answers late", "silent", "too late", "sends a large message", "sends too seldom"],
)
async def test_when_a_broker_is_given_up(
    peer: Peer, gives_up: float | None, autojump_clock: trio.testing.MockClock
) -> None:
    """Two silent halves of an interval after a ping, and not before."""
    assert await given_up(peer) == gives_up
    if gives_up is None:
        assert peer.pings > 50


class Closed(Peer):
    """Has sent a close frame, and doesn't take the answer to it."""

    async def ping(self) -> None:
        raise ConnectionClosed(CloseReason(1001, None))


async def test_a_broker_that_closes_and_does_not_read_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    """Its close frame is no answer: the connection would stay for ever, half closed."""
    assert await given_up(Closed(delay=0)) == 2 * INTERVAL
