"""Text frames to message values and back.

The fast path is one pass of msgspec. What it refuses is looked at a second time: an unknown
kind is told apart from a malformed frame, and a frame that is JSON for JavaScript but not for
msgspec (a lone surrogate escape such as ``"\\ud83d"``, which ``JSON.stringify`` writes) is read
from a copy in which these are blanked, so that nobody's task fails over half an emoji. What
stays raw is taken from the frame itself, as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

import msgspec

from reptarium.pool.protocol.messages.broker import LONGEST_ID, BrokerMessage, TaskId, TaskSettings
from reptarium.pool.protocol.messages.large import LARGE, LONGEST_MARK, parting
from reptarium.pool.protocol.messages.runner import RunnerMessage, TaskDoneData
from reptarium.pool.protocol.messages.wellformed import (
    PIECE,
    Buffer,
    Steps,
    blanking,
    whole,
    without_escaped_quotes,
)
from reptarium.sandbox.nesting import MAX_NESTING, nesting_in_steps, room


class Unknown(msgspec.Struct, frozen=True):
    """A well-formed frame of a kind that this version doesn't know."""

    type: str


class Malformed(msgspec.Struct, frozen=True):
    """A frame that isn't a message. ``task_id`` is set where one could be read."""

    fault: str
    type: str | None = None
    task_id: str | None = None


#: The head of a frame as brokers write it: kind first, then the task's id.
_HEAD = re.compile(rb'\s*\{\s*"type"\s*:\s*"([\w:]{1,64})"\s*,\s*"taskId"\s*:\s*"([^"\\]{1,128})"')
#: What stands in front of an object's first value, and of a further one.
_FIRST, _FURTHER = (re.compile(rb"\s*" + sign + rb'\s*"[^"\\]*+(?:\\.[^"\\]*+)*+"\s*:\s*') for sign in (rb"\{", rb","))
_LAST = re.compile(rb"\s*\}\s*")


class _Envelope(msgspec.Struct, rename="camel"):
    type: str
    task_id: msgspec.Raw = msgspec.Raw(b"null")  # whatever it is: a broker's list of a million lists is no id


#: Levels of a message around people's data.
_AROUND = 8
#: Strings that a message may have that has to be taken apart, beside people's data; that takes 0.5 µs for each.
MOST_STRINGS = 50_000

_M = TypeVar("_M")

_id_decoder = msgspec.json.Decoder(TaskId)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


def _kinds(union: Any) -> frozenset[str]:
    return frozenset(str(member.__struct_config__.tag) for member in union.__args__)


def decode_broker_message(frame: str | Buffer) -> BrokerMessage | Unknown | Malformed:
    """One frame from the broker, as a value. Never raises on bad input."""
    return whole(decoding_broker_message(frame))


def plain_broker_message(frame: Buffer) -> BrokerMessage | None:
    """One frame from the broker, where one look is enough. None: :func:`decoding_broker_message` says what it is."""
    try:
        return _BROKER.decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def decoding_broker_message(frame: str | Buffer) -> Steps[BrokerMessage | Unknown | Malformed]:
    """:func:`decode_broker_message` in steps, so that a large frame keeps nobody waiting (``large.py``)."""
    return _decoding_any(frame, _BROKER)


def decode_runner_message(frame: str | Buffer) -> RunnerMessage | Unknown | Malformed:
    """One frame from a runner, as a value (the embedded broker's side). Never raises on bad input."""
    return whole(decoding_runner_message(frame))


def decoding_runner_message(frame: str | Buffer) -> Steps[RunnerMessage | Unknown | Malformed]:
    """:func:`decode_runner_message` in steps."""
    return _decoding_any(frame, _RUNNER)


def decoding_large(frame: Buffer, piece: int = PIECE) -> Steps[BrokerMessage | Unknown | Malformed]:
    """:func:`decoding_broker_message` of a large one, a step for every ``piece`` bytes (at least 16)."""
    return _decoding_large(frame, _BROKER, piece)


def _decoding_any(frame: str | Buffer, side: _Side[_M]) -> Steps[_M | Unknown | Malformed]:
    if len(frame) <= LARGE:
        return _decoding(frame, side)
    return _decoding_large(frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame, side, PIECE)


def _decoding_large(frame: Buffer, side: _Side[_M], piece: int) -> Steps[_M | Unknown | Malformed]:
    parted = yield from parting(frame, side.kept, piece)
    if isinstance(parted, str):
        return _by_its_head(frame, parted)
    rest, values = parted
    yield
    message = yield from _decoding(rest, side, _javascript_of_few)
    return message if isinstance(message, Unknown | Malformed) else _put_back(message, values)


def _put_back(part: Any, values: Mapping[bytes, memoryview]) -> Any:
    """A message, or its settings or data, with the values in the place of their marks."""
    changes: dict[str, Any] = {}
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if isinstance(value, msgspec.Raw):
            raw = memoryview(value)
            if len(raw) <= LONGEST_MARK and (found := values.get(bytes(raw))) is not None:
                changes[name] = msgspec.Raw(found)
        elif isinstance(value, TaskSettings | TaskDoneData):
            changes[name] = _put_back(value, values)
    return msgspec.structs.replace(part, **changes)


def _decoding(
    frame: str | Buffer,
    side: _Side[_M],
    slowly: Callable[[Buffer, _Side[_M]], Steps[_M | Unknown | Malformed]] | None = None,
) -> Steps[_M | Unknown | Malformed]:
    try:
        return side.decoder.decode(frame)
    except msgspec.ValidationError as error:
        fault, envelope = str(error), True
    except msgspec.DecodeError as error:
        fault, envelope = str(error), False
    except UnicodeError as error:  # bytes that aren't UTF-8
        return Malformed(f"not UTF-8: {error}")
    except RecursionError:
        fault, envelope = "", False  # nested deeply
    yield
    if not fault:
        return (yield from _deep(frame, side))
    try:
        if envelope:
            return _second_look(frame, side.kinds, fault)
    except (msgspec.DecodeError, RecursionError):
        yield
    try:
        slowly = slowly or _javascript_in_parts
        return (yield from slowly(frame.encode() if isinstance(frame, str) else frame, side))
    except (msgspec.DecodeError, ValueError):
        return _by_its_head(frame, f"not JSON: {fault}")
    except RecursionError:
        return _by_its_head(frame, "nested too deeply")


def _deep(frame: str | Buffer, side: _Side[_M]) -> Steps[_M | Malformed]:
    """One that is nested more deeply than this Python bears by itself."""
    depth = yield from nesting_in_steps(frame.encode() if isinstance(frame, str) else frame)
    if depth <= MAX_NESTING + _AROUND:
        with suppress(msgspec.MsgspecError, UnicodeError, RecursionError), room():
            return side.decoder.decode(frame)
    return _by_its_head(frame, "nested too deeply")


def _second_look(frame: str | Buffer, kinds: frozenset[str], fault: str) -> Unknown | Malformed:
    """What is wrong with a frame. Raises msgspec.DecodeError and RecursionError where it isn't JSON to msgspec."""
    try:
        envelope = _envelope_decoder.decode(frame)
    except msgspec.ValidationError:
        return Malformed(f"not a message: {fault}")
    if envelope.type not in kinds:
        return Unknown(envelope.type)
    try:
        task_id = _id_decoder.decode(envelope.task_id)
    except (msgspec.MsgspecError, UnicodeError):
        task_id = None
    return Malformed(fault, envelope.type, _task_id(task_id))


def _by_its_head(frame: str | Buffer, fault: str) -> Malformed:
    start = frame[:512].encode("utf-8", "replace") if isinstance(frame, str) else bytes(frame[:512])
    head = _HEAD.match(start)
    kind, task_id = (word.decode("utf-8", "replace") for word in head.groups()) if head else (None, None)
    return Malformed(fault, kind, task_id)


def _javascript_in_parts(frame: Buffer, side: _Side[_M]) -> Steps[_M | Unknown | Malformed]:
    """:func:`_javascript_only` of a message people's data of which is judged in pieces."""
    parted = yield from parting(frame, side.kept, PIECE)
    if isinstance(parted, str):
        raise ValueError(parted)
    rest, values = parted
    message = yield from _javascript_of_few(rest, side)
    return message if isinstance(message, Unknown | Malformed) else _put_back(message, values)


def _javascript_of_few(frame: Buffer, side: _Side[_M]) -> Steps[_M | Unknown | Malformed]:
    """:func:`_javascript_only` where there is little to be taken apart. Raises ValueError too where there is more."""
    yield
    if without_escaped_quotes(bytes(frame)).count(b'"') > 2 * MOST_STRINGS:
        raise ValueError("too many members")
    yield
    return (yield from _javascript_only(frame, side))


def _javascript_only(frame: Buffer, side: _Side[_M]) -> Steps[_M | Unknown | Malformed]:
    """A frame that JavaScript's parser takes and msgspec's doesn't.

    Raises msgspec.DecodeError, ValueError or RecursionError for one that nobody takes.
    """
    blank = yield from blanking(frame)
    yield
    text = memoryview(frame)
    members = _members(blank, slice(0, len(blank)))
    if members is None:
        return Malformed(_NO_MESSAGE)
    yield
    data: dict[str, Any] = {}
    for key, place in members.items():
        if key not in _FIELDS:
            continue
        if key == "settings" or (key == "data" and "type" in members and _loads(text[members["type"]]) == _DONE):
            yield  # an object in which something stays raw
            inner = _members(blank, place)
            data[key] = inner and {name: _value(name, text[part]) for name, part in inner.items() if name in _FIELDS}
            yield
        else:
            data[key] = _value(key, text[place])
    if not isinstance(data.get("type"), str):
        return Malformed(_NO_MESSAGE)
    if data["type"] not in side.kinds:
        return Unknown(data["type"])
    try:
        return msgspec.convert(data, side.decoder.type)
    except msgspec.ValidationError as error:
        return Malformed(str(error), data["type"], _task_id(data.get("taskId")))


_NO_MESSAGE = "not a message: an object with a string `type` is expected"
_DONE = "runner:taskdone"
#: The fields that stay raw JSON, and all that a message, a task's settings or a done task's data may have.
_RAW_FIELDS = frozenset(
    {"items", "query", "data", "nodeTypes", "params", "requestParams", "result", "customData", "staticData"}
)
_FIELDS = frozenset({"type"}).union(
    *(
        part.__struct_encode_fields__
        for part in (*BrokerMessage.__args__, *RunnerMessage.__args__, TaskSettings, TaskDoneData)
    )
)
#: What of a runner's message is a list or an object.
_RUNNER_FIELDS = frozenset({"types", "error"})


class _Side(msgspec.Struct, Generic[_M], frozen=True):
    """Who has sent a frame: what reads it, its kinds, and the fields of it that don't stay raw."""

    decoder: msgspec.json.Decoder[_M]
    kinds: frozenset[str]
    kept: frozenset[str]


_BROKER: _Side[BrokerMessage] = _Side(msgspec.json.Decoder(BrokerMessage), _kinds(BrokerMessage), _FIELDS - _RAW_FIELDS)
#: A done task's data is an object in which something stays raw.
_RUNNER: _Side[RunnerMessage] = _Side(
    msgspec.json.Decoder(RunnerMessage), _kinds(RunnerMessage), _FIELDS - _RAW_FIELDS | {"data"}
)


def _members(blank: bytes, whole_object: slice) -> dict[str, slice] | None:
    """Where in a blanked frame the values of an object are, by their keys. None when it is no object."""
    try:
        found = _object_decoder.decode(memoryview(blank)[whole_object])
    except msgspec.ValidationError:
        return None
    places, at, before = {}, whole_object.start, _FIRST
    for key, value in found.items():
        start = before.match(blank, at)
        if start is None or not blank.startswith(memoryview(value), start.end()):
            raise msgspec.DecodeError("a key that comes twice")
        places[key] = slice(start.end(), start.end() + len(memoryview(value)))
        at, before = places[key].stop, _FURTHER
    if places and not _LAST.fullmatch(blank, at, whole_object.stop):
        raise msgspec.DecodeError("a key that comes twice")
    return places


def _value(key: str, text: memoryview) -> Any:
    if key in _RAW_FIELDS:
        return msgspec.Raw(text)
    # nothing in a broker's message is a container that is not raw, but for its settings
    return _loads(text) if key in _RUNNER_FIELDS or bytes(text[:1]) not in (b"[", b"{") else ()


def _loads(text: memoryview) -> Any:
    # Not the bytes themselves: json.loads would take UTF-16, UTF-32 and a byte order mark
    return json.loads(str(text, "utf-8"))


def _task_id(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_ID else None


def encode(message: BrokerMessage | RunnerMessage) -> bytes:
    """A message as the UTF-8 bytes of its frame. Raw fields are copied in, not parsed."""
    try:
        return _encoder.encode(message)
    except UnicodeEncodeError:
        return _encoder.encode(_escaped(message))


def _escaped(value: Any) -> Any:
    """The same, with strings as ASCII escapes: a lone surrogate has no UTF-8 form, but JSON can spell it."""
    if isinstance(value, str):
        # ensure_ascii keeps a lone surrogate as an escape
        return msgspec.Raw(json.dumps(value).encode("ascii"))
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
