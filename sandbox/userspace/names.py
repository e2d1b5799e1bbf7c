"""The names that call back into n8n, for one task.

A task pays only for what its code names: :func:`mentioned` looks at the compiled code once, and a
task that names nothing of ours gets nothing. What is named becomes an object that asks n8n
when it is used. Three names are plain values, which nothing can compute later than the start of
the code (``_now``, ``_today``, ``_run_index``): naming one of them in the code counts as touching it.
"""

from __future__ import annotations

import datetime
import importlib
import os
import zoneinfo
from collections.abc import Callable
from types import CodeType
from typing import Any

from reptarium.sandbox.language.hardening import trusted
from reptarium.sandbox.userspace.calls import Ask, CallChannel, HelperError, make_ask
from reptarium.sandbox.userspace.helpers import Helpers, HttpRequestError
from reptarium.sandbox.userspace.nodes import Cursor, ExecutionView, Input, Nodes, PreviousNode, WorkflowView
from reptarium.sandbox.userspace.taskdata import Saved, TaskData
from reptarium.sandbox.userspace.views import LazyView

#: What user code may name. The second spelling is that of n8n's old Pyodide node.
NAMES = frozenset(
    {
        "_helpers",
        "HttpRequestError",
        "HelperError",
        "_node",
        "_",
        "_input",
        "_json",
        "_binary",
        "_prev_node",
        "_prevNode",
        "_workflow",
        "_execution",
        "_vars",
        "_env",
        "_now",
        "_today",
        "_item_index",
        "_itemIndex",
        "_run_index",
        "_runIndex",
        "_jmespath",
        "_getWorkflowStaticData",
    }
)
#: Values, not objects: made anew for each item.
_CURRENT = frozenset({"_json", "_binary", "_item_index", "_itemIndex"})
_EAGER = frozenset({"_now", "_today", "_run_index", "_runIndex"})

MISSING_VARIABLE = "there is no variable '{}' in n8n"
MISSING_ENVIRONMENT = (
    "there is no environment variable '{}' here: n8n releases its environment only with "
    "N8N_BLOCK_ENV_ACCESS_IN_NODE=false, and secrets are withheld always"
)


def mentioned(code: CodeType) -> frozenset[str]:
    """Which of our names the compiled code has as globals (or attributes), in any of its functions."""
    found = NAMES.intersection(code.co_names)
    for constant in code.co_consts:
        if type(constant) is CodeType:
            found |= mentioned(constant)
    return found


class Supply:
    """The names of one task: called once, or for each item, and asked for what is to be saved."""

    def __init__(self, ask: Ask, wanted: frozenset[str], items: list[Any]) -> None:
        self._cursor = Cursor(items)
        self._data = TaskData(ask)
        self._saved = Saved(self._data)
        if wanted & {"_input", "_json", "_binary"}:
            self._cursor.views()  # `_items` and `_input` are the same items
        makers: dict[str, Callable[[], object]] = {
            "_helpers": lambda: Helpers(ask),
            "HttpRequestError": lambda: HttpRequestError,
            "HelperError": lambda: HelperError,
            "_node": lambda: Nodes(self._cursor, self._data),
            "_": lambda: Nodes(self._cursor, self._data),
            "_input": lambda: Input(self._cursor, self._data),
            "_prev_node": lambda: PreviousNode(self._data),
            "_prevNode": lambda: PreviousNode(self._data),
            "_workflow": lambda: WorkflowView(self._data, self._saved),
            "_execution": lambda: ExecutionView(self._data, self._saved),
            "_vars": lambda: LazyView(self._data.variables, MISSING_VARIABLE),
            "_env": lambda: LazyView(self._data.environment, MISSING_ENVIRONMENT),
            "_jmespath": _jmespath,
            "_getWorkflowStaticData": self._static_data,
        }
        self._fixed = {name: maker() for name, maker in makers.items() if name in wanted}
        self._current = wanted & _CURRENT
        self._eager = wanted & _EAGER

    def __call__(self, index: int | None) -> dict[str, object]:
        """The names; ``index`` is the current item's, None where the code runs once for all items."""
        self._cursor.index = index
        names = self._fixed
        if self._current or self._eager:
            names = dict(names)
            for name in self._current:
                names[name] = self._value(name, index or 0)
            for name in self._eager:
                names[name] = self._moment(name)
        return names

    def _value(self, name: str, index: int) -> object:
        if name in ("_item_index", "_itemIndex"):
            return index
        if index >= len(self._cursor.items):
            return None
        return self._cursor.view(index).get(name[1:])

    def _moment(self, name: str) -> object:
        if name in ("_run_index", "_runIndex"):
            return self._data.general.run_index
        now = datetime.datetime.now(self._zone())
        return now if name == "_now" else now.replace(hour=0, minute=0, second=0, microsecond=0)

    def _zone(self) -> datetime.tzinfo:
        """The workflow's time zone; the runner's own (TZ) where the workflow doesn't set one."""
        name = (self._data.general.workflow.settings or {}).get("timezone")
        if not isinstance(name, str) or name == "DEFAULT":
            name = os.environ.get("TZ") or "UTC"
        try:
            return zoneinfo.ZoneInfo(name)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            return datetime.UTC

    def _static_data(self) -> Callable[[str], Any]:
        view = WorkflowView(self._data, self._saved)

        def getWorkflowStaticData(kind: str = "global") -> Any:
            """n8n's older way to the static data: kind is ``global`` or ``node``."""
            if kind not in ("global", "node"):
                raise ValueError("the kind of static data is 'global' or 'node'")
            return view.static_data if kind == "global" else view.node_static_data

        return getWorkflowStaticData

    def outcome(self) -> tuple[bytes, bytes]:
        """(custom data, static data) to save, as raw JSON; empty where nothing has changed."""
        return self._saved.outcome()


class CallNames:
    """Makes a :class:`Supply` for a task, and only for one that names something of ours."""

    def __init__(self, channel: CallChannel, max_bytes: int) -> None:
        self._channel = channel
        self._max_bytes = max_bytes

    def __call__(self, code: CodeType, items: list[Any]) -> Supply | None:
        """The task's supply, or None when its code names nothing of ours."""
        wanted = mentioned(code)
        if not wanted:
            return None
        return Supply(make_ask(self._channel, self._max_bytes), wanted, items)


def _jmespath() -> Callable[..., Any]:
    def search(data: Any, expression: str) -> Any:
        """What a JMESPath expression selects from data."""
        try:
            with trusted():
                jmespath = importlib.import_module("jmespath")
        except ImportError:
            raise ImportError("jmespath is not installed beside the runner; ask the admin to install it") from None
        return jmespath.search(expression, data)

    return search
