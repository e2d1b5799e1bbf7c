"""The line of a finished task: it waits for what its worker has used, and comes in any case, once."""

from __future__ import annotations

import gc
import signal
import socket
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from structlog.testing import capture_logs

from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.endings import Ending
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.tasks import failures
from reptarium.pool.tasks.ended import record_ended
from reptarium.pool.tasks.execution import Execution
from reptarium.pool.tasks.limits import task_limits
from reptarium.pool.tasks.router import RpcRouter
from reptarium.pool.workers.worker import Worker
from reptarium.sandbox.wire import Exited, FailureKind
from tests.conftest import make_settings

END = Exited(pid=7, status=0, cpu=0.25, peak=40_000_000)


async def _send(message: object) -> None:
    """Nothing is said."""


def forked() -> Worker:
    """A worker whose process is of no interest, and that is discarded."""
    ours, theirs = socket.socketpair()
    theirs.close()
    worker = Worker(3, 7, ours.detach(), -1)
    worker.happened("discarded")
    worker.close_socket()
    return worker


class Book:
    """Where ended tasks are recorded, and what is said of them."""

    def __init__(self, lines: list[Any]) -> None:
        self.metrics = Metrics()
        self._lines = lines

    def record(self, worker: Worker | None, ending: Ending = Ending.DONE, reason: str = "") -> weakref.ref[Execution]:
        """A task that this worker had has ended."""
        pool: Any = None
        execution = Execution("t", pool, RpcRouter(_send), task_limits(make_settings()))
        execution.start(task_settings({"code": "return 1", "items": []}))
        execution.worker, execution.report.ending, execution.report.reason = worker, ending, reason
        self.metrics.task_accepted()
        self.metrics.task_started(0.0, 1)
        assert execution.settings is not None
        faults = OwnFaults(self.metrics, Reporter())
        record_ended(execution, execution.settings, self.metrics, faults, broker="http://b")
        return weakref.ref(execution)

    @property
    def lines(self) -> list[Mapping[str, Any]]:
        """Those of tasks."""
        return [line for line in self._lines if line["event"] == "task"]

    def sample(self, name: str, **labels: str) -> float:
        """A metric's value."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def book() -> Iterator[Book]:
    """A new one."""
    with capture_logs() as lines:
        yield Book(lines)


async def test_the_line_says_what_the_worker_used(book: Book) -> None:
    """It comes when the worker has been reaped; the task is counted before that, and nothing of it is kept."""
    worker = forked()
    gc.collect()
    gc.disable()
    try:
        execution = book.record(worker)
        assert execution() is None
    finally:
        gc.enable()
    assert book.sample("reptarium_tasks_total", outcome="done") == 1
    assert book.lines == []
    worker.gone(END)
    (line,) = book.lines
    assert (line["cpu_s"], line["peak_memory_bytes"], line["broker"]) == (0.25, 40_000_000, "http://b")
    assert line["queue_ms"] >= 0
    assert book.sample("reptarium_task_peak_memory_bytes_sum") == 40_000_000


async def test_a_worker_that_was_reaped_before_leaves_nothing_to_wait_for(book: Book) -> None:
    """The line comes at once."""
    worker = forked()
    worker.gone(END)
    book.record(worker)
    assert [line["cpu_s"] for line in book.lines] == [0.25]


@pytest.mark.parametrize(
    ("ending", "status", "level", "how"),
    [
        (Ending.CRASH, signal.SIGSEGV, "warning", {"signal": "SIGSEGV"}),
        (Ending.CRASH, signal.SIGRTMIN + 3, "warning", {"signal": f"signal {signal.SIGRTMIN + 3}"}),
        (Ending.CRASH, 3 << 8, "warning", {"exit_status": 3}),
        (Ending.DISCONNECTED, signal.SIGKILL, "warning", {}),  # by which the runner ends each worker
        (Ending.MEMORY, signal.SIGKILL, "info", {}),
    ],
)
async def test_why_a_task_is_not_done(
    ending: Ending, status: int, level: str, how: Mapping[str, Any], book: Book
) -> None:
    """The line gives the reason, of a worker that ended by itself the signal or exit status; a loss is a warning."""
    worker = forked()
    book.record(worker, ending, "because " + "x" * 1000)
    worker.gone(Exited(pid=7, status=status, cpu=0.25, peak=40_000_000))
    (line,) = book.lines
    assert line["log_level"] == level
    assert line["reason"] == "because " + "x" * 292
    assert {key: line[key] for key in ("signal", "exit_status") if key in line} == how


def test_what_a_person_wrote_is_no_reason() -> None:
    """Of each kind of failure that a worker reports the log has words of ours: an exception's are the person's."""
    assert set(failures.REASONS) == set(get_args(FailureKind))


@pytest.mark.parametrize("how", ["nobody says", "not in time", "no worker"])
async def test_a_line_is_never_lost(how: str, book: Book) -> None:
    """Where nobody says how the worker ended it comes without, and not a second time when somebody does."""
    worker = forked()
    book.record(None if how == "no worker" else worker)
    if how == "not in time":
        worker.tell_end()
    worker.gone(END if how == "not in time" else None)
    (line,) = book.lines
    assert "cpu_s" not in line
    assert "peak_memory_bytes" not in line
    assert book.sample("reptarium_task_peak_memory_bytes_count") == 0


async def test_a_fault_in_the_line_is_not_its_zygotes(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes off where the worker's end is told, and spreads no further."""

    def fails(peak_bytes: int) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(book.metrics, "task_memory", fails)
    worker = forked()
    book.record(worker)
    assert worker.gone(END)
    assert book.sample("reptarium_faults_total", part="execution") == 1
