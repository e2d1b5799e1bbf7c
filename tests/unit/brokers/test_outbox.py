"""What waits to be sent to a broker is bounded by number and by bytes, and nothing in it is lost or overtaken."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
import trio
import trio.testing

from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.brokers.outbox import BACKLOG, BULK, BULK_BYTES, OUTBOX, TOGETHER, TOGETHER_BYTES, Outbox
from reptarium.pool.protocol.messages import RunnerTaskAccepted, RunnerTaskDone, TaskDoneData, encode

WORD = RunnerTaskAccepted("t")


def result(number: int, size: int = 10) -> RunnerTaskDone:
    """A task's result of about ``size`` bytes."""
    return RunnerTaskDone(f"t{number}", TaskDoneData(msgspec.Raw(b'"' + b"x" * size + b'"')))


class Writer:
    """Takes one message each time it is let."""

    def __init__(self, outbox: Outbox) -> None:
        self.wrote: list[bytes] = []
        self._outbox = outbox
        self._let = trio.Semaphore(0)

    async def run(self) -> None:
        """The writer task."""
        await self._outbox.write(self._some)

    async def _some(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            await self._let.acquire()
            self.wrote.append(message)

    async def take(self, count: int) -> None:
        """Let it write ``count`` messages, and whatever follows from that happen."""
        for _ in range(count):
            self._let.release()
        await trio.testing.wait_all_tasks_blocked()


async def bulk(outbox: Outbox, number: int, size: int = 10) -> None:
    """Queue a result when there is room."""
    await outbox.room()
    outbox.put(result(number, size), bulk=True)


async def test_bulk_waits_in_turn_when_there_are_many() -> None:
    """More results than BULK wait; each goes out once, in the order in which they came."""
    outbox, count = Outbox(), BULK + 20
    writer = Writer(outbox)
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(bulk, outbox, number)
            await trio.testing.wait_all_tasks_blocked()
        assert outbox.unwritten == BULK
        assert outbox.owes
        assert outbox.slow
        nursery.start_soon(writer.run)
        await writer.take(5)
        assert outbox.unwritten == BULK
        await writer.take(count - 5)
        assert not outbox.owes
        assert not outbox.slow
        outbox.close()
    assert writer.wrote == [encode(result(number)) for number in range(count)]


async def test_bulk_is_bounded_by_bytes_and_a_huge_one_passes() -> None:
    """A result over all room is taken when what is queued is under the limit; the next one waits for it to go."""
    outbox = Outbox()
    writer = Writer(outbox)
    async with trio.open_nursery() as nursery:
        await bulk(outbox, 1, 100)
        await bulk(outbox, 2, 2 * BULK_BYTES)
        assert outbox.slow
        nursery.start_soon(bulk, outbox, 3, 100)
        nursery.start_soon(writer.run)
        await writer.take(1)
        assert outbox.unwritten == 1
        await writer.take(1)
        assert outbox.unwritten == 1
        assert not outbox.slow
        await writer.take(1)
        outbox.close()
    assert [len(data) // BULK_BYTES for data in writer.wrote] == [0, 2, 0]


async def test_what_waits_together_is_written_at_once() -> None:
    """Small messages that wait go in one write, in their order; a large one, and what is over a limit, in the next."""
    outbox = Outbox()
    writes: list[list[bytes]] = []

    async def keep(messages: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()
        writes.append(list(messages))

    small = [encode(result(number)) for number in range(TOGETHER + 3)]
    large = encode(result(0, TOGETHER_BYTES))
    for number in range(TOGETHER + 3):
        await bulk(outbox, number)
    await bulk(outbox, 0, TOGETHER_BYTES)
    await bulk(outbox, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.write, keep)
        await trio.testing.wait_all_tasks_blocked()
        outbox.close()
    assert writes == [small[:TOGETHER], small[TOGETHER:], [large], small[:1]]


async def test_words_find_room_beside_bulk_and_never_wait() -> None:
    """With all room for bulk taken the session's words still go; over OUTBOX messages the broker is given up."""
    outbox = Outbox()
    for number in range(BULK):
        await bulk(outbox, number)
    for _ in range(OUTBOX - BULK):
        outbox.put(WORD)
    with pytest.raises(LinkError, match="does not read"):
        outbox.put(WORD)
    assert outbox.unwritten == OUTBOX


async def test_bulk_waits_when_words_have_taken_all_room() -> None:
    """A result is never dropped for lack of room while the connection lives."""
    outbox = Outbox()
    writer = Writer(outbox)
    for _ in range(OUTBOX):
        outbox.put(WORD)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bulk, outbox, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert outbox.unwritten == OUTBOX
        nursery.start_soon(writer.run)
        await writer.take(1)
        assert outbox.owes
        await writer.take(OUTBOX)
        outbox.close()
    assert writer.wrote[-1] == encode(result(1))


async def test_slow_from_a_backlog_on() -> None:
    """So many unwritten words, and there are no new offers."""
    outbox = Outbox()
    for _ in range(BACKLOG):
        outbox.put(WORD)
    assert not outbox.slow
    outbox.put(WORD)
    assert outbox.slow


async def test_close_lets_everybody_go() -> None:
    """Whoever waits for room, or for everything to be written, is let go; what comes after is swallowed."""
    outbox = Outbox()
    await bulk(outbox, 1, BULK_BYTES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bulk, outbox, 2)
        nursery.start_soon(bulk, outbox, 3)
        nursery.start_soon(outbox.flush)
        await trio.testing.wait_all_tasks_blocked()
        outbox.close()
    outbox.put(WORD)
    await bulk(outbox, 4)
    writer = Writer(outbox)
    await writer.run()
    assert writer.wrote == []


async def test_cancelled_sender_leaves_the_queue(autojump_clock: trio.testing.MockClock) -> None:
    """One that stops waiting is not in the others' way."""
    outbox = Outbox()
    writer = Writer(outbox)
    await bulk(outbox, 1, BULK_BYTES)
    with trio.move_on_after(1) as waited:
        await bulk(outbox, 2)
    assert waited.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bulk, outbox, 3)
        nursery.start_soon(writer.run)
        await writer.take(2)
        assert outbox.unwritten == 0
        outbox.close()
    assert writer.wrote[-1] == encode(result(3))


class Socket:
    """What takes messages at once, as it is told: all of them, a part, or none."""

    def __init__(self, outbox: Outbox, *takes: bool | None) -> None:
        self.wrote: list[list[bytes]] = []
        self._takes = list(takes)
        outbox.write_at_once = self._write_at_once

    def _write_at_once(self, messages: Sequence[bytes]) -> bool | None:
        taken = self._takes.pop(0) if self._takes else True
        if taken is not None:
            self.wrote.append(list(messages))
        return taken


def test_what_is_put_together_goes_at_once_together() -> None:
    """When the outermost block is left; the writer has no part in it."""
    outbox = Outbox()
    socket = Socket(outbox)
    with outbox:
        outbox.put(result(1), bulk=True)
        with outbox:
            outbox.put(WORD)
        assert socket.wrote == []
    assert socket.wrote == [[encode(result(1)), encode(WORD)]]
    assert (outbox.unwritten, outbox.owes) == (0, False)


def test_what_is_put_alone_waits_for_the_writer() -> None:
    """Prints are many: those of one pass of the loop go in one write."""
    outbox = Outbox()
    socket = Socket(outbox)
    outbox.put(WORD)
    assert (socket.wrote, outbox.unwritten) == ([], 1)


@pytest.mark.parametrize("messages", [1, TOGETHER + 1])
async def test_what_the_socket_does_not_take_at_once_is_written_in_its_order(messages: int) -> None:
    """Nothing of it is lost, sent twice or overtaken; what went in part is finished before anything else."""
    outbox = Outbox()
    socket = Socket(outbox, None, True, False)
    writes: list[list[bytes]] = []
    more: list[int] = []

    async def keep(texts: Sequence[bytes]) -> None:
        writes.append(list(texts))
        await trio.lowlevel.checkpoint()
        if not more:
            more.append(1)
            with outbox:  # while the writer writes nothing goes at once
                outbox.put(result(100))

    with outbox:  # nothing of these
        for number in range(messages):
            outbox.put(result(number))
    assert socket.wrote == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.write, keep)
        await trio.testing.wait_all_tasks_blocked()
        assert (socket.wrote, outbox.unwritten) == ([], 0)
        sent = [encode(result(number)) for number in range(messages)]
        assert [text for texts in writes for text in texts] == [*sent, encode(result(100))]
        writes.clear()
        with outbox:  # all of these
            outbox.put(result(1))
        with outbox:  # a part of these
            outbox.put(result(2))
        with outbox:  # which these wait for
            outbox.put(result(3))
        assert socket.wrote == [[encode(result(1))], [encode(result(2))]]
        assert outbox.unwritten == 2
        await trio.testing.wait_all_tasks_blocked()
        assert writes == [[], [encode(result(3))]]
        outbox.close()


def test_a_large_result_is_the_writers() -> None:
    """It goes in fragments, with a look at the loop between them."""
    outbox = Outbox()
    socket = Socket(outbox)
    with outbox:
        outbox.put(result(1, TOGETHER_BYTES), bulk=True)
        outbox.put(WORD)
    assert (socket.wrote, outbox.unwritten) == ([], 2)


def test_relief_may_put_more() -> None:
    """What follows from room goes with it, once."""
    outbox = Outbox()
    socket = Socket(outbox)
    reliefs = 0

    def relieved() -> None:
        nonlocal reliefs
        reliefs += 1
        with outbox:
            outbox.put(WORD)

    outbox.on_relief = relieved
    with outbox:
        for number in range(BACKLOG + 1):
            outbox.put(result(number))
    assert reliefs == 1
    assert [text for texts in socket.wrote for text in texts] == [
        *(encode(result(number)) for number in range(BACKLOG + 1)),
        encode(WORD),
    ]
    assert outbox.unwritten == 0
