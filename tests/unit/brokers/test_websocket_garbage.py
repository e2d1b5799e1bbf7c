"""What a broker may send over an open WebSocket: nothing of it is a fault of ours, or waits for ever.

An imaginary network; grant, handshake, link and session are the real ones.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from random import Random

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from reptarium.pool.brokers import connection, grant
from reptarium.pool.brokers.link import BrokerLink
from tests.limits import fail_after
from tests.unit.brokers.test_serving import faults, shared

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NORMAL = b"\x03\xe8"


def frame(
    opcode: int, payload: bytes = b"", *, last: bool = True, reserved: int = 0, mask: bytes = b"", length: int = -1
) -> bytes:
    """One frame (RFC 6455, 5.2), perhaps with a length that isn't the payload's."""
    size = len(payload) if length < 0 else length
    wide = size if size < 126 else 126 if size < 1 << 16 else 127
    head = bytes([last << 7 | reserved << 4 | opcode, bool(mask) << 7 | wide])
    more = b"" if wide == size else struct.pack(">H" if wide == 126 else ">Q", size)
    return head + more + mask + payload


#: What is sent, and how the connection ends.
GARBAGE: dict[str, tuple[bytes, str]] = {
    **{f"reserved bits {bits}": (frame(TEXT, b"x", reserved=bits), "1002") for bits in range(1, 8)},
    **{f"opcode {code}": (frame(code, b"x"), "1002") for code in (3, 7, 11, 15)},
    **{f"a part of {code}": (frame(code, b"x", last=False), "1002") for code in (CLOSE, PING, PONG)},
    **{f"a long {code}": (frame(code, b"x" * 126), "1002") for code in (CLOSE, PING, PONG)},
    **{
        f"closed with {code}": (frame(CLOSE, struct.pack(">H", code)), "1002")
        for code in (0, 1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000, 65535)
    },
    **{f"closed with {code}": (frame(CLOSE, struct.pack(">H", code)), str(code)) for code in (1000, 1012, 3000, 4999)},
    "half a close code": (frame(CLOSE, b"\x03"), "1002"),
    "a close reason that is no UTF-8": (frame(CLOSE, NORMAL + b"\xff"), "1007"),
    "a close reason that drives a terminal": (frame(CLOSE, NORMAL + b"\x1b[2J\nERROR forged"), "1000"),
    "closed twice, and on": (frame(CLOSE, NORMAL) * 2 + frame(TEXT, b"{}") + frame(PING) + b"\xff" * 100, "1000"),
    "no UTF-8": (frame(TEXT, b"\xff\xfe"), "1007"),
    "half a character": (frame(TEXT, b"\xf0\x9f"), "1007"),
    "half a character, then another": (frame(TEXT, b"\xf0\x9f", last=False) + frame(0, b"a"), "1007"),
    "a surrogate in UTF-8": (frame(TEXT, b"\xed\xa0\xbd"), "1007"),
    "masked": (frame(TEXT, b"x", mask=b"abcd"), "1002"),
    "masked close": (frame(CLOSE, NORMAL, mask=bytes(4)), "1002"),
    "a part of nothing": (frame(0, b"x"), "1002"),
    "a message in a message": (frame(TEXT, b"x", last=False) + frame(TEXT, b"y"), "1002"),
    "a length that could be shorter": (b"\x81\x7e\x00\x01x", "1002"),
    "a length below zero": (b"\x81\x7f" + b"\xff" * 8, "1002"),
    "a long message that doesn't come": (frame(TEXT, b"x", length=2**62), "not registered"),
    "binary that is no message": (frame(BINARY, b"\xff\x00"), "not registered"),
    "an empty text": (frame(TEXT), "not registered"),
    "a NUL": (frame(TEXT, b"\x00"), "not registered"),
    "pings without end": (frame(PING, b"p" * 125) * 500, "not registered"),
    "an answer to another request": (b"HTTP/1.1 200 OK\r\n\r\n", "1002"),
    "zeros": (bytes(1000), "1002"),
    "noise": (Random(14).randbytes(5000), "100"),
}
#: Headers beside those of an answer that opens a WebSocket.
HEADERS = [
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
    b"Sec-WebSocket-Extensions: \xff\r\n",
    b"Sec-WebSocket-Protocol: nobody-has-asked\r\n",
]


async def door(stream: trio.abc.Stream, headers: bytes, garbage: bytes) -> None:
    """A broker: a grant, a WebSocket, and then this."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some(4096)
    if head.startswith(b"POST"):
        body = b'{"data":{"token":"a-grant"}}'
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
    assert key is not None
    proof = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
    opened = b"HTTP/1.1 101 On\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + proof + b"\r\n"
    try:
        await stream.send_all(opened + headers + b"\r\n" + garbage)
        while await stream.receive_some(4096):
            pass
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


async def attempt(monkeypatch: pytest.MonkeyPatch, headers: bytes, garbage: bytes) -> str:
    """Why a connection to such a broker ended. It was nobody's fault, and took less than a minute."""
    means = shared()
    link = BrokerLink(means, "http://broker")
    means.slots.capacity.join(link)
    async with trio.open_nursery() as nursery:

        async def open_stream(*_: object) -> trio.abc.Stream:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(door, theirs, headers, garbage)
            return ours

        for module in (connection, grant):
            monkeypatch.setattr(module, "open_stream", open_stream)
        with fail_after(60), capture_logs():
            end = await link._attempt()
        nursery.cancel_scope.cancel()
    assert faults(means) == 0
    return str(end)


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_ends_the_connection_and_is_no_fault(
    name: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Each frame that the protocol forbids, and what it allows and nobody means."""
    garbage, why = GARBAGE[name]
    assert why in await attempt(monkeypatch, b"", garbage)


@pytest.mark.parametrize("headers", HEADERS)
async def test_what_was_not_asked_for_opens_nothing(
    headers: bytes, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Extensions and protocols of a broker's own making."""
    assert "not a WebSocket" in await attempt(monkeypatch, headers, b"")


async def test_a_handshake_is_looked_at_in_small_pieces() -> None:
    """What is no answer would be looked through whole. Once it is open more is read."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"HTTP/1.1 102 " + b"x" * 270_000)
    heard = connection._Heard(ours)
    for wanted in (None, 1 << 18, 100):
        assert len(await heard.receive_some(wanted)) == min(wanted or 4096, 4096)
    heard.opening = False
    assert len(await heard.receive_some(1 << 18)) > 200_000
