"""What a task has printed is there, whatever it does then and however it ends."""

from __future__ import annotations

import contextlib

import psutil
import pytest
import trio

from reptarium.pool.embedded import embedded_runner
from reptarium.pool.tasks import execution
from reptarium.sandbox.wire import BUSY_NAME
from tests.conftest import make_settings
from tests.limits import fail_after

#: The interpreter does nothing else meanwhile: no thread runs, and no handler of a signal.
STUCK = "sum(range(10**15))"
THREE = [["'one'"], ["2"], ["'three'"]]
PRINTS = f"print('one')\nprint(2)\nprint('three')\n{STUCK}"


async def test_prints_are_seen_while_the_interpreter_is_stuck() -> None:
    """Of several prints each arrives, though nothing in the worker could send them any more."""
    seen = trio.Event()

    def look(_: object) -> None:
        if len(handle.console) == len(THREE):
            seen.set()

    with fail_after(60):
        async with embedded_runner(make_settings()) as broker:
            handle = broker.submit({"code": PRINTS, "items": []}, on_console=look)
            await seen.wait()
            handle.cancel()
            assert handle.console == THREE


async def test_a_time_limit_loses_no_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has looked for until then is told before the task's error."""
    monkeypatch.setattr(execution, "LOOK", 3600.0)
    with fail_after(60):
        async with embedded_runner(make_settings(task_timeout=1.0)) as broker:
            handle = broker.submit({"code": PRINTS, "items": []})
            outcome = await handle.outcome()
            assert outcome.error is not None
            assert "timed out" in outcome.error.message
            assert handle.console == THREE


async def test_a_worker_that_is_killed_loses_no_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the kernel, when the machine is out of memory."""
    monkeypatch.setattr(execution, "LOOK", 3600.0)
    with fail_after(60):
        async with embedded_runner(make_settings()) as broker:
            handle = broker.submit({"code": PRINTS, "items": []}, on_console=lambda _: first.set())
            first = trio.Event()
            await first.wait()
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if child.name() == BUSY_NAME:
                        while child.cpu_times().user < 0.05:  # the prints take it a thousandth of that
                            await trio.sleep(0.01)
                        child.kill()
            outcome = await handle.outcome()
            assert outcome.status == "error"
            assert handle.console == THREE


async def test_prints_keep_their_place_among_calls_and_the_result() -> None:
    """Thousands of them, none twice, none lost; a call comes after what was printed before it."""
    at_call: list[int] = []

    async def answer(*_: object) -> object:
        at_call.append(len(handle.console))
        return {"statusCode": 200, "headers": {}, "body": ""}

    code = (
        "for i in range(3000):\n    print(i)\n"
        "_helpers.http_request('http://example.invalid')\n"
        "for i in range(3000, 3100):\n    print(i)\nreturn 1"
    )
    with fail_after(120):
        async with embedded_runner(make_settings(rpc_allow=frozenset({"*"}))) as broker:
            handle = broker.submit({"code": code, "items": []}, on_rpc=answer)
            outcome = await handle.outcome()
            assert outcome.status == "done", outcome
            assert handle.console == [[str(number)] for number in range(3100)]
            assert at_call == [3000]
