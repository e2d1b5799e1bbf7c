"""Tasks of a whole runner connect: settings, import lists, the task's error, its log line, the metric."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
import trio

from reptarium.pool.embedded import embedded_runner
from reptarium.pool.embedded_broker import Broker, Outcome
from reptarium.sandbox.kernel import notify
from tests.conftest import make_settings
from tests.limits import fail_after
from tests.powers.rig import echo

pytestmark = [
    pytest.mark.skipif(notify.problem() != "", reason="this machine hands over no connections"),
    pytest.mark.usefixtures("nothing_left"),
]

PAGE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"


async def page(stream: trio.SocketStream) -> None:
    """Any request, one page."""
    async with stream:
        await stream.receive_some()
        await stream.send_all(PAGE)


@asynccontextmanager
async def runner(allow: str, handler: object = echo, **environ: str) -> AsyncIterator[tuple[Broker, int]]:
    """A warm runner that may connect to `allow` ("PORT" is the server's), and a server's port."""
    with fail_after(90):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, handler, listeners)
            port = listeners[0].socket.getsockname()[1]
            settings = make_settings({"REPTARIUM_CONNECT_ALLOW": allow.replace("PORT", str(port)), **environ})
            async with embedded_runner(settings) as broker:
                yield broker, port
            nursery.cancel_scope.cancel()


async def run(broker: Broker, code: str) -> Outcome:
    with fail_after(30):
        return await broker.submit({"code": code, "items": []}).outcome()


async def test_a_task_connects_with_socket() -> None:
    """``import socket`` obeys the allowlist of modules, and connects where the other list says."""
    async with runner("127.0.0.1:PORT") as (broker, port):
        outcome = await run(
            broker,
            f"import socket\nwith socket.create_connection(('127.0.0.1', {port}), 5) as s:\n"
            "    s.sendall(b'hello')\n    return [{'json': {'got': s.recv(5).decode()}}]",
        )
        assert outcome.status == "done", outcome.error
        assert outcome.result()[0]["json"] == {"got": "hello"}


async def test_a_task_fetches_a_page_with_the_standard_library() -> None:
    """urllib.request and http.client over the same."""
    async with runner("localhost:PORT, 127.0.0.1:PORT", page) as (broker, port):
        outcome = await run(
            broker,
            "import urllib.request, http.client\n"
            f"first = urllib.request.urlopen('http://localhost:{port}/', timeout=5).read().decode()\n"
            f"c = http.client.HTTPConnection('127.0.0.1', {port}, timeout=5)\nc.request('GET', '/')\n"
            "return [{'json': {'got': first + c.getresponse().read().decode()}}]",
        )
        assert outcome.status == "done", outcome.error
        assert outcome.result()[0]["json"] == {"got": "hellohello"}


async def test_a_refused_connection_is_explained_with_the_error() -> None:
    """The task's error says what was refused and which setting opens it, whatever library it came from; the log line
    of the task has every connection, the metric counts them."""
    with structlog.testing.capture_logs() as lines:
        async with runner("127.0.0.1:PORT", REPTARIUM_LOG_LEVEL="info") as (broker, port):
            outcome = await run(
                broker,
                f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\n"
                "socket.create_connection(('169.254.169.254', 80), 5)",
            )
            assert outcome.error is not None
            assert (
                "Connections that were refused: 169.254.169.254 is a link-local address; REPTARIUM_CONNECT_ALLOW must "
                "list it, 169.254.169.254:80 or its network." in str(outcome.error)
            )
    (line,) = [each for each in lines if each["event"] == "task"]
    assert line["connections"] == (f"127.0.0.1:{port} connected", "169.254.169.254:80 refused")


async def test_without_the_setting_there_is_no_network() -> None:
    """The default: not even the modules, and the refusal names the setting that decides."""
    with fail_after(90):
        async with embedded_runner(make_settings()) as broker:
            outcome = await run(broker, "import socket")
            assert "or an HTTP Request node. REPTARIUM_CONNECT_ALLOW decides this." in str(outcome.error)


async def test_the_list_of_modules_still_counts() -> None:
    """A task that may connect imports only what N8N_RUNNERS_STDLIB_ALLOW lists."""
    async with runner("127.0.0.1:PORT", N8N_RUNNERS_STDLIB_ALLOW="json") as (broker, _):
        outcome = await run(broker, "import socket")
        assert "N8N_RUNNERS_STDLIB_ALLOW decides this." in str(outcome.error)
