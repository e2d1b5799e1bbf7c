"""Prints between a worker's memory, its socket and the supervisor: each arrives once, in order, whoever looks when."""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from reptarium.pool.workers.prints import Prints
from reptarium.pool.workers.worker import Worker, WorkerGone
from reptarium.sandbox import wire
from reptarium.sandbox.process.channel import Channel
from reptarium.sandbox.wire import Kind
from tests.limits import fail_after

LIMITS = {Kind.CONSOLE: 2**20, Kind.RESULT: 2**20}


class Pair:
    """A worker's channel, and what the supervisor has of it."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        for end in (ours, self.theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        fd = os.memfd_create("prints", os.MFD_CLOEXEC)
        os.ftruncate(fd, wire.PRINTS_SIZE)
        self.memory = mmap.mmap(fd, wire.PRINTS_SIZE)
        self.channel = Channel(self.theirs.fileno())
        self.channel.share(self.memory)
        self.worker = Worker(1, 0, ours.detach(), -1, fd)
        self.lines: list[bytes] = []

    def hear(self) -> None:
        """What lies in the socket."""
        with suppress(WorkerGone):
            while (frame := self.worker.receive_nowait(LIMITS)) is not None:
                if frame[0] is Kind.CONSOLE:
                    self._add(self.worker.prints.sent(frame[1]))
                else:
                    self.lines.append(b"=")

    def look(self) -> None:
        """What lies in the memory."""
        self._add(self.worker.prints.waiting())

    def _add(self, lines: bytes | bytearray | memoryview) -> None:
        self.lines += bytes(lines).split(b"\n")[:-1]


@contextmanager
def pair() -> Iterator[Pair]:
    """One, closed afterwards."""
    both = Pair()
    try:
        yield both
    finally:
        both.channel.share(None)
        both.memory.close()
        both.worker.close_socket()
        both.theirs.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("print"), st.sampled_from([1, 3, 1000, 30_000, wire.PRINTS_ROOM - 1, wire.PRINTS_ROOM])),
        st.tuples(st.sampled_from(["say", "hear", "look", "renew"]), st.just(0)),
    ),
    max_size=12,
)


@given(STEPS)
def test_each_print_arrives_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    """However they are sent, looked for and mixed with what else is said."""
    trio.run(_arrives, steps)


async def _arrives(steps: list[tuple[str, int]]) -> None:
    with pair() as both:
        said: list[bytes] = []
        for number, (step, size) in enumerate(steps):
            if step == "print":
                line = b"%d" % number + b"." * size
                said.append(line)
                both.channel.print(line + b"\n")
            elif step == "say":
                said.append(b"=")
                both.channel.send(Kind.RESULT)
            elif step == "renew":
                both.channel.renew()
            else:
                getattr(both, step)()
        both.hear()
        both.look()
        assert both.lines == said


async def test_what_was_printed_is_there_though_nothing_more_is_said() -> None:
    """The first print of a task is heard of, those behind it lie in the memory: also once the worker is gone."""
    with pair() as both:
        for line in (b"one\n", b"two\n", b"three\n"):
            both.channel.print(line)
        both.theirs.close()
        both.hear()
        assert both.lines == [b"one"]
        both.look()
        assert both.lines == [b"one", b"two", b"three"]


async def test_a_reader_that_is_cancelled_in_a_frame_loses_none_of_it() -> None:
    """A time limit comes when half of the prints have: the other half follows."""
    with pair() as both, fail_after(20):
        whole = b"".join(wire.frame(Kind.CONSOLE, bytes(8), b"x" * 100 + b"\n"))
        both.theirs.sendall(whole[:50])
        assert await both.worker.speaks(1)
        with trio.move_on_after(0.01) as limit:
            await both.worker.receive(LIMITS)
        assert limit.cancelled_caught
        both.theirs.sendall(whole[50:])
        assert await both.worker.receive_now(LIMITS) == (Kind.CONSOLE, bytes(8) + b"x" * 100 + b"\n")


@pytest.mark.parametrize(
    ("before", "size"),
    [(0, wire.PRINTS_ROOM + 1), (0, 2**64 - 1), (2**64 - 1, 2**64 - 1), (1, 2**63), (0, 2**20)],
)
async def test_numbers_that_cannot_be_are_found_out(before: int, size: int) -> None:
    """What a worker that has broken out writes there makes nobody read beyond the memory."""
    with pair() as both:
        numbers = memoryview(both.memory)[: wire.PRINTS_HEAD].cast("Q")
        numbers[0], numbers[1] = before, size
        numbers.release()
        if before:
            assert both.worker.prints.waiting() == b""
        else:
            with pytest.raises(wire.ProtocolViolation):
                both.worker.prints.waiting()


@pytest.mark.parametrize("payload", [b"", b"1234567", b"\1" + bytes(7), b"\xff" * 8, b"\1" + bytes(7) + b"[]\n"])
def test_prints_have_their_place(payload: bytes) -> None:
    """Neither a gap nor a place that is none."""
    prints = Prints(-1)
    with pytest.raises(wire.ProtocolViolation):
        prints.sent(payload)
    assert prints.taken == 0


def test_what_is_no_memory_is_not_read() -> None:
    """A pipe would be waited for; a file of another size isn't what was made for prints."""
    read, write = os.pipe()
    os.close(write)
    small = os.memfd_create("small", os.MFD_CLOEXEC)
    for fd in (read, small):
        prints = Prints(fd)
        with pytest.raises(wire.ProtocolViolation):
            prints.waiting()
        assert prints.waiting() == b""
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_memory_that_shrinks_is_found_out() -> None:
    """Whoever took it away has broken the protocol; nobody here meets half a number."""
    fd = os.memfd_create("prints", os.MFD_CLOEXEC)
    os.ftruncate(fd, wire.PRINTS_SIZE)
    prints = Prints(fd)
    assert prints.waiting() == b""
    os.ftruncate(fd, 3)
    with pytest.raises(wire.ProtocolViolation, match="has shrunk"):
        prints.waiting()
    prints.close()


async def test_without_shared_memory_each_print_is_sent() -> None:
    """Where none can be had."""
    with pair() as both:
        both.channel.share(None)
        for number in range(3):
            both.channel.print(b"%d\n" % number)
            both.hear()
            assert both.lines == [b"%d" % each for each in range(number + 1)]


async def test_a_print_after_a_silence_says_so_itself() -> None:
    """Whoever looks for prints needn't go on doing so while a task is silent."""
    now = 0.0
    with pair() as both:
        both.channel.clock = lambda: now  # type: ignore[method-assign, assignment]
        both.channel.print(b"first\n")
        now += wire.PRINTS_QUIET
        both.channel.print(b"soon\n")
        both.hear()
        assert both.lines == [b"first"]
        now += wire.PRINTS_QUIET + 0.01
        both.channel.print(b"late\n")
        both.hear()
        assert both.lines == [b"first", b"soon", b"late"]
