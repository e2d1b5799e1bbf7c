"""Who may take how many tasks: the owner of the slots, with brokers that take what they are told they may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from reptarium.pool.brokers.capacity import TURN, Capacity


@dataclass(eq=False)
class Link:
    """A broker's link that holds what it was told: an offer stands for each slot that it may still take."""

    registered: bool = True
    accepted: int = 0
    capacity: int = 0

    @property
    def offers(self) -> int:
        return max(self.capacity - self.accepted, 0) if self.registered else 0

    def set_capacity(self, capacity: int, now: float) -> None:
        self.capacity = capacity


def joined(slots: int, *links: Link) -> Capacity:
    """The owner of so many slots, with these links."""
    capacity = Capacity(slots)
    for link in links:
        capacity.join(link)
    return capacity


def told(capacity: Capacity, links: Sequence[Link], now: float) -> list[int]:
    """What each link is told that it may have."""
    capacity.share(now)
    return [link.capacity for link in links]


def test_every_broker_is_offered_all_that_is_free() -> None:
    """Free slots are everybody's; what one has taken the others lack."""
    links = Link(accepted=1), Link(accepted=2), Link()
    assert told(joined(10, *links), links, 0.0) == [8, 9, 7]


def test_a_single_broker_needs_no_telling() -> None:
    """It has all slots from its beginning; sharing says nothing to it."""
    link = Link(accepted=3, capacity=7)
    capacity = joined(7, link)
    assert not capacity.shared
    assert told(capacity, [link], 0.0) == [7]
    assert capacity.may_have(link, 0.0) == 7
    capacity.turned_away(link, 0.0)
    assert capacity.may_have(link, 0.0, ending=1) == 7


def test_a_broker_that_left_takes_nothing_away() -> None:
    """Its tasks' slots are free for the others, and it is told nothing any more, whatever is still heard of it."""
    gone, stays = Link(accepted=4, capacity=4), Link()
    capacity = joined(4, gone, stays)
    assert capacity.may_have(stays, 0.0) == 0
    capacity.leave(gone)
    capacity.turned_away(gone, 0.0)
    capacity.served(gone)
    assert capacity.accepted == 0
    assert capacity.may_have(stays, 0.0) == 4


def test_a_kept_slot_goes_back_to_all() -> None:
    """For TURN seconds the freed slot is the turned-away broker's alone, after that everybody's."""
    links = first, second = Link(accepted=1), Link()
    capacity = joined(1, *links)
    capacity.turned_away(second, 10.0)
    first.accepted = 0
    assert told(capacity, links, 10.0) == [0, 1]
    assert told(capacity, links, 10.0 + TURN * 0.9) == [0, 1]
    assert told(capacity, links, 10.0 + TURN * 1.1) == [1, 1]


def test_a_broker_that_was_served_has_had_its_turn() -> None:
    """Nothing is kept for it any more."""
    links = first, second = Link(accepted=1), Link(accepted=1)
    capacity = joined(2, *links)
    capacity.turned_away(second, 10.0)
    capacity.served(second)
    assert capacity.may_have(first, 10.0, ending=1) == 1


def test_nothing_is_kept_for_a_broker_that_is_away() -> None:
    """One that isn't registered can send no task."""
    first, second = Link(accepted=1), Link(registered=False)
    capacity = joined(1, first, second)
    capacity.turned_away(second, 10.0)
    assert capacity.may_have(first, 10.0, ending=1) == 1


def test_the_turned_away_are_told_first() -> None:
    """The latest of them, then the others, the one with the least tasks first."""
    order: list[str] = []

    @dataclass(eq=False)
    class Named(Link):
        name: str = ""

        def set_capacity(self, capacity: int, now: float) -> None:
            order.append(self.name)

    busy, idle, early, late = (
        Named(accepted=accepted, name=name) for name, accepted in {"busy": 3, "idle": 0, "early": 1, "late": 1}.items()
    )
    capacity = joined(9, busy, idle, early, late)
    capacity.turned_away(early, 9.98)
    capacity.turned_away(late, 9.99)
    capacity.share(10.0)
    assert order == ["late", "early", "idle", "busy"]


def test_a_link_that_shares_when_it_is_told_changes_nothing() -> None:
    """Each is told once."""
    said: list[Link] = []

    class Chatty(Link):
        def set_capacity(self, capacity: int, now: float) -> None:
            said.append(self)
            owner.share(now)

    links = [Chatty(), Chatty(), Chatty()]
    owner = joined(3, *links)
    owner.share(0.0)
    owner.share(0.0)
    assert said == links * 2


@given(
    turned_away=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    others=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    freed=st.integers(1, 5),
)
def test_a_turned_away_broker_gets_its_turn(turned_away: list[int], others: list[int], freed: int) -> None:
    """However the slots are spread: as many freed slots as brokers were turned away are left to these alone."""
    first, rest = [Link(accepted=n) for n in turned_away], [Link(accepted=n) for n in others]
    links = first + rest
    taken = sum(link.accepted for link in links)
    capacity = joined(taken, *links)
    for link in first:
        capacity.turned_away(link, 5.0)
    ender = max(rest, key=lambda link: link.accepted)
    ending = min(freed, ender.accepted)
    at_once = capacity.may_have(ender, 5.0, ending=ending) - (ender.accepted - ending)
    ender.accepted -= ending
    capacity.share(5.0)
    assert [link.offers for link in first] == [ending] * len(first)
    assert [link.offers for link in rest] == [max(ending - len(first), 0)] * len(rest)
    assert at_once == ender.offers


class Brokers(RuleBasedStateMachine):
    """Brokers that come, go, take tasks whenever an offer stands, and ask for more than there is."""

    links = Bundle("links")

    @initialize(slots=st.integers(1, 4))
    def start(self, slots: int) -> None:
        self.owner = Capacity(slots)
        self.now = 100.0
        self.here: list[Link] = []

    @rule(target=links)
    def come(self) -> Link:
        link = Link()
        self.owner.join(link)
        link.capacity = self.owner.may_have(link, self.now)
        self.here.append(link)
        return link

    @rule(link=links)
    def lose_the_connection(self, link: Link) -> None:
        """Its tasks are killed: the broker has failed them."""
        link.registered, link.accepted, link.capacity = False, 0, 0
        self.owner.share(self.now)

    @rule(link=links)
    def come_back(self, link: Link) -> None:
        if link in self.here and not link.registered:
            link.registered = True
            link.capacity = self.owner.may_have(link, self.now)

    @rule(link=links)
    def go(self, link: Link) -> None:
        if link in self.here:
            self.lose_the_connection(link)
            self.here.remove(link)
            self.owner.leave(link)
            self.owner.share(self.now)

    @rule(link=links)
    def send_a_task(self, link: Link) -> None:
        """Against an offer that stands, or against one that was withdrawn a moment ago."""
        if link not in self.here or not link.registered:
            return
        if link.offers:
            link.accepted += 1
            self.owner.served(link)
        else:
            self.owner.turned_away(link, self.now)
        self.owner.share(self.now)

    @rule(link=links)
    def end_a_task(self, link: Link) -> None:
        """The slot is offered in the same breath, then the others are told."""
        if link in self.here and link.accepted:
            link.set_capacity(self.owner.may_have(link, self.now, ending=1), self.now)
            link.accepted -= 1
            self.owner.share(self.now)

    @rule(seconds=st.sampled_from([0.001, TURN / 2, TURN, 1.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.owner.share(self.now)

    @invariant()
    def never_more_than_there_are(self) -> None:
        """Whichever offer is accepted next, no task is taken beyond the slots."""
        taken = sum(link.accepted for link in self.here)
        assert taken == self.owner.accepted <= self.owner.slots
        for link in self.here:
            assert taken + link.offers <= self.owner.slots

    @invariant()
    def nothing_lies_idle(self) -> None:
        """A free slot is offered by somebody, if somebody is there."""
        ready = [link for link in self.here if link.registered]
        if ready and self.owner.accepted < self.owner.slots:
            assert any(link.offers for link in ready)


TestBrokers = Brokers.TestCase
TestBrokers.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
