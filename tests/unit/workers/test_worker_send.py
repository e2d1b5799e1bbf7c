"""What a worker gets is what was sent, however much the socket takes at once."""

from __future__ import annotations

import os
import socket

import pytest

from reptarium.pool.workers.worker import Worker
from reptarium.sandbox import wire
from reptarium.sandbox.wire import Kind
from tests.limits import fail_after


class Greedy:
    """A socket that takes all it is given, as a fast reader makes a real one do."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def sendmsg(self, buffers: list[memoryview], ancillary: tuple[()], flags: int) -> int:
        """Take everything."""
        self.taken += b"".join(buffers)
        return sum(map(len, buffers))


async def test_long_parts_are_sent_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a later part is sent before the whole of one that is longer than what is sent at once."""
    ours, theirs = socket.socketpair()
    worker, greedy = Worker(1, os.getpid(), ours.detach(), -1), Greedy()
    parts = [b"h" * 10, b"c" * (5 << 19), b"i" * (3 << 20), b"q" * 7]
    with theirs:
        real = worker._sock
        monkeypatch.setattr(worker, "_sock", greedy)
        with fail_after(10):
            await worker.send(Kind.TASK, *parts)
        real.close()
    assert bytes(greedy.taken) == b"".join(wire.frame(Kind.TASK, *parts))
