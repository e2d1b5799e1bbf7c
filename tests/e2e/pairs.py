#!/usr/bin/env python3
"""`_node("X").item` against n8n's own `$('X').item`, over generated workflows.

  pairs.py --n8n-dir DIR --runner-cmd 'reptarium run' [--workflows 100] [--seed 1]

Starts a private n8n, its own JavaScript runner and ours on one broker, and runs workflows in which Python and
JavaScript Code nodes are fed by the same outputs. They must find the same items of every node, find none where the
other finds none, and call ambiguous what the other does; `.all()` must give the same items. A difference is printed
with the seed and the workflow, and makes the exit status 1; `--seed N --workflows 1` runs that workflow alone,
`--only NAME` one that was made by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from typing import Any

from harness import add_arguments, free_ports, no_n8n, nothing_chosen, nothing_left, ports, prepare_output
from n8nctl import N8n
from pairs_probes import LANGUAGES, MODES
from pairs_workflows import BY_HAND, Draft, generate
from runnerctl import JavaScriptRunner, Runner

#: More than one difference of a workflow is rarely needed to understand it.
SHOWN = 5


class Suite:
    """Runs workflows and counts what was compared."""

    def __init__(self, n8n: N8n) -> None:
        self.n8n = n8n
        #: How often both sides gave an item, none, or called it ambiguous ("several").
        self.answers: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.partial = 0

    def run(self, draft: Draft) -> list[str]:
        """Run a workflow. Returns the differences."""
        self.create(draft)
        if draft.manual:
            execution = self.by_hand(draft, {"triggerToStartFrom": {"name": "Manual"}})
        else:
            self.n8n.call_webhook(draft.name.replace(" ", "-"), {"items": draft.items})
            execution = self.n8n.wait_execution(draft.id, after=0)
        self.steps.update(one["type"].rpartition(".")[2] for one in draft.nodes if one["name"] in draft.chain)
        self.statuses[execution["status"]] += 1
        found = self.compare_all(draft, execution)
        if draft.child is not None:
            for row in self.n8n.executions(draft.child.id, 100):
                child = self.n8n.execution(row["id"])
                found += [f"sub-workflow: {one}" for one in self.compare_all(draft.child, child)]
        if draft.partial:
            found += [f"probe alone: {one}" for one in self.again(draft, execution)]
        for name, values in draft.expected.items():
            answers = outputs(execution, f"{draft.probes[-1]} python each")
            got = [one[name][0].get("json", {}).get("n") for one in answers[-1]] if answers else None
            if got != values:
                found.append(f"items of {name!r}: {got}, not {values}")
        return found

    def create(self, draft: Draft) -> None:
        """Create a workflow in n8n, the one that it calls first."""
        if draft.child is not None:
            self.create(draft.child)
            for one in draft.nodes:
                if one["type"] == "n8n-nodes-base.executeWorkflow":
                    one["parameters"]["workflowId"] = {"__rl": True, "mode": "id", "value": draft.child.id}
        draft.id = self.n8n.create_workflow(
            draft.name,
            draft.nodes,
            draft.connections,
            settings={"executionOrder": draft.order},
            pin_data=draft.pins,
            activate=not draft.manual,
        )["id"]

    def by_hand(self, draft: Draft, body: dict[str, Any]) -> dict[str, Any]:
        """Start an execution as the editor does. Returns it when it has ended."""
        started = self.n8n.rest("POST", f"/workflows/{draft.id}/run", body)
        return self.n8n.wait_execution(draft.id, after=int(started["executionId"]) - 1)

    def again(self, draft: Draft, execution: dict[str, Any]) -> list[str]:
        """Run each of the last probes alone, n8n being handed what ran before, but for what is pinned."""
        before = execution["data"]["resultData"]["runData"]
        kept = {name: runs for name, runs in before.items() if name in draft.chain and name not in draft.pins}
        found: list[str] = []
        for mode in MODES:
            ours, theirs = (
                self.by_hand(
                    draft,
                    {
                        "runData": kept,
                        "destinationNode": {"nodeName": f"{draft.probes[-1]} {language} {mode}", "mode": "inclusive"},
                    },
                )
                for language in LANGUAGES
            )
            self.partial += 1
            found += self.compare(draft.probes[-1], mode, ours, theirs)
        return found

    def compare_all(self, draft: Draft, execution: dict[str, Any]) -> list[str]:
        """Differences between the probes of one execution."""
        both = (execution, execution)
        return [one for group in draft.probes for mode in MODES for one in self.compare(group, mode, *both)]

    def compare(self, group: str, mode: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
        """Differences between our probe in one execution and n8n's in another, or the same."""
        mine, others = outputs(ours, f"{group} python {mode}"), outputs(theirs, f"{group} javascript {mode}")
        if [len(one) for one in mine] != [len(one) for one in others]:
            return [f"{group} {mode}: not as many runs and items: {mine!r:.500}\n    {others!r:.500}"]
        found: list[str] = []
        for run, both in enumerate(zip(mine, others, strict=True)):
            for number, (one, other) in enumerate(zip(*both, strict=True)):
                found += self.differences(f"{group} {mode}, run {run}, item {number}", one, other)
        return found

    def differences(self, place: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
        """Differences between two answers of probes."""
        if ours.keys() != theirs.keys():  # one of them failed
            return [f"{place}:\n    Python:     {ours!r:.500}\n    JavaScript: {theirs!r:.500}"]
        found: list[str] = []
        for name in ours:
            for which, (one, other) in enumerate(zip(ours[name], theirs[name], strict=True)):
                self.answers[other.get("kind", "item")] += 1
                if without_words(one) != without_words(other):
                    asked = ".item" if which == 0 else f".item({which - 1})" if " all," in place else ".item(next)"
                    if which == len(ours[name]) - 1:
                        asked = ".all()"
                    found.append(
                        f"{place}, {name!r}{asked}:\n    Python:     {json.dumps(one)[:500]}\n"
                        f"    JavaScript: {json.dumps(other)[:500]}"
                    )
        return found


def without_words(answer: Any) -> Any:
    """An answer, and what a probe finds of its own earlier answers in it, without the words in which it refuses."""
    if isinstance(answer, list):
        return [without_words(one) for one in answer]
    if isinstance(answer, dict):
        refused = "kind" in answer and "why" in answer
        return {key: without_words(value) for key, value in answer.items() if not (refused and key == "why")}
    return answer


def outputs(execution: dict[str, Any], name: str) -> list[list[Any]]:
    """What a probe answered, by run and item."""
    runs = execution["data"]["resultData"]["runData"].get(name) or []
    return [[one["json"] for one in ((run.get("data") or {}).get("main") or [[]])[0] or []] for run in runs]


def describe(draft: Draft) -> str:
    """The workflow as JSON that n8n's editor takes when it is pasted."""
    pinned = {"pinData": draft.pins} if draft.pins else {}
    return json.dumps({"nodes": draft.nodes, "connections": draft.connections, **pinned})


def run_all(suite: Suite, args: argparse.Namespace, drafts: list[Draft]) -> list[str]:
    """Run and compare. Returns the names of the workflows with differences."""
    environ = {
        "N8N_RUNNERS_STDLIB_ALLOW": "",
        "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": str(args.health_port or free_ports(1)[0]),
        "REPTARIUM_RPC_MAX_CALLS": "100000",  # a probe asks about every node for every item
    }
    theirs = JavaScriptRunner(suite.n8n, args.runner_log and args.runner_log + ".js")
    ours = Runner(suite.n8n, args.runner_cmd, None, environ, None, args.runner_log)
    bad: list[str] = []
    try:
        theirs.start()
        ours.start()
        for draft in drafts:
            try:
                found = suite.run(draft)
            except Exception as error:
                found = [f"{type(error).__name__}: {error}"]
            print(f"{draft.name}: {' → '.join(draft.chain)}: {len(found)} differences", flush=True)
            if found:
                bad.append(draft.name)
                print(*found[:SHOWN], describe(draft), sep="\n", flush=True)
    finally:
        theirs.end(5)
        ours.stop()
    return bad


def main() -> int:
    """Run and compare. Returns the exit status."""
    prepare_output()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--health-port", type=int, default=0, help="of our runner; 0: the system chooses")
    parser.add_argument("--workflows", type=int, default=100, help="how many to generate")
    parser.add_argument("--seed", type=int, default=1, help="of the first; the others' follow")
    args = parser.parse_args()
    if no_n8n(args.n8n_dir):
        return 0
    drafts = [make() for make in BY_HAND if args.only in (None, make.__name__)]
    drafts += [generate(args.seed + n) for n in range(0 if args.only else args.workflows)]
    if not drafts:
        return nothing_chosen()
    suite = Suite(N8n(args.n8n_dir, *ports(args.port, 1), *ports(args.broker_port, 1)))
    with nothing_left():
        try:
            suite.n8n.start().login()
            bad = run_all(suite, args, drafts)
        finally:
            suite.n8n.stop()
    counted = ", ".join(f"{suite.answers[kind]} {kind}" for kind in ("item", "none", "several"))
    print(f"executions: {dict(suite.statuses)}, probes run alone: {suite.partial}, nodes: {dict(suite.steps)}")
    print(f"answers of n8n: {counted}")
    for name in bad:
        print(f"FAILED {name}")
    print(f"{len(drafts) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad or not suite.answers["item"] else 0


if __name__ == "__main__":
    sys.exit(main())
