"""A registry in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


def exposition(registry: CollectorRegistry) -> bytes:
    """Everything in it, in Prometheus' text format."""
    return generate_latest(_Exposed(registry))


class _Exposed(Collector):
    """A registry without the `_created` series: a third of all, when each counter and histogram was made.

    The library can leave them out for the whole process only, which isn't ours alone.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
