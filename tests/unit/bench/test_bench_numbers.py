"""The numbers and the report of the load generator, from made-up rounds."""

from __future__ import annotations

import io
import json
import math
import random
import re
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from reptarium.pool.bench import page, report, targets
from reptarium.pool.bench.cases import CASES, Mix
from reptarium.pool.bench.chaos import wrong
from reptarium.pool.bench.coming import Coming
from reptarium.pool.bench.conditions import Conditions, Moment
from reptarium.pool.bench.live import LiveFigures
from reptarium.pool.bench.load import Round
from reptarium.pool.bench.stages import Stage
from reptarium.pool.bench.stats import Usage, histogram, percentile, summary
from reptarium.pool.bench.table import show
from reptarium.pool.cli.main import main
from reptarium.pool.cli.status import BAD_INPUT
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


class FakeSite:
    """Stands in for a site where only names and starts are read."""

    command = "runner <&>"
    registered_after = 0.5

    def __init__(self, label: str, coming: Coming | None = None) -> None:
        self.label, self.coming, self.runners = label, coming, [] if coming else [object()]

    def there(self) -> list[object]:
        """As many as came."""
        return [object()] * (self.coming.expected if self.coming else 1)


def result(
    label: str, *rounds: Round, case: str = "trivial", coming: Coming | None = None, stages: Sequence[Stage] = ()
) -> report.CaseResult:
    """The result of some rounds."""
    site = FakeSite(label, coming)
    return report.case_result(case, "closed loop", site, rounds, stages=stages)  # type: ignore[arg-type]


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


def test_rates_are_of_tasks_that_ended_well() -> None:
    """What waited a minute in vain is no measurement of speed: it counts among the failed, by how it ended."""
    one = a_round(100)
    for status in ("no-runner", "no-runner", "timeout"):
        one.add(CASES["trivial"], 1, 0.0, outcome(status, error="gave up"), 0, 60.0)
    one.add(CASES["trivial"], 1, 0.0, outcome("done", b"[]"), 0, 1.0)
    found = result("a", one)
    assert (found.tasks, found.good, found.failures) == (104, 100, 4)
    assert found.failed == {"no-runner": 2, "timeout": 1, "another result": 1}
    assert report.failed_text(found) == "1 another result, 2 no-runner, 1 timeout"
    assert found.throughput == pytest.approx(100.0)
    assert found.rates == pytest.approx([100.0])
    assert found.latency["max"] == pytest.approx(0.01)
    assert "2 no-runner" in page.to_html(report.build([], [found], [], []))


def test_the_same_against_itself_is_within_the_noise() -> None:
    """The interval of a ratio comes of how the rounds differ: equal runners whose rounds vary aren't told apart."""
    rng = random.Random(3)
    noisy = [[a_round(latency=0.01 * rng.uniform(0.8, 1.25)) for _ in range(8)] for _ in range(2)]
    same = report.ratio(result("a", *noisy[0]), result("b", *noisy[1]))
    assert same.interval is not None
    assert same.interval[0] <= 1 <= same.interval[1]
    assert report.verdict(same).endswith("within the noise")
    slow = [a_round(latency=0.02 * rng.uniform(0.8, 1.25)) for _ in range(8)]
    faster = report.ratio(result("a", *noisy[0]), result("b", *slow))
    assert faster.interval is not None
    assert 1.5 < faster.interval[0] <= faster.throughput <= faster.interval[1] < 2.7
    assert "noise" not in report.verdict(faster)
    assert report.ratio(result("a", a_round()), result("b", a_round())).interval is None


def test_lines_for_who_has_no_terminal() -> None:
    """One every five seconds, however often it looks, and none for what is over before: figures of what is recent."""
    now, said = [0.0], io.StringIO()
    live = LiveFigures(Console(file=said, width=80), clock=lambda: now[0])
    for number, total in (("1/2", 4000), ("2/2", None)):
        found = Round()
        with live.round("trivial", number, total, found, FakeSite("ours")):  # type: ignore[arg-type]
            for _ in range(7):
                now[0] += 1.0
                for one in a_round(100).latencies:
                    found.latencies.append(one)
                    found.endings["done"] += 1
                found.failed["timeout"] = 1
                live.look()
    assert said.getvalue().splitlines() == [
        "trivial ours 1/2: 500 of 4000 tasks, 100.0/s, p50 10.00 ms, p99 10.00 ms, 0 in flight, failed: 1 timeout",
        "trivial ours 2/2: 300 tasks, 100.0/s, p50 10.00 ms, p99 10.00 ms, 0 in flight, failed: 1 timeout",
    ]
    metrics = live.metrics.text().decode()
    assert 'reptarium_bench_tasks_total{case="trivial",ending="good",runner="ours"} 1400.0' in metrics
    assert 'reptarium_bench_tasks_total{case="trivial",ending="timeout",runner="ours"} 2.0' in metrics
    assert 'reptarium_bench_task_seconds_bucket{case="trivial",le="0.005",runner="ours"} 0.0' in metrics
    assert 'reptarium_bench_task_seconds_bucket{case="trivial",le="0.02",runner="ours"} 1400.0' in metrics


def test_a_table_for_who_has_a_terminal() -> None:
    """It shows how far the round is, and goes when that is over."""
    said = io.StringIO()
    live = LiveFigures(Console(file=said, width=80, force_terminal=True))
    found = a_round(100)
    with live.round("trivial", "1/2", 4000, found, FakeSite("ours")):  # type: ignore[arg-type]
        live.look()
    assert "trivial, ours, round 1/2: 100 of 4000 tasks" in said.getvalue()
    assert "in flight" in said.getvalue()


def test_conditions_are_shares_of_the_time_that_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Busy is what isn't idle, steal what the host took; guests' time isn't counted twice."""
    times = namedtuple("times", "user nice system idle iowait irq softirq steal guest guest_nice")
    looks = [
        times(*[0] * 10),
        times(2, 0, 1, 5, 1, 0, 0, 1, 2, 0),
        times(3, 0, 1, 5, 1, 0, 0, 3, 3, 0),
    ]
    monkeypatch.setattr("psutil.cpu_times", lambda: looks.pop(0) if len(looks) > 1 else looks[0])
    found = Conditions()
    found.look()
    found.look()
    assert [(one.busy, one.steal) for one in found.moments] == [
        (pytest.approx(0.4), pytest.approx(0.1)),
        (pytest.approx(1.0), pytest.approx(2 / 3)),
    ]
    assert found.steal() == pytest.approx(3 / 13)


def test_a_long_run_has_few_moments() -> None:
    """As many as a page can show, each the mean of a stretch, the last one still the end."""
    found = Conditions()
    found.moments = [Moment(at=float(n), busy=n % 2, steal=0.0, load=1.0) for n in range(1, 1025)]
    held = found.held()
    assert len(held) == 128
    assert held[-1].at == 1024.0
    assert {one.busy for one in held} == {0.5}


@pytest.mark.parametrize(("file", "said"), [("x.pdf", "neither .html nor .json"), ("none/x.html", "No such file")])
def test_a_report_that_cannot_be_written(
    file: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is told before the load, not after it, and names the flag."""
    try:
        status = main(["bench", "--case", "trivial", "--report", str(tmp_path / file)])
    except SystemExit as ended:
        status = int(str(ended.code))
    told = capsys.readouterr().err
    assert status == BAD_INPUT
    assert "--report" in told
    assert said in told


def test_ratio_is_of_the_first_over_the_second() -> None:
    """A runner that takes half the time has twice the throughput and a p50 ratio of two, in each round."""
    fast, slow = result("a", a_round(), a_round()), result("b", a_round(latency=0.02), a_round(latency=0.02))
    found = report.ratio(fast, slow)
    assert found.throughput == pytest.approx(2.0)
    assert found.rounds == pytest.approx([2.0, 2.0])
    assert found.p50 == pytest.approx(2.0)
    said = io.StringIO()
    show(
        report.build([], [fast, slow], [found], []), Console(file=said, width=200, force_terminal=True, highlight=False)
    )
    assert "trivial: a has 2.00 times the tasks/s of b (" in said.getvalue()
    assert "rounds: 2.0, 2.0); p50 10.00 against 20.00 ms" in said.getvalue()


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
    shown = page.to_html(whole)
    assert not re.search(r"(?:src|href|url)\s*[=(]|https?://|@import", shown)
    assert '<meta name="viewport" content="width=device-width' in shown
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert "&lt;b&gt;" in shown
    assert shown.count("<svg") >= 3


def test_json_report_reads_back() -> None:
    """The JSON report is valid JSON with the tasks and the percentiles."""
    data = json.loads(report.to_json(report.build([], [result("a", a_round())], [], [])))
    assert data["results"][0]["tasks"] == 100
    assert data["results"][0]["latency"]["p50"] == pytest.approx(0.01)
