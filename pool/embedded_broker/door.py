"""Who comes in: one port for HTTP and WebSocket, grants, refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import msgspec
import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from reptarium.pool.embedded_broker.config import BrokerConfig
from reptarium.pool.embedded_broker.grants import Grants, RateLimit
from reptarium.pool.embedded_broker.requesters import Requesters, Submit
from reptarium.pool.embedded_broker.transport import Transport, is_upgrade
from reptarium.pool.embedded_broker.web import WebSide

_RECEIVE_BUFFER = 256 * 1024
_MESSAGE_QUEUE = 64

#: How long a client may take from its connection to the end of its request's head (seconds).
_HEAD_TIMEOUT = 10.0

_log = structlog.get_logger("reptarium.pool.embedded_broker")

RunnerServer = Callable[[str, WebSocketRequest, Transport], Awaitable[None]]


class Door:
    """Serves TCP connections: HTTP by itself, a runner's WebSocket by ``serve_runner``.

    ``serve_runner(runner_id, request, transport)`` gets the requests that may be accepted, ``submit`` the tasks.
    """

    def __init__(
        self, config: BrokerConfig, *, draining: Callable[[], bool], serve_runner: RunnerServer, submit: Submit
    ) -> None:
        self._config = config
        self._draining = draining
        self._serve_runner = serve_runner
        self._grants = Grants(config.grant_ttl)
        self._upgrades = RateLimit(config.rate_limit)
        self._web = WebSide(
            path=config.path,
            auth_token=config.auth_token,
            rate_limit=RateLimit(config.rate_limit),
            issue=self.grant,
            draining=draining,
            requesters=None
            if config.requesting == "none"
            else Requesters(
                auth_token=config.auth_token,
                local=config.requesting == "local",
                max_payload=config.max_payload,
                submit=submit,
                draining=draining,
            ),
        )

    def grant(self) -> str:
        """A fresh grant."""
        return self._grants.issue(trio.current_time())

    def forget_grants(self) -> None:
        """No grant of before is worth anything now."""
        self._grants = Grants(self._config.grant_ttl)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One TCP connection: HTTP or WebSocket, as its first request says. Never raises an Exception."""
        tls = self._config.tls
        # its handshake belongs to the first request's head, and to the time for that
        transport = Transport(
            stream if tls is None else trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        )
        try:
            try:
                await self._serve(transport)
            except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed, LocalProtocolError):
                pass  # the client is gone; or its ping crossed our close frame, and wsproto refuses to answer
        except Exception:
            # a fault of ours costs this connection; the others and their tasks go on
            _log.exception("broker.connection_failed")
        finally:
            await trio.aclose_forcefully(transport)

    async def _serve(self, transport: Transport) -> None:
        head = b""
        with trio.move_on_after(_HEAD_TIMEOUT):
            head = await transport.peek_head()
        if is_upgrade(head):
            await self._serve_websocket(transport)
        elif head:
            await self._web.serve(transport)

    async def _serve_websocket(self, transport: Transport) -> None:
        async with trio.open_nursery() as nursery:
            request = None
            with trio.move_on_after(_HEAD_TIMEOUT):
                request = await wrap_server_stream(
                    nursery,
                    transport,
                    message_queue_size=_MESSAGE_QUEUE,
                    max_message_size=self._config.max_payload,
                    receive_buffer_size=_RECEIVE_BUFFER,
                )
            if request is not None:
                runner_id, status, why = self._admit(request)
                if status == 101:
                    await self._serve_runner(runner_id, request, transport)
                else:
                    _log.info("broker.refused", runner_id=runner_id, status=status, why=why)
                    await request.reject(
                        status,
                        body=msgspec.json.encode({"message": why}),
                        extra_headers=[(b"content-type", b"application/json")],
                    )
            nursery.cancel_scope.cancel()

    def _admit(self, request: WebSocketRequest) -> tuple[str, int, str]:
        """Who asks for a WebSocket, the status that it gets, and why."""
        url = urlsplit(request.path)
        runner_id = parse_qs(url.query).get("id", [""])[0]
        bearer = next((value for name, value in request.headers if name.lower() == b"authorization"), b"")
        scheme, _, token = bearer.decode("latin-1").strip().partition(" ")
        now = trio.current_time()
        if url.path != f"{self._config.path}/_ws":
            return runner_id, 404, "Not found"
        if not self._upgrades.allows(now):
            return runner_id, 429, "Too many requests"
        if self._draining():
            return runner_id, 503, "Shutting down"
        if not runner_id:
            return runner_id, 400, "Missing runner id"
        if scheme.lower() != "bearer" or not token.strip():
            return runner_id, 401, "Missing grant token"
        if not self._grants.redeem(token.strip(), now):
            return runner_id, 403, "Invalid or used grant token"
        return runner_id, 101, ""
