"""Frames: what a worker may send, and what is refused before it is read."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reptarium.sandbox import wire
from reptarium.sandbox.wire import FrameTooLarge, Kind, ProtocolViolation

LIMITS = {Kind.READY: 0, Kind.RESULT: 1000}


def test_header_round_trip() -> None:
    """A frame's header says what follows."""
    head, body = wire.frame(Kind.RESULT, b"abc")
    assert body == b"abc"
    assert wire.parse_header(head, LIMITS) == wire.FrameHeader(Kind.RESULT, 3)


@pytest.mark.parametrize("kind", [Kind.TASK, Kind.RPC_ANSWER, Kind.CONSOLE, 0, 99, 255])
def test_kinds_that_are_not_a_workers_to_send(kind: int) -> None:
    """Only the kinds with a limit may come: neither the supervisor's own nor unknown ones."""
    with pytest.raises(ProtocolViolation, match="not a worker's to send"):
        wire.parse_header(wire.HEADER.pack(kind, 0), LIMITS)


def test_padding_must_be_zero() -> None:
    """Bytes without a meaning are not carried."""
    with pytest.raises(ProtocolViolation, match="padding"):
        wire.parse_header(bytes([Kind.RESULT, 0, 1, 0, 0, 0, 0, 0]), LIMITS)


def test_too_large_is_refused_by_the_header() -> None:
    """A frame over its limit, by a byte or gigantic, is refused before a byte of it is read."""
    assert wire.parse_header(wire.HEADER.pack(Kind.RESULT, 1000), LIMITS).length == 1000
    for size in (1001, 2**32 - 1):
        with pytest.raises(FrameTooLarge) as caught:
            wire.parse_header(wire.HEADER.pack(Kind.RESULT, size), LIMITS)
        assert (caught.value.kind, caught.value.size, caught.value.limit) == (Kind.RESULT, size, 1000)


@given(st.binary(min_size=8, max_size=8))
def test_any_eight_bytes(raw: bytes) -> None:
    """Whatever the bytes, the answer is a header within the limits or a refusal."""
    try:
        header = wire.parse_header(raw, LIMITS)
    except ProtocolViolation:
        return
    assert header.length <= LIMITS[header.kind]


def test_head_and_body() -> None:
    """A payload with a head comes apart again without copying the body."""
    payload = b"".join(wire.with_head(wire.RpcHead(7, "helpers.request"), b"[1]"))
    head, body = wire.split_head(payload)
    assert bytes(head) == b'{"call":7,"name":"helpers.request","via":"rpc"}'
    assert body == b"[1]"


@pytest.mark.parametrize("payload", [b"", b"\x01", struct.pack("<I", 5) + b"abcd", struct.pack("<I", 2**32 - 1)])
def test_heads_that_do_not_add_up(payload: bytes) -> None:
    """A head that claims more than there is, is refused."""
    with pytest.raises(ProtocolViolation):
        wire.split_head(payload)


def test_a_head_is_short() -> None:
    """A worker's head is decoded in one call: it may not be as long as its frame."""
    payload = b"".join(wire.with_head(wire.RpcHead(1, "x" * wire.MAX_HEAD), b"[]"))
    assert bytes(wire.split_head(payload)[1]) == b"[]"
    with pytest.raises(ProtocolViolation, match=r"a head of \d+ bytes"):
        wire.split_head(payload, wire.MAX_HEAD)
