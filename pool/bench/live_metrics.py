"""The load as Prometheus sees it, while it runs: ``reptarium bench --metrics PORT``."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable

import structlog
import trio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reptarium.pool.bench.load import Round
from reptarium.pool.bench.runners import Site
from reptarium.pool.ops.exposition import exposition
from reptarium.pool.ops.http_server import HttpAnswer, HttpServer

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_LABELS = ("case", "runner")
_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"

_log = structlog.get_logger("reptarium.pool.bench.live_metrics")


class LiveMetrics:
    """What has been measured by now, over all rounds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._tasks = Counter(
            "reptarium_bench_tasks",
            "Tasks that have ended: as they must (good), or how else",
            (*_LABELS, "ending"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "reptarium_bench_task_seconds",
            "How long tasks took that ended as they must",
            _LABELS,
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "reptarium_bench_in_flight", "Tasks that have been asked for and not ended", registry=self._registry
        )
        self._runners = Gauge("reptarium_bench_runners", "Runners that are registered", registry=self._registry)
        self._round: Round | None = None
        self._taken = 0
        self._failed: Counts[str] = Counts()

    def take(self, case: str, site: Site, found: Round) -> None:
        """Add what a round has measured since it was last taken from."""
        if found is not self._round:
            self._round, self._taken, self._failed = found, 0, Counts()
        seconds = self._seconds.labels(case, site.label)
        for value in found.latencies[self._taken :]:
            seconds.observe(value)
        self._tasks.labels(case, site.label, "good").inc(len(found.latencies) - self._taken)
        self._taken = len(found.latencies)
        for kind, count in found.failed.items():
            self._tasks.labels(case, site.label, kind).inc(count - self._failed[kind])
        self._failed = Counts(found.failed)
        self._in_flight.set(found.in_flight)
        self._runners.set(len(site.there()))

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return exposition(self._registry)


async def serve_metrics(
    host: str,
    port: int,
    expose: Callable[[], bytes],
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``/metrics`` until cancelled; starts with the port. Raises OSError when that can't be had."""

    def respond(path: str) -> HttpAnswer | None:
        return HttpAnswer(200, expose(), _TEXT_FORMAT) if path == "/metrics" else None

    def met(error: Exception) -> None:
        _log.error("bench.metrics_failed", error=repr(error))

    (listener,) = await trio.open_tcp_listeners(port, host=host)
    async with listener:
        task_status.started(listener.socket.getsockname()[1])
        await HttpServer(respond, met).serve(listener)
