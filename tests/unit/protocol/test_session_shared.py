"""A session whose slots others have a part in, and one whose broker doesn't read: who says what is offered."""

from __future__ import annotations

import random
from itertools import count

import msgspec

from reptarium.pool.protocol.messages import (
    BrokerRunnerRegistered,
    BrokerTaskCancel,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    RunnerTaskDone,
    RunnerTaskOffer,
    RunnerTaskRejected,
    TaskDoneData,
    TaskSettings,
)
from reptarium.pool.protocol.session import Action, Reserve, RunnerSession, SendMessage


def session(room: int | None, capacity: int = 2) -> RunnerSession:
    """A registered session, with so much room in shared slots."""
    numbers = count(1)
    made = RunnerSession(name="R", capacity=capacity, rng=random.Random(1), new_id=lambda: f"o{next(numbers)}")
    made.room = room
    made.receive(BrokerRunnerRegistered(), 0.0)
    return made


def offered(actions: list[Action]) -> list[str]:
    """The ids of what is offered."""
    said = [action.message for action in actions if isinstance(action, SendMessage)]
    return [message.offer_id for message in said if isinstance(message, RunnerTaskOffer)]


def test_shared_slots_are_offered_when_their_owner_says_so() -> None:
    """Nothing of its own accord: not at registration, not for a task that has ended."""
    one = session(room=2)
    assert one.open_offers == 0
    assert offered(one.offer(1.0)) == ["o1"]
    one.receive(BrokerTaskOfferAccept("t", "o1"), 2.0)
    assert (one.accepted, one.open_offers) == (1, 0)
    one.receive(BrokerTaskSettings("t", TaskSettings(code="")), 3.0)
    done = one.finish("t", TaskDoneData(msgspec.Raw(b"[]")), 4.0)
    assert [type(action.message) for action in done if isinstance(action, SendMessage)] == [RunnerTaskDone]


def test_an_offer_without_room_behind_it_is_rejected_and_used_up() -> None:
    """The slot has gone to another broker meanwhile."""
    one = session(room=1)
    one.offer(1.0)
    one.room = 0
    (rejected,) = [a.message for a in one.receive(BrokerTaskOfferAccept("t", "o1"), 2.0) if isinstance(a, SendMessage)]
    assert rejected == RunnerTaskRejected("t", "at capacity")
    assert (one.accepted, one.open_offers) == (0, 0)
    one.room = 1
    one.offer(3.0)
    assert Reserve("t") in one.receive(BrokerTaskOfferAccept("t", "o2"), 4.0)


def test_offers_are_renewed_while_there_is_room() -> None:
    """As many as there is room for; the others lapse."""
    one = session(room=3)
    for _ in range(3):
        one.offer(0.0)
    one.room = 1
    assert len(offered(one.tick(5.0))) == 1
    assert one.open_offers == 1
    one.room = 0
    assert offered(one.tick(10.0)) == []
    assert one.open_offers == 0


def test_offers_of_shared_slots_are_made_anew_when_the_broker_has_forgotten_them() -> None:
    """A task that wasn't acknowledged in time takes all offers with it at n8n: as many as there is room for come back,
    and its own slot goes to whoever the owner says."""
    one = session(room=3)
    for _ in range(3):
        one.offer(0.0)
    one.room = 2
    one.receive(BrokerTaskOfferAccept("t", "o1"), 1.0)
    assert offered(one.receive(BrokerTaskCancel("t", "Acknowledgement window elapsed"), 3.0)) == ["o4", "o5"]
    assert one.open_offers == 2


def test_what_is_withdrawn_can_still_be_answered() -> None:
    """The broker can't be told: it is taken if there is room after all."""
    one = session(room=1)
    one.offer(0.0)
    assert one.withdraw(1.0) == []
    assert one.open_offers == 0
    assert Reserve("t") in one.receive(BrokerTaskOfferAccept("t", "o1"), 2.0)


def test_a_broker_that_does_not_read_is_offered_nothing() -> None:
    """Neither what is free, nor what is due for renewal, nor what an owner of shared slots grants; all of it later."""
    alone, shared = session(room=None), session(room=2)
    shared.offer(0.0)
    for one in alone, shared:
        one.hold = True
    assert offered(alone.tick(5.0)) == offered(shared.tick(5.0)) == offered(shared.offer(5.0)) == []
    assert alone.open_offers == shared.open_offers == 0
    assert offered(alone.set_capacity(3, 6.0)) == []
    alone.hold = False
    assert len(offered(alone.tick(7.0))) == 3


def test_slots_that_are_its_own_again_are_all_offered() -> None:
    """Once the others are gone."""
    one = session(room=1)
    one.offer(0.0)
    one.room = None
    assert len(offered(one.set_capacity(4, 1.0))) == 3


def test_a_replaced_offer_that_is_taken_leaves_one_open_offer_less() -> None:
    """The broker holds both: open offers say how many more tasks are asked for, whichever of them it takes."""
    one = session(room=2)
    one.offer(0.0)
    one.tick(5.0)
    one.offer(5.0)
    assert one.open_offers == 2
    assert Reserve("t") in one.receive(BrokerTaskOfferAccept("t", "o1"), 5.1)
    assert one.open_offers == 1
