"""Who may take how many tasks: the owner of the slots, and brokers that take tasks for the offers that they hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from reptarium.pool.brokers.capacity import LONGEST_TURN, TURN, Capacity
from reptarium.pool.brokers.trial import FIRST_REST, LONGEST_REST
from tests.limits import examples
from tests.unit.brokers.market import Link, Market, forgotten, here, offers


def test_a_single_broker_has_all_slots() -> None:
    """It is told once, and counts for itself from then on."""
    link = Link()
    owner = here(3, link)
    assert (link.told, link.open_offers, link.calls) == (3, 3, 1)
    assert owner.room(link) is None
    assert link.take(owner, 1.0)
    link.end(owner, 2.0)
    assert (link.open_offers, link.calls) == (3, 1)


def test_each_of_several_brokers_holds_an_offer() -> None:
    """One free slot is offered to all: an offer is an invitation."""
    links = Link(), Link(), Link()
    owner = here(1, *links)
    assert offers(*links) == [1, 1, 1]
    assert [owner.room(link) for link in links] == [1, 1, 1]


def test_a_taken_slot_is_withdrawn_from_nobody() -> None:
    """Who tries it is turned away, and it costs nothing while nobody does."""
    links = first, second, third = Link(), Link(), Link()
    owner = here(1, *links)
    calls = [link.calls for link in links]
    assert first.take(owner, 10.0)
    assert [link.calls for link in links] == calls
    assert not second.take(owner, 10.0)
    assert offers(*links) == [0, 0, 1]
    assert owner.accepted == 1
    first.end(owner, 10.1)
    assert second.open_offers == 1
    assert owner.room(third) == 0  # it is kept


def test_what_is_kept_goes_to_the_next_after_its_turn() -> None:
    """For TURN seconds it is the turned-away broker's alone, after that everybody's."""
    links = first, second, third = Link(), Link(), Link()
    owner = here(1, *links)
    first.take(owner, 10.0)
    second.take(owner, 10.0)
    first.end(owner, 11.0)
    assert (owner.room(second), owner.room(third)) == (1, 0)
    assert owner.next_deadline() == pytest.approx(11.0 + TURN)
    owner.tick(11.0 + 0.9 * TURN)
    assert owner.room(third) == 0
    owner.tick(11.0 + 1.1 * TURN)
    assert owner.next_deadline() is None
    assert (owner.room(second), owner.room(third)) == (1, 1)


def test_a_distant_broker_is_kept_a_slot_for_longer() -> None:
    """As long as twice the time that it has taken to answer, within LONGEST_TURN."""
    links = near, far = Link(), Link()
    owner = here(1, *links)
    near.take(owner, 10.0)
    owner.tick(20.0)
    far.open_offers = 0
    owner.changed(far, 20.0)
    near.end(owner, 20.0)
    assert far.open_offers == 1
    near.take(owner, 20.0)
    assert not far.take(owner, 20.2)  # its answer has taken so long
    near.end(owner, 20.3)
    assert owner.next_deadline() == pytest.approx(20.7)
    assert owner.room(near) == 0


def test_a_slot_that_the_others_still_hold_is_not_the_only_brokers() -> None:
    """One that drains keeps its tasks; as they end, the slots are the other's."""
    links = stays, leaves = Link(), Link()
    owner = here(2, *links)
    leaves.take(owner, 1.0)
    leaves.registered = False
    owner.changed(leaves, 2.0)
    assert stays.told == 1
    leaves.end(owner, 3.0)
    assert stays.told == 2
    owner.leave(leaves, 4.0)
    assert owner.room(leaves) == 0


def test_a_broker_that_does_not_read_gets_no_offer() -> None:
    """It keeps its place in line until it reads again."""
    links = busy, deaf = Link(), Link(reads=False)
    owner = here(2, *links)
    assert (busy.open_offers, deaf.open_offers) == (2, 0)
    deaf.reads = True
    owner.changed(deaf, 1.0)
    assert deaf.open_offers == 1


def test_slots_that_the_pool_cannot_serve_are_not_offered() -> None:
    """Offers are withdrawn when nothing is left, and made again when there is something."""
    links = Link(), Link()
    owner = here(2, *links)
    owner.set_slots(0, 1.0)
    assert offers(*links) == [0, 0]
    assert [owner.room(link) for link in links] == [0, 0]
    owner.set_slots(5, 2.0)
    assert owner.slots == 2
    assert offers(*links) == [1, 1]
    alone = Link()
    owner = here(2, alone)
    owner.set_slots(1, 1.0)
    assert alone.told == 1


def test_a_link_that_calls_back_when_it_is_told_is_told_once() -> None:
    """Whatever it is told changes something, of which it tells in the same breath."""
    links = first, second = Link(), Link()
    owner = here(1, *links)
    second.on_offer = lambda: owner.changed(second, 5.0)
    first.take(owner, 5.0)
    second.take(owner, 5.0)
    before = second.calls
    first.end(owner, 5.0)
    assert second.calls == before + 1


@given(slots=st.integers(1, 6), brokers=st.integers(2, 12), seconds=st.sampled_from([0.001, 0.02, 1.0]))
@settings(deadline=None, max_examples=examples(25))
def test_slots_go_round(slots: int, brokers: int, seconds: float) -> None:
    """Each has its turn: nobody falls behind, nor by more than a few rounds while nothing is known of them."""
    market = Market(slots, [0.001] * brokers, seconds)
    market.run(brokers * 10)
    assert max(market.served) - min(market.served) <= 2 * slots, market.served
    before = list(market.served)
    market.run(brokers * 30)
    served = [now - then for now, then in zip(market.served, before, strict=True)]
    assert max(served) - min(served) <= slots + 1, served


@given(
    slots=st.integers(1, 4), distances=st.lists(st.sampled_from([0.001, 0.02, 0.06, 0.15, 0.2]), min_size=2, max_size=6)
)
@settings(deadline=None, max_examples=examples(25))
def test_a_distant_broker_gets_its_turn(slots: int, distances: list[float]) -> None:
    """Its word comes late, but what is kept for it is not given to others meanwhile."""
    market = Market(slots, distances, 0.01)
    market.run(len(distances) * 100)  # it isn't known from the beginning how far away they are
    before = list(market.served)
    market.run(len(distances) * 150)
    served = [now - then for now, then in zip(market.served, before, strict=True)]
    assert min(served) >= 18, (served, distances)
    assert max(distances) * 2 < LONGEST_TURN


@pytest.mark.parametrize("brokers", [2, 4, 40])
def test_the_cost_of_a_task_does_not_grow_with_the_brokers(brokers: int) -> None:
    """With full queues each task costs one word to one broker; who is turned away, is at the beginning."""
    market = Market(4, [0.001] * brokers, 0.02)
    market.run(brokers * 10)
    calls, away = sum(link.calls for link in market.links), market.turned_away
    assert away <= 4 * brokers
    market.run(brokers * 40)
    assert sum(link.calls for link in market.links) - calls <= brokers * 30 * 1.1
    assert market.turned_away - away <= brokers * 30 * 0.1


class Brokers(RuleBasedStateMachine):
    """Brokers that come, go, read or don't, and take tasks whenever they hold an offer."""

    links = Bundle("links")

    @initialize(target=links, slots=st.integers(1, 4), tried=st.sampled_from([0, 2, 3]))
    def start(self, slots: int, tried: int) -> Any:
        """So many are on trial already, and none of them has it."""
        self.owner = Capacity(slots)
        self.now = 100.0
        self.joined: list[Link] = []
        begin = [self._come(Link(prompt=False)) for _ in range(tried)]
        for link in begin:
            self.send_a_task(link)
            self.waste_a_slot(link)
        self.wait(LONGEST_REST)
        return multiple(*begin)

    @rule(target=links)
    def come(self) -> Link:
        return self._come(Link())

    def _come(self, link: Link) -> Link:
        self.owner.join(link)
        self.joined.append(link)
        self.owner.changed(link, self.now)
        return link

    @rule(link=links)
    def lose_the_connection(self, link: Link) -> None:
        """Its tasks are killed: the broker has failed them."""
        for _ in range(link.unused):
            link.unused -= 1
            self.owner.wasted(link, self.now)
        link.registered, link.accepted, link.open_offers, link.told, link.reads = False, 0, 0, None, True
        self.owner.changed(link, self.now)

    @rule(link=links)
    def drain(self, link: Link) -> None:
        """It takes nothing more, and finishes what it has."""
        link.registered, link.open_offers, link.told = False, 0, None
        self.owner.changed(link, self.now)

    @rule(link=links)
    def come_back(self, link: Link) -> None:
        if link in self.joined and not link.accepted:
            link.registered = True
            self.owner.changed(link, self.now)

    @rule(link=links)
    def go(self, link: Link) -> None:
        if link in self.joined:
            self.lose_the_connection(link)
            self.joined.remove(link)
            self.owner.leave(link, self.now)

    @rule(link=links)
    def send_a_task(self, link: Link) -> None:
        if link in self.joined and link.registered and link.open_offers:
            link.take(self.owner, self.now)

    @rule(link=links, prompt=st.booleans())
    def be_prompt_or_not(self, link: Link, prompt: bool) -> None:
        """It sends settings for the slots that it takes, or doesn't."""
        link.prompt = prompt

    @rule(link=links)
    def send_settings(self, link: Link) -> None:
        if link in self.joined and link.unused:
            link.use(self.owner, self.now)

    @rule(link=links)
    def waste_a_slot(self, link: Link) -> None:
        if link in self.joined and link.unused:
            link.waste(self.owner, self.now)

    @rule(link=links)
    def end_a_task(self, link: Link) -> None:
        if link in self.joined and link.accepted:
            link.end(self.owner, self.now)

    @rule(link=links)
    def let_an_offer_lapse(self, link: Link) -> None:
        """It is due for renewal while there is no room."""
        if link in self.joined and link.open_offers and (self.owner.room(link) or 1) <= 0:
            link.open_offers -= 1
            self.owner.changed(link, self.now)

    @rule(link=links, reads=st.booleans())
    def read(self, link: Link, reads: bool) -> None:
        link.reads = reads
        self.owner.changed(link, self.now)

    @rule(slots=st.integers(0, 4))
    def lack_slots(self, slots: int) -> None:
        self.owner.set_slots(slots, self.now)

    @rule(seconds=st.sampled_from([0.001, TURN / 2, TURN, LONGEST_TURN, FIRST_REST, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.owner.tick(self.now)

    @invariant()
    def what_is_counted_is_what_there_is(self) -> None:
        taken = sum(link.accepted for link in self.joined)
        assert taken == self.owner.accepted <= self.owner._most
        assert all(link.open_offers <= self.owner._most for link in self.joined)
        assert self.owner._keeps == sum(len(self.owner._places[link].kept) for link in self.joined)
        if self.owner.shared:
            for link in self.joined:
                room = self.owner.room(link)
                assert room is not None
                assert taken + room <= max(self.owner.slots, taken)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        """Who may send tasks holds an offer, or waits for one; and nobody waits while a slot is free."""
        ready = [link for link in self.joined if link.registered]
        if not self.owner.shared:
            for link in ready:
                assert link.told == max(self.owner.slots - self.owner.accepted + link.accepted, 0)
            return
        for link in ready:
            assert forgotten(self.owner, link) is None

    @invariant()
    def who_has_wasted_slots_has_one_at_a_time(self) -> None:
        """And all who are on trial have one between them, beside those that they took before."""
        if not self.owner.shared:
            return
        places = [self.owner._places[link] for link in self.joined]
        for place in places:
            if place.conduct.limited:
                room = self.owner.room(place.holder)
                assert room is not None
                assert room <= (0 if place.holder.unused else 1)
        tried = [place for place in places if place.conduct.on_trial]
        may = [place for place in tried if self.owner.room(place.holder)]
        assert sum(len(place.kept) for place in tried) <= 1
        if any(place.kept or self.owner._trial.has(place.conduct) for place in tried):
            assert len(may) <= 1
        assert all(not place.kept or self.owner._trial.has(place.conduct) for place in tried)


TestBrokers = Brokers.TestCase
TestBrokers.settings = settings(max_examples=examples(50), stateful_step_count=40, deadline=None)
