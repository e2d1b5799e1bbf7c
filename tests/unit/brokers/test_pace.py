"""A broker that says more than it is asked for is read slowly; what it is asked for is never slowed."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from reptarium.pool.brokers.connection import Connection
from reptarium.pool.brokers.pace import BURST, CALL, MOST, OFFER, RATE, Pace
from reptarium.pool.protocol.messages import RunnerRpcCall, RunnerTaskOffer


class Flood:
    """A WebSocket that has a message whenever one is asked for."""

    queued = 0

    def send_texts_at_once(self, texts: object) -> None:
        """Nobody reads."""

    async def get_message(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"{}"


async def read(connection: Connection, seconds: float, most: int = 10_000) -> int:
    """How many messages are read in so many seconds, at most so many."""
    count = 0
    with trio.move_on_after(seconds):
        async with aclosing(connection.frames()) as frames:
            async for _ in frames:
                count += 1
                if count == most:
                    break
    return count


def flooded() -> Connection:
    return Connection(cast(Any, Flood()), cast(Any, None), "http://broker")


async def test_who_talks_without_end_is_read_slowly(autojump_clock: trio.testing.MockClock) -> None:
    """Said once; the others have the event loop."""
    connection = flooded()
    with capture_logs() as lines:
        assert await read(connection, 10.0) == pytest.approx(BURST + 10 * RATE, abs=1)
        assert await read(connection, 10.0) == pytest.approx(10 * RATE, abs=1)
    assert [line["broker"] for line in lines] == ["http://broker"]


async def test_what_is_answered_is_not_slowed(autojump_clock: trio.testing.MockClock) -> None:
    """Offers that are taken, with their settings; the answer to each print; of a thousand slots at once."""
    connection = flooded()
    assert await read(connection, 1.0, BURST) == BURST
    for number in range(1000):
        connection.send_nowait(RunnerTaskOffer(str(number), 5000))
    async with trio.open_nursery() as nursery:
        for number in range(200):
            call = RunnerRpcCall(str(number), "t", "logNodeOutput", msgspec.Raw(b"[]"))
            nursery.start_soon(connection.send, call)
    now, due = trio.current_time(), 2 * 1000 + 200
    assert await read(connection, 1000.0, due) == due
    assert trio.current_time() == now


def test_offers_that_nobody_takes_are_not_saved_up() -> None:
    """However long a broker holds its offers, and they are renewed; calls count on: each cost more than its answer."""
    pace = Pace()
    for _ in range(2 * MOST):
        pace.offered()
    taken = 0
    while not pace.take(0.0):
        taken += 1
    assert taken == MOST
    for _ in range(MOST):
        pace.called()
    while not pace.take(0.0):
        taken += 1
    assert taken == pytest.approx(MOST + CALL * MOST, abs=1)
    pace.offered()
    assert not any(pace.take(0.0) for _ in range(OFFER - 2))


def test_silence_is_saved_up_to_a_burst() -> None:
    """Nobody owes for ever; and an hour of silence is no leave for a flood."""
    pace = Pace()
    for _ in range(BURST):
        assert not pace.take(0.0)
    assert pace.take(0.0) == pytest.approx(1 / RATE)
    assert not pace.take(2 / RATE)
    assert sum(not pace.take(3600.0) for _ in range(10 * BURST)) == BURST
