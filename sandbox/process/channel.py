"""A worker's end of its socket: blocking frames (``sandbox/wire.py``) over one file descriptor.

What a task prints waits in memory that the supervisor reads (``wire.PRINTS_SIZE``), until that is full or something
else is said: a kill in the middle of a task loses none of it, not even while the interpreter computes in C for
minutes, which no thread and no signal of its own would come through.

Whoever holds the lock writes what all have printed by then: a print never waits for another thread's, which may wait
for n8n's answer; and one in the middle of another of the same thread (a finalizer's, which the collector may run at any
allocation) is written by that one, after what it was about.
"""

from __future__ import annotations

import mmap
import os
import socket
import threading
import time
from collections import deque
from typing import Any

import msgspec

from reptarium.sandbox import wire
from reptarium.sandbox.wire import Kind

_answer_head = msgspec.json.Decoder(wire.RpcAnswerHead)
# Plain numbers, for the reason that worker.py gives
_CONSOLE, _RPC, _RPC_ANSWER = map(int, (Kind.CONSOLE, Kind.RPC, Kind.RPC_ANSWER))
#: Bytes per readv(2).
_CHUNK = 1 << 20
_HEAD, _ROOM, _QUIET = wire.PRINTS_HEAD, wire.PRINTS_ROOM, wire.PRINTS_QUIET
_NEVER = -float("inf")
_place = wire.PRINTS_PLACE.pack
_thread_number = threading.get_ident
_IN_THE_MIDDLE = "a call to n8n in the middle of another one, or of a print: a finalizer or a handler has made it"


class SupervisorGone(Exception):
    """The socket was closed: nobody waits for this worker any more."""


class Channel:
    """The worker's end of its socket: blocking frames over a file descriptor."""

    clock = staticmethod(time.monotonic)

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._prints: mmap.mmap | None = None  # where prints wait; None: nowhere, each is sent at once
        self._numbers: memoryview | None = None  # what stands before them
        self._before = self._waiting = 0  # bytes of prints: sent, and in ``prints``
        self._printed = _NEVER  # when this task did so last
        self._lines: deque[bytes | bytearray] = deque()  # printed, and not in ``prints`` yet
        self._calls = 0
        self._calling = threading.RLock()
        self._called = False
        self._lock = threading.Lock()
        self._take, self._release = self._lock.acquire, self._lock.release  # twice as fast as ``with``
        self._holder = 0  # the thread that holds it

    def share(self, prints: mmap.mmap | None) -> None:
        """Prints wait there from now on, where nothing is; None: nowhere, the memory before is let go."""
        if self._numbers is not None:
            self._numbers.release()
        self._prints = prints
        self._numbers = None if prints is None else memoryview(prints)[:_HEAD].cast("Q")

    def send(self, kind: int, *parts: bytes | bytearray | memoryview) -> None:
        """Write one frame completely, after what was printed. Raises :class:`SupervisorGone`."""
        self._hold()
        try:
            self._store()
            self._say(wire.frame(kind, *parts))
        finally:
            self._holder = 0
            self._release()

    def as_socket(self) -> socket.socket:
        """What :meth:`send_descriptors` takes. To be made before a filter that has getsockname(2) asked about."""
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=self.fd)

    def send_descriptors(self, end: socket.socket, kind: int, descriptors: tuple[int, ...]) -> None:
        """Write one frame without a payload that these travel with, and close them here. Raises OSError."""
        try:
            socket.send_fds(end, wire.frame(kind), descriptors)
        finally:
            end.detach()
            for each in descriptors:
                os.close(each)

    def print(self, line: bytes | bytearray) -> None:
        """A print of a task: a JSON list of strings and a line feed. Raises :class:`SupervisorGone`."""
        lines, ours = self._lines, _thread_number()
        if lines or not self._take(False):
            lines.append(line)
            self._store_lines()
            return
        # what follows is the same, as nearly always: in fewer steps
        self._holder = ours
        try:
            self._store_line(line)
        finally:
            self._holder = 0
            self._release()
        if lines:
            self._store_lines()

    def renew(self) -> None:
        """Another task follows: nobody looks for what it prints yet."""
        self._lines.clear()  # what finalizers printed when the last one's result was written
        self._printed = _NEVER

    def _store_lines(self) -> None:
        """Whoever finds the lock taken leaves them to its holder, who looks once more when it was let go."""
        lines, ours = self._lines, _thread_number()
        while lines and self._take(False):
            self._holder = ours
            try:
                self._store()
            finally:
                self._holder = 0
                self._release()

    def _hold(self) -> None:
        """Take the lock. Raises RuntimeError in the middle of something else that this thread writes or waits for."""
        ours = _thread_number()  # before: it may raise MemoryError, and nobody would let go of the lock
        if self._holder == ours:
            raise RuntimeError(_IN_THE_MIDDLE)
        self._take()
        self._holder = ours

    def _store(self) -> None:
        """What was printed goes into the memory, or out."""
        lines = self._lines
        while lines:
            self._store_line(lines.popleft())

    def _store_line(self, line: bytes | bytearray) -> None:
        waiting, now = self._waiting, self.clock()
        end, quiet = waiting + len(line), now - self._printed > _QUIET
        self._printed = now
        if end > _ROOM or quiet or self._prints is None or self._numbers is None:
            self._print_now(line, quiet)
        else:
            self._prints[_HEAD + waiting : _HEAD + end] = line  # before it is said that it is there
            self._waiting = self._numbers[1] = end

    def _print_now(self, line: bytes | bytearray, quiet: bool) -> None:
        """What finds no room, or nobody looks for yet."""
        self._say([])
        if quiet or len(line) > _ROOM or self._prints is None or self._numbers is None:
            self._write(wire.frame(_CONSOLE, _place(self._before), line))
            self._count(len(line))
        else:
            self._prints[_HEAD : _HEAD + len(line)] = line
            self._waiting = self._numbers[1] = len(line)

    def _say(self, frame: list[bytes | bytearray | memoryview]) -> None:
        """Write what was printed, and ``frame``.

        It lies in the memory until it is written, and after that not for a moment under another number: who looks
        meanwhile finds what it knows, or nothing.
        """
        if self._waiting and self._prints is not None and self._numbers is not None:
            sent, self._waiting = self._waiting, 0
            said = self._prints[_HEAD : _HEAD + sent]
            self._write([*wire.frame(_CONSOLE, _place(self._before), said), *frame])
            self._numbers[1] = 0
            self._count(sent)
        elif frame:
            self._write(frame)

    def _count(self, sent: int) -> None:
        self._before += sent
        if self._numbers is not None:
            self._numbers[0] = self._before

    def _write(self, buffers: list[bytes | bytearray | memoryview]) -> None:
        while buffers:
            try:
                done = os.writev(self.fd, buffers)
            except (BrokenPipeError, ConnectionResetError):
                raise SupervisorGone from None
            while buffers and done >= len(buffers[0]):
                done -= len(buffers.pop(0))
            if done:
                buffers[0] = memoryview(buffers[0])[done:]

    def receive(self) -> tuple[int, bytearray]:
        """Read one frame: its :class:`~reptarium.sandbox.wire.Kind` and payload.

        Raises :class:`SupervisorGone` at the end of the stream.
        """
        kind, length = wire.HEADER.unpack(self._read(wire.HEADER.size))
        return kind, self._read(length)

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view, have = memoryview(data), 0
        while have < size:
            try:
                got = os.readv(self.fd, [view[have : have + _CHUNK]])
            except ConnectionResetError:
                raise SupervisorGone from None
            if not got:
                raise SupervisorGone
            have += got
        return data

    def call(self, name: str, params: bytes | bytearray, via: Any = "rpc") -> tuple[bool, bytes]:
        """One call to the supervisor, answered in turn: (ok, raw JSON or the text of the error).

        Raises RuntimeError in the middle of another of this thread's, or of a print (see :meth:`_hold`).
        """
        with self._calling:
            if self._called:
                raise RuntimeError(_IN_THE_MIDDLE)
            self._called = True
            try:
                return self._call(name, params, via)
            finally:
                self._called = False

    def _call(self, name: str, params: bytes | bytearray, via: Any) -> tuple[bool, bytes]:
        self._calls += 1
        number = self._calls
        head = wire.RpcHead(number, name, via)
        self.send(_RPC, *wire.with_head(head, memoryview(params)))
        self._store_lines()  # of who found the lock taken
        while True:
            kind, payload = self.receive()
            if kind != _RPC_ANSWER:
                continue
            raw, body = wire.split_head(payload)
            answer = _answer_head.decode(raw)
            if answer.call == number:
                return answer.ok, bytes(body)

    def linger(self) -> None:
        """Wait until the other end is closed."""
        try:
            while os.read(self.fd, 4096):
                pass
        except OSError:
            return
