"""What fails a run: ``--fail-if 'p99>50ms'``, for continuous integration; and two reports held against each other."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Iterator

import msgspec

from reptarium.pool.bench.report import BenchReport, CaseResult, cpu_text, failed_text, ms
from reptarium.pool.bench.stats import percentile

_LATENCIES = ("p50", "p90", "p99", "p99.9", "max")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_PATTERN = re.compile(
    r"\s*(p50|p90|p99\.9|p99|max|rate|failed|cpu)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?)\s*(us|ms|s|%|/s)?\s*"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
}  # fmt: skip
#: How it is written, for who wrote it otherwise.
ALLOWED = (
    "p50, p90, p99, p99.9, max or cpu with us, ms or s (p99>50ms), rate in tasks/s (rate<400), failed as a number or a "
    "share (failed>0, failed>1%)"
)


class Threshold(msgspec.Struct, frozen=True):
    """A condition under which a run has failed. ``value`` is in seconds, tasks/s, tasks, or a share of 1."""

    text: str
    metric: str
    sign: str
    value: float
    share: bool

    def broken(self, result: CaseResult) -> str | None:
        """What of this result meets the condition, in words; None: nothing does. Without a measurement it is met."""
        found = self._measured(result)
        if found is not None and not _COMPARE[self.sign](found, self.value):
            return None
        return f"{self.text}: {result.case}, {result.runner}: {self.metric} is {self._shown(found)}"

    def _measured(self, result: CaseResult) -> float | None:
        if self.metric in _LATENCIES:
            return result.latency[self.metric]
        if self.metric == "rate":
            return result.throughput
        if self.metric == "cpu":
            return result.cpu_per_task if result.tasks else None
        return result.failures / result.tasks if self.share and result.tasks else float(result.failures)

    def _shown(self, value: float | None) -> str:
        if value is None:
            return "not measured"
        if self.metric == "rate":
            return f"{value:.1f}/s"
        if self.metric == "failed":
            return f"{value:.2%}" if self.share else f"{value:.0f}"
        return f"{ms(value)} ms"


def threshold(text: str) -> Threshold:
    """The condition that a text says. Raises ValueError, with what is allowed."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no condition: {ALLOWED}")
    metric, sign, number, unit = match.groups()
    units = {"rate": (None, "/s"), "failed": (None, "%")}.get(metric, tuple(_SECONDS))
    if unit not in units:
        raise ValueError(f"{text!r}: the unit doesn't go with {metric}; {ALLOWED}")
    value = float(number) * _SECONDS.get(unit or "", 1.0) / (100 if unit == "%" else 1)
    return Threshold(text.strip(), metric, sign, value, unit == "%")


def compared(first: BenchReport, second: BenchReport) -> Iterator[str]:
    """A line for each case and runner that both reports have: the second over the first."""
    before = {(one.case, one.runner): one for one in first.results}
    for after in second.results:
        one = before.get((after.case, after.runner))
        if one is None or not one.throughput:
            continue
        yield (
            f"{after.case}, {after.runner}: {after.throughput / one.throughput:.2f} times the tasks/s "
            f"({one.throughput:.1f} to {after.throughput:.1f}; {_how_sure(one.rates, after.rates)}); "
            f"p50 {ms(one.latency['p50'])} to {ms(after.latency['p50'])} ms, "
            f"p99 {ms(one.latency['p99'])} to {ms(after.latency['p99'])} ms, "
            f"CPU {cpu_text(one)} to {cpu_text(after)} ms a task, "
            f"failed {failed_text(one)} to {failed_text(after)}"
        )


def _how_sure(before: list[float], after: list[float], draws: int = 2000) -> str:
    """Whether the rounds of two runs, which had no turns with each other, tell them apart (bootstrap, 95 %)."""
    if len(before) < 2 or len(after) < 2:
        return "single rounds: no telling how far chance goes"
    rng, ratios = random.Random(1), []
    for _ in range(draws):
        drawn = sum(rng.choices(before, k=len(before))) / len(before)
        ratios.append(sum(rng.choices(after, k=len(after))) / len(after) / drawn if drawn else float("inf"))
    ratios.sort()
    low, high = percentile(ratios, 2.5), percentile(ratios, 97.5)
    told = f"95 %: {low:.2f} to {high:.2f}"
    return f"{told}, within the noise" if low <= 1 <= high else told
