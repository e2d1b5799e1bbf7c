"""``_input``, ``_node``, ``_workflow``, ``_execution``: the running execution as user code sees it.

Single-underscore attributes of these objects hold closures that can do no more than the public
methods: neither the channel nor the task's own bookkeeping can be reached from here.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from reptarium.sandbox.userspace.calls import HelperError
from reptarium.sandbox.userspace.pairs import Pairs
from reptarium.sandbox.userspace.taskdata import Saved, TaskData
from reptarium.sandbox.userspace.views import PairedItem, Unpaired, View

#: n8n's own limits of the execution's custom data.
MAX_CUSTOM_KEY, MAX_CUSTOM_VALUE, MAX_CUSTOM_ENTRIES = 50, 512, 10


class Cursor:
    """Which items came in, and which of them is the current one (None: all at once)."""

    __slots__ = ("_views", "index", "items")

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.index: int | None = None
        self._views: list[View] | None = None

    def view(self, index: int) -> View:
        """The item ``index`` as a view, which takes its place in the list."""
        item = self.items[index]
        if not isinstance(item, View):
            item = self.items[index] = View(item if isinstance(item, dict) else {"json": item})
        return item

    def views(self) -> list[View]:
        """All items as views: one list, however often it is asked for."""
        if self._views is None:
            self._views = [self.view(index) for index in range(len(self.items))]
        return self._views


class Input:
    """``_input``: what came into this node."""

    __slots__ = ("_all", "_current", "_parameters")

    def __init__(self, cursor: Cursor, data: TaskData) -> None:
        def current() -> View:
            index = cursor.index or 0
            if index >= len(cursor.items):
                raise HelperError("this node got no items")
            return cursor.view(index)

        def parameters() -> View:
            source = data.source()
            if source is None:
                raise HelperError("this node's input comes from no node")
            return View(data.node(source.previous_node).parameters)

        self._all: Callable[[], list[View]] = lambda: cursor.views()
        self._current = current
        self._parameters = parameters

    def all(self) -> list[View]:
        """Every item."""
        return self._all()

    def first(self) -> View:
        """The first item."""
        return self._pick(0)

    def last(self) -> View:
        """The last item."""
        return self._pick(-1)

    def _pick(self, index: int) -> View:
        items = self._all()
        if not items:
            raise HelperError("this node got no items")
        return items[index]

    @property
    def item(self) -> View:
        """The current item; the first where the code runs once for all items."""
        return self._current()

    @property
    def params(self) -> View:
        """The parameters of the node that the input comes from."""
        return self._parameters()

    def __len__(self) -> int:
        return len(self._all())


class Node:
    """``_node("Name")``: another node of the workflow, and what it put out."""

    __slots__ = ("_current", "_find", "_items", "_parameters", "_runs", "name")

    def __init__(self, name: str, cursor: Cursor, data: TaskData, pairs: Pairs) -> None:
        known: dict[tuple[int, int], list[View]] = {}

        def items(output: int | None, run: int) -> list[View]:
            if output is None:
                output = data.output(name)
            if (output, run) not in known:
                known[output, run] = [View(item) for item in data.items(name, output, run)]
            return known[output, run]

        def find(index: int) -> View:
            return View(pairs.find(name, cursor.items, index))

        def runs() -> int:
            data.node(name)
            return len(data.runs(name))

        self.name = name
        self._items = items
        self._find = find
        self._runs = runs
        self._parameters: Callable[[], View] = lambda: View(data.node(name).parameters)
        self._current: Callable[[], int] = lambda: cursor.index or 0

    def all(self, output: int | None = None, run: int = -1) -> list[View]:
        """Every item of an output (from 0; None: that which leads here) of a run (from 0; -1 is the last)."""
        return self._items(output, run)

    def first(self, output: int | None = None, run: int = -1) -> View:
        """The first item."""
        return self._pick(0, output, run)

    def last(self, output: int | None = None, run: int = -1) -> View:
        """The last item."""
        return self._pick(-1, output, run)

    def _pick(self, index: int, output: int | None, run: int) -> View:
        items = self._items(output, run)
        if not items:
            where = "the output that leads here" if output is None else f"output {output}"
            raise HelperError(f"the node '{self.name}' put out no items at {where}")
        return items[index]

    @property
    def item(self) -> PairedItem | Unpaired:
        """The item that the current one goes back to; ``.item(i)``: the same for input item ``i``."""
        try:
            return PairedItem(self._find(self._current()), self._find)
        except HelperError as error:
            return Unpaired(error, self._find)

    def item_matching(self, index: int) -> View:
        """The same as ``.item(index)``."""
        return self._find(index)

    itemMatching = item_matching

    @property
    def json(self) -> Any:
        """The JSON of the item at the current item's place (the old ``_node["Name"].json``)."""
        return self._same_place().get("json")

    @property
    def binary(self) -> Any:
        """The binary part of the item at the current item's place."""
        return self._same_place().get("binary")

    def _same_place(self) -> View:
        items, index = self._items(None, -1), self._current()
        if index >= len(items):
            raise HelperError(f"the node '{self.name}' put out {len(items)} item(s); there is no item {index}")
        return items[index]

    @property
    def params(self) -> View:
        """Its parameters as they were typed: expressions are not evaluated."""
        return self._parameters()

    parameter = params

    @property
    def is_executed(self) -> bool:
        """Whether it has run in this execution."""
        return self._runs() > 0

    isExecuted = is_executed

    def __repr__(self) -> str:
        return f"<node {self.name!r}>"


class Nodes:
    """``_node`` and ``_``: ``_node("Name")`` or ``_node["Name"]``."""

    __slots__ = ("_open",)

    def __init__(self, cursor: Cursor, data: TaskData) -> None:
        pairs = Pairs(data, not cursor.items)

        def open_node(name: str) -> Node:
            if not isinstance(name, str):
                raise TypeError(f"a node's name is a string, not {type(name).__name__}")
            return Node(name, cursor, data, pairs)

        self._open = open_node

    def __call__(self, name: str) -> Node:
        return self._open(name)

    def __getitem__(self, name: str) -> Node:
        return self._open(name)


class PreviousNode:
    """``_prev_node``: where the current items came from."""

    __slots__ = ("_source",)

    def __init__(self, data: TaskData) -> None:
        def source() -> tuple[str | None, int, int]:
            found = data.source()
            if found is None:
                return None, 0, 0
            return found.previous_node, found.previous_node_output or 0, found.previous_node_run or 0

        self._source = source

    @property
    def name(self) -> str | None:
        """The node's name; None where nothing comes before this node."""
        return self._source()[0]

    @property
    def output_index(self) -> int:
        """Which of its outputs the items came from."""
        return self._source()[1]

    @property
    def run_index(self) -> int:
        """Which of its runs the items came from."""
        return self._source()[2]

    outputIndex, runIndex = output_index, run_index


class WorkflowView:
    """``_workflow``: the workflow that runs."""

    __slots__ = ("_general", "_replace", "_static")

    def __init__(self, data: TaskData, saved: Saved) -> None:
        self._general: Callable[[], tuple[str | None, str | None, bool]] = lambda: (
            data.general.workflow.id,
            data.general.workflow.name,
            bool(data.general.workflow.active),
        )

        def key(own: bool) -> str:
            return f"node:{data.general.active_node_name}" if own else "global"

        def static(own: bool) -> View:
            kept = saved.static(key(own))
            if type(kept) is not View:
                kept = View(kept)
                saved.replace(key(own), kept)
            return kept

        def replace(own: bool, value: dict[str, Any]) -> None:
            if not isinstance(value, dict):
                raise TypeError(f"static data is a dict, not {type(value).__name__}")
            saved.replace(key(own), value)

        self._static = static
        self._replace = replace

    @property
    def id(self) -> str | None:
        """Its id."""
        return self._general()[0]

    @property
    def name(self) -> str | None:
        """Its name."""
        return self._general()[1]

    @property
    def active(self) -> bool:
        """Whether it is published."""
        return self._general()[2]

    @property
    def static_data(self) -> View:
        """Kept by n8n between production executions; saved when changed and the task ends well."""
        return self._static(False)

    @static_data.setter
    def static_data(self, value: dict[str, Any]) -> None:
        self._replace(False, value)

    @property
    def node_static_data(self) -> View:
        """The same for this node alone."""
        return self._static(True)

    @node_static_data.setter
    def node_static_data(self, value: dict[str, Any]) -> None:
        self._replace(True, value)


class CustomData:
    """``_execution.custom_data``: short texts that n8n saves with the execution, for finding it again."""

    __slots__ = ("_read", "_set")

    def __init__(self, saved: Saved) -> None:
        def set_entry(key: Any, value: object) -> None:
            if not isinstance(key, str) or not key or not key.replace("_", "a").isalnum() or not key.isascii():
                raise ValueError("the key of custom data is letters, digits and underscores")
            if len(key) > MAX_CUSTOM_KEY:
                raise ValueError(f"the key of custom data has at most {MAX_CUSTOM_KEY} characters, not {len(key)}")
            if not isinstance(value, str | int | float):
                raise ValueError(f"custom data is text or a number, not {type(value).__name__}")
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if len(text) > MAX_CUSTOM_VALUE:
                raise ValueError(f"custom data has at most {MAX_CUSTOM_VALUE} characters, not {len(text)}")
            present = saved.custom()
            if key not in present and len(present) >= MAX_CUSTOM_ENTRIES:
                raise ValueError(f"an execution has at most {MAX_CUSTOM_ENTRIES} entries of custom data")
            saved.set_custom(key, text)

        self._read: Callable[[], dict[str, str]] = lambda: dict(saved.custom())
        self._set = set_entry

    def set(self, key: Any, value: object) -> None:
        """Set one entry. Raises ValueError for what n8n would cut or refuse."""
        self._set(key, value)

    def set_all(self, values: dict[str, object]) -> None:
        """Set several entries."""
        for key, value in values.items():
            self.set(key, value)

    def get(self, key: str) -> str | None:
        """One entry; None where there is none."""
        return self._read().get(key)

    def get_all(self) -> dict[str, str]:
        """All entries."""
        return self._read()

    setAll, getAll = set_all, get_all


class ExecutionView:
    """``_execution``: the execution that runs."""

    __slots__ = ("_deadline", "_general", "custom_data")

    def __init__(self, data: TaskData, saved: Saved) -> None:
        self._deadline: Callable[[], datetime.datetime | None] = lambda: data.deadline()
        self._general: Callable[[], tuple[str | None, str]] = lambda: (
            data.general.additional_data.execution_id,
            data.general.mode,
        )
        self.custom_data = CustomData(saved)

    @property
    def id(self) -> str | None:
        """Its id."""
        return self._general()[0]

    @property
    def mode(self) -> str:
        """``test`` when somebody runs the workflow in the editor, ``production`` otherwise."""
        return "test" if self._general()[1] == "manual" else "production"

    @property
    def deadline(self) -> datetime.datetime | None:
        """When n8n ends the execution, in the workflow's time zone; None where it has no time limit."""
        return self._deadline()

    @property
    def customData(self) -> CustomData:
        """n8n's own name for :attr:`custom_data`."""
        return self.custom_data
