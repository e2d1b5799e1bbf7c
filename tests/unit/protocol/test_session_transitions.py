"""Each transition of the session's tables by example, plus what must hold for the table as a whole.

No I/O and no clock: ``now`` is a number that the test makes up.
"""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import msgspec
import pytest

from reptarium.pool.protocol.messages import (
    BrokerDrain,
    BrokerInfoRequest,
    BrokerNodeTypes,
    BrokerRpcResponse,
    BrokerRunnerRegistered,
    BrokerTaskCancel,
    BrokerTaskDataResponse,
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
    IN_TRANSIT,
    JITTER,
    REMEMBERED,
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
    TaskState,
)
from reptarium.pool.protocol.transitions import TRANSITIONS, Event

SETTINGS = TaskSettings(code="return _items")
DONE = TaskDoneData(msgspec.Raw(b"[]"))
FAILED = TaskErrorData(message="boom", line_number=3)


def make(capacity: int = 1, **kwargs: Any) -> RunnerSession:
    numbers = count(1)
    return RunnerSession(
        name="R", capacity=capacity, rng=random.Random(1), new_id=lambda: f"o{next(numbers)}", **kwargs
    )


def registered(capacity: int = 1, **kwargs: Any) -> RunnerSession:
    session = make(capacity, **kwargs)
    session.receive(BrokerRunnerRegistered(), 0.0)
    return session


def waiting(capacity: int = 1, **kwargs: Any) -> RunnerSession:
    """A session whose task t waits for its settings since 1.0."""
    session = registered(capacity, **kwargs)
    session.receive(BrokerTaskOfferAccept("t", "o1"), 1.0)
    return session


def running(capacity: int = 1, **kwargs: Any) -> RunnerSession:
    session = waiting(capacity, **kwargs)
    session.receive(BrokerTaskSettings("t", SETTINGS), 2.0)
    return session


def cancelling(reason: str = "why") -> RunnerSession:
    session = running()
    session.receive(BrokerTaskCancel("t", reason), 3.0)
    return session


def ended() -> RunnerSession:
    session = running()
    session.finish("t", DONE, 3.0)
    return session


def unlogged(actions: list[Action]) -> list[Action]:
    return [action for action in actions if not isinstance(action, LogLine)]


def logs(actions: list[Action]) -> list[tuple[str, str]]:
    return [(action.level, action.event) for action in actions if isinstance(action, LogLine)]


def offers(actions: list[Action]) -> list[str]:
    return [
        a.message.offer_id for a in actions if isinstance(a, SendMessage) and isinstance(a.message, RunnerTaskOffer)
    ]


def without_offers(actions: list[Action]) -> list[Action]:
    return [a for a in unlogged(actions) if not (isinstance(a, SendMessage) and isinstance(a.message, RunnerTaskOffer))]


# -- the table


def test_the_only_impossible_pairs_are_those_that_only_a_live_task_can_meet() -> None:
    """Every state has a cell for every event but OVERDUE and LOST where no task can be late or lost."""
    absent = {(s, e) for s in TaskState for e in Event if e not in TRANSITIONS[s]}
    assert absent == {
        (TaskState.UNKNOWN, Event.OVERDUE),
        (TaskState.UNKNOWN, Event.LOST),
        (TaskState.RUNNING, Event.OVERDUE),
        (TaskState.CANCELLING, Event.OVERDUE),
        (TaskState.ENDED, Event.OVERDUE),
        (TaskState.ENDED, Event.LOST),
    }


def test_an_ended_task_comes_back_only_through_a_new_accept() -> None:
    """No event but ACCEPT leads out of ENDED."""
    assert {event for event, cell in TRANSITIONS[TaskState.ENDED].items() if cell.next is not TaskState.ENDED} == {
        Event.ACCEPT
    }


# -- the session


def test_info_request_is_answered_with_name_and_type() -> None:
    """The broker learns who we are, in any state of a live session."""
    session = make()
    assert session.receive(BrokerInfoRequest(), 0.0) == [SendMessage(RunnerInfo("R", ("python",)))]
    session.drain(0.0)
    assert session.receive(BrokerInfoRequest(), 0.0) == [SendMessage(RunnerInfo("R", ("python",)))]


def test_registration_offers_every_slot() -> None:
    """On registration as many offers go out as there are slots, each valid for 5 s and up to a tenth more."""
    session = make(3)
    assert session.state == "connecting"
    assert session.next_deadline() is None
    out = session.receive(BrokerRunnerRegistered(), 0.0)
    assert offers(out) == ["o1", "o2", "o3"]
    assert session.state == "registered"
    validities = [
        a.message.valid_for for a in out if isinstance(a, SendMessage) and isinstance(a.message, RunnerTaskOffer)
    ]
    assert all(5000 <= v <= 5000 * (1 + JITTER) for v in validities)
    assert len(set(validities)) == 3
    assert (session.open_offers, session.accepted, session.running) == (3, 0, 0)


def test_repeated_registration_changes_nothing() -> None:
    """A second runnerregistered sends no second set of offers."""
    session = registered(2)
    assert logs(out := session.receive(BrokerRunnerRegistered(), 1.0)) == [("debug", "repeated registration ignored")]
    assert unlogged(out) == []


def test_registration_while_draining_offers_nothing() -> None:
    """A session that drains before it is registered never offers."""
    session = make()
    assert session.drain(0.0) == [Drained()]
    assert unlogged(session.receive(BrokerRunnerRegistered(), 0.0)) == []
    assert session.state == "draining"


def test_unknown_messages_are_ignored_with_one_log_line() -> None:
    """A newer broker's message kinds do no harm; what is logged is bounded and can be written anywhere."""
    session = registered()
    out = session.receive(Unknown("broker:new\ud83d" + "x" * 10_000), 0.0)
    assert logs(out) == [("info", "message of an unknown kind ignored")]
    assert unlogged(out) == []
    shown = out[0].fields["type"]  # type: ignore[union-attr]
    assert len(shown.encode()) < 600


def test_malformed_without_a_task_is_only_logged() -> None:
    """Without a task id nobody can be told but the log."""
    out = registered().receive(Malformed("not JSON"), 0.0)
    assert logs(out) == [("warning", "malformed message from the broker")]
    assert unlogged(out) == []
    assert out[0].fields == {"fault": "not JSON"}  # type: ignore[union-attr]


# -- offers


def test_accept_reserves_and_answers_at_once() -> None:
    """An accepted offer gives a reservation and a taskaccepted, and uses up the slot."""
    session = registered()
    out = session.receive(BrokerTaskOfferAccept("t", "o1"), 1.0)
    assert out == [Reserve("t"), SendMessage(RunnerTaskAccepted("t"))]
    assert (session.open_offers, session.accepted, session.running) == (0, 1, 0)


def test_accept_of_an_unknown_offer_is_rejected() -> None:
    """An offer that was never made counts as expired."""
    session = registered()
    out = session.receive(BrokerTaskOfferAccept("t", "nope"), 1.0)
    assert unlogged(out) == [SendMessage(RunnerTaskRejected("t", "offer expired"))]
    assert session.task_state("t") is TaskState.UNKNOWN
    assert session.open_offers == 1


def test_accept_before_registration_is_rejected() -> None:
    """Nothing was offered yet."""
    out = make().receive(BrokerTaskOfferAccept("t", "o1"), 1.0)
    assert unlogged(out) == [SendMessage(RunnerTaskRejected("t", "offer expired"))]


def test_accept_of_an_expired_offer_is_rejected_and_the_slot_offered_again() -> None:
    """Even when tick comes late, an offer past its time is not honoured; its slot gets a new one."""
    session = registered()
    out = session.receive(BrokerTaskOfferAccept("t", "o1"), 5.5 + IN_TRANSIT + 0.1)
    assert unlogged(out)[:2] == [Lapsed(1), SendMessage(RunnerTaskRejected("t", "offer expired"))]
    assert offers(out) == ["o2"]


def test_accept_in_transit_at_expiry_is_honoured() -> None:
    """The broker's accept may reach us a moment after the offer has run out."""
    session = registered()
    session.tick(5.4)
    out = session.receive(BrokerTaskOfferAccept("t", "o1"), 5.9)
    assert unlogged(out) == [Reserve("t"), SendMessage(RunnerTaskAccepted("t"))]


def test_offers_are_renewed_before_they_expire() -> None:
    """At its deadline an offer is replaced, so that the broker never holds none."""
    session = registered(renew_margin=0.5)
    deadline = session.next_deadline()
    assert deadline is not None
    assert 4.5 <= deadline <= 5.0
    assert session.tick(deadline - 0.001) == []
    assert offers(session.tick(deadline)) == ["o2"]
    assert session.open_offers == 1


def test_a_replaced_offer_may_still_be_accepted() -> None:
    """The broker may match the old offer while the new one is on its way: nothing is lost."""
    session = registered()
    session.tick(5.0)
    out = session.receive(BrokerTaskOfferAccept("t", "o1"), 5.01)
    assert unlogged(out) == [Reserve("t"), SendMessage(RunnerTaskAccepted("t"))]
    assert (session.open_offers, session.accepted) == (0, 1)


def test_offers_are_made_anew_when_the_broker_has_forgotten_them() -> None:
    """A task cancelled before its settings wasn't acknowledged in time: n8n forgot every offer along with it. One
    cancelled later was, and the others stand."""
    session = registered(3)  # o1 to o3
    session.receive(BrokerTaskOfferAccept("t", "o1"), 1.0)
    late = session.receive(BrokerTaskCancel("t", "Acknowledgement window elapsed"), 3.0)
    assert offers(late) == ["o4", "o5", "o6"]
    assert session.open_offers == 3
    session.receive(BrokerTaskOfferAccept("u", "o4"), 3.1)
    session.receive(BrokerTaskSettings("u", SETTINGS), 3.2)
    assert offers(session.receive(BrokerTaskCancel("u", "Task cancelled by user"), 3.3)) == []


def test_both_offers_of_one_slot_give_one_task() -> None:
    """If the broker matches the old and the new offer, the second request is sent back to its queue."""
    session = registered()
    session.tick(5.0)
    session.receive(BrokerTaskOfferAccept("t", "o1"), 5.01)
    out = session.receive(BrokerTaskOfferAccept("u", "o2"), 5.02)
    assert unlogged(out) == [SendMessage(RunnerTaskRejected("u", "at capacity"))]
    assert (session.open_offers, session.accepted) == (0, 1)


def test_a_stale_offer_is_good_for_any_free_slot() -> None:
    """With another slot free, the old and the new offer are honoured and that slot's offer steps back."""
    session = registered(2)
    session.tick(5.0)  # o1, o2 → o3, o4
    session.receive(BrokerTaskOfferAccept("t", "o1"), 5.01)
    out = session.receive(BrokerTaskOfferAccept("u", "o3"), 5.02)
    assert unlogged(out) == [Reserve("u"), SendMessage(RunnerTaskAccepted("u"))]
    assert (session.open_offers, session.accepted) == (0, 2)
    assert SendMessage(RunnerTaskRejected("v", "at capacity")) in session.receive(
        BrokerTaskOfferAccept("v", "o4"), 5.03
    )


def test_a_replaced_offer_is_forgotten_after_its_time() -> None:
    """Past its validity and the transit allowance, a replaced offer is expired although a slot is free."""
    session = registered()
    session.tick(5.0)
    out = session.receive(BrokerTaskOfferAccept("t", "o1"), 5.5 + IN_TRANSIT + 0.1)
    assert unlogged(out) == [Lapsed(1), SendMessage(RunnerTaskRejected("t", "offer expired"))]


def test_offers_that_come_to_nothing_are_told_of_once() -> None:
    """Replaced offers lapse together once their time and the transit allowance are over; a late answer adds nothing."""
    session = registered(2)
    assert Lapsed not in map(type, session.tick(5.0))  # o1, o2 → o3, o4
    session.receive(BrokerTaskOfferAccept("t", "o1"), 5.1)  # one of them was used in time
    out = session.tick(5.5 + IN_TRANSIT + 0.1)
    # o2, and whichever of o3 and o4 stepped back for o1, which still stands
    assert [action for action in out if isinstance(action, Lapsed)] == [Lapsed(1)]
    late = session.receive(BrokerTaskOfferAccept("u", "o2"), 7.0)
    assert unlogged(late) == [SendMessage(RunnerTaskRejected("u", "offer expired"))]
    out = session.tick(20.0)
    assert [action for action in out if isinstance(action, Lapsed)] == [Lapsed(1)]


def test_offers_that_stand_at_the_end_did_not_lapse() -> None:
    """Neither a drain nor a lost connection lets offers lapse."""
    session = registered(2)
    assert Lapsed not in map(type, session.drain(1.0))
    assert Lapsed not in map(type, session.tick(60.0))
    assert Lapsed not in map(type, registered(2).disconnected())


def test_a_stale_offer_is_good_for_one_task_too() -> None:
    """A replaced offer that was accepted doesn't fetch a second task, though a slot is free."""
    session = registered(2)
    session.tick(5.0)
    session.receive(BrokerTaskOfferAccept("t", "o1"), 5.01)
    out = session.receive(BrokerTaskOfferAccept("u", "o1"), 5.02)
    assert unlogged(out) == [SendMessage(RunnerTaskRejected("u", "offer expired"))]


def test_an_offer_is_good_for_one_task() -> None:
    """A second accept of the same offer, for another task, is rejected."""
    session = waiting(2)
    out = session.receive(BrokerTaskOfferAccept("u", "o1"), 1.0)
    assert unlogged(out) == [SendMessage(RunnerTaskRejected("u", "offer expired"))]


@pytest.mark.parametrize("start", [waiting, running, cancelling, ended])
def test_a_repeated_accept_is_harmless(start: Any) -> None:
    """The same accept again, at any stage of the task, changes nothing and is answered by nothing."""
    session = start()
    before = session.task_state("t")
    out = session.receive(BrokerTaskOfferAccept("t", "o1"), 3.5)
    assert unlogged(out) == []
    assert logs(out) == [("warning", "offer accepted for a task that is already here")]
    assert session.task_state("t") is before


def test_a_second_offer_spent_on_the_same_task_is_replaced() -> None:
    """If the broker wastes another offer on a task that we have, that slot is offered anew."""
    session = waiting(2)
    out = session.receive(BrokerTaskOfferAccept("t", "o2"), 1.0)
    assert unlogged(out) == [a for a in out if offers([a])]
    assert offers(out) == ["o3"]
    assert (session.open_offers, session.accepted) == (1, 1)


def test_an_ended_tasks_id_may_be_used_anew() -> None:
    """A broker that retries under the same id gets its task run, if it accepts a standing offer."""
    session = ended()
    out = session.receive(BrokerTaskOfferAccept("t", "o2"), 4.0)
    assert out == [Reserve("t"), SendMessage(RunnerTaskAccepted("t"))]
    assert session.finish("t", DONE, 5.0)[:2] == [Abandon("t"), SendMessage(RunnerTaskDone("t", DONE))]


def test_only_so_many_ended_tasks_are_remembered() -> None:
    """Memory is bounded however many tasks a connection sees."""
    session = ended()
    for number in range(REMEMBERED):
        assert session.task_state("t") is TaskState.ENDED
        session.receive(Malformed("bad", "broker:taskcancel", f"m{number}"), 4.0)
    assert session.task_state("t") is TaskState.UNKNOWN


# -- waiting for settings


def test_settings_start_the_task() -> None:
    """An accepted task is started with its settings."""
    session = waiting()
    assert session.receive(BrokerTaskSettings("t", SETTINGS), 2.0) == [Start("t", SETTINGS)]
    assert (session.accepted, session.running) == (1, 1)


def test_missing_settings_fail_the_task_in_time() -> None:
    """A task whose settings don't come ends in an error that says so; its worker and slot become free."""
    session = waiting(settings_timeout=30.0)
    assert session.next_deadline() == 31.0
    assert session.tick(30.9) == []
    out = session.tick(31.0)
    text = "Task settings did not arrive within 30 s of accepting the task"
    assert without_offers(out) == [
        Abandon("t", wasted=True),
        SendMessage(RunnerTaskError("t", TaskErrorData(message=text))),
    ]
    assert offers(out) == ["o2"]
    assert logs(out) == [("warning", "no settings in time")]
    assert unlogged(session.receive(BrokerTaskSettings("t", SETTINGS), 31.1)) == []


def test_settings_that_others_wait_for_fail_the_task_sooner() -> None:
    """Only what has waited for so long; the text says for how long."""
    session = waiting(settings_timeout=30.0)
    assert session.tick(2.9, 2.0) == []
    out = session.tick(3.0, 2.0)
    text = "Task settings did not arrive within 2 s of accepting the task"
    assert SendMessage(RunnerTaskError("t", TaskErrorData(message=text))) in out


@pytest.mark.parametrize(
    ("reason", "message"),
    [("Task cancelled by user", "Task was cancelled: Task cancelled by user"), ("", "Task was cancelled")],
)
def test_cancel_while_waiting_ends_the_task_at_once(reason: str, message: str) -> None:
    """Nothing runs yet: the worker goes back, the one taskerror and the next offer go out together."""
    session = waiting()
    out = session.receive(BrokerTaskCancel("t", reason), 2.0)
    assert without_offers(out) == [
        Abandon("t", wasted=True),
        SendMessage(RunnerTaskError("t", TaskErrorData(message=message))),
    ]
    assert offers(out) == ["o2"]


def test_malformed_settings_fail_the_waiting_task() -> None:
    """The error names the fault, and the worker goes back."""
    out = waiting().receive(Malformed("Expected `str`", "broker:tasksettings", "t"), 2.0)
    text = "Malformed message from the broker (broker:tasksettings): Expected `str`"
    assert without_offers(out) == [Abandon("t"), SendMessage(RunnerTaskError("t", TaskErrorData(message=text)))]
    assert logs(out) == [("warning", "malformed message from the broker")]


def test_a_task_that_gets_no_worker_can_be_failed_while_it_waits() -> None:
    """The caller may finish a task that has no settings yet."""
    out = waiting().finish("t", FAILED, 2.0)
    assert without_offers(out) == [Abandon("t"), SendMessage(RunnerTaskError("t", FAILED))]
    assert offers(out) == ["o2"]


# -- running


@pytest.mark.parametrize(
    ("outcome", "message"), [(DONE, RunnerTaskDone("t", DONE)), (FAILED, RunnerTaskError("t", FAILED))]
)
def test_finish_reports_and_offers_in_one_breath(outcome: Any, message: Any) -> None:
    """The result and the next offer are in the same list, in this order."""
    session = running()
    out = session.finish("t", outcome, 3.0)
    assert out[0] == SendMessage(message)
    assert offers(out) == ["o2"]
    assert len(out) == 2
    assert (session.open_offers, session.accepted) == (1, 0)


@pytest.mark.parametrize("start", [running, cancelling])
def test_repeated_settings_are_ignored(start: Any) -> None:
    """A task is started once."""
    out = start().receive(BrokerTaskSettings("t", SETTINGS), 3.0)
    assert (unlogged(out), logs(out)) == ([], [("warning", "repeated settings ignored")])


@pytest.mark.parametrize("start", [registered, ended])
def test_settings_for_an_unknown_task_are_ignored(start: Any) -> None:
    """Nothing runs that wasn't accepted."""
    out = start().receive(BrokerTaskSettings("t", SETTINGS), 4.0)
    assert (unlogged(out), logs(out)) == ([], [("warning", "settings for an unknown task ignored")])


RESPONSES = [
    (BrokerRpcResponse("c", "t", "success"), "c"),
    (BrokerTaskDataResponse("t", "r"), "r"),
    (BrokerNodeTypes("t", "n"), "n"),
]


@pytest.mark.parametrize(("message", "call_id"), RESPONSES)
def test_responses_reach_the_running_task(message: Any, call_id: str) -> None:
    """Each of the three kinds of answers is delivered under its call or request id."""
    assert running().receive(message, 3.0) == [Deliver("t", call_id, message)]


@pytest.mark.parametrize("message", [message for message, _ in RESPONSES])
@pytest.mark.parametrize("start", [registered, waiting, cancelling, ended])
def test_responses_for_a_task_that_is_not_running_are_dropped(start: Any, message: Any) -> None:
    """Late answers leave a debug line and nothing else."""
    out = start().receive(message, 3.0)
    assert (unlogged(out), logs(out)) == ([], [("debug", "response for a task that is not running dropped")])


def test_cancel_while_running_kills_and_the_outcome_is_reported_once() -> None:
    """The kill comes at once; the slot stays taken until the caller reports the end."""
    session = running()
    assert session.receive(BrokerTaskCancel("t", "why"), 3.0) == [Kill("t", "why")]
    assert (session.open_offers, session.accepted, session.running) == (0, 1, 1)
    out = session.finish("t", FAILED, 3.1)
    assert out[0] == SendMessage(RunnerTaskError("t", FAILED))
    assert offers(out) == ["o2"]
    assert unlogged(session.finish("t", FAILED, 3.2)) == []


def test_a_result_that_beats_the_kill_is_still_a_cancelled_task() -> None:
    """What the broker has cancelled ends in a taskerror even if the result came first."""
    out = cancelling("why").finish("t", DONE, 3.1)
    assert out[0] == SendMessage(RunnerTaskError("t", TaskErrorData(message="Task was cancelled: why")))


@pytest.mark.parametrize("start", [registered, cancelling, ended])
def test_other_cancels_are_ignored(start: Any) -> None:
    """A cancel of an unknown, already cancelled or ended task leaves only a debug line."""
    out = start().receive(BrokerTaskCancel("t", "again"), 4.0)
    assert (unlogged(out), logs(out)) == ([], [("debug", "cancel of a task that is not running ignored")])


def test_a_malformed_message_for_a_running_task_kills_it() -> None:
    """The task's end can't be trusted any more: its worker is killed and finish() reports."""
    session = running()
    out = session.receive(Malformed("bad status", "broker:rpcresponse", "t"), 3.0)
    assert unlogged(out) == [Kill("t", "Malformed message from the broker (broker:rpcresponse): bad status")]
    assert session.task_state("t") is TaskState.CANCELLING


@pytest.mark.parametrize("start", [cancelling, ended])
def test_a_malformed_message_brings_no_second_verdict(start: Any) -> None:
    """A task that is being killed or has ended gets a log line only."""
    out = start().receive(Malformed("bad", "broker:taskcancel", "t"), 4.0)
    assert (unlogged(out), logs(out)) == ([], [("warning", "malformed message from the broker")])


def test_a_malformed_message_for_an_unknown_task_is_answered_once() -> None:
    """Somebody waits for that task: they get one error that names the fault."""
    session = registered()
    out = session.receive(Malformed("no offerId", "broker:taskofferaccept", "x"), 1.0)
    text = "Malformed message from the broker (broker:taskofferaccept): no offerId"
    assert unlogged(out) == [SendMessage(RunnerTaskError("x", TaskErrorData(message=text)))]
    assert unlogged(session.receive(Malformed("again", None, "x"), 1.0)) == []


@pytest.mark.parametrize("start", [registered, ended])
def test_the_outcome_of_an_unknown_task_is_dropped(start: Any) -> None:
    """The broker never hears twice about one task."""
    out = start().finish("t", DONE, 4.0)
    assert (unlogged(out), logs(out)) == ([], [("warning", "outcome of an unknown task dropped")])


# -- draining and the end


@pytest.mark.parametrize("own", [True, False])
def test_draining_finishes_what_was_accepted(own: bool) -> None:
    """No more offers, crossing accepts are rejected, the accepted task is finished, then Drained, once."""
    session = waiting(2)
    out = session.drain(2.0) if own else session.receive(BrokerDrain(), 2.0)
    assert out == []
    assert session.open_offers == 0
    crossed = session.receive(BrokerTaskOfferAccept("u", "o2"), 2.1)
    assert unlogged(crossed) == [SendMessage(RunnerTaskRejected("u", "draining"))]
    assert session.receive(BrokerTaskSettings("t", SETTINGS), 2.2) == [Start("t", SETTINGS)]
    assert session.tick(20.0) == []
    assert session.finish("t", DONE, 21.0) == [SendMessage(RunnerTaskDone("t", DONE)), Drained()]
    assert session.drain(22.0) == []
    assert session.receive(BrokerDrain(), 22.0) == []


def test_draining_an_idle_session_is_done_at_once() -> None:
    """With nothing accepted, Drained comes straight away."""
    assert registered(5).receive(BrokerDrain(), 1.0) == [Drained()]


def test_disconnection_abandons_and_kills() -> None:
    """What waits is abandoned, what runs is killed, what is being killed is left to it; nothing is sent."""
    session = registered(3)
    for number, task in enumerate("abc", 1):
        session.receive(BrokerTaskOfferAccept(task, f"o{number}"), 1.0)
    for task in "bc":
        session.receive(BrokerTaskSettings(task, SETTINGS), 1.0)
    session.receive(BrokerTaskCancel("c", "why"), 1.0)
    assert session.disconnected() == [Abandon("a", wasted=True), Kill("b", "connection to the broker lost")]
    assert session.state == "closed"
    assert (session.open_offers, session.accepted) == (0, 0)


def test_a_closed_session_says_nothing_more() -> None:
    """After the connection is lost every call is harmless."""
    session = running()
    session.disconnected()
    assert session.finish("t", DONE, 4.0) == []
    assert session.receive(BrokerTaskCancel("t"), 4.0) == []
    assert session.receive(BrokerRunnerRegistered(), 4.0) == []
    assert session.tick(100.0) == []
    assert session.set_capacity(5, 100.0) == []
    assert session.next_deadline() is None
    assert session.disconnected() == []
    assert session.drain(101.0) == [Drained()]
    assert session.drain(102.0) == []


def test_a_drain_ends_even_if_the_connection_goes_first() -> None:
    """Whoever waits for Drained is not left waiting."""
    session = running()
    session.drain(3.0)
    assert session.disconnected() == [Kill("t", "connection to the broker lost"), Drained()]
    assert session.drain(4.0) == []


# -- capacity


def test_more_capacity_is_offered_at_once() -> None:
    """Raising the capacity sends the missing offers."""
    session = registered(1)
    assert offers(session.set_capacity(3, 1.0)) == ["o2", "o3"]


def test_less_capacity_withdraws_offers_silently() -> None:
    """Offers beyond the new capacity become stale: the broker may still use one, within the capacity."""
    session = registered(3)
    assert session.set_capacity(1, 1.0) == []
    assert session.open_offers == 1
    for number in (1, 2, 3):
        session.receive(BrokerTaskOfferAccept(f"t{number}", f"o{number}"), 1.1)
    assert session.accepted == 1


def test_tasks_beyond_a_lowered_capacity_are_finished() -> None:
    """Accepted tasks outlive a lower capacity, and their slots are not offered again."""
    session = running(2)
    assert session.set_capacity(0, 3.0) == []
    assert session.finish("t", DONE, 4.0) == [SendMessage(RunnerTaskDone("t", DONE))]


def test_capacity_before_registration_is_only_noted() -> None:
    """Nothing is offered before the broker knows us."""
    session = make(1)
    assert session.set_capacity(2, 0.0) == []
    assert len(offers(session.receive(BrokerRunnerRegistered(), 0.0))) == 2


def test_settings_that_cannot_work_are_refused() -> None:
    """Negative capacities and a margin that doesn't fit the validity raise ValueError."""
    with pytest.raises(ValueError, match="capacity"):
        make(-1)
    with pytest.raises(ValueError, match="renew_margin"):
        make(offer_validity=0.5, renew_margin=0.5)
    with pytest.raises(ValueError, match="capacity"):
        registered().set_capacity(-1, 0.0)


def test_default_ids_are_unique() -> None:
    """Offer ids of sessions that share nothing don't collide."""
    out = [a for _ in range(50) for a in _fresh().receive(BrokerRunnerRegistered(), 0.0)]
    assert len(set(offers(out))) == 50 * 20


def _fresh() -> RunnerSession:
    return RunnerSession(name="R", capacity=20)
