"""What there is to count about the supervisor's own process."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Gauge, GCCollector, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from reptarium import __version__
from reptarium.pool.ops.loop_lag import LoopLag


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
        self.log_lines_dropped: Callable[[], int] = int
        """Says how many log lines were never written; a sink's (``stderr.py``), or those of a flood (``flood.py``)."""
        registry.register(_DroppedLines(self))
        self.loop_lag = LoopLag()
        registry.register(self.loop_lag)


class _DroppedLines(Collector):
    """Asked when metrics are: whoever drops a line may not wait for a counter's lock."""

    def __init__(self, metrics: ProcessMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "reptarium_log_lines_dropped",
            "Log lines that were never written: nobody read them, standard error took no more, or too many were alike.",
            value=self._metrics.log_lines_dropped(),
        )
