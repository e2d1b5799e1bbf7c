"""Clients of the health endpoint that mean it no good: none ends the runner, stops it, or takes all that it has.

In `deploy/` n8n can reach the port, so whoever writes a workflow can send it anything with an HTTP Request node. Real
sockets on loopback; where time must pass, it is trio's imaginary time, which jumps when nothing has come for 50 ms.
"""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import h11
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from reptarium.pool.heads import MOST_LINES
from reptarium.pool.ops.endpoint import ReadinessCheck
from reptarium.pool.ops.http_server import MAX_CLIENTS
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from tests.integration.ops.plain_http import get
from tests.integration.ops.served import Health, endpoint
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame of HTTP/2 (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


SETTINGS = frame(4, 0, 0, b"")
PRIORITY = frame(2, 0, 3, b"\0\0\0\0\x10")
# :method GET, :scheme http, :path as a literal that isn't ASCII, :authority x
HEADERS = frame(1, 5, 1, b"\x82\x86\x44\x03/\xc3\xa9\x41\x01x")
HOSTILE = {
    "HTTP/2": PREFACE + SETTINGS + frame(1, 5, 1, b"\x82\x86\x84\x41\x01x"),
    "HTTP/2 with a path that is not ASCII": PREFACE + SETTINGS + HEADERS,
    "HTTP/2 PRIORITY flood": PREFACE + SETTINGS + PRIORITY * 20_000,
    "HTTP/2 data after the answer": PREFACE + SETTINGS + HEADERS + frame(0, 0, 1, b"x" * 100) * 50,
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "garbage": random.Random(1).randbytes(20_000),
    "zeros": bytes(20_000),
    "empty lines": b"\r\n" * 20_000,
    "TLS": bytes.fromhex("16030100f8010000f40303") + bytes(240),
    "a request line of 1 MB": b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header of 1 MB": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "a hundred thousand headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
    "a path that is not ASCII": "GET /é HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "a method that is not ASCII": "GÉT / HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n",
    "a bare CR in a header": b"GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a length that is none": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length of 5000 digits": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "an address that is none": b"GET http:[ HTTP/1.1\r\nHost: x\r\n\r\n",
    "another protocol": b"GET / SPDY/3\r\nHost: x\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "half a request": b"GET / HTTP/1.1\r\nHos",
    "nothing": b"",
}
PLAIN = {
    "Upgrade: h2c": b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: YWJjZGU=\r\n\r\n",
    "Upgrade: websocket": b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    "a thousand requests at once": GET * 1000,
    "a body that nobody wants": b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000,
    "a body that never comes": b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
    "HTTP/1.0": b"GET /healthz HTTP/1.0\r\n\r\n",
    "the whole address": b"GET http://x:5681/healthz?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an escaped path": b"GET /he%61lthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a slash at the end": b"GET /healthz/ HTTP/1.1\r\nHost: x\r\n\r\n",
}


async def connected(url: str, buffer: int | None = None) -> trio.SocketStream:
    """A connection; ``buffer`` is the most that the system receives for a client that doesn't read, bytes."""
    port = urlsplit(url).port
    assert port is not None
    sock = trio.socket.socket()
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    await sock.connect(("127.0.0.1", port))
    return trio.SocketStream(sock)


async def said(url: str, request: bytes) -> bytes:
    """What the endpoint answers until it closes; whoever doesn't want to hear us any more is not an error."""
    answer = b""
    async with await connected(url) as stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(request)
            await stream.send_eof()
        with suppress(trio.BrokenResourceError):
            async for chunk in stream:
                answer += chunk
    return answer


def faults(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("reptarium_faults_total", {"part": "endpoint"})


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_request(name: str) -> None:
    """Is refused (4xx) or closed on, is no fault of ours, and the next probe is answered."""
    metrics = Metrics()
    with fail_after(30):
        async with endpoint(Health(), metrics) as url:
            answer = await said(url, HOSTILE[name])
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:100]
            assert (await get(url, "/healthz"))[0] == 200
    assert faults(metrics) == 0


@pytest.mark.parametrize("name", PLAIN)
async def test_what_is_asked_beside_the_probe_is_left_alone(name: str) -> None:
    """One answer in HTTP/1.1, and the connection is closed: offers of another protocol may be declined (RFC 9110)."""
    metrics = Metrics()
    with fail_after(30):
        async with endpoint(Health(), metrics) as url:
            answer = await said(url, PLAIN[name])
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.lower().count(b"\r\nconnection: close\r\n") == 1
            assert answer.endswith(b"\r\n\r\nOK")
    assert faults(metrics) == 0


async def test_head_of_a_request_that_is_too_long_is_answered() -> None:
    """A client that sends 1 MB and then reads gets its 431, not a reset."""
    with fail_after(30):
        async with endpoint(Health(), Metrics()) as url:
            for name in ("a request line of 1 MB", "a header of 1 MB"):
                assert (await said(url, HOSTILE[name])).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("first", [b"GET /healthz HTTP/1.1", b"POST /healthz HTTP/1.1"])
async def test_a_head_of_many_lines_is_not_taken_apart(
    first: bytes, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call of h11 for four thousand headers takes 11 ms, and there may be 64 clients: they get their 431."""
    seen: list[bytes] = []
    receive = h11.Connection.receive_data
    monkeypatch.setattr(h11.Connection, "receive_data", lambda self, data: (seen.append(data), receive(self, data))[1])
    with fail_after(30):
        async with endpoint(Health(), Metrics()) as url:
            answer = await said(url, end.join([first, b"Host: x", *[b"a:"] * 3900, b"", b""]))
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"".join(seen).count(b"\n") <= MOST_LINES


async def test_slow_request_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """One who sends a byte a second is told that it takes too long, whatever it sends."""
    autojump_clock.autojump_threshold = 0.05
    with fail_after(60):
        async with endpoint(Health(), Metrics()) as url, await connected(url) as stream:
            answers = []

            async def listen() -> None:
                answers.extend([chunk async for chunk in stream])
                nursery.cancel_scope.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                for number in range(1_000_000):
                    await stream.send_all(GET[:20] if number == 0 else b"x")
                    await trio.sleep(1)
    assert b"".join(answers).startswith(b"HTTP/1.1 408")


async def test_silent_client_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """One who says nothing is told so, and let go."""
    autojump_clock.autojump_threshold = 0.05
    with fail_after(60):
        async with endpoint(Health(), Metrics()) as url, await connected(url) as stream:
            assert b"".join([chunk async for chunk in stream]).startswith(b"HTTP/1.1 408")


async def test_client_that_does_not_read_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """The answer that it doesn't take is given up, and with it the connection."""
    autojump_clock.autojump_threshold = 0.05
    metrics = crowded()
    whole = len(metrics.expose())
    with fail_after(300):
        async with endpoint(Health(), metrics) as url, await connected(url, 4096) as stream:
            await stream.send_all(GET.replace(b"/healthz", b"/metrics"))
            await trio.sleep(60)
            got = 0
            with suppress(trio.BrokenResourceError):
                async for chunk in stream:
                    got += len(chunk)
            assert got < whole
    assert faults(metrics) == 0


def crowded() -> Metrics:
    """More to expose than sockets hold for a client that doesn't read."""
    metrics = Metrics()
    for number in range(30_000):
        metrics.broker_registered(f"http://broker-{number}-{'x' * 200}:5679")
    return metrics


@pytest.mark.parametrize("requests", [b"", GET[:20], GET.replace(b"/healthz", b"/metrics"), GET * 5000])
async def test_shutdown_waits_for_no_client(requests: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """Be it silent, slow or one that doesn't read: the end of the endpoint takes no time."""
    autojump_clock.autojump_threshold = 0.05
    metrics = crowded()
    with fail_after(300):
        async with trio.open_nursery() as nursery:
            async with endpoint(Health(), metrics) as url:
                stream = await connected(url, 4096)
                nursery.start_soon(stream.send_all, requests)
                assert (await get(url, "/healthz"))[0] == 200
                before = trio.current_time()
            assert trio.current_time() - before < 0.5
            nursery.cancel_scope.cancel()
        await trio.aclose_forcefully(stream)


async def test_clients_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """Idle ones by the hundred don't take all descriptors: the oldest goes when another comes. Probes are answered."""
    autojump_clock.autojump_threshold = 0.05
    with fail_after(60):
        async with endpoint(Health(), Metrics()) as url:
            before = len(os.listdir("/proc/self/fd"))
            idle = [await connected(url) for _ in range(5 * MAX_CLIENTS)]
            assert (await get(url, "/healthz"))[0] == 200
            with trio.move_on_after(1):  # far less than any of them may be silent
                while len(os.listdir("/proc/self/fd")) - before - len(idle) > MAX_CLIENTS:
                    await trio.sleep(0.01)
            assert len(os.listdir("/proc/self/fd")) - before - len(idle) <= MAX_CLIENTS
            with suppress(trio.BrokenResourceError):
                assert await idle[0].receive_some() == b""  # let go of
            assert (await get(url, "/healthz"))[0] == 200
            for stream in idle:
                await trio.aclose_forcefully(stream)


class Broken:
    """A source of health with a bug."""

    def checks(self) -> Sequence[ReadinessCheck]:
        raise RuntimeError("a bug")


class Reports(Reporter):
    """Keeps what would go to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[str, dict[str, str]]] = []

    def report(self, error: BaseException, **tags: str) -> None:
        self.kept.append((str(error), tags))


async def test_fault_of_ours_stays_within_one_answer() -> None:
    """It is answered (500), logged, counted and reported; other paths are served as before."""
    metrics, reports = Metrics(), Reports()
    with fail_after(20), capture_logs() as lines:
        async with endpoint(Broken(), metrics, "127.0.0.1", reports) as url:
            assert (await get(url, "/readyz"))[0] == 500
            assert (await get(url, "/metrics"))[0] == 200
    assert faults(metrics) == 1
    assert reports.kept == [("a bug", {"part": "endpoint"})]
    assert [line["log_level"] for line in lines if "exc_info" in line] == ["error"]


async def test_fault_outside_of_an_answer_stays_within_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that one connection raises reaches another: it is closed, the next one is served."""
    metrics, reports = Metrics(), Reports()

    async def broken(*_: object) -> None:
        raise KeyError("a bug")

    with fail_after(20), capture_logs() as lines:
        async with endpoint(Health(), metrics, "127.0.0.1", reports) as url:
            with monkeypatch.context() as patched:
                stream = await connected(url)
                await stream.send_all(GET)
                patched.setattr(trio.SocketStream, "send_all", broken)
                assert b"".join([chunk async for chunk in stream]) == b""
                await stream.aclose()
            assert (await get(url, "/healthz"))[0] == 200
    assert faults(metrics) == 1
    assert len(reports.kept) == 1
    assert [line["log_level"] for line in lines if "exc_info" in line] == ["error"]


async def test_metrics_for_many_at_once_are_made_once(autojump_clock: trio.testing.MockClock) -> None:
    """Making them takes milliseconds of the loop: whoever asks within a tenth of a second gets the same ones."""
    autojump_clock.autojump_threshold = 0.05

    class Counting(Metrics):
        made = 0

        def expose(self) -> bytes:
            self.made += 1
            return super().expose()

    metrics = Counting()
    with fail_after(60):
        async with endpoint(Health(), metrics) as url:
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(get, url, "/metrics")
            assert metrics.made == 1
            metrics.offers("sent", 7)
            await trio.sleep(0.2)
            assert b'reptarium_offers_total{event="sent"} 7.0' in (await get(url, "/metrics"))[2]
