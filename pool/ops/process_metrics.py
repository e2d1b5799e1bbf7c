"""What there is to count about the supervisor's own process."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, Gauge, GCCollector, ProcessCollector

from reptarium import __version__


class ProcessMetrics:
    """Series of the process itself, in the registry of :class:`reptarium.pool.ops.metrics.Metrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Linux only, as we are: CPU, memory, descriptors and start time of the supervisor itself.
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        info = Gauge(
            "reptarium_build_info",
            "Always 1; the labels tell what runs.",
            ["version", "python", "kernel"],
            registry=registry,
        )
        info.labels(__version__, platform.python_version(), platform.release()).set(1)
