"""What print sends."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from reptarium.sandbox.task.console import Console, StderrTail, Stream, format_value
from reptarium.sandbox.texts import PRINT_PRICE, truncation_note


def printed(*calls: tuple[tuple[object, ...], dict[str, object]], limit: int = 1 << 20) -> list[list[str]]:
    """The frames that these print calls make."""
    frames: list[list[str]] = []
    console = Console(lambda raw: frames.append(json.loads(raw)), limit)
    for args, options in calls:
        console.print(*args, **options)  # type: ignore[arg-type]
    console.flush()
    return frames


#: as n8n's own runner formats them (recorded with n8n 2.40.5)
ORIGINAL = [
    (("hello",), ["'hello'"]),
    (("a", 1, 2.5, True, None), ["'a'", "1", "2.5", "True", "None"]),
    ((), []),
    (({"k": [1, 2], "u": "ü"}, [1, "two"], (3, 4)), ['{"k": [1, 2], "u": "ü"}', '[1, "two"]', "[3, 4]"]),
    (({1}, {"d": {"e": None}}), ['"{1}"', '{"d": {"e": null}}']),
    (("multi\nline", 'quo"te', "it's"), ["'multi\nline'", "'quo\"te'", "'it's'"]),
    ((10**20, 1e100, -0.0), ["100000000000000000000", "1e+100", "-0.0"]),
    ((datetime.date(2024, 1, 2), b"bytes", 1 + 2j), ['"2024-01-02"', "\"b'bytes'\"", '"(1+2j)"']),
]


@pytest.mark.parametrize(("args", "expected"), ORIGINAL)
def test_original_format(args: tuple[object, ...], expected: list[str]) -> None:
    """Plain prints look as in n8n's own runner."""
    assert printed((args, {})) == [expected]


def test_sep_and_end() -> None:
    """sep joins into one text; end without a newline holds the line back until it is complete."""
    assert printed((("a", 1), {"sep": "-"}), ((1,), {"end": ", "}), (("b",), {})) == [["'a-1'"], ["'1, b'"]]


def test_every_line_of_a_print_is_sent() -> None:
    """A print of several lines is one text with all of them, whichever option makes its way a longer one."""
    assert printed((("one\ntwo\nthree",), {"end": "!\n"})) == [["'one\ntwo\nthree!'"]]
    assert printed((("one", "two", "three"), {"sep": "\n"})) == [["'one\ntwo\nthree'"]]
    assert printed((("one\ntw",), {"end": ""}), (("o\nthree\nfo",), {"end": ""})) == [
        ["'one'"], ["'two\nthree'"], ["'fo'"]
    ]  # fmt: skip


def test_unfinished_line_is_not_lost() -> None:
    """The last print(…, end="") comes out when the task ends."""
    assert printed((("dots",), {"end": "..."})) == [["'dots...'"]]


def test_file_gets_the_text() -> None:
    """print(file=…) writes there and sends nothing."""
    buffer = io.StringIO()
    assert printed((("a", 1), {"file": buffer})) == []
    assert buffer.getvalue() == "a 1\n"


def test_a_file_of_ones_own_sees_each_piece() -> None:
    """As with the built-in print: values, what is between them and the end come by themselves; flush flushes."""

    class Seen:
        def __init__(self) -> None:
            self.all: list[str] = []

        def write(self, text: str) -> None:
            self.all.append(text)

        def flush(self) -> None:
            self.all.append("flushed")

    seen, expected = Seen(), Seen()
    for file, call in ((expected, print), (seen, lambda *args, **options: printed((args, options)))):
        call("a", 1, file=file)
        call(file=file)
        call("b", None, sep="", end="", file=file, flush=True)
    assert seen.all == expected.all


@pytest.mark.parametrize("options", [{}, {"file": io.StringIO()}], ids=["console", "file"])
def test_wrong_sep_is_a_type_error(options: dict[str, Any]) -> None:
    """As with the built-in print."""
    with pytest.raises(TypeError, match="sep must be None or a string, not int"):
        printed((("a",), {"sep": 1, **options}))


def test_output_is_bounded_and_says_so_once() -> None:
    """After the limit one note tells what to raise; nothing follows it."""
    frames = printed(*[(("x" * 50,), {})] * 10, limit=200)
    assert frames[-1] == [truncation_note(200)]
    assert frames.count([truncation_note(200)]) == 1
    assert len(frames) < 6


def test_a_print_of_nothing_has_a_price() -> None:
    """Each print is a message to n8n: as many as the limit has prices are sent, whatever is in them."""
    frames = printed(*[((), {})] * 100_000, limit=50 * PRINT_PRICE)
    assert 40 < len(frames) <= 51
    assert frames[-1] == [truncation_note(50 * PRINT_PRICE)]


@pytest.mark.parametrize("form", [format_value, str])
@pytest.mark.parametrize("text", ["", "é", "\0\x7f\u2028", "qu\"o\\te'", "\ud83d", "x" * 79, "x" * 80])
def test_a_short_text_is_printed_as_any_other(text: str, form: Callable[[object], str]) -> None:
    """By the short way of the function that user code has: the same line, the same price, the same end."""
    whole: list[bytes] = []
    short: list[bytes] = []
    long_way, short_way = Console(whole.append, 2000, form), Console(short.append, 2000, form)
    for _ in range(20):
        long_way.print(text)
        short_way.printer(text)
    assert short == whole
    assert json.loads(short[-1]) == [truncation_note(2000)]


@pytest.mark.parametrize("args", [("task",), ("task", 1)])
def test_a_print_in_the_middle_of_another_is_counted(args: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread's, or a finalizer's, wherever the interpreter may turn to it: the supervisor counts them all, and
    kills who prints far beyond the limit.
    """
    lines: list[bytes] = []
    console, limit = Console(lines.append, 10 * PRINT_PRICE), 10 * PRINT_PRICE
    others = [f"other {number}" for number in range(5)]

    def measured(what: Any) -> int:
        while isinstance(what, bytes | bytearray) and others:
            console.printer(others.pop())
        return len(what)

    monkeypatch.setattr("reptarium.sandbox.task.console.len", measured, raising=False)
    for _ in range(10):
        console.printer(*args)
    assert not others
    assert json.loads(lines[-1]) == [truncation_note(limit)]
    assert sum(len(line) + PRINT_PRICE for line in lines[:-1]) <= limit


def test_nothing_follows_the_note_in_the_middle_of_a_print() -> None:
    """Where what becomes of a value prints itself, beyond the limit."""
    lines: list[bytes] = []
    console = Console(lines.append, 300)

    class Talkative:
        def __str__(self) -> str:
            console.printer("x" * 500)
            return "done"

    console.printer(Talkative())
    assert [json.loads(line) for line in lines] == [[truncation_note(300)]]


def test_lone_surrogate_is_printable() -> None:
    """Half an emoji has no UTF-8 form and is sent as an escape."""
    assert printed((("\ud83d",), {})) == [["'\ud83d'"]]


def test_flush_shows_an_unfinished_line() -> None:
    """``flush=True``, and a flush of ``sys.stdout``, send what is there; the rest of the line follows by itself."""
    lines: list[list[str]] = []
    console = Console(lambda raw: lines.append(json.loads(raw)), 1000)
    console.print("a", end="", flush=True)
    assert lines == [["'a'"]]
    console.printer("b", end="")
    assert len(lines) == 1
    Stream(console).flush()
    assert lines[1:] == [["'b'"]]
    console.print("c", flush=True)
    assert lines[2:] == [["'c'"]]


def test_standard_output_is_printed() -> None:
    """What libraries write to ``sys.stdout`` is printed by lines, in its place among prints, within the same limit."""
    lines: list[list[str]] = []
    console = Console(lambda raw: lines.append(json.loads(raw)), 1000)
    stdout = Stream(console)
    print("a", 1, file=stdout)
    console.print("b", end="")
    assert stdout.write(" and c\nd\ne") == len(" and c\nd\ne")
    console.print("f")
    assert lines == [["'a 1'"], ["'b and c\nd'"], ["'ef'"]]
    with pytest.raises(TypeError, match="must be str, not bytes"):
        stdout.write(b"")  # type: ignore[arg-type]
    stdout.write("x" * 1000 + "\n")
    stdout.write("y\n")
    assert lines[3:] == [[truncation_note(1000)]]


def test_stderr_keeps_the_tail() -> None:
    """However much is written, the end is what is kept."""
    tail = StderrTail()
    for number in range(100_000):
        tail.write(f"{number}\n")
    assert tail.tail().endswith("99999\n")
    assert len(tail.tail()) <= 16 * 1024
