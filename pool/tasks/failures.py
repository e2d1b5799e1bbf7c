"""What a task is told whose worker failed it: why, and what to change."""

from __future__ import annotations

import os
import signal

import msgspec

from reptarium.pool.endings import Ending
from reptarium.pool.protocol.messages import TaskErrorData
from reptarium.pool.tasks.limits import Limits
from reptarium.pool.workers.worker import Worker, describe_status
from reptarium.sandbox import wire
from reptarium.sandbox.texts import MEMORY_REMEDY, SCRATCH_REMEDY, THREADS_REMEDY, memory_message, scratch_message

_CRASH = "Something written in C did that: find out which package, and try another version of it or less data."
_ENDS = "A task ends by return or by an exception"
_OWN_SIGNAL = f"The code sent that signal to itself, or somebody on the machine sent it. {_ENDS}."
#: Signal → what happened, and what may be done about it.
_DEATHS: dict[int, tuple[str, str]] = {
    signal.SIGSYS: (
        "it made a system call that the sandbox forbids",
        "A package wants what no task may do (another process, the machine's settings): do it in another node.",
    ),
    signal.SIGSEGV: ("it crashed (segmentation fault)", _CRASH),
    signal.SIGBUS: ("it crashed (bus error)", _CRASH),
    signal.SIGILL: (
        "it crashed (illegal instruction)",
        "A package was built for another processor than this machine's, or gave up: try another build of it.",
    ),
    signal.SIGFPE: ("it crashed (arithmetic error in C)", _CRASH),
    signal.SIGTRAP: ("it crashed (trap)", _CRASH),
    signal.SIGABRT: (
        "it gave up (abort)",
        "The code called os.abort(), or something written in C did: after an error of its own, which the runner's log "
        "has, or because it got no more memory, of which a task has {memory} MiB (REPTARIUM_TASK_MEMORY).",
    ),
    signal.SIGXCPU: (
        "it used up its processor time",
        "A task has twice its time limit and five seconds of it, in all threads: raise N8N_RUNNERS_TASK_TIMEOUT.",
    ),
    signal.SIGKILL: (
        "it was killed from outside (perhaps by the kernel for lack of memory)",
        "Give the runner's machine or container more memory, or fewer slots (N8N_RUNNERS_MAX_CONCURRENCY); how much "
        "it needs stands in docs/operating.md, under Sizing.",
    ),
}
_ENDED = f"{_ENDS}: os._exit() takes its result along."
#: What the log says of a worker's own report, by its kind: the report's words are a person's.
REASONS: dict[wire.FailureKind, str] = {
    "user": "the code raised an exception",
    "syntax": "the code can't be compiled",
    "policy": "the code does what no setting here allows",
    "memory": "the code got no more memory",
    "result": "the code's result can't be used: too large, or no JSON",
    "input": "the task's items or query can't be read",
    "internal": "the worker failed in its own code",
}
#: What a worker leaves whose own code failed (``sandbox/process/worker.py``).
_OWN_FAULT = 70
_BROKE = (
    "The code closed or changed what the worker itself needs (descriptors, for one), or the runner has a fault: see "
    "its log."
)


def user_error(failure: wire.Failure) -> TaskErrorData:
    """A worker's failure report as n8n's error, bounded by the frame's limit."""
    return TaskErrorData(
        message=failure.message or "Task failed",
        description=failure.description or msgspec.UNSET,
        line_number=msgspec.UNSET if failure.line is None else failure.line,
        item_index=msgspec.UNSET if failure.item is None else failure.item,
        stack=failure.stack or msgspec.UNSET,
        stderr=failure.stderr or msgspec.UNSET,
    )


def no_text(code: str) -> TaskErrorData | None:
    """Why code is none: half of an emoji, as JSON may have it, is no text, and Python compiles no such thing."""
    try:
        code.encode()
    except UnicodeEncodeError as error:
        line = code.count("\n", 0, error.start) + 1
        return TaskErrorData(
            message=f"The code is no text: half of a character (U+{ord(code[error.start]):04X}) in line {line}",
            description="Python can't compile it. Write the character anew.",
            line_number=line,
        )
    return None


def out_of_time(limits: Limits, unanswered: str | None, *, crowded: bool = False) -> TaskErrorData:
    """Over its time limit, perhaps while it waited for n8n's answer to ``unanswered``, or for a thread: ``crowded``
    where it had all that it may have.
    """
    message = f"Task execution timed out after {limits.timeout:g} seconds"
    remedy = "Make the code faster or process less data, or raise N8N_RUNNERS_TASK_TIMEOUT."
    if crowded:
        remedy += (
            f" It had all {limits.max_threads} threads that a task may have: what waits for one more waits in vain. "
            f"{THREADS_REMEDY}"
        )
    if unanswered:
        message += f", waiting for n8n's answer to {unanswered}"
        remedy = (
            f"A call may take {limits.calls.timeout:g} seconds (REPTARIUM_RPC_TIMEOUT), the task in all "
            f"{limits.timeout:g} (N8N_RUNNERS_TASK_TIMEOUT): with the first well below the second, the code "
            "gets an error that it can handle."
        )
    return TaskErrorData(message=message, description=remedy)


def no_worker(limits: Limits) -> TaskErrorData:
    """None was to be had within the time limit."""
    return TaskErrorData(
        message=f"No worker was free for the task within {limits.timeout:g} seconds",
        description="The runner can't start workers; its log tells why. The limit is N8N_RUNNERS_TASK_TIMEOUT.",
    )


def too_many_threads(limits: Limits) -> TaskErrorData:
    """Killed for having more than its limit."""
    return TaskErrorData(
        message=f"Task started more than {limits.max_threads} threads",
        description=THREADS_REMEDY,
    )


def no_workers(reason: str) -> TaskErrorData:
    """The pool can't start workers, for ``reason``."""
    return TaskErrorData(
        message="The runner can't start workers",
        description=f"{reason[:1000]}. The task has not run; the runner's log has the details.",
    )


def out_of_scratch(limits: Limits) -> TaskErrorData:
    """Killed for having more in files than its limit."""
    return TaskErrorData(message=scratch_message(limits.scratch), description=SCRATCH_REMEDY)


def out_of_memory(limits: Limits) -> TaskErrorData:
    """Killed for holding more than its limit."""
    return TaskErrorData(message=memory_message(limits.memory), description=MEMORY_REMEDY)


#: What a worker is killed for that has taken more than it may.
OVER_A_LIMIT = {
    Ending.MEMORY: out_of_memory,
    Ending.THREADS: too_many_threads,
    Ending.SCRATCH: out_of_scratch,
}


def result_too_large(size: int, limits: Limits) -> TaskErrorData:
    """A result of ``size`` bytes was announced."""
    limit = min(limits.max_result, limits.memory)
    setting = "REPTARIUM_MAX_RESULT" if limits.max_result <= limits.memory else "REPTARIUM_TASK_MEMORY"
    return TaskErrorData(
        message=f"The result of {size} bytes is over the limit of {limit} bytes",
        description=f"Return less data, or raise {setting}.",
    )


def broken_protocol(what: str) -> TaskErrorData:
    """The worker said ``what`` no honest one says."""
    return TaskErrorData(message="The task's worker broke its protocol and was killed", description=what)


def zygote_lost() -> TaskErrorData:
    """The zygote died and took the worker with it."""
    return TaskErrorData(
        message="The sandbox was restarted while the task ran",
        description="The zygote process died and took its workers with it. Run the task again.",
    )


def closed_socket() -> TaskErrorData:
    """The worker lives on, but can't be heard any more."""
    return TaskErrorData(message="The task's worker closed its connection without a result")


def died(worker: Worker, limits: Limits) -> TaskErrorData:
    """The worker's process has ended by itself, or the system ended it."""
    status = worker.status
    if status is not None and os.WIFEXITED(status):
        words, remedy = f"the code ended its process ({describe_status(status)})", _ENDED
        if os.WEXITSTATUS(status) == _OWN_FAULT:
            words, remedy = f"it broke ({describe_status(status)})", _BROKE
    else:
        number = int(signal.SIGKILL) if status is None else os.WTERMSIG(status)
        words, remedy = _DEATHS.get(number, (describe_status(status), _OWN_SIGNAL))
    remedy = remedy.format(memory=limits.memory // 2**20)
    return TaskErrorData(
        message=f"The task's worker ended without a result: {words}",
        description=f"{remedy}\nWorker {worker.number}: {describe_status(status)}.",
    )
