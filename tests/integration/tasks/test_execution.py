"""Tasks through embedded broker, real WebSocket, real zygote and sandboxed workers."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import psutil
import pytest
import trio

from reptarium.pool.embedded import embedded_runner
from reptarium.pool.embedded_broker import Broker, Outcome
from reptarium.sandbox.wire import BUSY_NAME
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")

PEOPLE = [{"json": {"name": name, "age": age}, "pairedItem": {"item": i}} for i, (name, age) in enumerate(
    [("Ada", 36), ("Bob", 17), ("Cleo", 52)]
)]  # fmt: skip


def value(outcome: Outcome) -> Any:
    """The result of a task that must have ended well."""
    assert outcome.status == "done", outcome
    assert outcome.data is not None
    return json.loads(bytes(outcome.data.result))


def error(outcome: Outcome) -> dict[str, Any]:
    """The error of a task that must have failed."""
    assert outcome.status == "error", outcome
    assert outcome.error is not None
    result: dict[str, Any] = msgspec.to_builtins(outcome.error)
    return result


async def submit(broker: Broker, code: str, **settings: Any) -> Outcome:
    """Run one task."""
    with fail_after(20):
        return await broker.submit({"code": code, "items": PEOPLE, **settings}).outcome()


@pytest.fixture
async def broker() -> Any:
    """An embedded broker with a warm runner of two slots."""
    with fail_after(60):
        async with embedded_runner(make_settings()) as broker:
            yield broker


async def test_prints_before_a_failure_arrive(broker: Broker) -> None:
    """What was printed is delivered, in order, whatever comes then."""
    with fail_after(20):
        handle = broker.submit({"code": "print('one')\nprint(2, [3])\nraise ValueError('x')", "items": []})
        await handle.outcome()
    assert handle.console == [["'one'"], ["2", "[3]"]]


async def test_prints_are_streamed(broker: Broker) -> None:
    """A print arrives while its task still runs."""
    seen = trio.Event()
    with fail_after(20):
        handle = broker.submit(
            {"code": "print('now')\nwhile True:\n    pass", "items": []}, on_console=lambda parts: seen.set()
        )
        await seen.wait()
        handle.cancel()
        assert (await handle.outcome()).status == "cancelled"


def at_work() -> set[psutil.Process]:
    """The workers that have a task, by the name that they show in the process table."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.name() == BUSY_NAME:
                found.add(child)
    return found


async def gone(workers: set[psutil.Process]) -> None:
    """Wait until these processes have ended: a loop does so by being killed, or never."""
    while any(map(_lives, workers)):
        await trio.sleep(0.005)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):  # between the two questions
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


async def test_cancel_kills_at_once(broker: Broker) -> None:
    """A cancelled loop is gone, its process with it, and its slot serves again."""
    with fail_after(20):
        for _ in range(3):
            handle = broker.submit({"code": "while True:\n    pass", "items": []})
            while not (workers := at_work()):
                await trio.sleep(0.005)
            handle.cancel()
            assert (await handle.outcome()).status == "cancelled"
            await gone(workers)
    assert value(await submit(broker, "return 1")) == 1


async def test_state_does_not_leak() -> None:
    """With a single slot, the next task finds nothing that the one before left in modules or builtins."""
    with fail_after(60):
        async with embedded_runner(make_settings(max_concurrency=1, warm_workers=1)) as broker:
            leave = "import json\nimport collections\ncollections.leak = 1\nreturn 1"
            await submit(broker, leave)
            look = "import collections\nreturn hasattr(collections, 'leak')"
            assert value(await submit(broker, look)) is False


async def test_a_task_that_has_all_its_threads_when_its_time_is_over_is_told_so() -> None:
    """Libraries in C wait for ever for a thread that they didn't get."""
    start = "for _ in range(N): threading.Thread(target=end.wait).start()"
    wait = f"import threading\nend = threading.Event()\n{start}\nend.wait()"
    with fail_after(60):
        async with embedded_runner(make_settings(task_timeout=1.0, max_threads=2)) as broker:
            told = {n: error(await submit(broker, wait.replace("N", str(n))))["description"] for n in (1, 2)}
    assert "REPTARIUM_MAX_THREADS" not in told[1]
    assert "It had all 2 threads that a task may have" in told[2]


async def test_time_limit() -> None:
    """A runaway loop is cut off, its process with it, with a message that names the setting."""
    with fail_after(60):
        async with embedded_runner(make_settings(task_timeout=0.3)) as broker:
            workers: set[psutil.Process] = set()
            async with trio.open_nursery() as nursery:

                async def look() -> None:
                    while not workers:
                        workers.update(at_work())
                        await trio.sleep(0.005)

                nursery.start_soon(look)
                report = error(await submit(broker, "while True:\n    pass"))
            await gone(workers)
            assert report["message"] == "Task execution timed out after 0.3 seconds"
            assert "N8N_RUNNERS_TASK_TIMEOUT" in report["description"]
            done = await submit(broker, "while True:\n    pass", continueOnFail=True)
            assert "timed out" in value(done)[0]["json"]["error"]
            assert value(await submit(broker, "return 1")) == 1


async def test_memory_limit() -> None:
    """A memory hog ends with a message that says what to raise; its neighbour doesn't notice."""
    with fail_after(60):
        async with embedded_runner(make_settings(task_memory=64 * 2**20)) as broker:
            neighbour = broker.submit({"code": "import time\ntime.sleep(0.3)\nreturn 'fine'", "items": []})
            report = error(await submit(broker, "rows = []\nwhile True:\n    rows.append('x' * 100000)"))
            assert report["message"] == "Task exceeded its memory limit of 64 MiB"
            assert "REPTARIUM_TASK_MEMORY" in report["description"]
            assert value(await neighbour.outcome()) == "fine"


async def test_result_limit() -> None:
    """A result over the limit is an error that names the setting, not a giant message."""
    with fail_after(60):
        async with embedded_runner(make_settings(max_result=10_000)) as broker:
            report = error(await submit(broker, "return 'x' * 20000"))
            assert "over the limit of 10000 bytes" in report["message"]
            assert "REPTARIUM_MAX_RESULT" in report["description"]


async def test_console_limit() -> None:
    """Endless printing is cut with a visible note; the task itself goes on."""
    with fail_after(60):
        async with embedded_runner(make_settings(max_console=2000)) as broker:
            handle = broker.submit({"code": "for i in range(1000):\n    print('line', i)\nreturn 1", "items": []})
            assert value(await handle.outcome()) == 1
            assert "REPTARIUM_MAX_CONSOLE" in handle.console[-1][0]
            assert len(handle.console) < 200
