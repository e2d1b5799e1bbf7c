"""The broker accepts offers and never sends the settings (REPTARIUM_SETTINGS_TIMEOUT), or sends them too late."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import trio

from reptarium.pool.embedded_broker import Delayed
from reptarium.pool.protocol.messages import BrokerTaskSettings
from tests.limits import fail_after
from tests.load.support import WORKERS, one_runner, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]

QUICK = {"code": "return 1", "items": []}


async def test_settings_that_never_come() -> None:
    """Each such task is answered with the reason, and its slot goes to the next one; the pool is whole."""
    with fail_after(60):
        async with one_runner(REPTARIUM_SETTINGS_TIMEOUT="0.5") as runner:
            broker = runner.site.broker

            def withhold(_: str, message: Any) -> Iterable[Any]:
                if not isinstance(message, BrokerTaskSettings):
                    return (message,)
                return () if message.task_id == starved[0].task_id else (Delayed(message, 0.8),)

            broker.outgoing_filter = withhold
            starved = [broker.submit(QUICK) for _ in range(WORKERS)]
            await until(lambda: broker.counters.accepts == WORKERS, "they are accepted")
            broker.outgoing_filter = None
            waiting = broker.submit(QUICK)  # there is no slot for it
            for handle in starved:
                outcome = await handle.outcome()
                assert outcome.status == "error"
                assert outcome.error is not None
                assert "settings did not arrive within 0.5 s" in outcome.error.message
            assert (await waiting.outcome()).status == "done"
            await trio.sleep(0.4)  # late settings come now
            await runner.again()
            assert broker.counters.duplicates == 0
            assert broker.counters.connects == 1
