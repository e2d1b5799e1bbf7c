"""`_node("X").item`: from an input item back to the item of an earlier node, over a scripted n8n.

Each expectation is what n8n 2.40.5's own `$('X').item` gave in the same workflow (tests/e2e/pairs.py asks it anew).
"""

from __future__ import annotations

from typing import Any

import pytest

from reptarium.sandbox.userspace.calls import HelperError
from reptarium.sandbox.userspace.pairs import Pairs
from tests.unit.userspace.scripted import ScriptedN8n, arrive, item, source, supply, value


@pytest.fixture
def n8n() -> ScriptedN8n:
    """An execution in which Split put out 0 to 5."""
    n8n = ScriptedN8n()
    n8n.runs = {"Webhook": [], "Split": []}
    webhook = n8n.ran("Webhook", [], [item({"body": "b"}, {"item": 0})])
    n8n.ran("Split", webhook, numbered(range(6), [{"item": 0}] * 6))
    return n8n


def numbered(numbers: Any, pairs: Any) -> list[Any]:
    """Items by their number and pairedItem."""
    return [item({"n": number}, pair) for number, pair in zip(numbers, pairs, strict=True)]


def kept(*numbers: int) -> list[Any]:
    """What a node puts out that lets some of 0 to 5 through: the pairs are places in its input."""
    return numbered(numbers, [{"item": number} for number in numbers])


def found(n8n: ScriptedN8n, name: str = "Split") -> list[Any]:
    """The numbers that `.item` finds at the node ``name``, per item and for all items; both must be the same."""
    each = [value(n8n, f'_node("{name}").item.json.n', index) for index in range(len(n8n.inputs))]
    assert value(n8n, f'[_node("{name}").item(i).json.n for i in range({len(n8n.inputs)})]') == each
    assert value(n8n, f'_node("{name}").item.json.n') == each[0]
    return each


def fails(n8n: ScriptedN8n, text: str, expression: str = '_node("Split").item.json') -> None:
    """The expression ends with an error that says ``text``."""
    with pytest.raises(HelperError, match=text):
        value(n8n, expression)


# ---- one node before the current one --------------------------------------------------


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param([3, 4, 5], id="Filter"),
        pytest.param([5, 3, 4, 0, 1, 2], id="Sort"),
        pytest.param([4, 5], id="Limit"),
        pytest.param([2, 2, 1], id="Code that repeats"),
    ],
)
def test_after_a_node_that_chooses(n8n: ScriptedN8n, numbers: list[int]) -> None:
    """Behind a node that filters, sorts or repeats, `.item` is the item that was let through, not that at its place."""
    n8n.feed(n8n.ran("Choice", source("Split"), kept(*numbers)))
    assert found(n8n) == found(n8n, "Choice") == numbers
    assert value(n8n, '_node("Webhook").item.json.body', 1) == "b"


def test_after_several_that_choose(n8n: ScriptedN8n) -> None:
    """Each node's pairs are places in its own input, however many nodes there are."""
    filtered = n8n.ran("Filter", source("Split"), kept(1, 3, 5))
    sorted_ = n8n.ran("Sort", filtered, numbered([5, 1, 3], [{"item": 2}, {"item": 0}, {"item": 1}]))
    n8n.feed(n8n.ran("Limit", sorted_, numbered([1, 3], [{"item": 1}, {"item": 2}])))
    assert found(n8n) == found(n8n, "Filter") == found(n8n, "Sort") == [1, 3]


def test_execute_once(n8n: ScriptedN8n) -> None:
    """A node that takes the first item only has one input item, which goes back to the first that was let through."""
    n8n.feed(n8n.ran("Filter", source("Split"), kept(4, 5)), once=True)
    assert found(n8n) == [4]
    fails(n8n, "there is no input item 1: this node got 1", '_node("Split").item(1)')


def test_several_outputs(n8n: ScriptedN8n) -> None:
    """The way back starts at the output that the items came from."""
    n8n.ran("If", source("Split"), kept(0, 1), kept(2, 5))
    n8n.feed(source("If", output=1))
    assert found(n8n) == found(n8n, "If") == [2, 5]
    n8n.feed(source("If"))
    assert found(n8n) == [0, 1]


def test_several_inputs(n8n: ScriptedN8n) -> None:
    """A pair's input chooses the source; an item without a pair in it belongs to the first."""
    high, low = n8n.ran("High", source("Split"), kept(3, 4)), n8n.ran("Low", source("Split"), kept(0, 1))
    merged = numbered([3, 1, 4], [{"item": 0}, {"item": 1, "input": 1}, 1])
    n8n.feed(n8n.ran("Merge", [high, low], merged))
    assert found(n8n) == [3, 1, 4]
    assert value(n8n, '_node("Low").item.json.n', 1) == 1
    # High is no ancestor of item 1
    with pytest.raises(HelperError, match="the items go back to 'Webhook', where they begin"):
        value(n8n, '_node("High").item.json.n', 1)


def test_an_input_that_got_nothing(n8n: ScriptedN8n) -> None:
    """A pair that names an input without a source, or one that isn't there, leads nowhere."""
    merged = numbered([1, 2], [{"item": 0, "input": 1}, {"item": 0, "input": 2}])
    n8n.feed(n8n.ran("Merge", [source("Split"), None], merged))
    fails(n8n, "'Merge' has no input 1")
    fails(n8n, "'Merge' has no input 2", '_node("Split").item(1)')


# ---- items made of several ------------------------------------------------------------


def test_lists_of_pairs(n8n: ScriptedN8n) -> None:
    """An item made of several goes back to what all of them go back to, and is ambiguous where they differ."""
    filtered = n8n.ran("Filter", source("Split"), kept(2, 3))
    n8n.feed(n8n.ran("Aggregate", filtered, [item({"data": []}, [{"item": 0}, {"item": 1}])]))
    assert value(n8n, '_node("Webhook").item.json.body') == "b"
    fails(
        n8n, "more than one item of 'Split' belongs to item 0 of the node 'Aggregate'; use .first\\(\\) or .all\\(\\)"
    )
    fails(n8n, "more than one item of 'Split'", '_node("Split").item(0)')


def test_always_output_data(n8n: ScriptedN8n) -> None:
    """The empty item of a node that let nothing through is made of all its input items."""
    pairs = [{"item": number, "input": 0} for number in range(6)]
    n8n.feed(n8n.ran("Filter", source("Split"), [item({}, pairs)]))
    assert value(n8n, '_node("Webhook").item.json.body') == "b"
    fails(n8n, "more than one item of 'Split'")


def test_those_that_lead_nowhere_do_not_count(n8n: ScriptedN8n) -> None:
    """Of several origins, those that lead nowhere are left out."""
    filtered = n8n.ran("Filter", source("Split"), kept(5, 4))
    mixed = [item({}, [{"item": 7}, {"item": 1, "input": 0}, {"item": 0, "input": 3}])]
    n8n.feed(n8n.ran("Code", filtered, mixed))
    assert value(n8n, '_node("Split").item.json.n') == 4


def test_an_ambiguous_origin_beside_a_plain_one(n8n: ScriptedN8n) -> None:
    """An origin that is ambiguous itself leads nowhere, and the other one decides, as in n8n."""
    whole = n8n.ran("Aggregate", source("Split"), [item({}, [0, 1])])
    one = n8n.ran("Limit", source("Split"), kept(3))
    n8n.feed(n8n.ran("Merge", [whole, one], [item({}, [{"item": 0}, {"item": 0, "input": 1}])]))
    assert value(n8n, '_node("Split").item.json.n') == 3


@pytest.mark.parametrize(
    ("pair", "number"),
    [
        (2, 2),
        ({"item": 2, "input": None}, 2),
        ({"item": "2"}, 2),
        ([{"item": 2}, 2, {"item": "2", "input": "0"}], 2),
        ([{"item": 99}, 2], 2),
        ([], "doesn't tell which of its input items"),
        ([None, 2], "doesn't tell which of its input items"),
        ({}, "leads to none"),
        (True, "leads to none"),
        ("2", "leads to none"),
        ({"item": -1}, "leads to none"),
        ({"item": True}, "leads to none"),
        ({"item": "02"}, "leads to none"),
        ({"item": "9" * 5000}, "leads to none"),
        ([{}, 2], "more than one item"),
        ({"item": 99}, "'Split' has no item 99"),
        ({"item": 2, "input": -1}, "'Code' has no input -1"),
        ({"item": 2, "input": "x"}, "'Code' has no input"),
        ({"item": 2, "input": 5, "sourceOverwrite": source("Split")}, "'Code' has no input 5"),
        ({"item": 2, "sourceOverwrite": source("Webhook")}, "'Webhook' has no item 2"),
        ({"item": 2, "sourceOverwrite": {"previousNode": "Gone"}}, "n8n has no data of the node 'Gone'"),
        ({"item": 2, "sourceOverwrite": True}, "n8n has no data of the node ''"),
        ({"item": 2, "sourceOverwrite": None}, 2),
    ],
)
def test_pairs_that_user_code_wrote(n8n: ScriptedN8n, pair: Any, number: int | str) -> None:
    """Whatever a Code node calls a pair is read as n8n reads it."""
    # An item before it, so that places and pairs differ
    n8n.feed(n8n.ran("Code", source("Split"), [item({}, 0), {"json": {}, "pairedItem": pair}]))
    if isinstance(number, int):
        assert value(n8n, '_node("Split").item(1).json.n') == number
    else:
        fails(n8n, number, '_node("Split").item(1)')


# ---- runs -----------------------------------------------------------------------------


def test_loops(n8n: ScriptedN8n) -> None:
    """From its second run on, the Loop node's items bring their source with them: what fed the loop at first."""
    overwrite = source("Filter")
    n8n.ran("Filter", source("Split"), kept(2, 4, 5))
    first = n8n.ran("Loop", source("Filter"), [], numbered([2], [{"item": 0}]))
    body = n8n.ran("Body", source("Loop", output=1), numbered([2], [{"item": 0}]))
    n8n.ran("Loop", body, [], numbered([4], [{"item": 1, "sourceOverwrite": overwrite}]))
    n8n.feed(source("Loop", output=1))
    assert found(n8n) == found(n8n, "Loop") == [2]
    n8n.feed(source("Loop", output=1, run=1))
    assert found(n8n) == found(n8n, "Filter") == found(n8n, "Loop") == [4]
    body = n8n.ran("Body", source("Loop", output=1, run=1), numbered([4], [{"item": 0}]))
    n8n.ran("Loop", body, [], numbered([5], [{"item": 2, "sourceOverwrite": overwrite}]))
    body = n8n.ran("Body", source("Loop", output=1, run=2), numbered([5], [{"item": 0}]))
    bodies = [{"item": 0, "sourceOverwrite": source("Body", run=run)} for run in range(3)]
    n8n.feed(n8n.ran("Loop", body, numbered([2, 4, 5], bodies), []))
    assert first == source("Loop")
    assert found(n8n) == found(n8n, "Filter") == found(n8n, "Body") == [2, 4, 5]


def test_each_run_has_its_own_items(n8n: ScriptedN8n) -> None:
    """The way goes through the run that the items came from, not through the last one."""
    n8n.ran("Twice", source("Split"), kept(0, 1))
    later = n8n.ran("Twice", source("Split"), kept(3, 5))
    n8n.feed(n8n.ran("Sort", later, numbered([5, 3], [{"item": 1}, {"item": 0}])))
    assert found(n8n) == found(n8n, "Twice") == [5, 3]


def test_the_node_itself(n8n: ScriptedN8n) -> None:
    """A node in a loop comes before itself; n8n finds no way back to it, and neither do we."""
    n8n.name = "Body"
    n8n.ran("Loop", source("Split"), [], kept(1))
    body = n8n.ran("Body", source("Loop", output=1), kept(0))
    n8n.feed(n8n.ran("Loop", body, [], numbered([1], [{"item": 0}])) | {"previousNodeOutput": 1})
    fails(n8n, "no item of 'Body' can be found: it is this node itself", '_node("Body").item.json')


def test_long_ways_and_wide_items(n8n: ScriptedN8n) -> None:
    """Thousands of runs in a row, and items made of thousands, are no matter: every item is looked at once."""
    last = n8n.ran("Filter", source("Split"), kept(3, 4))
    for _ in range(3000):
        last = n8n.ran("Body", last, numbered([4, 3], [1, 0]))
    assert n8n.runs["Body"][-1]["data"]["main"][0][0]["json"]["n"] == 4
    n8n.feed(last)
    assert found(n8n) == [3, 4]
    for number in range(40):  # without memory these would be 2000 to the power of 40 ways
        last = n8n.ran(f"Wide {number}", last, [item({}, list(range(2))) for _ in range(2)])
    n8n.feed(last)
    assert value(n8n, '_node("Webhook").item.json.body') == "b"
    fails(n8n, "more than one item of 'Split'")


def test_items_in_a_circle(n8n: ScriptedN8n) -> None:
    """Sources that user code wrote may lead in a circle, which ends in an error where there is no other way."""
    first, second = ({"item": number, "sourceOverwrite": source("Code")} for number in range(2))
    n8n.feed(n8n.ran("Code", source("Split"), [item({}, first), item({}, [{"item": 4}, second, first])]))
    fails(n8n, "the items lead in a circle")
    assert value(n8n, '_node("Split").item(1).json.n') == 4


# ---- pinned data, sub-workflows, missing data -----------------------------------------


def test_a_pinned_node_that_ran(n8n: ScriptedN8n) -> None:
    """A pinned node has a run with its source; its items lead on where n8n could give them pairs."""
    n8n.mode = "manual"
    n8n.pins["Filter"] = [item({"n": 7}), item({"n": 8})]
    n8n.ran("Filter", source("Split"), [item({"n": 7}), item({"n": 8}, {"item": 4})])
    n8n.feed(n8n.ran("Sort", source("Filter"), numbered([8, 7], [{"item": 1}, {"item": 0}])))
    assert found(n8n, "Filter") == [8, 7]
    assert value(n8n, '_node("Split").item.json.n') == 4
    fails(n8n, "item 0 of the node 'Filter' doesn't tell .* Its data is pinned: unpin it", '_node("Split").item(1)')


def test_a_pinned_node_that_did_not_run(n8n: ScriptedN8n) -> None:
    """Where one node is run by hand, a pinned node before it stands for its pinned data, and nothing before that."""
    n8n.mode = "manual"
    n8n.pins["Choice"] = numbered([7, 8], [{"item": 1}, {"item": 0}])
    n8n.feed(source("Choice"))
    assert found(n8n, "Choice") == [7, 8]
    fails(n8n, "the items go back to 'Choice', where they begin. Its data is pinned: unpin it")
    n8n.feed(n8n.ran("Sort", source("Choice"), numbered([8, 7], [{"item": 1}, {"item": 0}])))
    assert found(n8n, "Choice") == [8, 7]
    assert value(n8n, '[one.json.n for one in _node("Choice").all()]') == [7, 8]
    assert value(n8n, '(_node("Choice").last().json.n, _node("Choice").is_executed)') == (8, False)


def test_pinned_data_does_not_count_in_production(n8n: ScriptedN8n) -> None:
    """Nobody's pinned data is taken for what a node put out in a production execution."""
    n8n.pins["Choice"] = kept(0, 1)
    n8n.feed(source("Choice"))
    fails(n8n, "the node 'Choice' has not run in this execution", '_node("Choice").item.json')
    fails(n8n, "the node 'Choice' has not run in this execution", '_node("Choice").all()')
    fails(n8n, "n8n has no data of the node 'Choice'")


def test_sub_workflows(n8n: ScriptedN8n) -> None:
    """The caller sees the pairs that n8n gave the sub-workflow's items; in it the way ends at its trigger."""
    filtered = n8n.ran("Filter", source("Split"), kept(1, 2))
    n8n.feed(n8n.ran("Sub-workflow", filtered, numbered([0, 0], [{"item": 1}, {"item": 0}])))
    assert found(n8n) == [2, 1]
    # The trigger's items keep what the caller's were paired with
    n8n.runs = {"Start": [], "Sort": []}
    start = n8n.ran("Start", [], kept(4, 5))
    n8n.feed(n8n.ran("Sort", start, numbered([5, 4], [{"item": 1}, {"item": 0}])))
    assert found(n8n, "Start") == [5, 4]
    n8n.runs["Outside"] = []
    fails(n8n, "the node 'Outside' has not run in this execution", '_node("Outside").item.json')


def test_missing_data_of_the_previous_node(n8n: ScriptedN8n) -> None:
    """Without the previous node's output there is no way back, however much is known of the others."""
    n8n.feed(n8n.ran("Filter", source("Split"), kept(3, 4)))
    n8n.runs["Filter"][0]["data"]["main"][0].pop()
    assert value(n8n, '_node("Split").item.json.n') == 3
    fails(n8n, "'Filter' has no item 1", '_node("Split").item(1)')
    n8n.runs["Filter"][0]["data"]["main"] = [None]
    fails(n8n, "'Filter' put nothing out at output 0")
    del n8n.runs["Filter"][0]["data"]
    fails(n8n, "'Filter' put nothing out at output 0")
    n8n.runs["Filter"] = []
    fails(n8n, "n8n has no data of the node 'Filter'")
    fails(n8n, "the node 'Filter' has not run", '_node("Filter").item.json')


def test_a_pair_that_names_no_item(n8n: ScriptedN8n) -> None:
    """A pair without the number of an item leads nowhere, and the error says whose items it is about."""
    filtered = n8n.ran("Filter", source("Split"), kept(3, 4))
    n8n.feed(n8n.ran("Code", filtered, [item({}, {"input": 0}), item({}, {"item": -1})]))
    for index in range(2):
        fails(n8n, "made from an item of 'Filter', but not from which", f'_node("Split").item({index})')


def test_a_node_of_another_branch(n8n: ScriptedN8n) -> None:
    """A node that ran but that the item didn't come through is not found, nor is one that hasn't run."""
    n8n.ran("Other", source("Split"), kept(0, 1))
    n8n.feed(n8n.ran("Filter", source("Split"), kept(3, 4)))
    fails(n8n, "the items go back to 'Webhook', where they begin", '_node("Other").item.json')
    fails(n8n, "the node 'Unrun' has not run in this execution", '_node("Unrun").item.json')
    fails(n8n, "no node 'Nope'", '_node("Nope").item.json')


# ---- the current node's own items -----------------------------------------------------


def test_items_that_user_code_moved(n8n: ScriptedN8n) -> None:
    """Where user code sorts or shortens its items, `.item(i)` is that of the item which is at that place now."""
    n8n.feed(n8n.ran("Filter", source("Split"), kept(3, 4, 5)))
    names = supply(n8n, "_node")(None)
    n8n.inputs.reverse()
    del n8n.inputs[0]
    node = names["_node"]("Split")  # type: ignore[operator]
    assert [node.item(i).json.n for i in range(2)] == [4, 3]


def test_an_item_that_user_code_made(n8n: ScriptedN8n) -> None:
    """An item without n8n's pair goes nowhere; the others can still be asked by their index."""
    n8n.feed(n8n.ran("Filter", source("Split"), kept(3, 4)))
    n8n.inputs[0] = {"json": {}}
    fails(n8n, "input item 0 has lost the pairedItem that n8n gave it")
    assert value(n8n, '_node("Split").item(1).json.n') == 4
    fails(n8n, "there is no input item 9: this node got 2", '_node("Split").item(9)')
    fails(n8n, "there is no input item -1", '_node("Split").item(-1)')


def test_a_source_of_the_input_items_own(n8n: ScriptedN8n) -> None:
    """Input items of a tool bring a source with them; one that names an input without a source belongs to the first."""
    n8n.feed(n8n.ran("Filter", source("Split"), kept(3, 4)))
    n8n.inputs[0]["pairedItem"]["sourceOverwrite"] = source("Split")
    n8n.inputs[1]["pairedItem"]["input"] = 1
    assert found(n8n) == [0, 4]
    n8n.sources.append(None)
    assert found(n8n) == [0, 4]


def test_a_source_of_its_own_where_there_is_no_other(n8n: ScriptedN8n) -> None:
    """A pair's own source leads on from a node, and from this one, whose input has no source."""
    overwritten = {"item": 4, "sourceOverwrite": source("Split")}
    n8n.feed(n8n.ran("Code", [None], [item({}, 0), item({}, overwritten)]))
    assert value(n8n, '_node("Split").item(1).json.n') == 4
    fails(n8n, "the items go back to 'Code', where they begin")
    for n8n.sources in ([None], []):
        n8n.inputs = [item({}, overwritten)]
        assert found(n8n) == [4]
    n8n.feed(n8n.ran("Trigger", [], [item({}, overwritten)]))
    fails(n8n, "the items go back to 'Trigger', where they begin")


def test_no_input_items(n8n: ScriptedN8n) -> None:
    """A node that got no items takes what another put out at the same place, or has pinned there."""
    n8n.ran("If", source("Split"), kept(0, 1), kept(4, 5))
    n8n.connections = {"If": {"main": [[], [{"node": "Python", "type": "main", "index": 0}]]}}
    n8n.inputs, n8n.sources = [], []
    assert value(n8n, '(_node("If").item.json.n, _node("If").item(1).json.n)') == (4, 5)
    fails(n8n, "this node got no items, and 'If' put out 2: there is no item 2", '_node("If").item(2)')
    fails(n8n, "no way leads from there to this node")
    n8n.mode, n8n.pins["If"] = "manual", numbered([7], [0])
    assert value(n8n, '_node("If").item.json.n') == 7


def test_items_that_user_code_took_away(n8n: ScriptedN8n) -> None:
    """A list of input items that the code has emptied isn't taken for a node that got none."""
    n8n.feed(n8n.ran("Filter", source("Split"), kept(3)))
    n8n.connections = {"Split": {"main": [[{"node": "Python", "type": "main", "index": 0}]]}}
    names = supply(n8n, "_node")(None)
    n8n.inputs.clear()
    with pytest.raises(HelperError, match="there is no input item 0: this node got 0"):
        names["_node"]("Split").item(0)  # type: ignore[operator]


def test_no_source(n8n: ScriptedN8n) -> None:
    """A node whose input comes from nowhere has no way back."""
    n8n.inputs, n8n.sources = arrive(kept(1)), [None]
    fails(n8n, "this node's input has no source")
    n8n.sources = []
    fails(n8n, "this node's input has no source")
    n8n.sources = [None, source("Split")]
    fails(n8n, "this node's input 0 has no source")


def test_nothing_is_looked_at_twice(n8n: ScriptedN8n, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of an item's way serves all items of the task that go there."""
    looks: list[str] = []
    back = Pairs._back
    monkeypatch.setattr(
        Pairs, "_back", lambda self, target, place: looks.append(place.node) or back(self, target, place)
    )
    whole = n8n.ran("Aggregate", source("Split"), [item({}, list(range(6)))])
    n8n.feed(n8n.ran("Split Out", whole, [item({}, 0) for _ in range(50)]))
    value(n8n, '[_node("Webhook").item(i) for i in range(50)]')
    assert {name: looks.count(name) for name in looks} == {"Split Out": 50, "Aggregate": 1, "Split": 6, "Webhook": 1}


def test_only_the_way_is_fetched(n8n: ScriptedN8n) -> None:
    """Following a way asks for the nodes on it, each once, and for no others."""
    n8n.ran("Other", source("Split"), kept(0))
    n8n.feed(n8n.ran("Filter", source("Split"), kept(3, 4)))
    n8n.asked.clear()
    value(n8n, '[_node("Split").item(i) for i in (0, 1, 1)]')
    assert [request["dataOfNodes"] for _, request in n8n.asked] == [["Split"], ["Filter"]]
