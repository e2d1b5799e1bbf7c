"""Which items a node runs on, and what its result is compared with."""

from __future__ import annotations

from typing import Any

import pytest

from reptarium.pool.check import pins
from reptarium.pool.check.pins import WrongItems, as_items, comes_in, comes_out
from tests.unit.check.exported import code, found, workflow


def one(n: int) -> dict[str, Any]:
    """An item."""
    return {"json": {"n": n}}


def ran(pinned_to: Any, connections: Any = None, given: Any = None) -> tuple[Any, Any]:
    """Where the items of the node `B` come from and their numbers, and where those for comparing come from."""
    links = connections or {
        "A": {"main": [[{"node": "B", "type": "main", "index": 0}]]},
        "B": {"main": [[{"node": "C"}]]},
    }
    everything = found(workflow(code("B", "return _items"), pinData=pinned_to, connections=links))
    pinned = comes_in(everything, everything.nodes[0], given)
    if pinned is None:
        return None, None
    compared = comes_out(everything, everything.nodes[0], pinned)
    numbers = [item["json"]["n"] for item in pinned.items]
    return (pinned.node, numbers), compared and (compared.node, [item["json"]["n"] for item in compared.items])


def test_from_the_node_before() -> None:
    """What is pinned before a node comes in; what is pinned to itself is what it gave, or else what comes after."""
    assert ran({"A": [one(1)], "B": [one(2)], "C": [one(3)]}) == (("A", [1]), ("B", [2]))
    assert ran({"A": [one(1)], "C": [one(3)]}) == (("A", [1]), ("C", [3]))
    assert ran({"A": [one(1)]}) == (("A", [1]), None)


def test_on_its_own() -> None:
    """Where nothing is pinned before it, it runs on what is pinned to itself, and the next node's is compared."""
    assert ran({"B": [one(2)], "C": [one(3)]}) == (("B", [2]), ("C", [3]))
    assert ran({"B": [one(2)]}) == (("B", [2]), None)


def test_given_by_hand() -> None:
    """Items that are given for a node go before all that is pinned."""
    assert ran({"A": [one(1)], "B": [one(2)]}, given={"B": [one(9)]}) == (("B", [9]), ("B", [2]))


def test_nothing_pinned() -> None:
    """Without items there is nothing to run on."""
    assert ran({"Z": [one(1)]}) == (None, None)


def test_links_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many nodes a workflow has, its links are read once for what comes into them."""
    links = {f"N{n}": {"main": [[{"node": f"N{n + 1}"}, {"node": f"N{n + 1}"}, {"node": "N9"}]]} for n in range(20)}
    everything = found(workflow(*(code(f"N{n}", "") for n in range(20)), pinData={"N3": [one(3)]}, connections=links))
    read: list[str] = []
    targets = pins._targets
    monkeypatch.setattr(pins, "_targets", lambda flow, source: read.append(source) or targets(flow, source))
    came = [comes_in(everything, node) for node in everything.nodes]
    assert {n: pinned.node for n, pinned in enumerate(came) if pinned} == {3: "N3", 4: "N3", 9: "N3"}
    assert read == list(links)


@pytest.mark.parametrize("pinned_to", [3, {"A": 3}, {"A": [3]}, {"A": None}, []])
@pytest.mark.parametrize("links", ["x", {"A": 3}, {"A": {"main": 3}}, {"A": {"main": [3, [3, {"node": []}]]}}])
def test_odd_exports(pinned_to: Any, links: Any) -> None:
    """Pins and connections of any type lead nowhere, and to no error."""
    assert ran(pinned_to, links) == (None, None)


def test_items() -> None:
    """Bare objects become items, each goes back to its own place."""
    assert as_items([{"n": 1}, {"json": {"n": 2}, "pairedItem": 7}]) == [
        {"json": {"n": 1}, "pairedItem": {"item": 0}},
        {"json": {"n": 2}, "pairedItem": 7},
    ]
    with pytest.raises(WrongItems, match="list of objects"):
        as_items({"json": {}})
