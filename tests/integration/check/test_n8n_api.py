"""Workflows over n8n's public API: pages, keys, TLS, and servers that are no n8n. A scripted server, on loopback."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
import trustme

from reptarium.pool.check import n8n_api
from reptarium.pool.check.n8n_api import ApiError, base_of, in_the_clear, read_key, read_workflows
from reptarium.pool.check.workflows import find
from tests.limits import fail_after
from tests.unit.check.exported import code, workflow

KEY = "n8n-key"
#: Target and headers of a request → the whole answer.
Answer = Callable[[str, dict[str, str]], bytes]


def http(value: Any, status: str = "200 OK", *headers: str) -> bytes:
    """An answer with JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server that answers so, bounded."""

    async def serve(stream: trio.abc.Stream) -> None:
        raw = b""
        try:
            while b"\r\n\r\n" not in raw:
                data = await stream.receive_some(65_536)
                if not data:
                    return
                raw += data
            first, *lines = raw.decode().split("\r\n\r\n")[0].split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            assert first.startswith("GET ")
            await stream.send_all(answer(first.split(" ")[1], headers))
        except trio.BrokenResourceError:
            pass  # it doesn't trust us
        finally:
            await trio.aclose_forcefully(stream)

    with fail_after(20):
        async with trio.open_nursery() as nursery:
            if tls is None:
                start = partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
            else:
                start = partial(trio.serve_ssl_over_tcp, serve, 0, tls, host="127.0.0.1")
            (listener,) = await nursery.start(start)
            inner = getattr(listener, "transport_listener", listener)
            yield f"http{'s' if tls else ''}://127.0.0.1:{inner.socket.getsockname()[1]}"
            nursery.cancel_scope.cancel()


def paged(target: str, headers: dict[str, str]) -> bytes:
    """Three pages of a workflow each, for the right key."""
    if headers.get("x-n8n-api-key") != KEY:
        return http({"message": "unauthorized"}, "401 Unauthorized")
    parts = urlsplit(target)
    assert parts.path == "/n8n/api/v1/workflows"
    query = parse_qs(parts.query)
    assert query["limit"] == ["250"]
    number = int(query.get("cursor", ["0"])[0])
    page = {"data": [workflow(code(f"N{number}", "import json"), id=f"W{number}")]}
    return http({**page, "nextCursor": str(number + 1) if number < 2 else None})


async def read(url: str, key: str = KEY, tls: ssl.SSLContext | None = None) -> list[str]:
    """The nodes of a server's workflows."""
    return [node.name for node in find(iter(await read_workflows(base_of(url), key, tls))).nodes]


async def test_pages() -> None:
    """Every page is read, below whatever path n8n has, with the API's path given or not."""
    async with serving(paged) as url:
        assert await read(f"{url}/n8n/") == ["N0", "N1", "N2"]
        assert await read(f"{url}/n8n/api/v1") == ["N0", "N1", "N2"]


async def test_tls() -> None:
    """n8n's certificate is checked against the authorities that REPTARIUM_BROKER_CA names."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serving(paged, context) as url:
        assert await read(f"{url}/n8n", tls=trusting) == ["N0", "N1", "N2"]
        with pytest.raises(ApiError, match=r"not trusted.*REPTARIUM_BROKER_CA"):
            await read(f"{url}/n8n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http({}, "401 Unauthorized"), "refused the key of --api-key-file"),
        (http({}, "403 Forbidden"), "workflow:list"),
        (http({}, "404 Not Found"), "N8N_PUBLIC_API_DISABLED"),
        (http({}, "302 Found", "Location: https://login.example/x"), r"leads elsewhere \(302\).*https://login.example"),
        (http({}, "302 Found", "Location: https://a\x9b2Jb/x"), "https://a\xc2\ufffd2Jb"),
        (http({}, "302 Found", "Location: http://[x"), r"leads elsewhere \(302\): give --n8n-url the address itself$"),
        (http({}, "302 Found", "Location: /login"), r"the address itself$"),
        (http({}, "302 Found", "Location: https://u:p@b.example/"), r"itself, https://b\.example$"),
        (http({}, "500 Oh"), "answered 500"),
        (http(b"<html>"), "no page of workflows"),
        (http([]), "no page of workflows"),
        (http({"data": 3}), "no page of workflows"),
        (http(b"[" * 5000), "no page of workflows"),
        (b"SSH-2.0-x\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "not HTTP, or only half"),
        (b"", "closed the connection|only half"),
    ],
)
async def test_no_api(answer: bytes, said: str) -> None:
    """Whatever a server answers instead ends in words that say what to change."""
    async with serving(lambda target, headers: answer) as url:
        with pytest.raises(ApiError, match=said):
            await read(url)


async def test_a_page_that_fails() -> None:
    """When a later page fails, what came before is checked, and the rest is a problem."""

    def answer(target: str, headers: dict[str, str]) -> bytes:
        return (
            http({}, "500 Oh") if "cursor" in target else http({"data": [workflow(code("A", ""))], "nextCursor": "1"})
        )

    async with serving(answer) as url:
        everything = find(iter(await read_workflows(url, KEY, None)))
    assert [node.name for node in everything.nodes] == ["A"]
    assert "answered 500; what came before is checked" in everything.problems[0].text


async def test_pages_without_end() -> None:
    """Pages that lead round in a circle are left."""
    async with serving(lambda target, headers: http({"data": [], "nextCursor": "again"})) as url:
        found = find(iter(await read_workflows(url, KEY, None)))
    assert "don't end" in found.problems[-1].text


@pytest.mark.parametrize(
    ("bound", "value", "says"), [("ALL_TIME", 0.0, "take more than"), ("MOST_BYTES", 100, "the first are checked")]
)
async def test_pages_that_go_on(bound: str, value: float, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that goes on for ever is left after an hour, or with so many bytes; the first pages are checked."""
    monkeypatch.setattr(n8n_api, bound, value)
    numbers = count(1)

    def answer(target: str, headers: dict[str, str]) -> bytes:
        return http({"data": [workflow(code("A", "return []"))], "nextCursor": str(next(numbers))})

    async with serving(answer) as url:
        found = find(iter(await read_workflows(url, KEY, None)))
    assert says in found.problems[-1].text
    assert [node.name for node in found.nodes] == ["A"]


async def test_nobody_there() -> None:
    """An address where nobody listens ends in words."""
    with fail_after(20), pytest.raises(ApiError, match="refused"):
        await read("http://127.0.0.1:1")


async def test_slow_servers(monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock) -> None:
    """A server that says nothing is given up."""

    async def silent(base: str, tls: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(n8n_api, "open_stream", silent)
    with pytest.raises(ApiError, match="did not answer within 120 s"):
        await read("http://n8n.example")


@pytest.mark.parametrize(
    "url",
    [
        "n8n.example",
        "ftp://n8n.example",
        "https://",
        "https://u:p@n8n.example",
        "http://[",
        "http://a\r\nX: y",
        "http://a/?b",
        "http://a/b c",
        "http://a/\x1f",
    ],
)
def test_addresses(url: str) -> None:
    """What is no address of n8n's is refused before anything is sent."""
    with pytest.raises(ApiError, match=r"https://n8n\.example\.com is expected"):
        base_of(url)


def test_passwords_in_addresses() -> None:
    """An address with a name or a password is refused and not shown."""
    for url in ("https://u:secret@n8n.example", "u:secret@n8n.example", "http://[@secret"):
        with pytest.raises(ApiError, match=r"https://n8n\.example\.com is expected") as caught:
            base_of(url)
        assert "secret" not in str(caught.value)


def test_keys(tmp_path: Path) -> None:
    """A key is one line of a file; anything else is refused, and never shown."""
    path = tmp_path / "key"
    path.write_text(" abc.def\n")
    assert read_key(str(path)) == "abc.def"
    for text in ("", "two words", "a\r\nX-Other: b", "é", "x" * 70_000):
        path.write_text(text)
        with pytest.raises(ApiError, match="--api-key-file") as caught:
            read_key(str(path))
        assert "Other" not in str(caught.value)
    with pytest.raises(ApiError, match="No such file"):
        read_key(str(tmp_path / "none"))


def test_in_the_clear() -> None:
    """A key over a network without encryption is worth a word, one on this machine isn't."""
    assert in_the_clear("http://n8n.example")
    assert not any(
        map(in_the_clear, ("https://n8n.example", "http://localhost:5678", "http://127.0.0.1", "http://[::1]"))
    )
