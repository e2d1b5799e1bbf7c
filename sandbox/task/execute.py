"""One task, from its TASK frame to its outcome, inside a worker.

Both modes have n8n's semantics. All items: ``_items`` (and ``_query`` for the Code tool) in,
whatever the code returns out. Each item: ``_item`` in; ``None`` drops the item, a dict with
``json`` uses that, ``binary`` is kept, anything else becomes the item's json, and
``pairedItem`` points back at the input.

Errors speak about the person's own code: their line numbers, their frames, their source.
"""

from __future__ import annotations

import gc
import json
import linecache
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Any, NamedTuple

import msgspec

from reptarium.sandbox.language import LanguagePolicy, PolicyViolation, compile_task, make_namespace, run
from reptarium.sandbox.task import results
from reptarium.sandbox.task.console import Console, StderrTail
from reptarium.sandbox.userspace.names import CallNames, Supply
from reptarium.sandbox.wire import Failure, FailureKind

#: The name that user code has in tracebacks.
FILENAME = "<task>"
#: Longest error text, in characters: an exception may carry anything.
MAX_MESSAGE = 8 * 1024
MAX_STACK_FRAMES = 50


class TaskInput(msgspec.Struct, frozen=True):
    """A TASK frame, split up. ``items`` and ``query`` are raw JSON; ``query`` is None where there is none."""

    code: str
    per_item: bool
    items: bytes | memoryview
    query: bytes | memoryview | None


class Environment(NamedTuple):
    """What a worker's tasks share: the policy and the limits of the zygote's configuration.

    ``callbacks`` makes the names that call back into n8n; None where there are none.
    """

    policy: LanguagePolicy
    conversion: results.Conversion
    max_result: int
    memory: int
    callbacks: CallNames | None = None


class Outcome(NamedTuple):
    """What a task brought, as raw JSON. The last two are empty where there is nothing to save."""

    result: bytes
    custom_data: bytes = b""
    static_data: bytes = b""


class TaskFailed(Exception):
    """The task ends without a result; ``failure`` is what to report."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def execute(task: TaskInput, env: Environment, console: Console, stderr: StderrTail) -> Outcome:
    """Run the task. Raises :class:`TaskFailed`."""
    try:
        return _execute(task, env, console)
    except TaskFailed as failed:
        tail = stderr.tail()
        if not tail:
            raise
        raise TaskFailed(msgspec.structs.replace(failed.failure, stderr=tail)) from None
    finally:
        console.flush()


def _execute(task: TaskInput, env: Environment, console: Console) -> Outcome:
    linecache.cache[FILENAME] = (len(task.code), None, task.code.splitlines(True), FILENAME)
    try:
        code = compile_task(task.code, env.policy, filename=FILENAME)
    except SyntaxError as error:
        raise TaskFailed(_syntax_failure(error, task.code)) from None
    except PolicyViolation as error:
        line = error.findings[0].line if error.findings else None
        raise TaskFailed(
            Failure(kind="policy", message=error.message, description=error.description, line=line or None)
        ) from None
    except RecursionError:
        raise TaskFailed(Failure(kind="syntax", message="the code is nested too deeply to be compiled")) from None
    except ValueError as error:  # a NUL byte in the source
        raise TaskFailed(Failure(kind="syntax", message=str(error))) from None

    # Building and writing millions of small objects makes the cycle collector run for nothing
    gc.disable()
    try:
        items = _decode(task.items, "items")
        query = None if task.query is None else _decode(task.query, "query")
    except MemoryError:
        raise TaskFailed(_memory_failure(env.memory)) from None
    finally:
        gc.enable()
    if not isinstance(items, list):
        raise TaskFailed(Failure(kind="input", message="the task's items are not a list"))

    supply = env.callbacks(code, items) if env.callbacks is not None else None
    if task.per_item:
        value: object = list(_each_item(code, items, env, console, supply))
    else:
        names: dict[str, object] = {"_items": items, "_query": query, "print": console.printer}
        if supply is not None:
            names = {**_supplied(supply, None, env), **names}
        value = _call(code, names, env, None)
    result = _encode(value, env)
    if supply is None:
        return Outcome(result)
    try:
        return Outcome(result, *supply.outcome())
    except Exception as error:
        raise TaskFailed(Failure(kind="result", message=f"the static data cannot be saved: {error}")) from None


def _decode(raw: bytes | memoryview, what: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        return json.loads(bytes(raw))  # takes what JavaScript writes and msgspec doesn't: lone surrogates
    except (ValueError, RecursionError) as error:
        raise TaskFailed(Failure(kind="input", message=f"the task's {what} cannot be read: {error}")) from None


def _supplied(supply: Supply, index: int | None, env: Environment) -> dict[str, object]:
    """The names that call back; n8n may have to be asked for some (``_now``)."""
    try:
        return supply(index)
    except Exception as error:
        raise TaskFailed(_user_failure(error, env, index)) from None


def _each_item(
    code: CodeType, items: list[Any], env: Environment, console: Console, supply: Supply | None
) -> Iterator[dict[str, Any]]:
    print_ = console.printer
    for index in range(len(items)):
        names: dict[str, object] = {"_item": items[index], "print": print_}
        if supply is not None:
            names = {**_supplied(supply, index, env), **names}
        output = _call(code, names, env, index)
        if output is None:
            continue
        paired: dict[str, Any] = {"pairedItem": {"item": index}}
        if not isinstance(output, dict):
            yield {"json": output, **paired}
            continue
        if "json" in output:
            content = output["json"]
        else:
            content = {k: v for k, v in output.items() if k != "binary"} if "binary" in output else output
        if isinstance(output.get("binary"), dict):
            paired["binary"] = output["binary"]
        yield {"json": content, **paired}


def _call(code: CodeType, names: dict[str, object], env: Environment, index: int | None) -> object:
    try:
        return run(code, make_namespace(env.policy, names))
    except BaseException as error:
        # SystemExit and KeyboardInterrupt too: user code has no say over the worker's life
        raise TaskFailed(_user_failure(error, env, index)) from None


def _encode(value: object, env: Environment) -> bytes:
    gc.disable()
    try:
        raw = results.encode(value, env.conversion)
    except results.ResultError as error:
        raise TaskFailed(Failure(kind="result", message=str(error))) from None
    except MemoryError:
        raise TaskFailed(_memory_failure(env.memory)) from None
    except BaseException as error:  # a __str__ or a property of the user's own object raised
        raise TaskFailed(_user_failure(error, env, None)) from None
    finally:
        gc.enable()
    if len(raw) > env.max_result:
        raise TaskFailed(
            Failure(
                kind="result",
                message=f"the result of {len(raw)} bytes is over the limit of {env.max_result} bytes",
                description="Return less data, or raise REPTARIUM_MAX_RESULT (and N8N_RUNNERS_MAX_PAYLOAD).",
            )
        )
    return raw


# ---- errors ----------------------------------------------------------------------------


def _memory_failure(memory: int, index: int | None = None, line: int | None = None) -> Failure:
    return Failure(
        kind="memory",
        message=memory_message(memory),
        description=("" if line is None else f"Line {line}: MemoryError. ") + MEMORY_REMEDY,
        item=index,
        line=line,
    )


def memory_message(memory: int) -> str:
    """What a task is told that went over its memory limit of ``memory`` bytes."""
    return f"Task exceeded its memory limit of {memory // 2**20} MiB"


MEMORY_REMEDY = "Process the data in smaller batches, or raise REPTARIUM_TASK_MEMORY."


def _clip(text: str) -> str:
    # surrogates have no UTF-8 form, and the report has to travel
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + " … (cut)"


def _text(error: BaseException) -> str:
    """``str(error)``, whatever the user's own exception class does in there."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return _clip(text) or type(error).__name__


def _user_frames(trace: TracebackType | None) -> list[tuple[int, str]]:
    """(line, function) of the user's own frames, outermost first."""
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == FILENAME:
            found.append((trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return found


def _user_failure(error: BaseException, env: Environment, index: int | None) -> Failure:
    frames = _user_frames(error.__traceback__)
    line = frames[-1][0] if frames else None
    if isinstance(error, MemoryError):
        error.__traceback__ = None  # the frames hold what filled the memory
        return _memory_failure(env.memory, index, line)
    name, message = type(error).__name__, _text(error)
    if isinstance(error, SystemExit):
        message = f"the code tried to exit the worker (SystemExit: {message})"
    kind: FailureKind = "policy" if getattr(type(error), "reptarium_refusal", False) else "user"
    return Failure(
        kind=kind,
        message=message,
        description=_description(line, frames, name, message),
        line=line,
        item=index,
        stack=_stack(frames, name, message),
    )


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


def _syntax_failure(error: SyntaxError, source: str) -> Failure:
    name, line = type(error).__name__, error.lineno
    message = error.msg or "invalid syntax"
    if line is None:
        return Failure(kind="syntax", message=message, description=f"{name}: {message}")
    rows = source.splitlines()
    text = rows[line - 1] if 0 < line <= len(rows) else (error.text or "").rstrip("\n")
    column = max((error.offset or 1) - 1, 0)
    caret = "".join(c if c == "\t" else " " for c in text[:column]) + "^"
    return Failure(
        kind="syntax",
        message=_clip(f"{message} (line {line})"),
        description=_clip(f"Line {line}: {name}: {message}\n{text}\n{caret}"),
        line=line,
        stack=_clip(f'  File "{FILENAME}", line {line}\n    {text}\n    {caret}\n{name}: {message}'),
    )
