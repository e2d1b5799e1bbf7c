"""A whole runner in this process beside an embedded broker, and what it logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from structlog.testing import capture_logs

from reptarium.pool.config import Settings
from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from reptarium.pool.runner import Runner


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[Broker, Runner, list[Any]]]:
    """One that is registered, shut down afterwards; and the lines of its log, as they come."""
    with capture_logs() as lines:
        async with open_broker(BrokerConfig(auth_token="secret", drain_grace=0.2)) as broker:
            runner = Runner(msgspec.structs.replace(settings, broker_uris=(broker.uri,), auth_token="secret"))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runner.run)
                await broker.wait_for_runner()
                try:
                    yield broker, runner, lines
                finally:
                    runner.shutdown()
