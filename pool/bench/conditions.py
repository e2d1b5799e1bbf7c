"""What else goes on on the machine while the load runs."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
import trio

#: Seconds between two looks, and how many of them a report holds.
_EVERY, _HELD = 1.0, 200


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch that ends ``at`` seconds after the run began: shares of all processors' time, and the load average.

    ``busy`` is all that isn't idle, ``steal`` what the machine's host gave to others. ``load`` is over the last minute.
    """

    at: float
    busy: float
    steal: float
    load: float


class Conditions:
    """The machine, from when this is made."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.moments: list[Moment] = []
        self._first = self._last = psutil.cpu_times()

    async def watch(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await trio.sleep(_EVERY)
            self.look()
            if len(self.moments) >= 20 * _HELD:
                self.moments = _thinned(self.moments)

    def look(self) -> None:
        """Add what has been since the last look."""
        now = psutil.cpu_times()
        busy, steal = _shares(self._last, now)
        self._last = now
        at = time.perf_counter() - self.begun
        self.moments.append(Moment(at=at, busy=busy, steal=steal, load=os.getloadavg()[0]))

    def steal(self) -> float:
        """Share of all processor time from the beginning until now that the machine's host gave to others."""
        return _shares(self._first, psutil.cpu_times())[1]

    def held(self) -> list[Moment]:
        """At most 200 moments, those before the last of which stand for as many stretches."""
        found = self.moments
        while len(found) > _HELD:
            found = _thinned(found)
        return found


def _shares(before: Any, after: Any) -> tuple[float, float]:
    """Busy and stolen, as shares of all processor time between two of psutil's ``cpu_times``."""
    # guests' time is counted in user's already
    spent = {
        name: getattr(after, name) - getattr(before, name) for name in after._fields if not name.startswith("guest")
    }
    passed = sum(spent.values())
    if passed <= 0:
        return 0.0, 0.0
    idle = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
    return min(max(1 - idle / passed, 0.0), 1.0), max(spent.get("steal", 0.0) / passed, 0.0)


def _thinned(moments: list[Moment]) -> list[Moment]:
    """Half as many, each the mean of two."""
    return [
        Moment(at=two.at, busy=(one.busy + two.busy) / 2, steal=(one.steal + two.steal) / 2, load=two.load)
        for one, two in zip(moments[::2], moments[1::2], strict=False)
    ]


def processor() -> str:
    """The processor's model, as the kernel calls it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "unknown processor"
