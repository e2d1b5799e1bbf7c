"""Replays n8n's side of a recorded conversation and compares our answers with the original runner's.

The transcript lies beside the checkout (``../shared/n8n/transcript.jsonl``); without it the tests are
skipped. It holds 14 cases of one connection, with what lay between them left out: an accept may therefore
name an offer that was never recorded, and stands for one of ours.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reptarium.pool.protocol.messages import (
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    Malformed,
    RunnerInfo,
    RunnerMessage,
    RunnerRpcCall,
    RunnerTaskAccepted,
    RunnerTaskDone,
    RunnerTaskError,
    RunnerTaskOffer,
    TaskDoneData,
    TaskErrorData,
    Unknown,
    decode_broker_message,
    decode_runner_message,
    encode,
)
from reptarium.pool.protocol.session import (
    Abandon,
    Action,
    Kill,
    Lapsed,
    Reserve,
    RunnerSession,
    SendMessage,
    Start,
    TaskState,
    cancelled,
)

TRANSCRIPT = Path(__file__).parents[4] / "shared" / "n8n" / "transcript.jsonl"
pytestmark = pytest.mark.skipif(not TRANSCRIPT.exists(), reason="the recorded transcript is not beside the checkout")

#: The original runner's concurrency in the recording: it offers five slots on registration.
CAPACITY = 5


class Replay:
    """Our session in the place of the original runner, its executions ending when the original's did."""

    def __init__(self) -> None:
        self.session = RunnerSession(name="Python Task Runner", capacity=CAPACITY, rng=random.Random(7))
        self.now = 0.0
        self.offers: dict[str, float] = {}  # that the broker holds: id → expiry, oldest first
        self.spare: list[int] = []  # valid offers beyond the free slots, at each step
        self.sent: list[tuple[float, RunnerMessage]] = []
        self.started: dict[str, Start] = {}
        self.reserved: set[str] = set()
        self.killed: dict[str, str] = {}
        self.unreadable: set[str] = set()  # tasks whose recorded result isn't JSON

    def do(self, actions: list[Action]) -> list[RunnerMessage]:
        said: list[RunnerMessage] = []
        for action in actions:
            match action:
                case SendMessage(message):
                    json.loads(encode(message))
                    self.sent.append((self.now, message))
                    said.append(message)
                    if isinstance(message, RunnerTaskOffer):
                        self.offers[message.offer_id] = self.now + message.valid_for / 1000
                case Reserve(task_id):
                    self.reserved.add(task_id)
                case Start(task_id):
                    self.started[task_id] = action
                case Kill(task_id, reason):
                    self.killed[task_id] = reason
                    if task_id in self.unreadable:  # the original's execution had ended before
                        said += self.finish(task_id, cancelled(reason))
                case Lapsed():
                    pass  # the recording's offers ran out, too
                case Abandon():
                    raise AssertionError("no recorded task ends before it has settings")
                case _:
                    raise AssertionError(f"nothing in the recording calls for {action}")
        return said

    def pass_time(self, until: float) -> None:
        while (due := self.session.next_deadline()) is not None and due <= until:
            self.now = due
            self.do(self.session.tick(due))
        self.now = until
        if self.session.state == "registered":
            valid = sum(expiry >= until for expiry in self.offers.values())
            self.spare.append(valid - (CAPACITY - self.session.accepted))

    def hear(self, frame: str) -> list[RunnerMessage]:
        message = decode_broker_message(frame)
        assert not isinstance(message, (Unknown, Malformed)), message
        if isinstance(message, BrokerTaskOfferAccept):
            # the newest of our offers stands for whichever the original had made
            message = msgspec.structs.replace(message, offer_id=self.offers.popitem()[0])
        return self.do(self.session.receive(message, self.now))

    def finish(self, task_id: str, outcome: TaskDoneData | TaskErrorData) -> list[RunnerMessage]:
        return self.do(self.session.finish(task_id, outcome, self.now))


def _events() -> list[dict[str, Any]]:
    lines = TRANSCRIPT.read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == "text"]


def _frame(event: dict[str, Any]) -> str:
    return event["raw"] if "raw" in event else json.dumps(event["msg"], ensure_ascii=False)


def _play() -> Replay:
    """Feeds the whole conversation and checks each answer where the original gave its own."""
    replay = Replay()
    due: list[RunnerMessage] = []  # what the broker's last frames have made us say and the original has yet to say
    for event in _events():
        replay.pass_time(event["t"])
        if event["dir"] == "broker>runner":
            due += [m for m in replay.hear(_frame(event)) if not isinstance(m, RunnerTaskOffer)]
            continue
        theirs = decode_runner_message(_frame(event))
        match theirs:
            case RunnerInfo() | RunnerTaskAccepted():
                assert theirs in due, f"the original said {theirs}, we didn't"
                due.remove(theirs)
            case RunnerTaskOffer():
                assert theirs.task_type == "python"
                assert replay.session.open_offers + replay.session.accepted == CAPACITY
            case RunnerTaskDone(task_id, data):
                _compare(replay.finish(task_id, data), theirs)
            case RunnerTaskError(task_id, error):
                reason = replay.killed.get(task_id)
                ours = replay.finish(task_id, error if reason is None else cancelled(reason))
                _compare(ours, theirs)
            case RunnerRpcCall(_, task_id):
                assert replay.session.task_state(task_id) is TaskState.RUNNING
            case Malformed(_):
                # the original's NaN: n8n can't read it, so for n8n the task still runs, and so it does for us
                assert "NaN" in event["raw"]
                replay.unreadable.add(json.loads(event["raw"])["taskId"])
            case _:
                raise AssertionError(theirs)
    late = [m for m in due if isinstance(m, RunnerTaskError) and m.task_id in replay.unreadable]
    assert due == late, "we said what the original never did"
    assert len(late) == 1
    return replay


def _compare(ours: list[RunnerMessage], theirs: RunnerTaskDone | RunnerTaskError) -> None:
    verdict, *offers = ours
    assert type(verdict) is type(theirs)
    assert isinstance(verdict, (RunnerTaskDone, RunnerTaskError))
    assert verdict.task_id == theirs.task_id
    if isinstance(theirs, RunnerTaskDone):
        assert json.loads(encode(verdict)) == json.loads(encode(theirs))
    elif isinstance(verdict, RunnerTaskError):
        # the original says less about a cancel than we do
        assert verdict.error.message.startswith(theirs.error.message)
    assert [type(m) for m in offers] == [RunnerTaskOffer], "the slot is offered in the same breath"


def test_our_answers_stand_where_the_originals_stood() -> None:
    """Every frame of n8n's is understood, and each answer of the original has its match of ours, in time."""
    replay = _play()
    accepted = [m.task_id for _, m in replay.sent if isinstance(m, RunnerTaskAccepted)]
    assert len(accepted) == 24
    assert replay.reserved == set(accepted)
    assert replay.started.keys() == set(accepted)


def test_started_tasks_carry_the_recorded_settings() -> None:
    """Code, mode and every item reach the execution as n8n sent them."""
    replay = _play()
    for event in _events():
        message = decode_broker_message(_frame(event))
        if event["dir"] == "broker>runner" and isinstance(message, BrokerTaskSettings):
            start, sent = replay.started[message.task_id], event["msg"]["settings"]
            assert (start.settings.code, start.settings.node_mode) == (sent["code"], sent["nodeMode"])
            assert json.loads(bytes(start.settings.items)) == sent["items"]


def test_every_task_ends_once() -> None:
    """24 tasks have one verdict each; the one whose recorded NaN is unreadable ends with the cancel."""
    replay = _play()
    ends = [m for _, m in replay.sent if isinstance(m, (RunnerTaskDone, RunnerTaskError))]
    assert {m.task_id for m in ends} == replay.started.keys()
    assert len(ends) == 24
    (late,) = (m for m in ends if m.task_id in replay.unreadable)
    assert late == RunnerTaskError(late.task_id, cancelled("Task execution timed out"))
    assert (replay.session.accepted, replay.session.open_offers) == (0, CAPACITY)


def test_the_broker_always_holds_an_offer_for_each_free_slot() -> None:
    """At every recorded moment the valid offers that we have sent are enough for the free slots."""
    replay = _play()
    assert replay.spare, "nothing was measured"
    assert min(replay.spare) >= 0
