"""The numbers and the report of the load generator, from made-up rounds."""

from __future__ import annotations

import json
import math
import random
import re

import msgspec
import pytest

from reptarium.pool.bench import report, targets
from reptarium.pool.bench.cases import CASES, Mix
from reptarium.pool.bench.chaos import wrong
from reptarium.pool.bench.load import Round
from reptarium.pool.bench.stats import Usage, histogram, percentile, summary
from reptarium.pool.embedded_broker import Outcome, Timings
from reptarium.pool.protocol.messages import TaskDoneData, TaskErrorData


def outcome(status: str, result: bytes | None = None, error: str | None = None) -> Outcome:
    """An outcome as the broker makes it."""
    import msgspec

    return Outcome(
        task_id="t",
        status=status,  # type: ignore[arg-type]
        timings=Timings(0.0),
        data=None if result is None else TaskDoneData(msgspec.Raw(result)),
        error=None if error is None else TaskErrorData(message=error),
    )


def a_round(tasks: int = 100, latency: float = 0.01) -> Round:
    """A round in which each task took ``latency`` seconds, one after the other."""
    one = Round()
    for number in range(tasks):
        done = outcome("done", b'[{"json":{"n":%d}}]' % (number + 1))
        one.add(CASES["trivial"], number, number * latency, done, 0, (number + 1) * latency)
    one.wall = tasks * latency
    return one


class FakeRunner:
    """Stands in for a runner process where only its name and start are read."""

    command = "runner <&>"
    registered_after = 0.5


class FakeSite:
    """Stands in for a site."""

    def __init__(self, label: str) -> None:
        self.label, self.runners = label, [FakeRunner()]


def result(label: str, *rounds: Round, case: str = "trivial") -> report.CaseResult:
    """The result of some rounds."""
    return report.case_result(case, "closed loop", FakeSite(label), rounds)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 99, 100, 101, 1000])
def test_percentile_is_a_measured_value(count: int) -> None:
    """At least the asked share of the values lies at or below the nearest-rank percentile, and fewer below it."""
    values = sorted(random.Random(count).random() for _ in range(count))
    for percent in (0.1, 50, 90, 99, 99.9, 100):
        found = percentile(values, percent)
        assert found in values
        assert sum(value <= found for value in values) >= percent / 100 * count
        assert sum(value < found for value in values) < percent / 100 * count


def test_no_value_has_no_percentile() -> None:
    """Nothing measured is None in the summary, which JSON can hold, and NaN for one percentile."""
    assert set(summary([]).values()) == {None}
    assert math.isnan(percentile([], 50))


def test_histogram_keeps_every_value_below_its_bound() -> None:
    """The bins hold all values, each at most its bin's upper bound."""
    values = [0.0001 * 1.3**power for power in range(40)]
    bins = histogram(values)
    assert sum(count for _, count in bins) == 40
    for upper, _ in bins:
        assert sum(v <= upper * (1 + 1e-9) for v in values) == sum(c for b, c in bins if b <= upper)


def test_another_tasks_result_is_wrong() -> None:
    """A task that is answered with the result of another counts as a failure, under load and under faults."""
    case = CASES["trivial"]
    theirs = outcome("done", b'[{"json":{"n":8}}]')
    assert case.right(7, theirs)
    assert not case.right(6, theirs)
    assert wrong(case, 6, theirs, 0, lambda: True) is not None
    one = Round()
    one.add(case, 6, 0.0, theirs, 0, 1.0)
    assert one.failures == 1
    assert "trivial 6" in one.wrong[0]


def test_missing_print_is_wrong() -> None:
    """A task that printed ten lines must have delivered ten."""
    done = outcome("done", b'[{"json":{"n":2}}]')
    assert CASES["prints"].right(1, done, 10)
    assert not CASES["prints"].right(1, done, 9)


def test_failing_case_wants_its_own_error() -> None:
    """An error that names another task, or success, is not what a failing task must end in."""
    case = CASES["failing"]
    assert case.right(3, outcome("error", error="wrong 3"))
    assert not case.right(3, outcome("error", error="wrong 4"))
    assert not case.right(3, outcome("done", b"[]"))


def test_mix_repeats() -> None:
    """The same seed gives the same sequence of cases, another seed another."""
    first, second, other = Mix(5), Mix(5), Mix(6)
    names = [first().name for _ in range(200)]
    assert names == [second().name for _ in range(200)]
    assert names != [other().name for _ in range(200)]


def test_ratio_is_of_the_first_over_the_second() -> None:
    """A runner that takes half the time has twice the throughput and a p50 ratio of two, in each round."""
    fast, slow = result("a", a_round(), a_round()), result("b", a_round(latency=0.02), a_round(latency=0.02))
    found = report.ratio(fast, slow)
    assert found.throughput == pytest.approx(2.0)
    assert found.rounds == pytest.approx([2.0, 2.0])
    assert found.p50 == pytest.approx(2.0)


def test_timeline_holds_every_task() -> None:
    """Rates times widths over the timeline add up to all tasks of all rounds."""
    rounds = [a_round(50), a_round(70)]
    width = sum(one.wall for one in rounds) / 60
    assert sum(slot.rate * width for slot in report.timeline(rounds)) == pytest.approx(120)


def test_targets_can_be_missed() -> None:
    """A slow run misses the throughput target and a fast one meets it."""
    for latency, met in ((0.01, False), (0.001, True)):
        found = targets.judge([result("a", a_round(latency=latency))], [])
        assert [(target.name, target.met) for target in found] == [("saturated, trivial tasks", met)]


def at_rest(private: int, descriptors: int, processes: int = 12) -> Usage:
    """An idle runner."""
    return Usage(
        at=0.0, cpu=0.0, rss=0, pss=None, supervisor=45 * 10**6, private=private * 10**6, processes=processes,
        descriptors=descriptors, threads=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("late", "missed"),
    [
        (at_rest(41, 30), []),
        (at_rest(45, 30), ["supervisor's memory"]),
        (at_rest(40, 31), ["descriptors"]),
        (at_rest(40, 30, 13), ["processes"]),
    ],
    ids=["no more", "memory", "descriptors", "processes"],
)
def test_a_long_run_is_judged_by_what_it_leaves_behind(late: Usage, missed: list[str]) -> None:
    """A supervisor that has grown over 20,000 tasks, in memory or descriptors, misses a target."""
    long = msgspec.structs.replace(result("a", a_round()), tasks=20_000, rest=[at_rest(40, 30), late])
    found = [target for target in targets.judge([long], []) if "20,000" in target.name]
    assert len(found) == 4
    assert [target.name.partition(" after")[0] for target in found if not target.met] == missed


def test_page_loads_nothing_and_escapes() -> None:
    """The HTML has no address of anything outside it, and text from outside is escaped."""
    whole = report.build(["--case", "<script>"], [result("<b>", a_round())], [], [])
    page = report.to_html(whole)
    assert not re.search(r"(?:src|href|url)\s*[=(]|https?://|@import", page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;" in page
    assert page.count("<svg") >= 3


def test_json_report_reads_back() -> None:
    """The JSON report is valid JSON with the tasks and the percentiles."""
    data = json.loads(report.to_json(report.build([], [result("a", a_round())], [], [])))
    assert data["results"][0]["tasks"] == 100
    assert data["results"][0]["latency"]["p50"] == pytest.approx(0.01)
