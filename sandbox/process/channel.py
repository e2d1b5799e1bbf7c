"""A worker's end of its socket: blocking frames (``sandbox/wire.py``) over one file descriptor."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

import msgspec

from reptarium.sandbox import wire
from reptarium.sandbox.wire import Kind

_answer_head = msgspec.json.Decoder(wire.RpcAnswerHead)
# Plain numbers, for the reason that worker.py gives
_CONSOLE, _RPC, _RPC_ANSWER = map(int, (Kind.CONSOLE, Kind.RPC, Kind.RPC_ANSWER))
#: Bytes per readv(2).
_CHUNK = 1 << 20


class SupervisorGone(Exception):
    """The socket was closed: nobody waits for this worker any more."""


class Channel:
    """The worker's end of its socket: blocking frames over a file descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._calls = 0
        self._lock = threading.Lock()

    def send(self, kind: int, *parts: bytes | bytearray | memoryview) -> None:
        """Write one frame completely. Raises :class:`SupervisorGone`."""
        with self._lock:
            self._write(wire.frame(kind, *parts))

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

    def print(self, payload: bytes | bytearray) -> None:
        """One CONSOLE frame."""
        self.send(_CONSOLE, payload)

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
        """One call to the supervisor, answered in turn: (ok, raw JSON or the text of the error)."""
        with self._lock:
            self._calls += 1
            number = self._calls
            head = wire.RpcHead(number, name, via)
            self._write(wire.frame(_RPC, *wire.with_head(head, memoryview(params))))
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
