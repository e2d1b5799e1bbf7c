"""Rates that change: what the flags say, when tasks arrive, figures by step."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from reptarium.pool.bench import parts
from reptarium.pool.bench.cases import CASES
from reptarium.pool.bench.load import Round
from reptarium.pool.bench.stages import Stage, arrivals, ramp, shown, steady, steps
from tests.unit.bench.test_bench_numbers import outcome, result


def test_a_ramp_has_ten_stretches() -> None:
    """Each goes on where the one before ended."""
    found = ramp("10..500/60s")
    assert found[0] == Stage(10.0, 59.0, 6.0)
    assert found[-1] == Stage(451.0, 500.0, 6.0)
    assert all(one.last == other.first for one, other in pairwise(found))
    assert shown(found) == "open loop, 10 to 500 tasks/s in 60 s"
    assert ramp("100..0/2.5")[-1].last == 0.0


def test_steps_are_rates_one_after_the_other() -> None:
    """All of them take as long."""
    assert steps("50,100/30s") == (Stage(50.0, 50.0, 30.0), Stage(100.0, 100.0, 30.0))
    assert shown(steps("50,100/30s")) == "open loop, 50, 100 tasks/s, 30 s each"


@pytest.mark.parametrize("text", ["", "10", "10..20", "10..20/0s", "0..0/5s", "10...20/5s", "-1..5/5s", "a..b/5s"])
def test_what_is_no_ramp(text: str) -> None:
    """Is answered with one that is."""
    with pytest.raises(ValueError, match=r"10\.\.500/60s goes from"):
        ramp(text)


@pytest.mark.parametrize("text", ["", "10", "10,20", "10,0/5s", "10,/5s", "10,20/0s"])
def test_what_are_no_steps(text: str) -> None:
    """Is answered with some that are."""
    with pytest.raises(ValueError, match="50,100,200/30s is each of"):
        steps(text)


@pytest.mark.parametrize(
    "stages", [ramp("0..400/20s"), ramp("400..0/20s"), steps("100,300/10s"), (Stage(200.0, 200.0, 20.0),)]
)
def test_as_many_arrive_as_the_rates_say(stages: tuple[Stage, ...]) -> None:
    """Over each stage, within what chance does, in order and in time."""
    found = list(arrivals(stages, random.Random(4)))
    assert found == sorted(found)
    begun = 0.0
    for stage in stages:
        expected = stage.rate * stage.seconds
        there = sum(begun <= at < begun + stage.seconds for at in found)
        assert abs(there - expected) < 4 * expected**0.5 + 1
        begun += stage.seconds
    assert found[-1] < begun


def test_one_rate_has_no_end() -> None:
    """Whoever asks decides when it is enough."""
    found = arrivals(steady(50.0), random.Random(1))
    assert 150 < [next(found) for _ in range(10_000)][-1] < 250


def loaded(latency: float, *, fails_from: float = 10.0) -> Round:
    """Two seconds at 100 tasks a second, then two at 200; each takes ``latency`` more from the third second on."""
    one = Round()
    one.wall = 4.0
    for number in range(600):
        start = number / 100 if number < 200 else 2 + (number - 200) / 200
        took = 0.01 + (latency * (start - 2) if start > 2 else 0.0)
        ended = outcome("done", b'[{"json":{"n":%d}}]' % (number + 1))
        if start >= fails_from:
            ended = outcome("timeout", error="too long")
        one.add(CASES["trivial"], number, start, ended, 0, start + took)
    return one


def test_figures_by_step() -> None:
    """What arrived in a step, what ended well in it, and how long those that came in it took, over all rounds."""
    stages = steps("100,200/2s")
    found = result("a", loaded(1.0), loaded(1.0, fails_from=3.5), stages=stages).steps
    assert [(step.at, step.wanted, step.arrived) for step in found] == [(0.0, 100.0, 100.0), (2.0, 200.0, 200.0)]
    assert found[0].done == pytest.approx(100.0, abs=1)
    assert found[1].done == pytest.approx(100.0, abs=3)  # half of what came
    assert found[0].latency["max"] == pytest.approx(0.01)
    assert found[1].latency["max"] == pytest.approx(2.0, abs=0.03)
    assert found[1].failed == {"timeout": 100}
    assert result("a", loaded(0.0), stages=stages[:1]).steps == []


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (loaded(0.0), "kept up with all of it, 200/s at the end"),
        (loaded(1.0), "kept up with 100/s, not with more"),
        (loaded(0.0, fails_from=3.9), "kept up with 100/s, not with more"),
        (loaded(0.0, fails_from=0.0), "didn't keep up with 100/s"),
    ],
    ids=["all", "behind", "failing", "nothing"],
)
def test_how_far_it_kept_up(one: Round, said: str) -> None:
    """Up to the first step in which tasks fail, or more are left than chance leaves."""
    assert parts.kept_up(parts.steps([one], steps("100,200/2s"))) == said
