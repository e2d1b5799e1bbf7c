"""What stands around a runner under faults: brokers that answer garbage, and a reader of its log that may stand."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

#: Bytes of the log's pipe: some lines.
_PIPE = 4096
#: Seconds for one answer of garbage.
_SHORT = 2.0
#: Brokers that answer it.
GARBAGE = 3


def _json(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def _accepted(request: bytes) -> bytes:
    """The right answer to a WebSocket's handshake (RFC 6455, 4.2.2)."""
    lines = (line.partition(b":") for line in request.split(b"\r\n"))
    key = next((value.strip() for name, _, value in lines if name.lower() == b"sec-websocket-key"), b"")
    digest = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + digest + b"\r\n\r\n"
    )


_GRANT = _json(b'{"data":{"token":"a-grant"}}')
#: What is answered where a grant is asked for; the good ones lead on to the WebSocket.
_GRANTS = (
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"-ERR unknown command 'POST'\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n{",
    b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(2000)) + b"\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 3900 + b"\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000,
    _json(b'{"data":' + b"[" * 50_000),
    _json(b'{"data":{"token":"a\\r\\nX: y"}}'),
    _json(b'{"data":{"token":"a\\u0000"}}'),
    b"",
    *[_GRANT] * 9,
)
#: What is answered to the WebSocket's handshake: made of its request.
_HANDSHAKES: tuple[Callable[[bytes], bytes], ...] = (
    lambda _: b"",
    lambda _: b"HTTP/1.1 101 Switching\r\nUpgrade: web",
    lambda _: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    lambda _: b"\x00" * 10_000,
    lambda _: b"HTTP/1.1 101 Switching Protocols\r\n" + b"a:\r\n" * 3900 + b"\r\n",
    lambda request: _accepted(request) + b"\xff" * 100,
    lambda request: _accepted(request) + b"\x89\x7d" + b"p" * 125,  # a ping, masked though it is a server's
    lambda request: _accepted(request) + b"\x89\x01p" * 20_000,  # pings
    lambda request: _accepted(request) + b"\x01\x01{" + b"\x00\x00" * 20_000,  # empty parts of a message
    lambda request: _accepted(request) + b"\x81\x02{}" * 5_000,  # messages without a type
    lambda request: _accepted(request) + b"\x81\x04[[[[" * 5_000,
    lambda request: _accepted(request) + b"\x81\x7f" + b"\x7f" + b"\xff" * 7,  # one of 9 exabytes
)


class GarbageBrokers:
    """Addresses at which garbage is answered between :meth:`start` and :meth:`stop`; else connections are refused."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self._rng = rng
        self.answered = 0
        self._serving = trio.CancelScope()
        self._sockets = [socket.socket() for _ in range(count)]
        for one in self._sockets:
            one.bind(("127.0.0.1", 0))
        self.uris = [f"http://127.0.0.1:{one.getsockname()[1]}" for one in self._sockets]

    def start(self) -> None:
        """Begin to answer."""
        trio.lowlevel.spawn_system_task(self._serve)

    def stop(self) -> None:
        """Answer nobody any more, for good."""
        self._serving.cancel()
        for one in self._sockets:
            one.close()

    async def _serve(self) -> None:
        listeners = []
        for one in self._sockets:
            one.listen(64)
            listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(one.dup())))
        with self._serving:
            await trio.serve_listeners(self._answer, listeners)

    async def _answer(self, stream: trio.SocketStream) -> None:
        with trio.move_on_after(_SHORT):
            try:
                request = bytes(await stream.receive_some(65536))
                handshake = request.startswith(b"GET")
                await stream.send_all(
                    self._rng.choice(_HANDSHAKES)(request) if handshake else self._rng.choice(_GRANTS)
                )
                self.answered += 1
                if handshake:
                    await trio.sleep(self._rng.random() / 2)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        await trio.aclose_forcefully(stream)


class LogPipe:
    """A runner's standard error: read and thrown away, but for the times when nobody reads."""

    def __init__(self) -> None:
        reading, self.writing = os.pipe()
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, _PIPE)
        self._stream = trio.lowlevel.FdStream(reading)
        self._read = trio.Event()
        self._read.set()
        trio.lowlevel.spawn_system_task(self._drain)

    async def _drain(self) -> None:
        async with self._stream:
            while await self._stream.receive_some(65536):
                await self._read.wait()

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Nobody reads meanwhile."""
        self._read = trio.Event()
        try:
            yield
        finally:
            self._read.set()

    def close(self) -> None:
        """Close the runner's end of it here: reading ends with the last process that has it."""
        os.close(self.writing)


class Around:
    """What stands around the runners of a site: for each a port for its health endpoint, and a reader of its log."""

    def __init__(self, runners: int, rng: random.Random) -> None:
        self.ports = [_free_port() for _ in range(runners)]
        self.logs = [LogPipe() for _ in range(runners)]
        self.garbage = GarbageBrokers(GARBAGE, rng)

    def environ(self, number: int, broker: str) -> dict[str, str]:
        """What a runner is told of them, beside the one good broker."""
        return {
            "N8N_RUNNERS_TASK_BROKER_URI": ",".join([broker, *self.garbage.uris]),
            "N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED": "true",
            "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": str(self.ports[number]),
        }

    def close(self) -> None:
        """No more of it."""
        self.garbage.stop()
        for log in self.logs:
            log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
