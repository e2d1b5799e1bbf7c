"""A runner beside an embedded broker in one event loop: for ``exec``, ``demo``, tests and benchmarks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from reptarium.pool.config import Settings, load_settings
from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from reptarium.pool.refusal import StartRefused
from reptarium.pool.runner import Runner
from reptarium.sandbox.wire import ZygoteConfig


def embedded_settings(environ: Mapping[str, str], **changes: Any) -> Settings:
    """Settings for a runner beside an embedded broker: quiet, one task at a time, no health server."""
    settings = load_settings({"REPTARIUM_LOG_LEVEL": "error", **environ})
    settings = msgspec.structs.replace(
        settings,
        max_concurrency=1,
        warm_workers=1,
        health_enabled=False,
        auto_shutdown_timeout=0.0,
        preload_learn="off",
    )
    return msgspec.structs.replace(settings, **changes)


class RunnerEnded(StartRefused):
    """The runner beside the broker has ended by itself: nothing would be served any more. Its log says why."""


@asynccontextmanager
async def embedded_runner(
    settings: Settings, *, config: BrokerConfig | None = None, zygote: ZygoteConfig | None = None
) -> AsyncIterator[Broker]:
    """An embedded broker with a registered, warm runner: submit tasks to what is yielded.

    ``settings`` says everything but where the broker is. Raises what :meth:`Runner.run` raises and
    :class:`RunnerEnded`, in an exception group. ``zygote``: see :class:`Runner`.
    """
    async with (
        open_broker(config or BrokerConfig(max_payload=settings.max_payload)) as broker,
        trio.open_nursery() as nursery,
    ):
        runner = Runner(
            msgspec.structs.replace(
                settings,
                broker_uris=(broker.uri,),
                broker_path=broker.config.path,
                # not a grant, which would run out while a slow machine starts the pool
                auth_token=broker.config.auth_token,
                grant_token=None,
            ),
            zygote=zygote,
        )
        nursery.start_soon(_serve, runner)
        await broker.wait_for_runner()
        await runner.pool.wait_warm(min(runner.pool.size, settings.max_concurrency))
        try:
            yield broker
        finally:
            runner.shutdown()


async def _serve(runner: Runner) -> None:
    if status := await runner.run():
        raise RunnerEnded(f"the runner ended by itself (status {status}); its log says why")
