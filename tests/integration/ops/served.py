"""The endpoint alone, listened on, for tests of it: loopback only, ports chosen by the system."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from reptarium.pool.config import load_settings
from reptarium.pool.ops.endpoint import ReadinessCheck, serve_endpoint
from reptarium.pool.ops.metrics import Metrics


class Health:
    """Says what it is told to say."""

    def __init__(self, *checks: ReadinessCheck) -> None:
        self.found: Sequence[ReadinessCheck] = checks

    def checks(self) -> Sequence[ReadinessCheck]:
        return self.found


@asynccontextmanager
async def endpoint(health: Any, metrics: Metrics, host: str = "127.0.0.1", *more: Any) -> AsyncIterator[str]:
    """Its URL. ``more`` is what else ``serve_endpoint`` takes."""
    settings = load_settings(
        {"N8N_RUNNERS_HEALTH_CHECK_SERVER_HOST": host, "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": "0"}
    )
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(serve_endpoint, settings, health, metrics, *more)
        yield url
        nursery.cancel_scope.cancel()
