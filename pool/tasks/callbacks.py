"""What a running task may ask of n8n: checked, counted, bounded.

A worker speaks only for its own task: the task id never comes from it. Names are allowed
explicitly, calls are counted, bytes in flight are bounded, and each call has a time limit within
the task's. A task's calls are answered one after the other, so what is in flight is one call's
parameters and its answer. What may be in them is decided in ``call_rules.py``.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import trio

from reptarium.pool.protocol.messages import (
    PIECE,
    UNREADABLE,
    BrokerNodeTypes,
    BrokerRpcResponse,
    BrokerTaskDataResponse,
    judging_json,
)
from reptarium.pool.tasks.call_rules import (
    Refused,
    check_data_request,
    check_place,
    releasing_task_data,
    restricting_http,
)
from reptarium.pool.tasks.router import Answer, CallEnded, RpcRouter
from reptarium.pool.turns import in_turns
from reptarium.sandbox import wire

HTTP_METHODS = frozenset({"helpers.httpRequest", "helpers.request"})
#: Reads of binary data, whose parameters name an item of the task.
PLACED = frozenset({"helpers.assertBinaryData", "helpers.getBinaryDataBuffer"})
#: Everything that n8n serves and user code has a name for (see docs/architecture.md).
CALLABLE = (
    HTTP_METHODS | PLACED | {"helpers.prepareBinaryData", "helpers.setBinaryDataBuffer", "helpers.binaryToString"}
)
#: Calls by another message than ``runner:rpc``: the name that REPTARIUM_RPC_ALLOW uses for them.
VIA_NAMES = {"data": "taskData", "nodes": "nodeTypes"}
#: The name that REPTARIUM_RPC_ALLOW uses for the environment, a part of the task data.
ENVIRONMENT = "env"
#: Calls that ``*`` doesn't include, because no name of user code needs them.
ONLY_BY_NAME = frozenset({"nodeTypes"})
#: Longest name and error text that are passed on, in characters and bytes.
MAX_NAME, MAX_ERROR = 100, 16 * 1024
#: A failed call's answer that is longer is not read: in it n8n names the request and its own stack.
LONGEST_REASON = 1 << 20

#: Told of each call: its name, one of ``reptarium.pool.ops.metrics.RPC_RESULTS``, seconds from call to answer.
OnCall = Callable[[str, str, float | None], None]


class CallLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``allow`` holds call names (``*`` is all that user code has names for), ``http_allow`` host patterns.

    ``max_calls`` counts a task's calls in all; ``max_bytes`` bounds parameters and answer of one
    call together; ``timeout`` is seconds for one call, which ends at the execution's deadline all the same.
    """

    allow: frozenset[str] = frozenset({"*"})
    http_allow: tuple[str, ...] = ("*",)
    max_calls: int = 1000
    max_bytes: int = 256 * 2**20
    timeout: float = 60.0

    def allows(self, name: str) -> bool:
        """Whether a call may be made at all; ``helpers.`` may be left out in the setting."""
        if {name, name.removeprefix("helpers.")} & self.allow:
            return True
        return "*" in self.allow and name not in ONLY_BY_NAME


class Callbacks:
    """The calls of one task. ``waiting`` is the name of the one that n8n hasn't answered yet, if there is one."""

    def __init__(self, task_id: str, router: RpcRouter, limits: CallLimits, on_call: OnCall | None = None) -> None:
        self._task_id = task_id
        self._router = router
        self._limits = limits
        self._on_call = on_call
        self._calls = 0
        self._deadline: float | None = None  # the execution's, in seconds since 1970
        self._deadline_told = False  # n8n tells it with the first task data that is asked for
        self.waiting: str | None = None

    async def answer(self, payload: bytes | bytearray) -> list[bytes | memoryview]:
        """The payload of the RPC_ANSWER for an RPC frame's payload.

        Raises ``wire.ProtocolViolation`` for what no honest worker sends; a call
        that isn't allowed or fails is answered with the text of an error.
        """
        raw, body = wire.split_head(payload, wire.MAX_HEAD)
        try:
            head = _head_decoder.decode(raw)
        except UNREADABLE as error:
            raise wire.ProtocolViolation(f"a call that cannot be read: {error}") from None
        if not await in_turns(judging_json(body)):
            raise wire.ProtocolViolation("call parameters that are not one JSON value")
        name = VIA_NAMES.get(head.via, head.name)[:MAX_NAME]
        begun, result = time.perf_counter(), "abandoned"
        try:
            params = await self._checked(name, head.via, body)
            self.waiting = name
            seconds, why = self._time_limit(name)
            with trio.fail_after(seconds):
                reply = await self._router.call(self._task_id, name, msgspec.Raw(params), head.via)
            ok, parts = await self._released(name, head.via, reply, len(params))
            result = "success" if ok else "error"
        except Refused as refusal:
            ok, parts, result = False, _told(str(refusal)), "refused"
        except trio.TooSlowError:
            ok, parts, result = False, _told(f"{name}: no answer {why}"), "timeout"
        except CallEnded as ended:
            ok, parts = False, _told(str(ended))
        finally:
            if self._on_call is not None:
                self._on_call(name, result, time.perf_counter() - begun)
        self.waiting = None  # not in the finally: whoever cancels the wait wants to know what it was for
        return wire.with_head(wire.RpcAnswerHead(head.call, ok), *parts)

    def _time_limit(self, name: str) -> tuple[float, str]:
        """Seconds that the call may take, and what says so. Raises :class:`Refused` when there is no time left."""
        limit = self._limits.timeout
        if self._deadline is None:
            return limit, f"within {limit:g} s (REPTARIUM_RPC_TIMEOUT)"
        left = self._deadline - time.time()
        if left > limit:
            return limit, f"within {limit:g} s (REPTARIUM_RPC_TIMEOUT)"
        shown = datetime.datetime.fromtimestamp(self._deadline, datetime.UTC).isoformat(timespec="seconds")
        if left <= 0:
            raise Refused(f"{name}: the execution's deadline has passed ({shown}, n8n's time limit for executions)")
        return left, f"before the execution's deadline ({shown}, n8n's time limit for executions)"

    async def _checked(self, name: str, via: str, body: memoryview) -> bytes:
        """The parameters that go out. Raises :class:`Refused`."""
        limits = self._limits
        self._calls += 1  # refused ones too: asking costs the supervisor time
        if self._calls > limits.max_calls:
            raise Refused(f"more than {limits.max_calls} calls in one task; raise REPTARIUM_RPC_MAX_CALLS")
        if (via == "rpc" and name not in CALLABLE) or not limits.allows(name):
            raise Refused(f"{name} is not allowed here; REPTARIUM_RPC_ALLOW lists what tasks may call")
        if len(body) > limits.max_bytes:
            raise Refused(self._over_bytes(name))
        if via == "data":
            return check_data_request(body, env=limits.allows(ENVIRONMENT))
        if bytes(body[:64]).lstrip()[:1] != b"[":
            raise Refused(f"{name}: the parameters must be a list")
        if name in PLACED:
            check_place(name, body)
        elif name in HTTP_METHODS:
            if not limits.http_allow:
                raise Refused("HTTP requests are turned off here (REPTARIUM_HTTP_ALLOW)")
            if "*" not in limits.http_allow:
                return await in_turns(restricting_http(name, body, limits.http_allow))
        return bytes(body)

    async def _released(self, name: str, via: str, reply: Answer, sent: int) -> tuple[bool, list[bytes | memoryview]]:
        """(ok, what the worker gets). Raises :class:`Refused`.

        The kind of the answer decides what is in it, not the name that the worker gave the call:
        task data never passes without its secrets taken out.
        """
        raw: msgspec.Raw
        if isinstance(reply, BrokerTaskDataResponse):
            wanted, raw = "data", reply.data
        elif isinstance(reply, BrokerNodeTypes):
            wanted, raw = "nodes", reply.node_types
        else:
            wanted, raw = "rpc", reply.data
        if wanted != via:
            raise Refused(f"{name}: n8n answered something else than what was asked")
        if sent + len(memoryview(raw)) > self._limits.max_bytes:
            raise Refused(self._over_bytes(name))
        if isinstance(reply, BrokerTaskDataResponse):
            parts, deadline = await in_turns(releasing_task_data(memoryview(raw)))
            if not self._deadline_told:
                self._deadline, self._deadline_told = deadline, True
            return True, parts
        if isinstance(reply, BrokerRpcResponse) and reply.status == "error":
            return False, _told(error_text(name, bytes(memoryview(raw)[:LONGEST_REASON])))
        return True, [memoryview(raw)]

    def _over_bytes(self, name: str) -> str:
        return f"{name}: more than {self._limits.max_bytes} bytes in one call; raise REPTARIUM_RPC_MAX_BYTES"


def _told(text: str) -> list[bytes | memoryview]:
    return [text.encode("utf-8", "replace")[:MAX_ERROR]]


def error_text(name: str, data: bytes) -> str:
    """What an ``error`` answer tells, in one line.

    n8n sends a text for a method that it doesn't serve, an object with ``message`` (and stack,
    request, paths of its machine: not passed on) for one that failed, and ``{}`` where it knows nothing.
    """
    value: Any = None
    try:
        value = _reason_decoder.decode(data)
    except msgspec.ValidationError:
        pass  # of another shape: no object is made of each value in it
    except UNREADABLE:
        if len(data) <= PIECE:  # half an emoji, perhaps
            with suppress(*UNREADABLE):
                value = msgspec.convert(json.loads(data), str | _Reason)
    text = value.message if isinstance(value, _Reason) else value
    if text is not None and text.strip():
        return f"{name}: {text}"
    return f"{name} failed; n8n gives no reason"


class _Reason(msgspec.Struct):
    message: str


_reason_decoder = msgspec.json.Decoder(str | _Reason)


_head_decoder = msgspec.json.Decoder(wire.RpcHead)
