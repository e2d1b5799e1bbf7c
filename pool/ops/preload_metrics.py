"""What is counted about preloading that learns: a part of `Metrics`, so that its file stays short."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["PreloadMetrics"]

CHANGES = ("learnt", "too dear", "left out", "put off")


class PreloadMetrics:
    """Metrics of ``REPTARIUM_PRELOAD_LEARN``. Modules become labels: those that are installed, allowed and learnt."""

    def __init__(self, registry: CollectorRegistry) -> None:
        changes = Counter(
            "reptarium_preload_changes",
            "Modules that were tried for preloading, by what came of it.",
            ["result"],
            registry=registry,
        )
        self._changes = {result: changes.labels(result.replace(" ", "_")) for result in CHANGES}
        self._learnt = Gauge(
            "reptarium_preload_learnt_bytes",
            "Memory of each module that is preloaded because tasks import it: zygotes and warm workers.",
            ["module"],
            registry=registry,
        )
        self._of: dict[object, Mapping[str, int]] = {}

    def changed(self, result: str) -> None:
        """A module was tried; `result` is one of CHANGES."""
        self._changes[result].inc()

    def learnt(self, pool: object, modules: Mapping[str, int]) -> None:
        """A pool preloads these from now on, each with its bytes."""
        self._of.pop(pool, None)
        if modules:
            self._of[pool] = dict(modules)
        total: dict[str, int] = {}
        for of_pool in self._of.values():
            for name, held in of_pool.items():
                total[name] = total.get(name, 0) + held
        self._learnt.clear()
        for name, held in total.items():
            self._learnt.labels(name).set(held)
