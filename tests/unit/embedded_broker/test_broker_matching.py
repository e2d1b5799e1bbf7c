"""The matchmaker by itself: no I/O; ``now`` is a number that the test makes up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec
import pytest

from reptarium.pool.embedded_broker.attempts import new_task_id
from reptarium.pool.embedded_broker.conversation import Conversation
from reptarium.pool.embedded_broker.matching import Matchmaker
from reptarium.pool.embedded_broker.outcome import Outcome
from reptarium.pool.embedded_broker.records import (
    CANCELLED,
    NOT_ACKNOWLEDGED,
    SHUTTING_DOWN,
    TIMED_OUT,
    BrokerAction,
    BrokerTask,
    Close,
    Finish,
    Note,
    Serve,
    Tell,
)
from reptarium.pool.protocol.messages import (
    BrokerDrain,
    BrokerInfoRequest,
    BrokerRunnerRegistered,
    BrokerTaskCancel,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    Malformed,
    RunnerInfo,
    RunnerRpcCall,
    RunnerTaskAccepted,
    RunnerTaskDeferred,
    RunnerTaskDone,
    RunnerTaskError,
    RunnerTaskOffer,
    RunnerTaskRejected,
    TaskDoneData,
    TaskErrorData,
    TaskSettings,
    Unknown,
)

SETTINGS = TaskSettings(code="return []")
RESULT = TaskDoneData(msgspec.Raw(b"[1]"))


class Table:
    """A matchmaker with short names; remembers every action."""

    def __init__(self) -> None:
        numbers = count(1)
        ticks = count(100)
        self.core = Matchmaker(new_id=lambda: f"task-{next(numbers)}", stamp=lambda: float(next(ticks)))
        self.conversation = Conversation(self.core)
        self.outcomes: dict[int, Outcome] = {}

    def note(self, actions: Sequence[BrokerAction]) -> list[BrokerAction]:
        for action in actions:
            if isinstance(action, Finish):
                assert action.task.number not in self.outcomes, "a task has one outcome"
                self.outcomes[action.task.number] = action.outcome
        return list(actions)

    def runner(self, key: int, runner_id: str | None = None, now: float = 0.0) -> list[BrokerAction]:
        actions = self.note(self.core.connect(key, runner_id or f"runner-{key}", now))
        self.tell(key, RunnerInfo("fake"), now)
        return actions

    def tell(self, key: int, message: Any, now: float = 0.0) -> list[BrokerAction]:
        return self.note(self.conversation.receive(key, message, now))

    def offer(self, key: int, offer_id: str, now: float = 0.0, valid_for: int = -1) -> list[BrokerAction]:
        return self.tell(key, RunnerTaskOffer(offer_id, valid_for), now)

    def submit(self, now: float = 0.0, **options: Any) -> tuple[BrokerTask, list[BrokerAction]]:
        task, actions = self.core.submit(SETTINGS, now, **options)
        return task, self.note(actions)

    def tick(self, now: float) -> list[BrokerAction]:
        return self.note(self.core.tick(now))

    def running(self, key: int = 1, now: float = 0.0) -> BrokerTask:
        """A task that runs on ``key``."""
        task, _ = self.submit(now)
        self.offer(key, f"offer-{task.number}", now)
        self.tell(key, RunnerTaskAccepted(task.task_id), now)
        assert task.state == "running"
        return task


@pytest.fixture
def table() -> Table:
    """A matchmaker with one registered runner (1)."""
    table = Table()
    table.runner(1)
    return table


def sent(actions: Sequence[BrokerAction]) -> list[tuple[int, Any]]:
    return [(action.peer, action.message) for action in actions if isinstance(action, Tell)]


def accepted(actions: Sequence[BrokerAction]) -> list[tuple[int, str]]:
    """Which peers were asked, by which offer."""
    return [(peer, m.offer_id) for peer, m in sent(actions) if isinstance(m, BrokerTaskOfferAccept)]


def logged(actions: Sequence[BrokerAction]) -> list[str]:
    return [action.event for action in actions if isinstance(action, Note)]


# --- introduction --------------------------------------------------------------------------


def test_connection_is_asked_who_it_is() -> None:
    """A new connection gets an info request and, once it has answered, the registration."""
    table = Table()
    assert sent(table.core.connect(1, "r", 0.0)) == [(1, BrokerInfoRequest())]
    assert sent(table.tell(1, RunnerInfo("name", ("python", "javascript")))) == [(1, BrokerRunnerRegistered())]
    peer = table.core.peers[1]
    assert (peer.name, peer.types, peer.registered) == ("name", ("python", "javascript"), True)


def test_nothing_counts_before_the_introduction() -> None:
    """An offer that comes before runner:info is not matched."""
    table = Table()
    table.core.connect(1, "r", 0.0)
    assert logged(table.offer(1, "o")) == ["broker.message_before_info"]
    _, actions = table.submit()
    assert accepted(actions) == []
    assert table.core.counters.unexpected == 1


def test_second_introduction_is_ignored(table: Table) -> None:
    """A second runner:info changes nothing."""
    assert logged(table.tell(1, RunnerInfo("other"))) == ["broker.second_info"]
    assert table.core.peers[1].name == "fake"


# --- matching ------------------------------------------------------------------------------


def test_request_then_offer(table: Table) -> None:
    """A waiting request is matched when an offer comes."""
    task, actions = table.submit()
    assert actions == []
    assert sent(table.offer(1, "o")) == [(1, BrokerTaskOfferAccept(task.task_id, "o"))]


def test_offer_then_request(table: Table) -> None:
    """A waiting offer is matched when a request comes."""
    table.offer(1, "o")
    task, actions = table.submit()
    assert sent(actions) == [(1, BrokerTaskOfferAccept(task.task_id, "o"))]


def test_oldest_first(table: Table) -> None:
    """Requests and offers are matched in the order in which they came."""
    for name in ("a", "b", "c"):
        table.offer(1, name)
    matched = [accepted(table.submit()[1])[0][1] for _ in range(3)]
    assert matched == ["a", "b", "c"]
    tasks = [table.submit()[0] for _ in range(3)]
    ids = [sent(table.offer(1, name))[0][1].task_id for name in ("d", "e", "f")]
    assert ids == [task.task_id for task in tasks]


def test_offer_serves_one_request(table: Table) -> None:
    """An offer is gone once matched, even when the runner refuses."""
    table.offer(1, "o")
    first, _ = table.submit()
    table.tell(1, RunnerTaskRejected(first.task_id, "no"))
    _, actions = table.submit()
    assert accepted(actions) == []
    assert table.core.peers[1].offers == {}


def test_types_are_kept_apart(table: Table) -> None:
    """A python request is not matched to an offer for javascript."""
    table.tell(1, RunnerTaskOffer("js", -1, "javascript"))
    _, actions = table.submit()
    assert accepted(actions) == []
    _, actions = table.submit(task_type="javascript")
    assert accepted(actions) == [(1, "js")]


@pytest.mark.parametrize(
    ("valid_for", "now", "matched"),
    [(5000, 4.9, True), (5000, 5.0, False), (0, 0.0, False), (-1, 1e9, True)],
)
def test_offer_is_good_for_its_validity(table: Table, valid_for: int, now: float, matched: bool) -> None:
    """An offer is matched while it is valid, and -1 is valid for ever."""
    table.offer(1, "o", 0.0, valid_for)
    _, actions = table.submit(now)
    assert bool(accepted(actions)) is matched
    assert table.core.counters.offers_expired == (not matched)
    assert table.core.open_offers(table.core.peers[1], now) == 0


def test_expired_offers_are_not_counted_as_open(table: Table) -> None:
    """The number of open offers falls with time alone."""
    table.offer(1, "a", 0.0, 1000)
    table.offer(1, "b", 0.0, 2000)
    assert [table.core.open_offers(table.core.peers[1], now) for now in (0.5, 1.5, 2.5)] == [2, 1, 0]


def test_offer_id_sent_again_replaces_the_offer(table: Table) -> None:
    """The same offer id twice is one slot, with the newer validity."""
    table.offer(1, "o", 0.0, 1000)
    table.offer(1, "o", 0.5, 5000)
    _, actions = table.submit(3.0)
    assert accepted(actions) == [(1, "o")]
    _, actions = table.submit(3.0)
    assert accepted(actions) == []


def test_same_offer_id_of_two_runners_is_two_offers(table: Table) -> None:
    """Offer ids are a runner's own."""
    table.runner(2)
    table.offer(1, "o")
    table.offer(2, "o")
    assert [accepted(table.submit()[1]) for _ in range(2)] == [[(1, "o")], [(2, "o")]]


def test_taken_offers_leave_no_memory(table: Table) -> None:
    """Offers and deadlines that were used up long before their time are not kept."""
    for number in range(2000):
        table.offer(1, f"o{number}", 0.0, 3_600_000)
        task, _ = table.submit()
        table.tell(1, RunnerTaskAccepted(task.task_id))
        table.tell(1, RunnerTaskDone(task.task_id, RESULT))
    assert len(table.core._offers._expiries) < 200
    assert len(table.core._deadlines._heap) < 200
    assert table.core.next_deadline() is None


# --- the answers to an accepted offer ------------------------------------------------------


def test_good_path(table: Table) -> None:
    """Accepted, settings sent, done: one outcome with the result and rising timings."""
    table.offer(1, "o")
    task, _ = table.submit()
    actions = table.tell(1, RunnerTaskAccepted(task.task_id))
    settings = BrokerTaskSettings(task.task_id, SETTINGS)
    assert sent(actions) == [(1, settings)]
    table.core.sending(settings)
    table.tell(1, RunnerTaskDone(task.task_id, RESULT))
    outcome = table.outcomes[task.number]
    assert (outcome.status, outcome.data, outcome.runner_id) == ("done", RESULT, "runner-1")
    assert outcome.result() == [1]
    timings = outcome.timings
    assert timings.accepted is not None
    assert timings.settings_sent is not None
    assert timings.finished is not None
    assert timings.requested < timings.accepted < timings.settings_sent < timings.finished


def test_error_is_the_runners_own(table: Table) -> None:
    """A task error is handed on as it came, and has no result."""
    task = table.running()
    error = TaskErrorData(message="boom", line_number=3)
    table.tell(1, RunnerTaskError(task.task_id, error))
    outcome = table.outcomes[task.number]
    assert (outcome.status, outcome.error) == ("error", error)
    with pytest.raises(ValueError, match="boom"):
        outcome.result()


def test_rejected_request_goes_to_another_offer_at_once(table: Table) -> None:
    """A rejected request is matched to the next offer in the same breath, under a new task id."""
    table.runner(2)
    table.offer(1, "a")
    table.offer(2, "b")
    task, _ = table.submit()
    first = task.task_id
    actions = table.tell(1, RunnerTaskRejected(first, "at capacity"))
    assert accepted(actions) == [(2, "b")]
    assert task.task_id != first
    table.tell(2, RunnerTaskAccepted(task.task_id))
    table.tell(2, RunnerTaskDone(task.task_id, RESULT))
    assert (table.outcomes[task.number].status, table.outcomes[task.number].attempts) == ("done", 2)


def test_rejected_request_keeps_its_place(table: Table) -> None:
    """A request that was put back is served before younger ones."""
    table.offer(1, "a")
    old, _ = table.submit()
    young, _ = table.submit()
    table.tell(1, RunnerTaskRejected(old.task_id, "no"))
    assert (old.state, young.state) == ("waiting", "waiting")
    table.offer(1, "b")
    assert (old.state, young.state) == ("offered", "waiting")


def test_deferred_request_waits_for_the_next_arrival(table: Table) -> None:
    """A deferred request isn't matched to an offer that is already there, but to the next one that comes."""
    table.runner(2)
    table.offer(1, "launcher")
    table.offer(2, "old")
    task, _ = table.submit()
    assert table.tell(1, RunnerTaskDeferred(task.task_id)) == []
    assert (task.state, table.core.counters.deferrals) == ("waiting", 1)
    assert accepted(table.offer(2, "new")) == [(2, "old")]


@pytest.mark.parametrize("message", [RunnerTaskRejected("", "no"), RunnerTaskDeferred("")])
def test_refusal_after_accepting_is_ignored(table: Table, message: Any) -> None:
    """A runner that has accepted a task can't give it back."""
    task = table.running()
    table.tell(1, msgspec.structs.replace(message, task_id=task.task_id))
    assert task.state == "running"
    assert table.core.counters.unexpected == 1


@pytest.mark.parametrize("message", [RunnerTaskDone("", RESULT), RunnerTaskError("", TaskErrorData(message="x"))])
def test_answer_before_accepting_is_ignored(table: Table, message: Any) -> None:
    """A result for a task that the runner hasn't accepted doesn't count."""
    table.offer(1, "o")
    task, _ = table.submit()
    table.tell(1, msgspec.structs.replace(message, task_id=task.task_id))
    assert task.state == "offered"
    assert table.core.counters.unexpected == 1


def test_second_acceptance_sends_no_second_settings(table: Table) -> None:
    """taskaccepted twice: the settings go out once."""
    task = table.running()
    assert sent(table.tell(1, RunnerTaskAccepted(task.task_id))) == []


# --- time ----------------------------------------------------------------------------------


def test_unacknowledged_task_is_withdrawn_and_asked_again(table: Table) -> None:
    """Without an acknowledgement within 2 s the runner gets a cancel and another one the task; its other offers are
    forgotten."""
    table.runner(2)
    table.offer(1, "a")
    table.offer(1, "c")
    table.offer(2, "b", 1.0)
    task, _ = table.submit(0.0)
    first = task.task_id
    assert table.core.next_deadline() == 2.0
    assert table.tick(1.9) == []
    actions = table.tick(2.0)
    assert (1, BrokerTaskCancel(first, NOT_ACKNOWLEDGED)) in sent(actions)
    assert accepted(actions) == [(2, "b")]
    assert not table.core.peers[1].offers


def test_late_acknowledgement_is_ignored(table: Table) -> None:
    """An acknowledgement after the cancel doesn't start the task."""
    table.offer(1, "a")
    task, _ = table.submit()
    first = task.task_id
    table.tick(2.0)
    assert table.tell(1, RunnerTaskAccepted(first), 2.1) == []
    assert (task.state, table.core.counters.late) == ("waiting", 1)


def test_three_unacknowledged_in_a_row_end_the_connection(table: Table) -> None:
    """The third task in a row without an acknowledgement closes the connection with 1002."""
    task, _ = table.submit()
    for number, now in enumerate((0.0, 2.0, 4.0)):
        table.offer(1, f"o{number}", now)
        actions = table.tick(now + 2.0)
        closes = [action for action in actions if isinstance(action, Close)]
        assert [close.code for close in closes] == ([1002] if number == 2 else [])
    assert table.core.peers == {}
    assert (task.state, task.attempts) == ("waiting", 3)


def test_an_answer_ends_the_row_of_unacknowledged_tasks(table: Table) -> None:
    """Two unacknowledged, one refused, two unacknowledged: the connection stays; the third ends it."""
    task, _ = table.submit(0.0)
    now = 0.0
    for answers in (False, False, True, False, False):
        table.offer(1, f"o{now}", now)
        if answers:
            table.tell(1, RunnerTaskRejected(task.task_id, "busy"), now)
        else:
            table.tick(now + 2.0)
        now += 2.0
        assert 1 in table.core.peers
    table.offer(1, "last", now)
    table.tick(now + 2.0)
    assert table.core.peers == {}


def test_request_times_out_without_a_runner() -> None:
    """A request that nobody takes ends as no-runner after 60 s."""
    table = Table()
    task, _ = table.submit(10.0)
    assert table.core.next_deadline() == 70.0
    assert table.tick(69.9) == []
    table.tick(70.0)
    outcome = table.outcomes[task.number]
    assert outcome.status == "no-runner"
    assert outcome.error is not None
    assert "timed out" in outcome.error.message
    assert outcome.timings.accepted is None


def test_request_that_was_rejected_times_out_as_rejected(table: Table) -> None:
    """When the last runner that was asked refused, the outcome says so and why."""
    table.offer(1, "o")
    task, _ = table.submit()
    table.tell(1, RunnerTaskRejected(task.task_id, "at capacity"))
    table.tick(60.0)
    outcome = table.outcomes[task.number]
    assert outcome.status == "rejected"
    assert outcome.error is not None
    assert "at capacity" in outcome.error.message


def test_request_deadline_during_an_offer_lets_the_runner_answer(table: Table) -> None:
    """A request that is being acknowledged when its time is up may still be accepted."""
    task, _ = table.submit(0.0)
    table.offer(1, "o", 59.0)
    table.tick(60.0)
    assert task.state == "offered"
    table.tell(1, RunnerTaskAccepted(task.task_id), 60.5)
    assert task.state == "running"


def test_request_put_back_after_its_deadline_ends(table: Table) -> None:
    """A request that comes back when its time is up is not asked again."""
    task, _ = table.submit(0.0)
    table.offer(1, "o", 59.0)
    table.offer(1, "p", 59.0)
    table.tell(1, RunnerTaskRejected(task.task_id, "no"), 60.5)
    assert table.outcomes[task.number].status == "rejected"


def test_task_times_out(table: Table) -> None:
    """A task that runs for 300 s is cancelled and ends as timeout; the runner's answer comes too late."""
    task = table.running(now=1.0)
    assert table.core.next_deadline() == 301.0
    assert sent(table.tick(301.0)) == [(1, BrokerTaskCancel(task.task_id, TIMED_OUT))]
    assert table.outcomes[task.number].status == "timeout"
    table.tell(1, RunnerTaskError(task.task_id, TaskErrorData(message="killed")))
    assert (table.core.counters.late, table.core.counters.duplicates) == (1, 0)


def test_a_task_can_have_its_own_limits(table: Table) -> None:
    """The time limits given with a task replace the broker's."""
    task, _ = table.submit(0.0, timeout=1.0, request_timeout=7.0)
    assert table.core.next_deadline() == 7.0
    table.offer(1, "o", 0.0)
    table.tell(1, RunnerTaskAccepted(task.task_id), 0.0)
    assert table.core.next_deadline() == 1.0


# --- cancelling ----------------------------------------------------------------------------


def test_cancel_while_waiting_tells_nobody(table: Table) -> None:
    """A request that is cancelled before it was matched is gone without a message."""
    task, _ = table.submit()
    actions = table.note(table.core.cancel(task))
    assert sent(actions) == []
    assert table.outcomes[task.number].status == "cancelled"
    assert accepted(table.offer(1, "o")) == []


@pytest.mark.parametrize("state", ["offered", "running"])
def test_cancel_of_a_task_that_a_runner_holds(table: Table, state: str) -> None:
    """The runner is told with the reason, and the outcome is there at once."""
    if state == "running":
        task = table.running()
    else:
        table.offer(1, "o")
        task, _ = table.submit()
    assert sent(table.note(table.core.cancel(task))) == [(1, BrokerTaskCancel(task.task_id, CANCELLED))]
    assert table.outcomes[task.number].status == "cancelled"
    assert table.core.cancel(task) == []


# --- lost connections ----------------------------------------------------------------------


def test_disconnect_fails_what_runs_and_asks_again_for_the_rest(table: Table) -> None:
    """Running tasks of a lost runner end as disconnected, an unacknowledged one goes to another runner."""
    running = table.running()
    table.offer(1, "a")
    offered, _ = table.submit()
    table.runner(2)
    table.offer(2, "b")
    actions = table.note(table.core.disconnect(1, 0.0))
    assert table.outcomes[running.number].status == "disconnected"
    assert accepted(actions) == [(2, "b")]
    assert offered.state == "offered"


def test_offers_of_a_lost_runner_are_gone(table: Table) -> None:
    """Nobody is matched to a runner that isn't there."""
    table.offer(1, "o")
    table.core.disconnect(1, 0.0)
    _, actions = table.submit()
    assert accepted(actions) == []
    assert table.core.disconnect(1, 0.0) == []
    assert table.tell(1, RunnerTaskOffer("p", -1)) == []


def test_same_runner_id_replaces_the_connection(table: Table) -> None:
    """The older connection of a runner id is closed with 1000 and its tasks fail."""
    task = table.running()
    actions = table.runner(2, "runner-1")
    assert [(action.peer, action.code) for action in actions if isinstance(action, Close)] == [(1, 1000)]
    assert table.outcomes[task.number].status == "disconnected"
    assert list(table.core.peers) == [2]


# --- whose task is it ----------------------------------------------------------------------


def test_second_answer_is_counted_and_ignored(table: Table) -> None:
    """done after done, and error after done: one outcome."""
    task = table.running()
    table.tell(1, RunnerTaskDone(task.task_id, RESULT))
    table.tell(1, RunnerTaskDone(task.task_id, RESULT))
    table.tell(1, RunnerTaskError(task.task_id, TaskErrorData(message="x")))
    assert (table.core.counters.done, table.core.counters.duplicates) == (1, 2)


@pytest.mark.parametrize(
    "message",
    [
        RunnerTaskAccepted(""),
        RunnerTaskRejected("", "x"),
        RunnerTaskDone("", RESULT),
        RunnerTaskError("", TaskErrorData(message="x")),
        RunnerRpcCall("c", "", "logNodeOutput", msgspec.Raw(b"[]")),
    ],
)
def test_messages_about_anothers_task_are_ignored(table: Table, message: Any) -> None:
    """A runner can't speak for a task that another one holds."""
    table.runner(2)
    task = table.running(1)
    actions = table.tell(2, msgspec.structs.replace(message, task_id=task.task_id))
    assert logged(actions) == ["broker.foreign_task"]
    assert (task.state, table.core.counters.foreign) == ("running", 1)


def test_messages_about_an_unknown_task_are_ignored(table: Table) -> None:
    """An id that was never given out is logged and counted."""
    assert logged(table.tell(1, RunnerTaskDone("never", RESULT))) == ["broker.unknown_task"]
    assert table.core.counters.unexpected == 1


def test_calls_are_served_only_while_the_task_runs(table: Table) -> None:
    """An RPC of a running task is served; one that comes after its end gets no answer."""
    task = table.running()
    call = RunnerRpcCall("c", task.task_id, "x", msgspec.Raw(b"[]"))
    assert table.tell(1, call) == [Serve(1, task, call)]
    table.tell(1, RunnerTaskDone(task.task_id, RESULT))
    assert table.tell(1, call) == []


def test_unknown_and_malformed_messages_are_counted(table: Table) -> None:
    """Neither ends anything: a log line and a number each."""
    assert logged(table.tell(1, Unknown("runner:new"))) == ["broker.unknown_message"]
    assert logged(table.tell(1, Malformed("broken"))) == ["broker.malformed_message"]
    assert (table.core.counters.unknown, table.core.counters.malformed) == (1, 1)


# --- the end -------------------------------------------------------------------------------


def test_drain_cancels_what_has_not_started(table: Table) -> None:
    """Draining lets the running task run, cancels the offered and the waiting one, tells the runner."""
    running = table.running()
    table.offer(1, "o")
    offered, _ = table.submit()
    waiting, _ = table.submit()
    actions = table.note(table.core.drain())
    assert (1, BrokerDrain()) in sent(actions)
    assert (1, BrokerTaskCancel(offered.task_id, SHUTTING_DOWN)) in sent(actions)
    assert {table.outcomes[task.number].status for task in (offered, waiting)} == {"cancelled"}
    assert running.state == "running"
    assert table.core.drain() == []


def test_no_request_and_no_offer_is_taken_while_draining(table: Table) -> None:
    """A request that comes while draining ends at once; an offer is not kept."""
    table.core.drain()
    table.offer(1, "o")
    task, _ = table.submit()
    assert table.outcomes[task.number].status == "cancelled"
    assert table.core.peers[1].offers == {}


def test_abort_after_the_grace(table: Table) -> None:
    """What runs when the grace is over is cancelled, and the connection closed with 1001."""
    task = table.running()
    table.core.drain()
    actions = table.note(table.core.abort(5.0))
    assert sent(actions) == [(1, BrokerTaskCancel(task.task_id, SHUTTING_DOWN))]
    assert [action.code for action in actions if isinstance(action, Close)] == [1001]
    assert table.outcomes[task.number].status == "cancelled"
    assert (table.core.unfinished, table.core.peers) == (0, {})


def test_task_ids_look_like_n8ns() -> None:
    """Eight characters of the URL-safe alphabet, all different."""
    ids = {new_task_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{8}", task_id) for task_id in ids)
