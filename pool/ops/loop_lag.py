"""How late the event loop comes round: for how long at a time it looked at no connection, no worker and no clock.

Whatever holds it up counts: one long call, many short ones in a row, a garbage collection, a machine without a
processor for us. It is measured at each pass by trio's own hooks, and wakes nobody (1.5 µs a pass on 2 cores,
CPython 3.11).

Beside it stands what of that was our own work, in processor time: where the lag is long and the work short, the machine
had no processor for us, or a call waited for something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from time import perf_counter, thread_time

import trio
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reptarium.pool.ops.tallies import Spread

#: Upper bounds of the histogram, seconds.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)
#: The largest lag is that of the last one to two of these (seconds).
WINDOW = 30.0


class LoopLag(trio.abc.Instrument, Collector):
    """For ``trio.run(…, instruments=[lag])``; a collector for the metrics' registry.

    ``clock`` in seconds, ``work`` the processor time of the thread that calls, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter, work: Callable[[], float] = thread_time) -> None:
        self._clock, self._work = clock, work
        self._lags = Spread(
            "reptarium_loop_lag_seconds",
            "For how long at a time the event loop looked at nothing new, by pass.",
            BOUNDS,
        )
        self._works = Spread(
            "reptarium_loop_work_seconds",
            "Processor time that the event loop took for what there was, by pass.",
            BOUNDS,
        )
        self._largest = self._largest_before = 0.0
        self._window = self._came_round = self._waits_since = clock()
        self._worked = math.nan  # of the loop's thread: none of its passes has begun

    def before_io_wait(self, timeout: float) -> None:
        """The loop has done what there was, and looks what is new."""
        now = self._clock()
        lag = now - self._came_round
        self._lags.observe(lag)
        worked = self._work()
        if self._worked <= worked:
            self._works.observe(worked - self._worked)
        self._worked = worked
        if now - self._window > WINDOW:
            self._largest_before, self._largest, self._window = self._largest, 0.0, now
        if lag > self._largest:
            self._largest = lag
        self._waits_since = now

    def after_io_wait(self, timeout: float) -> None:
        """It has looked, for ``timeout`` seconds at most; what it took beyond that counts to its lag."""
        now = self._clock()
        self._came_round = min(now, self._waits_since + timeout)

    def largest(self) -> float:
        """The largest lag of the last half minute or minute, seconds."""
        return max(self._largest, self._largest_before)

    def collect(self) -> Iterator[Metric]:
        yield from self._lags.collect()
        yield from self._works.collect()
        yield GaugeMetricFamily(
            "reptarium_loop_lag_max_seconds", "The largest of the last half minute to minute.", value=self.largest()
        )
