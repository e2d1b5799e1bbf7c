"""Exports as n8n writes them, and the check of them without a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reptarium.pool.check.checking import Result
from reptarium.pool.check.exports import Document
from reptarium.pool.check.proposal import is_proven, propose, under
from reptarium.pool.check.reports import Checked, NodeReport, report
from reptarium.pool.check.workflows import Found, find
from reptarium.pool.config import Settings, load_settings
from reptarium.pool.policy.rules import Policy, Subject
from reptarium.pool.workers.configuration import language_policy
from reptarium.sandbox.judge.verdict import judge

Json = dict[str, Any]


def code(name: str, source: object, *, language: str = "pythonNative", each: bool = False, **more: Any) -> Json:
    """A Code node of version 2, which returns something, since n8n refuses others.

    ``each``: it runs once for each item; ``more``: further fields of it.
    """
    ended = source if not isinstance(source, str) or "return" in source else f"{source}\nreturn []"
    parameters = {"language": language, "pythonCode": ended} | ({"mode": "runOnceForEachItem"} if each else {})
    node = {"id": f"id-{name}", "name": name, "type": "n8n-nodes-base.code", "typeVersion": 2, "position": [0, 0]}
    return {**node, "parameters": parameters, **more}


def tool(name: str, source: str, version: float = 1.3) -> Json:
    """A Code Tool."""
    parameters = {"description": "a tool", "language": "python", "pythonCode": source}
    kind = "@n8n/n8n-nodes-langchain.toolCode"
    return {"id": name, "name": name, "type": kind, "typeVersion": version, "parameters": parameters}


def workflow(*nodes: Any, name: str = "Orders", **more: Any) -> Json:
    """A workflow with an id."""
    return {"id": "W1", "name": name, "nodes": list(nodes), "connections": {}, "active": False, **more}


def found(*values: Any) -> Found:
    """What is found in exports of these values."""
    return find(Document(f"{number}.json", value) for number, value in enumerate(values, 1))


def reports(*values: Any, environ: Mapping[str, str] | None = None) -> list[NodeReport]:
    """Of each Python node in exports of these values, under the settings of an environment."""
    policy = Policy(settings=load_settings(environ or {}))
    return _under(found(*values), policy)


def only(source: str, environ: Mapping[str, str] | None = None, **more: Any) -> NodeReport:
    """Of one node with this code."""
    (one,) = reports(workflow(code("Code", source, **more)), environ=environ)
    return one


def result(*values: Any, environ: Mapping[str, str] | None = None) -> Result:
    """The whole check."""
    everything, settings = found(*values), load_settings(environ or {})
    first = _under(everything, Policy(settings=settings))
    proposal = propose(Checked(found=everything, reports=first), settings)
    promised = {id(one.node) for one in first if one.counts and one.status != "never"}
    again = [one for one in _under(everything, under(proposal)) if id(one.node) in promised]
    unproven = [one for one in again if not is_proven(one)]
    return Result(checked=Checked(found=everything, reports=first), proposal=proposal, unproven=unproven)


def _under(everything: Found, policy: Policy) -> list[NodeReport]:
    return [
        report(node, judge(node.code, language_policy(settings)), settings)
        for node in everything.nodes
        for settings in [_settings(policy, node.workflow_id, node.workflow_name, node.name)]
    ]


def _settings(policy: Policy, workflow_id: str, name: str, node: str) -> Settings:
    rule = policy.rule_for(Subject(workflow_id or None, name, node))
    return policy.settings if rule is None else rule.settings
