"""Items that are pinned in a workflow: what a node may be run on, and what it gave n8n's own runner.

What is pinned to a node is its output: for the nodes behind it, it is what comes in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from reptarium.pool.check.workflows import CodeNode, Found, ReadWorkflow, cut

Items = list[dict[str, Any]]


class Pinned(NamedTuple):
    """Items, and the node that they are pinned to, or were given for by hand. ``own``: a node's own output came in."""

    node: str
    items: Items
    own: bool = False


class WrongItems(ValueError):
    """What is given for items is none. The text says what is wanted."""


def as_items(value: Any) -> Items:
    """A list of items, or of bare objects, as n8n hands items to a task. Raises :class:`WrongItems`."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise WrongItems("a JSON list of objects is wanted")
    items = [item if isinstance(item.get("json"), dict) else {"json": item} for item in value]
    return [{**item, "pairedItem": item.get("pairedItem", {"item": index})} for index, item in enumerate(items)]


def as_query(text: str) -> str | dict[str, Any]:
    """What a Code Tool gets from its agent: a JSON object, a JSON string, or else the text itself.

    Raises ValueError, with what is wanted, for JSON of another kind.
    """
    try:
        query = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(query, str | dict):
        raise ValueError("a string or a JSON object is wanted")
    return query


def comes_in(found: Found, node: CodeNode, given: Mapping[str, Items] | None = None) -> Pinned | None:
    """What the node runs on: what is ``given`` by its name, what is pinned before it, or else to itself."""
    if given and node.name in given:
        return Pinned(node.name, given[node.name])
    workflow = found.workflows[node.workflow]
    before = next(_pinned(workflow, _before(workflow, node.name)), None)
    if before is not None:
        return before
    own = next(_pinned(workflow, [node.name]), None)
    return own and own._replace(own=True)


def comes_out(found: Found, node: CodeNode, ran_on: Pinned) -> Pinned | None:
    """What it is to be compared with: what is pinned to itself, unless it ran on that, or to the next node."""
    workflow = found.workflows[node.workflow]
    names = _after(workflow, node.name)
    return next(_pinned(workflow, names if ran_on.own else [node.name, *names]), None)


def _pinned(workflow: ReadWorkflow, names: list[str]) -> Iterator[Pinned]:
    for name in names:
        if name in workflow.pins:
            try:
                yield Pinned(name, as_items(workflow.pins[name]))
            except WrongItems:
                continue


def _before(workflow: ReadWorkflow, name: str) -> list[str]:
    """The nodes whose output comes into this one, in the order of the export."""
    if workflow.sources is None:
        workflow.sources = {}
        for source in workflow.connections:
            for target in dict.fromkeys(_targets(workflow, source)):
                workflow.sources.setdefault(target, []).append(source)
    return workflow.sources.get(name, [])


def _after(workflow: ReadWorkflow, name: str) -> list[str]:
    return list(_targets(workflow, name))


def _targets(workflow: ReadWorkflow, source: str) -> Iterator[str]:
    """Where a node's outputs lead, whatever the export has in their place."""
    kinds = workflow.connections.get(source)
    outputs = kinds.get("main") if isinstance(kinds, dict) else None
    for output in outputs if isinstance(outputs, list) else ():
        for link in output if isinstance(output, list) else ():
            if isinstance(link, dict) and isinstance(link.get("node"), str):
                yield cut(link["node"])


def task_of(node: CodeNode, items: Items, query: Any = None) -> dict[str, Any]:
    """A node of an export as a task of n8n's, started in the editor. ``query``: what a Code Tool is asked."""
    return {
        **({} if query is None else {"query": query}),
        "code": node.code,
        "nodeMode": "runOnceForEachItem" if node.each else "runOnceForAllItems",
        "continueOnFail": node.continue_on_fail,
        "items": items,
        "nodeId": node.id or None,
        "nodeName": node.name,
        "workflowId": node.workflow_id or None,
        "workflowName": node.workflow_name,
        "workflowMode": "manual",
    }


def with_pins(data: dict[str, Any], workflow: ReadWorkflow) -> dict[str, Any]:
    """Data of an execution in which the pinned nodes have given what is pinned to them, and the node's items come from
    the one before it.
    """
    own = data["node"]["name"]
    before = _before(workflow, own)
    data["workflow"]["connections"] = workflow.connections
    data["workflow"]["nodes"] += [
        {"id": name, "name": name, "type": "n8n-nodes-base.noOp", "parameters": {}}
        for name in dict.fromkeys((*workflow.pins, *before))
        if name != own
    ]
    origin = next((pinned.node for pinned in _pinned(workflow, before)), next(iter(before), None))
    if origin is not None:
        data["connectionInputSource"] = {"main": [{"previousNode": origin}]}
    data["workflow"]["pinData"] = {pinned.node: pinned.items for pinned in _pinned(workflow, list(workflow.pins))}
    return data
