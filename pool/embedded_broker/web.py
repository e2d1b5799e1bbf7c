"""The HTTP side: ``GET /healthz`` and ``POST {path}/auth``, Starlette served by Hypercorn on trio."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import aclosing
from typing import cast

import msgspec
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, Framework
from hypercorn.utils import wrap_app
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reptarium.pool.embedded_broker.grants import RateLimit
from reptarium.pool.embedded_broker.requesters import TASKS, Requesters
from reptarium.pool.embedded_broker.transport import Transport
from reptarium.sandbox.nesting import bounded

#: An auth request is a token in braces.
_MAX_BODY = 64 * 1024


class _Auth(msgspec.Struct):
    token: str


class WebSide:
    """Serves connections that don't ask for a WebSocket.

    ``issue`` makes a grant; ``draining`` says whether the broker is going down; ``requesters`` serves who hands in
    tasks, where somebody may.
    """

    def __init__(
        self,
        *,
        path: str,
        auth_token: str,
        rate_limit: RateLimit,
        issue: Callable[[], str],
        draining: Callable[[], bool],
        requesters: Requesters | None = None,
    ) -> None:
        self._auth_token = auth_token.encode()
        self._rate_limit = rate_limit
        self._issue = issue
        self._draining = draining
        self._config = Config()
        self._config.errorlog = None
        self._config.accesslog = None
        self._config.include_server_header = False
        self._context = WorkerContext(None)
        routes = [
            Route("/healthz", self._healthz, methods=["GET"]),
            Route(f"{path}/auth", self._authenticate, methods=["POST"]),
        ]
        if requesters is not None:
            routes.append(Route(f"{path}{TASKS}", requesters, methods=["POST"]))
        app = Starlette(routes=routes)
        self._app = wrap_app(cast(Framework, app), _MAX_BODY, "asgi")

    async def serve(self, stream: Transport) -> None:
        """Serve one connection until it is closed or idle."""
        # Hypercorn asks for a trio stream with a socket, and that is what a Transport is
        server = TCPServer(self._app, self._config, self._context, ConnectionState({}), stream)  # type: ignore[arg-type]
        await server.run()

    async def _healthz(self, request: Request) -> Response:
        if self._draining():
            return JSONResponse({"status": "draining"}, status_code=503)
        return JSONResponse({"status": "ok"})

    async def _authenticate(self, request: Request) -> Response:
        if not self._rate_limit.allows(trio.current_time()):
            return _refusal(429, "Too many requests")
        body = b""
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _MAX_BODY:
                    return _refusal(413, "Request too large")
        try:
            with bounded(body):
                token = msgspec.json.decode(body, type=_Auth).token
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return _refusal(400, 'Expected {"token": "..."}')
        if not hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._auth_token):
            return _refusal(403, "Invalid auth token")
        if self._draining():
            return _refusal(503, "Shutting down")
        return JSONResponse({"data": {"token": self._issue()}})


def _refusal(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status_code=status)
