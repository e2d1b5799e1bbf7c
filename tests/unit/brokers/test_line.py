"""Whose turn it is among those who wait for a slot: whoever has held them for the least time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from reptarium.pool.brokers.line import LONGEST, Line, Share
from tests.unit.brokers.market import Market


@dataclass(eq=False)
class Waiter:
    name: str
    share: Share = field(default_factory=Share)
    kept: list[None] = field(default_factory=list)


def waiting(*names: str, now: float = 0.0) -> tuple[Line[Waiter], list[Waiter]]:
    """A line of these, who came in their order."""
    line: Line[Waiter] = Line(slots=3)
    waiters = [Waiter(name) for name in names]
    for one in waiters:
        line.join(one, now)
    return line, waiters


def order(line: Line[Waiter], now: float) -> str:
    """Who is next, and next, if each waits on."""
    ordered = [line.pop(now) for _ in range(len(line))]
    for one in ordered:
        line.stay(one, now)
    return "".join(one.name for one in ordered)


def test_those_who_have_held_as_much_go_in_a_circle() -> None:
    """Whoever has been first is last."""
    line, _ = waiting("a", "b", "c")
    assert order(line, 0.0) == "abc"
    line.stay(line.pop(0.0), 0.0)
    assert order(line, 0.0) == "bca"
    assert len(line) == 3


def test_who_has_held_slots_for_less_time_is_first() -> None:
    """A task that runs counts as it goes on, and what is kept as much as its tasks take as a rule."""
    line, (a, b, c) = waiting("a", "b", "c")
    line.count(a, 2, 0.0)
    line.count(b, 1, 0.0)
    assert order(line, 1.0) == "cba"
    line.count(a, 0, 1.0)
    line.count(b, 0, 1.5)
    line.count(c, 1, 1.5)
    assert (a.share.usual, b.share.usual) == (1.0, 1.5)
    assert order(line, 3.0) == "cba"
    assert order(line, 5.0) == "bac"
    a.kept.append(None)
    line.stay(a, 5.0)
    assert order(line, 5.0) == "bca"


def test_whose_tasks_get_shorter_while_he_waits_is_before_whose_are_long() -> None:
    """What a slot is likely to take him is what his last tasks took, not what they did when he lined up."""
    line, (a, b) = waiting("a", "b")
    line.count(a, 3, 0.0)
    line.count(b, 1, 0.0)
    line.count(a, 2, 2.0)  # its first: all that three have held till then
    line.count(b, 0, 2.0)
    line.stay(a, 2.0)
    line.count(a, 0, 2.1)  # the others have ended soon after
    assert a.share.counted(2.1) + a.share.usual == pytest.approx(10.725)
    line.stay(b, 2.1)
    b.share.level(9.3, 2.1)
    line.stay(b, 2.1)
    assert b.share.counted(2.1) + b.share.usual == pytest.approx(11.3)
    assert order(line, 2.1) == "ab"


def test_nobody_owes_for_what_nobody_else_wanted() -> None:
    """Who comes into line has held as much as the first of it; into an empty one, nobody has held anything."""
    line, (a,) = waiting("a")
    line.count(a, 3, 0.0)
    b = Waiter("b")
    line.join(b, 10.0)
    assert order(line, 10.0) == "ab"
    assert order(line, 10.1) == "ba"
    for one in (a, b):
        line.leave(one, 20.0)
    line.count(a, 0, 20.0)
    line.count(b, 1, 20.0)
    for one in (b, a):
        line.join(one, 99.0)
    assert order(line, 99.0) == "ba"
    line.count(b, 0, 99.0)
    line.count(a, 1, 99.0)
    line.count(a, 0, 100.0)
    assert order(line, 100.0) == "ba"


def test_who_was_away_for_a_moment_owes_for_a_moment() -> None:
    """An invitation that another was quicker to follow costs no claim; who was away for long has none."""
    line, (a, b) = waiting("a", "b")
    line.count(a, 1, 0.0)
    assert line.pop(10.0) is b  # which is turned away at once
    line.join(b, 10.0)
    assert b.share.counted(10.0) == 0.0
    line.leave(b, 10.0)
    line.join(b, 10.5)
    assert b.share.counted(10.5) == pytest.approx(1.5)  # three slots
    line.leave(b, 11.0)
    line.join(b, 99.0)
    assert b.share.counted(99.0) == pytest.approx(99.0)


def test_what_has_left_the_line_is_forgotten() -> None:
    """However often somebody stays, and goes, the line holds no more than those who wait."""
    line, (a, b) = waiting("a", "b")
    line.count(b, 1, 0.0)
    for _ in range(1000):
        line.stay(b, 1.0)
        line.leave(b, 1.0)
        line.join(b, 1.0)
        line.count(a, 1, 1.0)
        line.count(a, 0, 1.0)
    assert len(line._heap) < 20
    assert a in line
    assert order(line, 1.0) == "ab"


def test_who_has_waited_longest_has_every_second_slot() -> None:
    """Once that is too long, whatever it has had; the others are in the order of what they have had."""
    line, (a, b, c) = waiting("a", "b", "c")
    line.count(a, 9, 0.0)
    line.count(a, 0, 1.0)
    late = 1.0 + LONGEST
    for one in (b, c):
        line.stay(one, 1.0)
    assert order(line, LONGEST) == "bca"
    line.stay(a, 0.0)
    for one in (b, c):
        line.stay(one, late)
    assert [line.pop(late).name for _ in range(3)] == ["a", "b", "c"]
    for one in (a, b, c):
        line.join(one, late)
    assert [line.pop(late + 2 * LONGEST).name for _ in range(3)] == ["a", "b", "c"]


@pytest.mark.parametrize(("slots", "hogs"), [(1, 1), (1, 3), (5, 1), (5, 10), (10, 10)])
def test_short_tasks_have_as_much_time_as_long_ones(slots: int, hogs: int) -> None:
    """Beside brokers whose tasks take a hundred times as long one has its part of the time, not of the tasks."""
    market = Market(slots, [0.001] * (hogs + 1), [0.05] + [5.0] * hogs)
    market.run_until(100.0)
    before = list(market.served)
    market.run_until(300.0)
    served = [now - then for now, then in zip(market.served, before, strict=True)]
    part = 200.0 * slots / (hogs + 1)
    assert served[0] * 0.05 >= 0.8 * part, served
    assert min(served[1:]) * 5.0 >= 0.5 * part, served


@pytest.mark.parametrize(("slots", "hogs"), [(1, 1), (1, 2), (5, 1), (5, 10), (10, 50)])
def test_who_wants_little_waits_for_one_slot(slots: int, hogs: int) -> None:
    """A short task a second, beside full queues of long ones: each has the next slot that is free."""
    market = Market(slots, [0.001] * (hogs + 1), [0.05] + [5.0] * hogs, every=1.0)
    market.run_until(300.0)
    assert len(market.waits) > 250
    assert max(market.waits[100:]) <= 5.1


@pytest.mark.parametrize(("slots", "others"), [(1, 1), (1, 10), (5, 20)])
def test_long_tasks_wait_no_longer_than_they_may(slots: int, others: int) -> None:
    """Beside full queues of short ones, however much those may still have before they have had as much."""
    market = Market(slots, [0.001] * (others + 1), [30.0] + [0.2] * others, every=100.0)
    market.run_until(400.0)
    assert len(market.waits) == 4
    assert max(market.waits) <= LONGEST + 1.0


def test_many_long_tasks_leave_every_second_slot() -> None:
    """Where a round takes longer than anybody should wait, short tasks have less than their part, and don't stand."""
    market = Market(5, [0.001] * 51, [0.05] + [5.0] * 50)
    market.run_until(100.0)
    before = market.served[0]
    market.run_until(200.0)
    assert market.served[0] - before >= 90
