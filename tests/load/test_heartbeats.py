"""Pings are answered, in both directions, while 100 MB go in and out: the event loop is never blocked for long."""

from __future__ import annotations

import pytest
import trio

from reptarium.pool.embedded_broker import BrokerConfig
from tests.limits import fail_after
from tests.load.support import PATIENCE, one_runner

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]


async def test_heartbeats_while_large_messages_pass() -> None:
    """Broker and runner ping each other, small tasks are done beside: nobody is given up, all is right."""
    with fail_after(120):
        # less than a large task takes on a slow machine, more than one step of it (copying 100 MB) does
        config = BrokerConfig(heartbeat_interval=1.5, accept_timeout=PATIENCE)
        environ = {"REPTARIUM_HEARTBEAT_INTERVAL": "1.5", "REPTARIUM_TASK_MEMORY": "1GiB"}
        async with one_runner(config=config, **environ) as runner:
            broker, blob = runner.site.broker, "0123456789" * 10_000_000
            large = broker.submit({"code": "return _items", "items": [{"json": {"blob": blob}}]})
            beside = 0
            while not large.done:
                outcome = await broker.submit({"code": "return 1", "items": []}).outcome()
                assert outcome.status == "done", outcome
                beside += 1
                await trio.sleep(0.02)
            outcome = await large.outcome()
            assert outcome.status == "done", outcome
            assert outcome.result() == [{"json": {"blob": blob}}]
            assert beside > 1
            await runner.again()
            assert broker.counters.connects == 1
