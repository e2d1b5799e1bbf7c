"""One task, from its TASK frame to its outcome, inside a worker.

Both modes have n8n's semantics. All items: ``_items`` (and ``_query`` for the Code tool) in,
whatever the code returns out. Each item: ``_item`` in; ``None`` drops the item, a dict with
``json`` uses that, ``binary`` is kept, anything else becomes the item's json, and
``pairedItem`` points back at the input.

What goes wrong becomes a Failure in ``failures.py``.
"""

from __future__ import annotations

import gc
import json
import linecache
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

import msgspec

from reptarium.sandbox.language import LanguagePolicy, PolicyViolation, mode_of, with_other_mode
from reptarium.sandbox.nesting import room
from reptarium.sandbox.task.console import Console, StderrTail
from reptarium.sandbox.task.failures import (
    FILENAME,
    TaskFailed,
    memory_failure,
    syntax_failure,
    user_failed,
    with_stderr,
)
from reptarium.sandbox.userspace.json_form import Conversion, Raw, ResultError, to_json
from reptarium.sandbox.userspace.names import CallNames, Supply
from reptarium.sandbox.wire import Failure


class TaskInput(msgspec.Struct, frozen=True):
    """A TASK frame, split up. ``items`` and ``query`` are raw JSON; ``query`` is None where there is none."""

    code: str
    per_item: bool
    items: bytes | memoryview
    query: bytes | memoryview | None


#: Source → the program, of a worker that runs the same code again.
Compiled = dict[str, CodeType]


class Terms(NamedTuple):
    """What a worker's tasks share: the policy and the limits of the zygote's configuration.

    ``callbacks`` makes the names that call back into n8n; None where there are none.
    """

    policy: LanguagePolicy
    conversion: Conversion
    max_result: int
    memory: int
    callbacks: CallNames | None = None


class TaskResult(NamedTuple):
    """What a task brought, as raw JSON. The last two are empty where there is nothing to save."""

    result: Raw
    custom_data: Raw = b""
    static_data: Raw = b""


def execute(
    task: TaskInput, terms: Terms, console: Console, stderr: StderrTail, compiled: Compiled | None = None
) -> TaskResult:
    """Run the task. Raises :class:`TaskFailed`. ``compiled``: where its program is looked for, and kept."""
    try:
        try:
            return _execute(task, terms, console, compiled)
        finally:
            console.flush()
    except MemoryError:  # in what comes after the code: the last print, what is saved
        raise TaskFailed(memory_failure(terms.memory)) from None
    except TaskFailed as failed:
        if not stderr.tail():
            raise
        raise with_stderr(failed, stderr) from None


def _execute(task: TaskInput, terms: Terms, console: Console, compiled: Compiled | None) -> TaskResult:
    linecache.cache[FILENAME] = (len(task.code), None, task.code.splitlines(True), FILENAME)
    try:
        code = None if compiled is None else compiled.get(task.code)
        if code is None:
            code = mode_of(terms.policy).compile_task(task.code, terms.policy, filename=FILENAME)
            if compiled is not None:
                compiled[task.code] = code
    except SyntaxError as error:
        raise TaskFailed(syntax_failure(error, task.code)) from None
    except PolicyViolation as error:
        line = error.findings[0].line if error.findings else None
        told = with_other_mode(error.description)
        raise TaskFailed(Failure(kind="policy", message=error.message, description=told, line=line or None)) from None
    except (RecursionError, MemoryError):  # the parser gives up with the latter
        raise TaskFailed(Failure(kind="syntax", message="the code is nested too deeply to be compiled")) from None
    except ValueError as error:  # a NUL byte in the source
        raise TaskFailed(Failure(kind="syntax", message=str(error))) from None

    # Building and writing millions of small objects makes the cycle collector run for nothing
    gc.disable()
    try:
        items = _decode(task.items, "items")
        query = None if task.query is None else _decode(task.query, "query")
    except MemoryError:
        raise TaskFailed(memory_failure(terms.memory)) from None
    finally:
        gc.enable()
    if not isinstance(items, list):
        raise TaskFailed(Failure(kind="input", message="the task's items are not a list"))

    supply = terms.callbacks(code, items) if terms.callbacks is not None else None
    if task.per_item:
        value: object = list(_each_item(code, items, terms, console, supply))
    else:
        names: dict[str, object] = {"_items": items, "_query": query, "print": console.printer}
        if supply is not None:
            names = {**_supplied(supply, None, terms), **names}
        value = _call(code, names, terms, None)
    result = _encode(value, terms)
    if supply is None:
        return TaskResult(result)
    try:
        return TaskResult(result, *supply.outcome())
    except MemoryError:
        raise
    except Exception as error:
        raise TaskFailed(Failure(kind="result", message=f"the static data cannot be saved: {error}")) from None


def _decode(raw: bytes | memoryview, what: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        with room():
            return json.loads(bytes(raw))  # takes what JavaScript writes and msgspec doesn't: lone surrogates
    except (ValueError, RecursionError) as error:
        raise TaskFailed(Failure(kind="input", message=f"the task's {what} cannot be read: {error}")) from None


def _supplied(supply: Supply, index: int | None, terms: Terms) -> dict[str, object]:
    """The names that call back; n8n may have to be asked for some (``_now``)."""
    try:
        return supply(index)
    except Exception as error:
        raise user_failed(error, terms.memory, index) from None


def _each_item(
    code: CodeType, items: list[Any], terms: Terms, console: Console, supply: Supply | None
) -> Iterator[dict[str, Any]]:
    print_ = console.printer
    for index in range(len(items)):
        names: dict[str, object] = {"_item": items[index], "print": print_}
        if supply is not None:
            names = {**_supplied(supply, index, terms), **names}
        output = _call(code, names, terms, index)
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


def _call(code: CodeType, names: dict[str, object], terms: Terms, index: int | None) -> object:
    try:
        language = mode_of(terms.policy)
        return language.run(code, language.make_namespace(terms.policy, names))
    except BaseException as error:
        # SystemExit and KeyboardInterrupt too: user code has no say over the worker's life
        raise user_failed(error, terms.memory, index) from None


def _encode(value: object, terms: Terms) -> Raw:
    gc.disable()
    try:
        raw = to_json(value, terms.conversion)
    except ResultError as error:
        raise TaskFailed(Failure(kind="result", message=str(error))) from None
    except MemoryError:
        raise TaskFailed(memory_failure(terms.memory)) from None
    except BaseException as error:  # a __str__ or a property of the user's own object raised
        raise user_failed(error, terms.memory, None) from None
    finally:
        gc.enable()
    if len(raw) > terms.max_result:
        raise TaskFailed(
            Failure(
                kind="result",
                message=f"the result of {len(raw)} bytes is over the limit of {terms.max_result} bytes",
                description="Return less data, or raise REPTARIUM_MAX_RESULT (and N8N_RUNNERS_MAX_PAYLOAD).",
            )
        )
    return raw
