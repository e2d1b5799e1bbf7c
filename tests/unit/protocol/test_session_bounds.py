"""What a session remembers doesn't grow with what the broker, or another broker's tasks, make of it."""

from __future__ import annotations

from reptarium.pool.protocol.messages import (
    BrokerRunnerRegistered,
    BrokerTaskOfferAccept,
    RunnerTaskOffer,
    RunnerTaskRejected,
)
from reptarium.pool.protocol.session import OFFER_EXPIRED, REMEMBERED, STALE, RunnerSession, SendMessage


def offers(actions: list[object]) -> list[str]:
    """The ids of the offers among the actions."""
    return [
        action.message.offer_id
        for action in actions
        if isinstance(action, SendMessage) and isinstance(action.message, RunnerTaskOffer)
    ]


def test_replaced_offers_are_bounded_and_a_forgotten_one_is_rejected() -> None:
    """Capacity that comes and goes, as beside a busy second broker, replaces offers without end."""
    session = RunnerSession(name="r", capacity=5)
    first, *_ = offers([*session.receive(BrokerRunnerRegistered(), 0.0)])
    last = ""
    for _ in range(STALE):
        session.set_capacity(0, 1.0)
        last = offers([*session.set_capacity(5, 1.0)])[0]
    session.set_capacity(0, 1.0)
    assert len(session._stale) == STALE
    session.set_capacity(5, 1.0)
    refused = session.receive(BrokerTaskOfferAccept("a", first), 1.0)
    assert SendMessage(RunnerTaskRejected("a", OFFER_EXPIRED)) in refused
    session.receive(BrokerTaskOfferAccept("b", last), 1.0)
    assert session.accepted == 1


def test_ended_tasks_are_bounded() -> None:
    """Tasks without end leave the ids of the last ones."""
    session = RunnerSession(name="r", capacity=1, settings_timeout=1.0)
    (offer,) = offers([*session.receive(BrokerRunnerRegistered(), 0.0)])
    for number in range(REMEMBERED + 10):
        now = number * 2.0
        session.receive(BrokerTaskOfferAccept(f"t{number}", offer), now)
        (offer,) = offers([*session.tick(now + 1.5)])  # its settings haven't come
    assert len(session._ended) == REMEMBERED
    assert session.accepted == 0
