"""One vocabulary for how tasks end: the metrics, the texts for n8n and the page for operators agree with it."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from reptarium.pool import endings
from reptarium.pool.endings import ENDINGS, KILL_REASONS, OUTCOMES, Ending
from reptarium.pool.protocol.messages import TaskErrorData
from reptarium.pool.protocol.session import cancelled
from reptarium.pool.tasks import failures
from reptarium.pool.tasks.callbacks import CallLimits
from reptarium.pool.tasks.limits import Limits
from reptarium.sandbox import wire
from tests.unit.tasks.test_execution_memory import OnePool

ROOT = Path(__file__).resolve().parents[3]
LIMITS = Limits(timeout=60.0, memory=2**29, max_result=2**20, max_console=2**20, calls=CallLimits())


def test_every_ending_has_its_meaning() -> None:
    """None is without one, and each that kills or is told has what goes with that."""
    assert list(ENDINGS) == list(Ending)
    for ending, meaning in ENDINGS.items():
        assert meaning.means.endswith("."), ending
        assert (meaning.outcome == "failed") is (meaning.whose == "runner"), ending


def test_labels_are_what_dashboards_know() -> None:
    """The values of the metrics' labels, which people have in dashboards and alerts: they stay."""
    assert OUTCOMES == ("done", "error", "timeout", "memory", "cancelled", "lost", "failed")
    assert set(KILL_REASONS) == {
        *("cancelled", "timeout", "memory", "threads", "scratch", "violation", "disconnected", "shutdown"),
        *("zygote", "start", "surplus", "fault"),
    }


def test_deployments_name_only_outcomes_that_there_are() -> None:
    """Rules, alerts, their tests and the dashboard select by labels that exist."""
    named: set[str] = set()
    for path in [*(ROOT / "deploy/prometheus").glob("*.yaml"), ROOT / "deploy/grafana/reptarium.json"]:
        text = json.dumps(json.loads(path.read_text())) if path.suffix == ".json" else path.read_text()
        for values in re.findall(r'outcome=~?\\*"([\w|\\]+?)\\*"', text):
            named.update(values.split("|"))
    assert named
    assert named <= set(OUTCOMES)


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        (Ending.TIMEOUT, failures.out_of_time(LIMITS, None)),
        (Ending.TIMEOUT, failures.out_of_time(LIMITS, "helpers.httpRequest")),
        (Ending.TIMEOUT, failures.out_of_time(LIMITS, None, crowded=True)),
        (Ending.MEMORY, failures.out_of_memory(LIMITS)),
        (Ending.THREADS, failures.too_many_threads(LIMITS)),
        (Ending.SCRATCH, failures.out_of_scratch(LIMITS)),
        (Ending.VIOLATION, failures.broken_protocol("nonsense")),
        (Ending.ZYGOTE, failures.zygote_lost()),
        (Ending.CANCELLED, cancelled("by a person")),
        (Ending.CANCELLED, cancelled("")),
    ],
)
def test_what_is_told_is_what_is_said(ending: Ending, error: TaskErrorData) -> None:
    """The messages begin as the table says."""
    assert error.message.startswith(ENDINGS[ending].told)


#: Wait status → how it is told, and what of the remedy tells the ways apart.
DEATHS = {
    None: ("it was killed from outside (perhaps by the kernel for lack of memory)", "N8N_RUNNERS_MAX_CONCURRENCY"),
    signal.SIGKILL: ("it was killed from outside (perhaps by the kernel for lack of memory)", "memory, or fewer slots"),
    signal.SIGABRT: ("it gave up (abort)", "os.abort(), or something written in C"),
    signal.SIGABRT | 0x80: ("it gave up (abort)", "a task has 512 MiB (REPTARIUM_TASK_MEMORY)"),  # with a core dumped
    signal.SIGSEGV: ("it crashed (segmentation fault)", "written in C"),
    signal.SIGBUS: ("it crashed (bus error)", "written in C"),
    signal.SIGFPE: ("it crashed (arithmetic error in C)", "written in C"),
    signal.SIGTRAP: ("it crashed (trap)", "written in C"),
    signal.SIGILL: ("it crashed (illegal instruction)", "built for another processor"),
    signal.SIGSYS: ("it made a system call that the sandbox forbids", "what no task may do"),
    signal.SIGXCPU: ("it used up its processor time", "raise N8N_RUNNERS_TASK_TIMEOUT"),
    signal.SIGTERM: ("killed by SIGTERM", "sent that signal"),
    signal.SIGRTMIN + 6: (f"killed by signal {signal.SIGRTMIN + 6}", "sent that signal"),
    0: ("the code ended its process (exit status 0)", "by return or by an exception"),
    3 << 8: ("the code ended its process (exit status 3)", "os._exit() takes its result along"),
    70 << 8: ("it broke (exit status 70)", "the runner has a fault"),
}


async def test_what_is_told_of_a_dead_worker() -> None:
    """Of one that died, however it did: what happened, and what may be done about it."""
    pool = OnePool()
    for status, (words, remedy) in DEATHS.items():
        pool.worker.end = None if status is None else wire.Exited(pid=0, status=status, cpu=0.0, peak=0)
        told = failures.died(pool.worker, LIMITS)
        assert told.message == f"{ENDINGS[Ending.CRASH].told}: {words}"
        assert remedy in str(told.description)
    pool.worker.close_socket()
    await pool.theirs.aclose()


def test_the_page_for_operators_has_the_table() -> None:
    """docs/operating.md shows the vocabulary as it is: ``python -m reptarium.pool.endings`` prints it."""
    page = (ROOT / "docs/operating.md").read_text("utf-8")
    (shown,) = re.findall(r"<!-- endings -->\n(.*)\n<!-- /endings -->", page, re.DOTALL)
    assert shown == endings.table()
