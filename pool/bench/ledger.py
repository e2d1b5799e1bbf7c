"""What is right under faults, seen from the broker: one answer to each accepted task, one end that a fault explains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reptarium.pool.bench.cases import Case
from reptarium.pool.embedded_broker import Outcome
from reptarium.pool.protocol.messages import RunnerTaskAccepted, RunnerTaskDone, RunnerTaskError


class Ledger:
    """What each runner has accepted and not answered yet, over its present connection."""

    def __init__(self) -> None:
        self.owed: dict[str, set[str]] = {}
        self.names: dict[str, str] = {}
        self.wrong: list[str] = []

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        """What the broker tells of its connections: all that a runner owed is void when it has gone."""
        if name == "broker.runner_registered":
            self.owed[fields["runner_id"]] = set()
            self.names[fields["runner_id"]] = fields["name"]
        elif name == "broker.runner_gone":
            self.owed.pop(fields["runner_id"], None)

    def message(self, runner_id: str, message: Any) -> None:
        """A message of a runner."""
        owed = self.owed.get(runner_id)
        if owed is None:
            return
        if isinstance(message, RunnerTaskAccepted):
            if message.task_id in owed:
                self.wrong.append(f"{message.task_id} was accepted twice")
            owed.add(message.task_id)
        elif isinstance(message, RunnerTaskDone | RunnerTaskError):
            if message.task_id not in owed:
                self.wrong.append(f"{message.task_id} was answered without having been accepted, or twice")
            owed.discard(message.task_id)

    @property
    def open(self) -> int:
        """How many accepted tasks are still to be answered."""
        return sum(map(len, self.owed.values()))


def wrong(case: Case, number: int, outcome: Outcome, console: int, explained: Callable[[], bool]) -> str | None:
    """What is wrong with the end of a task under faults; None when it is right or ``explained`` by one."""
    if outcome.status == "done":
        return None if case.right(number, outcome, console) else "the result is not its own"
    if case.expect == outcome.status and case.right(number, outcome, console):
        return None
    if explained():
        return None
    text = "" if outcome.error is None else f": {outcome.error.message} {outcome.error.description or ''}"
    return f"ended as {outcome.status}, which no fault explains{text}"
