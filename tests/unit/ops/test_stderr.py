"""The log sink, on real pipes: nobody waits for its reader, nothing is lost while there is one, order is kept."""

from __future__ import annotations

import fcntl
import gc
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from reptarium.pool.config import load_settings
from reptarium.pool.ops import stderr
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.stderr import MOST_WAITING, LogSink, dropped_text, take_over_stderr

#: Patience for the other thread (seconds): nothing here takes that long.
PATIENCE = 30.0
LINE = "x" * 999 + "\n"
#: Lines that certainly fill queue and pipe.
TOO_MANY = 2 * MOST_WAITING // len(LINE)


class Pipe:
    """A pipe with a sink on it. ``read`` gives what has come until the sink has nothing left and is closed."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.sink = LogSink(self.writing)
        self._closed: set[int] = set()

    def close(self, descriptor: int) -> None:
        if descriptor not in self._closed:
            self._closed.add(descriptor)
            os.close(descriptor)

    def read(self) -> str:
        chunks: list[bytes] = []

        def drain() -> None:
            while chunk := os.read(self.reading, 1 << 20):
                chunks.append(chunk)

        reader = threading.Thread(target=drain)
        reader.start()
        assert self.sink.drain(PATIENCE)
        self.sink.end(PATIENCE)
        self.close(self.writing)
        reader.join(PATIENCE)
        return b"".join(chunks).decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close(made.reading)
    made.sink.end(PATIENCE)
    made.close(made.writing)


def test_everything_is_written_in_order(pipe: Pipe) -> None:
    """Ten thousand lines at once reach a reader that reads, each once, in their order, and none is dropped."""
    for number in range(10_000):
        print("line", number, file=pipe.sink)
    assert pipe.read() == "".join(f"line {number}\n" for number in range(10_000))
    assert pipe.sink.dropped == 0


def test_several_threads_write_whole_lines(pipe: Pipe) -> None:
    """Lines of several threads don't break into each other."""
    writers = [
        threading.Thread(target=lambda name=name: [pipe.sink.write(f"{name * 50}\n") for _ in range(500)])
        for name in "abcd"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(PATIENCE)
    lines = pipe.read().splitlines()
    assert sorted(lines) == sorted(name * 50 for name in "abcd" for _ in range(500))


def test_what_is_not_read_is_dropped_and_said_in_its_place(pipe: Pipe) -> None:
    """A reader that comes back finds what was taken, then how many lines are missing, then what followed."""
    for number in range(TOO_MANY):
        pipe.sink.write(f"{number:8} {LINE}")
    dropped = pipe.sink.dropped
    assert 0 < dropped < TOO_MANY
    assert os.read(pipe.reading, 1 << 20)  # room again
    while pipe.sink._held > MOST_WAITING - 10_000:
        assert os.read(pipe.reading, 1 << 20)
    pipe.sink.write("after\n")
    assert pipe.sink.dropped == dropped
    *before, notice, after = pipe.read().splitlines()
    assert notice == f"{dropped} log lines were dropped"
    assert after == "after"
    assert before[-1].split()[0] == str(TOO_MANY - dropped - 1)


def test_the_gap_is_said_without_another_line(pipe: Pipe) -> None:
    """Once the reader reads again, what was dropped is said by itself."""
    while not pipe.sink.dropped:
        pipe.sink.write(LINE)
    assert pipe.read().endswith("\n1 log line was dropped\n")


def test_memory_is_bounded(pipe: Pipe) -> None:
    """However short the lines are: each is charged for what it takes beside its text."""
    for _ in range(3 * MOST_WAITING // stderr._BESIDE):
        pipe.sink.write("\n")
    assert pipe.sink._held <= MOST_WAITING
    assert len(pipe.sink._queue) <= MOST_WAITING // stderr._BESIDE + 1


def test_a_line_that_never_ends_is_written_in_pieces(pipe: Pipe) -> None:
    """What is given bit by bit without an end doesn't gather for ever."""
    for _ in range(1000):
        pipe.sink.write("y" * 1000)
    assert len(pipe.sink._partial) <= stderr._CHUNK + 1000
    assert pipe.read() == "y" * 1_000_000


def test_half_a_line_waits_for_the_rest_or_the_end(pipe: Pipe) -> None:
    """print() writes text and line end apart: they stay together; what has no end comes at the end."""
    pipe.sink.write("a")
    pipe.sink.write("b\nc")
    assert pipe.read() == "ab\nc"


def test_lines_that_come_together_are_written_together(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    """What comes soon after a write waits for its neighbours, unless somebody waits for all to be written."""
    monkeypatch.setattr("reptarium.pool.ops.stderr._TOGETHER", 3600.0)
    writes: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(len(data)) or write(fd, data))
    pipe.sink.write(LINE)
    assert pipe.sink.drain(PATIENCE)
    for _ in range(20):
        pipe.sink.write("short\n")
        pipe.sink._thread.join(0.001)  # it could write, if it would
    assert pipe.sink.drain(PATIENCE)
    assert sum(writes) == len(LINE) + 20 * len("short\n")
    assert len(writes) <= 3  # the first of them may still find the thread awake


def test_draining_is_bounded(pipe: Pipe) -> None:
    """A reader that doesn't read holds nobody up for longer than asked for; afterwards all is still there."""
    for _ in range(200):
        pipe.sink.write(LINE)
    assert not pipe.sink.drain(0.05)
    assert pipe.read() == LINE * 200


def test_a_descriptor_that_does_not_block(pipe: Pipe) -> None:
    """Whoever shares it may have made it so: nothing is lost by that."""
    flags = fcntl.fcntl(pipe.writing, fcntl.F_GETFL)
    fcntl.fcntl(pipe.writing, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    for _ in range(1000):
        pipe.sink.write(LINE)
    assert pipe.read() == LINE * 1000


def gone(pipe: Pipe) -> None:
    pipe.close(pipe.reading)


def closed(pipe: Pipe) -> None:
    pipe.sink._descriptor = 10**6


def full_disk(pipe: Pipe) -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), pipe.writing)


@pytest.mark.parametrize("how", [gone, closed, full_disk])
def test_errors_of_the_sink_reach_nobody(pipe: Pipe, how: Callable[[Pipe], None]) -> None:
    """A reader that has gone (EPIPE), a closed descriptor (EBADF), a full disk (ENOSPC): lines are lost and counted."""
    how(pipe)
    for _ in range(3):
        pipe.sink.write("lost\n")
        assert pipe.sink.drain(PATIENCE)
    assert pipe.sink.dropped == 3


def test_a_disk_that_has_room_again(tmp_path: Path) -> None:
    """The first line that can be written says how many couldn't."""
    path = tmp_path / "log"
    target = os.open(path, os.O_WRONLY | os.O_CREAT)
    full = os.open("/dev/full", os.O_WRONLY)
    writing = os.dup(full)
    sink = LogSink(writing)
    try:
        for text in ("one\n", "two\nthree\n"):
            sink.write(text)
            assert sink.drain(PATIENCE)
        os.dup2(target, writing)
        sink.write("four\n")
        assert sink.drain(PATIENCE)
        assert path.read_text() == "3 log lines were dropped\nfour\n"
    finally:
        sink.end(PATIENCE)
        for descriptor in (target, full, writing):
            os.close(descriptor)


def test_half_a_line_is_ended(pipe: Pipe) -> None:
    """Where a line broke off, what follows begins a new one."""
    pipe.sink._write(b"whole\nhal")
    pipe.sink._cut = True
    pipe.sink.write("next\n")
    assert pipe.read() == "whole\nhal\nnext\n"


@pytest.mark.parametrize("text", ["\ud800", "\N{GRINNING FACE}\ud83d"])
def test_any_text_can_be_written(pipe: Pipe, text: str) -> None:
    """What the encoding can't say is escaped."""
    pipe.sink.write(text + "\n")
    assert pipe.read() == text.encode("utf-8", "backslashreplace").decode() + "\n"


def test_a_finalizer_may_log_while_a_line_is_taken(pipe: Pipe) -> None:
    """Whatever runs in the midst of a write in the same thread (a finalizer, a signal handler) may write itself."""

    class Last:
        def __init__(self) -> None:
            self.circle = self

        def __del__(self) -> None:
            pipe.sink.write("finalized\n")

    class Text(str):
        def __radd__(self, other: str) -> str:
            gc.collect()
            return other + str(self)

    Last()
    pipe.sink.write(Text("outer\n"))
    assert pipe.read().splitlines() == ["finalized", "outer"]


def test_a_faulty_notice_ends_no_thread(pipe: Pipe) -> None:
    """A fault in the log's own words is contained: later lines are written."""
    pipe.sink.notice = lambda lines: "a" + 1  # type: ignore[operator]
    pipe.sink._unsaid = 1
    pipe.sink.write("one\n")
    assert pipe.sink.drain(PATIENCE)
    pipe.sink.write("two\n")
    assert pipe.read() == "2 log lines were dropped\ntwo\n"


@contextmanager
def errors_at(descriptor: int) -> Iterator[None]:
    """Standard error is that descriptor, for Python too."""
    before = sys.stderr
    with open(descriptor, "w", closefd=False) as stream:
        vars(sys).update(stderr=stream)
        try:
            yield
        finally:
            vars(sys).update(stderr=before, __stderr__=before)


@pytest.mark.parametrize(
    ("style", "said"),
    [
        ("plain", "\tWARNING\t7 log lines were dropped"),
        ("json", '"level":"warning","event":"7 log lines were dropped"'),
    ],
)
def test_the_gap_is_said_in_the_logs_own_format(pipe: Pipe, style: str, said: str) -> None:
    """Whoever parses the lines can parse that one."""
    configure_logging(load_settings({"REPTARIUM_LOG_FORMAT": style}), pipe.sink)  # type: ignore[arg-type]
    pipe.sink._unsaid = 7
    structlog.get_logger().info("here")
    lines = pipe.read().splitlines()
    assert [(said in line, "here" in line) for line in lines] == [(True, False), (False, True)], lines


def test_taking_over(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """From then on everybody's standard error is the sink, Python's own too; the process drains it at its end."""
    ends: list[Callable[[], object]] = []
    monkeypatch.setattr("atexit.register", ends.append)
    with errors_at(pipe.writing):
        sink = take_over_stderr()
        assert sink is sys.stderr is sys.__stderr__
        assert sink.fileno() == pipe.writing
        print("said", file=sys.stderr, flush=True)
    (drain,) = ends
    assert drain()
    sink.end(PATIENCE)
    assert pipe.read() == "said\n"


def test_no_descriptor_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream in memory stays what it is."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert take_over_stderr() is None
    assert sys.stderr is stream


def test_no_thread_is_no_reason_not_to_start(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started standard error stays as it was."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with errors_at(pipe.writing):
        before = sys.stderr
        assert take_over_stderr() is None
        assert sys.stderr is before


def test_dropped_lines_are_a_metric() -> None:
    """The series is there from the start, and asks when it is asked."""
    metrics = Metrics()
    assert metrics.registry.get_sample_value("reptarium_log_lines_dropped_total") == 0
    metrics.process.log_lines_dropped = lambda: 5
    assert metrics.registry.get_sample_value("reptarium_log_lines_dropped_total") == 5
    assert b"reptarium_log_lines_dropped_total 5.0" in metrics.expose()


def test_words_for_what_was_dropped() -> None:
    """One line, or several."""
    assert [dropped_text(lines) for lines in (1, 2)] == ["1 log line was dropped", "2 log lines were dropped"]
