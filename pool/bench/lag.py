"""A runner's loop lag, asked for over its own health endpoint."""

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


async def ask(port: int, path: str) -> bytes:
    """What the endpoint on loopback answers, head and all.

    Raises OSError, trio.BrokenResourceError and trio.TooSlowError.
    """
    with trio.fail_after(_PATIENCE):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return b"".join([chunk async for chunk in stream])


async def passes(port: int) -> Passes | None:
    """The loop's passes so far; None where the runner doesn't say."""
    try:
        lines = (await ask(port, "/metrics")).decode().splitlines()
    except (OSError, trio.BrokenResourceError, trio.TooSlowError):
        return None
    values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("reptarium_loop_lag_seconds_bucket"))
    found = {bound: values.get(f'reptarium_loop_lag_seconds_bucket{{le="{_spelt(bound)}"}}') for bound in BOUNDS}
    return {bound: float(value) for bound, value in found.items() if value is not None} or None


class Stall(msgspec.Struct, frozen=True):
    """How a loop fared meanwhile, in seconds."""

    longest: float
    """No pass took longer than this, one of the histogram's bounds."""
    waited: float
    """How long the runner waited for a processor, all passes together: a busy machine's share in it."""

    def text(self) -> str:
        """For people."""
        verdict = "met" if self.longest <= TARGET else "missed"
        return (
            f"loop stall ≤ {self.longest * 1000:g} ms (≤ {TARGET * 1000:g} ms: {verdict}), "
            f"{self.waited * 1000:.0f} ms without a processor in all"
        )


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
