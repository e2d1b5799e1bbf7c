"""One pool serves several brokers: capacity goes where the work is, and nobody starves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from pool.broker import Broker, BrokerConfig, open_broker
from pool.runner import Runner
from tests.conftest import make_settings

pytestmark = pytest.mark.usefixtures("nothing_left")
TOKEN = "the token of both"
SLEEP = "import time\ntime.sleep(0.02)\nreturn 1"


@asynccontextmanager
async def two_brokers(**changes: Any) -> AsyncIterator[tuple[Broker, Broker, Runner]]:
    """Two brokers and one runner that serves both."""
    config = BrokerConfig(auth_token=TOKEN)
    async with open_broker(config) as first, open_broker(config) as second, trio.open_nursery() as nursery:
        settings = make_settings(**changes)
        runner = Runner(msgspec.structs.replace(settings, broker_uris=(first.uri, second.uri), auth_token=TOKEN))
        nursery.start_soon(runner.run)
        await first.wait_for_runner()
        await second.wait_for_runner()
        await runner.pool.wait_warm()
        try:
            yield first, second, runner
        finally:
            runner.shutdown()


async def test_all_capacity_goes_to_the_one_with_work() -> None:
    """While the other broker is idle, one broker's tasks fill every slot."""
    with trio.fail_after(60):
        async with two_brokers() as (first, _, runner):
            handles = [first.submit({"code": "print('on')\nwhile True:\n    pass", "items": []}) for _ in range(2)]
            while not all(handle.console for handle in handles):
                await trio.sleep(0.01)
            assert runner.accepted == 2
            for handle in handles:
                handle.cancel()
                await handle.outcome()


async def test_capacity_is_never_exceeded_and_nobody_starves() -> None:
    """Both brokers queue far more than there are slots: each gets a fair share, all tasks are done."""
    with trio.fail_after(90):
        async with two_brokers() as (first, second, runner):
            order: list[str] = []
            most = 0

            async def watch(name: str, handle: Any) -> None:
                nonlocal most
                outcome = await handle.outcome()
                assert outcome.status == "done", outcome
                order.append(name)
                most = max(most, runner.accepted)

            async with trio.open_nursery() as nursery:
                for name, broker in (("first", first), ("second", second)):
                    for _ in range(40):
                        nursery.start_soon(watch, name, broker.submit({"code": SLEEP, "items": []}))
            assert len(order) == 80
            assert most <= 2
            half = order[:40]
            assert min(half.count("first"), half.count("second")) >= 10, order


async def test_one_brokers_loss_does_not_touch_the_other() -> None:
    """A broker whose connection is cut loses its task; the other's goes on."""
    with trio.fail_after(60):
        async with two_brokers() as (first, second, _):
            lost = first.submit({"code": "print('on')\nwhile True:\n    pass", "items": []})
            kept = second.submit({"code": "import time\nprint('on')\ntime.sleep(0.5)\nreturn 'kept'", "items": []})
            while not (lost.console and kept.console):
                await trio.sleep(0.01)
            (runner,) = first.runners
            first.disconnect(runner.id, abrupt=True)
            assert (await lost.outcome()).status == "disconnected"
            assert (await kept.outcome()).status == "done"
            # and the one that was cut is served again
            assert (await first.submit({"code": "return 1", "items": []}).outcome()).status == "done"
