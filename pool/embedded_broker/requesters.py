r"""The requester's side over HTTP: whoever has the broker's token hands in a task, and reads what becomes of it.

    POST {path}/tasks
    Authorization: Bearer AUTH_TOKEN

    {"settings": {"code": "return _items", "items": [{"json": {}}]}, "timeout": 60, "requestTimeout": 60}

``settings`` is what n8n sends to a runner (:class:`TaskSettings`); the times are seconds, and may be left out. The
answer is 200 and a line of JSON for each print as it comes, then one for the end, in which ``result`` or ``error`` is
the runner's own (or the broker's error, where no runner has answered):

    {"type": "print", "values": ["a line"]}
    {"type": "outcome", "status": "done", "runner": "its id", "attempts": 1, "result": [{"json": {}}]}

A requester that goes takes its task with it. Refused are others' tokens (401), other machines unless the broker is told
to hear them (403), what is no task (400) or too large (413), and everything while the broker shuts down (503).
"""

from __future__ import annotations

import hmac
import ipaddress
import math
from collections.abc import Callable
from contextlib import aclosing

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from reptarium.pool.embedded_broker.handle import TaskHandle
from reptarium.pool.embedded_broker.outcome import Outcome, Status
from reptarium.pool.protocol.messages import TaskErrorData, TaskSettings
from reptarium.sandbox.nesting import bounded

#: Below the broker's path.
TASKS = "/tasks"

# The task and its settings, around their items
_AROUND = 2
_GONE = "The requester has gone"


class TaskRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A task, its time limit and that of its waiting for a runner (seconds; None: the broker's)."""

    settings: TaskSettings
    timeout: float | None = None
    request_timeout: float | None = None


class Printed(msgspec.Struct, frozen=True, tag="print"):
    """A print call of the task: its values as texts."""

    values: list[str]


class Ended(msgspec.Struct, frozen=True, tag="outcome", omit_defaults=True, kw_only=True):
    """The end of a task; ``result`` is raw JSON."""

    status: Status
    runner: str | None = None
    attempts: int = 0
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: TaskErrorData | None = None


Submit = Callable[[TaskRequest, Callable[[list[str]], None]], TaskHandle]


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Requesters:
    """Serves requesters. ``submit`` queues a task, and raises ValueError for what is none."""

    def __init__(
        self, *, auth_token: str, local: bool, max_payload: int, submit: Submit, draining: Callable[[], bool]
    ) -> None:
        self._auth_token = auth_token.encode()
        self._local = local
        self._max_payload = max_payload
        self._submit = submit
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        prints, printed = trio.open_memory_channel[list[str]](math.inf)
        try:
            handle = self._submitted(await self._read(Request(scope, receive)), prints.send_nowait)
        except _Refused as refused:
            answer = JSONResponse({"message": str(refused)}, status_code=refused.status)
            await answer(scope, receive, send)
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when_gone, receive, handle)
                headers = [(b"content-type", b"application/x-ndjson")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                nursery.start_soon(_close_after, handle, prints)
                async for values in printed:
                    await _say(send, Printed(values))
                outcome = await handle.outcome()
                await _say(send, _ended(outcome))
                await send({"type": "http.response.body", "body": b""})
                nursery.cancel_scope.cancel()
        finally:
            handle.cancel(_GONE)

    async def _read(self, request: Request) -> bytes:
        """The body of a request that may be made. Raises :class:`_Refused`."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._auth_token):
            raise _Refused(401, "The broker's token is needed: Authorization: Bearer …")
        if self._local and not _is_local(request.client.host if request.client else ""):
            raise _Refused(403, "Tasks are taken from the broker's own machine only")
        if self._draining():
            raise _Refused(503, "Shutting down")
        body = bytearray()
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > self._max_payload:
                    raise _Refused(413, f"More than {self._max_payload} bytes")
        return bytes(body)

    def _submitted(self, body: bytes, on_console: Callable[[list[str]], None]) -> TaskHandle:
        try:
            with bounded(body, _AROUND):
                asked = msgspec.json.decode(body, type=TaskRequest)
            for name, seconds in (("timeout", asked.timeout), ("requestTimeout", asked.request_timeout)):
                if seconds is not None and not seconds > 0:
                    raise ValueError(f"{name}: must be more than 0 seconds, not {seconds}")
            return self._submit(asked, on_console)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise _Refused(400, f"No task: {error}") from None


async def _cancel_when_gone(receive: Receive, handle: TaskHandle) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    handle.cancel(_GONE)


async def _close_after(handle: TaskHandle, prints: trio.MemorySendChannel[list[str]]) -> None:
    with prints:
        await handle.outcome()


async def _say(send: Send, line: Printed | Ended) -> None:
    # white space between values may be lines of its own; within a text it can't be
    text = msgspec.json.encode(line).replace(b"\r", b" ").replace(b"\n", b" ")
    await send({"type": "http.response.body", "body": text + b"\n", "more_body": True})


def _ended(outcome: Outcome) -> Ended:
    return Ended(
        status=outcome.status,
        runner=outcome.runner_id,
        attempts=outcome.attempts,
        result=outcome.data.result if outcome.data is not None else msgspec.UNSET,
        error=outcome.error,
    )


def _is_local(host: str) -> bool:
    """Whether an address is this machine's own, seen from inside."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
