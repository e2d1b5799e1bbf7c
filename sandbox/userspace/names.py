"""The names that call back into n8n, for one task.

A task pays only for what its code names: :func:`mentioned` looks at the compiled code once, and a
task that names nothing of ours gets nothing. What is named becomes an object that asks n8n
when it is used. Three names are plain values (``_now``, ``_today``, ``_run_index``): reading one of them anywhere
in the code counts as touching it when the code starts, unless the code binds the name itself: then n8n is asked when
the name is read unbound, which costs speed (see ``Late``).
"""

from __future__ import annotations

import datetime
import functools
import importlib
import opcode
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from reptarium.sandbox.language import Late
from reptarium.sandbox.language.hardening import trusted
from reptarium.sandbox.userspace.calls import Ask, CallChannel, HelperError, make_ask
from reptarium.sandbox.userspace.helpers import Helpers, HttpRequestError
from reptarium.sandbox.userspace.json_form import Raw
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
#: Values, not objects that ask when they are used: made anew for each item.
_VALUES = frozenset({"_json", "_binary", "_item_index", "_itemIndex", "_now", "_today", "_run_index", "_runIndex"})
#: What costs something when it is supplied, not when it is used.
_MADE_AT_ONCE = _VALUES | {"_input"}
_NONE: frozenset[str] = frozenset()

MISSING_VARIABLE = "there is no variable '{}' in n8n"
MISSING_ENVIRONMENT = (
    "there is no environment variable '{}' here: n8n releases its environment only with "
    "N8N_BLOCK_ENV_ACCESS_IN_NODE=false, and secrets are withheld always"
)


#: Instructions that read a global: opcode → how far the name's number is shifted. LOAD_NAME is that of class bodies,
#: LOAD_FROM_DICT_OR_GLOBALS (3.12) that of annotations and type parameters in them.
_READS = {
    opcode.opmap[name]: shift
    for name, shift in (("LOAD_GLOBAL", 1), ("LOAD_NAME", 0), ("LOAD_FROM_DICT_OR_GLOBALS", 0))
    if name in opcode.opmap
}
_BINDS = {opcode.opmap[name]: 0 for name in ("STORE_GLOBAL", "STORE_NAME", "DELETE_GLOBAL", "DELETE_NAME")}
#: With these plain Python binds globals by their text.
_BY_TEXT = frozenset({"exec", "globals"})
_EXTENDED_ARG = opcode.opmap["EXTENDED_ARG"]


def mentioned(code: CodeType) -> frozenset[str]:
    """Which of our names the compiled code reads as globals, in any of its functions.

    The compiler has resolved the scopes: a name that is a function's own, or an attribute's, is not read as a global.
    """
    return _globals(code, _READS)


def rebound(code: CodeType) -> frozenset[str]:
    """Which of our names the compiled code binds or deletes as globals (or a class body's), in any of its functions.

    All of them, where it may do so by their text.
    """
    return NAMES if _binds_by_text(code) else _globals(code, _BINDS)


def _binds_by_text(code: CodeType) -> bool:
    if not _BY_TEXT.isdisjoint(code.co_names):
        return True
    return any(_binds_by_text(constant) for constant in code.co_consts if type(constant) is CodeType)


def _globals(code: CodeType, operations: dict[int, int]) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    names = code.co_names
    if not NAMES.isdisjoint(names):
        instructions = code.co_code  # pairs of opcode and argument; inline caches are zeros
        codes, arguments = instructions[::2], instructions[1::2]
        numbers = [
            _argument(codes, arguments, place) >> shift
            for operation, shift in operations.items()
            for place in _places(codes, operation)
        ]
        found = NAMES.intersection([names[number] for number in numbers])
    for constant in code.co_consts:
        if type(constant) is CodeType:
            found |= _globals(constant, operations)
    return found


def _places(codes: bytes, operation: int) -> Iterator[int]:
    place = codes.find(operation)
    while place >= 0:
        yield place
        place = codes.find(operation, place + 1)


def _argument(codes: bytes, arguments: bytes, place: int) -> int:
    """The argument of the instruction there, with the higher bytes that stand before it."""
    argument, shift = arguments[place], 8
    while place and codes[place - 1] == _EXTENDED_ARG:
        place -= 1
        argument |= arguments[place] << shift
        shift += 8
    return argument


class Supply:
    """The names of one task: called once, or for each item, and asked for what is to be saved.

    ``wanted`` are those that the program reads, ``own`` those that it (also) binds itself.
    """

    def __init__(self, ask: Ask, wanted: frozenset[str], own: frozenset[str], items: list[Any]) -> None:
        self._cursor = Cursor(items)
        self._data = TaskData(ask)
        self._saved = Saved(self._data)
        if (wanted - own) & {"_input", "_json", "_binary"}:
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
            "_vars": lambda: LazyView(lambda: self._data.variables(), MISSING_VARIABLE),
            "_env": lambda: LazyView(lambda: self._data.environment(), MISSING_ENVIRONMENT),
            "_jmespath": _jmespath,
            "_getWorkflowStaticData": self._static_data,
        }
        self._fixed = {name: maker() for name, maker in makers.items() if name in wanted}
        self._values = wanted & _VALUES
        self._own = own

    def __call__(self, index: int | None) -> dict[str, object]:
        """The names; ``index`` is the current item's, None where the code runs once for all items."""
        self._cursor.index = index
        names = self._fixed
        if self._values:
            names = dict(names)
            for name in self._values:
                make = functools.partial(self._value, name, index or 0)
                # what the program binds itself it may never read before that: only then is it ours
                names[name] = Late(make) if name in self._own else make()
        return names

    def _value(self, name: str, index: int) -> object:
        if name in ("_item_index", "_itemIndex"):
            return index
        if name in ("_json", "_binary"):
            return self._cursor.view(index).get(name[1:]) if index < len(self._cursor.items) else None
        try:
            return self._moment(name)
        except HelperError as error:
            raise HelperError(f"{name} has no value: {error}") from None

    def _moment(self, name: str) -> object:
        if name in ("_run_index", "_runIndex"):
            return self._data.general.run_index
        now = datetime.datetime.now(self._data.zone())
        return now if name == "_now" else now.replace(hour=0, minute=0, second=0, microsecond=0)

    def _static_data(self) -> Callable[[str], Any]:
        view = WorkflowView(self._data, self._saved)

        def getWorkflowStaticData(kind: str = "global") -> Any:
            """n8n's older way to the static data: kind is ``global`` or ``node``."""
            if kind not in ("global", "node"):
                raise ValueError("the kind of static data is 'global' or 'node'")
            return view.static_data if kind == "global" else view.node_static_data

        return getWorkflowStaticData

    def outcome(self) -> tuple[Raw, Raw]:
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
        own = _NONE if wanted.isdisjoint(_MADE_AT_ONCE) else rebound(code)
        return Supply(make_ask(self._channel, self._max_bytes), wanted, own, items)


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
