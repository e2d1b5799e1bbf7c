"""What may come with a new worker's first word."""

from __future__ import annotations

import os
import socket

import pytest

from reptarium.pool.workers.worker import Worker
from reptarium.sandbox import wire
from reptarium.sandbox.wire import Kind

_LIMITS = {Kind.READY: 0, Kind.FAILED: 1000}


def _worker() -> tuple[Worker, socket.socket]:
    ours, theirs = socket.socketpair()
    return Worker(1, os.getpid(), ours.detach(), -1), theirs


async def test_two_descriptors_come_with_it() -> None:
    """They are the worker's until somebody takes them, and closed on exec."""
    worker, theirs = _worker()
    with theirs:
        socket.send_fds(theirs, wire.frame(Kind.READY), [0, 0])
        assert worker.receive_nowait(_LIMITS) == (Kind.READY, b"")
    handed = worker.take_handed()
    assert [os.get_inheritable(each) for each in handed] == [False, False]
    for each in handed:
        os.close(each)
    worker.close_socket()


async def test_more_than_two_are_no_honest_workers() -> None:
    """A word in many pieces, each with two more descriptors, would fill our table; with its end they are closed."""
    worker, theirs = _worker()
    with theirs:
        for byte in b"".join(wire.frame(Kind.READY))[:2]:
            socket.send_fds(theirs, [bytes([byte])], [0, 0])
        assert worker.receive_nowait(_LIMITS) is None
        with pytest.raises(wire.ProtocolViolation, match="4 descriptors"):
            worker.receive_nowait(_LIMITS)
    handed = list(worker.handed)
    worker.gone(None)
    for each in handed:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(each)
    worker.close_socket()
