"""Text frames to message values and back.

The fast path is one pass of msgspec. What it refuses is looked at a second time: an unknown
kind is told apart from a malformed frame, and a frame that is JSON for JavaScript but not for
msgspec (a lone surrogate escape such as ``"\\ud83d"``, which ``JSON.stringify`` writes) is
rebuilt with the standard library's parser, so that nobody's task fails over half an emoji.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

import msgspec

from reptarium.pool.protocol.messages.broker import BrokerMessage
from reptarium.pool.protocol.messages.runner import RunnerMessage


class Unknown(msgspec.Struct, frozen=True):
    """A well-formed frame of a kind that this version doesn't know."""

    type: str


class Malformed(msgspec.Struct, frozen=True):
    """A frame that isn't a message. ``task_id`` is set where one could be read."""

    fault: str
    type: str | None = None
    task_id: str | None = None


#: The head of a frame as brokers write it: kind first, then the task's id.
_HEAD = re.compile(r'\s*\{\s*"type"\s*:\s*"([\w:]{1,64})"\s*,\s*"taskId"\s*:\s*"([^"\\]{1,128})"')


class _Envelope(msgspec.Struct, rename="camel"):
    type: str
    task_id: Any = None


_M = TypeVar("_M")

_broker_decoder: msgspec.json.Decoder[BrokerMessage] = msgspec.json.Decoder(BrokerMessage)
_runner_decoder: msgspec.json.Decoder[RunnerMessage] = msgspec.json.Decoder(RunnerMessage)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)
_encoder = msgspec.json.Encoder()


def _kinds(union: Any) -> frozenset[str]:
    return frozenset(str(member.__struct_config__.tag) for member in union.__args__)


_broker_kinds = _kinds(BrokerMessage)
_runner_kinds = _kinds(RunnerMessage)


def decode_broker_message(frame: str | bytes) -> BrokerMessage | Unknown | Malformed:
    """One frame from the broker, as a value. Never raises on bad input."""
    try:
        return _broker_decoder.decode(frame)
    except msgspec.MsgspecError as error:
        return _second_look(frame, _broker_decoder, _broker_kinds, str(error))
    except UnicodeError as error:  # bytes that aren't UTF-8
        return Malformed(f"not UTF-8: {error}")
    except RecursionError:
        return _javascript_only(frame, _broker_decoder, _broker_kinds, "nested too deeply")


def decode_runner_message(frame: str | bytes) -> RunnerMessage | Unknown | Malformed:
    """One frame from a runner, as a value (the embedded broker's side). Never raises on bad input."""
    try:
        return _runner_decoder.decode(frame)
    except msgspec.MsgspecError as error:
        return _second_look(frame, _runner_decoder, _runner_kinds, str(error))
    except UnicodeError as error:
        return Malformed(f"not UTF-8: {error}")
    except RecursionError:
        return _javascript_only(frame, _runner_decoder, _runner_kinds, "nested too deeply")


def _second_look(
    frame: str | bytes, decoder: msgspec.json.Decoder[_M], kinds: frozenset[str], fault: str
) -> _M | Unknown | Malformed:
    try:
        envelope = _envelope_decoder.decode(frame)
    except msgspec.ValidationError:
        return Malformed(f"not a message: {fault}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _javascript_only(frame, decoder, kinds, fault)
    if envelope.type not in kinds:
        return Unknown(envelope.type)
    return Malformed(fault, envelope.type, _task_id(envelope.task_id))


def _javascript_only(
    frame: str | bytes, decoder: msgspec.json.Decoder[_M], kinds: frozenset[str], fault: str
) -> _M | Unknown | Malformed:
    """A frame that JavaScript's parser takes and msgspec's doesn't."""
    try:
        data = _loads(frame)
        if isinstance(data, dict):
            data = _rawify(data)
    except (ValueError, RecursionError) as error:
        head = _HEAD.match(frame if isinstance(frame, str) else frame[:512].decode("utf-8", "replace"))
        kind, task_id = head.groups() if head else (None, None)
        why = "nested too deeply" if isinstance(error, RecursionError) else f"not JSON: {fault}"
        return Malformed(why, kind, task_id)
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        return Malformed("not a message: an object with a string `type` is expected")
    if data["type"] not in kinds:
        return Unknown(data["type"])
    try:
        return msgspec.convert(data, decoder.type)
    except msgspec.ValidationError as error:
        return Malformed(str(error), data["type"], _task_id(data.get("taskId")))


#: The fields that stay raw JSON, by the path of objects that leads to them.
_RAW_FIELDS = frozenset(
    {"items", "query", "data", "nodeTypes", "params", "requestParams", "result", "customData", "staticData"}
)


def _rawify(data: dict[str, Any]) -> dict[str, Any]:
    out = dict(data)
    for key, value in out.items():
        if key == "settings" and isinstance(value, dict):
            out[key] = _rawify(value)
        elif key == "data" and data.get("type") == "runner:taskdone" and isinstance(value, dict):
            out[key] = {k: _raw(v) if k in _RAW_FIELDS else v for k, v in value.items()}
        elif key in _RAW_FIELDS:
            out[key] = _raw(value)
    return out


def _raw(value: Any) -> msgspec.Raw:
    # ensure_ascii keeps a lone surrogate as an escape: it has no UTF-8 form
    return msgspec.Raw(json.dumps(value, separators=(",", ":")).encode("ascii"))


def _loads(text: str | bytes | bytearray | memoryview) -> Any:
    # Not the bytes themselves: json.loads would take UTF-16, UTF-32 and a byte order mark
    return json.loads(
        text if isinstance(text, str) else str(text, "utf-8"),
        parse_constant=_no_constant,
        parse_float=_finite,
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    # 1e999 is JSON, but what we would write for its value isn't
    if math.isinf(value := float(digits)):
        raise ValueError(f"{digits[:40]} is out of range")
    return value


def _task_id(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def encode(message: BrokerMessage | RunnerMessage) -> bytes:
    """A message as the UTF-8 bytes of its frame. Raw fields are copied in, not parsed."""
    try:
        return _encoder.encode(message)
    except UnicodeEncodeError:
        return _encoder.encode(_escaped(message))


def _escaped(value: Any) -> Any:
    """The same, with strings as ASCII escapes: a lone surrogate has no UTF-8 form, but JSON can spell it."""
    if isinstance(value, str):
        return _raw(value)
    if isinstance(value, tuple):
        return [_escaped(member) for member in value]
    if not isinstance(value, msgspec.Struct):
        return value
    tag = value.__struct_config__.tag
    out: dict[str, Any] = {} if tag is None else {"type": tag}
    for field, key in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
        if (member := getattr(value, field)) is not msgspec.UNSET:
            out[key] = _escaped(member)
    return out


def is_json_value(raw: bytes | bytearray | memoryview) -> bool:
    """Whether ``raw`` is exactly one well-formed JSON value in UTF-8.

    A worker is hostile: what it calls its result must not be able to close our brackets.
    """
    try:
        str(raw, "utf-8")
        _raw_decoder.decode(raw)
    except UnicodeError:
        return False
    except RecursionError:
        return False
    except msgspec.MsgspecError:
        try:
            _loads(raw)
        except (ValueError, RecursionError):
            return False
    return True
