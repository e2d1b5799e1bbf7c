"""The load generator and the faults, over runners that are real processes. Loopback only, each test bounded."""

from __future__ import annotations

import fcntl
import json
import math
import os
import pty
import re
import subprocess
import sys
import termios
from functools import partial
from pathlib import Path

import pytest
import trio

from reptarium.pool.bench import brokers, chaos
from reptarium.pool.bench.cases import CASES, Mix
from reptarium.pool.bench.load import Plan, run_round
from reptarium.pool.bench.runners import open_site
from reptarium.pool.bench.stages import Stage
from tests.limits import fail_after

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]


@pytest.mark.parametrize("runners", [1, 3])
async def test_nothing_is_lost_under_faults(runners: int) -> None:
    """Each fault of the schedule at least once: one right or explained end a task, whole pools after."""
    with fail_after(150):
        found = await chaos.run(seed=7 + runners, runners=runners, duration=2.0, concurrency=20, every=0.1)
    print(found.text())
    assert found.broken == []
    assert len(found.faults) == 19
    assert found.stalls
    assert found.outcomes["done"] > 0


#: Each hostile neighbour alone, so that nothing else can explain what goes wrong beside it.
HOSTILE = ["hostile_health_client", "garbage_broker", "stalled_stderr", "hung_zygote", "hostile_console"]


@pytest.mark.parametrize("neighbour", HOSTILE)
async def test_hostile_neighbours(neighbour: str) -> None:
    """Under load: no task is lost but the hostile one, and the loop's lag is measured meanwhile."""
    with fail_after(90):
        found = await chaos.run(seed=5, duration=3.0, concurrency=10, every=0.1, faults=[neighbour])
    print(found.text())
    assert found.broken == []
    assert found.faults[neighbour] >= 1
    assert found.stalls[neighbour].longest < math.inf
    ended_well = found.outcomes["done"] + found.outcomes["error"]  # the load has tasks that must fail
    assert ended_well == found.tasks


async def test_no_task_notices_that_preloading_was_learnt_amid_faults() -> None:
    """A second zygote takes over under load, while workers are killed and connections cut."""
    with fail_after(240):
        found = await chaos.run(
            seed=4, tasks=800, concurrency=20, every=0.6, faults=["kill_busy_worker", "cut_connection"]
        )
    assert found.broken == []
    assert found.learnt == 1


async def test_connections_cut_in_quick_succession() -> None:
    """Whatever a runner was sending when its connection broke, it lives on and registers again."""
    with fail_after(60):
        found = await chaos.run(
            seed=3, duration=1.5, concurrency=20, every=0.2, faults=["cut_connection", "cut_at_message"]
        )
    assert found.broken == []
    assert found.outcomes["disconnected"] > 0


async def test_mix_under_load_is_all_right() -> None:
    """Every kind of task in the mix ends as it must, and the runner's tree is measured meanwhile."""
    with fail_after(60):
        async with open_site("own", "reptarium") as site:
            found = await run_round(site, Mix(1), Plan(tasks=200, concurrency=20), sample_every=0.2)
    assert found.wrong == []
    assert found.tasks == 200
    assert found.cpu > 0
    assert found.samples[-1][1].processes >= 2


async def test_open_loop_counts_from_the_intended_arrival() -> None:
    """With ten times the load that the runner can take, latencies grow with the queue instead of hiding it."""
    slow = CASES["timeout"]  # 50 ms each on one slot: 20 a second
    with fail_after(60):
        async with open_site("own", "reptarium", environ={"N8N_RUNNERS_MAX_CONCURRENCY": "1"}) as site:
            found = await run_round(site, lambda: slow, Plan(tasks=20, stages=(Stage(200, 200, 60),)))
    assert found.failures == 0
    assert max(found.latencies) >= 10 * 0.05
    assert found.starts[-1] < found.wall


async def test_baseline_gives_the_same_answers() -> None:
    """The runner that we compare with really does the work: its results are checked like ours."""
    with fail_after(60):
        async with open_site("baseline", "baseline") as site:
            for name in ("trivial", "each100", "failing"):
                found = await run_round(site, partial(CASES.__getitem__, name), Plan(tasks=5, concurrency=2))
                assert found.wrong == []


async def test_a_runner_that_ends_is_an_error_and_not_a_wait() -> None:
    """A command that ends at once is reported with its status."""
    with fail_after(30):
        with pytest.raises(RuntimeError, match="status 3"):
            async with open_site("bad", "python3 -c 'raise SystemExit(3)'"):
                raise AssertionError("a site without a runner was opened")


async def test_what_many_brokers_cost_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every task of both loads is done, and each ratio is held against its limit."""
    monkeypatch.setattr(brokers, "MANY", 3)
    said: list[str] = []
    with fail_after(120):
        targets = await brokers.measure("reptarium", tasks=60, rounds=1, say=said.append)
    assert [line.split(":")[0] for line in said] == [
        "3 brokers, all with tasks that wait",
        "3 brokers, all but one idle",
    ]
    assert [target.name for target in targets] == [
        "loop time of a task, 3 brokers (all with tasks that wait) over one",
        "loop time of a task, 3 brokers (all but one idle) over one",
    ]


def on_terminal(terminal: int, *command: str) -> subprocess.Popen[str]:
    """A command that leads the session of a terminal (a pty's descriptor), which its standard error is."""
    return subprocess.Popen(
        command,
        start_new_session=True,
        preexec_fn=partial(fcntl.ioctl, terminal, termios.TIOCSCTTY, 0),
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
    )


@pytest.mark.parametrize("signals", [1, 2])
async def test_ctrl_c_reports_what_has_been_measured(signals: int, tmp_path: Path) -> None:
    """On a terminal, where the runners would get it, too. A second one ends everything at once."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "reptarium", "bench", "--case", "trivial", "--duration", "300"]
    report = tmp_path / "report.json"
    process = on_terminal(theirs, *command, "--report", str(report))
    os.close(theirs)
    shown = b""
    try:
        with fail_after(90):
            while not re.search(rb"[1-9]\d* tasks", shown):  # the round's bar
                shown += await trio.to_thread.run_sync(os.read, ours, 4096, abandon_on_cancel=True)
            os.write(ours, b"\x03")
            if signals == 2:
                while b"once more" not in shown:
                    shown += await trio.to_thread.run_sync(os.read, ours, 4096, abandon_on_cancel=True)
                os.write(ours, b"\x03")
            out, _ = await trio.to_thread.run_sync(process.communicate, abandon_on_cancel=True)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 130
    assert b"Traceback" not in shown
    if signals == 1:
        assert "Interrupted: what had been measured by then." in out
        found = json.loads(report.read_bytes())
        assert found["interrupted"]
        assert found["results"][0]["good"] == found["results"][0]["tasks"]
