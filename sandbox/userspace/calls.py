"""The worker's side of a call to n8n: values out, values back, ``bytes`` both ways.

n8n sends and takes bytes as ``{"type": "Buffer", "data": [0, 255, …]}`` (checked against a live
n8n 2.40.5). Here, and nowhere else, such lists of numbers become ``bytes``; the supervisor passes
the JSON through untouched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from reptarium.sandbox.userspace.json_form import Raw, key_text, to_json

#: Bytes are written as numbers in pieces of this size, so that memory holds one piece's list only.
_PIECE = 1 << 18
_T = TypeVar("_T")


class HelperError(Exception):
    """A call to n8n that was refused, failed or brought nothing usable. The text says which and why."""


class CallChannel(Protocol):
    """What is needed of the worker's channel (``process/channel.py``)."""

    def call(self, name: str, params: Raw, via: Any = "rpc") -> tuple[bool, bytes]:
        """(ok, raw JSON or the text of the error)."""


#: A call: (name, parameters, via) → the raw JSON of the answer. Raises :class:`HelperError`.
Ask = Callable[[str, Sequence[Raw] | Raw, str], bytes]


def make_ask(channel: CallChannel, max_bytes: int) -> Ask:
    """A function over the channel that hides it. ``max_bytes`` bounds the parameters of one call."""

    def ask(name: str, params: Sequence[Raw] | Raw, via: str = "rpc") -> bytes:
        raw = params if isinstance(params, bytes | bytearray) else b"[%b]" % b",".join(params)
        if len(raw) > max_bytes:
            raise HelperError(
                f"{name}: {len(raw)} bytes of JSON are over the limit of {max_bytes} bytes for one call; "
                "send less, or raise REPTARIUM_RPC_MAX_BYTES (and REPTARIUM_TASK_MEMORY)"
            )
        ok, answer = channel.call(name, raw, via)
        if not ok:
            raise HelperError(answer.decode("utf-8", "replace"))
        return answer

    return ask


def encode(value: object) -> Raw:
    """A parameter as JSON; ``bytes`` anywhere in plain dicts and lists become Buffers."""
    if isinstance(value, bytes | bytearray | memoryview):
        return encode_buffer(bytes(value))
    if _holds_bytes(value):
        if isinstance(value, dict):
            pairs = (b":".join((to_json(key_text(key)), encode(inner))) for key, inner in value.items())
            return b"{%b}" % b",".join(pairs)
        assert isinstance(value, list | tuple)
        return b"[%b]" % b",".join(map(encode, value))
    return to_json(value)


def _holds_bytes(value: object, depth: int = 0) -> bool:
    if isinstance(value, bytes | bytearray | memoryview):
        return True
    if depth > 20:  # to_json has something to say about such a tree
        return False
    if isinstance(value, dict):
        return any(_holds_bytes(inner, depth + 1) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_bytes(inner, depth + 1) for inner in value)
    return False


def encode_buffer(data: bytes) -> bytes:
    """``bytes`` as n8n's Buffer."""
    pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
    numbers = b",".join(msgspec.json.encode(list(piece))[1:-1] for piece in pieces)
    return b'{"type":"Buffer","data":[%b]}' % numbers


def decode(raw: bytes, name: str) -> Any:
    """The value of an answer; Buffers in it become ``bytes``. Raises :class:`HelperError`."""
    try:
        return _revive(_decode(raw))
    except (ValueError, TypeError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise HelperError(f"{name}: n8n's answer cannot be read: {error}") from None


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except ValueError:
        return json.loads(raw)  # takes what JavaScript writes and msgspec doesn't: lone surrogates


def decode_as(raw: bytes, kind: type[_T], name: str) -> _T:
    """The answer as ``kind``. Raises :class:`HelperError` for any other shape."""
    try:
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.ValidationError:
            raise
        except ValueError:
            return msgspec.convert(json.loads(raw), kind)
    except (ValueError, TypeError, RecursionError) as error:
        raise HelperError(f"{name}: n8n's answer has an unexpected shape: {error}") from None


def prepare(*kinds: object) -> None:
    """Let msgspec read the annotations of ``kinds`` now.

    It does at the first use otherwise, amid a task, and with the task's builtins: without those that
    ``N8N_RUNNERS_BUILTINS_DENY`` takes away.
    """
    for kind in kinds:
        msgspec.json.Decoder(kind)


class _Buffer(msgspec.Struct):
    type: str
    data: list[int]


prepare(_Buffer)


def decode_buffer(raw: bytes, name: str) -> bytes:
    """The bytes of an answer that is a Buffer and nothing else. Raises :class:`HelperError`."""
    buffer = decode_as(raw, _Buffer, name)
    try:
        return bytes(buffer.data)
    except (ValueError, OverflowError):
        raise HelperError(f"{name}: n8n's answer holds numbers that are no bytes") from None


def _revive(value: Any) -> Any:
    """Buffers to bytes, in place, in everything but the numbers of a Buffer itself."""
    if type(value) is dict:
        numbers = value.get("data")
        if value.get("type") == "Buffer" and type(numbers) is list and len(value) == 2:
            return bytes(numbers)
        for key, inner in value.items():
            if type(inner) is dict or type(inner) is list:
                value[key] = _revive(inner)
    elif type(value) is list:
        for index, inner in enumerate(value):
            if type(inner) is dict or type(inner) is list:
                value[index] = _revive(inner)
    return value
