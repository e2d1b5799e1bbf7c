"""What restricts the zygote restricts one thread: there must be no other, since it would keep root and every call."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from arena import AS_ROOT, Arena, arena

from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.refusal import PoolRefused
from reptarium.pool.workers import zygote
from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.pool import WorkerPool
from reptarium.pool.workers.watchdog import INTERVAL, Watchdog
from reptarium.pool.workers.worker import Worker, WorkerGone
from reptarium.sandbox import wire
from reptarium.sandbox.wire import Kind
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("kernel_layer")

# Started below `threading`, as a package in C would: nobody in Python knows of it.
THREAD = "import _thread, time\n_thread.start_new_thread(time.sleep, ({seconds},))\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the zygote's path."""
    environment = zygote.zygote_environment

    def extended() -> dict[str, str]:
        found = environment()
        found["PYTHONPATH"] = os.pathsep.join(filter(None, (found.get("PYTHONPATH"), str(tmp_path))))
        return found

    monkeypatch.setattr(zygote, "zygote_environment", extended)
    return tmp_path


@asynccontextmanager
async def _started(**settings: str) -> AsyncIterator[WorkerPool]:
    """A pool that allows the module `threaded`."""
    pool = WorkerPool(zygote_config(make_settings({"N8N_RUNNERS_EXTERNAL_ALLOW": "threaded,yaml", **settings})), size=1)
    with fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            await pool.wait_warm()
            yield pool
            pool.close()
            nursery.cancel_scope.cancel()


def _status(worker: Worker) -> str:
    return Path(f"/proc/{worker.pid}/status").read_text()


def _threads(worker: Worker) -> list[bool]:
    """Of each thread of its zygote, whether it has a filter."""
    parent = _status(worker).partition("PPid:\t")[2].split()[0]
    return ["Seccomp:\t2\n" in (task / "status").read_text() for task in Path(f"/proc/{parent}/task").iterdir()]


async def test_what_starts_threads_when_imported_is_left_to_tasks(
    packages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A zygote whose import started a thread starts anew without it, says so, and a task can import it all the same."""
    (packages / "threaded.py").write_text(THREAD.format(seconds=600) + "n = 6\n")
    async with _started() as pool:
        threads = _threads(await pool.lease())
        await pool.wait_warm()
        answer = await Arena(pool).run("import threaded\nreturn threaded.n * 7")
    assert threads == [True]
    assert answer == 42
    said = capsys.readouterr().out
    assert "module=threaded" in said
    assert "starts threads" in said
    assert "module=yaml" not in said


async def test_a_thread_that_ends_by_itself_is_waited_for(packages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A package that starts a thread for its import only is preloaded."""
    (packages / "threaded.py").write_text(THREAD.format(seconds=0.2))
    async with _started() as pool:
        assert _threads(await pool.lease()) == [True]
    assert "module=threaded" not in capsys.readouterr().out


async def test_a_thread_that_no_import_started_ends_the_start(packages: Path) -> None:
    """What can't be left out is refused, with what to change."""
    (packages / "sitecustomize.py").write_text(THREAD.format(seconds=600))
    with pytest.raises(BaseExceptionGroup) as ended:
        async with _started():
            pass
    assert ended.group_contains(PoolRefused, match="one thread is not available: the zygote has 1 more")


async def test_best_effort_starts_beside_a_thread_and_says_so(packages: Path) -> None:
    """Under best-effort the runner starts, with a layer that is missing; the thread is filtered at least."""
    (packages / "sitecustomize.py").write_text(THREAD.format(seconds=600))
    async with _started(REPTARIUM_ISOLATION="best-effort") as pool:
        found = {layer.name: layer.state for layer in pool.layers}
        threads = _threads(await pool.lease())
    assert (found["one thread"], found["seccomp"]) == ("missing", "active")
    assert threads == [True, True]


async def test_numeric_libraries_start_no_threads_when_they_are_imported_late() -> None:
    """A worker that imports numpy has one thread, however many processors there are."""
    code = "import numpy\nnumpy.ones((300, 300)) @ numpy.ones((300, 300))\nchannel.print(b'[]')\ntime.sleep(60)"
    with fail_after(60):
        async with arena(size=1) as place:
            worker = await place.pool.lease()
            head = wire.TaskHead(code=f"import time\n{code}", items_size=2)
            await worker.send(Kind.TASK, *wire.with_head(head, b"[]"))
            kind, _ = await worker.receive({Kind.CONSOLE: 4096, Kind.FAILED: 2**16})
            status = _status(worker)
            place.pool.discard(worker)
    assert kind is Kind.CONSOLE
    assert "Threads:\t1\n" in status


@pytest.mark.parametrize(
    "own_uids", [pytest.param(True, marks=pytest.mark.skipif(not AS_ROOT, reason="needs root")), False]
)
async def test_a_task_has_no_more_threads_than_it_may(own_uids: bool) -> None:
    """One over the limit can't be started, where each worker has a user id; else the watchdog ends the task for it."""
    code = """
import _thread, time
for _ in range({}):
    try: _thread.start_new_thread(time.sleep, (600,))
    except RuntimeError: result = "refused"; break
else: time.sleep(600)
"""
    isolation: dict[str, Any] = {"max_threads": 4, "worker_uids": (70000, 70999) if own_uids else None}
    watchdog = Watchdog(2**30, 4, Metrics())
    with fail_after(60):
        async with arena(size=1, **isolation) as place, trio.open_nursery() as nursery:
            nursery.start_soon(watchdog.run)
            answers = []
            for count in (4, 5):
                worker = await place.pool.lease()
                watchdog.watch(worker)
                head = wire.TaskHead(code=code.format(count), items_size=2)
                await worker.send(Kind.TASK, *wire.with_head(head, b"[]"))
                with trio.move_on_after(10 * INTERVAL if count == 4 else 30):
                    try:
                        _, payload = await worker.receive({Kind.RESULT: 4096, Kind.FAILED: 2**16})
                        answers.append(json.loads(bytes(wire.split_head(payload)[1])))
                    except WorkerGone:
                        answers.append(worker.killed_for)
                place.pool.discard(worker)
            nursery.cancel_scope.cancel()
    assert answers == ["refused" if own_uids else "threads"]


async def test_workers_give_way_to_supervisor_and_zygote() -> None:
    """A worker's nice value is five above its zygote's, which is the supervisor's, and it can't be lowered again."""
    with fail_after(60):
        async with arena(size=2) as place:
            worker = await place.pool.lease()
            own, parent = os.getpriority(os.PRIO_PROCESS, 0), int(_status(worker).partition("PPid:\t")[2].split()[0])
            values = [os.getpriority(os.PRIO_PROCESS, pid) for pid in (parent, worker.pid)]
            answer = await place.attack("result = attempt(os.setpriority, os.PRIO_PROCESS, 0, 0)")
    assert values == [own, min(own + 5, 19)]
    assert answer == "EPERM"
