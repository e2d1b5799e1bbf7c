"""Charts of the report: round ticks, titles, a legend, and two runners in one place."""

from __future__ import annotations

import re

import pytest

from reptarium.pool.bench import page, report
from reptarium.pool.bench.charts import Bins, Curve, bars, decades, lines, ticks
from reptarium.pool.bench.conditions import Conditions, Moment
from reptarium.pool.bench.stages import steps
from tests.unit.bench.test_bench_numbers import a_round, result
from tests.unit.bench.test_stages import loaded


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0.0, 97.0, [0, 20, 40, 60, 80, 100]),
        (0.0, 100.0, [0, 20, 40, 60, 80, 100]), (0.0, 1100.0, [0, 500, 1000, 1500]),
        (0.0, 0.07, [0, 0.02, 0.04, 0.06, 0.08]), (3.0, 11.0, [2, 4, 6, 8, 10, 12]), (5.0, 5.0, [5, 5.2]),
    ],
)  # fmt: skip
def test_ticks_are_round_and_reach_around(low: float, high: float, found: list[float]) -> None:
    """One, two or five with zeros, at most a handful."""
    assert ticks(low, high) == found


def test_a_logarithmic_axis_has_round_ticks() -> None:
    """1, 2 and 5 where there is room, decades where there isn't."""
    assert decades(0.9, 12.0) == [0.5, 1, 2, 5, 10, 20]
    assert decades(0.9, 950.0) == [0.1, 1, 10, 100, 1000]
    assert decades(3.0, 3.1) == [2, 5]


def test_a_chart_says_what_is_drawn() -> None:
    """Both axes have a title, each curve a word in the legend, rounds are marked; text from outside is escaped."""
    curves = [Curve("<a>", "a", False, [(0.0, 1.0), (9.0, 47.0)]), Curve("b", "b", True, [(2.0, 3.0)])]
    drawn = lines("Rate", "seconds", "tasks/s", curves, [(4.5, "round 2")])
    for text in ("Rate", ">seconds<", ">tasks/s<", "&lt;a&gt;", "round 2", ">50<", ">10<"):
        assert text in drawn
    assert drawn.count("<polyline") == 2
    assert lines("Rate", "x", "y", [Curve("a", "a", False, [(1.0, 1.0)])]) == ""


def test_histograms_are_shares_of_each_runners_tasks() -> None:
    """A runner with a hundred times the tasks doesn't flatten the other."""
    drawn = bars("Latency", "ms", "%", [Bins("a", "a", [(1.0, 50), (10.0, 50)]), Bins("b", "b", [(1.0, 5000)])])
    heights = [float(height) for height in re.findall(r'height="([\d.]+)"', drawn)]
    assert heights[2] == pytest.approx(2 * heights[0], abs=0.2)
    assert bars("Latency", "ms", "%", [Bins("a", "a", [])]) == ""


def test_two_runners_share_a_chart_and_its_rounds() -> None:
    """Their rounds begin at the same place, whichever of them took longer; the page has conditions and ratios."""
    fast = result("fast", a_round(), a_round())
    slow = result("slow", a_round(latency=0.02), a_round(latency=0.02))
    coloured = [("a", fast), ("b", slow)]
    at, starts = page._laid(coloured)
    assert starts == pytest.approx([0.0, 2.0])
    assert at(fast, 1.5) == pytest.approx(2.5)
    assert at(slow, 2.5) == pytest.approx(2.5)
    conditions = Conditions()
    conditions.moments = [Moment(at=float(n), busy=0.5, steal=0.01, load=2.0 + n) for n in range(3)]
    whole = report.build([], [fast, slow], [report.ratio(fast, slow)], [], conditions=conditions)
    shown = page.to_html(whole)
    assert shown.count("Tasks that ended well</figcaption>") == 1
    assert shown.count("</i>fast p50<") == 1
    assert "fast over slow" in shown
    assert "3.0 during the run, at most 4.0" in shown
    assert "% of their time" in shown
    assert 'data-of="what over what"' in shown  # what a phone shows before each cell


def test_a_ramp_has_its_steps_on_the_page() -> None:
    """As a chart, as a table, and in one sentence."""
    found = result("a", loaded(1.0), stages=steps("100,200/2s"))
    shown = page.to_html(report.build([], [found], [], []))
    assert "kept up with 100/s, not with more" in shown
    assert "Done against wanted, by step" in shown
    assert "2 to 4 s" in shown
