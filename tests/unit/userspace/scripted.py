"""A scripted n8n: one workflow in the middle of an execution, and the calls that it answers.

Shapes as a live n8n 2.40.5 sends them, and its habits: what a node gets is what another put out, with every
``pairedItem`` written anew (:func:`arrive`). The workflow: Webhook → Split → Fields → Merge → Python, with a node
Lookup that Merge also reads, and a node Unrun that hasn't run.
"""

from __future__ import annotations

import json
from typing import Any

from reptarium.pool.tasks.callbacks import error_text
from reptarium.sandbox.userspace.names import CallNames, Supply

NODES = ("Webhook", "Split", "Fields", "Lookup", "Merge", "Python", "Unrun")


def source(node: str, output: int = 0, run: int = 0) -> dict[str, Any]:
    """Where items came from, as n8n writes it."""
    return {"previousNode": node, "previousNodeOutput": output, "previousNodeRun": run}


def run(items: list[Any], *sources: dict[str, Any] | None, outputs: tuple[Any, ...] = ()) -> dict[str, Any]:
    """One run of a node."""
    return {"source": list(sources), "executionStatus": "success", "data": {"main": [items, *outputs]}}


def item(value: Any, paired: Any = None) -> dict[str, Any]:
    """An item; ``paired`` is its pairedItem."""
    return {"json": value} if paired is None else {"json": value, "pairedItem": paired}


def arrive(items: list[Any]) -> list[Any]:
    """Items as the node behind gets them: ``pairedItem`` is the place in the output, whatever it was in there."""
    return [{**one, "pairedItem": {"item": place}} for place, one in enumerate(items)]


def buffer(data: bytes) -> dict[str, Any]:
    """Bytes as n8n sends them."""
    return {"type": "Buffer", "data": list(data)}


class CallError(Exception):
    """The scripted call fails: ``data`` is what n8n would send."""

    def __init__(self, data: Any) -> None:
        self.data = data


class ScriptedN8n:
    """Answers calls from a scripted state; ``asked`` keeps them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.static: dict[str, Any] = {"global": {"count": 1}}
        self.metadata: dict[str, Any] = {"earlier": "yes"}
        self.files: dict[tuple[int, str], bytes] = {(0, "data"): b"one!", (1, "pic"): bytes(range(256))}
        self.http: dict[str, Any] = {}
        self.timezone: str | None = "Asia/Tokyo"
        self.deadline: Any = None
        self.mode = "webhook"
        self.env: dict[str, str] = {
            "COLOUR": "blue",
            "N8N_ENCRYPTION_KEY": "top",
            "DATABASE_URL": "pg://u:p@h/x",
        }
        self.runs: dict[str, list[Any]] = {
            "Webhook": [run([item({"body": "b"}, {"item": 0})])],
            "Split": [run([item({"n": 1}, {"item": 0}), item({"n": 2}, {"item": 0})], source("Webhook"))],
            "Fields": [
                run([item({"first": "run"}, 0)], source("Split")),
                run([item({"n": 2, "f": "b"}, 1), item({"n": 1, "f": "a"}, {"item": 0})], source("Split")),
            ],
            "Lookup": [run([item({"looked": "up"})], source("Webhook"), outputs=([item({"other": 1})],))],
            "Merge": [
                run(
                    [
                        item({"id": 20, "tag": {"deep": [{"x": 1}]}}, [{"item": 1, "input": 0}]),
                        item({"id": 10}, [{"item": 0}, {"item": 0, "input": 1}]),
                    ],
                    source("Fields", run=1),
                    source("Lookup"),
                )
            ],
        }
        self.pins: dict[str, list[Any]] = {}
        self.connections: dict[str, Any] = {}
        self.name = "Python"
        self.sources: list[dict[str, Any] | None] = []
        self.inputs: list[Any] = []
        self.feed(source("Merge"))

    def feed(self, origin: dict[str, Any], once: bool = False) -> None:
        """Give the current node the items of another's output; ``once``: its setting "Execute Once"."""
        name, output, number = (origin[f"previousNode{what}"] for what in ("", "Output", "Run"))
        runs = self.runs.get(name) or []
        items = runs[number]["data"]["main"][output] if number < len(runs) else self.pins[name]
        self.sources = [origin]
        self.inputs = arrive(items)[: 1 if once else None]

    def ran(self, name: str, origin: dict[str, Any] | list[Any], *outputs: list[Any] | None) -> dict[str, Any]:
        """Add a run of a node, fed from ``origin`` (by input). Returns its first output, as a source."""
        self.runs.setdefault(name, []).append(
            run(*outputs[:1], *([origin] if isinstance(origin, dict) else origin), outputs=outputs[1:])
        )
        return source(name, run=len(self.runs[name]) - 1)

    def task_data(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request for task data."""
        self.asked.append(("taskData", request))
        wanted = self.runs if request["dataOfNodes"] == "all" else request["dataOfNodes"]
        return {
            "workflow": {
                "id": "w1",
                "name": "Orders",
                "active": True,
                "nodes": [
                    {"name": name, "type": "t", "parameters": {"of": name, "nested": {"a": 1}}}
                    for name in dict.fromkeys([*NODES, *self.runs, *self.pins])
                ],
                "pinData": self.pins,
                "connections": self.connections,
                "settings": {"executionOrder": "v1"} | ({"timezone": self.timezone} if self.timezone else {}),
                "staticData": self.static,
            },
            "inputData": {},
            "connectionInputSource": {"main": self.sources},
            "itemIndex": 0,
            "activeNodeName": self.name,
            "mode": self.mode,
            "envProviderState": {
                "env": self.env if request["env"] else {},
                "isEnvAccessBlocked": False,
                "isProcessAvailable": True,
            },
            "runExecutionData": {
                "resultData": {
                    "runData": {name: self.runs[name] for name in wanted if name in self.runs},
                    "metadata": self.metadata,
                },
                "resumeToken": "sesame",
            },
            "runIndex": 3,
            "additionalData": {
                "executionId": "77",
                "variables": {"region": "eu", "limits": {"max": 5}},
                "userId": "u1",
                "evaluationRunId": "e1",
            }
            | ({} if self.deadline is None else {"executionTimeoutTimestamp": self.deadline}),
        }

    def rpc(self, name: str, params: list[Any]) -> Any:
        """The answer to an RPC. Raises :class:`CallError`."""
        self.asked.append((name, params))
        if name in ("helpers.getBinaryDataBuffer", "helpers.assertBinaryData"):
            place = (params[0], params[1])
            if place not in self.files and name.endswith("Buffer"):
                raise CallError({})
            if place not in self.files:
                raise CallError({"message": f"The item has no binary field '{place[1]}' [item {place[0]}]"})
            data = self.files[place]
            return buffer(data) if name.endswith("Buffer") else {"mimeType": "text/plain", "bytes": len(data)}
        if name == "helpers.prepareBinaryData":
            data = bytes(params[0]["data"])
            known = dict(zip(("fileName", "mimeType"), params[1:], strict=False))
            return {"id": "stored", "bytes": len(data), **known}
        if name == "helpers.setBinaryDataBuffer":
            return params[0] | {"id": "set", "bytes": len(params[1]["data"])}
        if name == "helpers.binaryToString":
            return f"{params[1]}:{len(params[0]['data'])}"
        if name in ("helpers.httpRequest", "helpers.request"):
            url = params[0].get("url") or params[0].get("uri")
            answer = self.http.get(url.partition("?")[0], CallError({"message": "getaddrinfo ENOTFOUND"}))
            if isinstance(answer, Exception):
                raise answer
            return answer
        raise CallError("Method not allowed")


class Channel:
    """Stands in for the worker's channel: the scripted n8n answers at once."""

    def __init__(self, n8n: ScriptedN8n) -> None:
        self.n8n = n8n

    def call(self, name: str, params: bytes, via: str = "rpc") -> tuple[bool, bytes]:
        decoded = json.loads(params)
        if via == "data":
            return True, json.dumps(self.n8n.task_data(decoded)).encode()
        try:
            return True, json.dumps(self.n8n.rpc(name, decoded)).encode()
        except CallError as error:
            return False, error_text(name, json.dumps(error.data).encode()).encode()


def supply(n8n: ScriptedN8n, source: str, max_bytes: int = 1 << 20) -> Supply:
    """The names that ``source`` spells, over the scripted n8n."""
    code = compile(source, "<task>", "exec")
    made = CallNames(Channel(n8n), max_bytes)(code, n8n.inputs)
    assert made is not None
    return made


def value(n8n: ScriptedN8n, expression: str, index: int | None = None) -> Any:
    """What the expression gives in plain Python with our names."""
    return eval(expression, dict(supply(n8n, expression)(index)))  # noqa: S307 (our own test's text)
