"""Calls and their answers: each answer goes to the one call that it belongs to."""

from __future__ import annotations

import msgspec
import pytest
import trio
import trio.testing

from reptarium.pool.protocol.messages import (
    BrokerNodeTypes,
    BrokerRpcResponse,
    BrokerTaskDataResponse,
    RunnerMessage,
    RunnerRpcCall,
    encode,
)
from reptarium.pool.tasks.router import CallEnded, RpcRouter

NO_PARAMS = msgspec.Raw(b"[]")


class Wire:
    """Collects what the router sends."""

    def __init__(self) -> None:
        self.sent: list[RunnerMessage] = []

    async def send(self, message: RunnerMessage) -> None:
        self.sent.append(message)
        await trio.lowlevel.checkpoint()


def answer(call_id: str, task: str = "t", data: bytes = b"1") -> BrokerRpcResponse:
    return BrokerRpcResponse(call_id, task, "success", msgspec.Raw(data))


async def test_answers_in_any_order(autojump_clock: trio.testing.MockClock) -> None:
    """Several calls of one task, answered backwards, never mix up."""
    wire = Wire()
    router = RpcRouter(wire.send)
    router.open_task("t")
    got: dict[str, bytes] = {}

    async def call(name: str) -> None:
        reply = await router.call("t", name, NO_PARAMS)
        assert isinstance(reply, BrokerRpcResponse)
        got[name] = bytes(reply.data)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(call, f"name{number}")
        await trio.testing.wait_all_tasks_blocked()
        calls = [message for message in wire.sent if isinstance(message, RunnerRpcCall)]
        assert len({message.call_id for message in calls}) == 20
        for message in reversed(calls):
            assert router.deliver(answer(message.call_id, data=message.name.encode()))
    assert got == {f"name{n}": f"name{n}".encode() for n in range(20)}
    assert router.open_calls == 0


async def test_each_message_kind() -> None:
    """Task data and node types are asked for by messages of their own and answered by theirs."""
    wire = Wire()
    router = RpcRouter(wire.send)
    router.open_task("t")
    kinds = {"data": BrokerTaskDataResponse, "nodes": BrokerNodeTypes}
    for via, kind in kinds.items():
        async with trio.open_nursery() as nursery:

            async def ask(via: str = via, kind: type = kind) -> None:
                assert isinstance(await router.call("t", "x", NO_PARAMS, via), kind)

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            request = wire.sent[-1]
            assert router.deliver(kind("t", request.request_id, NO_PARAMS))  # type: ignore[union-attr]


async def test_task_end_ends_its_calls() -> None:
    """Whoever waits when the task ends is told; a late answer finds nobody."""
    wire = Wire()
    router = RpcRouter(wire.send)
    router.open_task("t")
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(CallEnded, match=r"ended before helpers\.request was answered"):
                await router.call("t", "helpers.request", NO_PARAMS)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        router.close_task("t")
    (message,) = wire.sent
    assert isinstance(message, RunnerRpcCall)
    assert not router.deliver(answer(message.call_id))


async def test_ended_task_cannot_call() -> None:
    """No message goes out for a task that is over."""
    wire = Wire()
    router = RpcRouter(wire.send)
    with pytest.raises(CallEnded):
        await router.call("t", "x", NO_PARAMS)
    assert wire.sent == []


async def test_answers_that_are_nobodys() -> None:
    """Unknown, for another task, or a second time: dropped."""
    wire = Wire()
    router = RpcRouter(wire.send)
    router.open_task("t")
    router.open_task("other")
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            reply = await router.call("t", "x", NO_PARAMS)
            assert isinstance(reply, BrokerRpcResponse)
            assert bytes(reply.data) == b"1"

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        (message,) = wire.sent
        assert isinstance(message, RunnerRpcCall)
        assert not router.deliver(answer("no-such-call"))
        assert not router.deliver(answer(message.call_id, "other", b'"forged"'))
        assert router.deliver(answer(message.call_id))
        assert not router.deliver(answer(message.call_id, data=b"2"))


async def test_answers_to_what_was_posted_are_known_by_how_they_begin() -> None:
    """As n8n writes them, the task first, and as our own broker does; nothing that somebody may wait for is one."""
    wire = Wire()
    router, other = RpcRouter(wire.send), RpcRouter(wire.send)
    for one in (router, other):
        await one.post("t", "logNodeOutput", NO_PARAMS)
    ours, theirs = (message.call_id for message in wire.sent if isinstance(message, RunnerRpcCall))
    written = '{"type":"broker:rpcresponse","taskId":"t%s","callId":"%s","status":"success"}'
    assert router.unheard((written % ("", ours)).encode())
    assert router.unheard(encode(answer(ours)))
    for heard in (
        written % ("", theirs),
        written % ("", "waited"),
        written.replace("rpcresponse", "taskdataresponse") % ("", ours),
        written % (f'\\",\\"callId\\":\\"{ours}', "waited"),
        written % ("x" * 300, ours),
        " " + written % ("", ours),
    ):
        assert not router.unheard(heard.encode())
