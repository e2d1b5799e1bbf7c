"""What a log line looks like, and what never stands in one."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from reptarium.pool.config import load_settings
from reptarium.pool.ops import logs
from reptarium.pool.ops.logs import configure_logging, hide_secret, task_context, task_finished_fields, task_used_fields
from reptarium.pool.ops.stderr import is_journal
from reptarium.pool.protocol.messages.broker import TaskSettings
from reptarium.sandbox.wire import Exited


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    logs._fetched.clear()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def configured(stream: io.StringIO | None = None, **environ: str) -> io.StringIO:
    out = stream or io.StringIO()
    configure_logging(load_settings(environ), out)
    return out


def test_plain_lines_have_the_launchers_columns() -> None:
    """Without a terminal: time, level and text by tabs, fields as key=value."""
    out = configured()
    structlog.get_logger().info("Task finished", task="t1", node="My node", ms=1.5)
    stamp, level, text = out.getvalue().rstrip("\n").split("\t")
    assert len(stamp) == len("2026-01-01 00:00:00.000")
    assert level == "INFO"
    assert text == 'Task finished task=t1 node="My node" ms=1.5'


@pytest.mark.parametrize(("descriptor", "columns"), [("journal", 2), ("elsewhere", 3)])
def test_the_journal_has_its_own_times(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, descriptor: str, columns: int
) -> None:
    """A line has no time of ours where standard error is the journal."""
    with open(tmp_path / "journal", "w+") as journal, open(tmp_path / "elsewhere", "w") as elsewhere:
        status = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        fd = {"journal": journal, "elsewhere": elsewhere}[descriptor].fileno()
        monkeypatch.setattr(logs, "is_journal", partial(is_journal, descriptor=fd))
        monkeypatch.setattr(sys, "stderr", journal)
        configure_logging(load_settings({}))
        structlog.get_logger().info("Hello")
        journal.seek(0)
        assert len(journal.read().split("\t")) == columns


def test_terminal_gets_colours() -> None:
    """On a terminal the level is coloured; a forced plain format is not."""
    out = configured(Terminal())
    structlog.get_logger().warning("Look")
    assert "\x1b[33mwarning" in out.getvalue()
    out = configured(Terminal(), REPTARIUM_LOG_FORMAT="plain")
    structlog.get_logger().warning("Look")
    assert "\x1b" not in out.getvalue()


def test_json_lines() -> None:
    """JSON starts with time, level and event and keeps the types of fields."""
    out = configured(REPTARIUM_LOG_FORMAT="json")
    structlog.get_logger().error("Broken", seconds=0.5, ids=("a", "b"), worker=None)
    line = json.loads(out.getvalue())
    assert list(line)[:3] == ["time", "level", "event"]
    assert (line["level"], line["event"]) == ("error", "Broken")
    assert (line["seconds"], line["ids"], line["worker"]) == (0.5, ["a", "b"], None)


def test_level_is_honoured() -> None:
    """Below the configured level nothing is written."""
    out = configured(N8N_RUNNERS_LAUNCHER_LOG_LEVEL="warn")
    log = structlog.get_logger()
    log.info("quiet")
    log.warning("loud")
    logging.getLogger("some.library").info("quiet")
    assert out.getvalue().count("\n") == 1
    assert "loud" in out.getvalue()


@pytest.mark.parametrize("style", ["plain", "console", "json"])
def test_secrets_never_appear(style: str) -> None:
    """Tokens are taken out of text, fields, nested values, keys, reprs and tracebacks, also fetched ones."""
    out = configured(REPTARIUM_LOG_FORMAT=style, N8N_RUNNERS_AUTH_TOKEN="hush", N8N_RUNNERS_GRANT_TOKEN="hush-hush")
    hide_secret("fetched-1")
    log = structlog.get_logger()

    class Holder:
        def __repr__(self) -> str:
            return "<Holder hush-hush fetched-1>"

    try:
        raise ValueError("refused hush-hush")
    except ValueError:
        log.exception(
            "with hush",
            url="http://x/?t=fetched-1",
            deep={"hush": ["hush-hush", {"a": "hush"}]},
            holder=Holder(),
        )
    log.info("field", token="anything at all", authorization="Bearer other", deep={"password": "swordfish"})
    logging.getLogger("lib").warning("library says %s", "hush-hush")
    written = out.getvalue()
    for secret in ("hush", "fetched-1", "anything at all", "Bearer other", "swordfish"):
        assert secret not in written
    assert written.count("(hidden)") >= 9
    assert "ValueError" in written


@pytest.mark.parametrize("style", ["plain", "console", "json"])
@pytest.mark.parametrize("short", ["a", "e", "1", "ta", "ask"])
def test_short_secrets_spoil_no_line(style: str, short: str) -> None:
    """What is too short to be told from chance is left in texts, wherever it comes from; a secret's field is hidden."""
    out = configured(
        REPTARIUM_LOG_FORMAT=style,
        N8N_RUNNERS_AUTH_TOKEN=short,
        N8N_RUNNERS_GRANT_TOKEN=short,
        N8N_SENTRY_DSN=short,
    )
    hide_secret(short)
    structlog.get_logger().info("A task ended 1 time", node="What a mess", deep=["tasks", {"asks": "me"}], token=short)
    written = out.getvalue()
    assert "A task ended 1 time" in written
    assert "What a mess" in written
    assert written.count("(hidden)") == 1
    structlog.get_logger().info("The whole field", said=short, url="http://x/?t=" + "long" + short)
    assert out.getvalue().count("(hidden)") == 2


def test_secrets_of_four_characters_are_found() -> None:
    """From four characters on a secret is taken out of texts."""
    out = configured(N8N_RUNNERS_AUTH_TOKEN="hush")
    hide_secret("psst")
    structlog.get_logger().info("whisper hush, psst!", url="http://x/?hush")
    assert "hush" not in out.getvalue()
    assert "psst" not in out.getvalue()


@pytest.mark.parametrize("secret", ["task", "end-ed", "7.5", "a+b.c", "[x]y", "=_=_=", "1234567"])
def test_secrets_of_a_few_characters_are_words_of_their_own(secret: str) -> None:
    """What has fewer than eight characters is hidden where no letter or digit stands beside it, whatever it is made of:
    within another word it is chance. A longer one is hidden anywhere."""
    longer = f"{secret}89abcdef"
    out = configured(N8N_RUNNERS_AUTH_TOKEN=secret, N8N_RUNNERS_GRANT_TOKEN=longer)
    word = f"multi{secret}ing"
    structlog.get_logger().info(f"{word} 12{secret}", field=word, url=f"http://x/?t={secret}&u", said=f"x{longer}x")
    written = out.getvalue()
    assert f"{word} 12{secret}" in written
    assert word in written.partition("field=")[2]
    if len(secret) >= 4:
        assert "?t=(hidden)&u" in written
    assert "x(hidden)x" in written


@pytest.mark.parametrize("style", ["plain", "json"])
def test_user_data_stays_out_above_debug(style: str) -> None:
    """Code, items and results show only how long they are, unless the level is debug."""
    out = configured(REPTARIUM_LOG_FORMAT=style)
    structlog.get_logger().info("Odd", code="return 1", items=[1, 2], result=b"raw")
    assert "return 1" not in out.getvalue()
    assert "8 long" in out.getvalue()
    out = configured(REPTARIUM_LOG_FORMAT=style, REPTARIUM_LOG_LEVEL="debug")
    structlog.get_logger().debug("Odd", code="return 1")
    structlog.get_logger().info("Odd", code="return 2")
    assert "return 1" in out.getvalue()
    assert "return 2" not in out.getvalue()


@pytest.mark.parametrize("style", ["plain", "console"])
def test_one_event_is_one_line(style: str) -> None:
    """A workflow's name can't forge a line or drive a terminal."""
    out = configured(REPTARIUM_LOG_FORMAT=style)
    structlog.get_logger().info("done", workflow="evil\nERROR\tforged\x1b[2J\r\x9b\u2028x")
    assert out.getvalue().count("\n") == 1
    assert "\x1b[2J" not in out.getvalue()
    assert "evil\\nERROR\\tforged\\x1b[2J\\r\\x9b\\u2028x" in out.getvalue().replace("\\\\", "\\")


def test_quotes_in_fields_are_escaped() -> None:
    """A field can't pretend to be two."""
    out = configured()
    structlog.get_logger().info("done", node='a" outcome="done')
    assert r'node="a\" outcome=\"done"' in out.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a b", '"a b"'), ("a=b", '"a=b"'), ('a"b', r'"a\"b"'), ("", '""'), ("a-b", "a-b"), (7, "7"), (1.5, "1.5")],
)
def test_fields_are_quoted_where_they_must_be(value: object, shown: str) -> None:
    """What would end a field, or begin another, stands in quotes; what is plain doesn't."""
    out = configured()
    structlog.get_logger().info("done", node=value, last=1)
    assert f" node={shown} last=1\n" in out.getvalue()


def test_tracebacks_are_indented_and_without_locals() -> None:
    """A traceback follows its line, indented; the values of variables are not in it."""
    out = configured()

    def inner(items: list[str]) -> None:
        raise KeyError("gone")

    try:
        inner(["confi" + "dential"])
    except KeyError:
        structlog.get_logger().exception("Fault")
    first, *rest = out.getvalue().splitlines()
    assert first.endswith("ERROR\tFault")
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1].strip() == "KeyError: 'gone'"
    assert "confidential" not in out.getvalue()


def test_a_reader_that_is_gone_ends_nothing() -> None:
    """A broken pipe or a closed stream loses the line, not the task that logs."""

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    configured(Broken())
    structlog.get_logger().info("lost")
    out = configured()
    out.close()
    structlog.get_logger().info("lost")


def test_json_takes_any_value() -> None:
    """Lone surrogates, giant integers and odd keys still make one line of JSON."""
    out = configured(REPTARIUM_LOG_FORMAT="json")
    structlog.get_logger().info("odd", text="\ud800", number=2**80, keys={1: "a"})
    assert json.loads(out.getvalue())["number"] == 2**80


def test_libraries_log_in_the_same_format() -> None:
    """What comes through the standard library's logging looks like ours and names its logger."""
    out = configured(REPTARIUM_LOG_FORMAT="json")
    logging.getLogger("some.library").warning("hm %d", 3)
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("hm 3", "warning", "some.library")


def test_task_fields() -> None:
    """A task's lines carry workflow and node; the last one outcome, duration, sizes and worker."""
    settings = TaskSettings(code="x", workflow_id="w1", workflow_name="Flow", node_id="n1", node_name=None)
    assert task_context("t1", settings) == {
        "task": "t1",
        "workflow": "Flow",
        "workflow_id": "w1",
        "node": "Unknown",
        "node_id": "n1",
    }
    common: dict[str, Any] = {"queue_seconds": 0.0012345, "request_bytes": 10, "broker": "http://b:5679"}
    fields = task_finished_fields(outcome="done", seconds=0.0123456, result_bytes=20, worker=77, **common)
    assert fields == {
        "outcome": "done",
        "ms": 12.35,
        "queue_ms": 1.23,
        "request_bytes": 10,
        "result_bytes": 20,
        "worker": 77,
        "broker": "http://b:5679",
    }
    used = Exited(pid=1, status=0, cpu=0.0123456, peak=30_000_000)
    assert task_used_fields(used) == {"cpu_s": 0.0123, "peak_memory_bytes": 30_000_000}
    assert task_used_fields(None) == {}
    bare = task_finished_fields(outcome="lost", seconds=1, result_bytes=None, worker=None, **common)
    assert "result_bytes" not in bare
    assert "worker" not in bare
