"""Text frames to values and back: every message of both directions, and everything that isn't one."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reptarium.pool.protocol import messages as m
from reptarium.pool.protocol.messages import (
    Malformed,
    Unknown,
    decode_broker_message,
    decode_runner_message,
    encode,
    is_json_value,
)
from reptarium.pool.protocol.messages.broker import LONGEST_ID
from reptarium.pool.protocol.messages.codec import MOST_STRINGS

RAW = msgspec.Raw

BROKER: list[tuple[dict[str, Any], Any]] = [
    ({"type": "broker:inforequest"}, m.BrokerInfoRequest()),
    ({"type": "broker:runnerregistered"}, m.BrokerRunnerRegistered()),
    ({"type": "broker:taskofferaccept", "taskId": "t", "offerId": "o"}, m.BrokerTaskOfferAccept("t", "o")),
    (
        {
            "type": "broker:tasksettings",
            "taskId": "t",
            "settings": {
                "code": "return 1",
                "nodeMode": "runOnceForEachItem",
                "continueOnFail": True,
                "items": [{"json": {"ü": 1}}],
                "query": {"q": 1},
                "workflowId": "w",
                "workflowName": "W",
                "nodeId": "n",
                "nodeName": "N",
                "workflowMode": "manual",
            },
        },
        m.BrokerTaskSettings(
            "t",
            m.TaskSettings(
                code="return 1",
                node_mode="runOnceForEachItem",
                continue_on_fail=True,
                items=RAW('[{"json":{"ü":1}}]'.encode()),
                query=RAW(b'{"q":1}'),
                workflow_id="w",
                workflow_name="W",
                node_id="n",
                node_name="N",
                workflow_mode="manual",
            ),
        ),
    ),
    ({"type": "broker:taskcancel", "taskId": "t", "reason": "why"}, m.BrokerTaskCancel("t", "why")),
    (
        {"type": "broker:rpcresponse", "callId": "c", "taskId": "t", "status": "error", "data": {"a": [1]}},
        m.BrokerRpcResponse("c", "t", "error", RAW(b'{"a":[1]}')),
    ),
    (
        {"type": "broker:taskdataresponse", "taskId": "t", "requestId": "r", "data": {"a": 1}},
        m.BrokerTaskDataResponse("t", "r", RAW(b'{"a":1}')),
    ),
    (
        {"type": "broker:nodetypes", "taskId": "t", "requestId": "r", "nodeTypes": [1]},
        m.BrokerNodeTypes("t", "r", RAW(b"[1]")),
    ),
    ({"type": "broker:drain"}, m.BrokerDrain()),
]

RUNNER: list[tuple[dict[str, Any], Any]] = [
    ({"type": "runner:info", "name": "R", "types": ["python"]}, m.RunnerInfo("R")),
    (
        {"type": "runner:taskoffer", "offerId": "o", "validFor": 5000, "taskType": "python"},
        m.RunnerTaskOffer("o", 5000),
    ),
    ({"type": "runner:taskaccepted", "taskId": "t"}, m.RunnerTaskAccepted("t")),
    ({"type": "runner:taskrejected", "taskId": "t", "reason": "r"}, m.RunnerTaskRejected("t", "r")),
    ({"type": "runner:taskdeferred", "taskId": "t"}, m.RunnerTaskDeferred("t")),
    (
        {"type": "runner:taskdone", "taskId": "t", "data": {"result": [1], "customData": {"k": "v"}}},
        m.RunnerTaskDone("t", m.TaskDoneData(RAW(b"[1]"), RAW(b'{"k":"v"}'))),
    ),
    (
        {
            "type": "runner:taskerror",
            "taskId": "t",
            "error": {"message": "m", "description": "d", "lineNumber": 3, "itemIndex": 0},
        },
        m.RunnerTaskError("t", m.TaskErrorData(message="m", description="d", line_number=3, item_index=0)),
    ),
    (
        {"type": "runner:rpc", "callId": "c", "taskId": "t", "name": "logNodeOutput", "params": ["'x'"]},
        m.RunnerRpcCall("c", "t", "logNodeOutput", RAW(b"[\"'x'\"]")),
    ),
    (
        {"type": "runner:taskdatarequest", "taskId": "t", "requestId": "r", "requestParams": {"env": False}},
        m.RunnerTaskDataRequest("t", "r", RAW(b'{"env":false}')),
    ),
    (
        {"type": "runner:nodetypesrequest", "taskId": "t", "requestId": "r", "requestParams": []},
        m.RunnerNodeTypesRequest("t", "r", RAW(b"[]")),
    ),
]

DIRECTIONS = [
    *((decode_broker_message, frame, value) for frame, value in BROKER),
    *((decode_runner_message, frame, value) for frame, value in RUNNER),
]


def dumps(frame: object) -> str:
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)


def test_every_message_is_covered() -> None:
    """The examples of this module name each member of both unions."""
    assert {type(value) for _, value in BROKER} == set(m.BrokerMessage.__args__)
    assert {type(value) for _, value in RUNNER} == set(m.RunnerMessage.__args__)


@pytest.mark.parametrize(("decode", "frame", "value"), DIRECTIONS, ids=lambda v: getattr(v, "__name__", ""))
def test_each_message_is_read_and_written(decode: Any, frame: dict[str, Any], value: Any) -> None:
    """A frame decodes to its value, from text and from bytes, and the value encodes to the same frame."""
    text = dumps(frame)
    assert decode(text) == value
    assert decode(text.encode()) == value
    assert json.loads(encode(value)) == frame


@pytest.mark.parametrize(("decode", "frame", "value"), DIRECTIONS, ids=lambda v: getattr(v, "__name__", ""))
def test_field_order_and_unknown_fields_do_not_matter(decode: Any, frame: dict[str, Any], value: Any) -> None:
    """The kind may come last, as the original runner writes it, and a newer peer's fields are ignored."""
    shuffled = {"future": {"nested": [1]}, **{key: frame[key] for key in reversed(frame)}}
    assert decode(dumps(shuffled)) == value


@pytest.mark.parametrize(("decode", "frame", "value"), DIRECTIONS, ids=lambda v: getattr(v, "__name__", ""))
def test_each_field_without_a_default_is_required(decode: Any, frame: dict[str, Any], value: Any) -> None:
    """Leaving out any one field gives the default or a fault that names the kind, never an exception."""
    for key in frame.keys() - {"type"}:
        got = decode(dumps({k: v for k, v in frame.items() if k != key}))
        if isinstance(got, Malformed):
            assert got.type == frame["type"]
            assert key in got.fault
            assert got.task_id == (None if key == "taskId" else frame.get("taskId"))
        else:
            assert type(got) is type(value)


@pytest.mark.parametrize("slow", [False, True], ids=["fast path", "with half a surrogate pair"])
@pytest.mark.parametrize(("decode", "frame", "value"), DIRECTIONS, ids=lambda v: getattr(v, "__name__", ""))
def test_both_paths_read_the_same(decode: Any, frame: dict[str, Any], value: Any, slow: bool) -> None:
    """What msgspec refuses for a lone surrogate in a field is read just the same by the second look."""
    extra = {"future": "\ud83d" if slow else "x"}
    assert decode(dumps(frame)[:-1] + "," + json.dumps(extra)[1:]) == value


def test_minimal_settings_get_the_defaults() -> None:
    """A task needs only code: all items at once, no items, no query, fail on error."""
    got = decode_broker_message('{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x"}}')
    assert isinstance(got, m.BrokerTaskSettings)
    settings = got.settings
    assert (settings.node_mode, settings.continue_on_fail, bytes(settings.items)) == (
        "runOnceForAllItems",
        False,
        b"[]",
    )
    assert settings.query is msgspec.UNSET


def test_an_error_encodes_only_what_it_has() -> None:
    """Fields that are not set don't appear in the frame."""
    got = encode(m.RunnerTaskError("t", m.TaskErrorData(message="m")))
    assert got == b'{"type":"runner:taskerror","taskId":"t","error":{"message":"m"}}'


def test_raw_fields_are_copied_byte_by_byte() -> None:
    """Numbers that Python would respell reach the worker as n8n wrote them."""
    text = '[{"json": {"a": 1.10, "b": 1E5, "c": 123456789012345678901234567890}}]'
    got = decode_broker_message(
        '{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x","items":' + text + "}}"
    )
    assert isinstance(got, m.BrokerTaskSettings)
    assert bytes(got.settings.items).decode() == text


@pytest.mark.parametrize("frame", ['{"type":"broker:new","taskId":5}', '{"type":"broker:new","x":"\\ud83d"}'])
def test_unknown_kinds_are_told_apart_from_faults(frame: str) -> None:
    """A well-formed frame of a kind we don't know is Unknown, whatever its fields look like."""
    assert decode_broker_message(frame) == Unknown("broker:new")


def test_the_other_sides_messages_are_unknown() -> None:
    """A runner's message is not a broker's, and the other way round."""
    assert decode_broker_message('{"type":"runner:taskaccepted","taskId":"t"}') == Unknown("runner:taskaccepted")
    assert decode_runner_message('{"type":"broker:drain"}') == Unknown("broker:drain")
    assert decode_broker_message('{"type":"runner:taskaccepted","taskId":"\\ud83d"}') == Unknown("runner:taskaccepted")


MALFORMED: list[tuple[str | bytes, str, str | None, str | None]] = [
    ("", "not JSON", None, None),
    ("nonsense", "not JSON", None, None),
    ("[]", "not a message", None, None),
    ("5", "not a message", None, None),
    ("null", "not a message", None, None),
    ('["\\ud83d"]', "not a message", None, None),
    ('{"taskId":"t"}', "type", None, None),
    ('{"type":5,"taskId":"t"}', "type", None, None),
    ('{"type":null}', "type", None, None),
    ('{"type":"broker:drain"} x', "trailing", None, None),
    ('\ufeff{"type":"broker:drain"}', "not JSON", None, None),
    ('{"type":"broker:drain"}'.encode("utf-16"), "not JSON", None, None),
    ('{"type":"broker:drain"}'.encode("utf-16-le"), "not JSON", None, None),
    ('\ufeff{"type":"broker:drain"}'.encode(), "not JSON", None, None),
    (b"\xff", "not JSON", None, None),
    (b'{"type":"broker:taskcancel","taskId":"t","reason":"\xff"}', "UTF-8", None, None),
    ('{"type":"broker:taskcancel"}', "taskId", "broker:taskcancel", None),
    ('{"type":"broker:taskcancel","taskId":5}', "taskId", "broker:taskcancel", None),
    ('{"type":"broker:taskcancel","taskId":"t","reason":5}', "reason", "broker:taskcancel", "t"),
    ('{"type":"broker:taskofferaccept","taskId":"t"}', "offerId", "broker:taskofferaccept", "t"),
    ('{"type":"broker:tasksettings","taskId":"t","settings":[]}', "settings", "broker:tasksettings", "t"),
    ('{"type":"broker:tasksettings","taskId":"t","settings":{}}', "code", "broker:tasksettings", "t"),
    (
        '{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x","nodeMode":"never"}}',
        "nodeMode",
        "broker:tasksettings",
        "t",
    ),
    (
        '{"type":"broker:tasksettings","taskId":"t","settings":{"code":5,"items":["\\ud83d"]}}',
        "code",
        "broker:tasksettings",
        "t",
    ),
    (
        '{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x","items":[NaN]}}',
        "not JSON",
        "broker:tasksettings",
        "t",
    ),
    (
        '{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x","items":["\\ud83d",NaN]}}',
        "not JSON",
        "broker:tasksettings",
        "t",
    ),
    (
        '{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x"',
        "not JSON",
        "broker:tasksettings",
        "t",
    ),
    (
        '{"type":"broker:rpcresponse","callId":"c","taskId":"t","status":"so-so"}',
        "so-so",
        "broker:rpcresponse",
        "t",
    ),
    (
        '{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x","items":' + "[" * 200_000,
        "nested too deeply",
        "broker:tasksettings",
        "t",
    ),
    (
        '{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x","items":'
        + "[" * 100_000
        + "]" * 100_000
        + "}}",
        "nested too deeply",
        "broker:tasksettings",
        "t",
    ),
]


@pytest.mark.parametrize(("frame", "fault", "kind", "task_id"), MALFORMED, ids=lambda v: repr(v)[:50])
def test_malformed_frames_are_values_too(frame: str | bytes, fault: str, kind: str | None, task_id: str | None) -> None:
    """The fault is named, and kind and task id are kept where they can be read."""
    got = decode_broker_message(frame)
    assert isinstance(got, Malformed)
    assert fault in got.fault
    assert (got.type, got.task_id) == (kind, task_id)


def test_items_of_a_few_hundred_levels_are_no_problem() -> None:
    """Only absurd nesting is refused."""
    deep = "[" * 400 + "]" * 400
    frame = '{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x","items":' + deep + "}}"
    got = decode_broker_message(frame)
    assert isinstance(got, m.BrokerTaskSettings)
    assert bytes(got.settings.items) == deep.encode()


# -- half a surrogate pair: JSON for JavaScript, no UTF-8 for anybody


def test_half_a_surrogate_pair_in_items_is_kept() -> None:
    """The items stay ASCII JSON with the escape in place."""
    items = '[{"json":{"a":"\\ud83d"}}]'
    frame = '{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x","items":' + items + "}}"
    got = decode_broker_message(frame)
    assert isinstance(got, m.BrokerTaskSettings)
    assert bytes(got.settings.items) == b'[{"json":{"a":"\\ud83d"}}]'
    assert is_json_value(bytes(got.settings.items))


@pytest.mark.parametrize(
    "value",
    [
        m.RunnerTaskAccepted("\ud83d"),
        m.RunnerInfo("R\ud83d", ("python", "\udc80")),
        m.RunnerTaskError("t", m.TaskErrorData(message='"\ud83d', stack="a\nb", line_number=2, item_index=0)),
        m.RunnerTaskDone("\udc80", m.TaskDoneData(RAW('["é"]'.encode()), static_data=RAW(b"{}"))),
        m.RunnerTaskOffer("\ud83d", -1),
        m.BrokerTaskSettings("t", m.TaskSettings(code="'\ud83d'", items=RAW(b"[1.10]"), node_id="n")),
    ],
)
def test_half_a_surrogate_pair_is_written_as_an_escape(value: Any) -> None:
    """What can't be UTF-8 is spelled in ASCII; both directions agree on the value."""
    decode = decode_broker_message if isinstance(value, m.BrokerTaskSettings) else decode_runner_message
    frame = encode(value)
    frame.decode("utf-8")
    back = decode(frame)
    assert back == value


# -- round trips

text = st.text(st.characters(exclude_categories=()), max_size=20)  # surrogates included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
raws = json_values.map(lambda value: RAW(json.dumps(value).encode("ascii")))
unset_or = lambda strategy: st.just(msgspec.UNSET) | strategy  # noqa: E731
settings_values = st.builds(
    m.TaskSettings,
    code=text,
    node_mode=st.sampled_from(["runOnceForAllItems", "runOnceForEachItem"]),
    continue_on_fail=st.booleans(),
    items=raws,
    query=unset_or(raws),
    workflow_id=st.none() | text,
    workflow_name=st.none() | text,
    node_id=st.none() | text,
    node_name=st.none() | text,
    workflow_mode=st.none() | text,
)
errors = st.builds(
    m.TaskErrorData,
    message=text,
    description=unset_or(text),
    line_number=unset_or(st.integers(1, 10**6)),
    item_index=unset_or(st.integers(0, 10**6)),
    stack=unset_or(text),
    stderr=unset_or(text),
)
broker_values = st.one_of(
    st.builds(m.BrokerInfoRequest),
    st.builds(m.BrokerRunnerRegistered),
    st.builds(m.BrokerTaskOfferAccept, text, text),
    st.builds(m.BrokerTaskSettings, text, settings_values),
    st.builds(m.BrokerTaskCancel, text, text),
    st.builds(m.BrokerRpcResponse, text, text, st.sampled_from(["success", "error"]), raws),
    st.builds(m.BrokerTaskDataResponse, text, text, raws),
    st.builds(m.BrokerNodeTypes, text, text, raws),
    st.builds(m.BrokerDrain),
)
runner_values = st.one_of(
    st.builds(m.RunnerInfo, text, st.lists(text, max_size=3).map(tuple)),
    st.builds(m.RunnerTaskOffer, text, st.integers(-1, 10**9), text),
    st.builds(m.RunnerTaskAccepted, text),
    st.builds(m.RunnerTaskRejected, text, text),
    st.builds(m.RunnerTaskDeferred, text),
    st.builds(m.RunnerTaskDone, text, st.builds(m.TaskDoneData, raws, unset_or(raws), unset_or(raws))),
    st.builds(m.RunnerTaskError, text, errors),
    st.builds(m.RunnerRpcCall, text, text, text, raws),
    st.builds(m.RunnerTaskDataRequest, text, text, raws),
    st.builds(m.RunnerNodeTypesRequest, text, text, raws),
)


def plain(value: Any) -> Any:
    """A message as plain data, raw JSON parsed, so that the spelling of raw fields doesn't count."""
    if isinstance(value, RAW):
        return ("raw", json.loads(bytes(value)))
    if isinstance(value, msgspec.Struct):
        return (type(value), *(plain(getattr(value, name)) for name in value.__struct_fields__))
    return value


@given(broker_values)
def test_broker_messages_survive_the_round_trip(value: Any) -> None:
    """Any broker message, with any text in it, is what it was after encode and decode."""
    assert plain(decode_broker_message(encode(value))) == plain(value)


@given(runner_values)
def test_runner_messages_survive_the_round_trip(value: Any) -> None:
    """Any runner message, with any text in it, is what it was after encode and decode."""
    assert plain(decode_runner_message(encode(value))) == plain(value)


@given(st.binary(max_size=60) | st.text(max_size=60) | json_values.map(json.dumps))
def test_decoding_never_raises(frame: bytes | str) -> None:
    """Any text or bytes at all come out as a value."""
    for decode, union in ((decode_broker_message, m.BrokerMessage), (decode_runner_message, m.RunnerMessage)):
        assert isinstance(decode(frame), (union, Unknown, Malformed))


@given(broker_values, st.data())
def test_decoding_a_damaged_frame_never_raises(value: Any, data: st.DataObject) -> None:
    """A frame that was cut, or that lost or gained a few bytes, comes out as a value."""
    frame = encode(value)
    at = data.draw(st.integers(0, len(frame)))
    damaged = frame[:at] + data.draw(st.binary(max_size=3)) + frame[at + data.draw(st.integers(0, 3)) :]
    assert isinstance(decode_broker_message(damaged), (m.BrokerMessage, Unknown, Malformed))


# -- is_json_value: what a hostile worker calls its result

GOOD = [
    b"1",
    b" 1 ",
    b"\n[]\r\n\t",
    b"-0.0",
    b"1E5",
    b"0.1e-7",
    b"1e999",
    b"1" * 5000,
    b'"\\/\\b\\f\\n\\r\\t\\u0041"',
    b'"\x7f"',
    '"é\u2028😀"'.encode(),
    b'"\\ud83d"',
    b'{"\\ud83d":["\\udc00"]}',
    b'{"a":1,"a":2}',
    b"[" * 400 + b"]" * 400,
]
BAD = [
    b"",
    b" ",
    b"nul",
    b"truex",
    b"True",
    b"None",
    b"undefined",
    b"NaN",
    b"-Infinity",
    b'["\\ud83d",NaN]',
    b"01",
    b"-01",
    b"1.",
    b".5",
    b"-",
    b"--1",
    b"+1",
    b"1e",
    b"1e+",
    b"0x10",
    b"1_0",
    b"1 2",
    b"1,2",
    b'"a" "b"',
    b"null}",
    b'{"a":1}}',
    b'1},"extra":{"a":1',
    b'[]},"taskId":"other"}',
    b"]",
    b"[1}",
    b"[1,]",
    b"[,1]",
    b'{"a":1,}',
    b'{"a"}',
    b"{1:2}",
    b"{'a':1}",
    b"[" * 100,
    b"[" * 200_000,
    b"[" * 200_000 + b"]" * 200_000,
    b'"abc',
    b'"\\"',
    b'"\\x41"',
    b'{"\\q":1}',
    b'"\\u12"',
    b'"\\u12g4"',
    b'"\\ud83d\\q"',
    b'"\\ud83d" 1',
    b'"\\ud83d"}',
    b'"a\nb"',
    b'"\t"',
    b'"\x00"',
    b'["\\ud83d\n"]',
    b'{"\x01":1}',
    b"[1]\x00",
    b"[1]\x0c",
    b"\x0b1",
    b"\xc2\xa01",
    b"1//c",
    b"/**/1",
    b'"\xff"',
    b'"\xc0\x80"',
    b'"\xed\xa0\x80"',
    b"\xef\xbb\xbf1",
    '{"a":1}'.encode("utf-16"),
    '{"a":1}'.encode("utf-16-le"),
    '{"a":1}'.encode("utf-16-be"),
    '{"a":1}'.encode("utf-32-le"),
]


@pytest.mark.parametrize("raw", GOOD, ids=lambda raw: repr(raw)[:40])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_one_json_value_is_one(raw: bytes, kind: Any) -> None:
    """Everything that JavaScript's parser takes as one value passes, from any kind of buffer."""
    assert is_json_value(kind(raw)) is True


@pytest.mark.parametrize("raw", BAD, ids=lambda raw: repr(raw)[:40])
def test_anything_else_is_refused(raw: bytes) -> None:
    """Two values, half a value, a closed bracket too many, other encodings: none is one JSON value."""
    assert is_json_value(raw) is False


@given(st.binary(max_size=12) | st.text('{}[]",:\\u0d8nultrefas1.-+eE \n', max_size=14).map(str.encode))
def test_is_json_value_agrees_with_a_strict_parser(raw: bytes) -> None:
    """Random bytes and JSON-like text are judged as the standard library's parser judges their text."""

    def constant(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(raw.decode("utf-8"), parse_constant=constant)
    except ValueError:
        expected = False
    else:
        expected = True
    assert is_json_value(raw) is expected


@given(st.binary(max_size=12) | json_values.map(lambda value: json.dumps(value).encode()))
def test_an_admitted_result_cannot_leave_its_field(raw: bytes) -> None:
    """Whatever passes ends up inside ``data.result`` of a frame that is otherwise ours."""
    if is_json_value(raw):
        frame = json.loads(encode(m.RunnerTaskDone("t", m.TaskDoneData(RAW(raw)))))
        assert frame.keys() == {"type", "taskId", "data"}
        assert frame["taskId"] == "t"
        assert frame["data"] == {"result": json.loads(raw.decode())}


# -- what a broker may make of a frame that is no honest one

_LISTS = b"[]," * 20_000
_MEMBERS = b"".join(b'"%d":0,' % number for number in range(MOST_STRINGS + 1))


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"broker:taskcancel","taskId":[%s0]}' % _LISTS,
        pytest.param(
            b'{"type":"broker:taskcancel","a":"\\ud800","taskId":"t","reason":[%s0]}' % _LISTS, marks=pytest.mark.slow
        ),
        pytest.param(b'{"type":"broker:new","a":"\\ud800",%s"z":0}' % _MEMBERS, marks=pytest.mark.slow),
        pytest.param(
            b'{"type":"broker:tasksettings","taskId":"t","settings":{"code":"\\ud800",%s"z":0}}' % _MEMBERS,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["an id that is a list", "a reason that is a list", "many members", "many settings"],
)
def test_no_object_is_made_of_each_value_in_a_frame(frame: bytes) -> None:
    """That would take a second of the event loop for 4 MiB, in one call or one after the other without a look at it."""
    tracemalloc.start()
    try:
        message = decode_broker_message(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(message, Malformed)
    assert peak < 12 * len(frame)


def test_ids_are_short() -> None:
    """A task's id is remembered and answered with: one of megabytes is none."""
    for length, fine in ((LONGEST_ID, True), (LONGEST_ID + 1, False)):
        frame = b'{"type":"broker:taskofferaccept","taskId":"%s","offerId":"o"}' % (b"x" * length)
        message = decode_broker_message(frame)
        assert isinstance(message, m.BrokerTaskOfferAccept) is fine
        assert fine or isinstance(message, Malformed)
        assert fine or message.task_id is None
