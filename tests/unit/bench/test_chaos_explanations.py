"""What chaos accepts as the end of a task: its own result, or what a fault explains that its runner had then."""

from __future__ import annotations

from typing import Any

import pytest

from reptarium.pool.bench.cases import CASES
from reptarium.pool.bench.injuries import Record
from reptarium.pool.bench.ledger import Ledger, wrong
from reptarium.pool.embedded_broker import Outcome, Timings
from reptarium.pool.protocol.messages import (
    RunnerTaskAccepted,
    RunnerTaskDone,
    RunnerTaskError,
    TaskDoneData,
    TaskErrorData,
)

KILLED = "The task's worker ended without a result: it was killed from outside (perhaps by the kernel)"
FLOODED = "The task's worker broke its protocol and was killed"
NO_WORKER = "No worker was free for the task within 4 seconds The runner can't start workers; its log tells why."
RESTARTED = "The sandbox was restarted while the task ran"


def end(status: str, error: str = "words of the broker") -> Outcome:
    """An outcome that isn't ``done``."""
    kind: Any = status
    return Outcome(task_id="t", status=kind, timings=Timings(0.0), error=TaskErrorData(message=error))


#: An end, a fault (kind, runner, when it began and ended), and whether it explains the end of runner a's task
#: that was requested at 10 and ended at 12.
EXPLANATIONS = [
    (end("error", KILLED), ("kill_busy_worker", "a", 11, 11), True),
    (end("error", KILLED), ("kill_idle_worker", "a", 9.5, 9.5), True),
    (end("error", KILLED), ("kill_busy_worker", "b", 11, 11), False),
    (end("error", KILLED), ("kill_busy_worker", "a", 13, 13), False),
    (end("error", KILLED), ("kill_busy_worker", "a", 5, 5), False),
    (end("error", KILLED), ("kill_zygote", "a", 11, 11), False),
    (end("error", RESTARTED), ("kill_zygote", "a", 11, 11), True),
    (end("error", RESTARTED), ("kill_runner", "a", 11, 11), False),
    (end("error", "Task execution timed out after 4 seconds"), ("stop_worker", "a", 1, 1), True),
    (end("error", "Task execution timed out after 4 seconds"), ("slow_reader", "a", 11, 11), False),
    (end("error", FLOODED), ("hostile_console", "a", 11, 11), True),
    (end("error", FLOODED), ("kill_busy_worker", "a", 11, 11), False),
    (end("error", NO_WORKER), ("hung_zygote", "a", 5, 11), True),
    (end("error", NO_WORKER), ("hung_zygote", "b", 5, 11), False),
    (end("error", NO_WORKER), ("stalled_stderr", "a", 11, 11), False),
    (end("error", "Task settings did not arrive within 2 s"), ("lose_settings", "a", 10, 10), True),
    (end("error", "Task settings did not arrive within 2 s"), ("disorder", None, 10, 10), False),
    (end("error", "The task failed through a fault of the runner"), ("kill_zygote", "a", 11, 11), False),
    (end("error", "Task was cancelled"), ("cancel_burst", None, 11, 11), False),
    (end("disconnected"), ("broker_outage", None, 11, 11.3), True),
    (end("disconnected"), ("silence_connection", "b", 11, 11), False),
    (end("disconnected"), ("kill_busy_worker", "a", 11, 11), False),
    (end("disconnected"), ("slow_reader", "a", 5, 9.5), True),
    (end("cancelled"), ("cancel_burst", None, 12, 12), True),
    (end("cancelled"), ("cut_connection", "a", 11, 11), False),
    (end("timeout"), ("cut_connection", "a", 11, 11), False),
    (end("no-runner"), ("broker_outage", None, 11, 11), False),
    (end("rejected"), ("broker_outage", None, 11, 11), False),
]


@pytest.mark.parametrize(("outcome", "fault", "explained"), EXPLANATIONS)
def test_a_fault_explains_only_what_it_causes(
    outcome: Outcome, fault: tuple[str, str | None, float, float], explained: bool
) -> None:
    """The right kind, done to the task's runner, during the task or just before."""
    record = Record()
    kind, runner, began, ended = fault
    record.add(kind, began, runner=runner).ended = ended
    assert record.explains(outcome, "a", 10.0, 12.0) is explained


def test_a_killed_worker_explains_one_task() -> None:
    """One worker has one task: a second one that ends so is not explained."""
    record = Record()
    record.add("kill_busy_worker", 11, runner="a", victims=1)
    assert record.explains(end("error", KILLED), "a", 10, 12)
    assert not record.explains(end("error", KILLED), "a", 10, 12)


def test_an_end_without_a_fault_is_wrong() -> None:
    """Nothing is accepted for its words alone; the failure of a task that must fail is right without a fault."""
    trivial, failing = CASES["trivial"], CASES["failing"]
    for status in ("error", "disconnected", "cancelled", "timeout", "no-runner", "rejected"):
        assert status in str(wrong(trivial, 1, end(status, KILLED), 0, lambda: False))
    assert wrong(trivial, 1, end("error", KILLED), 0, lambda: True) is None
    assert wrong(failing, 7, end("error", "wrong 7"), 0, lambda: False) is None
    assert wrong(failing, 7, end("error", "wrong 8"), 0, lambda: False) is not None


def test_ledger_finds_what_is_answered_twice_or_never() -> None:
    """Accepted and not answered, answered and not accepted; a lost connection voids what was owed."""
    ledger = Ledger()
    done, failed = RunnerTaskDone("1", TaskDoneData(1)), RunnerTaskError("2", TaskErrorData(message="x"))  # type: ignore[arg-type]
    ledger.event("broker.runner_registered", {"runner_id": "r", "name": "a"})
    for message in (RunnerTaskAccepted("1"), RunnerTaskAccepted("2"), done, failed, RunnerTaskAccepted("3")):
        ledger.message("r", message)
    assert (ledger.open, ledger.wrong, ledger.names) == (1, [], {"r": "a"})
    ledger.message("r", done)
    ledger.message("r", RunnerTaskAccepted("3"))
    assert [text.partition(" ")[0] for text in ledger.wrong] == ["1", "3"]
    ledger.event("broker.runner_gone", {"runner_id": "r"})
    assert ledger.open == 0
    ledger.message("r", done)  # what still arrives of a connection that is given up
    assert len(ledger.wrong) == 2
