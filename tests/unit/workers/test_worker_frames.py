"""Frames of a worker that has broken out: they take no more memory than they are, and no more than their turn."""

from __future__ import annotations

import errno
import os
import random
import socket
import tempfile
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


def _saying(rng: random.Random) -> bytes:
    """A piece of what a worker that has broken out may write to its socket."""
    honest = frame(rng.choice(list(Kind)), b"x" * rng.choice([0, 1, 300]))
    return rng.choice(
        [
            honest,
            honest[: rng.randrange(len(honest))],
            honest[1:],
            rng.randbytes(rng.choice([1, 8, 300])),
            bytes([rng.randrange(256), 0, 0, 0])
            + rng.choice([0, 1, 2**20 + 1, 2**31, 2**32 - 1]).to_bytes(4, "little"),
            wire.HEADER.pack(Kind.RESULT, 2**30),
        ]
    )


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("first", range(0, 300, 100))
async def test_whatever_a_worker_says_ends_that_worker_only(first: int) -> None:
    """Frames of any kind, in any order, in pieces, with descriptors, half a socket: a refusal, or that it is gone."""
    before = _descriptors()
    with fail_after(60), tempfile.TemporaryFile() as file:
        for seed in range(first, first + 100):
            rng = random.Random(seed)
            ours, theirs = socket.socketpair()
            pidfd = os.open("/dev/null", os.O_RDONLY)  # nobody's: nothing is killed
            worker = Worker(1, 0, ours.detach(), pidfd)
            if rng.random() < 0.5:
                worker.happened("ready")
            theirs.setblocking(False)
            with theirs, suppress(WorkerGone, wire.ProtocolViolation, BlockingIOError, BrokenPipeError):
                for _ in range(20):
                    said = _saying(rng)
                    for piece in [said[at : at + 1] for at in range(len(said))] if rng.random() < 0.2 else [said]:
                        handed = [file.fileno()] * rng.choice([0, 0, 1, 2, 3, 200])
                        try:
                            socket.send_fds(theirs, [piece or b"x"], handed)
                        except OSError as error:  # users who are not root have so many under way (unix(7))
                            if error.errno != errno.ETOOMANYREFS:
                                raise
                            socket.send_fds(theirs, [piece or b"x"], [])
                    if rng.random() < 0.1:
                        theirs.shutdown(rng.choice([socket.SHUT_WR, socket.SHUT_RD, socket.SHUT_RDWR]))
                        await worker.send(Kind.TASK, b"x" * 1000)
                    with trio.move_on_after(0.001 if rng.random() < 0.5 else 0):
                        await worker.receive(LIMITS)
            worker.close_socket()
            for descriptor in worker.take_handed():
                os.close(descriptor)
            os.close(pidfd)
    assert _descriptors() == before
