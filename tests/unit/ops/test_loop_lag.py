"""The loop's lag: what holds it up is seen in full, what lets it turn isn't."""

from __future__ import annotations

import time

import pytest
import trio
import trio.lowlevel
from prometheus_client.parser import text_string_to_metric_families

from reptarium.pool.ops.loop_lag import WINDOW, LoopLag
from reptarium.pool.ops.metrics import Metrics


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def one_pass(lag: LoopLag, clock: Clock, *, waits: float, timeout: float, works: float) -> None:
    """The loop waits for something new, at most for a time-out, then does what there is."""
    lag.before_io_wait(timeout)
    clock.now += waits
    lag.after_io_wait(timeout)
    clock.now += works
    lag.before_io_wait(timeout)


@pytest.mark.parametrize(
    ("waits", "timeout", "works", "expected"),
    [
        (3.0, 10.0, 0.0, 0.0),
        (3.0, 10.0, 0.2, 0.2),
        (10.0, 10.0, 0.2, 0.2),
        (10.5, 10.0, 0.2, 0.7),
        (0.5, 0.0, 0.0, 0.5),
    ],
    ids=["idle", "work", "after a time-out", "woken late", "held up while it looks"],
)
def test_what_counts(waits: float, timeout: float, works: float, expected: float) -> None:
    """Work counts, and what a wait took beyond its time-out; waiting doesn't."""
    clock = Clock()
    lag = LoopLag(clock)
    one_pass(lag, clock, waits=waits, timeout=timeout, works=works)
    assert lag.largest() == pytest.approx(expected)


def test_the_largest_is_forgotten() -> None:
    """It stays for half a minute at least, so that each scrape sees it, and for a minute at most."""
    clock = Clock()
    lag = LoopLag(clock)
    one_pass(lag, clock, waits=0.0, timeout=0.0, works=2.0)
    one_pass(lag, clock, waits=WINDOW, timeout=60.0, works=0.1)
    assert lag.largest() == pytest.approx(2.0)
    one_pass(lag, clock, waits=WINDOW + 1, timeout=60.0, works=0.3)
    assert lag.largest() == pytest.approx(0.3)


def test_a_stall_is_seen_in_full() -> None:
    """A task that holds the real loop up for a tenth of a second: one pass of that length, all others are short."""
    metrics = Metrics()

    async def main() -> None:
        for _ in range(20):
            await trio.sleep(0.001)
        time.sleep(0.11)  # noqa: ASYNC251
        await trio.lowlevel.checkpoint()

    trio.run(main, instruments=[metrics.process.loop_lag])
    assert metrics.process.loop_lag.largest() >= 0.11
    count = metrics.registry.get_sample_value
    passes = count("reptarium_loop_lag_seconds_count")
    assert passes is not None
    assert passes >= 21
    assert count("reptarium_loop_lag_seconds_bucket", {"le": "0.1"}) < passes
    assert count("reptarium_loop_lag_seconds_sum") >= 0.11


def test_what_was_waited_for_is_no_work() -> None:
    """Beside the lag stands the processor time: a call that waits takes none, one that computes does."""
    metrics = Metrics()

    async def main() -> None:
        time.sleep(0.3)  # noqa: ASYNC251
        await trio.lowlevel.checkpoint()
        ends = time.thread_time() + 0.03
        while time.thread_time() < ends:
            pass
        await trio.lowlevel.checkpoint()

    trio.run(main, instruments=[metrics.process.loop_lag])
    value = metrics.registry.get_sample_value
    assert value("reptarium_loop_work_seconds_sum") >= 0.03
    passes = value("reptarium_loop_work_seconds_count")
    assert passes is not None
    assert value("reptarium_loop_work_seconds_bucket", {"le": "0.025"}) == passes - 1
    assert value("reptarium_loop_work_seconds_bucket", {"le": "0.25"}) == passes
    lags = value("reptarium_loop_lag_seconds_count")
    assert lags is not None
    assert value("reptarium_loop_lag_seconds_bucket", {"le": "0.25"}) < lags


def test_it_is_exposed_as_a_histogram() -> None:
    """Buckets with their bounds, cumulated, sum and count; the gauge."""
    metrics = Metrics()
    families = {family.name: family for family in text_string_to_metric_families(metrics.expose().decode())}
    assert families["reptarium_loop_lag_seconds"].type == families["reptarium_loop_work_seconds"].type == "histogram"
    assert families["reptarium_loop_lag_max_seconds"].type == "gauge"
    bounds = [one.labels["le"] for one in families["reptarium_loop_lag_seconds"].samples if "le" in one.labels]
    assert bounds[0] == "0.001"
    assert bounds[-1] == "+Inf"
