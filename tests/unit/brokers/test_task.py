"""One task of a connection: whatever of it fails, it is answered once, its slot is free, and nobody else notices."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import trio

from reptarium.pool.brokers import outbox
from reptarium.pool.brokers import task as task_module
from reptarium.pool.brokers.shared import Shared
from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.endings import ENDINGS, Ending
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.protocol.messages import (
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    RunnerTaskDone,
    RunnerTaskError,
    TaskDoneData,
    TaskErrorData,
)
from reptarium.pool.tasks.execution import Execution
from reptarium.pool.workers.watchdog import Watchdog
from tests.limits import fail_after
from tests.unit.brokers.test_serving import Wire, faults, served, settled, shared

FAULT = ENDINGS[Ending.FAULT].told
Sabotage = Callable[[Shared, pytest.MonkeyPatch], Shared | None]


def stumble(*_: object, **__: object) -> Any:
    """In the place of a function."""
    raise ValueError("of a kind that nobody foresaw")


class Lent:
    """A worker that has gone."""

    def take_handed(self) -> list[int]:
        """It came with nothing."""
        return []

    def when_gone(self, tell: Callable[[None], None]) -> None:
        """It has."""
        tell(None)


async def dispatched_and_done(self: Execution) -> TaskDoneData | TaskErrorData:
    """In the place of an execution's life: a worker has the task, and nothing goes wrong."""
    await self._settings_came.wait()
    self.worker = Lent()  # type: ignore[assignment] # as far as it is used
    assert self.on_dispatch is not None
    self.on_dispatch(self)
    return TaskDoneData(msgspec.Raw(b"[]"))


async def ended_before_its_settings(self: Execution) -> TaskErrorData:
    """Another one: it is shut down while it waits."""
    await trio.lowlevel.checkpoint()
    return TaskErrorData(message="too late")


def _in(place: object, name: str, function: object = stumble) -> Sabotage:
    def sabotage(means: Shared, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(place, name, function)

    return sabotage


def _no_message(means: Shared, patch: pytest.MonkeyPatch) -> None:
    real = outbox.encode
    patch.setattr(outbox, "encode", lambda said: stumble() if isinstance(said, RunnerTaskDone) else real(said))


def _connections(**parts: object) -> Sabotage:
    made = SimpleNamespace(**{"end": lambda: None, "seen": (), "explain": lambda outcome: outcome} | parts)

    def sabotage(means: Shared, patch: pytest.MonkeyPatch) -> Shared:
        return msgspec.structs.replace(means, connector=SimpleNamespace(begin=lambda handed, allowed: made))

    return sabotage


#: What fails, and whether the task does.
PARTS: dict[str, tuple[Sabotage, bool]] = {
    "its life": (_in(Execution, "run"), True),
    "what is told of its start": (_in(Metrics, "task_dispatched"), True),
    "no message can be made of its result": (_no_message, True),
    "the end of its watch": (_in(Watchdog, "unwatch"), False),
    "the end of its connections": (_connections(end=stumble), False),
    "what its connections explain": (_connections(explain=stumble), False),
    "what is told of its end": (lambda means, patch: msgspec.structs.replace(means, task_ended=stumble), False),
    "its line": (_in(task_module, "record_ended"), False),
}


@pytest.mark.parametrize("part", PARTS)
async def test_what_fails_of_a_task_is_its_own(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has one answer, its slot is offered anew, the fault is counted, and the connection serves on."""
    sabotage, fails = PARTS[part]
    monkeypatch.setattr(Execution, "run", dispatched_and_done)
    wire = Wire()
    means = shared(slots=1)
    means = sabotage(means, monkeypatch) or means
    with fail_after(20):
        async with served(means, wire) as serving, trio.open_nursery() as writing:
            writing.start_soon(wire.write)
            wire.come(BrokerTaskOfferAccept("t", next(iter(serving.session._offers))))
            wire.come(BrokerTaskSettings("t", task_settings({"code": "x", "items": []})))
            await settled()
            assert (serving.session.state, serving.session.accepted, serving.session.open_offers) == (
                "registered",
                0,
                1,
            )
            assert not serving.busy
            writing.cancel_scope.cancel()
    verdicts = [said for said in wire.written if isinstance(said, RunnerTaskDone | RunnerTaskError)]
    assert [said.error.message if isinstance(said, RunnerTaskError) else "" for said in verdicts] == [FAULT * fails]
    assert faults(means) == 1


async def test_a_task_that_ends_before_its_settings_is_answered_whoever_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts it fails: the answer goes out all the same."""
    monkeypatch.setattr(Execution, "run", ended_before_its_settings)
    monkeypatch.setattr(Metrics, "task_abandoned", stumble)
    means, wire = shared(slots=1), Wire()
    with fail_after(20):
        async with served(means, wire) as serving, trio.open_nursery() as writing:
            writing.start_soon(wire.write)
            wire.come(BrokerTaskOfferAccept("t", next(iter(serving.session._offers))))
            await settled()
            writing.cancel_scope.cancel()
    assert [said.error.message for said in wire.written if isinstance(said, RunnerTaskError)] == ["too late"]
    assert faults(means) == 1
