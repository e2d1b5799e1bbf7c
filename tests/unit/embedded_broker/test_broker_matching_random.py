"""hypothesis plays runners that answer anything, in any order, while time passes in leaps."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reptarium.pool.embedded_broker.conversation import Conversation
from reptarium.pool.embedded_broker.matching import Matchmaker
from reptarium.pool.embedded_broker.outcome import Outcome
from reptarium.pool.embedded_broker.records import BrokerAction, BrokerTask, Close, Finish, Tell
from reptarium.pool.protocol.messages import (
    BrokerTaskCancel,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    RunnerInfo,
    RunnerMessage,
    RunnerTaskAccepted,
    RunnerTaskDeferred,
    RunnerTaskDone,
    RunnerTaskError,
    RunnerTaskOffer,
    RunnerTaskRejected,
    TaskDoneData,
    TaskErrorData,
    TaskSettings,
)
from tests.limits import examples

PEERS = st.integers(1, 3)
PICK = st.integers(0, 1000)


class Runners(RuleBasedStateMachine):
    """What the runners have seen, to check the matchmaker against."""

    def __init__(self) -> None:
        super().__init__()
        self.core = Matchmaker()
        self.conversation = Conversation(self.core)
        self.now = 0.0
        self.offers = 0
        self.connected: set[int] = set()
        self.keys = 0
        self.offered: dict[tuple[int, str], float] = {}
        self.used: set[tuple[int, str]] = set()
        self.ids: list[str] = ["never"]
        self.started: set[str] = set()
        self.tasks: list[BrokerTask] = []
        self.outcomes: dict[int, Outcome] = {}

    def note(self, actions: Sequence[BrokerAction]) -> None:
        for action in actions:
            if isinstance(action, Finish):
                assert action.task.number not in self.outcomes
                self.outcomes[action.task.number] = action.outcome
            elif isinstance(action, Close):
                self.connected.discard(action.peer)
            elif isinstance(action, Tell):
                assert action.peer in self.connected
                self.seen(action.peer, action.message)

    def seen(self, peer: int, message: object) -> None:
        if isinstance(message, BrokerTaskOfferAccept):
            key = (peer, message.offer_id)
            assert key in self.offered, "only what was offered is accepted"
            assert key not in self.used, "an offer is used once"
            assert self.offered[key] > self.now, "an expired offer is not used"
            assert message.task_id not in self.ids, "each attempt has its own id"
            self.used.add(key)
            self.ids.append(message.task_id)
        elif isinstance(message, BrokerTaskSettings):
            assert message.task_id not in self.started, "settings are sent once"
            self.started.add(message.task_id)
        elif isinstance(message, BrokerTaskCancel):
            assert message.task_id in self.ids, "only what a runner was asked for is cancelled"

    def tell(self, peer: int, message: RunnerMessage) -> None:
        self.note(self.conversation.receive(peer, message, self.now))

    @rule(runner=PEERS)
    def connect(self, runner: int) -> None:
        self.keys += 1
        self.connected.add(self.keys)
        self.note(self.core.connect(self.keys, f"runner-{runner}", self.now))
        self.tell(self.keys, RunnerInfo("x"))

    @rule(pick=PICK)
    def lose(self, pick: int) -> None:
        peer = self.any_peer(pick)
        self.connected.discard(peer)
        self.note(self.core.disconnect(peer, self.now))

    @rule(valid_for=st.sampled_from([-1, 0, 1000, 5000]), pick=PICK)
    def offer(self, valid_for: int, pick: int) -> None:
        self.offers += 1
        peer = self.any_peer(pick)
        key = (peer, f"o{self.offers}")
        self.offered[key] = float("inf") if valid_for < 0 else self.now + valid_for / 1000
        self.tell(peer, RunnerTaskOffer(key[1], valid_for))

    @rule()
    def submit(self) -> None:
        task, actions = self.core.submit(TaskSettings(code=""), self.now)
        self.tasks.append(task)
        self.note(actions)

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        if self.tasks:
            self.note(self.core.cancel(self.tasks[pick % len(self.tasks)]))

    @rule(kind=st.integers(0, 4), pick=PICK, who=PICK)
    def answer(self, kind: int, pick: int, who: int) -> None:
        task_id = self.ids[-1 - pick % min(len(self.ids), 5)]
        message = (
            RunnerTaskAccepted(task_id),
            RunnerTaskRejected(task_id, "no"),
            RunnerTaskDeferred(task_id),
            RunnerTaskDone(task_id, TaskDoneData(msgspec.Raw(b"1"))),
            RunnerTaskError(task_id, TaskErrorData(message="x")),
        )[kind]
        self.tell(self.any_peer(who), message)

    @rule(seconds=st.sampled_from([0.5, 2.0, 30.0, 300.0]))
    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.core.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.note(self.core.tick(self.now))
        self.now = end

    @rule()
    def drain(self) -> None:
        if len(self.tasks) > 20:
            self.note(self.core.drain())

    def any_peer(self, pick: int) -> int:
        return sorted(self.connected)[pick % len(self.connected)] if self.connected else 0

    @invariant()
    def every_task_is_waiting_held_or_ended(self) -> None:
        """Each task has an outcome or is unfinished, and is held by exactly the peer it says."""
        assert len(self.outcomes) + self.core.unfinished == len(self.tasks)
        held = {task.number: peer for peer in self.core.peers.values() for task in peer.tasks.values()}
        for task in self.tasks:
            assert (task.state == "ended") == (task.number in self.outcomes)
            assert held.get(task.number) is task.peer
            assert (task.peer is None) == (task.state in ("waiting", "ended"))

    @invariant()
    def nothing_unfinished_waits_for_ever(self) -> None:
        """While a task is unfinished there is a deadline."""
        assert (self.core.next_deadline() is None) == (self.core.unfinished == 0)

    @invariant()
    def peers_are_who_is_connected(self) -> None:
        """The matchmaker and the network agree on who is there."""
        assert set(self.core.peers) == self.connected

    def teardown(self) -> None:
        """In the end everything has one outcome."""
        self.note(self.core.drain())
        self.note(self.core.abort(self.now))
        assert len(self.outcomes) == len(self.tasks)


TestRunners = Runners.TestCase
TestRunners.settings = settings(max_examples=examples(25), stateful_step_count=60, deadline=None)
