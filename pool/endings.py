"""How a task ends, and what ends a worker: the one vocabulary.

Everything that speaks of an end has it from here: an execution's report, the reason that a worker is killed for, the
labels of the metrics, the level of the log line, and the table in docs/operating.md, which
``python -m reptarium.pool.endings`` prints.
The broker of our own has words of its own (``embedded_broker/outcome.py``): how a task ended as n8n sees it.
"""

from __future__ import annotations

import signal
from enum import StrEnum
from typing import Literal

import msgspec

#: What `reptarium_tasks_total` and the line of a finished task call an end.
Outcome = Literal["done", "error", "timeout", "memory", "cancelled", "lost", "failed"]
#: ``code``: the person's own. ``machine``: what the runner stands on. ``operator``: who ended the runner.
Whose = Literal["nobody", "code", "n8n", "machine", "operator", "runner"]


class Ending(StrEnum):
    """How a task ends, or a worker that has none; what each means stands in :data:`ENDINGS`."""

    DONE = "done"
    ERROR = "error"
    REFUSED = "refused"
    VIOLATION = "violation"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    THREADS = "threads"
    SCRATCH = "scratch"
    CANCELLED = "cancelled"
    CRASH = "crash"
    ZYGOTE = "zygote"
    DISCONNECTED = "disconnected"
    SHUTDOWN = "shutdown"
    FAULT = "fault"
    # of workers without a task
    START = "start"
    SURPLUS = "surplus"


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be known of an :class:`Ending`.

    ``outcome``: the metric's label; None for an end that is no task's. ``told``: what the message to n8n begins with;
    empty where it is the person's own words or there is none to tell. ``kills``: whether a worker that is ended so is
    killed in the middle of something, and counted by this reason (`reptarium_worker_kills_total`).
    """

    means: str
    whose: Whose
    outcome: Outcome | None = None
    told: str = ""
    kills: bool = False
    level: Literal["info", "warning", "error"] = "info"


ENDINGS: dict[Ending, Meaning] = {
    Ending.DONE: Meaning(means="It has a result.", whose="nobody", outcome="done"),
    Ending.ERROR: Meaning(
        means="The code raised an exception, or its result is none: too large, of a wrong shape.",
        whose="code", outcome="error",
    ),
    Ending.REFUSED: Meaning(means="The code does what no setting here allows.", whose="code", outcome="error"),
    Ending.VIOLATION: Meaning(
        means="Its worker said what no honest one says: the code has broken out of Python.",
        whose="code", outcome="error", told="The task's worker broke its protocol", kills=True, level="warning",
    ),
    Ending.TIMEOUT: Meaning(
        means="It took longer than `N8N_RUNNERS_TASK_TIMEOUT`.",
        whose="code", outcome="timeout", told="Task execution timed out", kills=True,
    ),
    Ending.MEMORY: Meaning(
        means="It needed more than `REPTARIUM_TASK_MEMORY`.",
        whose="code", outcome="memory", told="Task exceeded its memory limit", kills=True,
    ),
    Ending.THREADS: Meaning(
        means="It, or a library for it, started more threads than `REPTARIUM_MAX_THREADS`.",
        whose="code", outcome="error", told="Task started more than", kills=True,
    ),
    Ending.SCRATCH: Meaning(
        means="It wrote more than `REPTARIUM_SCRATCH` into its own directory, or too many files.",
        whose="code", outcome="error", told="Task exceeded its limit of", kills=True,
    ),
    Ending.CANCELLED: Meaning(
        means="n8n cancelled it: a person, n8n's own time limit, a message that made no sense.",
        whose="n8n", outcome="cancelled", told="Task was cancelled", kills=True,
    ),
    Ending.CRASH: Meaning(
        means="Its worker died (a library crashed, or the system killed it, perhaps for memory), or none came.",
        whose="machine", outcome="lost", told="The task's worker ended without a result", level="warning",
    ),
    Ending.ZYGOTE: Meaning(
        means="The zygote died, and every worker with it.",
        whose="machine", outcome="lost", told="The sandbox was restarted", kills=True, level="warning",
    ),
    Ending.DISCONNECTED: Meaning(
        means="The connection to its broker was lost; n8n has already failed it.",
        whose="n8n", outcome="lost", kills=True, level="warning",
    ),
    Ending.SHUTDOWN: Meaning(
        means="The runner was ended, and the task didn't end within `N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT`.",
        whose="operator", outcome="lost", told="Task aborted because the runner is shutting down", kills=True,
        level="warning",
    ),
    Ending.FAULT: Meaning(
        means="The runner has a bug, which the log shows.",
        whose="runner", outcome="failed", told="The task failed through a fault of the runner", kills=True,
        level="error",
    ),
    Ending.START: Meaning(means="A new worker failed, or didn't get ready in time.", whose="machine", kills=True),
    Ending.SURPLUS: Meaning(means="One worker more was parked than is wanted.", whose="nobody", kills=True),
}  # fmt: skip

#: The labels of the metrics, each once, in the order of the table.
OUTCOMES: tuple[Outcome, ...] = tuple(dict.fromkeys(m.outcome for m in ENDINGS.values() if m.outcome is not None))
KILL_REASONS: tuple[Ending, ...] = tuple(ending for ending, meaning in ENDINGS.items() if meaning.kills)


def signal_name(number: int) -> str:
    """``SIGSEGV``; its number where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def table() -> str:
    """The ends of tasks as a table in Markdown, for docs/operating.md."""
    rows = [
        "| It ended as | `outcome` | by | log | What it means | What n8n is told |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for ending, meaning in ENDINGS.items():
        if meaning.outcome is not None:
            told = f'"{meaning.told} …"' if meaning.told else _UNTOLD[ending]
            rows.append(
                f"| {ending} | `{meaning.outcome}` | {meaning.whose} | {meaning.level} | {meaning.means} | {told} |"
            )
    return "\n".join(rows)


_UNTOLD = {
    Ending.DONE: "the result",
    Ending.ERROR: "the exception's own words, and its line",
    Ending.REFUSED: "what it was, its line, and which setting would allow it",
    Ending.DISCONNECTED: "nothing: there is no connection",
}

if __name__ == "__main__":
    print(table())
