"""Runs nodes for real, in the sandbox, on pinned items, and compares what comes out. Nothing is sent anywhere.

Each node runs under its own settings, where nothing is refused under them, and otherwise under those that are proposed;
but no task connects to anything, and what it asks of n8n is answered by recordings, or not at all.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import msgspec
import trio

from reptarium.pool.bench.runners import RunnerProcess, Site, registered
from reptarium.pool.check.compared import difference
from reptarium.pool.check.pins import Items, Pinned, comes_in, comes_out, task_of, with_pins
from reptarium.pool.check.reports import NodeReport
from reptarium.pool.check.workflows import Found
from reptarium.pool.config import Settings
from reptarium.pool.embedded import embedded_runner
from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from reptarium.pool.embedded_broker.calls import own_task_data
from reptarium.pool.embedded_broker.handle import RpcError, TaskHandle
from reptarium.pool.embedded_broker.items import NotItems, items_of, text_of
from reptarium.pool.embedded_broker.outcome import Outcome, failure_text
from reptarium.sandbox.nesting import room

#: ``same``, ``differs``: compared with ``with_what``; ``ran``: there is nothing to compare with; ``skipped``: there is
#: nothing to run it on.
Verdict = Literal["same", "differs", "ran", "fails", "skipped"]
#: Node → call, as n8n names it → answers, in the order of the calls. Of an HTTP request it may be the body alone.
Answers = Mapping[str, Mapping[str, list[Any]]]

NOT_HERE = "not in a check"
#: Characters of an error that are shown.
_LONGEST_DETAIL = 600
#: In place of what tasks may connect to: a name that is nobody's by RFC 2606. So the power is there, and leads nowhere.
_NOWHERE = ("not-in-a-check.invalid:1",)
_NOT_REACHED = "it wasn't reached"
_NO_QUERY = "a tool runs on a query: --query NODE=TEXT"


class NodeRun(msgspec.Struct, kw_only=True):
    """What came of one node. ``items`` says where they came from, ``detail`` what failed, or differs first."""

    place: str
    source: str
    verdict: Verdict
    items: str = ""
    with_what: str = ""
    detail: str = ""


class NoOtherRunner(Exception):
    """The runner to compare with doesn't start. The text says why."""


class _Task(msgspec.Struct):
    report: NodeReport
    settings: Settings
    pinned: Pinned | None  # None: a tool, which runs on a query
    query: Any
    run: NodeRun


async def run_all(
    found: Found,
    reports: list[tuple[NodeReport, Settings]],
    runs: list[NodeRun],
    *,
    given: Mapping[str, Items],
    queries: Mapping[str, Any],
    answers: Answers,
    against: str | None = None,
    progress: Callable[[int], object] = id,
) -> None:
    """Run each node that doesn't rest, under the settings beside it. What comes of them goes into ``runs`` as it comes,
    so that who interrupts this has it. ``given``: items by the node's name; ``queries``: what Code Tools of a name are
    asked.

    ``against``: the command of n8n's own runner, whose results count in place of pinned ones. Raises, in exception
    groups, :class:`NoOtherRunner` when that doesn't start, and what :func:`embedded_runner` raises.
    """
    tasks: list[_Task] = []
    for report, settings in reports:
        node = report.node
        pinned = None if node.tool else comes_in(found, node, given)
        run = NodeRun(
            place=node.place, source=node.source, verdict="skipped",
            detail=_NO_QUERY if node.tool else "there are no items to run it on",
        )  # fmt: skip
        runs.append(run)
        if pinned is not None:
            run.items = f"given for {pinned.node}" if node.name in given else f"pinned to {pinned.node}"
        elif node.tool and node.name in queries:
            run.items = f"asked of {node.name}"
        else:
            continue
        run.detail = _NOT_REACHED
        tasks.append(_Task(report, settings, pinned, queries.get(node.name) if node.tool else None, run))
    theirs = await _of_other(tasks, found, against, answers) if against else {}
    done = 0
    for settings, group in _by_settings(tasks):
        async with embedded_runner(settings) as broker:
            for task in group:
                outcome = await _one(broker, found, task, answers, settings.task_timeout)
                _compare(task, outcome, found, theirs.get(id(task)))
                done += 1
                progress(done)


def _by_settings(tasks: list[_Task]) -> list[tuple[Settings, list[_Task]]]:
    """The tasks by what they run under: a runner serves those of one kind."""
    groups: list[tuple[Settings, list[_Task]]] = []
    for task in tasks:
        settings = msgspec.structs.replace(
            task.settings,
            max_concurrency=1, warm_workers=1, health_enabled=False, auto_shutdown_timeout=0.0, policy=None,
            log_level="critical", preload_learn="off", connect_allow=_NOWHERE if task.settings.connect_allow else (),
        )  # fmt: skip
        group = next((tasks for shared, tasks in groups if shared == settings), None)
        if group is None:
            groups.append((settings, [task]))
        else:
            group.append(task)
    return groups


async def _one(broker: Broker, found: Found, task: _Task, answers: Answers, timeout: float) -> Outcome:
    node = task.report.node
    recorded = {name: list(each) for name, each in answers.get(node.name, {}).items()}

    async def rpc(handle: TaskHandle, name: str, params: list[Any]) -> Any:
        waiting = recorded.get(name) or recorded.get(name.removeprefix("helpers."))
        if not waiting:
            raise RpcError(NOT_HERE)
        answer = waiting.pop(0)
        whole = bool(params) and isinstance(params[0], dict) and params[0].get("returnFullResponse") is True
        if whole and not (isinstance(answer, dict) and "statusCode" in answer):
            return {"statusCode": 200, "headers": {}, "body": answer}
        return answer

    async def task_data(handle: TaskHandle, params: dict[str, Any]) -> Any:
        data = await own_task_data(handle, params)
        return with_pins(data, found.workflows[node.workflow])

    broker.task_data_handler = task_data
    items = task.pinned.items if task.pinned else []
    handle = broker.submit(task_of(node, items, task.query), timeout=timeout + 30, on_rpc=rpc)
    return await handle.outcome()


# ---- comparing --------------------------------------------------------------------------


def _compare(task: _Task, outcome: Outcome, found: Found, other: Outcome | None) -> None:
    run = task.run
    run.detail = ""
    if outcome.status != "done":
        run.verdict, run.detail = "fails", _brief(failure_text(outcome))
        return
    node = task.report.node
    try:
        ours = _result(outcome)
        taken = text_of(ours) if node.tool else items_of(ours)
    except NotItems as error:
        # where its workflow goes on, an item tells of the failure
        if node.tool or not node.continue_on_fail:
            run.verdict, run.detail = "fails", f"n8n refuses the result: {error}"
            return
    except ValueError as error:
        run.verdict, run.detail = "fails", f"the result can't be read: {error}"
        return
    else:
        ours = taken if node.tool else ours
    if other is not None:
        run.with_what = "n8n's runner"
        if other.status != "done":
            run.verdict, run.detail = "differs", f"n8n's runner fails: {_brief(failure_text(other))}"
            return
        theirs = _result(other)
    else:
        compared = comes_out(found, node, task.pinned) if task.pinned else None
        if compared is None:
            run.verdict = "ran"
            return
        run.with_what, theirs = f"pinned to {compared.node}", compared.items
    run.detail = difference(ours, theirs) or ""
    run.verdict = "differs" if run.detail else "same"


def _brief(failure: str) -> str:
    """What an error says, without its traceback: a program may make a text of any length of either."""
    text = failure.partition("\nTraceback (most recent call last)")[0]
    return text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]}…"


def _result(outcome: Outcome) -> Any:
    with room():
        return outcome.result()


# ---- n8n's own runner -------------------------------------------------------------------


async def _of_other(tasks: list[_Task], found: Found, command: str, answers: Answers) -> dict[int, Outcome]:
    """What another runner makes of the tasks, but of those that would connect to something: it holds nothing back."""
    outcomes: dict[int, Outcome] = {}
    async with _other_runner(command) as broker:
        for task in tasks:
            if not task.report.libraries:
                outcomes[id(task)] = await _one(broker, found, task, answers, task.settings.task_timeout)
    return outcomes


@asynccontextmanager
async def _other_runner(command: str) -> AsyncIterator[Broker]:
    async with open_broker(BrokerConfig()) as broker:
        environ = {"N8N_RUNNERS_GRANT_TOKEN": broker.grant_token(), "N8N_RUNNERS_EXTERNAL_ALLOW": "*"}
        # what it logs to standard output must not stand in the report
        runner = RunnerProcess(shlex.join(["sh", "-c", f"exec {command} >&2"]), broker, environ)
        site = Site("against", broker, [runner])
        try:
            try:
                runner.start()
                await registered(site, 1)
            except (OSError, RuntimeError, ValueError) as error:
                raise NoOtherRunner(f"--against {command}: {error}") from None
            yield broker
        finally:
            with suppress(AssertionError), trio.CancelScope(shield=True):  # it may not have been started
                await runner.stop()


def read_answers(text: str) -> Answers:
    """Recorded answers. Raises ValueError with what is expected."""
    try:
        return msgspec.convert(json.loads(text), dict[str, dict[str, list[Any]]])
    except (ValueError, RecursionError):
        raise ValueError(
            'an object is expected, such as {"Node": {"httpRequest": [answer, …]}}: for each node and call, its answers'
        ) from None
