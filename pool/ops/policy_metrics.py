"""What is counted about the policy and the pools that its rules take."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["PolicyMetrics"]


class PolicyMetrics:
    """Metrics of the rules that tasks run under."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pools = Gauge(
            "reptarium_pools", "Warm pools: one, and those that rules of the policy take now.", registry=registry
        )
        reads = Counter(
            "reptarium_policy_reads",
            "Times that the policy was read, by whether its rules were taken.",
            ["result"],
            registry=registry,
        )
        self._reads = {taken: reads.labels("taken" if taken else "refused") for taken in (True, False)}
        self._stale = Gauge(
            "reptarium_policy_stale",
            "1 while the policy's file can't be used and the rules before it stay, else 0.",
            registry=registry,
        )

    def pools(self, count: int) -> None:
        """So many warm pools are there now."""
        self._pools.set(count)

    def read(self, *, taken: bool) -> None:
        """The policy was read; its rules were taken, or those before stay."""
        self._reads[taken].inc()
        self._stale.set(float(not taken))
