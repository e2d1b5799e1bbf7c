"""A case's tasks in parts: by kind, by runner, by the step of a ramp; and who came and went."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from reptarium.pool.bench.coming import Coming
from reptarium.pool.bench.load import Round, Split
from reptarium.pool.bench.stages import Stage
from reptarium.pool.bench.stats import summary

#: Share of a step's tasks that may be unfinished at its end for a runner to keep up. Beside that, twice what chance
#: does: arrivals are a Poisson process.
_BEHIND = 0.05


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the tasks: those of one kind, or of one runner. Latencies in seconds, of the good ones."""

    name: str
    good: int
    failed: dict[str, int]
    latency: dict[str, float | None]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a load that changes: ``seconds`` from ``at`` on, in each round.

    Tasks a second: ``wanted`` by the plan, ``arrived`` in this step, ``done`` well within it, of whichever step they
    were. Latencies (s) and failures are of those that arrived in it.
    """

    at: float
    seconds: float
    wanted: float
    arrived: float
    done: float
    failed: dict[str, int]
    latency: dict[str, float | None]


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """A runner came or went, ``at`` seconds on the timeline; ``runners`` are there since then."""

    at: float
    runners: int
    text: str


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """Runners that were started elsewhere: how many were expected, and how many were there during the case."""

    expected: int
    least: int
    most: int
    changes: list[Came]


def kinds(rounds: Sequence[Round]) -> list[Part]:
    """By kind of task; empty where there is only one."""
    return _parts([one.by_case for one in rounds], {})


def of_runners(rounds: Sequence[Round], coming: Coming | None) -> list[Part]:
    """By runner; empty where there is only one."""
    return _parts([one.by_runner for one in rounds], coming.names if coming is not None else {})


def _parts(splits: Sequence[dict[str, Split]], names: dict[str, str]) -> list[Part]:
    keys = sorted({key for one in splits for key in one})
    if len(keys) < 2:
        return []
    found = []
    for key in keys:
        latencies = [value for one in splits if key in one for value in one[key].latencies]
        failed: Counter[str] = Counter()
        for one in splits:
            if key in one:
                failed.update(one[key].failed)
        name = f"{names[key]} ({key})" if key in names else key
        found.append(Part(name=name, good=len(latencies), failed=dict(failed), latency=summary(latencies)))
    return found


def steps(rounds: Sequence[Round], stages: Sequence[Stage]) -> list[Step]:
    """By step; empty for a load that doesn't change. A round that was ended early counts as far as it came."""
    found, at = [], 0.0
    for stage in stages if len(stages) > 1 else ():
        end = at + stage.seconds
        latencies = [v for one in rounds for s, v in zip(one.starts, one.latencies, strict=True) if at <= s < end]
        failed = Counter(kind for one in rounds for start, kind in one.failed_starts if at <= start < end)
        done = sum(at <= s + v < end for one in rounds for s, v in zip(one.starts, one.latencies, strict=True))
        lasted = sum(min(max(one.wall - at, 0.0), stage.seconds) for one in rounds)
        if lasted:
            found.append(
                Step(
                    at=at, seconds=stage.seconds, wanted=stage.rate, arrived=(len(latencies) + failed.total()) / lasted,
                    done=done / lasted, failed=dict(failed), latency=summary(latencies),
                )
            )  # fmt: skip
        at = end
    return found


def kept_up(steps: Sequence[Step]) -> str:
    """Up to which rate as many tasks ended well as came, in words."""
    last, behind = None, 0.0
    for step in steps:
        arrived = step.arrived * step.seconds
        behind += arrived - step.done * step.seconds
        if step.failed or behind > _BEHIND * arrived + 2 * math.sqrt(arrived):
            break
        last = step
    else:
        return f"kept up with all of it, {steps[-1].wanted:g}/s at the end"
    return f"kept up with {last.wanted:g}/s, not with more" if last else f"didn't keep up with {steps[0].wanted:g}/s"


def fleet(rounds: Sequence[Round], coming: Coming, there: int) -> Fleet:
    """Who came and went during the rounds. ``there``: how many runners are there at their end."""
    during, counts = [], [there]
    for change, before in zip(coming.changes, [None, *coming.changes], strict=False):
        at = 0.0
        for one in rounds:
            if one.begun <= change.at <= one.begun + one.wall:
                during.append(Came(at=at + change.at - one.begun, runners=change.runners, text=change.text))
                counts += [change.runners] + ([before.runners] if before is not None else [])
            at += one.wall
    return Fleet(expected=coming.expected, least=min(counts), most=max(counts), changes=during)
