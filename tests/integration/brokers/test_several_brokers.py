"""One pool serves several brokers: capacity goes where the work is, and nobody starves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.embedded_broker import Broker, BrokerConfig, Delayed, open_broker
from reptarium.pool.runner import Runner
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
TOKEN = "the token of both"
SLEEP = "import time\ntime.sleep(0.02)\nreturn 1"


@asynccontextmanager
async def several_brokers(count: int, **changes: Any) -> AsyncIterator[tuple[list[Broker], Runner]]:
    """So many brokers and one runner that serves them all."""
    async with AsyncExitStack() as stack:
        brokers = [await stack.enter_async_context(open_broker(BrokerConfig(auth_token=TOKEN))) for _ in range(count)]
        nursery = await stack.enter_async_context(trio.open_nursery())
        uris = tuple(broker.uri for broker in brokers)
        runner = Runner(msgspec.structs.replace(make_settings(**changes), broker_uris=uris, auth_token=TOKEN))
        nursery.start_soon(runner.run)
        for broker in brokers:
            await broker.wait_for_runner()
        await runner.pool.wait_warm()
        try:
            yield brokers, runner
        finally:
            runner.shutdown()


@asynccontextmanager
async def two_brokers(**changes: Any) -> AsyncIterator[tuple[Broker, Broker, Runner]]:
    """Two brokers and one runner that serves both."""
    async with several_brokers(2, **changes) as ((first, second), runner):
        yield first, second, runner


async def test_all_capacity_goes_to_the_one_with_work() -> None:
    """While the other broker is idle, one broker's tasks fill every slot."""
    with fail_after(60):
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
    with fail_after(90):
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


async def test_one_slot_goes_round() -> None:
    """With a single slot and three brokers whose queues are full, each has its turn all the time."""
    with fail_after(90):
        async with several_brokers(3, max_concurrency=1, warm_workers=2) as (brokers, runner):
            order: list[int] = []

            async def watch(number: int, handle: Any) -> None:
                assert (await handle.outcome()).status == "done"
                order.append(number)
                assert runner.accepted <= 1

            async with trio.open_nursery() as nursery:
                for number, broker in enumerate(brokers):
                    for _ in range(16):
                        nursery.start_soon(watch, number, broker.submit({"code": SLEEP, "items": []}))
            assert len(order) == 48
            for start in (0, 12):  # all queues are still full then
                part = order[start : start + 12]
                assert set(part) == {0, 1, 2}, order


async def test_a_distant_broker_gets_its_share() -> None:
    """A broker whose word takes longer to come would lose every race for a free slot; it is kept one in turn."""
    with fail_after(90):
        async with several_brokers(2, max_concurrency=1, warm_workers=2) as ((near, far), _):
            far.outgoing_filter = lambda _, message: [Delayed(message, 0.01)]
            order: list[str] = []

            async def watch(name: str, handle: Any) -> None:
                assert (await handle.outcome()).status == "done"
                order.append(name)

            async with trio.open_nursery() as nursery:
                for name, broker in (("near", near), ("far", far)):
                    for _ in range(20):
                        nursery.start_soon(watch, name, broker.submit({"code": "return 1", "items": []}))
            assert order[:20].count("far") >= 3, order


async def test_one_brokers_loss_does_not_touch_the_other() -> None:
    """A broker whose connection is cut loses its task; the other's goes on, and readiness says who is away."""
    with fail_after(60):
        async with two_brokers() as (first, second, serving):

            def away() -> str:
                (check,) = (check for check in serving.checks() if check.name == "broker")
                return check.detail

            while away():  # what a broker has sent, the runner may be still to read
                await trio.lowlevel.checkpoint()
            lost = first.submit({"code": "print('on')\nwhile True:\n    pass", "items": []})
            kept = second.submit({"code": "import time\nprint('on')\ntime.sleep(0.5)\nreturn 'kept'", "items": []})
            while not (lost.console and kept.console):
                await trio.sleep(0.01)
            (runner,) = first.runners
            first.disconnect(runner.id, abrupt=True)
            while not away():
                await trio.lowlevel.checkpoint()
            assert away() == f"not registered with {first.uri}"
            assert (await lost.outcome()).status == "disconnected"
            assert (await kept.outcome()).status == "done"
            # and the one that was cut is served again
            assert (await first.submit({"code": "return 1", "items": []}).outcome()).status == "done"
            while away():
                await trio.lowlevel.checkpoint()


async def test_a_full_outbox_ends_only_its_own_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that reads nothing more loses its connection when slots are shared, and nobody else does."""
    with fail_after(60):
        async with two_brokers() as (first, second, runner):
            stuck = next(link for link in runner.links if link.uri == second.uri)
            lost = stuck._serving
            assert lost is not None

            def full(*_: object, **options: object) -> None:
                raise LinkError("the broker does not read")

            monkeypatch.setattr(lost.connection.outbox, "put", full)
            before = [view.id for view in first.runners]
            stuck.offer(trio.current_time())  # as when a slot becomes free
            while stuck._serving is lost or not stuck.registered:  # it comes back with a new connection
                await trio.sleep(0.01)
            assert (await first.submit({"code": SLEEP, "items": []}).outcome()).status == "done"
            assert (await second.submit({"code": SLEEP, "items": []}).outcome()).status == "done"
            assert [view.id for view in first.runners] == before
