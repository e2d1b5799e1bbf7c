"""What a program reads of the names that a task has: ``_now.toISO``, ``_node["In"].first``, ``item.json`` of items.

A path is a name, with ``[]`` for whatever a subscript or a loop gives of it, ``()`` for what a call gives, and ``.x``
for an attribute. What is bound to a path once, and to nothing else, stands for it: of ``for item in _items`` the item
is ``_items[]``.
"""

from __future__ import annotations

import ast
import datetime
from collections.abc import Collection, Iterable, Mapping

import msgspec

from reptarium.sandbox.judge.messages import Read
from reptarium.sandbox.userspace.helpers import Helpers
from reptarium.sandbox.userspace.nodes import (
    CustomData,
    ExecutionView,
    Input,
    Node,
    Nodes,
    PreviousNode,
    WorkflowView,
)

_NODES = ("_node[]", "_node()", "_[]", "_()")
#: Path → the class of what is there.
_CLASSES: dict[str, type] = {
    **dict.fromkeys(("_now", "_today"), datetime.datetime),
    "_input": Input,
    **dict.fromkeys(("_items", "_input.all()", *(f"{node}.all()" for node in _NODES)), list),
    **dict.fromkeys(("_node", "_"), Nodes),
    **dict.fromkeys(_NODES, Node),
    **dict.fromkeys(("_prevNode", "_prev_node"), PreviousNode),
    "_workflow": WorkflowView,
    "_execution": ExecutionView,
    **dict.fromkeys(("_execution.customData", "_execution.custom_data"), CustomData),
    "_helpers": Helpers,
}
#: Those that are dicts, unless the program also reads one of the names that make views of its items.
_ITEMS = frozenset(("_items[]", "_items[][]", "_item", "_item[]"))
_MAKE_VIEWS = frozenset(("_input", "_json", "_binary"))

#: Hops of a path that are followed: what a task has is no deeper.
_DEEPEST = 8
_SHORT = 40
_LOOPS = (ast.For, ast.AsyncFor, ast.comprehension)


def reads(nodes: Iterable[tuple[ast.AST, bool, bool]], free: Collection[str]) -> list[Read]:
    """Attributes that a program reads of its ``free`` names, each path once. What stands in a ``try`` may fail, and is
    left out; so is what the program asks ``hasattr`` for.
    """
    if not free:
        return []
    every = [node for node, _, _ in nodes]
    bound = _bound(every, free)
    caught = guarded(every)
    called = {id(node.func) for node in every if isinstance(node, ast.Call)}
    asked = asked_for(every)
    found: dict[str, Read] = {}
    for node in every:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and id(node) not in caught:
            path = _path(node, bound, free)
            if path is not None and path not in found and node.attr not in asked:
                found[path] = Read(path, _shown(node.value), node.lineno, id(node) in called)
    return list(found.values())


def asked_for(nodes: Iterable[ast.AST]) -> set[object]:
    """Attributes that ``hasattr``, or ``getattr`` for want of which there is something else, is asked for."""
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    sizes = {"hasattr": 2, "getattr": 3}
    return {
        getattr(call.args[1], "value", None)
        for call in calls
        if isinstance(call.func, ast.Name) and len(call.args) == sizes.get(call.func.id)
    }


def missing(found: Iterable[Read], given: Collection[str]) -> list[Read]:
    """Those that what a task has hasn't got, with its class. ``given``: names of ours that the program reads."""
    views = not _MAKE_VIEWS.isdisjoint(given)
    gone = []
    for read in found:
        of, _, attribute = read.path.rpartition(".")
        kind = dict if of in _ITEMS and not views else _CLASSES.get(of)
        if kind is not None and _is_missing(kind, attribute, read.called):
            gone.append(msgspec.structs.replace(read, kind=kind.__name__))
    return gone


def _is_missing(kind: type, attribute: str, called: bool) -> bool:
    if kind is datetime.datetime and attribute == "weekday" and not called:
        return True  # Luxon's is a number
    return not attribute.startswith("__") and not hasattr(kind, attribute)


def _path(node: ast.expr | None, bound: Mapping[str, str | None], free: Collection[str]) -> str | None:
    hops: list[str] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            hops.append(f".{node.attr}")
            node = node.value
        elif isinstance(node, ast.Subscript):
            hops.append("[:]" if isinstance(node.slice, ast.Slice) else "[]")
            node = node.value
        elif isinstance(node, ast.Call):
            hops.append("()")
            node = node.func
        else:
            return None
        if len(hops) > _DEEPEST:
            return None
    base = bound.get(node.id) or (node.id if node.id in free else None)
    # a part of a list is a list
    return base and base + "".join(hop for hop in reversed(hops) if hop != "[:]")


def _shown(node: ast.expr) -> str:
    """A path as it stands in the program, without what is in brackets but for short names of fields."""
    after = ""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            after, node = f".{node.attr}{after}", node.value
        elif isinstance(node, ast.Subscript):
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            short = isinstance(key, int) or (isinstance(key, str) and len(key) <= _SHORT)
            after, node = f"[{key!r}]{after}" if short else f"[…]{after}", node.value
        else:
            assert isinstance(node, ast.Call)
            after, node = f"(…){after}" if node.args or node.keywords else f"(){after}", node.func
    return node.id + after


def _bound(nodes: Iterable[ast.AST], free: Collection[str]) -> dict[str, str]:
    """Names that stand for a path wherever they are read."""
    given: dict[str, str | None] = {}
    times: dict[str, int] = {}
    pairs: list[tuple[ast.expr, ast.expr, str]] = []
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            times[node.id] = times.get(node.id, 0) + 1
        elif isinstance(node, ast.arg | ast.alias | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = node.arg if isinstance(node, ast.arg) else node.name
            name = (node.asname or name.partition(".")[0]) if isinstance(node, ast.alias) else name
            times[name] = times.get(name, 0) + 2
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            pairs.append((node.targets[0], node.value, ""))
        elif isinstance(node, _LOOPS):
            pairs.append(_loop(node.target, node.iter))
    for target, value, hop in pairs:
        if isinstance(target, ast.Name):
            path = _path(value, given, free)
            # two loops over the same, each with a name of its own, are as good as one
            known = path and path + hop
            given[target.id] = known if given.get(target.id, known) == known else None
            times[target.id] -= 1
    return {name: path for name, path in given.items() if path and not times[name]}


def _loop(target: ast.expr, over: ast.expr) -> tuple[ast.expr, ast.expr, str]:
    if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.args:
        if over.func.id == "enumerate" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
            return target.elts[1], over.args[0], "[]"
        if over.func.id in ("reversed", "sorted", "list"):
            return target, over.args[0], "[]"
    return target, over, "[]"


def guarded(nodes: Iterable[ast.AST]) -> set[int]:
    """What stands in the body of a ``try`` that catches something."""
    found: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Try | ast.TryStar) and node.handlers:
            waiting: list[ast.AST] = [*node.body]
            while waiting:
                one = waiting.pop()
                if id(one) not in found:
                    found.add(id(one))
                    waiting += ast.iter_child_nodes(one)
    return found
