"""More at once than the runner has slots for: offers accepted beyond capacity, cancels by the hundred."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from reptarium.pool.embedded_broker import TaskHandle
from reptarium.pool.protocol.messages import BrokerTaskOfferAccept, BrokerTaskSettings, RunnerTaskOffer
from tests.limits import fail_after
from tests.load.support import WORKERS, Whole, one_runner, runner_of, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]

#: How many offers the broker takes each of the runner's for, and how many tasks each accept is for.
OFFERS, ACCEPTS = 6, 3
#: What is cancelled at once. Each may get a worker: a runner that can't fork takes no tasks.
CANCELS = 60


async def test_accepts_beyond_capacity_are_rejected_and_nothing_is_lost() -> None:
    """For each slot the broker sends tasks by the dozen: each surplus one is refused at once, and done later."""
    tasks = 30

    def multiply(_: str, message: Any) -> Iterable[Any]:
        yield message
        if isinstance(message, RunnerTaskOffer):
            for number in range(1, OFFERS):
                yield msgspec.structs.replace(message, offer_id=f"{message.offer_id}-{number}")
        elif isinstance(message, BrokerTaskOfferAccept):
            for number in range(1, ACCEPTS):
                yield msgspec.structs.replace(message, task_id=f"{message.task_id}-{number}")

    with fail_after(90):
        async with one_runner() as runner:
            broker = runner.site.broker
            broker.incoming_filter = broker.outgoing_filter = multiply
            code = "return [{'json': {'n': _items[0]['json']['n'] ** 2}}]"
            handles = [broker.submit({"code": code, "items": [{"json": {"n": n}}]}) for n in range(tasks)]
            for n, handle in enumerate(handles):
                outcome = await handle.outcome()
                assert outcome.status == "done", outcome
                assert outcome.result() == [{"json": {"n": n * n}}]
            counters = broker.counters
            print(f"{counters.rejects} rejects")
            assert counters.rejects > tasks
            # the refusals of tasks that the broker doesn't know, one for each
            assert counters.unexpected >= (ACCEPTS - 1) * counters.matches
            assert counters.ack_timeouts == counters.duplicates == 0
            assert counters.connects == 1
            broker.incoming_filter = broker.outgoing_filter = None
            await runner.again()


async def hundreds_accepted(runner: Whole) -> list[TaskHandle]:
    """So many tasks, all of them accepted by the runner."""
    broker = runner.site.broker
    handles = [broker.submit({"code": "import time\ntime.sleep(60)", "items": []}) for _ in range(CANCELS)]
    await until(lambda: broker.counters.accepts == CANCELS, "all tasks are accepted")
    return handles


async def all_cancelled(runner: Whole, handles: list[TaskHandle]) -> None:
    """Cancel them at once: each is answered, to the broker's deaf ears, and its slot is offered anew."""
    counters = runner.site.broker.counters
    late = counters.late
    runner.struck()
    for handle in handles:
        handle.cancel()
    for handle in handles:
        assert (await handle.outcome()).status == "cancelled"
    await until(lambda: counters.late - late == CANCELS, "each cancel is answered")
    await until(lambda: runner_of(runner.site).offers == CANCELS, "each slot is offered again")
    assert counters.connects == 1


async def test_many_cancels_at_once() -> None:
    """Without their settings, then running or waiting for a worker: each is answered once, the pool is whole."""
    with fail_after(90):
        environ = {"N8N_RUNNERS_MAX_CONCURRENCY": str(CANCELS), "REPTARIUM_WARM_WORKERS": str(WORKERS)}
        async with one_runner(**environ) as runner:
            broker = runner.site.broker
            broker.outgoing_filter = lambda _, message: () if isinstance(message, BrokerTaskSettings) else (message,)
            await all_cancelled(runner, await hundreds_accepted(runner))
            broker.outgoing_filter = None
            broker.counters.accepts = 0
            await all_cancelled(runner, await hundreds_accepted(runner))
            await runner.again()
