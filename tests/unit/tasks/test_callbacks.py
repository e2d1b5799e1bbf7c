"""The supervisor's side of a task's calls: names, counts, sizes, times, and answers of every kind."""

from __future__ import annotations

import datetime
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from reptarium.pool.protocol.messages import (
    BrokerNodeTypes,
    BrokerRpcResponse,
    BrokerTaskDataResponse,
    RunnerMessage,
    RunnerNodeTypesRequest,
    RunnerRpcCall,
    RunnerTaskDataRequest,
)
from reptarium.pool.tasks.call_rules import execution_deadline
from reptarium.pool.tasks.callbacks import Callbacks, CallLimits, error_text
from reptarium.pool.tasks.router import Answer, RpcRouter
from reptarium.sandbox import wire

DATA_REQUEST = {"dataOfNodes": [], "prevNode": False, "input": {"include": False}, "env": True}
Reply = Callable[[RunnerMessage], Answer | None]


def success(message: RunnerMessage) -> Answer:
    """The answer of the right kind."""
    if isinstance(message, RunnerTaskDataRequest):
        return BrokerTaskDataResponse(message.task_id, message.request_id, msgspec.Raw(b'{"workflow":{}}'))
    if isinstance(message, RunnerNodeTypesRequest):
        return BrokerNodeTypes(message.task_id, message.request_id, msgspec.Raw(b"[7]"))
    assert isinstance(message, RunnerRpcCall)
    return BrokerRpcResponse(message.call_id, message.task_id, "success", msgspec.Raw(b'"fine"'))


class Rig:
    """One task's call-backs over a router whose broker answers with ``reply``."""

    def __init__(self, reply: Reply = success, **limits: Any) -> None:
        self.sent: list[RunnerMessage] = []
        self.counted: list[tuple[str, str]] = []
        self.reply = reply
        self.router = RpcRouter(self._send)
        self.router.open_task("mine")
        self.calls = Callbacks("mine", self.router, CallLimits(**limits), self._count)

    async def _send(self, message: RunnerMessage) -> None:
        self.sent.append(message)
        answer = self.reply(message)
        if answer is not None:
            self.router.deliver(answer)

    def _count(self, name: str, result: str, seconds: float | None) -> None:
        assert seconds is not None
        self.counted.append((name, result))

    async def ask(self, name: str, params: Any = (), via: Any = "rpc", call: int = 1) -> tuple[bool, Any]:
        """(ok, decoded data or text) of one call."""
        raw = params if isinstance(params, bytes) else json.dumps(params).encode()
        parts = await self.calls.answer(b"".join(wire.with_head(wire.RpcHead(call, name, via), raw)))
        head_raw, body = wire.split_head(b"".join(parts))
        head = msgspec.json.decode(head_raw, type=wire.RpcAnswerHead)
        assert head.call == call
        return head.ok, json.loads(bytes(body)) if head.ok else bytes(body).decode()


# ---- names ---------------------------------------------------------------------------


async def test_calls_become_messages() -> None:
    """A call goes out under the task's own id, whatever the worker says, and its answer comes back."""
    rig = Rig(allow=frozenset({"*", "nodeTypes"}))
    assert await rig.ask("helpers.getBinaryDataBuffer", [0, "data"]) == (True, "fine")
    assert await rig.ask("anything", DATA_REQUEST, "data") == (True, {"workflow": {}})
    assert await rig.ask("anything", [{"name": "x"}], "nodes") == (True, [7])
    assert {message.task_id for message in rig.sent} == {"mine"}  # type: ignore[union-attr]
    assert rig.counted == [
        ("helpers.getBinaryDataBuffer", "success"),
        ("taskData", "success"),
        ("nodeTypes", "success"),
    ]


@pytest.mark.parametrize(
    ("allow", "name", "via", "fine"),
    [
        ({"*"}, "helpers.binaryToString", "rpc", True),
        ({"*"}, "helpers.evil", "rpc", False),
        ({"*"}, "logNodeOutput", "rpc", False),
        ({"*"}, "taskData", "rpc", False),
        ({"*"}, "x", "nodes", False),
        ({"helpers.evil"}, "helpers.evil", "rpc", False),
        ({"binaryToString"}, "helpers.binaryToString", "rpc", True),
        ({"helpers.binaryToString"}, "helpers.binaryToString", "rpc", True),
        ({"binaryToString"}, "binaryToString", "rpc", False),
        ({"binaryToString"}, "helpers.prepareBinaryData", "rpc", False),
        ({"taskData"}, "x", "data", True),
        ({"nodeTypes"}, "x", "nodes", True),
        ({"httpRequest"}, "x", "data", False),
        (set(), "helpers.binaryToString", "rpc", False),
        (set(), "x", "data", False),
    ],
)
async def test_names(allow: set[str], name: str, via: str, fine: bool) -> None:
    """Only what is both known and allowed goes out; the refusal names the setting."""
    rig = Rig(allow=frozenset(allow))
    ok, text = await rig.ask(name, DATA_REQUEST if via == "data" else [], via)
    assert ok is fine
    assert bool(rig.sent) is fine
    if not fine:
        assert "REPTARIUM_RPC_ALLOW" in text


async def test_http_needs_a_host() -> None:
    """HTTP goes anywhere, nowhere, or to the listed hosts and then without redirects."""
    assert await Rig().ask("helpers.request", ["http://x"]) == (True, "fine")
    ok, text = await Rig(http_allow=()).ask("helpers.httpRequest", [{"url": "http://x"}])
    assert not ok
    assert "turned off here (REPTARIUM_HTTP_ALLOW)" in text
    rig = Rig(http_allow=("good",))
    assert await rig.ask("helpers.httpRequest", [{"url": "http://good/"}]) == (True, "fine")
    (message,) = rig.sent
    assert isinstance(message, RunnerRpcCall)
    assert json.loads(bytes(message.params)) == [{"url": "http://good/", "disableFollowRedirect": True}]
    ok, text = await rig.ask("helpers.httpRequest", [{"url": "http://evil/"}])
    assert not ok
    assert "'evil' are not allowed; see REPTARIUM_HTTP_ALLOW" in text
    assert rig.counted[-1] == ("helpers.httpRequest", "refused")


async def test_environment_is_a_name_of_its_own() -> None:
    """Where tasks may have task data but not the environment, n8n isn't asked for it."""
    for allow, asked in (({"*"}, True), ({"taskData"}, False), ({"taskData", "env"}, True)):
        rig = Rig(allow=frozenset(allow))
        await rig.ask("taskData", DATA_REQUEST, "data")
        (message,) = rig.sent
        assert isinstance(message, RunnerTaskDataRequest)
        assert json.loads(bytes(message.request_params))["env"] is asked


@pytest.mark.parametrize("name", ["env", "workflow", "taskData", "helpers.httpRequest", ""])
async def test_secrets_stay_out_under_any_name(name: str) -> None:
    """Whatever a worker calls its request for task data, the answer comes without secrets."""

    def reply(message: RunnerMessage) -> Answer:
        assert isinstance(message, RunnerTaskDataRequest)
        state = {
            "envProviderState": {"env": {"N8N_ENCRYPTION_KEY": "s", "A": "b"}},
            "runExecutionData": {"resumeToken": "t"},
        }
        return BrokerTaskDataResponse(message.task_id, message.request_id, msgspec.Raw(json.dumps(state).encode()))

    ok, data = await Rig(reply).ask(name, DATA_REQUEST, "data")
    assert ok
    assert data["envProviderState"]["env"] == {"A": "b"}
    assert data["runExecutionData"] == {}


# ---- what no honest worker sends --------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xff\xff\xff",
        b"\x02\x00\x00\x00{}[]",
        b"\x05\x00\x00\x00",
        b"".join(wire.with_head(wire.RpcHead(1, "x"), b"")),
        b"".join(wire.with_head(wire.RpcHead(1, "x"), b"[1")),
        b"".join(wire.with_head(wire.RpcHead(1, "x"), b'[1],"taskId":"other"')),
        b"".join(wire.with_head(wire.RpcHead(1, "x"), b"[1]}{")),
        b"\x1f\x00\x00\x00" + b'{"call":1,"name":"x","task":"y"}[]',
        b"\x22\x00\x00\x00" + b'{"call":1,"name":"x","via":"other"}[]',
    ],
)
async def test_violations(payload: bytes) -> None:
    """A call that isn't one is a violation, and nothing goes out."""
    rig = Rig()
    with pytest.raises(wire.ProtocolViolation):
        await rig.calls.answer(payload)
    assert rig.sent == []


@pytest.mark.parametrize("params", [{"url": "x"}, "x", None, 5])
async def test_parameters_are_a_list(params: Any) -> None:
    """An RPC's parameters are a list; reads name an item and a property."""
    rig = Rig()
    ok, text = await rig.ask("helpers.httpRequest", params)
    assert not ok
    assert "must be a list" in text
    ok, text = await rig.ask("helpers.getBinaryDataBuffer", [0, {"id": "other"}])
    assert not ok
    assert rig.sent == []


# ---- limits --------------------------------------------------------------------------


async def test_number_of_calls() -> None:
    """After the last allowed call each is refused, and refused ones count as well."""
    rig = Rig(max_calls=3)
    assert (await rig.ask("helpers.nope"))[0] is False
    assert (await rig.ask("helpers.binaryToString"))[0] is True
    assert (await rig.ask("helpers.binaryToString"))[0] is True
    ok, text = await rig.ask("helpers.binaryToString")
    assert not ok
    assert text == "more than 3 calls in one task; raise REPTARIUM_RPC_MAX_CALLS"
    assert len(rig.sent) == 2


async def test_bytes_of_a_call() -> None:
    """Parameters and answer of one call are bounded together; the next call starts anew."""
    rig = Rig(max_bytes=20)
    assert (await rig.ask("helpers.binaryToString", b"[" + b"1" * 10 + b"]"))[0] is True
    assert (await rig.ask("helpers.binaryToString", b"[" + b"1" * 10 + b"]"))[0] is True
    ok, text = await rig.ask("helpers.binaryToString", b"[" + b"1" * 30 + b"]")
    assert not ok
    assert "raise REPTARIUM_RPC_MAX_BYTES" in text
    assert len(rig.sent) == 2
    ok, text = await rig.ask("helpers.binaryToString", b"[" + b"1" * 14 + b"]")  # the answer is too much
    assert not ok
    assert "raise REPTARIUM_RPC_MAX_BYTES" in text


async def test_time_of_a_call(autojump_clock: trio.testing.MockClock) -> None:
    """A call without an answer ends at its limit; an answer that comes later finds nobody."""
    rig = Rig(lambda message: None, timeout=7.5)
    before = trio.current_time()
    ok, text = await rig.ask("helpers.binaryToString")
    assert not ok
    assert text == "helpers.binaryToString: no answer within 7.5 s (REPTARIUM_RPC_TIMEOUT)"
    assert trio.current_time() - before == 7.5
    assert rig.counted == [("helpers.binaryToString", "timeout")]
    assert not rig.router.deliver(success(rig.sent[0]))
    rig.reply = success
    assert await rig.ask("helpers.binaryToString") == (True, "fine")


def timed(stamp: Any) -> Reply:
    """A broker that tells the execution's deadline with the task data, and answers nothing else."""

    def reply(message: RunnerMessage) -> Answer | None:
        if not isinstance(message, RunnerTaskDataRequest):
            return None
        data = {"workflow": {}, "additionalData": {"executionTimeoutTimestamp": stamp}}
        return BrokerTaskDataResponse(message.task_id, message.request_id, msgspec.Raw(json.dumps(data).encode()))

    return reply


async def test_a_call_ends_at_the_executions_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """What is left of the execution bounds a call when it is less than the setting, and the error says so."""
    deadline = (time.time() + 5) * 1000
    rig = Rig(timed(deadline), timeout=60.0)
    assert (await rig.ask("taskData", DATA_REQUEST, "data"))[0]
    begun = trio.current_time()
    ok, text = await rig.ask("helpers.httpRequest", [{"url": "http://x"}])
    assert not ok
    shown = datetime.datetime.fromtimestamp(deadline / 1000, datetime.UTC).isoformat(timespec="seconds")
    assert text == (
        f"helpers.httpRequest: no answer before the execution's deadline ({shown}, n8n's time limit for executions)"
    )
    assert 0 < trio.current_time() - begun <= 5
    assert rig.counted[-1] == ("helpers.httpRequest", "timeout")


async def test_the_setting_ends_a_call_before_a_later_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """A deadline beyond the setting changes nothing."""
    rig = Rig(timed((time.time() + 3600) * 1000), timeout=2.0)
    await rig.ask("taskData", DATA_REQUEST, "data")
    begun = trio.current_time()
    assert (await rig.ask("helpers.request", [{}]))[
        1
    ] == "helpers.request: no answer within 2 s (REPTARIUM_RPC_TIMEOUT)"
    assert trio.current_time() - begun == pytest.approx(2)


async def test_no_call_after_the_deadline() -> None:
    """Once the deadline has passed nothing goes out."""
    rig = Rig(timed(1_700_000_000_000))
    await rig.ask("taskData", DATA_REQUEST, "data")
    ok, text = await rig.ask("helpers.request", [{}])
    assert not ok
    assert text.startswith("helpers.request: the execution's deadline has passed (2023-11-14T22:13:20+00:00")
    assert len(rig.sent) == 1
    assert rig.counted[-1] == ("helpers.request", "refused")


@pytest.mark.parametrize("stamp", [None, "soon", True, [], {}, 0, -5, 1e300, 10**40, 253_402_300_800_000])
async def test_odd_deadlines_are_none(stamp: Any, autojump_clock: trio.testing.MockClock) -> None:
    """What is no date in milliseconds limits nothing."""
    rig = Rig(timed(stamp), timeout=2.0)
    assert (await rig.ask("taskData", DATA_REQUEST, "data"))[0]
    assert "REPTARIUM_RPC_TIMEOUT" in (await rig.ask("helpers.request", [{}]))[1]


def test_deadline_beside_lone_surrogates() -> None:
    """The deadline is found in what JavaScript takes for JSON, and in nothing that isn't an answer."""
    stamp = b'"additionalData":{"executionTimeoutTimestamp":1700000000500}'
    assert execution_deadline(b"{%b}" % stamp) == 1_700_000_000.5
    assert execution_deadline(b'{"a":"\\ud83d",%b}' % stamp) == 1_700_000_000.5
    for odd in (b"[]", b"null", b"{", b'{"additionalData":[]}', b'{"additionalData":null}', b"{}"):
        assert execution_deadline(odd) is None


async def test_a_waiting_call_has_a_name(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever ends the wait can say what was waited for; an answered call is forgotten."""
    rig = Rig(timed(None))
    await rig.ask("taskData", DATA_REQUEST, "data")
    assert rig.calls.waiting is None
    with trio.move_on_after(1):
        await rig.ask("helpers.request", [{}])
    assert rig.calls.waiting == "helpers.request"


async def test_end_of_the_task(autojump_clock: trio.testing.MockClock) -> None:
    """A call that waits when its task ends is told so."""
    rig = Rig(lambda message: None)
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            ok, text = await rig.ask("helpers.binaryToString")
            assert not ok
            assert "ended" in text

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        rig.router.close_task("mine")
    assert rig.counted == [("helpers.binaryToString", "abandoned")]


# ---- answers ---------------------------------------------------------------------------


async def test_hostile_answers(autojump_clock: trio.testing.MockClock) -> None:
    """An answer for another task, of another kind, or a second time never reaches the call."""

    def other_task(message: RunnerMessage) -> Answer:
        assert isinstance(message, RunnerRpcCall)
        return BrokerRpcResponse(message.call_id, "other", "success", msgspec.Raw(b"1"))

    assert "no answer within" in (await Rig(other_task).ask("helpers.binaryToString"))[1]

    def other_kind(message: RunnerMessage) -> Answer:
        assert isinstance(message, RunnerRpcCall)
        return BrokerTaskDataResponse(message.task_id, message.call_id, msgspec.Raw(b"{}"))

    ok, text = await Rig(other_kind).ask("helpers.binaryToString")
    assert not ok
    assert "something else than what was asked" in text

    def rpc_for_data(message: RunnerMessage) -> Answer:
        assert isinstance(message, RunnerTaskDataRequest)
        return BrokerRpcResponse(message.request_id, message.task_id, "success", msgspec.Raw(b'{"env":"N8N"}'))

    ok, text = await Rig(rpc_for_data).ask("x", DATA_REQUEST, "data")
    assert not ok

    def twice(message: RunnerMessage) -> Answer:
        assert isinstance(message, RunnerRpcCall)
        assert rig.router.deliver(success(message))
        return BrokerRpcResponse(message.call_id, message.task_id, "success", msgspec.Raw(b'"second"'))

    rig = Rig(twice)
    assert await rig.ask("helpers.binaryToString") == (True, "fine")
    assert rig.router.open_calls == 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Method not allowed", "m: Method not allowed"),
        (
            {"message": "connect ECONNREFUSED", "stack": "at /opt/n8n/secret", "config": {}},
            "m: connect ECONNREFUSED",
        ),
        ({}, "m failed; n8n gives no reason"),
        (None, "m failed; n8n gives no reason"),
        ("  ", "m failed; n8n gives no reason"),
        ({"message": {"a": 1}}, "m failed; n8n gives no reason"),
        ([1], "m failed; n8n gives no reason"),
    ],
)
def test_error_texts(data: Any, text: str) -> None:
    """Of an error only its message is passed on: no stack, no paths, no request."""
    assert error_text("m", json.dumps(data).encode()) == text


def test_error_texts_that_are_no_json() -> None:
    """An error that cannot be read is an error without a reason."""
    for raw in (b"", b"{", b"[" * 100_000):
        assert error_text("m", raw) == "m failed; n8n gives no reason"


async def test_errors_reach_the_worker() -> None:
    """n8n's reason comes to the worker as text, cut when it is giant, with half an emoji replaced."""

    def reply(message: RunnerMessage) -> Answer:
        assert isinstance(message, RunnerRpcCall)
        return BrokerRpcResponse(
            message.call_id, message.task_id, "error", msgspec.Raw(b'"no \\ud83d ' + b"x" * 50_000 + b'"')
        )

    rig = Rig(reply)
    ok, text = await rig.ask("helpers.binaryToString")
    assert not ok
    assert text.startswith("helpers.binaryToString: no ?")
    assert len(text) <= 16 * 1024
    assert rig.counted == [("helpers.binaryToString", "error")]


# ---- long parameters -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "via"),
    [
        ("x", b'{"dataOfNodes":[%s[]],"prevNode":false,"input":{"include":false},"env":true}', "data"),
        ("helpers.getBinaryDataBuffer", b'[0,"x",%s0]', "rpc"),
        pytest.param("helpers.httpRequest", b'[{"url":"http://a.b/",%s"json":true}]', "rpc", marks=pytest.mark.slow),
    ],
)
async def test_nothing_large_is_made_of_what_a_worker_asks(name: str, params: bytes, via: str) -> None:
    """Megabytes of parameters that are to be looked into are refused, or looked at in pieces: no object a value."""
    rig = Rig(http_allow=("a.b",))
    unit = b"".join(b'"%x":0,' % number for number in range(1000)) if "http" in name else b"[]," * 3000
    tracemalloc.start()
    try:
        ok, text = await rig.ask(name, params % (unit * 100), via)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not ok
    assert rig.sent == []
    assert peak < 8 * len(unit) * 100
    assert "KiB" in text


async def test_a_restricted_request_carries_much() -> None:
    """Where hosts are restricted a request may carry megabytes all the same, and goes where it may."""
    rig = Rig(http_allow=("a.b",))
    body = "é{[" * 1_000_000
    for host, fine in (("a.b", True), ("evil", False)):
        ok, _ = await rig.ask("helpers.httpRequest", [{"url": f"http://{host}/", "method": "POST", "body": body}])
        assert ok is fine
    (message,) = rig.sent
    assert isinstance(message, RunnerRpcCall)
    (options,) = json.loads(bytes(message.params))
    assert options == {"url": "http://a.b/", "method": "POST", "body": body, "disableFollowRedirect": True}


def test_no_object_is_made_of_each_value_in_a_reason() -> None:
    """A broker's million empty lists are no text, and cost nothing."""
    tracemalloc.start()
    try:
        text = error_text("x", b'{"message":[%s0]}' % (b"[]," * 50_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert text == "x failed; n8n gives no reason"
    assert peak < 400_000
