"""Words that every form of a report uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from reptarium.pool.check.checking import Result
from reptarium.pool.check.reports import TASK_DATA, NodeReport, Status, Warned
from reptarium.pool.check.running import NodeRun, Verdict
from reptarium.pool.check.shown import shown
from reptarium.sandbox.judge.messages import Objection

STATUS: dict[Status, str] = {"runs": "runs", "settings": "needs settings", "never": "must change"}
_COUNTED: dict[Status, str] = {"runs": "run", "settings": "need settings", "never": "must change"}


def way(refusal: Objection) -> str:
    """What to change for a refusal to go."""
    if refusal.kind == "syntax":
        return "correct the code"
    if refusal.kind == "install":
        return f"install it: {refusal.why}"
    if refusal.setting == "REPTARIUM_LANGUAGE":
        return "REPTARIUM_LANGUAGE=python allows it"
    if refusal.setting == "REPTARIUM_SCRATCH":
        return "REPTARIUM_SCRATCH gives tasks files of their own"
    if refusal.setting:
        return f"{refusal.setting} decides this"
    return "no setting allows it: change the code"


def reason(refusal: Objection) -> str:
    """A refusal in one line, without what to change where the reason says that."""
    return shown(f"line {refusal.line}: {refusal.message}{_because(refusal)}")


def sentence(refusal: Objection) -> str:
    """A refusal in one line."""
    return f"{reason(refusal)}; {shown(way(refusal))}"


def to_change(refusal: Objection) -> str:
    """A refusal in one line, where it is said already that the code must change."""
    return sentence(refusal) if refusal.setting else reason(refusal)


def _because(refusal: Objection) -> str:
    if not refusal.why or refusal.kind == "install":
        return ""
    return f"; {refusal.why}" if refusal.why.startswith("instead: ") else f": {refusal.why}"


def headline(result: Result) -> str:
    """What it comes down to."""
    checked = result.checked
    nodes = sum(one.counts for one in checked.reports)
    off = len(checked.reports) - nodes
    counts = [f"{checked.count(status)} {words}" for status, words in _COUNTED.items() if checked.count(status)]
    return (
        f"{_number(nodes, 'Python node')} in {_number(len(checked.found.workflows), 'workflow')}"
        f"{f', {off} more disabled' if off else ''}: {', '.join(counts) or 'nothing to run'}"
    )


def facts(report: NodeReport) -> list[str]:
    """What a node does, apart from what is refused of it."""
    parts = []
    if report.calls:
        names = ("data of other nodes or the execution" if one == TASK_DATA else one for one in report.calls)
        parts.append("asks n8n for " + ", ".join(names))
    if report.http_hosts:
        parts.append("requests by n8n to " + hosts(report.http_hosts))
    if report.libraries:
        where = hosts(report.hosts) if report.hosts else "hosts that don't stand in the code"
        parts.append(f"connects by {', '.join(report.libraries)} to {where}")
    if report.files:
        named = ", ".join(("writes " if one.writes else "reads ") + (one.path or "a file") for one in report.files)
        parts.append(named)
    if report.asynchronous:
        parts.append("is asynchronous")
    if report.prints:
        parts.append(_number(report.prints, "print"))
    working = [one.name for one in report.old_names if not one.instead]
    if working:
        parts.append("old names that work: " + ", ".join(working))
    return [shown(part) for part in parts]


def hosts(named: Iterable[object]) -> str:
    """Hosts with their ports."""
    return ", ".join(f"{getattr(one, 'host', '')}:{getattr(one, 'port', 0) or '?'}" for one in named)


class Change(NamedTuple):
    """A difference from n8n's own runner, and the nodes that may notice it."""

    warned: Warned
    nodes: list[NodeReport]


def changes(result: Result) -> list[Change]:
    """Differences that programs may notice, what works here and not there last."""
    found: dict[tuple[str, str], Change] = {}
    for report in result.checked.reports:
        for one in report.warnings:
            found.setdefault((one.id, one.what), Change(one, [])).nodes.append(report)
    return sorted(found.values(), key=lambda change: change.warned.gain)


VERDICTS: dict[Verdict, str] = {
    "same": "same",
    "differs": "differs",
    "fails": "fails",
    "ran": "ran, nothing to compare with",
    "skipped": "not run",
}


def ran(run: NodeRun) -> str:
    """Where the items came from, what was compared, and what came of it."""
    parts = [run.items and f"items {run.items}", run.with_what and f"compared with {run.with_what}", run.detail]
    return shown("; ".join(part for part in parts if part))


def settings_text(result: Result) -> list[tuple[str, str]]:
    """Titles and what to paste below each."""
    proposal = result.proposal
    parts = []
    if proposal.environ:
        parts.append(("Variables of the runner", "\n".join(proposal.lines())))
    if proposal.policy:
        parts.append((proposal.environ["REPTARIUM_POLICY"], proposal.policy.rstrip()))
    if proposal.everywhere:
        parts.append(("Or, instead of that file, for every workflow", "\n".join(proposal.lines_everywhere())))
    if lines := proposal.lines_to_install():
        parts.append(("requirements.txt", "\n".join(lines)))
    if proposal.requirements:
        parts.append(("Or, when the image is built", f'EXTRA_PACKAGES="{" ".join(proposal.requirements)}"'))
    return parts


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
