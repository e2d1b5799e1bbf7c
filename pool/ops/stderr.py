"""Standard error that makes nobody wait: whoever logs hands lines over, a thread writes them.

A pipe that nobody reads stops its writer for good, and the writer would be the event loop, with every task of every
broker. What can't be taken up (the reader is behind, or has gone; the disk is full) is dropped and counted, and said
in its place once something can be written again. Order is kept; nothing is lost while the reader reads. A fault of
the sink reaches none who logs.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import cast

#: What may wait to be written, bytes; each entry is charged for what it takes beside its text.
MOST_WAITING, _BESIDE = 8 << 20, 128
#: Bytes handed to the system in one call, and of a line that doesn't end.
_CHUNK = 64 << 10
#: Lines that come within so many seconds after others are written together: to wake the thread for each cost a tenth
#: of the processor time that a small task takes of the supervisor.
_TOGETHER = 0.02
#: How long the end of the process waits for a reader (seconds).
LAST_WORDS = 1.0


class _Gap:
    """Stands in the queue where lines were dropped."""

    def __init__(self) -> None:
        self.lines = 0


class LogSink(io.TextIOBase):
    """A text stream on a descriptor that is written by a thread of its own.

    Args:
        descriptor: to write to; not closed.
        encoding: of the text; what it can't say is escaped.
        terminal: what ``isatty`` answers.

    Raises:
        RuntimeError: no thread can be started.
    """

    def __init__(self, descriptor: int, *, encoding: str = "utf-8", terminal: bool = False) -> None:
        self.notice: Callable[[int], str] = dropped_text
        """The line that says that so many lines were dropped, without its end."""
        self._descriptor, self._encoding, self._terminal = descriptor, encoding, terminal
        # Reentrant: a finalizer that logs may run in the midst of anything here.
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[bytes | _Gap] = deque()
        self._partial = ""
        self._held = 0  # bytes that are queued or being written
        self._writing = False
        self._waiting = False  # for a first line
        self._hurried = 0  # how many wait until all is written
        self._ended = False
        self._dropped = 0
        # The thread's own: lines that were dropped and not said yet, and whether a line was cut off.
        self._unsaid = 0
        self._cut = False
        self._thread = threading.Thread(target=self._serve, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were never written, since the start."""
        return self._dropped

    # --- as a stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute
        return self._encoding

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return self._terminal

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Hand over text; whole lines are written. Never waits, never raises for what happens to it."""
        with self._changed:
            self._partial += text
            if len(self._partial) > _CHUNK or "\n" in text:
                lines, end, rest = self._partial.rpartition("\n")
                if not end:
                    lines, rest = rest, ""
                self._partial = rest
                self._put((lines + end).encode(self._encoding, "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Does nothing: Python calls it after each of its own messages, and would wait. See :meth:`drain`."""

    def drain(self, timeout: float = LAST_WORDS) -> bool:
        """Wait at most ``timeout`` seconds until everything is written. Returns whether it is."""
        with self._changed:
            if self._partial:
                text, self._partial = self._partial, ""
                self._put(text.encode(self._encoding, "backslashreplace"))
            self._hurried += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._queue and not self._writing, timeout)
            finally:
                self._hurried -= 1

    def end(self, timeout: float = LAST_WORDS) -> None:
        """Drain and end the thread, unless it is stuck."""
        self.drain(timeout)
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(timeout)

    # --- between the two

    def _put(self, data: bytes) -> None:
        """Queue whole lines, or note that they're dropped. With the lock."""
        charge = len(data) + _BESIDE
        if self._held and self._held + charge > MOST_WAITING:
            if not self._queue or not isinstance(self._queue[-1], _Gap):
                self._queue.append(_Gap())
            gap = cast(_Gap, self._queue[-1])
            lines = _lines(data)
            gap.lines += lines
            self._dropped += lines
        else:
            self._held += charge
            self._queue.append(data)
        if self._waiting or self._held > _CHUNK:
            self._changed.notify_all()

    # --- the thread

    def _serve(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the main thread's
        pause = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._hurried or self._ended or self._held > _CHUNK, pause)
                self._waiting = True
                while not self._queue:
                    if self._ended:
                        return
                    self._changed.wait()
                self._waiting = False
                parts, gap = self._take()
                self._writing = True
            data = b"".join(parts)
            try:
                lost = self._say(data, gap)
            except Exception:  # the words for what was dropped are at fault: from now on without them
                self.notice = dropped_text
                lost = self._lost(data)
            with self._changed:
                self._writing = False
                self._held -= sum(len(part) + _BESIDE for part in parts)
                self._dropped += lost
                self._changed.notify_all()
            pause = _TOGETHER

    def _take(self) -> tuple[list[bytes], int]:
        """Entries for one write, and how many lines were dropped before them. With the lock."""
        parts: list[bytes] = []
        size = gap = 0
        while self._queue and size < _CHUNK:
            first = self._queue[0]
            if isinstance(first, _Gap):
                if parts:
                    break
                gap += first.lines
            else:
                parts.append(first)
                size += len(first)
            self._queue.popleft()
        return parts, gap

    def _say(self, data: bytes, gap: int) -> int:
        """Write it, and before it what was dropped. Returns how many lines of it are lost."""
        self._unsaid += gap
        if self._unsaid:
            notice = self.notice(self._unsaid) + "\n"
            if self._write(notice.encode(self._encoding, "backslashreplace")):
                return self._lost(data)
            self._unsaid = 0
        return self._lost(self._write(data))

    def _lost(self, data: bytes) -> int:
        lines = _lines(data)
        self._unsaid += lines
        return lines

    def _write(self, data: bytes) -> bytes:
        """Write it. Returns what couldn't be written: a reader that has gone, a full disk, a closed descriptor."""
        start = b"\n" if self._cut and data else b""  # what follows half a line is no part of it
        whole = memoryview(start + data)
        done = 0
        while done < len(whole):
            try:
                done += os.write(self._descriptor, whole[done : done + _CHUNK])
            except BlockingIOError:  # whoever started us shares a descriptor that doesn't block
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
            except OSError:
                if done:
                    self._cut = whole[done - 1] != ord("\n")
                return bytes(whole[max(done, len(start)) :])
        self._cut = self._cut and not data
        return b""


def dropped_text(lines: int) -> str:
    """What is said of so many lines that were dropped."""
    return "1 log line was dropped" if lines == 1 else f"{lines} log lines were dropped"


def _lines(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n") if data else 0)


def take_over_stderr() -> LogSink | None:
    """From now on standard error makes nobody wait, for as long as the process lives; its end waits a second.

    Returns None, and leaves everything as it is, where standard error is no descriptor or no thread can be started.
    """
    before = sys.stderr
    with suppress(OSError, ValueError, RuntimeError):  # no descriptor (a test's stream); no thread
        before.flush()
        sink = LogSink(before.fileno(), encoding=before.encoding, terminal=before.isatty())
        # both: at its end Python goes back to the one that it began with
        vars(sys).update(stderr=sink, __stderr__=sink)
        # After the last traceback, which Python itself prints, and before its threads are gone.
        atexit.register(sink.drain)
        return sink
    return None


def is_journal(environ: Mapping[str, str], descriptor: int = 2) -> bool:
    """Whether the descriptor leads to the journal (``JOURNAL_STREAM``, systemd.exec(5)), which has times of its own."""
    with suppress(OSError):
        status = os.fstat(descriptor)
        return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    return False
