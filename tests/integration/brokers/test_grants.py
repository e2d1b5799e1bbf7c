"""The grant, from a neighbour that may be anything: an n8n, another program on its port, or somebody who means harm.

Loopback only, ports chosen by the system. Where time must pass, it is trio's imaginary time, which jumps when nothing
has come for 50 ms.
"""

from __future__ import annotations

import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import h11
import pytest
import trio
import trio.testing

from reptarium.pool.brokers import connection as connection_module
from reptarium.pool.brokers import grant as grant_module
from reptarium.pool.brokers.connection import connect
from reptarium.pool.brokers.errors import GrantRefused, LinkError
from reptarium.pool.brokers.grant import fetch_grant
from reptarium.pool.heads import MOST_LINES
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
TOKEN = "the-auth-token"
GRANTED = b'{"data": {"token": "abc.DEF-123"}}'
Talk = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def neighbour(talk: Talk, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The URI of a server that does with each connection what ``talk`` does, whoever hangs up first."""

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await talk(stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, port, host=host))
        yield f"http://{host}:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def answering(answer: bytes, *, stays: bool = False) -> Talk:
    """Reads the request's head, says ``answer``, and closes or stays."""

    async def talk(stream: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        await stream.send_all(answer)
        if stays:
            await trio.sleep_forever()

    return talk


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


GOOD = {
    "as n8n": http(GRANTED),
    "with more beside it": http(b'{"x": [1, {"y": null}], "data": {"ttl": 15, "token": "abc.DEF-123"}}'),
    "in chunks": chunked(GRANTED[:5], GRANTED[5:]),
    "until the end of the connection": b"HTTP/1.0 200 OK\r\n\r\n" + GRANTED,
    "after a continue": b"HTTP/1.1 100 Continue\r\n\r\n" + http(GRANTED),
    "with 101 headers": http(GRANTED, *(f"X-{number}: y" for number in range(101))),
}
ODD = {
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "Redis": b"-ERR wrong number of arguments for 'post' command\r\n",
    "SMTP": b"220 mail.example.com ESMTP\r\n",
    "nothing": b"",
    "zeros": bytes(1000),
    "half a status line": b"HTTP/1.1 2",
    "an odd status": b"HTTP/1.1 twohundred OK\r\n\r\n",
    "a status alone": b"HTTP/1.1 200 OK\r\n",
    "an odd header": b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
    "a header that is not ASCII": "HTTP/1.1 200 OK\r\né: x\r\n\r\n".encode(),
    "a header of 1 MB": http(GRANTED, "X: " + "y" * 1_000_000),
    "a hundred thousand headers": http(GRANTED, *["X: y"] * 100_000),
    "a thousand continues": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a cut answer": http(GRANTED)[:-3],
    "a cut chunk": chunked(GRANTED[:5], end=b"ff\r\nxx"),
    "a missing last chunk": chunked(GRANTED, end=b""),
    "an odd chunk": chunked(end=b"zz\r\n\r\n"),
    "a length of 5000 digits": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "an odd encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "no JSON": http(b"<html>"),
    "deep JSON": http(b"[" * 30_000 + b"]" * 30_000),
    "deep JSON beside the grant": http(b'{"x":' + b"[" * 25_000 + b"]" * 25_000 + b"," + GRANTED[1:]),
    "JSON that is not UTF-8": http(b'{"data": {"token": "\xff"}}'),
    "a lone surrogate": http(b'{"data": {"token": "\\ud83d"}}'),
    "a list": http(b"[1]"),
    "no token": http(b'{"data": {}}'),
    "a number for a token": http(b'{"data": {"token": 1}}'),
    "an empty grant": http(b'{"data": {"token": ""}}'),
    "CR and LF in the grant": http(b'{"data": {"token": "a\\r\\nX: y"}}'),
    "NUL in the grant": http(b'{"data": {"token": "a\\u0000b"}}'),
    "a space in the grant": http(b'{"data": {"token": "a b"}}'),
    "a grant that is not ASCII": http('{"data": {"token": "é"}}'.encode()),
    "a grant of 60 KB": http(b'{"data": {"token": "' + b"x" * 60_000 + b'"}}'),
    "a redirect": http(b"", "Location: http://127.0.0.1:1/", status="302 Found"),
    "too many requests": http(b'{"message":"Too many requests"}', status="429 Too Many Requests"),
    "an error": http(b"", status="500 Internal Server Error"),
}


@pytest.mark.parametrize("name", GOOD)
async def test_grant(name: str) -> None:
    """Whatever form of HTTP/1 it comes in."""
    with fail_after(20):
        async with neighbour(answering(GOOD[name])) as uri:
            assert await fetch_grant(uri, "/runners", TOKEN) == "abc.DEF-123"


async def test_request_is_what_n8n_expects() -> None:
    """One POST of the token as JSON to the address that the settings name, closed after it."""
    heard: list[bytes] = []

    async def talk(stream: trio.SocketStream) -> None:
        heard.append(bytes(await stream.receive_some()))
        await stream.send_all(http(GRANTED))
        heard.append(bytes(await stream.receive_some()))

    with fail_after(20):
        async with neighbour(talk) as uri:
            await fetch_grant(uri, "/some/runners", TOKEN)
            while len(heard) < 2:
                await trio.sleep(0.01)
    head, _, body = heard[0].partition(b"\r\n\r\n")
    line, *headers = head.decode().lower().split("\r\n")
    assert line == "post /some/runners/auth http/1.1"
    assert {f"host: {uri.removeprefix('http://')}", "content-type: application/json"} < set(headers)
    assert body == b'{"token":"the-auth-token"}'
    assert heard[1] == b""


@pytest.mark.parametrize("stays", [False, True], ids=["closes", "stays"])
@pytest.mark.parametrize("name", ODD)
async def test_odd_answer(name: str, stays: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Is no connection, for a reason in few words that name the address and quote nothing."""
    autojump_clock.autojump_threshold = 0.05
    with fail_after(60):
        async with neighbour(answering(ODD[name], stays=stays)) as uri:
            began = trio.current_time()
            with pytest.raises(LinkError) as caught:
                await fetch_grant(uri, "/runners", TOKEN)
            assert trio.current_time() - began <= 15.5
    text = str(caught.value)
    assert text.startswith(uri)
    assert len(text) < 150
    assert text.isprintable()


async def test_refused_token() -> None:
    """A 403 says which setting must be whose."""
    with fail_after(20):
        async with neighbour(answering(http(b"{}", status="403 Forbidden"))) as uri:
            with pytest.raises(GrantRefused, match=r"\(403\): N8N_RUNNERS_AUTH_TOKEN must be the broker's") as caught:
                await fetch_grant(uri, "/runners", TOKEN)
    assert not caught.value.fatal


@pytest.mark.parametrize("head", ["Content-Length: 100000000", "Transfer-Encoding: chunked", "X: y"])
async def test_body_of_100_mb_is_not_taken(head: str) -> None:
    """Neither read to its end nor kept."""
    sent = 0

    async def talk(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.send_all(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        for _ in range(1600):
            await stream.send_all(b"%x\r\n%s\r\n" % (65_536, b" " * 65_536) if "chunked" in head else b" " * 65_536)
            sent += 65_536

    tracemalloc.start()
    try:
        with fail_after(60):
            async with neighbour(talk) as uri:
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                with pytest.raises(LinkError, match="more than 64 KiB"):
                    await fetch_grant(uri, "/runners", TOKEN)
                assert tracemalloc.get_traced_memory()[1] - before < 2_000_000
    finally:
        tracemalloc.stop()
    assert sent < 50_000_000


@pytest.mark.parametrize(
    "head", [http(b"")[:-4] + b"\r\nX: ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
)
async def test_answer_that_never_ends_has_a_deadline(head: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """A byte a second doesn't put it off."""
    autojump_clock.autojump_threshold = 0.05

    async def talk(stream: trio.SocketStream) -> None:
        await stream.send_all(head)
        while True:
            await stream.send_all(b"1")
            await trio.sleep(1)

    with fail_after(60):
        async with neighbour(talk) as uri:
            began = trio.current_time()
            with pytest.raises(LinkError, match=r"did not answer within 15 s"):
                await fetch_grant(uri, "/runners", TOKEN)
            assert trio.current_time() - began < 16


def hole() -> tuple[socket.socket, list[socket.socket]]:
    """A port on which connections neither come about nor are refused: its queue is full and nobody accepts."""
    listener = socket.create_server(("127.0.0.2", 0), backlog=0)
    waiting = []
    for _ in range(3):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
        waiting.append(one)
    return listener, waiting


async def test_first_address_that_swallows_everything_does_not_hide_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next address of a name is tried a moment later, for the grant as for the WebSocket."""
    listener, waiting = hole()
    port = listener.getsockname()[1]

    def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    async def talk(stream: trio.SocketStream) -> None:
        await answering(http(GRANTED) if b"POST" in await peek(stream) else http(b"", status="403 Forbidden"))(stream)

    try:
        with fail_after(10):
            async with neighbour(talk, port=port):
                monkeypatch.setattr(socket, "getaddrinfo", resolve)
                uri = f"http://n8n.test:{port}"
                assert await fetch_grant(uri, "/runners", TOKEN) == "abc.DEF-123"
                with pytest.raises(GrantRefused):
                    async with connect(uri, "/runners", "id", "abc", 1 << 20):
                        raise AssertionError("connected")
    finally:
        for one in (listener, *waiting):
            one.close()


async def peek(stream: trio.SocketStream) -> bytes:
    """What comes first, left there."""
    return await stream.socket.recv(4, socket.MSG_PEEK)


@pytest.mark.parametrize("uri", [f"http://{'a' * 64}.test:1", "http://127.0.0.1:1", "http://ex..ample:1"])
async def test_unreachable_address(uri: str) -> None:
    """Refused, or a name that can't be one: no connection, and why."""
    with fail_after(20):
        for attempt in (partial(fetch_grant, uri, "/runners", TOKEN), partial(opened, uri)):
            with pytest.raises(LinkError) as caught:
                await attempt()
            assert str(caught.value).startswith(f"{uri}: ")
    if "127.0.0.1" in uri:
        assert str(caught.value) == f"{uri}: Connection refused"


async def opened(uri: str) -> None:
    async with connect(uri, "/runners", "id", "grant", 1 << 20):
        raise AssertionError("connected")


UPGRADE = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
NO_WEBSOCKET = {
    "closed at once": b"",
    "half a status line": b"HTTP/1.1 10",
    "an incomplete 101": UPGRADE.encode(),
    "a 101 without its key": UPGRADE.encode() + b"\r\n",
    "a 101 with a wrong key": UPGRADE.encode() + b"Sec-WebSocket-Accept: x\r\n\r\n",
    "a 101 to another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "a 101 that is not ASCII": f"{UPGRADE}Sec-WebSocket-Accept: é\r\nSec-WebSocket-Protocol: é\r\n\r\n".encode(),
    "an odd header": UPGRADE.encode() + b": x\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a cut refusal": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 10\r\n\r\nx",
    "a success": http(b"{}"),
}


@pytest.mark.parametrize("name", NO_WEBSOCKET)
async def test_broker_that_closes_during_the_handshake(name: str, autojump_clock: trio.testing.MockClock) -> None:
    """Is known for one at once, not after the time-out, and whatever it said is a reason, not a fault."""
    autojump_clock.autojump_threshold = 0.05
    with fail_after(60):
        async with neighbour(answering(NO_WEBSOCKET[name])) as uri:
            began = trio.current_time()
            with pytest.raises(LinkError, match=f"^{uri}"):
                await opened(uri)
            assert trio.current_time() - began < 5


@pytest.mark.parametrize(
    "answer",
    [
        chunked(*[b"x"] * 9000, end=b""),
        b"HTTP/1.1 100 C\r\n\r\n" * 3500,
        http(GRANTED, *["a:"] * 3900),
        http(GRANTED, *["a:"] * 3900).replace(b"\r\n", b"\n"),
    ],
    ids=["chunks of a byte", "interim answers", "headers", "headers with bare line feeds"],
)
@pytest.mark.parametrize("handshake", [False, True], ids=["grant", "handshake"])
async def test_an_answer_of_many_lines_is_not_taken_apart(
    answer: bytes, handshake: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call of h11 for four thousand headers takes 11 ms: fifty brokers that did so held up the loop for 0.5 s."""

    async def there(*_: Any) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(answer)
        await theirs.send_stream.aclose()
        return ours

    monkeypatch.setattr(grant_module, "open_stream", there)
    monkeypatch.setattr(connection_module, "open_stream", there)
    seen: list[bytes] = []
    receive = h11.Connection.receive_data
    monkeypatch.setattr(h11.Connection, "receive_data", lambda self, data: (seen.append(data), receive(self, data))[1])
    with fail_after(20), pytest.raises(LinkError, match="answered more lines than"):
        await (opened("http://broker") if handshake else fetch_grant("http://broker", "/runners", TOKEN))
    assert b"".join(seen).count(b"\n") <= MOST_LINES
