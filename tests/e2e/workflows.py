"""Building blocks of workflows."""

from __future__ import annotations

import textwrap
from itertools import pairwise
from typing import Any

Node = dict[str, Any]


def node(name: str, kind: str, version: float, params: dict[str, Any], pos: int = 0, **extra: Any) -> Node:
    """A node as n8n saves it; `extra` are further fields."""
    return {
        "id": f"00000000-0000-4000-8000-{abs(hash_name(name)):012d}",
        "name": name,
        "type": kind,
        "typeVersion": version,
        "position": [pos * 200, 0],
        "parameters": params,
        **extra,
    }


def hash_name(name: str) -> int:
    """A number for a node's id that is the same in every run."""
    h = 7
    for ch in name:
        h = (h * 131 + ord(ch)) % 10**11
    return h


def link(*names: str) -> dict[str, Any]:
    """Connections for a simple chain of nodes."""
    return {a: {"main": [to(b)]} for a, b in pairwise(names)}


def to(*names: str, kind: str = "main") -> list[dict[str, Any]]:
    """One output's connections to the first inputs of other nodes."""
    return [{"node": name, "type": kind, "index": 0} for name in names]


def webhook(path: str, pos: int = 0) -> Node:
    """A webhook that answers with all items of the last node."""
    params = {
        "httpMethod": "POST",
        "path": path,
        "responseMode": "lastNode",
        "responseData": "allEntries",
        "options": {},
    }
    return node("Webhook", "n8n-nodes-base.webhook", 2, params, pos, webhookId=path)


def split(field: str = "body.items", pos: int = 1, **extra: Any) -> Node:
    """One item of each element of a list in the input."""
    return node("Split", "n8n-nodes-base.splitOut", 1, {"fieldToSplitOut": field, "options": {}}, pos, **extra)


def python(source: str, name: str = "Python", each: bool = False, pos: int = 2, **extra: Any) -> Node:
    """A Python Code node."""
    params = {
        "mode": "runOnceForEachItem" if each else "runOnceForAllItems",
        "language": "pythonNative",
        "pythonCode": textwrap.dedent(source).strip("\n"),
    }
    return node(name, "n8n-nodes-base.code", 2, params, pos, **extra)


def javascript(source: str, name: str = "JavaScript", pos: int = 2) -> Node:
    """A JavaScript Code node for all items."""
    params = {"mode": "runOnceForAllItems", "language": "javaScript", "jsCode": textwrap.dedent(source).strip("\n")}
    return node(name, "n8n-nodes-base.code", 2, params, pos)
