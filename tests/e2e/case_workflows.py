"""The workflows that cases.py's cases are run as."""

from __future__ import annotations

import json
from typing import Any

from n8nctl import N8n
from outcomes import CODE_NODE
from workflows import Node, link, node, python, split, to, webhook


def expand_items(items: Any) -> list[Any]:
    """Cases with large inputs describe them instead of holding them."""
    if not (isinstance(items, dict) and "make" in items):
        return items
    if items["make"] == "rows":
        return [{"n": i, "name": f"row {i}", "blob": "abcdefghij" * (items["blob"] // 10)} for i in range(items["n"])]
    return [{"blob": "0123456789" * (items["blob"] // 10)}]


def code_node(case: dict[str, Any], pos: int) -> Node:
    """The Python Code node of a case."""
    extra = {"onError": case["on_error"]} if case["on_error"] else {}
    return python(case["code"], CODE_NODE, case["mode"] != "all", pos, **extra)


def build(n8n: N8n, case: dict[str, Any]) -> dict[str, Any]:
    """Create (and publish) the workflow of a case."""
    if case["kind"] == "tool":
        return build_tool(n8n, case)
    if case["kind"] == "manual":
        nodes = [node("Manual", "n8n-nodes-base.manualTrigger", 1, {}, 0), code_node(case, 1)]
        pins = {"Manual": [{"json": item} for item in case["items"]]}
        return n8n.create_workflow(case["name"], nodes, link("Manual", CODE_NODE), activate=False, pin_data=pins)
    nodes = [webhook(case["name"]), split(alwaysOutputData=True)]
    if case.get("pre") == "to_file":
        to_text = {"operation": "toText", "sourceProperty": "text", "options": {"fileName": "a.txt"}}
        nodes.append(node("ToFile", "n8n-nodes-base.convertToFile", 1.1, to_text, 2))
    nodes.append(code_node(case, 3))
    connections = link(*(one["name"] for one in nodes))
    if case["on_error"] == "continueErrorOutput":
        nodes += [node("Good", "n8n-nodes-base.noOp", 1, {}, 4), node("Bad", "n8n-nodes-base.noOp", 1, {}, 4)]
        connections[CODE_NODE] = {"main": [to("Good"), to("Bad")]}
    settings = {"executionTimeout": 2} if case["kind"] == "exec_timeout" else {}
    return n8n.create_workflow(case["name"], nodes, connections, settings=settings)


def build_tool(n8n: N8n, case: dict[str, Any]) -> dict[str, Any]:
    """Create and publish the workflow of a case that is a Code Tool, called without an agent."""
    params = {"description": "e2e", "language": "python", "pythonCode": case["code"]}
    if case.get("schema"):
        params |= {
            "specifyInputSchema": True,
            "schemaType": "fromJson",
            "jsonSchemaExample": json.dumps(case["items"]),
        }
    call = {"query": json.dumps({CODE_NODE: case["items"]}), "toolName": CODE_NODE}
    nodes = [
        webhook(case["name"]),
        node("Executor", "@n8n/n8n-nodes-langchain.toolExecutor", 1, call, 1),
        node(CODE_NODE, "@n8n/n8n-nodes-langchain.toolCode", 1.3, params, 2),
    ]
    connections = link("Webhook", "Executor")
    connections[CODE_NODE] = {"ai_tool": [to("Executor", kind="ai_tool")]}
    return n8n.create_workflow(case["name"], nodes, connections)
