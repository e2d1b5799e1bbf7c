"""``print`` as user code sees it: each call becomes a message to n8n.

The format is the original's, which people know from their browser console: strings in single
quotes, numbers, booleans and None as Python writes them, anything else as JSON. Unlike the
original, ``sep``, ``end`` and ``file`` work, and what was printed before a failure is kept.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import msgspec

from reptarium.sandbox.language import REDIRECTED
from reptarium.sandbox.texts import PRINT_PRICE, truncation_note
from reptarium.sandbox.userspace.json_form import write_plain

#: Characters of a print that is written by the shortest way.
_SHORT = 80
_encode = msgspec.json.Encoder().encode
#: How much of what a task wrote to standard error is kept for its error report, in characters.
STDERR_TAIL = 16 * 1024


def format_value(value: object) -> str:
    """One printed value, in the original's format."""
    if isinstance(value, str):
        return f"'{value}'"
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    try:
        return json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(value)


class Console:
    """Turns prints into lines until ``limit`` bytes are used up, then says so once.

    Each takes the bytes of its line and :data:`PRINT_PRICE`.

    ``send`` takes a line: a JSON list of strings and a line feed. ``form`` is what becomes of a printed value.
    """

    def __init__(
        self, send: Callable[[bytes | bytearray], None], limit: int, form: Callable[[object], str] = format_value
    ) -> None:
        self._send = send
        self._form = form
        self._limit = limit
        self._used = 0
        self._closed = False
        self._pending: list[str] = []  # pieces of an unfinished line
        self._unfinished = 0  # characters of these
        #: :meth:`print` for user code: a function, since a bound method leads to this object.
        self.printer = _printer(self)

    def print(
        self,
        *args: object,
        sep: str | None = None,
        end: str | None = None,
        file: Any = None,
        flush: bool = False,
    ) -> None:
        """The built-in's signature. ``file`` may be anything with a ``write`` method."""
        for name, option in (("sep", sep), ("end", end)):
            if option is not None and not isinstance(option, str):
                raise TypeError(f"{name} must be None or a string, not {type(option).__name__}")
        if file is None and REDIRECTED:
            file = REDIRECTED[-1]
            if file is None:
                return  # as where there is no sys.stdout
        if file is not None:
            _write(file, args, " " if sep is None else sep, "\n" if end is None else end)
            if flush:
                file.flush()
            return
        if sep in (None, " ") and end in (None, "\n") and not self._pending:
            self._emit(args)
            return
        text = (" " if sep is None else sep).join(map(str, args)) + ("\n" if end is None else end)
        self._add(text)
        if flush:  # whoever asks for that wants to see it, also when the task is ended by a time limit
            self.flush()

    def renewed(self) -> Console:
        """The console of another task of this worker's."""
        return Console(self._send, self._limit, self._form)

    def bound(self, limit: int) -> None:
        """From now on, this many bytes in all."""
        self._limit = limit

    def write(self, text: str) -> int:
        """What is written to ``sys.stdout`` is printed: line by line, as on a terminal."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._add(str.__str__(text))
        return len(text)

    def _add(self, text: str) -> None:
        if self._closed:
            return
        done, newline, rest = text.rpartition("\n")
        if newline:
            pieces, self._pending, self._unfinished = [*self._pending, done], [], 0
            self._emit(("".join(pieces),))
        if rest:
            self._pending.append(rest)
            self._unfinished += len(rest) + 1  # what is empty isn't kept, but a piece weighs, too
            if self._unfinished > self._limit:
                self.flush()

    def flush(self) -> None:
        """Send what a last ``print(..., end="")`` left unfinished."""
        if self._pending:
            pieces, self._pending, self._unfinished = self._pending, [], 0
            self._emit(("".join(pieces),))

    def _emit(self, values: tuple[object, ...]) -> None:
        if self._closed:
            return
        form, parts, room = self._form, [], self._limit - self._used
        for value in values:
            part = form(value)
            room -= len(part)
            parts.append(part)
        line: bytes | bytearray = b""
        if room >= 0:  # what is too long as it is needs no copy
            line = _json_line(parts)
            size = len(line) + PRINT_PRICE
            self._used += size  # without a call: see _printer()
        if self._closed:
            return  # type: ignore[unreachable] # by a print in the middle of this one, or another thread's
        if not line or self._used > self._limit:
            self._closed = True
            line = _json_line([truncation_note(self._limit)])
        self._send(line)


def _json_line(parts: list[str]) -> bytes | bytearray:
    # six bytes are the most that becomes of a character, and so much finds room without growing: see write_plain()
    short = len(parts) == 1 and len(parts[0]) <= _SHORT
    line: bytes | bytearray
    try:
        line = _encode(parts) if short else write_plain(parts)
    except UnicodeEncodeError:
        line = json.dumps(parts).encode()
    line += b"\n"
    return line


def _write(file: Any, args: tuple[object, ...], sep: str, end: str) -> None:
    """As the built-in does it: a file of the person's own sees each piece by itself."""
    for place, value in enumerate(args):
        if place:
            file.write(sep)
        file.write(str(value))
    file.write(end)


def _printer(console: Console) -> Callable[..., None]:
    emit, whole, send = console._emit, console.print, console._send
    mark = "'" if console._form is format_value else ""

    def print(
        *args: object, sep: str | None = None, end: str | None = None, file: Any = None, flush: bool = False
    ) -> None:
        if sep is None and end is None and file is None and not (REDIRECTED or console._pending):
            # What nearly all prints are, in as few steps as there can be: a short text, for which there is room
            if len(args) == 1 and type(text := args[0]) is str and len(text) < _SHORT:
                try:
                    line = b"[" + _encode(f"{mark}{text}{mark}") + b"]\n"
                except UnicodeEncodeError:
                    emit(args)
                    return
                size = len(line) + PRINT_PRICE
                used = console._used + size  # no call from here to where it is kept: another print may come in one
                if used <= console._limit and not console._closed:
                    console._used = used
                    send(line)
                    return
            emit(args)
        else:
            whole(*args, sep=sep, end=end, file=file, flush=flush)

    print.__qualname__ = "print"  # it is shown where code prints or returns the function itself
    return print


class StderrTail(io.TextIOBase):
    """Standard error of a worker: keeps the tail for the error report."""

    def __init__(self) -> None:
        self._text = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._text = (self._text + text[-STDERR_TAIL:])[-STDERR_TAIL:]
        return len(text)

    def tail(self) -> str:
        """The last :data:`STDERR_TAIL` characters written."""
        return self._text


class Stream(io.TextIOBase):
    """Standard output or error of a worker: what libraries, ``pprint`` and ``sys.stdout.write`` write there goes to a
    console, or a :class:`StderrTail`.

    Libraries keep it where tasks can read it (``PrettyPrinter()._stream``): it holds functions, which lead no further.
    """

    def __init__(self, target: Console | StderrTail) -> None:
        self._write: Callable[[str], int] = lambda text: target.write(text)
        self._flush: Callable[[], None] = lambda: target.flush()

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        return self._write(text)

    def flush(self) -> None:
        self._flush()
