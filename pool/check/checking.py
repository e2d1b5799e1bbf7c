"""The whole check: from what was found to a report of each node, and whether the proposal holds what it promises."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from reptarium.pool.check.judging import judge_all
from reptarium.pool.check.proposal import Proposal, is_proven, propose, under
from reptarium.pool.check.reports import Checked, NodeReport, report
from reptarium.pool.check.running import NodeRun
from reptarium.pool.check.workflows import CodeNode, Found
from reptarium.pool.config import Settings
from reptarium.pool.policy.rules import Policy, Subject
from reptarium.pool.workers.configuration import language_policy
from reptarium.sandbox.judge.messages import JudgeRequest


class Result(msgspec.Struct, kw_only=True):
    """What was checked, what is proposed, and which nodes are refused something under the proposal still."""

    checked: Checked
    proposal: Proposal
    unproven: list[NodeReport]
    """Nodes that should run under the proposal: reports under it, of those that don't."""
    runs: list[NodeRun] = []
    """What came of running them, where that was asked for."""


async def check(found: Found, policy: Policy, progress: Callable[[int], object] = id) -> Result:
    """Judge every node under the policy, make a proposal, and judge them under that.

    ``progress``: told how many programs are judged.
    """
    reports = await _reports(found.nodes, policy, progress, needs=True)
    checked = Checked(found=found, reports=reports)
    proposal = propose(checked, policy.settings)
    proposed = under(proposal)
    promised = [one for one in reports if one.counts and one.status != "never"]
    again = await _reports([one.node for one in promised], proposed, id, needs=False)
    unproven = [one for one in again if not is_proven(one)]
    return Result(checked=checked, proposal=proposal, unproven=unproven)


def to_run(result: Result, policy: Policy) -> list[tuple[NodeReport, Settings]]:
    """The nodes that aren't disabled, each with what it would run under: the policy, what is proposed, or, where no
    settings let it run, those that would refuse fewest of it: it fails by what has to change.
    """
    never = [one for one in result.checked.reports if one.counts and one.status == "never"]
    as_if = [msgspec.structs.replace(one, status="settings") for one in never]
    least = propose(Checked(found=result.checked.found, reports=as_if), policy.settings)
    policies = {"runs": policy, "settings": under(result.proposal), "never": under(least)}
    return [(one, _settings(policies[one.status], one.node)) for one in result.checked.reports if one.counts]


async def _reports(
    nodes: list[CodeNode], policy: Policy, progress: Callable[[int], object], *, needs: bool
) -> list[NodeReport]:
    under_which = [_settings(policy, node) for node in nodes]
    pairs = zip(nodes, under_which, strict=True)
    requests = [JudgeRequest(node.code, language_policy(settings), needs) for node, settings in pairs]
    judgements = await judge_all(requests, progress)
    return [
        report(node, judgement, settings)
        for node, judgement, settings in zip(nodes, judgements, under_which, strict=True)
    ]


def _settings(policy: Policy, node: CodeNode) -> Settings:
    rule = policy.rule_for(Subject(node.workflow_id or None, node.workflow_name, node.name))
    return policy.settings if rule is None else rule.settings
