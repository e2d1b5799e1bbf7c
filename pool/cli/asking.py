"""An embedded broker is asked to have a task run, over HTTP."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple
from urllib.parse import urlsplit

import h11
import msgspec
import trio

from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.brokers.stream import CONNECT_TIMEOUT, open_stream
from reptarium.pool.embedded_broker.outcome import Outcome, Timings
from reptarium.pool.embedded_broker.requesters import TASKS, Ended, Printed
from reptarium.pool.protocol.messages import TaskDoneData

_RECEIVE = 64 * 1024
#: The longest answer that is a refusal (bytes).
_LONGEST_REFUSAL = 64 * 1024


class NoAnswer(Exception):
    """The broker has gone before the task had ended."""


class Asked(NamedTuple):
    """A broker: its address and path, its token, whom to trust."""

    uri: str
    path: str
    token: str
    tls: ssl.SSLContext | None


class _Refusal(msgspec.Struct):
    message: str


async def ask(broker: Asked, request: bytes, on_print: Callable[[Sequence[str]], None]) -> Outcome:
    """Hand in the task and wait for its end; ``on_print`` hears of each print.

    Raises LinkError when the broker can't be reached or takes no such task, and :class:`NoAnswer`.
    """
    try:
        with trio.fail_after(CONNECT_TIMEOUT):
            stream = await open_stream(broker.uri, broker.tls)
    except trio.TooSlowError:
        raise LinkError(f"{broker.uri} did not answer within {CONNECT_TIMEOUT:.0f} s") from None
    try:
        async with aclosing(_lines(stream, broker, request)) as lines:
            async for line in lines:
                said = msgspec.json.decode(line, type=Printed | Ended)
                if isinstance(said, Ended):
                    return _outcome(said)
                on_print(said.values)
    except (msgspec.MsgspecError, h11.RemoteProtocolError):
        raise LinkError(f"{broker.uri} answered something that is no embedded broker's answer") from None
    except trio.BrokenResourceError:
        pass
    finally:
        await trio.aclose_forcefully(stream)
    raise NoAnswer(f"{broker.uri} closed the connection before the task had ended")


async def _lines(stream: trio.abc.Stream, broker: Asked, request: bytes) -> AsyncGenerator[bytes, None]:
    parts = urlsplit(broker.uri)
    connection = h11.Connection(h11.CLIENT)
    head = h11.Request(
        method="POST",
        target=f"{broker.path}{TASKS}",
        headers=[
            ("Host", parts.netloc.encode("idna").decode()),
            ("Authorization", f"Bearer {broker.token}"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(request))),
            ("Connection", "close"),
        ],
    )
    try:
        await stream.send_all(connection.send(head))
        await stream.send_all(connection.send(h11.Data(request)) + connection.send(h11.EndOfMessage()))
    except trio.BrokenResourceError:
        pass  # a refusal may have come before all was read
    status, answer = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_RECEIVE)))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            answer += event.data
            if status != 200 and len(answer) > _LONGEST_REFUSAL:
                raise _refused(broker.uri, status, b"")
            if status == 200 and b"\n" in event.data:
                *lines, rest = bytes(answer).split(b"\n")
                answer = bytearray(rest)
                for line in lines:
                    yield line
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            if status != 200:
                raise _refused(broker.uri, status, bytes(answer))
            return


def _refused(uri: str, status: int, body: bytes) -> LinkError:
    if status == 404:
        return LinkError(f"{uri} takes no tasks: it is no `reptarium broker`")
    if status == 401:
        return LinkError(f"{uri} refused the token (401): N8N_RUNNERS_AUTH_TOKEN must be the broker's")
    try:
        why = f": {msgspec.json.decode(body, type=_Refusal).message}"
    except (msgspec.MsgspecError, UnicodeError):
        why = ""
    return LinkError(f"{uri} answered {status}{why}")


def _outcome(said: Ended) -> Outcome:
    return Outcome(
        task_id="",
        status=said.status,
        timings=Timings(0.0),
        data=TaskDoneData(said.result) if isinstance(said.result, msgspec.Raw) else None,
        error=said.error,
        runner_id=said.runner,
        attempts=said.attempts,
    )
