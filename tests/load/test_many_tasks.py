"""Many tasks at once through embedded broker, real WebSocket, real zygote and sandboxed workers."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import trio

from reptarium.pool.embedded import embedded_runner
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]


async def test_thousand_tasks_at_fifty_concurrent() -> None:
    """1,000 tasks, 50 in flight, on 10 slots: each gets its own right result."""
    with fail_after(120):
        async with embedded_runner(make_settings(max_concurrency=10, warm_workers=10)) as broker:
            turns = trio.CapacityLimiter(50)
            results: dict[int, Any] = {}

            async def one(number: int) -> None:
                async with turns:
                    code = "return [{'json': {'n': _items[0]['json']['n'], 'square': _items[0]['json']['n'] ** 2}}]"
                    handle = broker.submit({"code": code, "items": [{"json": {"n": number}}]})
                    outcome = await handle.outcome()
                    assert outcome.status == "done", outcome
                    assert outcome.data is not None
                    results[number] = json.loads(bytes(outcome.data.result))

            async with trio.open_nursery() as nursery:
                for number in range(1000):
                    nursery.start_soon(one, number)
            assert results == {n: [{"json": {"n": n, "square": n * n}}] for n in range(1000)}
            assert broker.counters.errors == 0


async def test_bursts_of_cancels() -> None:
    """300 cancels at once, before, while and after their tasks run: each task ends once, the pool is whole again."""
    with fail_after(120):
        async with embedded_runner(make_settings(max_concurrency=5, warm_workers=5)) as broker:
            code = "import time\ntime.sleep(_items[0]['json']['s'])\nreturn 1"
            handles = [broker.submit({"code": code, "items": [{"json": {"s": 0.002 * (n % 7)}}]}) for n in range(300)]
            await trio.sleep(0.1)
            for handle in handles:
                handle.cancel()
            ends = [(await handle.outcome()).status for handle in handles]
            assert set(ends) <= {"done", "cancelled"}
            assert "cancelled" in ends
            for _ in range(20):
                assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
            assert broker.counters.duplicates == 0


async def test_memory_and_descriptors_do_not_grow() -> None:
    """The supervisor holds as many descriptors after 600 tasks as after 150, and no task's state."""
    with fail_after(120):
        async with embedded_runner(make_settings(max_concurrency=4, warm_workers=4)) as broker:

            async def run(count: int) -> int:
                async with trio.open_nursery() as nursery:
                    turns = trio.CapacityLimiter(20)

                    async def one() -> None:
                        async with turns:
                            assert (await broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"

                    for _ in range(count):
                        nursery.start_soon(one)
                await trio.sleep(0.2)
                return len(os.listdir("/proc/self/fd"))

            before = await run(150)
            after = await run(450)
            assert after <= before + 4
