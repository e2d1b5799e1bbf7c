"""The matchmaker's books don't grow with requests that were given up or with what one runner offers."""

from __future__ import annotations

from reptarium.pool.embedded_broker.conversation import Conversation
from reptarium.pool.embedded_broker.matching import MAX_OFFERS, Matchmaker
from reptarium.pool.protocol.messages import RunnerInfo, RunnerTaskOffer, TaskSettings

SETTINGS = TaskSettings(code="return []")


def test_requests_that_were_given_up_leave_the_queue() -> None:
    """Requests are cancelled while no runner offers: the queue holds few more than those that wait, in order."""
    core = Matchmaker()
    kept = [core.submit(SETTINGS, 0.0)[0] for _ in range(3)]
    for _ in range(5000):
        core.cancel(core.submit(SETTINGS, 0.0)[0])
    assert core.waiting == 3
    assert len(core._waiting["python"]) < 200
    conversation = Conversation(core)
    core.connect(1, "r", 0.0)
    conversation.receive(1, RunnerInfo("r", ("python",)), 0.0)
    for number in range(3):
        conversation.receive(1, RunnerTaskOffer(f"o{number}", 5000), 0.0)
        assert kept[number].state == "offered"


def test_offers_of_one_runner_are_bounded() -> None:
    """More offers than any runner has slots are ignored; those that stand can be renewed."""
    core = Matchmaker()
    conversation = Conversation(core)
    core.connect(1, "r", 0.0)
    conversation.receive(1, RunnerInfo("r", ("python",)), 0.0)
    for number in range(MAX_OFFERS + 5):
        conversation.receive(1, RunnerTaskOffer(f"o{number}", -1), 0.0)
    (peer,) = core.peers.values()
    assert core.open_offers(peer, 1.0) == MAX_OFFERS
    assert core.counters.unexpected == 5
    conversation.receive(1, RunnerTaskOffer("o0", -1), 0.0)
    assert core.open_offers(peer, 1.0) == MAX_OFFERS
