"""From real frames to the actions that they cause.

``tests/data/frames.jsonl`` holds frames recorded between n8n 2.40.5 and its own Python runner by this
project's harness. The session is fed with the frame; only what was never recorded (an RPC response, for the
original's calls all end with their task; a drain) is written here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from reptarium.pool.protocol.messages import (
    BrokerRpcResponse,
    BrokerTaskDataResponse,
    BrokerTaskSettings,
    Malformed,
    RunnerInfo,
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
    Deliver,
    Drained,
    Kill,
    Reserve,
    RunnerSession,
    SendMessage,
    Start,
)

FRAMES = Path(__file__).parents[2] / "data" / "frames.jsonl"
LINES = [json.loads(line) for line in FRAMES.read_text(encoding="utf-8").splitlines()]
BROKER = [line["frame"] for line in LINES if line["dir"] == "broker>runner"]
RUNNER = [line for line in LINES if line["dir"] == "runner>broker"]

OFFER = "9hmUlgAYxsyKbRZRG5UBxH"
TASK = "7m_w-hbr"  # the task that accepted it


def frame(kind: str, *containing: str) -> str:
    """The first recorded frame of that kind that contains all of the texts."""
    return next(f for f in BROKER if f'"{kind}"' in f and all(text in f for text in containing))


def feed(session: RunnerSession, text: str, now: float = 1.0) -> list[Action]:
    message = decode_broker_message(text)
    assert not isinstance(message, (Unknown, Malformed))
    return session.receive(message, now)


@pytest.fixture
def session() -> RunnerSession:
    """A session that has made the recorded offer."""
    session = RunnerSession(name="R", capacity=1, new_id=iter([OFFER, "next", "third"]).__next__)
    feed(session, frame("broker:runnerregistered"), 0.0)
    return session


@pytest.fixture
def start(session: RunnerSession) -> Callable[[str], RunnerSession]:
    """Brings a task of that id to its run, with recorded settings."""

    def run(task_id: str) -> RunnerSession:
        feed(session, frame("broker:taskofferaccept", OFFER).replace(TASK, task_id))
        feed(session, frame("broker:tasksettings", TASK).replace(TASK, task_id))
        return session

    return run


@pytest.mark.parametrize("text", BROKER, ids=lambda text: text[:50])
def test_recorded_broker_frames_decode_and_encode(text: str) -> None:
    """Each recorded frame is a known message, and what we would write for it means the same."""
    message = decode_broker_message(text)
    assert not isinstance(message, (Unknown, Malformed))
    ours, theirs = json.loads(encode(message)), json.loads(text)
    assert ours.keys() >= theirs.keys()
    for key, value in theirs.items():
        if key == "settings":
            shared = {k: v for k, v in value.items() if k in ours["settings"]}
            assert shared == {k: ours["settings"][k] for k in shared}
            assert {"code", "nodeMode", "items"} <= shared.keys()
        else:
            assert ours[key] == value


@pytest.mark.parametrize("line", RUNNER, ids=lambda line: line["frame"][:50])
def test_recorded_runner_frames_decode_and_encode(line: dict[str, str]) -> None:
    """The original runner's frames are known messages too, but for the NaN that isn't JSON."""
    message = decode_runner_message(line["frame"])
    if "note" in line:
        assert isinstance(message, Malformed)
        assert "not JSON" in message.fault
    else:
        assert not isinstance(message, (Unknown, Malformed))
        assert json.loads(encode(message)) == json.loads(line["frame"])


# -- the seven messages


def test_inforequest(session: RunnerSession) -> None:
    """The recorded broker:inforequest is answered with runner:info."""
    assert feed(session, frame("broker:inforequest")) == [SendMessage(RunnerInfo("R", ("python",)))]


def test_runnerregistered() -> None:
    """The recorded broker:runnerregistered makes us offer each slot."""
    session = RunnerSession(name="R", capacity=5)
    out = feed(session, frame("broker:runnerregistered"), 0.0)
    assert [type(a.message) for a in out if isinstance(a, SendMessage)] == [RunnerTaskOffer] * 5


def test_taskofferaccept(session: RunnerSession) -> None:
    """The recorded broker:taskofferaccept reserves a worker and is answered with taskaccepted."""
    out = feed(session, frame("broker:taskofferaccept"))
    assert out == [Reserve(TASK), SendMessage(RunnerTaskAccepted(TASK))]


@pytest.mark.parametrize("mode", ["runOnceForAllItems", "runOnceForEachItem"])
def test_tasksettings(session: RunnerSession, mode: str) -> None:
    """The recorded broker:tasksettings starts the task with code, mode and raw items."""
    text = frame("broker:tasksettings", mode)
    sent = json.loads(text)
    feed(session, frame("broker:taskofferaccept").replace(TASK, sent["taskId"]))
    (action,) = feed(session, text)
    assert isinstance(action, Start)
    assert action.task_id == sent["taskId"]
    assert action.settings.code == sent["settings"]["code"]
    assert action.settings.node_mode == mode
    assert json.loads(bytes(action.settings.items)) == sent["settings"]["items"]
    assert action.settings.query is msgspec.UNSET


def test_tasksettings_of_a_tool() -> None:
    """The recorded settings of a Code tool carry its query as raw JSON."""
    text = frame("broker:tasksettings", "_query")
    message = decode_broker_message(text)
    assert isinstance(message, BrokerTaskSettings)
    assert isinstance(message.settings.query, msgspec.Raw)
    assert json.loads(bytes(message.settings.query)) == json.loads(text)["settings"]["query"]


@pytest.mark.parametrize("reason", ["Task execution timed out", "Task cancelled by user"])
def test_taskcancel_while_running(start: Callable[[str], RunnerSession], reason: str) -> None:
    """The recorded broker:taskcancel kills the running task's worker; its outcome is the one taskerror."""
    text = frame("broker:taskcancel", reason)
    task_id = json.loads(text)["taskId"]
    session = start(task_id)
    assert feed(session, text) == [Kill(task_id, reason)]
    done = session.finish(task_id, TaskDoneData(msgspec.Raw(b"[]")), 2.0)
    error = TaskErrorData(message=f"Task was cancelled: {reason}")
    assert done[0] == SendMessage(RunnerTaskError(task_id, error))


def test_taskcancel_while_waiting(session: RunnerSession) -> None:
    """The recorded broker:taskcancel of a task without settings gives the worker back and one taskerror."""
    text = frame("broker:taskcancel", "Task cancelled by user")
    task_id = json.loads(text)["taskId"]
    feed(session, frame("broker:taskofferaccept").replace(TASK, task_id))
    error = TaskErrorData(message="Task was cancelled: Task cancelled by user")
    assert feed(session, text)[:2] == [Abandon(task_id, wasted=True), SendMessage(RunnerTaskError(task_id, error))]


def test_rpcresponse(start: Callable[[str], RunnerSession]) -> None:
    """broker:rpcresponse goes to the waiting call of the running task, with or without data."""
    session = start(TASK)
    for data, raw in ((', "data": {"a": [1]}', b'{"a": [1]}'), ("", b"null")):
        text = f'{{"type": "broker:rpcresponse", "callId": "c", "taskId": "{TASK}", "status": "success"{data}}}'
        response = BrokerRpcResponse("c", TASK, "success", msgspec.Raw(raw))
        assert feed(session, text) == [Deliver(TASK, "c", response)]


def test_taskdataresponse(start: Callable[[str], RunnerSession]) -> None:
    """broker:taskdataresponse goes to the waiting request of the running task."""
    text = f'{{"type": "broker:taskdataresponse", "taskId": "{TASK}", "requestId": "r", "data": {{}}}}'
    response = BrokerTaskDataResponse(TASK, "r", msgspec.Raw(b"{}"))
    assert feed(start(TASK), text) == [Deliver(TASK, "r", response)]


def test_drain(start: Callable[[str], RunnerSession]) -> None:
    """broker:drain ends the offers; the running task is finished and then the session is drained."""
    session = start(TASK)
    assert feed(session, '{"type": "broker:drain"}') == []
    data = TaskDoneData(msgspec.Raw(b"[]"))
    assert session.finish(TASK, data, 2.0) == [SendMessage(RunnerTaskDone(TASK, data)), Drained()]
