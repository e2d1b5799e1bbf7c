"""What is counted about workers that serve the same code again: a part of `Metrics`, so that its file stays short."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["ReuseMetrics"]


class ReuseMetrics:
    """Metrics of ``REPTARIUM_WORKER_REUSE``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        asked = Counter(
            "reptarium_worker_reuse",
            "Tasks that looked for a worker which has run their code before, by whether there was one.",
            ["result"],
            registry=registry,
        )
        self._asked = {hit: asked.labels("hit" if hit else "miss") for hit in (True, False)}
        self._resting = Gauge(
            "reptarium_workers_resting", "Workers that wait for the code that they have run.", registry=registry
        )

    def asked(self, *, hit: bool) -> None:
        """A task has looked for one."""
        self._asked[hit].inc()

    def resting(self, count: int) -> None:
        """So many wait."""
        self._resting.set(count)
