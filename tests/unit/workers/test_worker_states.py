"""The table of a worker's states: single use, and no way back from the end."""

from __future__ import annotations

import os
import socket

import pytest

from reptarium.pool.workers.states import WORKER_TRANSITIONS, WorkerEvent
from reptarium.pool.workers.worker import Worker


def forked() -> Worker:
    """A worker whose process is of no interest; to be made where trio runs."""
    ours, theirs = socket.socketpair()
    theirs.close()
    return Worker(1, os.getpid(), ours.detach(), -1)


async def test_an_unstarted_task_gives_its_worker_back() -> None:
    """A worker that was taken and not used may be taken again."""
    worker = forked()
    for event in ("ready", "taken", "given back", "taken"):
        worker.happened(event)  # type: ignore[arg-type]
    assert worker.state == "leased"
    worker.close_socket()


@pytest.mark.parametrize("event", ["ready", "taken", "given back"])
async def test_a_discarded_worker_is_never_used_again(event: WorkerEvent) -> None:
    """What was killed can't be parked or taken: no state of one task reaches another through it."""
    worker = forked()
    worker.happened("discarded")
    with pytest.raises(KeyError):
        worker.happened(event)
    assert worker.state == "discarded"
    worker.close_socket()


def test_every_state_ends_in_death() -> None:
    """Whatever a worker goes through, it can be reaped from there; what is dead stays dead."""
    assert all("reaped" in row for state, row in WORKER_TRANSITIONS.items() if state != "dead")
    assert WORKER_TRANSITIONS["dead"] == {}
