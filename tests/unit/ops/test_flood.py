"""What others cause fills the log with no more than so many lines; the rest is counted and said."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator

import pytest
import structlog

from reptarium.pool.ops.flood import BYTES, KINDS, LINES, PERIOD, Flood
from reptarium.pool.ops.logs import configure_logging
from tests.conftest import make_settings

Lines = Callable[[], list[dict[str, object]]]


class Clock:
    """Seconds that pass when somebody says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The log's own."""
    clock = Clock()
    monkeypatch.setattr(Flood.__init__, "__defaults__", (clock,))
    return clock


@pytest.fixture
def logged(clock: Clock) -> Iterator[tuple[Flood, Lines]]:
    """A log in JSON: what limits it, and its lines so far."""
    before, stream = structlog.get_config(), io.StringIO()
    flood = configure_logging(make_settings(log_format="json", log_level="debug"), stream)
    yield flood, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.configure(**before)


def test_lines_alike_are_left_out_and_counted(logged: tuple[Flood, Lines], clock: Clock) -> None:
    """So many within ten seconds; how many more there were is said once they are over, with the next line."""
    flood, lines = logged
    log = structlog.get_logger()
    for number in range(LINES + 300):
        log.warning("malformed message from the broker", broker="http://a", fault=number)
    assert len(lines()) == LINES
    assert flood.left_out == 300
    clock.now = PERIOD
    log.info("another")
    *_, left_out, other = lines()
    assert (left_out["event"], left_out["like"], left_out["broker"], left_out["lines"]) == (
        "log lines left out", "malformed message from the broker", "http://a", 300,
    )  # fmt: skip
    assert other["event"] == "another"
    log.warning("malformed message from the broker", broker="http://a")
    assert len(lines()) == LINES + 3


def test_one_flood_is_not_anothers(logged: tuple[Flood, Lines]) -> None:
    """What another broker is told of, other kinds of line, and those of tasks, are written all the same."""
    _, lines = logged
    log = structlog.get_logger()
    for _ in range(LINES + 1):
        log.warning("registered with the broker", broker="http://a")
        log.info("task", broker="http://a")
    log.warning("registered with the broker", broker="http://b")
    log.warning("the broker drains", broker="http://a")
    assert len(lines()) == LINES + (LINES + 1) + 2


def test_long_lines_count_more(logged: tuple[Flood, Lines]) -> None:
    """A text after a colon makes no kind of its own, and bytes are bounded as lines are."""
    _, lines = logged
    for number in range(LINES):
        structlog.get_logger().warning(f"zygote: {number} " + "x" * (BYTES // 10))
    assert len(lines()) == 10


def test_kinds_are_bounded(logged: tuple[Flood, Lines], clock: Clock) -> None:
    """Whoever makes up kinds has one for all of them; those whose time is over make room."""
    flood, lines = logged
    log = structlog.get_logger()
    for number in range(KINDS + 2 * LINES):
        log.warning(f"made up {number}")
    assert len(lines()) == KINDS + LINES
    assert len(flood._kinds) == KINDS + 1
    clock.now = PERIOD
    log.warning("new")
    assert len(flood._kinds) <= 2


def test_a_line_that_cannot_be_made_ends_nothing(logged: tuple[Flood, Lines]) -> None:
    """Who logs is in the midst of something else: a field whose text can't be had is the log's own trouble."""

    class Odd:
        def __repr__(self) -> str:
            raise ValueError("of a kind that nobody foresaw")

    structlog.get_logger().warning("said", field=Odd())
