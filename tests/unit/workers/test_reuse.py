"""Which worker may serve again, and for whom, without a process."""

from __future__ import annotations

import os
import socket
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry

from reptarium.pool.endings import Ending
from reptarium.pool.ops.reuse_metrics import ReuseMetrics
from reptarium.pool.protocol.messages import TaskSettings
from reptarium.pool.workers import reuse
from reptarium.pool.workers.reuse import Code, Reuse, code_of
from reptarium.pool.workers.worker import Worker
from reptarium.sandbox import wire

RULE = object()
CODE = Code("http://a", "w", "n", "return 1", id(RULE))


class Workers:
    """Lends workers that are sockets without a process."""

    def __init__(self) -> None:
        self.discarded: list[tuple[int, Ending]] = []
        self.ends: list[socket.socket] = []

    def new(self) -> Worker:
        ours, theirs = socket.socketpair()
        self.ends.append(theirs)
        worker = Worker(len(self.ends), os.getpid(), ours.detach(), -1)
        worker.happened("ready")
        worker.happened("taken")
        return worker

    def keep(self, worker: Worker) -> None:
        worker.happened("kept")

    def take_again(self, worker: Worker) -> bool:
        return worker.taken_again()

    def discard(self, worker: Worker, reason: Ending = Ending.DONE) -> None:
        self.discarded.append((worker.number, reason))
        worker.close_socket()
        worker.happened("discarded")

    lease: Any = None
    give_back: Any = None


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What processes have used isn't looked at."""
    monkeypatch.setattr(Reuse, "_used", lambda self, worker: wire.Exited(worker.pid, 0, 0.1))
    made = Workers()
    yield made
    for end in made.ends:
        end.close()


@pytest.fixture
def store() -> Reuse:
    return Reuse(tasks=3, idle=10.0, most=2, meter=ReuseMetrics(CollectorRegistry()))


def rested(store: Reuse, workers: Workers, code: Code = CODE) -> Worker:
    worker = workers.new()
    assert store.rest(code, RULE, workers, worker) is not None
    return worker


@pytest.mark.parametrize(
    "other",
    [
        CODE._replace(broker="http://b"),
        CODE._replace(workflow="other"),
        CODE._replace(node="other"),
        CODE._replace(code="return 2"),
        CODE._replace(rule=id(workers)),
    ],
)
async def test_nothing_else_is_served(store: Reuse, workers: Workers, other: Code) -> None:
    """Broker, workflow, node, code and rule are the same, or the worker is another."""
    worker = rested(store, workers)
    assert store.take(other) is None
    assert store.take(CODE) is worker
    assert store.take(CODE) is None
    workers.discard(worker)


async def test_tasks_that_do_not_say_whose_they_are() -> None:
    """Without a workflow's id, or a node's, nothing is served again."""
    task = TaskSettings(code="return 1")
    assert code_of(task, "http://a", None) is None
    assert code_of(msgspec.structs.replace(task, workflow_id="w"), "http://a", None) is None
    whole = msgspec.structs.replace(task, workflow_id="w", node_id="n")
    assert code_of(whole, "http://a", RULE) == CODE


async def test_no_more_than_so_many_tasks(store: Reuse, workers: Workers) -> None:
    """The third task of a worker is its last."""
    worker = rested(store, workers)
    assert store.take(CODE) is worker
    assert store.rest(CODE, RULE, workers, worker) is not None
    assert store.take(CODE) is worker
    assert store.rest(CODE, RULE, workers, worker) is None
    workers.discard(worker)


async def test_no_more_than_so_many_rest(store: Reuse, workers: Workers) -> None:
    """The one that has rested longest makes room, whatever it would serve."""
    first = rested(store, workers)
    others = [rested(store, workers, CODE._replace(node=node)) for node in "ab"]
    assert workers.discarded == [(first.number, Ending.SURPLUS)]
    assert len(store) == 2
    for worker in others:
        worker.happened("taken")
        workers.discard(worker)


async def test_no_longer_than_so_long(store: Reuse, workers: Workers, autojump_clock: trio.testing.MockClock) -> None:
    """A worker that nobody has needed for a while is ended, and only that."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        old = rested(store, workers)
        await trio.sleep(8)
        young = rested(store, workers)
        await trio.sleep(4)
        assert workers.discarded == [(old.number, Ending.SURPLUS)]
        assert store.take(CODE) is young
        workers.discard(young)
        nursery.cancel_scope.cancel()


async def test_what_has_died_meanwhile(store: Reuse, workers: Workers, autojump_clock: trio.testing.MockClock) -> None:
    """Neither handed out nor kept in mind."""
    gone = [rested(store, workers), rested(store, workers, CODE._replace(node="other"))]
    for worker in gone:
        worker.close_socket()
        worker.happened("reaped")
    assert store.take(CODE) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        await trio.sleep(2 * reuse.LOOK)
        assert len(store) == 0
        nursery.cancel_scope.cancel()


async def test_a_worker_that_speaks_unasked(store: Reuse, workers: Workers) -> None:
    """What comes behind a result, at once or while it rests, is no answer of the next task: the worker is ended."""
    worker = workers.new()
    workers.ends[-1].send(b"\0")
    assert store.rest(CODE, RULE, workers, worker) is None
    workers.discard(worker)
    worker = rested(store, workers)
    workers.ends[-1].send(b"\0")
    assert store.take(CODE) is None
    assert workers.discarded[-1] == (worker.number, Ending.VIOLATION)


@pytest.mark.parametrize(
    ("status", "cpu", "fit"),
    [
        (b"Name:\tx\nRssAnon:\t10 kB\nThreads:\t1\n", 1.0, True),
        (b"Name:\tx\nRssAnon:\t10 kB\nThreads:\t2\n", 1.0, False),
        (b"Name:\tx\nRssAnon:\t40000 kB\nThreads:\t1\n", 1.0, False),
        (b"Name:\tx\nRssAnon:\t10 kB\nThreads:\t1\n", 6.0, False),
    ],
)
async def test_what_it_has_taken(
    store: Reuse, monkeypatch: pytest.MonkeyPatch, status: bytes, cpu: float, fit: bool
) -> None:
    """A second thread, memory that has grown, and processor time that the next task might miss end it."""
    workers = Workers()
    monkeypatch.setattr(reuse, "read_proc", lambda pid, file: status)
    monkeypatch.setattr("time.clock_gettime", lambda clock: cpu)
    worker = workers.new()
    used = store.rest(CODE, RULE, workers, worker)
    assert (used is not None) is fit
    assert used is None or used.cpu == cpu
    workers.discard(worker) if not fit else workers.discard(store.take(CODE) or worker)
    workers.ends[-1].close()


async def test_only_what_the_last_task_used_is_told(store: Reuse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time is counted from one task's end to the next one's."""
    workers = Workers()
    times = iter([1.0, 1.25])
    monkeypatch.setattr("time.clock_gettime", lambda clock: next(times))
    worker = workers.new()
    worker.baseline = 1 << 40
    monkeypatch.setattr(reuse, "threads", lambda status: 1)
    first = store.rest(CODE, RULE, workers, worker)
    assert store.take(CODE) is worker
    second = store.rest(CODE, RULE, workers, worker)
    assert (first and first.cpu, second and second.cpu) == (1.0, 0.25)
    workers.discard(store.take(CODE) or worker)
    workers.ends[-1].close()
