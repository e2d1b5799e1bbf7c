"""The runner is told to end, or ends by itself: what it has accepted is answered first, each task once."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Any

import pytest

from reptarium.pool.embedded_broker import TaskHandle
from reptarium.pool.protocol.messages import BrokerDrain, BrokerTaskOfferAccept, BrokerTaskSettings
from tests.limits import fail_after
from tests.load.support import Whole, one_runner, printed, runner_of, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]

QUICK = {"code": "return 1", "items": []}


def sleeper(runner: Whole, seconds: float) -> TaskHandle:
    """A task that says when it runs, and then sleeps."""
    return runner.site.broker.submit({"code": f"import time\nprint(1)\ntime.sleep({seconds})\nreturn 1", "items": []})


async def ended(runner: Whole) -> None:
    """The runner has ended with status 0; its processes are the fixture's to look for."""
    (process,) = runner.site.runners
    await until(lambda: process.status is not None, "the runner ends")
    assert process.status == 0


async def test_sigterm_answers_each_task() -> None:
    """Within the graceful time: done. After it: killed, and an error each; also without settings, or in a queue."""
    with fail_after(60):
        async with one_runner(workers=5, N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT="1") as runner:
            broker = runner.site.broker
            finishing = [sleeper(runner, 0.2), sleeper(runner, 0.4)]
            endless = [sleeper(runner, 60), sleeper(runner, 60)]
            for handle in finishing + endless:
                await printed(handle)
            broker.outgoing_filter = lambda _, message: () if isinstance(message, BrokerTaskSettings) else (message,)
            without_settings = broker.submit(QUICK)
            await until(lambda: broker.counters.accepts == 5, "it is accepted")
            waiting = broker.submit(QUICK, request_timeout=5)
            runner.site.runners[0].process.send_signal(signal.SIGTERM)
            for handle in finishing:
                assert (await handle.outcome()).status == "done"
            for handle in [*endless, without_settings]:
                outcome = await handle.outcome()
                assert outcome.status == "error", outcome
                assert outcome.error is not None
                assert "shutting down" in outcome.error.message
            await ended(runner)
            assert broker.counters.duplicates == broker.counters.disconnected == 0
            assert not waiting.done
            waiting.cancel()


async def test_sigterm_waits_for_a_result_that_is_read_slowly() -> None:
    """A task that has ended is answered, be it that its result takes half of the graceful time to send."""
    with fail_after(60):
        async with one_runner(N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT="20") as runner:
            broker, size = runner.site.broker, 30_000_000
            handle = broker.submit({"code": f"print(1)\nreturn [{{'json': {{'x': 'x' * {size}}}}}]", "items": []})
            await printed(handle)
            before = runner_of(runner.site).received
            broker.faults.throttle(runner_of(runner.site).id, size / 3)
            await until(lambda: runner_of(runner.site).received > before + size / 10, "the result is on its way")
            runner.site.runners[0].process.send_signal(signal.SIGTERM)
            assert (await handle.outcome()).status == "done"
            await ended(runner)


async def test_drain_finishes_what_runs_and_refuses_the_rest() -> None:
    """After broker:drain nothing is offered or taken; a new connection serves again."""
    refused = []

    def drain_after_settings(runner_id: str, message: Any) -> Iterable[Any]:
        if isinstance(message, BrokerTaskOfferAccept) and refused:
            refused.append(message.task_id)
        yield message
        if isinstance(message, BrokerTaskSettings):
            refused.append(message.task_id)
            yield BrokerDrain()

    with fail_after(60):
        async with one_runner() as runner:
            broker = runner.site.broker
            broker.outgoing_filter = drain_after_settings
            running = sleeper(runner, 0.3)
            await printed(running)
            waiting = broker.submit(QUICK)  # for one of the offers that the broker still holds
            assert (await running.outcome()).status == "done"
            await until(lambda: broker.counters.rejects, "it is refused")
            # each refusal uses up an offer, and no new one comes
            await until(lambda: runner_of(runner.site).offers == 0, "no offer stands")
            assert broker.counters.connects == 1
            assert not waiting.done
            broker.outgoing_filter = None
            broker.disconnect(runner_of(runner.site).id)
            outcome = await waiting.outcome()
            assert (outcome.status, outcome.attempts) == ("done", len(refused))
            await runner.again()


async def test_idle_runner_ends_but_not_while_a_task_runs() -> None:
    """The idle time counts from the last task's end: a task longer than it is done, and so is the one after."""
    with fail_after(60):
        async with one_runner(N8N_RUNNERS_AUTO_SHUTDOWN_TIMEOUT="1.5") as runner:
            assert (await sleeper(runner, 1.8).outcome()).status == "done"
            assert runner.site.runners[0].status is None
            assert (await runner.site.broker.submit(QUICK).outcome()).status == "done"
            await ended(runner)
            assert runner.site.broker.counters.disconnected == 0
