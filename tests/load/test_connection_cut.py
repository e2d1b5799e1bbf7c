"""The connection to the broker breaks at every point of a task's life, with a reset and without a word.

Whatever was on its way: the runner registers again, its tasks' workers are killed, the parked ones stay
parked, and the next task is served. Loopback only, each test bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from reptarium.pool.embedded_broker import Broker
from reptarium.pool.protocol.messages import (
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    RunnerRpcCall,
    RunnerTaskAccepted,
    RunnerTaskDone,
    RunnerTaskOffer,
)
from reptarium.sandbox.wire import IDLE_NAME
from tests.limits import fail_after
from tests.load.support import WORKERS, Whole, busy, one_runner, printed, runner_of, serves, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]

SLEEPER = {"code": "import time\nprint('on')\ntime.sleep(60)", "items": []}
QUICK = {"code": "return 1", "items": []}
ASKING = {"code": "return _helpers.binary_info(0)", "items": []}
#: More than all buffers between runner and broker hold (bytes).
LARGE = 40_000_000


def cut_at(broker: Broker, kind: type[Any], *, pass_on: bool) -> None:
    """Break the connection off at the first message of ``kind``, in or out; with ``pass_on`` right after it."""
    left = [kind]

    def strike(runner_id: str, message: Any) -> Iterable[Any]:
        if left and isinstance(message, kind):
            left.clear()
            if pass_on:
                yield message
            broker.disconnect(runner_id, abrupt=True)
        else:
            yield message

    broker.outgoing_filter = broker.incoming_filter = strike


#: Where the connection is cut, by what message, whether that one is passed on, what runs, how it ends.
POINTS = {
    "an offer is on its way": (RunnerTaskOffer, False, QUICK, "done"),
    "the accept of the offer is lost": (BrokerTaskOfferAccept, False, QUICK, "done"),
    "the runner's accept is lost": (RunnerTaskAccepted, False, QUICK, "done"),
    "between accept and settings": (BrokerTaskSettings, False, QUICK, "disconnected"),
    "just after the settings": (BrokerTaskSettings, True, SLEEPER, "disconnected"),
    "a call waits for its answer": (RunnerRpcCall, False, ASKING, "disconnected"),
    "the result is lost": (RunnerTaskDone, False, QUICK, "disconnected"),
    "just after the result": (RunnerTaskDone, True, QUICK, "done"),
}


@pytest.mark.parametrize("point", POINTS)
async def test_cut_at_a_message(point: str) -> None:
    """A task that the broker had handed over fails; one that it hadn't is asked for again and done."""
    kind, pass_on, settings, ends = POINTS[point]
    with fail_after(60):
        async with one_runner() as runner:
            broker = runner.site.broker
            cut_at(broker, kind, pass_on=pass_on)
            outcome = await broker.submit(settings).outcome()
            assert outcome.status == ends, outcome
            await until(lambda: broker.counters.disconnects == 1, "the connection is cut")
            await all_is_well(runner)


async def all_is_well(runner: Whole, connects: int = 2) -> None:
    """Whole again, with the zygote of before and with all parked workers of before but the one that was used."""
    await runner.again()
    counters = runner.site.broker.counters
    assert counters.connects == connects
    assert counters.duplicates == counters.foreign == counters.malformed == 0
    assert runner.zygotes() == runner.zygote


async def cut_mid_run(runner: Whole) -> None:
    handle = runner.site.broker.submit(SLEEPER)
    await printed(handle)
    (worker,) = busy(runner.site)
    runner.site.broker.disconnect(runner_of(runner.site).id, abrupt=True)
    assert (await handle.outcome()).status == "disconnected"
    await until(lambda: not worker.is_running(), "the task's worker is killed")


async def cut_within_the_settings(runner: Whole) -> None:
    broker = runner.site.broker
    before = runner_of(runner.site).sent
    handle = broker.submit({"code": "import time\ntime.sleep(60)", "items": [{"json": {"blob": "x" * LARGE}}]})
    await until(lambda: runner_of(runner.site).sent > before + 1_000_000, "a part of the settings is sent")
    assert runner_of(runner.site).sent < before + LARGE
    broker.disconnect(runner_of(runner.site).id, abrupt=True)
    assert (await handle.outcome()).status == "disconnected"


async def cut_within_the_result(runner: Whole) -> None:
    broker = runner.site.broker
    handle = broker.submit({"code": f"print('on')\nreturn [{{'json': {{'blob': 'x' * {LARGE}}}}}]", "items": []})
    await printed(handle)
    view = runner_of(runner.site)
    broker.faults.throttle(view.id, 20_000_000)
    await until(lambda: runner_of(runner.site).received > view.received + 2_000_000, "a part of the result has come")
    assert not handle.done
    broker.disconnect(view.id, abrupt=True)
    assert (await handle.outcome()).status == "disconnected"


@pytest.mark.parametrize("cut", [cut_mid_run, cut_within_the_settings, cut_within_the_result])
async def test_cut_in_the_midst(cut: Callable[[Whole], Any]) -> None:
    """Code that runs is killed; half a message, in or out, is dropped; parked workers stay."""
    with fail_after(60):
        async with one_runner() as runner:
            await cut(runner)
            kept = runner.pids(IDLE_NAME) & runner.parked
            await all_is_well(runner)
            assert len(kept) >= WORKERS - 1
            await serves(runner.site)
