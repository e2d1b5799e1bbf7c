"""Workflows for pairs.py: one for each seed, and some made by hand.

A workflow is a trigger, a chain of two to six steps, and probes: four Code nodes fed by the same output, in Python
and JavaScript, for all items and per item. Settings of nodes, pinned data, the order of execution and the data of a
run that n8n is handed back are part of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from n8nctl import node
from pairs_probes import EACH_STEP, FAILING_STEP, LANGUAGES, MODES, ODD_PAIRS, ODD_STEP, STEPS, code, probe_code

CODE = "n8n-nodes-base.code"


class Port(NamedTuple):
    """An output of a node."""

    node: str
    output: int = 0


@dataclass
class Draft:
    """A workflow that is being put together."""

    name: str
    #: Started by hand, so that pinned data counts.
    manual: bool = False
    #: Each probe is run once more, alone, from the data of the first execution without that of pinned nodes.
    partial: bool = False
    order: str = "v1"
    items: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    connections: dict[str, Any] = field(default_factory=dict)
    pins: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    probes: list[str] = field(default_factory=list)
    #: What `.item` of a node must give, per item of the last probe: for workflows whose outcome is known.
    expected: dict[str, list[Any]] = field(default_factory=dict)
    #: The probes ask only about themselves.
    selfish: bool = False
    child: Draft | None = None
    id: str = ""

    @property
    def chain(self) -> list[str]:
        """Its nodes without the probes."""
        return [one["name"] for one in self.nodes if not one["name"].startswith("Probe ")]

    def add(self, kind: str, type_: str, version: float, params: dict[str, Any], **extra: Any) -> str:
        """A new node, named after its kind. Returns its name."""
        used = {one["name"] for one in self.nodes}
        name = next(name for n in range(1, 1000) if (name := f"{kind} {n}" if n > 1 else kind) not in used)
        self.nodes.append(node(name, type_, version, params, len(self.nodes), **extra))
        return name

    def link(self, ports: Sequence[Port], name: str, entry: int = 0) -> None:
        """Connect outputs with an input of the node ``name``."""
        for port in ports:
            outputs = self.connections.setdefault(port.node, {"main": []})["main"]
            outputs.extend([] for _ in range(port.output + 1 - len(outputs)))
            outputs[port.output].append({"node": name, "type": "main", "index": entry})

    def then(self, ports: Sequence[Port], kind: str, type_: str, version: float, params: Any, **extra: Any) -> Port:
        """A new node behind ``ports``. Returns its first output."""
        name = self.add(kind, type_, version, params, **extra)
        self.link(ports, name)
        return Port(name)

    def probe(self, ports: Sequence[Port], low: bool = True, **extra: Any) -> list[str]:
        """The four probes behind ``ports``; ``low``: n8n runs them after the rest of the chain."""
        group = f"Probe {len(self.probes) + 1}"
        self.probes.append(group)
        names = [f"{group} {language} {mode}" for language in LANGUAGES for mode in MODES]
        for name in names:
            self.nodes.append(node(name, CODE, 2, {}, len(self.nodes), onError="continueRegularOutput", **extra))
            self.nodes[-1]["position"][1] = 1000 if low else -1000
            self.link(ports, name)
        return names

    def finish(self) -> Draft:
        """Give the probes their code: they ask about every node but probes, and about themselves."""
        for one in self.nodes:
            if one["name"].startswith("Probe "):
                _, _, language, mode = one["name"].split()
                labels = {} if self.selfish else {name: name for name in self.chain}
                labels["itself"] = one["name"]
                one["parameters"] = probe_code(language, mode, labels)
        if self.child is not None:
            self.child.finish()
        return self


# ---- steps ----------------------------------------------------------------------------------

#: A step takes the outputs that the chain has reached and gives those that it reaches then.
Step = Callable[[Draft, random.Random, list[Port]], list[Port]]


def condition(left: str, right: int) -> dict[str, Any]:
    """Parameters of Filter and If: ``left > right``."""
    greater = {"type": "number", "operation": "gt"}
    return {
        "conditions": {
            "options": {"caseSensitive": True, "leftValue": "", "typeValidation": "loose", "version": 2},
            "conditions": [{"id": "c", "leftValue": f"={{{{ {left} }}}}", "rightValue": right, "operator": greater}],
            "combinator": "and",
        },
        "options": {},
    }


def some(rng: random.Random) -> dict[str, Any]:
    """A condition that some items meet, whatever is in them."""
    return condition(f"($itemIndex * {rng.randint(1, 4)} + {rng.randint(0, 4)}) % 5", rng.randint(0, 2))


def flags(rng: random.Random) -> dict[str, Any]:
    """Settings of a node that change which items it gets or gives."""
    found: dict[str, Any] = {"onError": "continueRegularOutput"}
    for name, rarely in (("executeOnce", 10), ("alwaysOutputData", 5), ("disabled", 14)):
        if rng.randrange(rarely) == 0:
            found[name] = True
    return found


def filter_(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    return [draft.then(ports, "Filter", "n8n-nodes-base.filter", 2.2, some(rng), **flags(rng))]


def sort(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    """By a field; at random only where the same execution feeds all probes."""
    fields = [{"fieldName": rng.choice(["n", "g"]), "order": rng.choice(["ascending", "descending"])}]
    params = rng.choice([{"type": "random"}, {"type": "simple", "sortFieldsUi": {"sortField": fields}}])
    if draft.partial:
        params = {"type": "simple", "sortFieldsUi": {"sortField": fields}}
    return [draft.then(ports, "Sort", "n8n-nodes-base.sort", 1, params, **flags(rng))]


def limit(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    params = {"maxItems": rng.randint(1, 4), "keep": rng.choice(["firstItems", "lastItems"])}
    return [draft.then(ports, "Limit", "n8n-nodes-base.limit", 1, params, **flags(rng))]


def split_out(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    """The lists that an Aggregate before it made, or those of the items."""
    whole = rng.random() < 0.8 and any(name.startswith("Aggregate") for name in draft.chain)
    params = {"fieldToSplitOut": "data" if whole else "tags", "options": {}}
    params["include"] = "noOtherFields" if whole else "allOtherFields"
    return [draft.then(ports, "Split Out", "n8n-nodes-base.splitOut", 1, params, **flags(rng))]


def aggregate(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    params: dict[str, Any] = {"aggregate": "aggregateAllItemData", "options": {}}
    if rng.random() < 0.3:
        params["aggregate"] = "aggregateIndividualFields"
        params["fieldsToAggregate"] = {"fieldToAggregate": [{"fieldToAggregate": "n"}]}
    return [draft.then(ports, "Aggregate", "n8n-nodes-base.aggregate", 1, params, **flags(rng))]


def fields(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    new = {"id": "a", "name": "g", "value": "={{ $itemIndex }}", "type": "number"}
    params = {"assignments": {"assignments": [new]}, "includeOtherFields": True, "options": {}}
    return [draft.then(ports, "Fields", "n8n-nodes-base.set", 3.4, params, **flags(rng))]


def if_(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    name = draft.then(ports, "If", "n8n-nodes-base.if", 2.2, some(rng)).node
    return rng.choice([[Port(name)], [Port(name, 1)], [Port(name), Port(name, 1)]])


def switch(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    params = {"mode": "expression", "numberOutputs": 3, "output": f"={{{{ ($itemIndex + {rng.randint(0, 2)}) % 3 }}}}"}
    name = draft.then(ports, "Switch", "n8n-nodes-base.switch", 3.2, params).node
    return [Port(name, output) for output in sorted(rng.sample(range(3), rng.randint(1, 3)))]


MERGES: list[dict[str, Any]] = [
    {"mode": "append"},
    {"mode": "append"},
    {"mode": "combine", "combineBy": "combineByPosition", "options": {}},
    {"mode": "combine", "combineBy": "combineByPosition", "options": {"includeUnpaired": True}},
    {"mode": "combine", "combineBy": "combineAll", "options": {}},
    {"mode": "combine", "combineBy": "combineByFields", "fieldsToMatchString": "n", "options": {}},
    {"mode": "chooseBranch", "useDataOfInput": "2"},
    {"mode": "chooseBranch", "output": "empty"},
]


def merge(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    """Two inputs: the ends of the chain, or its end and some earlier output."""
    name = draft.add("Merge", "n8n-nodes-base.merge", 3.1, rng.choice(MERGES))
    first, second = ports[:1], ports[1:]
    if not second:
        second = [Port(rng.choice([one for one in draft.chain if one not in (name, ports[0].node)]))]
    if rng.random() < 0.5:
        first, second = second, first
    draft.link(first, name)
    draft.link(second, name, 1)
    return [Port(name)]


def code_(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    """A Code node in one of the languages; now and then with pairs that make no sense."""
    kind, python = rng.choice([*STEPS, "odd", "each"]), rng.random() < 0.5
    if kind == "odd":
        odd = rng.choice(ODD_PAIRS)
        text = ODD_STEP[python].replace("ODD", repr(odd) if python else json.dumps(odd))
    else:
        text = (EACH_STEP if kind == "each" else STEPS[kind])[python]
    params = code("python" if python else "javascript", "each" if kind == "each" else "all", text)
    return [draft.then(ports, f"Code {kind}", CODE, 2, params, **flags(rng))]


def failing(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    """A Code node some of whose items, or all at once, go to its error output."""
    python, mode = rng.random() < 0.5, rng.choice(["each", "each", "all"])
    params = code("python" if python else "javascript", mode, FAILING_STEP[mode][python])
    name = draft.then(ports, f"Code failing {mode}", CODE, 2, params, onError="continueErrorOutput").node
    return rng.choice([[Port(name)], [Port(name, 1)], [Port(name), Port(name, 1)]])


def distinct(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    params = {"operation": "removeDuplicateInputItems", "compare": "selectedFields", "fieldsToCompare": "g"}
    return [draft.then(ports, "Distinct", "n8n-nodes-base.removeDuplicates", 2, params, **flags(rng))]


def summarize(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    counted = {"values": [{"aggregation": rng.choice(["count", "sum"]), "field": "n"}]}
    params = {"fieldsToSummarize": counted, "fieldsToSplitBy": rng.choice(["g", ""]), "options": {}}
    return [draft.then(ports, "Summarize", "n8n-nodes-base.summarize", 1.1, params, **flags(rng))]


def compare(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    """Two inputs, four outputs: what one has, what both have alike, what differs, what the other has."""
    match = {"values": [{"field1": "n", "field2": rng.choice(["n", "g"])}]}
    params = {"mergeByFields": match, "resolve": rng.choice(["includeBoth", "preferInput1"]), "options": {}}
    name = draft.add("Compare", "n8n-nodes-base.compareDatasets", 2.3, params)
    draft.link(ports[:1], name)
    draft.link(ports[1:] or [Port(rng.choice([one for one in draft.chain if one != name]))], name, 1)
    return [Port(name, output) for output in sorted(rng.sample(range(4), rng.randint(1, 3)))]


SIMPLE: list[Step] = [filter_, sort, limit, split_out, aggregate, fields, code_, code_]


def loop(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    """A loop whose body has up to two simple steps and probes; the chain goes on where it is done."""
    params = {"batchSize": rng.randint(1, 3), "options": {}}
    name = draft.then(ports, "Loop", "n8n-nodes-base.splitInBatches", 3, params).node
    body = [Port(name, 1)]
    for step in rng.choices(SIMPLE, k=rng.randint(0, 2)):
        body = step(draft, rng, body)
    draft.link(body, name)
    draft.probe(body, low=rng.random() < 0.5)
    return [Port(name)]


def sub_workflow(draft: Draft, rng: random.Random, ports: list[Port]) -> list[Port]:
    """Another workflow, called once or for each item, with probes of its own."""
    if draft.child is not None:
        return filter_(draft, rng, ports)
    draft.child = child = Draft(f"{draft.name} child")
    begin = child.add("Start", "n8n-nodes-base.executeWorkflowTrigger", 1.1, {"inputSource": "passthrough"})
    ends = [Port(begin)]
    for step in rng.choices(SIMPLE, k=rng.randint(1, 3)):
        ends = step(child, rng, ends)
    child.probe(ends, low=False)
    child.then(ends, "End", "n8n-nodes-base.noOp", 1, {})
    child.nodes[-1]["position"][1] = 2000  # the last node to run gives the child's items
    params = {"source": "database", "mode": rng.choice(["once", "each"]), "options": {}}
    return [draft.then(ports, "Sub-workflow", "n8n-nodes-base.executeWorkflow", 1.2, params, **flags(rng))]


ALL_STEPS: list[Step] = [*SIMPLE, filter_, sort, if_, switch, merge, merge, loop, sub_workflow]
#: Half of the workflows have one of these too.
MORE_STEPS: list[Step] = [failing, failing, distinct, summarize, compare]

# ---- workflows ------------------------------------------------------------------------------


def begin(draft: Draft) -> list[Port]:
    """A trigger and the items that it gives."""
    if draft.manual:
        start = Port(draft.add("Manual", "n8n-nodes-base.manualTrigger", 1, {}))
        made = ", ".join(json.dumps({"json": one}) for one in draft.items)
        return [draft.then([start], "Make", CODE, 2, code("javascript", "all", f"return [{made}];"))]
    params = {"httpMethod": "POST", "path": draft.name.replace(" ", "-"), "options": {}}
    start = Port(draft.add("Webhook", "n8n-nodes-base.webhook", 2, params, webhookId=params["path"]))
    split = {"fieldToSplitOut": "body.items", "options": {}}
    return [draft.then([start], "Split", "n8n-nodes-base.splitOut", 1, split)]


def numbered(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Items that can be told apart, and their parts too."""
    return [{"n": n, "g": n % 3, "tags": [f"{n}.{t}" for t in range(rng.randint(0, 3))]} for n in range(count)]


def generate(seed: int) -> Draft:
    """The workflow of a seed."""
    rng = random.Random(seed)
    draft = Draft(f"pairs {seed}", items=numbered(rng, rng.randint(1, 6)))
    draft.manual = rng.random() < 0.45
    draft.partial = draft.manual and rng.random() < 0.5
    draft.order = "v0" if rng.random() < 0.1 else "v1"
    ends = begin(draft)
    steps = rng.choices(ALL_STEPS, k=rng.randint(2, 6))
    if rng.random() < 0.5:
        steps[rng.randrange(len(steps))] = rng.choice(MORE_STEPS)
    halfway = rng.randrange(len(steps))
    for number, step in enumerate(steps):
        ends = step(draft, rng, ends)
        if number == halfway:
            draft.probe(ends, low=rng.random() < 0.5)
    draft.probe(ends, **({"executeOnce": True} if rng.random() < 0.1 else {}))
    if draft.partial or (draft.manual and rng.random() < 0.5):
        pinnable = [name for name in draft.chain if not name.startswith(("Loop", "If", "Switch"))]
        for name in rng.sample(pinnable, rng.randint(1, 2)):
            draft.pins[name] = [{"json": {"n": n, "pinned": name}} for n in range(rng.randint(1, 4))]
    return draft.finish()


def filtered() -> Draft:
    """What went wrong first: items 3, 4, 5 pass a Filter and are Python's items 0, 1, 2."""
    draft = Draft("filtered", items=numbered(random.Random(0), 6), expected={"Split": [3, 4, 5], "Filter": [3, 4, 5]})
    draft.probe([draft.then(begin(draft), "Filter", "n8n-nodes-base.filter", 2.2, condition("$json.n", 2))])
    return draft.finish()


def own_loop() -> Draft:
    """Probes that are the body of a loop: they come before themselves, and n8n finds no way back there."""
    draft = Draft("own loop", items=numbered(random.Random(0), 3), selfish=True)
    params = {"batchSize": 1, "options": {}}
    name = draft.then(begin(draft), "Loop", "n8n-nodes-base.splitInBatches", 3, params).node
    for probe in draft.probe([Port(name, 1)]):
        draft.link([Port(probe)], name)
    return draft.finish()


def unrun() -> Draft:
    """A node that is pinned and isn't run, right before the probe and further back, when only the probe is run."""
    draft = Draft("unrun", manual=True, partial=True, items=numbered(random.Random(0), 4))
    ends = [draft.then(begin(draft), "Filter", "n8n-nodes-base.filter", 2.2, condition("$json.n", 1))]
    draft.probe([draft.then(ends, "Limit", "n8n-nodes-base.limit", 1, {"maxItems": 2, "keep": "lastItems"})])
    draft.probe(ends)
    draft.pins["Filter"] = [{"json": {"n": n, "pinned": True}} for n in range(3)]
    return draft.finish()


BY_HAND: list[Callable[[], Draft]] = [filtered, own_loop, unrun]
