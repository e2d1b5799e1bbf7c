"""`/healthz`, `/readyz` and `/metrics` over HTTP, for n8n's launcher, Kubernetes and Prometheus.

    /healthz, /   200 as long as the event loop turns, with what is weak or lacks in words. n8n's launcher asks `/`.
                  That no worker can be started is 200 too: whoever acts on another answer would end what still runs
                  and start a runner that can do no more. The pool goes on trying by itself.
    /readyz       200 when every check holds, otherwise 503 with what is missing, as JSON.
    /metrics      Prometheus' text format.

It runs in the supervisor's own event loop on purpose: an answer from a thread would say "alive" while the
loop that serves the broker hangs. Nothing here waits for anything, so that it answers while tasks saturate
the pool.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import trio

from reptarium.pool.config import Settings
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.http_server import HttpAnswer, HttpServer
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.refusal import StartRefused

#: How old `/metrics` may be, seconds: making them takes milliseconds of the loop, however often somebody asks.
FRESH = 0.1

#: The check that doesn't hold while packages for user code are installed, before there is a pool.
INSTALLING = "packages"

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


class _Pages:
    """What each path answers."""

    def __init__(self, health: HealthSource, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics
        self._exposed: tuple[float, bytes] | None = None
        self._paths = {"/": self._alive, "/healthz": self._alive, "/readyz": self._ready, "/metrics": self._expose}

    def respond(self, path: str) -> HttpAnswer | None:
        page = self._paths.get(path)
        return None if page is None else page()

    def _alive(self) -> HttpAnswer:
        said = [
            f"{check.name}: {check.detail}"
            for check in self._health.checks()
            if check.detail and (check.name == "isolation" or (check.name == "workers" and not check.ok))
        ]
        return HttpAnswer(200, "\n".join(["OK", *said]).encode())

    def _ready(self) -> HttpAnswer:
        checks = self._health.checks()
        missing = [check for check in checks if not check.ok]
        body: dict[str, Any] = {
            "status": "not ready" if missing else "ready",
            "missing": [f"{check.name}: {check.detail}" if check.detail else check.name for check in missing],
            "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in checks},
        }
        return HttpAnswer(
            503 if missing else 200, msgspec.json.encode(body), "application/json", (("cache-control", "no-store"),)
        )

    def _expose(self) -> HttpAnswer:
        now = trio.current_time()
        if self._exposed is None or now - self._exposed[0] > FRESH:
            self._exposed = now, self._metrics.expose()
        return HttpAnswer(200, self._exposed[1], _TEXT_FORMAT)


async def serve_endpoint(
    settings: Settings,
    health: HealthSource,
    metrics: Metrics,
    reporter: Reporter | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. For `await nursery.start(serve_endpoint, settings, health, metrics, reporter)`.

    Args:
        settings: `health_host` and `health_port` (0 = any free port). Whether to serve at all
            (`health_enabled`) is the caller's to check.
        health: asked anew for each `/readyz`.
        metrics: exposed on `/metrics`; counts faults of the endpoint.
        reporter: told of those faults.
        task_status: gets the list of URLs once they are listened on, such as `["http://127.0.0.1:5681"]`.

    Raises:
        EndpointError: the address can't be listened on.
    """

    faults = OwnFaults(metrics, reporter or Reporter())
    event = "a client of the health endpoint met a fault of the runner"
    server = HttpServer(_Pages(health, metrics).respond, lambda error: faults.met(error, "endpoint", event))
    with _listen(settings.health_host, settings.health_port) as plain:
        host, port = plain.getsockname()[:2]
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(plain))
        task_status.started([f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"])
        await server.serve(listener)


def _listen(host: str, port: int) -> socket.socket:
    plain = host.strip("[]")
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    try:
        listener = socket.create_server((plain, port), family=family, dualstack_ipv6=_all_addresses(plain))
    except OSError as error:
        about_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        remedy = "N8N_RUNNERS_HEALTH_CHECK_SERVER_" + ("PORT" if about_port else "HOST")
        reason = error.strerror or str(error)
        raise EndpointError(
            f"the health endpoint can't listen on {host} port {port}: {reason}; set {remedy}"
        ) from error
    listener.setblocking(False)
    return listener


def _all_addresses(host: str) -> bool:
    """Whether it is IPv6's word for every address, and one socket can take IPv4's connections as well."""
    try:
        unspecified = ipaddress.IPv6Address(host).is_unspecified
    except ValueError:
        return False
    return unspecified and socket.has_dualstack_ipv6()
