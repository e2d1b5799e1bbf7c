"""What large tasks leave in a runner's memory, and what one takes of it: its bytes, whichever characters they spell."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from reptarium.pool.embedded_broker import BrokerConfig
from reptarium.pool.embedded_broker.settings import task_settings
from tests.limits import fail_after
from tests.load.support import PATIENCE, Whole, one_runner

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]

MEGABYTE = 1_000_000
#: A machine under load may take longer than a heartbeat for one of these.
CONFIG = BrokerConfig(heartbeat_interval=60, accept_timeout=PATIENCE, task_timeout=120)


def resident(runner: Whole) -> psutil.Process:
    """The runner's own process."""
    (process,) = runner.site.processes()
    return process


def peak_since_reset(process: psutil.Process) -> int:
    """The most memory that a process has held since :func:`reset_peak`, in bytes (VmHWM, proc(5))."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def reset_peak(process: psutil.Process) -> None:
    """Begin anew (proc(5), clear_refs)."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


async def test_many_large_tasks_leave_what_one_leaves() -> None:
    """32 tasks of 20 MB one after the other: the runner is as large after the last as after the first."""
    settings = task_settings({"code": "return len(_items)", "items": [{"json": {"blob": "x" * 20 * MEGABYTE}}]})
    with fail_after(300):
        async with one_runner(config=CONFIG, REPTARIUM_TASK_MEMORY="1GiB") as runner:
            process, after = resident(runner), []
            for _ in range(32):
                outcome = await runner.site.broker.submit(settings).outcome()
                assert outcome.status == "done", outcome
                after.append(process.memory_info().rss)
    print(f"after the first {after[0] / 1e6:.0f} MB, after the last {after[-1] / 1e6:.0f} MB")
    # the allocator keeps a block of that size for the next message and one for the next task's items: no more come
    assert max(after) - after[0] < 45 * MEGABYTE


async def test_a_result_with_emojis_takes_no_more_than_another() -> None:
    """A result of 100 MB of text with an emoji in every hundred characters: at most 2.5 times its size."""
    code = "return [{'json': {'blob': ('x' * 96 + '\U0001f600') * 1_000_000}}]"
    with fail_after(300):
        async with one_runner(config=CONFIG, REPTARIUM_TASK_MEMORY="2GiB") as runner:
            process = resident(runner)
            before = process.memory_info().rss
            reset_peak(process)
            outcome = await runner.site.broker.submit({"code": code, "items": []}).outcome()
            assert outcome.status == "done", outcome
            taken = peak_since_reset(process) - before
    assert outcome.data is not None
    size = len(memoryview(outcome.data.result))
    print(f"a result of {size / 1e6:.0f} MB took {taken / 1e6:.0f} MB")
    assert size > 100 * MEGABYTE
    assert taken <= 2.5 * size
