"""Calls from tasks into n8n, and their answers, through memory channels.

Each call gets a channel of size 1, keyed by its id. An answer is delivered to it; one for an
unknown, finished or cancelled call is dropped with a debug line. When a task ends, its
channels close and whoever waits on them is told (:class:`CallEnded`).
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable

import msgspec
import structlog
import trio

from reptarium.pool.protocol.messages import (
    BrokerNodeTypes,
    BrokerRpcResponse,
    BrokerTaskDataResponse,
    RunnerMessage,
    RunnerNodeTypesRequest,
    RunnerRpcCall,
    RunnerTaskDataRequest,
)
from reptarium.pool.protocol.messages.broker import LONGEST_ID

log = structlog.get_logger("reptarium.pool.tasks.router")

Answer = BrokerRpcResponse | BrokerTaskDataResponse | BrokerNodeTypes
Send = Callable[[RunnerMessage], Awaitable[None]]


class CallEnded(Exception):
    """The task (or its connection) ended before the answer came."""


class RpcRouter:
    """Routes the calls of all tasks of one connection. ``send`` queues a message to the broker."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._calls: dict[str, tuple[str, trio.MemorySendChannel[Answer]]] = {}
        self._tasks: dict[str, set[str]] = {}
        # of calls that are posted: an id for each would take a system call
        self._mark, self._posted = f"{new_call_id()}-", 0

    @property
    def unheard(self) -> Callable[[bytes | bytearray], object]:
        """Whether a message is an answer to one of :meth:`post`'s calls by how it begins: n8n writes the task first.

        What is written otherwise goes the long way, to :meth:`nobody_waits`.
        """
        task = rb'(?:"taskId":"[^"\\]{1,%d}",)?' % LONGEST_ID
        mark = re.escape(self._mark).encode()
        return re.compile(rb'\{"type":"broker:rpcresponse",%s"callId":"%s' % (task, mark)).match

    @property
    def open_calls(self) -> int:
        """How many calls wait for an answer."""
        return len(self._calls)

    def open_task(self, task_id: str) -> None:
        """From now on the task may call."""
        self._tasks.setdefault(task_id, set())

    def close_task(self, task_id: str) -> None:
        """The task has ended: its channels close, its waiting calls end."""
        for call_id in self._tasks.pop(task_id, ()):
            entry = self._calls.pop(call_id, None)
            if entry is not None:
                entry[1].close()

    async def post(self, task_id: str, name: str, params: msgspec.Raw) -> None:
        """A call that nobody waits for (``logNodeOutput``): its answer is dropped. With room, this is no checkpoint."""
        self._posted += 1
        await self._send(RunnerRpcCall(f"{self._mark}{self._posted}", task_id, name, params))

    def nobody_waits(self, call_id: str) -> bool:
        """Whether it is one of :meth:`post`'s."""
        return call_id.startswith(self._mark)

    async def call(self, task_id: str, name: str, params: msgspec.Raw, via: str = "rpc") -> Answer:
        """Send a call and wait for its answer.

        ``via`` is ``rpc``, ``data`` (task data) or ``nodes`` (node types). Raises
        :class:`CallEnded` when the task ends first; time limits are the caller's.
        """
        calls = self._tasks.get(task_id)
        if calls is None:
            raise CallEnded(f"task {task_id} has ended")
        call_id = new_call_id()
        sender, receiver = trio.open_memory_channel[Answer](1)
        self._calls[call_id] = (task_id, sender)
        calls.add(call_id)
        try:
            message: RunnerMessage
            if via == "data":
                message = RunnerTaskDataRequest(task_id, call_id, params)
            elif via == "nodes":
                message = RunnerNodeTypesRequest(task_id, call_id, params)
            else:
                message = RunnerRpcCall(call_id, task_id, name, params)
            await self._send(message)
            async with receiver:
                return await receiver.receive()
        except trio.EndOfChannel:
            raise CallEnded(f"task {task_id} ended before {name} was answered") from None
        finally:
            self._calls.pop(call_id, None)
            calls.discard(call_id)

    def deliver(self, answer: Answer) -> bool:
        """Hand an answer to its call. False when nobody waits for it, or it names another task."""
        call_id = answer.call_id if isinstance(answer, BrokerRpcResponse) else answer.request_id
        entry = self._calls.get(call_id)
        if entry is None or entry[0] != answer.task_id:
            log.debug("an answer that nobody waits for", task=answer.task_id, call=call_id)
            return False
        del self._calls[call_id]  # one answer a call
        with contextlib.suppress(trio.BrokenResourceError):
            entry[1].send_nowait(answer)
        return True


def new_call_id() -> str:
    """A fresh id, unguessable, as text."""
    return secrets.token_urlsafe(12)
