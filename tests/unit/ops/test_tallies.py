"""Counters of our own are shown as Prometheus' are."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reptarium.pool.ops.exposition import exposition
from reptarium.pool.ops.tallies import Counts, Level, Spread

BOUNDS = (0.25, 1.0, 1024.0)


@pytest.mark.parametrize("bounds", [BOUNDS, (*BOUNDS, math.inf)])
def test_they_are_shown_as_the_librarys(bounds: tuple[float, ...]) -> None:
    """What counts the same is the same text, on a bound and beyond the last one too."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = Counts("calls", "By name.", ["name", "result"], [("a", "x"), ("b", "y")], registry=ours)
    alone = Counts("forks", "All.", registry=ours)
    level = Level("running", "Now.", registry=ours)
    spread = Spread("seconds", "How long.", bounds, registry=ours)
    calls = Counter("calls", "By name.", ["name", "result"], registry=theirs)
    children = {("a", "x"): calls.labels("a", "x"), ("b", "y"): calls.labels("b", "y")}
    forks = Counter("forks", "All.", registry=theirs)
    running = Gauge("running", "Now.", registry=theirs)
    seconds = Histogram("seconds", "How long.", buckets=bounds, registry=theirs)
    assert exposition(ours) == exposition(theirs)

    counts.of["b", "y"] += 2.5
    children["b", "y"].inc(2.5)
    alone.of[()] += 1
    forks.inc()
    level.value -= 3
    running.dec(3)
    for amount in (0.25, 0.26, 1.0, 7.0, 1024.0, 1025.0):
        spread.observe(amount)
        seconds.observe(amount)
    assert exposition(ours) == exposition(theirs)


def test_nothing_is_counted_that_there_is_no_series_for() -> None:
    """A label's value from outside makes no series."""
    counts = Counts("calls", "By name.", ["name"], [("a",)], registry=CollectorRegistry())
    with pytest.raises(KeyError):
        counts.of["evil",] += 1
