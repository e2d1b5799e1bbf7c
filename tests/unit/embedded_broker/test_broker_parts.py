"""The broker's small parts: frames, read-ahead, grants, limits, settings, other runners' errors."""

from __future__ import annotations

import json
import socket
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from reptarium.pool.embedded_broker import BrokerConfig
from reptarium.pool.embedded_broker.grants import Grants, RateLimit
from reptarium.pool.embedded_broker.lenient import UNKNOWN_ERROR, task_error
from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.embedded_broker.transport import MAX_HEAD, Transport, is_upgrade, text_fragments, text_frame
from tests.limits import fail_after


def received(data: bytes) -> list[str]:
    """What a client makes of the bytes."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    messages, parts = [], ""
    for event in client.events():
        assert isinstance(event, TextMessage)
        parts += event.data
        if event.message_finished:
            messages.append(parts)
            parts = ""
    assert parts == ""
    return messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_text_frames_are_what_a_client_reads(size: int) -> None:
    """Every length of header is right, and frames follow one another."""
    text = "x" * size
    assert received(text_frame(text.encode()) * 2) == [text, text]


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 1001])
def test_fragments_make_one_message(size: int) -> None:
    """A message in fragments is read as one, also when a character is cut in two."""
    text = ("ä€😀x" * size)[:size]
    frames = list(text_fragments(text.encode(), 10))
    assert all(len(frame) <= 12 for frame in frames)
    assert received(b"".join(frames)) == [text]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET / HTTP/1.1\r\nUpgrade: websocket", True),
        (b"GET / HTTP/1.1\r\nhost: x\r\nUPGRADE:  WebSocket", True),
        (b"GET /upgrade:websocket HTTP/1.1\r\nhost: x", False),
        (b"GET / HTTP/1.1\r\nUpgrade: h2c", False),
        (b"", False),
    ],
)
def test_an_upgrade_is_told_by_its_header(head: bytes, expected: bool) -> None:
    """Only the header counts, in any case of letters."""
    assert is_upgrade(head) is expected


async def test_the_head_is_read_ahead_and_read_again() -> None:
    """A head that comes in pieces is seen whole, and then read by the next reader with what follows."""
    near, far = trio.socket.socketpair()
    async with trio.SocketStream(far) as client:
        transport = Transport(trio.SocketStream(near))
        with fail_after(5):
            async with trio.open_nursery() as nursery:

                async def write() -> None:
                    for piece in (b"GET / HT", b"TP/1.1\r\n\r", b"\nbody"):
                        await client.send_all(piece)
                        await trio.testing.wait_all_tasks_blocked()
                    await client.send_eof()

                nursery.start_soon(write)
                assert await transport.peek_head() == b"GET / HTTP/1.1"
            data = b""
            while more := await transport.receive_some(5):
                assert len(more) <= 5
                data += more
            assert data == b"GET / HTTP/1.1\r\n\r\nbody"
        await transport.aclose()


async def test_a_head_without_end_is_not_read_for_ever() -> None:
    """Reading ahead stops at 16 KiB."""
    near, far = trio.socket.socketpair()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_HEAD)
    async with trio.SocketStream(far) as client, Transport(trio.SocketStream(near)) as transport:
        with fail_after(5):
            await client.send_all(b"x" * 2 * MAX_HEAD)
            assert len(await transport.peek_head()) <= 2 * MAX_HEAD


def test_a_grant_is_good_once() -> None:
    """A grant opens one connection."""
    grants = Grants(30.0)
    token = grants.issue(0.0)
    assert grants.redeem(token, 1.0)
    assert not grants.redeem(token, 1.0)
    assert not grants.redeem("invented", 1.0)


def test_a_grant_expires() -> None:
    """A grant that is as old as its lifetime is refused, and forgotten when the next is issued."""
    grants = Grants(30.0)
    old, older = grants.issue(0.0), grants.issue(0.0)
    assert not grants.redeem(old, 30.0)
    grants.issue(31.0)
    assert older not in grants._expires


def test_rate_limit() -> None:
    """Five a second, then refused until a second has passed; 0 limits nothing."""
    limit = RateLimit(5)
    assert [limit.allows(0.1 * i) for i in range(6)] == [True] * 5 + [False]
    assert limit.allows(1.05)
    assert all(RateLimit(0).allows(0.0) for _ in range(100))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (None, UNKNOWN_ERROR),
        ("text", UNKNOWN_ERROR),
        ({"message": None}, UNKNOWN_ERROR),
        ({"message": "m"}, "m"),
    ],
)
def test_errors_of_other_runners_end_their_task(error: Any, message: str) -> None:
    """A null, a text or an object without a message is an unknown error, not a task that hangs."""
    read = task_error(json.dumps({"type": "runner:taskerror", "taskId": "t", "error": error}))
    assert read is not None
    assert (read.task_id, read.error.message) == ("t", message)


def test_good_fields_of_a_bad_error_are_kept() -> None:
    """A field of the wrong kind doesn't cost the others."""
    error = {"message": "m", "description": 7, "lineNumber": 3, "stack": None, "stderr": "e"}
    read = task_error(json.dumps({"taskId": "t", "error": error}))
    assert read is not None
    assert (read.error.line_number, read.error.stderr) == (3, "e")
    assert json.loads(msgspec.json.encode(read.error)).keys() == {"message", "lineNumber", "stderr"}


@pytest.mark.parametrize("frame", ["{", "[]", '{"taskId": 3}', "{}"])
def test_an_error_without_a_task_is_nobodys(frame: str) -> None:
    """Without a task id there is nothing to end."""
    assert task_error(frame) is None


def test_settings_by_either_name() -> None:
    """A mapping may use the protocol's names or Python's; what isn't a setting is refused by name."""
    read = task_settings({"code": "x", "node_mode": "runOnceForEachItem", "continueOnFail": True, "items": [1]})
    assert (read.node_mode, read.continue_on_fail, bytes(read.items)) == ("runOnceForEachItem", True, b"[1]")
    with pytest.raises(ValueError, match="not a task setting: mode"):
        task_settings({"code": "x", "mode": "y"})
    with pytest.raises(ValueError, match="not task settings"):
        task_settings({"code": 3})
    with pytest.raises(ValueError, match="not task settings"):
        task_settings({"code": "x", "items": object()})


@pytest.mark.parametrize(
    ("field", "value"),
    [("path", "runners"), ("path", "/runners/"), ("auth_token", ""), ("grant_ttl", 0), ("max_payload", 1)],
)
def test_bad_config_is_refused_by_name(field: str, value: Any) -> None:
    """What can't work is refused when it is set, with the field's name."""
    with pytest.raises(ValueError, match=field):
        BrokerConfig(**{field: value})


def test_each_broker_has_its_own_auth_token() -> None:
    """The default auth token is random."""
    assert BrokerConfig().auth_token != BrokerConfig().auth_token
