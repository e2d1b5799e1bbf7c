"""Workers are forked from one process, and yet none draws another's random numbers."""

from __future__ import annotations

import json

import pytest
import trio

from reptarium.pool.embedded import embedded_runner
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
CODE = """
import random, secrets, uuid
drawn = [random.random(), random.randint(0, 2**60), random.sample(range(10**9), 3)]
return [*drawn, secrets.token_hex(), str(uuid.uuid4())]
"""


async def test_every_task_draws_its_own() -> None:
    """Parked workers, and those that were forked for a task that waited, all draw different numbers."""
    settings = make_settings({"N8N_RUNNERS_MAX_CONCURRENCY": "2"})
    drawn: list[list[object]] = []

    async def draw() -> None:
        outcome = await broker.submit({"code": CODE, "items": []}).outcome()
        assert outcome.status == "done", outcome
        assert outcome.data is not None
        drawn.append(json.loads(bytes(outcome.data.result)))

    with fail_after(60):
        async with embedded_runner(settings) as broker, trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(draw)
    assert len(drawn) == 12
    for place in range(5):
        assert len({json.dumps(draws[place]) for draws in drawn}) == 12
