"""Large messages are read as small ones are, in steps: the same values, the same refusals."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as options
from hypothesis import strategies as st

from reptarium.pool.protocol.messages import (
    BrokerDrain,
    BrokerMessage,
    BrokerRpcResponse,
    BrokerTaskSettings,
    Malformed,
    RunnerMessage,
    RunnerTaskDone,
    Unknown,
    codec,
    decode_broker_message,
    decode_runner_message,
    decoding_runner_message,
    encode,
    large,
    wellformed,
)
from reptarium.pool.protocol.messages.codec import decoding_broker_message, decoding_large
from reptarium.pool.protocol.messages.large import LARGE, REST
from reptarium.pool.protocol.messages.wellformed import PIECE, WIDEST, whole
from tests.unit.protocol.test_wellformed import damage, json_values

#: The sizes at which something happens are that much smaller here: what counts is how many pieces there are.
SMALLER = 8
MEGABYTE = 1_000_000 // SMALLER
Value = BrokerMessage | RunnerMessage | Unknown | Malformed

#: What stands in a message beside what is asked for, raw or not, known or not, in any order.
names = st.sampled_from(
    [
        "items",
        "query",
        "code",
        "nodeMode",
        "continueOnFail",
        "workflowName",
        "nodeName",
        "future",
        "data",
        "x y",
        "type",
    ]
)
settings = st.dictionaries(names, json_values, max_size=6).flatmap(
    lambda found: st.permutations([*({"code": "return 1"} | found).items()]).map(dict)
)
heads = st.sampled_from(
    [
        {"type": "broker:tasksettings", "taskId": "t"},
        {"type": "broker:rpcresponse", "taskId": "t", "callId": "c", "status": "success"},
        {"type": "broker:taskdataresponse", "taskId": "t", "requestId": "r"},
        {"type": "broker:nodetypes", "taskId": "t", "requestId": "r"},
        {"type": "broker:newer", "taskId": "t"},
        {"taskId": 5},
    ]
)
bodies = st.fixed_dictionaries(
    {}, optional={"settings": settings, "data": json_values, "nodeTypes": json_values, "more": json_values}
)
messages = st.builds(lambda head, body: [*(head | body).items()], heads, bodies).flatmap(st.permutations)
frames = st.builds(
    lambda members, ascii_only, indent: json.dumps(dict(members), ensure_ascii=ascii_only, indent=indent).encode(
        "utf-8", "replace"
    ),
    messages,
    st.booleans(),
    st.sampled_from([None, 1]),
)
pieces = st.integers(16, 70)


def seen(value: Value) -> object:
    """What is compared: faults are told in other words."""
    if isinstance(value, Malformed):
        return Malformed
    return value if isinstance(value, Unknown) else encode(value)


@options(suppress_health_check=[HealthCheck.too_slow])
@given(frames, pieces)
def test_the_same_values(frame: bytes, piece: int) -> None:
    """Whatever is long in it, and wherever: what is read is what one call reads."""
    assert seen(whole(decoding_large(frame, piece))) == seen(decode_broker_message(frame))


@options(suppress_health_check=[HealthCheck.too_slow])
@given(frames, pieces, st.data())
def test_the_same_refusals(frame: bytes, piece: int, data: st.DataObject) -> None:
    """A byte more, less or other anywhere: what one call refuses is refused, what it reads is read."""
    at = data.draw(st.integers(0, len(frame)))
    frame = frame[:at] + data.draw(damage) + frame[at + data.draw(st.integers(0, 2)) :]
    assume(is_utf8(frame))  # as every text message of a WebSocket is; msgspec doesn't look at what stays raw
    assert seen(whole(decoding_large(frame, piece))) == seen(decode_broker_message(frame))


done = st.dictionaries(st.sampled_from(["result", "customData", "staticData", "future"]), json_values, max_size=4)
said = st.tuples(
    st.sampled_from(["runner:taskdone", "runner:taskerror", "runner:rpc", "runner:taskoffer"]),
    st.dictionaries(st.sampled_from(["taskId", "callId", "name", "params", "error", "types"]), json_values, max_size=4),
    done,
).map(lambda drawn: json.dumps({"type": drawn[0], "taskId": "t", **drawn[1], "data": drawn[2]}).encode())


@given(said, pieces)
def test_the_same_values_of_a_runner(frame: bytes, piece: int) -> None:
    """A runner's message too, half an emoji in it or not: a done task's data is an object of which parts stay raw."""
    assert seen(whole(codec._decoding_large(frame, codec._RUNNER, piece))) == seen(decode_runner_message(frame))


def is_utf8(text: bytes) -> bool:
    """Whether it is."""
    try:
        text.decode()
    except UnicodeError:
        return False
    return True


def settings_frame(**members: Any) -> bytes:
    """Settings as n8n sends them."""
    inner = {"code": "return 1", "nodeMode": "runOnceForAllItems", "items": [], "workflowName": "W]", **members}
    return json.dumps({"type": "broker:tasksettings", "taskId": "t", "settings": inner}, separators=(",", ":")).encode()


ITEMS = [{"json": {"id": 1, "text": 'a "b" \\ c\n', "n": [[1, {"a": {}}], {}]}, "pairedItem": {"item": 0}}] * (
    60_000 // SMALLER
)
BEGIN = b'{"type":"broker:tasksettings","taskId":"t","settings":{"code":"",'
BIG = 6 * MEGABYTE

#: Made when they are asked for: some hundred megabytes, for as long as their test runs.
GOOD: dict[str, Callable[[], bytes]] = {
    "items": lambda: settings_frame(items=ITEMS),
    "items that end late": lambda: settings_frame(items=ITEMS, workflowName="x" * 100_000),
    "query": lambda: settings_frame(query="ab\\" * 3 * MEGABYTE),
    "items and query": lambda: settings_frame(items=ITEMS, query={"a": ITEMS}),
    "both kinds of emoji": lambda: settings_frame(items=ITEMS, workflowName="\ud83d", nodeName="😀"),
    "a field of tomorrow": lambda: settings_frame(items=[1], tomorrow={"a": ITEMS}),
    "items twice": lambda: settings_frame(items=ITEMS)[:-2] + b',"items":[7]}}',
    "items twice, the large ones last": lambda: (
        settings_frame()[:-2] + b',"items":' + json.dumps(ITEMS).encode() + b"}}"
    ),
    "large code": lambda: settings_frame(code="# \n" * (2 * MEGABYTE)),
}
BAD: dict[str, Callable[[], bytes]] = {
    "a list in a list in a list": lambda: BEGIN + b'"items":' + b"[" * BIG,
    "an object in an object": lambda: BEGIN + b'"items":' + b'{"a":' * (BIG // 5),
    "deep where nobody looks": lambda: BEGIN + b'"x":' + b'{"a":' * (BIG // 5),
    "white space in items": lambda: BEGIN + b'"items":[1,' + b" " * BIG + b"2]}}",
    "white space outside": lambda: BEGIN + b" " * BIG + b'"items":[1]}}',
    "digits in items": lambda: BEGIN + b'"items":[' + b"1" * BIG + b"]}}",
    "digits as items": lambda: BEGIN + b'"items":' + b"1" * BIG + b"}}",
    "a string without end": lambda: BEGIN + b'"items":["' + b"x" * BIG,
    "escapes without end": lambda: BEGIN + b'"items":["' + b"\\" * BIG,
    "code without end": lambda: BEGIN + b'"x":1,"code":"' + b"\\n" * (BIG // 2) + b'"}}',
    "members without end": lambda: BEGIN + b'"x":1,' * (BIG // 6) + b'"items":[1]}}',
    "cut off": lambda: settings_frame(items=ITEMS)[:-2],
    "cut off in the items": lambda: settings_frame(items=ITEMS)[:-200],
    "brackets that don't match": lambda: settings_frame(items=ITEMS).replace(b'{"a":{}}', b'{"a":{}]', 1),
    "not UTF-8": lambda: settings_frame(items=ITEMS).replace(b'"pairedItem"', b'"paired\xff"', 1),
    "code that is a list": lambda: settings_frame(code=ITEMS),
    "a key in disguise": lambda: settings_frame(items=[1]).replace(
        b'"code":"return 1"', b'"c\\u006fde":' + b'{"a":1}' * MEGABYTE
    ),
    "no code": lambda: settings_frame(items=ITEMS).replace(b'"code"', b'"kode"', 1),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much is given to a parser in one call, in bytes, each time."""
    sizes: list[int] = []

    def measured(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(text: Any, *given: Any) -> Any:
            sizes.append(len(text))
            return function(text, *given)

        return call

    monkeypatch.setattr(codec, "LARGE", LARGE // SMALLER)
    monkeypatch.setattr(wellformed, "WIDEST", WIDEST // SMALLER)
    monkeypatch.setattr(large, "REST", REST // SMALLER)
    for module in (large, wellformed):
        monkeypatch.setattr(module, "accepts", measured(wellformed.accepts))
    monkeypatch.setattr(codec, "_decoding", measured(codec._decoding))
    return sizes


def read(frame: bytes) -> Value:
    """A message, for whose every few pieces there is a step."""
    steps, count = decoding_broker_message(frame), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: Value = end.value
            assert count >= len(frame) / wellformed.WIDEST or isinstance(value, Malformed)
            return value
        count += 1


@pytest.mark.parametrize("name", GOOD)
def test_large_messages(name: str, calls: list[int]) -> None:
    """They are what JSON says they are, raw values to the byte, and no parser gets much of one at once."""
    frame = GOOD[name]()
    assert len(frame) > codec.LARGE
    message = read(frame)
    assert isinstance(message, BrokerTaskSettings)
    expected = json.loads(frame)["settings"]
    found = message.settings
    assert found.code == expected["code"]
    assert json.loads(bytes(found.items)) == expected["items"]
    if "query" in expected:
        assert json.loads(bytes(memoryview(found.query))) == expected["query"]
    assert max(calls) <= max(2 * wellformed.WIDEST, len(found.code) * 2)


@pytest.mark.parametrize("name", BAD)
def test_large_messages_that_are_none(name: str, calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Their task is told, and no parser gets much of one at once."""
    monkeypatch.setattr(large, "REST", MEGABYTE)
    message = read(BAD[name]())
    assert isinstance(message, Malformed), message
    assert message.task_id == "t"
    assert max(calls, default=0) <= 2 * wellformed.WIDEST


@pytest.mark.parametrize(
    "value", [b"{}", *(pytest.param(one, marks=pytest.mark.slow) for one in (b'"b"', b"[{}]", b'"\\n"'))]
)
def test_many_short_members_cost_what_they_are_long(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message of nothing else is read in time that grows with its length: nobody looks far ahead for each."""
    looked: list[int] = []
    unquoted = large.without_escaped_quotes

    def noted(text: bytes) -> bytes:
        looked.append(len(text))
        return unquoted(text)

    monkeypatch.setattr(codec, "LARGE", LARGE // SMALLER)
    monkeypatch.setattr(large, "without_escaped_quotes", noted)
    members = b"".join(b'"k%d":%s,' % (number, value) for number in range(50_000))
    frame = b"{" + members + b'"type":"broker:drain"}'
    assert len(frame) > codec.LARGE
    assert read(frame) == BrokerDrain()
    assert sum(looked) < 30 * len(frame)


@pytest.mark.parametrize("kind", ["a buffer", "a text"])
def test_an_answer_of_numbers_and_one_of_text(kind: str, calls: list[int]) -> None:
    """What calls are answered with: a buffer, which n8n writes as numbers, or a text."""
    data = (
        {"type": "Buffer", "data": [*range(256)] * (8000 // SMALLER)}
        if kind == "a buffer"
        else "QUJD" * (2_000_000 // SMALLER)
    )
    head = {"type": "broker:rpcresponse", "callId": "c", "taskId": "t", "status": "success"}
    message = read(json.dumps(head | {"data": data}).encode())
    assert isinstance(message, BrokerRpcResponse)
    assert json.loads(bytes(message.data)) == data
    assert max(calls) <= 2 * wellformed.WIDEST


def test_what_is_not_people_s_data_is_bounded() -> None:
    """Code beyond any sense is refused, and told so."""
    message = decode_broker_message(settings_frame(code="x" * REST))
    assert isinstance(message, Malformed)
    assert "8 MiB" in message.fault


def test_values_stay_where_they_came() -> None:
    """Reading takes no second copy of what it reads."""
    frame = settings_frame(items=ITEMS * SMALLER)
    assert len(frame) > LARGE
    tracemalloc.start()
    try:
        message = decode_broker_message(frame)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(message, BrokerTaskSettings)
    assert peak < 3_000_000


@pytest.mark.parametrize("text", ["x" * MEGABYTE, "\ud83d" * MEGABYTE, "\ud83d"], ids=["plain", "odd", "odd once"])
def test_a_large_result_is_read_in_steps(text: str, calls: list[int]) -> None:
    """The embedded broker's loop has other runners to hear; whatever the result is made of."""
    value = json.dumps([{"json": {"text": text, "more": "y" * (LARGE // SMALLER)}}])
    steps = decoding_runner_message(f'{{"type":"runner:taskdone","taskId":"t","data":{{"result":{value}}}}}')
    message, count = None, 0
    while message is None:
        try:
            next(steps)
            count += 1
        except StopIteration as end:
            message = end.value
    assert isinstance(message, RunnerTaskDone)
    assert bytes(message.data.result).decode() == value
    assert count >= len(value) // PIECE // 2
    assert max(calls) <= WIDEST
