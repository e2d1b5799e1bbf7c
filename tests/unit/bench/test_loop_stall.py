"""What a run of faults says of the runners' event loops."""

from __future__ import annotations

import math
import os

import pytest

from reptarium.pool.bench.chaos import Chaos
from reptarium.pool.bench.lag import Passes, Stall, longest, loop, waited
from reptarium.pool.ops.loop_lag import BOUNDS


def counted(**more: int) -> Passes:
    """So many passes by their bound in milliseconds (``ms25=3``), cumulated as Prometheus has them."""
    each = {bound: more.get(f"ms{bound * 1000:g}", 0) for bound in BOUNDS}
    return {bound: sum(count for other, count in each.items() if other <= bound) for bound in BOUNDS}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (counted(ms1=5, ms250=1), counted(ms1=9, ms250=1), 0.001),
        (counted(ms1=5), counted(ms1=9, ms25=1, ms50=2), 0.05),
        (counted(ms1=5), counted(ms1=9, msinf=1), math.inf),
        (counted(ms1=500, ms250=3), counted(ms1=9, ms10=1), 0.01),
        (None, counted(ms1=9, ms100=1), 0.1),
        (counted(ms1=5), None, None),
    ],
    ids=["what was before", "the slowest of several", "beyond all bounds", "another process", "the first", "no answer"],
)
def test_the_longest_pass_between_two_looks(
    before: Passes | None, after: Passes | None, expected: float | None
) -> None:
    """The highest bound that has more passes of its own; a runner that was started anew counts from nothing."""
    assert longest(before, after) == expected


def test_each_fault_has_its_line() -> None:
    """How often, what it is to prove, how the loop fared, and whether that is what is wanted."""
    found = Chaos(
        seed=1,
        faults={"a": 2, "b": 1, "c": 1, "d": 1},
        proves={"a": "A stands.", "b": "B.", "c": "C.", "d": "D."},
        stalls={"a": Stall(0.05, 0.025, 0.1), "b": Stall(0.1, 0.1, 0.0), "c": Stall(0.25, 0.05, 0.3)},
    )
    _, first, second, third, fourth, *_ = found.text().splitlines()
    rest = "100 ms without a processor in all"
    assert first == f"  a 2: A stands. Loop stall ≤ 50 ms (≤ 50 ms: met), of its own work ≤ 25 ms; {rest}"
    assert second.startswith("  b 1: B. Loop stall ≤ 100 ms (≤ 50 ms: missed), of its own work ≤ 100 ms;")
    assert "C. Loop stall ≤ 250 ms (≤ 50 ms: missed by the machine, which had no processor), of its own work" in third
    assert fourth == "  d 1: D. Loop stall not measured"


def test_the_worst_of_several_times() -> None:
    """Each figure for itself."""
    assert Stall(0.05, 0.001, 0.1).or_worse(None) == Stall(0.05, 0.001, 0.1)
    assert Stall(0.05, 0.001, 0.1).or_worse(Stall(0.01, 0.005, 0.2)) == Stall(0.05, 0.005, 0.2)


async def test_a_runner_that_does_not_say() -> None:
    """No endpoint, no figure; no process, no wait for a processor."""
    assert await loop(1) is None
    assert waited(2**22 + 1) == 0.0
    assert waited(os.getpid()) >= 0.0
