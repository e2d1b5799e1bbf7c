"""Why a task ended without a result: in the person's own line numbers, their frames, their source."""

from __future__ import annotations

import errno
import linecache
from types import TracebackType

import msgspec

from reptarium.sandbox.language import RefusedAttribute, RefusedImport, RefusedOperation, explained, with_other_mode
from reptarium.sandbox.task.console import STDERR_TAIL, StderrTail
from reptarium.sandbox.task.misnamed import DOLLAR, meant
from reptarium.sandbox.texts import (
    MEMORY_REMEDY,
    PROCESSES,
    SCRATCH_ONLY,
    SCRATCH_REMEDY,
    THREADS_REMEDY,
    memory_message,
)
from reptarium.sandbox.wire import Failure, FailureKind

#: The name that user code has in tracebacks.
FILENAME = "<task>"
#: Longest error text, in characters: an exception may carry anything.
MAX_MESSAGE = 8 * 1024
#: Room for the mark of what has been cut already.
_MARK = 32
MAX_STACK_FRAMES = 50


class TaskFailed(Exception):
    """The task ends without a result; ``failure`` is what to report.

    ``described``: its description is the exception's own, to which nothing is added.
    """

    def __init__(self, failure: Failure, *, described: bool = False) -> None:
        # whatever an exception or a name in the code carries: the report has to travel
        failure = msgspec.structs.replace(
            failure,
            message=_clip(failure.message, MAX_MESSAGE + _MARK),
            description=_clip(failure.description, 2 * (MAX_MESSAGE + _MARK)),  # standard error, then the error
        )
        super().__init__(failure.message)
        self.failure, self.described = failure, described


def memory_failure(memory: int, index: int | None = None, line: int | None = None) -> Failure:
    """The task went over its limit of ``memory`` bytes."""
    return Failure(
        kind="memory",
        message=memory_message(memory),
        description=("" if line is None else f"Line {line}: MemoryError. ") + MEMORY_REMEDY,
        item=index,
        line=line,
    )


def with_stderr(failed: TaskFailed, stderr: StderrTail) -> TaskFailed:
    """The failure with what the task wrote to standard error.

    As in n8n's own runner, standard error reaches ``description`` unless the exception describes itself. There it
    stands alone; here what we know about the error follows.
    """
    failure = failed.failure
    description = failure.description
    tail = _writable(stderr.tail())[-STDERR_TAIL:]
    errors = tail.strip()
    if errors and not failed.described:
        if len(errors) > MAX_MESSAGE:
            errors = "(cut) … " + errors[-MAX_MESSAGE:]
        description = f"{errors}\n\n{description}" if description else errors
    return TaskFailed(msgspec.structs.replace(failure, description=description, stderr=tail))


def _writable(text: str) -> str:
    # surrogates have no UTF-8 form, and the report has to travel
    return text.encode("utf-8", "backslashreplace").decode()


def _clip(text: str, longest: int = MAX_MESSAGE) -> str:
    text = str.__str__(text)  # a plain copy: what a subclass makes of itself is no business of the report's
    short = _writable(text[:longest])
    return short if len(text) <= longest and len(short) <= longest else short[:longest] + " … (cut)"


def _text(error: BaseException) -> str:
    """``str(error)``, whatever the user's own exception class does in there."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return _clip(text) or type(error).__name__


def _own_description(error: BaseException) -> str:
    """What the exception says in a ``description`` attribute of its own, whatever the attribute does; mostly nothing.

    n8n's own runner hands it on in place of anything else.
    """
    try:
        own = getattr(error, "description", None)
        if not own or callable(own):
            return ""
        return _clip(own if isinstance(own, str) else str(own))
    except BaseException:
        return ""


def _user_frames(trace: TracebackType | None) -> list[tuple[int, str]]:
    """(line, function) of the user's own frames, outermost first."""
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == FILENAME:
            found.append((trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return found


def user_failed(error: BaseException, memory: int, index: int | None) -> TaskFailed:
    """What the code raised, at item ``index`` where it runs for each; ``memory`` is the limit in bytes."""
    frames = _user_frames(error.__traceback__)
    line = frames[-1][0] if frames else None
    if isinstance(error, MemoryError):
        error.__traceback__ = None  # the frames hold what filled the memory
        return TaskFailed(memory_failure(memory, index, line))
    if type(error) is AttributeError:
        explained(error)
    name, message = type(error).__name__, _text(error)
    refused = isinstance(error, RefusedAttribute | RefusedImport | RefusedOperation)
    # what a short module lacks, and a class that can't be had, are errors like any other, with a mark
    if (refused or type(error) in (AttributeError, TypeError)) and getattr(error, "elsewhere", refused):
        message = with_other_mode(message)
    if isinstance(error, SystemExit):
        message = f"the code tried to exit the worker (SystemExit: {message})"
    kind: FailureKind = "policy" if getattr(type(error), "reptarium_refusal", False) else "user"
    own = _own_description(error)
    hint = _hint(error, per_item=index is not None)
    failure = Failure(
        kind=kind,
        message=message,
        description=own or _description(line, frames, name, message) + hint,
        line=line,
        item=index,
        stack=_stack(frames, name, message),
    )
    return TaskFailed(failure, described=bool(own))


def _hint(error: BaseException, *, per_item: bool) -> str:
    """What may be done about a file or a thread that the kernel refused, or what was meant, in a line of its own."""
    if type(error) is NameError and type(name := error.name) is str:
        told = meant(name, per_item=per_item)
        return f"\n{told}" if told else ""
    if type(error) is RuntimeError and error.args == ("can't start new thread",):
        return f"\n{THREADS_REMEDY}"
    if not isinstance(error, OSError) or isinstance(error, RefusedOperation):
        return ""
    if error.errno in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT):
        return f"\n{SCRATCH_REMEDY}"
    if error.errno == errno.EPERM and _starts_a_process(error.__traceback__):
        return f"\n{PROCESSES}"
    if error.filename is not None and error.errno in (errno.EPERM, errno.EACCES, errno.EROFS):
        return f"\n{SCRATCH_ONLY}"
    return ""


def _starts_a_process(trace: TracebackType | None) -> bool:
    """Whether what failed was about to."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code
    if code.co_filename == FILENAME:
        return "fork" in linecache.getline(FILENAME, trace.tb_lineno)
    module = str(trace.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] in ("subprocess", "multiprocessing", "pty")


def _description(line: int | None, frames: list[tuple[int, str]], name: str, message: str) -> str:
    headline = name if message == name else f"{name}: {message}"
    if line is None:
        return headline
    where = frames[-1][1]
    inside = f" (in {where})" if len(frames) > 1 and where.isidentifier() else ""
    source = linecache.getline(FILENAME, line).strip()
    return _clip(f"Line {line}: {headline}{inside}" + (f"\n{source}" if source else ""))


def _stack(frames: list[tuple[int, str]], name: str, message: str) -> str:
    lines = ["Traceback (most recent call last):"]
    shown = frames[-MAX_STACK_FRAMES:]
    if len(shown) < len(frames):
        lines.append(f"  … {len(frames) - len(shown)} more frames")
    for number, (line, function) in enumerate(shown):
        place = function if len(shown) < len(frames) or number else "task"
        lines.append(f'  File "{FILENAME}", line {line}, in {place}')
        source = linecache.getline(FILENAME, line).strip()
        if source:
            lines.append(f"    {source}")
    lines.append(name if message == name else f"{name}: {message}")
    return _clip("\n".join(lines))


def syntax_failure(error: SyntaxError, source: str) -> Failure:
    """``source`` is no Python."""
    name, line = type(error).__name__, error.lineno
    message = error.msg or "invalid syntax"
    if line is None:
        return Failure(kind="syntax", message=message, description=f"{name}: {message}")
    rows = source.splitlines()
    text = rows[line - 1] if 0 < line <= len(rows) else (error.text or "").rstrip("\n")
    column = max((error.offset or 1) - 1, 0)
    caret = "".join(c if c == "\t" else " " for c in text[:column]) + "^"
    hint = f"\n{DOLLAR}" if text[column : column + 1] == "$" else ""
    return Failure(
        kind="syntax",
        message=_clip(f"{message} (line {line})"),
        description=_clip(f"Line {line}: {name}: {message}\n{text}\n{caret}") + hint,
        line=line,
        stack=_clip(f'  File "{FILENAME}", line {line}\n    {text}\n    {caret}\n{name}: {message}'),
    )
