"""The figures that must be reached, held against a run's results."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence

from reptarium.pool.bench.cases import bulk_items
from reptarium.pool.bench.report import CaseResult, Ratio, Target

_MB = 1e6
#: A run of this many tasks tells whether anything is left behind, over what is there after so many.
SOAK, SETTLED = 20_000, 2_000
#: MB that the supervisor may keep beyond that: Python's allocator keeps what the highest wave has needed, in arenas of
#: 1 MiB, and in more tasks a higher wave comes (what its objects take was the same, 23.4 MB, after 2,000 and 40,000).
_WAVES = 4.0


def judge(results: Sequence[CaseResult], ratios: Sequence[Ratio]) -> list[Target]:
    """The targets that this run can tell about; its first runner is the one that is judged."""
    if not results:
        return []
    ours = results[0].runner
    found: list[Target] = []
    by_case = {result.case: result for result in results if result.runner == ours}
    if (idle := by_case.get("idle")) is not None:
        found.append(_at_most("idle pool, trivial task, median", 3.0, _ms(idle, "p50"), "ms"))
        found.append(_at_most("idle pool, trivial task, p99", 10.0, _ms(idle, "p99"), "ms"))
        found.append(_at_most("start to registered", 1.0, idle.registered_after or math.nan, "s"))
        first = idle.memory[-1]
        found.append(_at_most("supervisor's memory", 60.0, first.supervisor / _MB, "MB"))
        if first.pss is not None:
            found.append(_at_most("zygote and parked workers", 60.0, (first.pss - first.supervisor) / _MB, "MB PSS"))
    if (trivial := by_case.get("trivial")) is not None:
        found.append(_at_least("saturated, trivial tasks", 500.0, trivial.throughput, "tasks/s"))
        found += _soak(trivial)
    for ratio in ratios:
        if ratio.case == "trivial" and any(result.runner == "baseline" for result in results[1:]):
            found.append(_at_least("trivial tasks against the baseline", 25.0, ratio.throughput, "times"))
    if (large := by_case.get("10mb")) is not None:
        found.append(
            _at_most("10 MB in and out over json.loads + json.dumps", 2.5, _ms(large, "p50") / codec_ms(), "times")
        )
    if (pandas := by_case.get("pandas")) is not None:
        found.append(_at_most("pandas group-by of 500 rows, median", 10.0, _ms(pandas, "p50"), "ms"))
    return found


def _soak(result: CaseResult) -> list[Target]:
    """What a long run leaves behind, at rest, over what :data:`SETTLED` tasks had left."""
    if len(result.rest) != 2:
        return []
    early, late = result.rest
    since = f"after {result.tasks:,} tasks over {SETTLED:,}"
    return [
        _at_most(f"supervisor's memory {since}", _WAVES, (late.private - early.private) / _MB, "MB of its own"),
        _at_most(f"descriptors {since}", 0.0, late.descriptors - early.descriptors, "descriptors"),
        _at_most(f"threads {since}", 0.0, late.threads - early.threads, "threads"),
        _at_most(f"processes {since}", 0.0, late.processes - early.processes, "processes"),
    ]


def codec_ms(size: int = 10_000_000) -> float:
    """Milliseconds of ``json.loads`` and ``json.dumps`` of the 10 MB case's items, the best of three."""
    text, best = json.dumps(bulk_items(size)), float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        json.dumps(json.loads(text))
        best = min(best, time.perf_counter() - begun)
    return best * 1000


def _ms(result: CaseResult, name: str) -> float:
    value = result.latency[name]
    return float("nan") if value is None else value * 1000


def _at_most(name: str, limit: float, value: float, unit: str) -> Target:
    return Target(name=name, wanted=f"at most {limit:g} {unit}", measured=f"{value:.2f} {unit}", met=value <= limit)


def _at_least(name: str, limit: float, value: float, unit: str) -> Target:
    return Target(name=name, wanted=f"at least {limit:g} {unit}", measured=f"{value:.1f} {unit}", met=value >= limit)
