"""Brokers that take slots and send no settings for them: what they get, and what the others get."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reptarium.pool.brokers.trial import FIRST_REST, FORGOTTEN, LONGEST_REST, PATIENCE
from tests.limits import examples
from tests.unit.brokers.market import Link, Market, here, offers


def test_of_whom_nothing_is_known_has_one_slot_that_it_does_not_use() -> None:
    """As soon as its first task has its settings, it has as many as there are."""
    links = _, new = Link(), Link(prompt=False)
    owner = here(3, *links)
    assert new.take(owner, 1.0)
    assert (owner.room(new), new.open_offers) == (0, 0)
    new.use(owner, 1.2)
    assert owner.room(new) == 2
    assert new.open_offers


def test_who_holds_offers_from_before_gets_no_more_with_its_first_settings() -> None:
    """It had all slots while it was alone, and is known only now."""
    alone, second = Link(prompt=False), Link()
    owner = here(3, alone, second)
    assert alone.take(owner, 0.01)
    alone.use(owner, 0.02)
    assert alone.open_offers == 2


def test_who_has_wasted_a_slot_is_served_again_after_a_moment() -> None:
    """It may have been broken down. One that it uses, and all is as before, but for one at a time."""
    links = _, broken = Link(), Link()
    owner = here(3, *links)
    broken.take(owner, 1.0)
    broken.end(owner, 1.1)
    broken.prompt = False
    assert broken.take(owner, 2.0)
    assert broken.take(owner, 2.0)
    assert broken.waste(owner, 3.0) == FIRST_REST
    assert broken.waste(owner, 3.0) is None  # the same breakdown
    broken.open_offers = 0
    owner.changed(broken, 3.0)
    owner.tick(3.0 + 0.9 * FIRST_REST)
    assert (owner.room(broken), broken.open_offers) == (0, 0)
    assert owner.next_deadline() == pytest.approx(3.0 + FIRST_REST)
    owner.tick(3.0 + FIRST_REST)
    assert (owner.room(broken), broken.open_offers) == (1, 1)
    broken.prompt = True
    assert broken.take(owner, 5.0)
    assert broken.open_offers
    assert owner.room(broken) == 1


def test_a_waste_is_forgotten_after_a_while() -> None:
    """Then it may hold several again that it doesn't use yet."""
    links = _, broken = Link(), Link()
    owner = here(3, *links)
    broken.prompt = False
    broken.take(owner, 1.0)
    broken.waste(owner, 2.0)
    broken.prompt = True
    owner.tick(4.0)
    assert broken.take(owner, 4.0)
    assert owner.room(broken) == 1
    assert broken.take(owner, 2.0 + FORGOTTEN)
    assert owner.room(broken) == 1
    assert owner.free == 1
    broken.end(owner, 3.0 + FORGOTTEN)
    assert owner.room(broken) == 2


@pytest.mark.parametrize(("slots", "others"), [(1, 3), (2, 1)])
def test_who_has_wasted_one_slot_has_its_part_of_the_time_again(slots: int, others: int) -> None:
    """While it may hold one at a time only that it doesn't use, it leaves the line for a moment, and loses nothing."""
    market = Market(slots, [0.001] * (others + 1), 0.1, patience=0.5)
    broken = market.links[-1]
    broken.prompt = False
    market.run_until(0.7)
    assert market.owner.wasted(broken, 0.7) is None
    broken.prompt = True
    market.run_until(10.0)
    before = list(market.served)
    market.run_until(40.0)
    served = [now - then for now, then in zip(market.served, before, strict=True)]
    assert served[-1] >= 0.9 * sum(served) / len(served), served


def test_those_on_trial_have_one_slot_between_them() -> None:
    """Who has wasted least is next; and after each waste nobody, for three times as long as that took."""
    links = _, worst, better = Link(), Link(prompt=False), Link(prompt=False)
    owner = here(3, *links)
    worst.take(owner, 1.0)
    worst.waste(owner, 2.0)
    owner.tick(3.0)
    assert worst.take(owner, 3.0)
    assert worst.waste(owner, 7.0) == 3 * 4.0
    better.take(owner, 8.0)
    better.waste(owner, 9.0)  # while there is a rest anyway
    assert owner.next_deadline() == pytest.approx(19.0)
    worst.open_offers = better.open_offers = 1
    for link in (worst, better):  # both have tasks
        assert not link.take(owner, 10.0)
    assert offers(worst, better) == [0, 0]
    owner.tick(19.0)
    assert offers(worst, better) == [0, 1]
    assert (owner.room(better), owner.room(worst)) == (1, 0)
    assert better.take(owner, 19.01)
    owner.tick(30.0)
    assert offers(worst, better) == [0, 0]
    better.use(owner, 30.0)
    assert worst.open_offers == 1


def test_a_trial_that_is_not_taken_is_the_next_ones() -> None:
    """Who has no task keeps his offer, and holds up nobody."""
    links = _, idle, eager = Link(), Link(prompt=False), Link(prompt=False)
    owner = here(3, *links)
    for link in (idle, eager):
        link.take(owner, 1.0)
        link.waste(owner, 2.0)
    owner.tick(3.0)
    assert offers(idle, eager) == [1, 1]
    assert eager.take(owner, 3.0)
    assert owner.room(idle) == 0
    eager.prompt = True
    eager.use(owner, 3.1)
    assert owner.room(idle) == 1


def test_a_trial_is_nobodys_when_its_broker_goes() -> None:
    """With the connection, or for good, whatever was kept for it."""
    links = _, goes, stays = Link(), Link(prompt=False), Link(prompt=False)
    owner = here(3, *links)
    for link in (goes, stays):
        link.take(owner, 1.0)
        link.waste(owner, 2.0)
    owner.tick(3.0)
    goes.take(owner, 3.0)
    assert owner.room(stays) == 0
    goes.accepted = goes.unused = goes.open_offers = 0
    owner.leave(goes, 3.1)
    assert owner.room(stays) == 1


def test_settings_that_others_wait_for_are_not_waited_for_long() -> None:
    """Of a broker of whom nothing is known, or that is on trial; where a slot is free, it has the usual time."""
    links = _, new, waits = Link(), Link(prompt=False), Link()
    owner = here(2, *links)
    given_up: list[float] = []
    new.on_give_up = given_up.append
    assert new.take(owner, 1.0)
    owner.tick(1.0 + PATIENCE)
    assert given_up == []
    assert waits.take(owner, 4.0)
    waits.open_offers = 1
    assert not waits.take(owner, 4.0)
    assert given_up == [4.0]
    new.waste(owner, 4.0)
    new.open_offers = 0
    owner.changed(new, 4.0)
    waits.end(owner, 4.5)
    owner.tick(4.0 + FIRST_REST)
    assert new.take(owner, 5.5)
    assert owner.next_deadline() is None
    waits.open_offers = 1
    assert waits.take(owner, 6.0)
    waits.open_offers = 1
    assert not waits.take(owner, 6.0)
    assert owner.next_deadline() == pytest.approx(5.5 + PATIENCE)
    owner.tick(5.5 + PATIENCE)
    assert given_up == [4.0, 5.5 + PATIENCE]


def test_what_is_given_up_while_the_only_broker_is_told_what_it_has_is_its_own() -> None:
    """A link that is told something tells the owner at once what has changed, which may end another's task."""
    gone, left = Link(prompt=False), Link()
    owner = here(1, gone, left)
    gone.on_give_up = lambda now: gone.waste(owner, now) and None
    left.on_told = lambda now: owner.changed(left, now)
    assert gone.take(owner, 0.0)
    assert left.open_offers == 1  # it wants nothing yet
    gone.registered = False
    owner.changed(gone, PATIENCE + 1.0)
    assert (gone.accepted, left.told, left.open_offers) == (0, 1, 1)


def test_a_single_broker_is_not_tried() -> None:
    """Nobody else would have what it wastes."""
    alone = Link(prompt=False)
    owner = here(2, alone)
    alone.take(owner, 1.0)
    alone.waste(owner, 2.0)
    assert owner.room(alone) is None
    assert alone.told == 2


@given(
    slots=st.integers(1, 10),
    wasteful=st.sampled_from([1, 3, 12, 50]),
    patience=st.sampled_from([0.5, 30.0]),
    seconds=st.sampled_from([2.0, 5.0]),
)
@settings(deadline=None, max_examples=examples(12))
def test_a_healthy_broker_has_most_slots_beside_wasteful_ones(
    slots: int, wasteful: int, patience: float, seconds: float
) -> None:
    """Once each has wasted its first, they hold one slot between them, and not all the time; nobody is shut out."""
    market = Market(slots, [0.001] * (wasteful + 1), seconds, wasteful=wasteful, patience=patience)
    patience = min(patience, PATIENCE)
    market.run_until(patience * (wasteful // slots + 2))
    began, before = market.now, list(market.served)
    rest = min(max(3 * patience, FIRST_REST), LONGEST_REST)
    span = max(20 * seconds, 4 * (patience + rest))
    market.run_until(began + span)
    served = [now - then for now, then in zip(market.served, before, strict=True)]
    most = slots * span / (seconds + 0.002)
    assert served[0] >= most * (0.6 if slots == 1 else 0.9 * (slots - 1) / slots), (served, most)
    tried = sum(served[1:])
    assert 1 <= tried <= span / (patience + FIRST_REST) + 2
