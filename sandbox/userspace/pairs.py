"""Which item of an earlier node an item goes back to: ``_node("X").item``.

n8n links items by number. An item that a node *put out* names in ``pairedItem`` the input item that it was made
from, or several: ``{"item": 3, "input": 1}``; a run of a node names where each of its inputs came from (node,
output, run). What a node *got* is marked otherwise: n8n writes the ``pairedItem`` of input items anew before each
node, and there it is the item's place in the previous node's output. The way back therefore starts at that output
item, whose own ``pairedItem`` leads on.

Facts of n8n 2.40.5, against which ``tests/e2e/pairs.py`` holds this: an item made of several goes back to the one
item that those of them lead to which lead anywhere, and is ambiguous where they lead to different ones; a pair may
bring a source of its own (``sourceOverwrite``: the Loop node's items, from its second run on); in an execution
started by hand a node without a run stands for its pinned data, and nothing comes before that; a node that got no
items at all takes what stands at the same place in the other node's pinned data, or else in what it put out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from reptarium.sandbox.userspace.calls import HelperError
from reptarium.sandbox.userspace.taskdata import Source, TaskData


class _Pair(NamedTuple):
    """What an item says it was made from. ``number`` is None where that is no number."""

    number: int | None
    entry: int
    source: Source | None


class _Place(NamedTuple):
    """An item by where it was put out."""

    node: str
    output: int
    run: int
    number: int | None


class _Nowhere(NamedTuple):
    """Why a place leads to no item."""

    why: str


#: Where a place leads to: an item of the node that is looked for; None: to one that isn't there.
_End = dict[str, Any] | _Nowhere | None


class Pairs:
    """The ways back through one execution. What has been found is kept: runs that have been don't change.

    ``no_items``: whether the node got none (the code may have emptied its list since).
    """

    def __init__(self, data: TaskData, no_items: bool) -> None:
        self._data = data
        self._no_items = no_items
        self._known: dict[str, dict[_Place, _End]] = {}

    def find(self, target: str, inputs: list[Any], index: int) -> dict[str, Any]:
        """The item of the node ``target`` that input item ``index`` goes back to.

        Raises :class:`HelperError` where there is none, or more than one.
        """
        data = self._data
        has_run = bool(data.runs(target))
        data.node(target)  # a misspelt name has an error of its own
        if target == data.general.active_node_name:
            raise HelperError(f"no item of '{target}' can be found: it is this node itself")
        if not has_run and data.pinned(target) is None:
            raise HelperError(f"the node '{target}' has not run in this execution (see .is_executed)")
        if self._no_items:
            return self._at_the_same_place(target, index)
        if not 0 <= index < len(inputs):
            raise HelperError(f"there is no input item {index}: this node got {len(inputs)}")
        sources, pairs = data.sources(), _pairs(inputs[index])
        if not any(sources) and not any(pair.source for pair in pairs):
            raise HelperError(f"no item of '{target}' can be found: this node's input has no source")
        if not pairs:
            raise HelperError(
                f"no item of '{target}' can be found: input item {index} has lost the pairedItem that n8n gave it"
            )
        ends: list[_End] = []
        for pair in pairs:
            entry = pair.entry if 0 <= pair.entry < len(sources) and sources[pair.entry] else 0
            source = pair.source or (sources[entry] if sources else None)
            nowhere = _Nowhere(f"no item of '{target}' can be found: this node's input {entry} has no source")
            ends.append(nowhere if source is None else self._walk(target, _place(source, pair.number)))
        end = _settle(target, ends, f"input item {index}")
        if end is None:
            raise HelperError(f"no item of '{target}' can be found: the way back leads to none that it put out")
        if isinstance(end, _Nowhere):
            raise HelperError(end.why)
        return end

    def _at_the_same_place(self, target: str, index: int) -> dict[str, Any]:
        data = self._data
        if not data.leads_here(target):
            raise HelperError(f"no item of '{target}' can be found: no way leads from there to this node")
        items = data.pinned(target)
        if items is None:
            items = data.items(target, data.output(target), -1)
        if not 0 <= index < len(items):
            raise HelperError(f"this node got no items, and '{target}' put out {len(items)}: there is no item {index}")
        return items[index]

    def _walk(self, target: str, start: _Place) -> _End:
        """Where ``start`` leads to. Without recursion: loops in workflows make long ways."""
        known = self._known.setdefault(target, {})
        open_: dict[_Place, list[_Place | _Nowhere]] = {}
        circle = _Nowhere(f"no item of '{target}' can be found: the items lead in a circle")
        todo = [start]
        while todo:
            place = todo[-1]
            if place in open_:  # all that it was made from has been walked, but for what leads back here
                ends = [known.get(one, circle) if isinstance(one, _Place) else one for one in open_.pop(place)]
                known[place] = _settle(target, ends, f"item {place.number} of the node '{place.node}'")
            elif place not in known:
                steps = self._back(target, place)
                if isinstance(steps, list):
                    open_[place] = steps
                    todo += [one for one in steps if isinstance(one, _Place) and one not in known and one not in open_]
                    continue
                known[place] = steps
            todo.pop()
        return known[start]

    def _back(self, target: str, place: _Place) -> _End | list[_Place | _Nowhere]:
        """Where ``place`` ends, or what its item was made from."""
        broken = f"no item of '{target}' can be found: "
        name, runs = place.node, self._data.runs(place.node)
        sources: list[Source | None] = []
        if 0 <= place.run < len(runs):
            run = runs[place.run]
            outputs, sources = [] if run.data is None else run.data.main, run.source or []
        elif (pinned := self._data.pinned(name)) is not None:
            outputs = [pinned]
        else:
            return _Nowhere(f"{broken}n8n has no data of the node '{name}'")
        items = outputs[place.output] if 0 <= place.output < len(outputs) else None
        if items is None:
            return _Nowhere(f"{broken}'{name}' put nothing out at output {place.output}")
        if place.number is not None and place.number >= len(items):
            return _Nowhere(f"{broken}'{name}' has no item {place.number}")
        item = None if place.number is None or place.number < 0 else items[place.number]
        if name == target:
            return item
        if item is None:
            return _Nowhere(f"{broken}an item says that it was made from an item of '{name}', but not from which")
        pinned_here = " Its data is pinned: unpin it to get a new run." if self._data.pinned(name) is not None else ""
        pairs = _pairs(item)
        if not any(sources) and not (sources and any(pair.source for pair in pairs)):
            return _Nowhere(f"{broken}the items go back to '{name}', where they begin.{pinned_here}")
        if not pairs:
            return _Nowhere(
                f"{broken}item {place.number} of the node '{name}' doesn't tell which of its input items it was made "
                f"from (pairedItem). Set it there, or use .first() or .all().{pinned_here}"
            )
        steps: list[_Place | _Nowhere] = []
        for pair in pairs:
            # A source of the pair's own counts only where the node has that input, as in n8n
            source = (pair.source or sources[pair.entry]) if 0 <= pair.entry < len(sources) else None
            if source is None:
                steps.append(_Nowhere(f"{broken}'{name}' has no input {pair.entry}"))
            else:
                steps.append(_place(source, pair.number))
        return steps


def _settle(target: str, ends: list[_End], whose: str) -> _End:
    """What several ends come to: those that lead nowhere don't count beside others."""
    found = [end for end in ends if not isinstance(end, _Nowhere)]
    if not found:
        return ends[0]
    if any(end is not found[0] for end in found):
        return _Nowhere(f"more than one item of '{target}' belongs to {whose}; use .first() or .all()")
    return found[0]


def _place(source: Source, number: int | None) -> _Place:
    return _Place(source.previous_node, source.previous_node_output or 0, source.previous_node_run or 0, number)


def _pairs(item: Any) -> list[_Pair]:
    """What an item names as its origins: a number, a pair, or a list of them; empty where it names none."""
    paired = item.get("pairedItem") if isinstance(item, dict) else None
    listed = paired if isinstance(paired, list) else [paired]
    if None in listed:  # for n8n such a list is as good as none
        return []
    found: list[_Pair] = []
    for one in listed:
        if not isinstance(one, dict):
            found.append(_Pair(one if type(one) is int else None, 0, None))  # a bool is none
            continue
        entry, source = one.get("input"), one.get("sourceOverwrite")
        number = _number(entry)
        found.append(
            _Pair(
                _number(one.get("item")),
                0 if entry is None else -1 if number is None else number,
                None if source is None else _source(source),
            )
        )
    return found


def _number(value: Any) -> int | None:
    """A number as a pair may spell it: n8n takes ``"1"`` for 1, since it is a key of an array in JavaScript."""
    if type(value) is str and len(value) < 16 and value.isdecimal() and str(int(value)) == value:
        return int(value)
    return value if type(value) is int else None


def _source(value: Any) -> Source:
    """A pair's own source. What is none names a node that doesn't exist."""
    try:
        return msgspec.convert(value, Source)
    except msgspec.ValidationError:
        return Source("")
