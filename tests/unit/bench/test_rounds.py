"""A round of the load generator beside a broker that is made up."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from reptarium.pool.bench import load
from reptarium.pool.bench.cases import CASES
from reptarium.pool.bench.load import Plan, run_round
from reptarium.pool.bench.stats import usage
from tests.limits import fail_after, within


async def test_a_look_at_the_runners_memory_holds_up_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes milliseconds for each process: they are in nobody's latency."""
    begun, turned = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    def look(processes: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            token.run_sync_soon(begun.set)
            assert turned.wait(within(10)), "the task ends while the look goes on"
        return usage([])

    class Handle:
        console = ()

        async def outcome(self) -> Any:
            await begun.wait()
            turned.set()
            return SimpleNamespace(status="no-runner", runner_id=None, error=None)

    broker = SimpleNamespace(
        counters=SimpleNamespace(rejects=0, offers_expired=0),
        submit=lambda settings, timeout: Handle(),
        rpc_handler=None,
    )
    monkeypatch.setattr(load, "usage", look)
    with fail_after(30):
        site = cast(Any, SimpleNamespace(broker=broker, processes=list))
        found = await run_round(site, lambda: CASES["failing"], Plan(tasks=1, concurrency=1), sample_every=0.001)
    assert found.tasks == 1
