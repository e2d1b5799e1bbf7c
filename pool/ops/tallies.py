"""What every task makes go up or down: counters, gauges and histograms that cost an addition.

Prometheus' own take a lock and look twice whether they may be used, each time: of the calls that a task costs the
supervisor that was a tenth. Everything is counted, and asked for, in the thread of the event loop. Its own are for what
happens seldom.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

__all__ = ["Counts", "Level", "Spread"]

_NONE = ((),)


class Counts(Collector):
    """A counter for each of ``values``, the values of its labels: all there are, and there from the start.

    :attr:`of` is what they count: to be added to, which raises KeyError for what isn't one of them.
    """

    def __init__(
        self,
        name: str,
        about: str,
        labels: Sequence[str] = (),
        values: Iterable[tuple[str, ...]] = _NONE,
        *,
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._about, self._labels = name, about, labels
        self.of: dict[tuple[str, ...], float] = dict.fromkeys(values, 0)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """What was counted."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for values, count in self.of.items():
            family.add_metric(values, count)
        yield family


class Level(Collector):
    """A gauge: :attr:`value` is its to be set."""

    def __init__(self, name: str, about: str, *, registry: CollectorRegistry) -> None:
        self._name, self._about = name, about
        self.value = 0.0
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Where it stands."""
        yield GaugeMetricFamily(self._name, self._about, value=self.value)


class Spread(Collector):
    """A histogram with these upper bounds, in their order; the last may be infinite, and is if none is."""

    def __init__(
        self, name: str, about: str, bounds: Sequence[float], *, registry: CollectorRegistry | None = None
    ) -> None:
        self._name, self._about = name, about
        self._bounds = (*bounds, math.inf)[: len(bounds) + (bounds[-1] != math.inf)]
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        if registry is not None:
            registry.register(self)

    def observe(self, amount: float) -> None:
        """Count one of so much."""
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def collect(self) -> Iterator[Metric]:
        """How many there were up to each bound, and their sum."""
        total = 0
        buckets = []
        for bound, count in zip(self._bounds, self._counts, strict=True):
            total += count
            buckets.append((floatToGoString(bound), total))  # type: ignore[no-untyped-call]
        yield HistogramMetricFamily(self._name, self._about, buckets=buckets, sum_value=self._sum)
