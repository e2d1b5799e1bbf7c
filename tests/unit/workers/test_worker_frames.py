"""Frames of a worker that has broken out: they take no more memory than they are, and no more than their turn."""

from __future__ import annotations

import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio
import trio.testing

from reptarium.pool.workers.worker import Worker, WorkerGone
from reptarium.sandbox import wire
from reptarium.sandbox.wire import Kind
from tests.limits import fail_after

LIMITS = {Kind.CONSOLE: 2**20, Kind.RESULT: 2**30}


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Worker, socket.socket]]:
    """A worker as the supervisor sees it, and the worker's own end of its socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        yield Worker(1, 0, ours.detach(), -1), theirs


class Steps(trio.abc.Instrument):
    """Counts how often any task is gone on with."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """A turn of some task."""
        self.count += 1


def frame(kind: Kind, payload: bytes) -> bytes:
    """A frame as it lies on the wire."""
    return b"".join(wire.frame(kind, payload))


async def test_endless_small_frames_leave_everybody_their_turn(ends: tuple[Worker, socket.socket]) -> None:
    """A reader for whom there is always something to read lets the others run, again and again."""
    worker, theirs = ends
    with fail_after(20):
        steps, frames = Steps(), 4000
        theirs.sendall(frame(Kind.CONSOLE, b'["x"]') * frames)
        trio.lowlevel.add_instrument(steps)
        try:
            for _ in range(frames):
                assert await worker.receive(LIMITS) == (Kind.CONSOLE, b'["x"]')
        finally:
            trio.lowlevel.remove_instrument(steps)
            worker.close_socket()
        assert steps.count >= frames / 100


async def test_a_frame_takes_the_memory_of_what_has_come(ends: tuple[Worker, socket.socket]) -> None:
    """Eight bytes that announce a result of a gigabyte are eight bytes."""
    worker, theirs = ends
    with fail_after(20):
        tracemalloc.start()
        try:
            async with trio.open_nursery() as nursery:

                async def read() -> None:
                    with suppress(WorkerGone):
                        await worker.receive(LIMITS)

                theirs.sendall(wire.HEADER.pack(Kind.RESULT, 2**29))
                nursery.start_soon(read)
                await trio.testing.wait_all_tasks_blocked()
                announced = tracemalloc.get_traced_memory()[1]
                theirs.sendall(b"x" * 100_000)
                await trio.testing.wait_all_tasks_blocked()
                begun = tracemalloc.get_traced_memory()[1]
                worker.close_socket()
        finally:
            tracemalloc.stop()
    assert announced < 2**20
    assert begun < 2**21


async def test_a_large_frame_comes_whole_and_alone(ends: tuple[Worker, socket.socket]) -> None:
    """What comes in many pieces is put together, and what follows it is the next frame."""
    worker, theirs = ends
    payload = bytes(range(256)) * 20_000
    with fail_after(20):
        async with trio.open_nursery() as nursery:

            async def write() -> None:
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs.dup()))
                await stream.send_all(frame(Kind.RESULT, payload) + frame(Kind.CONSOLE, b'["x"]'))
                await stream.aclose()

            nursery.start_soon(write)
            assert await worker.receive(LIMITS) == (Kind.RESULT, payload)
            assert await worker.receive(LIMITS) == (Kind.CONSOLE, b'["x"]')
        worker.close_socket()
