"""hypothesis plays a broker that does anything, in any order, and checks what must always hold.

The broker holds the offers that it was sent as n8n does (gone once matched, or once their validity has run
out on its clock), and may also repeat itself, invent ids and cancel what it likes.
"""

from __future__ import annotations

import random

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reptarium.pool.protocol.messages import (
    BrokerDrain,
    BrokerInfoRequest,
    BrokerRpcResponse,
    BrokerRunnerRegistered,
    BrokerTaskCancel,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    Malformed,
    RunnerInfo,
    RunnerTaskAccepted,
    RunnerTaskDone,
    RunnerTaskError,
    RunnerTaskOffer,
    RunnerTaskRejected,
    TaskDoneData,
    TaskErrorData,
    TaskSettings,
    Unknown,
)
from reptarium.pool.protocol.session import (
    Abandon,
    Action,
    Deliver,
    Drained,
    Kill,
    Lapsed,
    LogLine,
    Reserve,
    RunnerSession,
    SendMessage,
    Start,
)
from tests.limits import examples

DONE = TaskDoneData(msgspec.Raw(b"null"))
FAILED = TaskErrorData(message="boom")
SETTINGS = TaskSettings(code="return 1")


class Broker(RuleBasedStateMachine):
    @initialize(capacity=st.integers(0, 4), seed=st.integers(0, 99))
    def connect(self, capacity: int, seed: int) -> None:
        self.session = RunnerSession(name="R", capacity=capacity, rng=random.Random(seed), settings_timeout=7.0)
        self.now = 100.0
        self.capacity = capacity
        self.ids: set[str] = set()  # every offer ever seen
        self.held: dict[str, float] = {}  # by the broker: offer → expiry
        self.spent: list[tuple[str, str]] = []  # task, offer
        self.accepted: dict[str, str] = {}  # our ledger: task → "waiting" | "running" | "killed"
        self.over: set[str] = set()  # tasks that nobody may speak of any more
        self.names = 0
        self.drained = self.lapsed = 0
        self.stopped = self.lost = self.late = False
        self.hear(BrokerInfoRequest())
        if seed % 10:
            self.register()

    # -- what the session says, checked against the ledger

    def check(self, actions: list[Action], answers: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """``answers``: unknown tasks that a malformed message has given the right to one error."""
        for action in actions:
            match action:
                case SendMessage(RunnerTaskOffer(offer_id, valid_for)):
                    assert not self.stopped, "offered while draining or closed"
                    assert offer_id not in self.ids, "an offer's id came twice"
                    assert 5000 <= valid_for <= 5500
                    self.ids.add(offer_id)
                    self.held[offer_id] = self.now + valid_for / 1000
                case SendMessage(RunnerTaskAccepted(task)):
                    assert self.accepted[task] == "waiting", "accepted without a reservation"
                case SendMessage(RunnerTaskRejected(task, reason)):
                    assert task not in self.accepted
                    assert task not in self.over, "a word about a finished task"
                    assert reason in ("offer expired", "at capacity", "draining")
                case SendMessage(RunnerTaskDone(task) | RunnerTaskError(task)):
                    assert task not in self.over, "a second verdict"
                    assert task in self.accepted or task in answers
                    if task in self.accepted:
                        assert self.accepted.pop(task) != "waiting", "ended without its worker given back"
                    self.over.add(task)
                case SendMessage(RunnerInfo()) | LogLine():
                    pass
                case Lapsed(offers):
                    self.lapsed += offers
                case Reserve(task):
                    assert task not in self.accepted
                    assert len(self.accepted) < self.capacity, "taken beyond capacity"
                    self.accepted[task] = "waiting"
                case Abandon(task):
                    assert self.accepted[task] == "waiting", "abandoned a worker that has work"
                    self.accepted[task] = "abandoned"
                case Start(task):
                    assert self.accepted[task] == "waiting", "started twice, or not ours"
                    self.accepted[task] = "running"
                case Kill(task):
                    assert self.accepted[task] == "running", "killed twice, or nothing to kill"
                    self.accepted[task] = "killed"
                case Deliver(task):
                    assert self.accepted[task] == "running", "delivered to nobody"
                case Drained():
                    self.drained += 1
                    assert self.drained == 1
                    assert self.stopped
                    assert self.lost or not self.accepted
                case _:
                    raise AssertionError(action)
        if not self.lost:
            assert "abandoned" not in self.accepted.values(), "abandoned without a verdict"

    def hear(self, message: object, answers: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        self.check(self.session.receive(message, self.now), answers)  # type: ignore[arg-type]

    def pick(self, data: st.DataObject) -> str:
        """Any task there ever was, but mostly one that has something to lose."""
        everyone = [f"t{number + 1}" for number in range(self.names)]
        live = sorted(self.accepted)
        return data.draw(st.sampled_from(live if live and data.draw(st.integers(0, 3)) else everyone))

    # -- the well-behaved broker

    @rule()
    def register(self) -> None:
        self.hear(BrokerRunnerRegistered())

    @rule(data=st.data(), transit=st.sampled_from([0.0, 0.0, 0.3, 0.9]))
    def match(self, data: st.DataObject, transit: float) -> None:
        """The broker matches an offer that it holds; the accept takes a while to arrive."""
        held = sorted(offer for offer, expiry in self.held.items() if self.now <= expiry)
        if not held:
            return
        offer = data.draw(st.sampled_from(held))
        del self.held[offer]
        if transit:
            self.pass_time(transit)
        self.names += 1
        task = f"t{self.names}"
        free = self.session.open_offers > 0
        self.hear(BrokerTaskOfferAccept(task, offer))
        self.spent.append((task, offer))
        if free and not self.stopped:
            assert task in self.accepted, "a standing offer was not honoured though a slot was free"

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def send_settings(self, data: st.DataObject) -> None:
        task = self.pick(data)
        self.hear(BrokerTaskSettings(task, SETTINGS))

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task = self.pick(data)
        self.hear(BrokerTaskCancel(task, "because"))
        assert self.accepted.get(task) in (None, "killed")

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def respond(self, data: st.DataObject) -> None:
        task = self.pick(data)
        self.hear(BrokerRpcResponse("c", task, "success"))

    # -- and the other one

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def garble(self, data: st.DataObject) -> None:
        task = self.pick(data)
        known = task in self.accepted or task in self.over
        self.hear(Malformed("bad", "broker:taskcancel", task), set() if known else {task})

    @rule()
    def garble_unknown(self) -> None:
        self.names += 1
        task = f"t{self.names}"
        self.hear(Malformed("bad", "broker:tasksettings", task), {task})
        assert self.lost or task in self.over

    @precondition(lambda self: self.spent)
    @rule(data=st.data())
    def repeat_accept(self, data: st.DataObject) -> None:
        task, offer = data.draw(st.sampled_from(self.spent))
        before = dict(self.accepted)
        self.hear(BrokerTaskOfferAccept(task, offer))
        assert self.accepted == before

    @precondition(lambda self: self.spent)
    @rule(data=st.data())
    def spend_twice(self, data: st.DataObject) -> None:
        self.names += 1
        task = f"t{self.names}"
        _, offer = data.draw(st.sampled_from(self.spent))
        self.hear(BrokerTaskOfferAccept(task, offer))
        assert task not in self.accepted

    @rule()
    def accept_invented_offer(self) -> None:
        self.names += 1
        task = f"t{self.names}"
        self.hear(BrokerTaskOfferAccept(task, "invented"))
        assert task not in self.accepted

    @rule(message=st.sampled_from([Unknown("broker:new"), Malformed("not JSON"), BrokerInfoRequest()]))
    def chatter(self, message: object) -> None:
        before = (self.session.open_offers, self.session.accepted)
        self.hear(message)
        assert (self.session.open_offers, self.session.accepted) == before

    # -- our own side

    @precondition(lambda self: self.names)
    @rule(data=st.data(), outcome=st.sampled_from([DONE, FAILED]))
    def finish(self, data: st.DataObject, outcome: TaskDoneData | TaskErrorData) -> None:
        task = self.pick(data)
        was = self.accepted.get(task)
        actions = self.session.finish(task, outcome, self.now)
        verdicts = [
            a.message for a in actions if isinstance(a, SendMessage) and not isinstance(a.message, RunnerTaskOffer)
        ]
        if was is None or self.lost:
            assert verdicts == []
        elif was == "killed":
            assert [type(v) for v in verdicts] == [RunnerTaskError]
        else:
            assert len(verdicts) == 1
        # finish on a task that waits gives Abandon and the verdict in one go
        if was == "waiting":
            assert Abandon(task) in actions
        self.check([a for a in actions if not isinstance(a, Abandon)] if was != "waiting" else actions)

    @rule(seconds=st.sampled_from([0.01, 0.4, 1.0, 4.9, 6.0, 8.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes and every deadline is kept."""
        end = self.now + seconds
        while (due := self.session.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.check(self.session.tick(self.now))
            following = self.session.next_deadline()
            assert following is None or following > self.now, "a deadline that never moves"
        self.now = end
        self.late = False

    @rule(seconds=st.sampled_from([0.4, 4.9, 12.0]))
    def oversleep(self, seconds: float) -> None:
        """Time passes and nobody ticks."""
        self.now += seconds
        self.late = True

    @precondition(lambda self: not self.lost)
    @rule(capacity=st.integers(0, 4))
    def resize(self, capacity: int) -> None:
        self.capacity = capacity
        self.check(self.session.set_capacity(capacity, self.now))

    @precondition(lambda self: self.names > 15)
    @rule(own=st.booleans())
    def drain(self, own: bool) -> None:
        self.stopped = True
        if own:
            self.check(self.session.drain(self.now))
        else:
            self.hear(BrokerDrain())

    @precondition(lambda self: self.names > 20)
    @rule()
    def lose_connection(self) -> None:
        self.end()

    def end(self) -> None:
        draining = self.stopped and not self.lost
        self.stopped = self.lost = True
        self.check(self.session.disconnected())
        assert set(self.accepted.values()) <= {"abandoned", "killed"}, "a task was left behind"
        if draining:
            assert self.drained == 1
        self.over |= self.accepted.keys()
        self.accepted.clear()

    def teardown(self) -> None:
        if hasattr(self, "lost"):
            self.end()

    # -- what always holds

    @invariant()
    def slots_add_up(self) -> None:
        if not hasattr(self, "lost"):
            return
        assert self.session.accepted == len(self.accepted)
        if self.session.state == "registered":
            assert self.session.open_offers + self.session.accepted == max(self.capacity, self.session.accepted)
        else:
            assert self.session.open_offers == 0

    @invariant()
    def each_offer_lapses_at_most_once(self) -> None:
        if hasattr(self, "lost"):
            assert self.lapsed <= len(self.ids) - self.session.open_offers

    @invariant()
    def the_broker_is_never_without_an_offer_for_a_free_slot(self) -> None:
        if not hasattr(self, "lost") or self.late or self.session.state != "registered":
            return
        valid = sum(self.now <= expiry for expiry in self.held.values())
        assert valid >= self.capacity - self.session.accepted

    @invariant()
    def a_drain_comes_to_its_end(self) -> None:
        if hasattr(self, "lost") and self.session.state == "draining":
            assert self.drained == (0 if self.accepted else 1)


TestBroker = Broker.TestCase
TestBroker.settings = settings(max_examples=examples(25), stateful_step_count=100, deadline=None)
