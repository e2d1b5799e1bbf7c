"""The embedded broker's HTTP side and its door: who gets a grant, who gets a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from tests.integration.embedded_broker.broker_runner import fake_runner, http
from tests.limits import fail_after


async def upgrade(broker: Broker, path: str, token: str | None) -> tuple[int, Any]:
    """Ask for a WebSocket: the status of the refusal and its body, or 101."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return await http(broker, f"GET {path}", headers=headers)


async def test_healthz() -> None:
    """GET /healthz answers 200 and a status while the broker is up."""
    async with open_broker() as broker:
        with fail_after(10):
            assert await http(broker, "GET /healthz") == (200, {"status": "ok"})


async def test_auth_token_buys_a_grant_that_opens_one_websocket() -> None:
    """The grant from POST /runners/auth connects once; the second time it is refused."""
    async with open_broker(BrokerConfig(auth_token="secret")) as broker:
        with fail_after(10):
            status, body = await http(broker, "POST /runners/auth", b'{"token": "secret"}')
            assert status == 200
            grant = body["data"]["token"]
            assert (await upgrade(broker, "/runners/_ws?id=r", grant))[0] == 101
            assert (await upgrade(broker, "/runners/_ws?id=r", grant))[0] == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"token": "wrong"}', 403),
        (b'{"token": ""}', 403),
        (b'{"token": "\\ud800"}', 400),
        (b'{"token": 3}', 400),
        (b"{}", 400),
        (b"\xff", 400),
        (b"", 400),
        (b'{"token": "wrong", "x": ' + b"[" * 1001 + b"]" * 1001 + b"}", 400),
        (b'{"token": "' + b"x" * 100_000 + b'"}', 413),
    ],
)
async def test_bad_auth_requests_get_no_grant(body: bytes, status: int) -> None:
    """A wrong token is forbidden, a body that isn't a token is a bad request; both say so."""
    async with open_broker() as broker:
        with fail_after(10):
            answer = await http(broker, "POST /runners/auth", body)
            assert answer[0] == status
            assert answer[1]["message"]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("GET /", 404), ("GET /runners/auth", 405), ("POST /healthz", 405), ("GET /runners/_ws?id=x", 404)],
)
async def test_other_requests(request_line: str, status: int) -> None:
    """Other paths and methods are refused as HTTP has it."""
    async with open_broker() as broker:
        with fail_after(10):
            assert (await http(broker, request_line))[0] == status


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/runners/_ws", "good", 400),
        ("/runners/_ws?id=", "good", 400),
        ("/runners/_ws?id=r", None, 401),
        ("/runners/_ws?id=r", "", 401),
        ("/runners/_ws?id=r", "invented", 403),
        ("/runners/other?id=r", "good", 404),
        ("/_ws?id=r", "good", 404),
        ("/runners/_ws?id=r", "good", 101),
    ],
)
async def test_who_gets_a_websocket(path: str, token: str | None, status: int) -> None:
    """400 without an id, 401 without a token, 403 for a bad one, 404 elsewhere; refusals say why."""
    async with open_broker() as broker:
        with fail_after(10):
            good = broker.grant_token()
            answer = await upgrade(broker, path, good if token == "good" else token)
            assert answer[0] == status
            assert status == 101 or answer[1]["message"]


async def test_a_refused_upgrade_does_not_use_the_grant_up() -> None:
    """A grant that came with a wrong path is still good."""
    async with open_broker() as broker:
        with fail_after(10):
            grant = broker.grant_token()
            assert (await upgrade(broker, "/wrong?id=r", grant))[0] == 404
            assert (await upgrade(broker, "/runners/_ws?id=r", grant))[0] == 101


async def test_expired_grant() -> None:
    """A grant that is older than its lifetime is refused."""
    async with open_broker(BrokerConfig(grant_ttl=0.001)) as broker:
        with fail_after(10):
            grant = broker.grant_token()
            await trio.sleep(0.01)
            assert (await upgrade(broker, "/runners/_ws?id=r", grant))[0] == 403


async def test_path_prefix() -> None:
    """The prefix before /auth and /_ws is configurable."""
    async with open_broker(BrokerConfig(path="/a/b", auth_token="t")) as broker:
        with fail_after(10):
            status, body = await http(broker, "POST /a/b/auth", b'{"token": "t"}')
            assert status == 200
            assert (await upgrade(broker, "/a/b/_ws?id=r", body["data"]["token"]))[0] == 101
            assert (await http(broker, "POST /runners/auth", b'{"token": "t"}'))[0] == 404


async def test_rate_limit() -> None:
    """With a limit, grants and upgrades beyond it get 429."""
    async with open_broker(BrokerConfig(rate_limit=2, auth_token="t")) as broker:
        with fail_after(10):
            grants = [await http(broker, "POST /runners/auth", b'{"token": "t"}') for _ in range(3)]
            assert [status for status, _ in grants] == [200, 200, 429]
            upgrades = [await upgrade(broker, "/runners/_ws?id=r", "x") for _ in range(3)]
            assert [status for status, _ in upgrades] == [403, 403, 429]


async def test_draining_broker_lets_nobody_in() -> None:
    """While it drains: 503 at the door, for health, for grants and for WebSockets."""
    async with open_broker(BrokerConfig(auth_token="t")) as broker:
        with fail_after(10):
            grant = broker.grant_token()
            await broker.drain(0)
            assert (await http(broker, "GET /healthz"))[0] == 503
            assert (await http(broker, "POST /runners/auth", b'{"token": "t"}'))[0] == 503
            assert (await upgrade(broker, "/runners/_ws?id=r", grant))[0] == 503


async def test_http_connection_is_kept_alive() -> None:
    """Two requests on one connection get two answers."""
    async with open_broker() as broker:
        with fail_after(10):
            async with await trio.open_tcp_stream("127.0.0.1", broker.port) as stream:
                for _ in range(2):
                    await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    answer = b""
                    while b'{"status":"ok"}' not in answer:
                        data = await stream.receive_some()
                        assert data
                        answer += data


GARBAGE = [
    b"",
    b"\x00" * 100,
    b"GET / HTTP/1.1\r\n",
    b"\r\n\r\n",
    b"x" * 40_000,
    b"GET /runners/_ws?id=x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
    b"GET /runners/_ws?id=x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_harms_nobody_else(garbage: bytes) -> None:
    """A connection that speaks nonsense is closed, and the broker serves on."""
    async with open_broker() as broker:
        with fail_after(20):
            async with await trio.open_tcp_stream("127.0.0.1", broker.port) as stream:
                await stream.send_all(garbage)
                await stream.send_eof()
                try:
                    while await stream.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass  # closed with some of it unread
            async with fake_runner(broker):
                assert (await http(broker, "GET /healthz"))[0] == 200


async def test_port_in_use_is_an_os_error() -> None:
    """A port that is taken is reported as the OSError that it is, not in a group."""
    async with open_broker() as broker:
        with pytest.raises(OSError, match="in use"):
            async with open_broker(BrokerConfig(port=broker.port)):
                pass


async def test_exception_of_the_block_comes_out_as_it_is() -> None:
    """An error inside the block isn't wrapped; the runners are closed with 1001, the port is free."""
    port = 0

    async def runner(broker: Broker) -> None:
        async with fake_runner(broker) as runner:
            assert (await runner.closed())[0] == 1001

    async def fail(nursery: trio.Nursery) -> None:
        nonlocal port
        async with open_broker() as broker:
            port = broker.port
            nursery.start_soon(runner, broker)
            await broker.wait_for_runner()
            raise ZeroDivisionError

    with fail_after(10):
        async with trio.open_nursery() as nursery:
            with pytest.raises(ZeroDivisionError):
                await fail(nursery)
        with pytest.raises(OSError, match=str(port)):
            await trio.open_tcp_stream("127.0.0.1", port)


async def test_uri_names_an_address_that_can_be_reached() -> None:
    """A broker that listens everywhere is to be found on loopback."""
    async with open_broker(BrokerConfig(host="0.0.0.0")) as broker:
        assert broker.uri == f"http://127.0.0.1:{broker.port}"
        with fail_after(10):
            assert (await http(broker, "GET /healthz"))[0] == 200
