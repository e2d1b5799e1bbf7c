"""What is counted about workers that serve the same code again: a part of `Metrics`, so that its file stays short."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from reptarium.pool.ops.tallies import Counts, Level

__all__ = ["ReuseMetrics"]


class ReuseMetrics:
    """Metrics of ``REPTARIUM_WORKER_REUSE``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._asked = Counts(
            "reptarium_worker_reuse",
            "Tasks that looked for a worker which has run their code before, by whether there was one.",
            ["result"],
            [("hit",), ("miss",)],
            registry=registry,
        )
        self._resting = Level(
            "reptarium_workers_resting", "Workers that wait for the code that they have run.", registry=registry
        )

    def asked(self, *, hit: bool) -> None:
        """A task has looked for one."""
        self._asked.of["hit" if hit else "miss",] += 1

    def resting(self, count: int) -> None:
        """So many wait."""
        self._resting.value = count
