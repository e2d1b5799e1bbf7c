"""The same code again in the same worker: a broker, a runner, workers in their sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psutil
import pytest
import trio

from reptarium.pool.embedded_broker import Broker
from reptarium.pool.embedded_broker.outcome import Outcome
from reptarium.pool.runner import Runner
from tests.conftest import make_settings
from tests.integration.workers.serving import serving
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left", "kernel_layer")

#: What a module keeps shows whether a process is the same.
COUNT = "import json\njson.runs = getattr(json, 'runs', 0) + 1\n"


class Site:
    """A runner that reuses workers, in plain Python, and its broker."""

    def __init__(self, broker: Broker, runner: Runner, lines: list[Any]) -> None:
        self.broker, self.runner, self.lines = broker, runner, lines

    async def outcome(self, code: str, **settings: Any) -> Outcome:
        """A task's of the node N of the workflow W."""
        task = {"code": COUNT + code, "items": [], "workflowId": "W", "nodeId": "N", **settings}
        return await self.broker.submit(task, timeout=60).outcome()

    async def value(self, code: str = "return json.runs", **settings: Any) -> Any:
        """What it returns."""
        outcome = await self.outcome(code, **settings)
        assert outcome.data is not None, outcome.error
        return msgspec.json.decode(outcome.data.result)

    @property
    def resting(self) -> list[int]:
        return [pid for pid, worker in self.runner.pool.workers.items() if worker.state == "resting"]


@asynccontextmanager
async def site(**changes: Any) -> AsyncIterator[Site]:
    wanted = {"language": "python", "stdlib_allow": ("*",), "worker_reuse": "same-node", **changes}
    async with serving(make_settings(**wanted)) as there:
        yield Site(*there)


async def test_the_same_code_again() -> None:
    """Its modules are as it left them; namespace, prints, random numbers and what was written are anew."""
    code = (
        "import random, sys\nfresh = 'before' not in globals()\nbefore = 1\nprint('x' * 600)\nsys.stderr.write('e')\n"
        "return [json.runs, fresh, random.random()]"
    )
    with fail_after(60):
        async with site(max_console=2048) as here:
            found = [await here.value(code) for _ in range(4)]
            assert [runs for runs, _, _ in found] == [1, 2, 3, 4]
            assert all(fresh for _, fresh, _ in found)
            assert len({number for _, _, number in found}) == 4
            while sum(line["event"] == "task" for line in here.lines) < 4:
                await trio.sleep(0.01)
            told = [line for line in here.lines if line["event"] == "task"]
            assert [line.get("reused", False) for line in told] == [False, True, True, True]
            assert len({line["worker"] for line in told}) == 1
            assert all(0 < line["cpu_s"] < 5 and line["peak_memory_bytes"] > 0 for line in told)
            sample = here.runner.metrics.registry.get_sample_value
            assert sample("reptarium_worker_reuse_total", {"result": "hit"}) == 3
            # nobody else has it: another node, workflow, program, and who doesn't say
            for changes in ({"nodeId": "M"}, {"workflowId": "V"}, {"nodeId": None}, {"workflowId": None}):
                assert await here.value(**changes) == 1
            assert await here.value("return json.runs # another") == 1


UNUSUAL = {
    "thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "descriptor": "import os\njson.left = os.dup(0)",
    "redirection": "import contextlib as c, io\njson.left = c.redirect_stdout(io.StringIO())\njson.left.__enter__()",
    "memory": "json.left = b'x' * (64 << 20)",
    "failure": "raise ValueError",
}


async def test_what_is_unusual_ends_the_worker() -> None:
    """A thread, a descriptor, a redirection, memory that stays, a failure: the next task has another worker."""
    with fail_after(60):
        async with site() as here:
            assert [await here.value(), await here.value()] == [1, 2]
            (resting,) = here.resting
            for name, code in UNUSUAL.items():
                await here.outcome(f"{code}\nreturn 1")
                assert (name, here.resting) == (name, [resting])


async def test_a_time_limit_ends_a_worker_that_has_served_before() -> None:
    """It is killed as any other, and the next task has a new one."""
    code = "while json.runs == 2: pass\nreturn json.runs"
    with fail_after(60):
        async with site(task_timeout=1.0) as here:
            assert await here.value(code) == 1
            assert "timed out" in str(await here.outcome(code))
            assert await here.value(code) == 1


async def test_a_resting_worker_that_dies() -> None:
    """Is missed by nobody: the next task has a new one."""
    with fail_after(60):
        async with site() as here:
            assert await here.value() == 1
            (pid,) = here.resting
            psutil.Process(pid).kill()
            while pid in here.runner.pool.workers:
                await trio.sleep(0.01)
            assert await here.value() == 1


async def test_a_zygote_takes_those_that_rest_with_it() -> None:
    """None of a zygote that has ended serves again."""
    with fail_after(60):
        async with site() as here:
            assert await here.value() == 1
            (pid,) = here.resting
            (zygote,) = psutil.Process().children()
            zygote.kill()
            while pid in here.runner.pool.workers:
                await trio.sleep(0.01)
            assert await here.value() == 1


async def test_off_unless_it_is_wanted() -> None:
    """By default a worker serves once, whatever says whose the task is."""
    with fail_after(60):
        async with site(worker_reuse="off") as here:
            assert [await here.value(), await here.value()] == [1, 1]
            assert here.resting == []
