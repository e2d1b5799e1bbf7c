"""What user code holds are functions that can do no more than they say: none leads to what asks n8n, or writes frames.

From every object that a task is given (``_input``, ``_node`` and what it returns, items, ``_helpers``, ``print`` …) the
walk of ``forbidden.py`` reads on; no method or function that it meets is bound to one of ours inside. A bound method
would be enough: ``weakref.WeakMethod`` and ``copy.deepcopy`` tell its object.
"""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

import forbidden
import pytest
from forbidden import walk
from programs import Attack, check

from reptarium.sandbox.language import LanguagePolicy, compile_task, make_namespace, run
from reptarium.sandbox.process.channel import Channel as WorkerChannel
from reptarium.sandbox.task.console import Console, StderrTail, Stream
from reptarium.sandbox.userspace.names import NAMES, CallNames, Supply
from reptarium.sandbox.userspace.nodes import Cursor
from reptarium.sandbox.userspace.pairs import Pairs
from reptarium.sandbox.userspace.taskdata import Saved, TaskData
from tests.unit.userspace.scripted import Channel, ScriptedN8n

#: What the names are made of, and what no task has.
INSIDE = (Channel, WorkerChannel, Console, StderrTail, CallNames, Supply, Cursor, Pairs, Saved, TaskData)
POLICY = LanguagePolicy(("*",), ("*",))

PROGRAM = """
import contextlib, json, logging, pprint, traceback
held = [EVERYTHING]
node = _node("Merge")
held += [node, node.first(), node.all(), node.item, node.params, _input.all(), _input.item, _input.params, _json]
held += [_node("Split").first(), _getWorkflowStaticData(), _workflow.name, _execution.custom_data, _execution.id]
held += [_items, _items[0], _items[0]["json"], print]
held += [pprint.PrettyPrinter()._stream, logging.StreamHandler().stream]
with contextlib.redirect_stdout(json.dumps), contextlib.redirect_stderr(json.dumps):
    held += [pprint.PrettyPrinter()._stream, logging.StreamHandler().stream]
for attempt in (lambda: _node("Nowhere").first(), lambda: _helpers.http_request({"url": 1}), lambda: _env.NOTHING):
    try:
        attempt()
    except Exception as error:
        held += [error, error.__traceback__, traceback.TracebackException.from_exception(error)]
return held
"""


def inside(value: Any) -> str | None:
    """Which of ours a value is, is bound to, or keeps where it can be read; None when there is none."""
    for each in _parts(value):
        if isinstance(each, INSIDE):
            return f"it leads to {type(each).__name__}"
    return None


def _parts(value: Any) -> list[Any]:
    if isinstance(value, types.MethodType):
        return [value.__self__, *_parts(value.__func__)]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values(), *_parts(value.func)]
    if isinstance(value, types.FunctionType):
        kept = (value.__defaults__ or ()) + tuple((value.__kwdefaults__ or {}).values())
        return [*kept, *vars(value).values()]
    return [value]


def held() -> list[Any]:
    """What a task collects that reads all it is given."""
    n8n = ScriptedN8n()
    items: list[Any] = [*n8n.inputs]
    code = compile_task(PROGRAM.replace("EVERYTHING", ", ".join(sorted(NAMES - {"_jmespath"}))), POLICY)
    supply = CallNames(Channel(n8n), 1 << 20)(code, items)
    assert supply is not None
    console = Console(lambda _: None, 1000)
    names = {"_items": items, "print": console.printer, **supply(None)}
    streams, (sys.stdout, sys.stderr) = (sys.stdout, sys.stderr), (Stream(console), Stream(StderrTail()))
    try:
        collected: list[Any] = run(code, make_namespace(POLICY, names))  # type: ignore[assignment]
    finally:
        sys.stdout, sys.stderr = streams
    return collected


def test_nothing_that_a_task_holds_leads_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within four reads of what a task is given nothing is ours but what the task is meant to have."""
    collected = held()
    real = forbidden.why_forbidden
    monkeypatch.setattr(forbidden, "why_forbidden", lambda value: inside(value) or real(value))
    assert len(collected) > 40
    assert [str(found) for found in walk({"held": collected}, 4, items=10_000)] == []


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_redirection_reads_nothing_for_the_task(stream: str) -> None:
    """What stands for the stream while it is redirected has no way to what the object's own attributes are refused."""
    program = f"""
    import contextlib, json, logging, pprint
    with contextlib.redirect_{stream}(json.dumps):
        stands = pprint.PrettyPrinter()._stream if "{stream}" == "stdout" else logging.StreamHandler().stream
    for name in [each for each in dir(stands) if each[:2] != "__"]:
        for wanted in (["__globals__"], ["__getattribute__", "__globals__"]):
            try:
                found = getattr(stands, name)(*wanted)
            except (AttributeError, TypeError):
                continue
            if type(found) is dict:
                reached.append(found)
    try:
        [].nothing
    except AttributeError as error:
        with contextlib.redirect_{stream}(error):
            stands = pprint.PrettyPrinter()._stream if "{stream}" == "stdout" else logging.StreamHandler().stream
    reached.append(stands.obj)
    """
    told = (
        "the attribute 'obj' of an exception is not allowed: it betrays what the code failed on. No setting allows it."
    )
    check(Attack(program, told))
