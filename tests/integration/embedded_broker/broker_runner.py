"""A scripted runner for the embedded broker's tests: real loopback WebSockets, no pool behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream
from wsproto.utilities import LocalProtocolError

from reptarium.pool.embedded_broker import Broker

_ids = count(1)


class FakeRunner:
    """One connection to a broker. Reads nothing unless it is asked to."""

    def __init__(self, socket: WebSocketConnection, stream: trio.SocketStream, runner_id: str) -> None:
        self.socket = socket
        self.stream = stream
        self.runner_id = runner_id

    async def send(self, kind: str, **fields: Any) -> None:
        """Send one message; the fields by their names on the wire."""
        await self.send_text(msgspec.json.encode({"type": kind, **fields}).decode())

    async def send_text(self, frame: str) -> None:
        """Send a frame as it is."""
        await self.socket.send_message(frame)

    async def read(self) -> dict[str, Any]:
        """The next message, decoded."""
        frame = await self.socket.get_message()
        assert isinstance(frame, str), "the protocol's frames are text"
        message = msgspec.json.decode(frame)
        assert isinstance(message, dict)
        return message

    async def expect(self, kind: str) -> dict[str, Any]:
        """The next message, which must be of ``kind``."""
        message = await self.read()
        assert message["type"] == kind, message
        return message

    async def register(self, name: str = "fake", types: tuple[str, ...] = ("python",)) -> None:
        """Say who we are."""
        await self.expect("broker:inforequest")
        await self.send("runner:info", name=name, types=types)
        await self.expect("broker:runnerregistered")

    async def offer(self, valid_for: int = -1, offer_id: str | None = None, task_type: str = "python") -> str:
        """Offer a slot; returns the offer's id."""
        offer_id = offer_id or f"offer-{next(_ids)}"
        await self.send("runner:taskoffer", offerId=offer_id, taskType=task_type, validFor=valid_for)
        return offer_id

    async def take(self) -> dict[str, Any]:
        """Accept the next task and read its settings."""
        accept = await self.expect("broker:taskofferaccept")
        await self.send("runner:taskaccepted", taskId=accept["taskId"])
        settings = await self.expect("broker:tasksettings")
        assert settings["taskId"] == accept["taskId"]
        return settings

    async def done(self, task_id: str, result: Any = ()) -> None:
        """Report a result."""
        await self.send("runner:taskdone", taskId=task_id, data={"result": result})

    async def closed(self) -> tuple[int, str | None]:
        """Read to the end of the connection; its close code and reason."""
        while True:
            try:
                await self.socket.get_message()
            except ConnectionClosed as closed:
                reason = closed.reason
                break
        assert reason is not None
        return reason.code, reason.reason

    async def vanish(self) -> None:
        """Lose the connection without a close frame."""
        await self.stream.aclose()


async def http(
    broker: Broker, request: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """One HTTP request (``"POST /path"``): status and decoded JSON body (None when it isn't JSON)."""
    fields = {"Host": "broker", "Connection": "close", **(headers or {})}
    if body:
        fields["Content-Length"] = str(len(body))
    lines = [f"{request} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    async with await trio.open_tcp_stream("127.0.0.1", broker.port) as stream:
        await stream.send_all("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = bytearray()
        async for data in stream:
            answer += data
            if answer.startswith(b"HTTP/1.1 101 "):
                break  # from here on it is a WebSocket
    head, _, content = bytes(answer).partition(b"\r\n\r\n")
    try:
        decoded = msgspec.json.decode(content)
    except msgspec.DecodeError:
        decoded = None
    return int(head.split()[1]), decoded


@asynccontextmanager
async def fake_runner(
    broker: Broker, runner_id: str | None = None, *, register: bool = True
) -> AsyncIterator[FakeRunner]:
    """A connected runner, registered unless told otherwise."""
    runner_id = runner_id or f"fake-{next(_ids)}"
    grant = broker.grant_token().encode()
    try:
        # not open_websocket: its client leaves the socket open when the broker has closed the connection
        async with await trio.open_tcp_stream("127.0.0.1", broker.port) as stream, trio.open_nursery() as nursery:
            socket = await wrap_client_stream(
                nursery,
                stream,
                "broker",
                f"{broker.config.path}/_ws?id={runner_id}",
                extra_headers=[(b"Authorization", b"Bearer " + grant)],
                max_message_size=2**30,
                receive_buffer_size=256 * 1024,
                message_queue_size=64,
            )
            runner = FakeRunner(socket, stream, runner_id)
            if register:
                await runner.register()
            yield runner
            await socket.aclose()
            nursery.cancel_scope.cancel()
    except* LocalProtocolError:
        pass  # of trio-websocket's reader: a ping of the broker's crossed our close frame
