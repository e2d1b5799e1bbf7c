"""The broker's messages come twice, in the wrong order, or cross the runner's: each accepted task is answered once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
import trio

from reptarium.pool.embedded_broker import Broker, TaskHandle
from reptarium.pool.protocol.messages import (
    BrokerRpcResponse,
    BrokerTaskCancel,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    RunnerTaskAccepted,
    RunnerTaskDone,
    RunnerTaskError,
)
from tests.limits import fail_after
from tests.load.support import one_runner, runner_of, serves, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]


class Ledger:
    """What the runner says of each task: an incoming filter that lets everything pass.

    ``crossing`` are tasks that are cancelled in the moment in which their answer has come and is not read yet.
    """

    def __init__(self, broker: Broker) -> None:
        self.accepted: list[str] = []
        self.answers: Counter[str] = Counter()
        self.crossing: list[TaskHandle] = []
        broker.incoming_filter = self._note

    def _note(self, _: str, message: Any) -> Iterable[Any]:
        if isinstance(message, RunnerTaskAccepted):
            self.accepted.append(message.task_id)
        elif isinstance(message, RunnerTaskDone | RunnerTaskError):
            self.answers[message.task_id] += 1
            for handle in self.crossing:
                if handle.task_id == message.task_id:
                    handle.cancel()
        return (message,)

    def balanced(self) -> bool:
        """Each accepted task has been answered, once, and no other."""
        return self.answers == Counter(dict.fromkeys(self.accepted, 1)) and len(set(self.accepted)) == len(
            self.accepted
        )


def settings_first(_: str, message: Any) -> Iterable[Any]:
    """The settings come before the offer is accepted, and once more when they are due."""
    if isinstance(message, BrokerTaskOfferAccept):
        yield BrokerTaskSettings(message.task_id, TASK.settings)
    yield message


class TASK:
    """What all of them run; its settings as the broker has completed them."""

    code = "return [{'json': {'mime': _helpers.binary_info(0)['mimeType']}}]"
    settings: Any = None


def twice(kind: type[Any]) -> Any:
    """Each message of ``kind`` comes twice."""

    def repeat(_: str, message: Any) -> Iterable[Any]:
        return (message, message) if isinstance(message, kind) else (message,)

    return repeat


def cancel_before_settings(_: str, message: Any) -> Iterable[Any]:
    """A cancel overtakes the settings."""
    if isinstance(message, BrokerTaskSettings):
        yield BrokerTaskCancel(message.task_id, "too early")
    yield message


def cancel_twice_after_settings(_: str, message: Any) -> Iterable[Any]:
    """Two cancels follow the settings at once."""
    yield message
    if isinstance(message, BrokerTaskSettings):
        yield BrokerTaskCancel(message.task_id, "too late")
        yield BrokerTaskCancel(message.task_id, "later still")


def answer_first(_: str, message: Any) -> Iterable[Any]:
    """Answers to calls that nobody has made come before the settings, and for tasks that nobody knows."""
    if isinstance(message, BrokerTaskSettings):
        yield BrokerRpcResponse("no-such-call", message.task_id, "success")
        yield BrokerRpcResponse("no-such-call", "no-such-task", "error")
    yield message


#: What the broker does, how the task ends, what the error says.
DISORDER = [
    (settings_first, "done", ""),
    (twice(BrokerTaskSettings), "done", ""),
    (twice(BrokerTaskOfferAccept), "done", ""),
    (twice(BrokerRpcResponse), "done", ""),
    (twice(object), "done", ""),
    (answer_first, "done", ""),
    (cancel_before_settings, "error", "too early"),
    (cancel_twice_after_settings, "error", "too late"),
]


async def test_messages_that_come_twice_or_too_early() -> None:
    """The task runs once and ends once; a cancel is answered with its own reason; the slot is free again."""

    async def rpc(*_: object) -> dict[str, str]:
        return {"mimeType": "text/plain"}

    with fail_after(60):
        async with one_runner(workers=1) as runner:
            broker = runner.site.broker
            broker.rpc_handler = rpc
            TASK.settings = broker.submit({"code": TASK.code, "items": []}).settings
            await until(lambda: not broker.unfinished, "the first task is done")
            ledger = Ledger(broker)
            for number, (disorder, ends, words) in enumerate(DISORDER):
                broker.outgoing_filter = disorder
                outcome = await broker.submit({"code": TASK.code, "items": []}).outcome()
                assert outcome.status == ends, (number, outcome)
                if ends == "done":
                    assert outcome.result() == [{"json": {"mime": "text/plain"}}], number
                else:
                    assert outcome.error is not None
                    assert words in outcome.error.message, number
            broker.outgoing_filter = twice(object)  # the registration too
            broker.disconnect(runner_of(runner.site).id, abrupt=True)
            await serves(runner.site)
            broker.outgoing_filter = None
            await runner.again()
            assert ledger.balanced(), ledger.answers
            assert broker.counters.connects == 2
            assert broker.counters.rejects == broker.counters.duplicates == 0


async def test_cancel_crosses_the_result() -> None:
    """Cancels around the moment in which tasks end, and just before their result is read: one end each."""
    rng, tasks = random.Random(1), 150
    with fail_after(60):
        async with one_runner() as runner:
            broker = runner.site.broker
            ledger = Ledger(broker)
            ends: Counter[str] = Counter()

            async def one(number: int) -> None:
                handle = broker.submit({"code": f"return {number}", "items": []})
                if number % 5 == 0:
                    ledger.crossing.append(handle)
                else:
                    await trio.sleep(rng.random() * 0.05)
                    handle.cancel()
                outcome = await handle.outcome()
                ends[outcome.status] += 1
                if outcome.status == "done":
                    assert outcome.result() == number

            turns = trio.CapacityLimiter(3)

            async def in_turn(number: int) -> None:
                async with turns:
                    await one(number)

            async with trio.open_nursery() as nursery:
                for number in range(tasks):
                    nursery.start_soon(in_turn, number)
            print(dict(ends))
            assert ends["done"] + ends["cancelled"] == tasks
            assert ends["cancelled"] >= tasks // 5
            await runner.again()
            await until(ledger.balanced, "every accepted task is answered once")
            assert broker.counters.connects == 1
            assert broker.counters.duplicates == 0
