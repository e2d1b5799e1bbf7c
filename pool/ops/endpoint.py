"""`/healthz`, `/readyz` and `/metrics` over HTTP, for n8n's launcher, Kubernetes and Prometheus.

    /healthz, /   200 as long as the event loop turns. n8n's launcher asks `/`.
    /readyz       200 when every check holds, otherwise 503 with what is missing, as JSON.
    /metrics      Prometheus' text format.

It runs in the supervisor's own event loop on purpose: an answer from a thread would say "alive" while the
loop that serves the broker hangs. Nothing here waits for anything, so that it answers while tasks saturate
the pool.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reptarium.pool.config import Settings
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.refusal import StartRefused

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class ReadinessCheck(msgspec.Struct, frozen=True):
    """One condition of readiness."""

    name: str
    """Short and stable: `broker`, `workers`, `isolation`, `draining` …"""
    ok: bool
    detail: str = ""
    """What is missing and, where possible, what to do; shown to whoever asks."""


class HealthSource(Protocol):
    """Whoever knows whether the runner can take tasks."""

    def checks(self) -> Sequence[ReadinessCheck]:
        """Every condition, those that hold too. Must not block or raise."""


class EndpointError(StartRefused):
    """The endpoint can't listen. The text names address, reason and setting."""


def make_app(health: HealthSource, metrics: Metrics) -> Starlette:
    """The ASGI application; `serve_endpoint` serves it."""

    async def healthz(_request: Request) -> Response:
        weak = next((check.detail for check in health.checks() if check.name == "isolation" and check.detail), "")
        return PlainTextResponse(f"OK\nisolation: {weak}" if weak else "OK")

    async def readyz(_request: Request) -> Response:
        checks = health.checks()
        missing = [check for check in checks if not check.ok]
        body: dict[str, Any] = {
            "status": "not ready" if missing else "ready",
            "missing": [f"{check.name}: {check.detail}" if check.detail else check.name for check in missing],
            "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in checks},
        }
        return Response(
            msgspec.json.encode(body),
            status_code=503 if missing else 200,
            media_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def expose(_request: Request) -> Response:
        return Response(metrics.expose(), headers={"Content-Type": _TEXT_FORMAT})

    return Starlette(
        routes=[
            Route("/", healthz),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", expose),
        ]
    )


async def serve_endpoint(
    settings: Settings,
    health: HealthSource,
    metrics: Metrics,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. For `await nursery.start(serve_endpoint, settings, health, metrics)`.

    Args:
        settings: `health_host` and `health_port` (0 = any free port). Whether to serve at all
            (`health_enabled`) is the caller's to check.
        health: asked anew for each `/readyz`.
        metrics: exposed on `/metrics`.
        task_status: gets the list of URLs once they are listened on, such as `["http://127.0.0.1:5681"]`.

    Raises:
        EndpointError: the address can't be listened on.
    """
    listener = _listen(settings.health_host, settings.health_port)
    with listener:
        config = _Config(listener)
        config.accesslog = None
        config.errorlog = logging.getLogger("hypercorn.error")
        config.include_server_header = False
        config.keep_alive_timeout = 15.0  # one connection for a probe each 10 s
        config.graceful_timeout = 1.0
        # Starlette is an ASGI framework whose type Hypercorn spells differently.
        app: Any = make_app(health, metrics)
        await serve(app, config, mode="asgi", task_status=task_status)


class _Config(Config):
    """Hypercorn's own sockets are inheritable, and its errors come bare from inside its nurseries."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__()
        self._listener = listener

    def create_sockets(self) -> Sockets:
        return Sockets(secure_sockets=[], insecure_sockets=[self._listener], quic_sockets=[])


def _listen(host: str, port: int) -> socket.socket:
    plain = host.strip("[]")
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    try:
        listener = socket.create_server((plain, port), family=family)
    except OSError as error:
        about_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        remedy = "N8N_RUNNERS_HEALTH_CHECK_SERVER_" + ("PORT" if about_port else "HOST")
        reason = error.strerror or str(error)
        raise EndpointError(
            f"the health endpoint can't listen on {host} port {port}: {reason}; set {remedy}"
        ) from error
    listener.setblocking(False)
    return listener
