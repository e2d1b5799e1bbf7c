"""Parameters and answers of calls: bytes both ways, and answers that are not what they should be."""

from __future__ import annotations

import datetime
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reptarium.sandbox.userspace.calls import (
    HelperError,
    decode,
    decode_as,
    decode_buffer,
    encode,
    encode_buffer,
    make_ask,
)


@given(st.binary(max_size=2000))
def test_bytes_there_and_back(data: bytes) -> None:
    """Any bytes become n8n's Buffer and come back the same."""
    raw = encode_buffer(data)
    assert json.loads(raw) == {"type": "Buffer", "data": list(data)}
    assert decode_buffer(raw, "x") == decode(raw, "x") == data


def test_large_bytes() -> None:
    """Bytes longer than one piece of the writer are whole again."""
    data = os.urandom(700_001)
    assert decode_buffer(encode(data), "x") == data


def test_bytes_anywhere() -> None:
    """Bytes deep in parameters become Buffers, Buffers deep in answers bytes."""
    raw = encode({"body": b"\x00\xff", "list": [b"a", {"n": None}], "s": "ü"})
    assert decode(raw, "x") == {"body": b"\x00\xff", "list": [b"a", {"n": None}], "s": "ü"}


def test_keys_beside_bytes() -> None:
    """Keys are spelled as they are where no bytes stand in the value."""
    keys: dict[object, object] = {True: 1, None: 2, 1e16: 3, datetime.date(2024, 1, 1): 4}
    spelled = {"true": 1, "null": 2, "1e+16": 3, "2024-01-01": 4}
    assert json.loads(encode(keys)) == spelled
    assert json.loads(encode({**keys, "b": b""})) == {**spelled, "b": {"type": "Buffer", "data": []}}


def test_not_quite_a_buffer() -> None:
    """An object that merely looks like a Buffer stays what it is."""
    for value in (
        {"type": "Buffer", "data": "text"},
        {"type": "Buffer", "data": [1], "more": 1},
        {"data": [1]},
    ):
        assert decode(json.dumps(value).encode(), "x") == value


@pytest.mark.parametrize(
    "raw",
    [b"", b"nonsense", b'"text"', b"null", b"[1,2]", b'{"type":"Buffer"}',
     b'{"type":"Buffer","data":[1,256]}',
     b'{"type":"Buffer","data":[-1]}', b'{"type":"Buffer","data":["a"]}', b'{"type":"Buffer","data":{"0":1}}',
     b'{"type":"Buffer","data":[1.5]}', b"[" * 100_000, b'{"type":"Buffer","data":[99999999999999999999]}'],
)  # fmt: skip
def test_hostile_buffers(raw: bytes) -> None:
    """An answer of the wrong shape is an error that names the call, never anything worse."""
    with pytest.raises(HelperError, match=r"helpers\.get"):
        decode_buffer(raw, "helpers.get")


def test_hostile_values() -> None:
    """Answers that aren't JSON, and numbers in a Buffer that are no bytes, are errors."""
    for raw in (b"{", b'{"type":"Buffer","data":[1,"a"]}', b'{"type":"Buffer","data":[256]}', b"[" * 100_000):
        with pytest.raises(HelperError, match="cannot be read"):
            decode(raw, "x")


def test_half_a_surrogate_pair() -> None:
    """Half an emoji, which JavaScript writes, can be read in any answer."""
    assert decode(b'{"a":"\\ud83d"}', "x") == {"a": "\ud83d"}
    assert decode_as(b'{"a":"\\ud83d"}', dict[str, str], "x") == {"a": "\ud83d"}


def test_too_many_bytes() -> None:
    """Parameters over the limit are refused before anything is sent."""

    class Never:
        def call(self, name: str, params: bytes, via: str = "rpc") -> tuple[bool, bytes]:
            raise AssertionError("sent all the same")

    with pytest.raises(HelperError, match="REPTARIUM_RPC_MAX_BYTES"):
        make_ask(Never(), 10)("x", [b'"0123456789"'], "rpc")
