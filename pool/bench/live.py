"""Figures while the load runs: a table on a terminal, a line every few seconds for who has none, and metrics."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio
from rich.console import Console
from rich.live import Live as Screen
from rich.table import Table

from reptarium.pool.bench.live_metrics import LiveMetrics
from reptarium.pool.bench.load import Round
from reptarium.pool.bench.report import ms
from reptarium.pool.bench.runners import Site
from reptarium.pool.bench.stats import percentile

#: Seconds between two lines, between two looks, and that rates and percentiles are of.
_EVERY, _LOOK, _WINDOW = 5.0, 1.0, 10.0


class _Running:
    """The round that runs."""

    def __init__(self, case: str, number: str, total: int | None, found: Round, site: Site, now: float) -> None:
        self.case, self.number, self.total, self.found, self.site = case, number, total, found, site
        self.seen = deque([(now, 0)])
        self.begun = now

    def tasks(self) -> str:
        whole = "" if self.total is None else f" of {self.total}"
        return f"{self.found.tasks}{whole} tasks"

    def figures(self, now: float) -> tuple[str, str, str]:
        """Rate, p50 and p99 (ms) of the last seconds."""
        latencies = self.found.latencies
        while len(self.seen) > 1 and now - self.seen[0][0] > _WINDOW:
            self.seen.popleft()
        since, number = self.seen[0]
        recent = sorted(latencies[number:])
        self.seen.append((now, len(latencies)))
        rate = len(recent) / (now - since) if now > since else 0.0
        shown = [ms(percentile(recent, percent)) if recent else "–" for percent in (50, 99)]
        return f"{rate:.1f}", shown[0], shown[1]

    def failed(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.found.failed.items())) or "0"


class LiveFigures:
    """Says on ``console`` (standard error) how the load goes, and keeps ``metrics``."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.metrics = LiveMetrics()
        self._console, self._clock = console, clock
        self._said = clock()
        self._running: _Running | None = None
        self._screen: Screen | None = None

    @contextmanager
    def round(self, case: str, number: str, total: int | None, found: Round, site: Site) -> Iterator[None]:
        """While a round runs, which records into ``found``. ``number`` is which of how many, ``total`` its tasks."""
        self._running = _Running(case, number, total, found, site, self._clock())
        if self._console.is_terminal:
            self._screen = Screen(console=self._console, auto_refresh=False, transient=True)
            self._screen.start()
        try:
            yield
        finally:
            self.measure()
            if self._screen is not None:
                self._screen.stop()
            self._running = self._screen = None

    async def watch(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await trio.sleep(_LOOK)
            self.look()

    def look(self) -> None:
        """Say how things are now, where it is time for that."""
        self.measure()
        running, now = self._running, self._clock()
        if running is None:
            return
        if self._screen is not None:
            self._screen.update(self._table(running, now), refresh=True)
        elif now - self._said >= _EVERY:
            self._said = now
            rate, p50, p99 = running.figures(now)
            self._console.print(
                f"{running.case} {running.site.label} {running.number}: {running.tasks()}, {rate}/s, p50 {p50} ms, "
                f"p99 {p99} ms, {running.found.in_flight} in flight, failed: {running.failed()}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def measure(self) -> None:
        """Bring the metrics up to date."""
        if self._running is not None:
            self.metrics.take(self._running.case, self._running.site, self._running.found)

    def _table(self, running: _Running, now: float) -> Table:
        rate, p50, p99 = running.figures(now)
        title = f"{running.case}, {running.site.label}, round {running.number}: {running.tasks()}, "
        table = Table(title=f"{title}{now - running.begun:.0f} s", title_justify="left")
        cells = {
            "tasks/s": rate, "p50 ms": p50, "p99 ms": p99, "in flight": str(running.found.in_flight),
            "failed": running.failed(), "runners": str(len(running.site.there())),
        }  # fmt: skip
        for name in cells:
            table.add_column(name, justify="right")
        table.add_row(*cells.values())
        return table
