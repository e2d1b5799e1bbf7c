"""A runner's loop lag, and how much of it was its own work, asked for over its own health endpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import trio

from reptarium.pool.ops.loop_lag import BOUNDS

#: No event loop may stand still for longer than this, whatever its neighbours do (seconds).
TARGET = 0.05
#: How long a runner may take to answer (seconds).
_PATIENCE = 5.0

Passes = Mapping[float, float]
"""Upper bound in seconds → passes of the loop that took no longer."""


class Loop(msgspec.Struct, frozen=True):
    """The loop's passes so far, by the time and by the processor time that they took. None: the runner doesn't say."""

    lags: Passes | None = None
    works: Passes | None = None


async def ask(port: int, path: str) -> bytes:
    """What the endpoint on loopback answers, head and all.

    Raises OSError, trio.BrokenResourceError and trio.TooSlowError.
    """
    with trio.fail_after(_PATIENCE):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return b"".join([chunk async for chunk in stream])


async def loop(port: int) -> Loop | None:
    """What a runner says of its loop; None where it doesn't answer."""
    values = await _samples(port, "reptarium_loop_")
    if values is None:
        return None
    return Loop(*(_passes(values, name) for name in ("reptarium_loop_lag_seconds", "reptarium_loop_work_seconds")))


async def learnt(port: int) -> float:
    """How many modules a runner says that it has learnt to preload; 0 where it doesn't answer."""
    name = 'reptarium_preload_changes_total{result="learnt"}'
    return float((await _samples(port, name) or {}).get(name, 0))


async def _samples(port: int, prefix: str) -> dict[str, str] | None:
    try:
        lines = (await ask(port, "/metrics")).decode().splitlines()
    except (OSError, trio.BrokenResourceError, trio.TooSlowError):
        return None
    return dict(line.rsplit(" ", 1) for line in lines if line.startswith(prefix))


def _passes(values: Mapping[str, str], name: str) -> Passes | None:
    found = {bound: values.get(f'{name}_bucket{{le="{_spelt(bound)}"}}') for bound in BOUNDS}
    return {bound: float(value) for bound, value in found.items() if value is not None} or None


class Stall(msgspec.Struct, frozen=True):
    """How a loop fared meanwhile, in seconds."""

    longest: float
    """No pass took longer than this, one of the histogram's bounds."""
    work: float
    """No pass took more processor time than this, likewise. The rest is the machine's: it had none for the runner."""
    waited: float
    """How long the runner waited for a processor, all passes together."""

    def text(self) -> str:
        """For people."""
        verdict = "met" if self.longest <= TARGET else "missed"
        if self.work <= TARGET < self.longest:
            verdict += " by the machine, which had no processor"
        return (
            f"loop stall ≤ {self.longest * 1000:g} ms (≤ {TARGET * 1000:g} ms: {verdict}), "
            f"of its own work ≤ {self.work * 1000:g} ms; {self.waited * 1000:.0f} ms without a processor in all"
        )

    def or_worse(self, other: Stall | None) -> Stall:
        """The worse of both, each for itself."""
        if other is None:
            return self
        return Stall(max(self.longest, other.longest), max(self.work, other.work), max(self.waited, other.waited))


def longest(before: Passes | None, after: Passes | None) -> float | None:
    """No pass between the two took longer than this (a bound, seconds); None where it isn't known."""
    if after is None:
        return None
    if before is None or before[math.inf] > after[math.inf]:  # another process since then
        before = dict.fromkeys(BOUNDS, 0.0)
    slowest, faster = 0.0, 0.0
    for bound in BOUNDS:
        here = after[bound] - before[bound]
        if here > faster:
            slowest = bound
        faster = here
    return slowest


def waited(pid: int) -> float:
    """How long in all the process's main thread was ready to run and had no processor, seconds (proc(5), schedstat)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):  # it has ended; or this kernel doesn't count that
        return 0.0


def _spelt(bound: float) -> str:
    return "+Inf" if bound == math.inf else str(bound)
