"""Finds workflows in exports, and in workflows the nodes whose code is Python.

Every form that n8n gives out is read: one workflow, a list of them (`export:workflow --all`), a page of the public API,
a template, what the editor copies; nodes or parameters that are text are JSON in text (tables of the database). Nothing
in one is trusted to be of the type that n8n gives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Literal

import msgspec

from reptarium.pool.check.exports import Document, Problem, decode

#: Nodes in all, and workflows within workflows.
MOST_NODES, DEEPEST = 200_000, 16
#: Circles of calls that are told, and names of one.
MOST_CIRCLES, _CIRCLE_SHOWN = 20, 10
#: Characters of a name that are kept (of a longer one the last is CUT), bytes of one node's code.
LONGEST_NAME, LONGEST_CODE = 200, 1 << 20
CUT = "…"
#: No node of n8n's has such a version: exports have all kinds of numbers.
HIGHEST_VERSION = 1_000

CODE_NODE = "n8n-nodes-base.code"
TOOLS = frozenset({"@n8n/n8n-nodes-langchain.toolCode", "n8n-nodes-base.codeTool"})
#: Nodes that may carry another workflow in `workflowJson`, or name one.
CALLERS = frozenset(
    {
        "n8n-nodes-base.executeWorkflow",
        "@n8n/n8n-nodes-langchain.toolWorkflow",
        "@n8n/n8n-nodes-langchain.retrieverWorkflow",
    }
)
#: The old language name is that of the Pyodide node, which n8n runs by its Python runner now.
LANGUAGES = ("python", "pythonNative")
#: What n8n runs where an export leaves the parameter out, as it does with defaults.
_TOOLS_DEFAULT = "# Example: convert the incoming query to uppercase and return it\nreturn _query.upper()"
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", int: "a number", float: "a number"}


class CodeNode(msgspec.Struct, frozen=True, kw_only=True):
    """One Python node. ``within``: names of the nodes that carry its workflow inline, outermost first."""

    source: str
    workflow: int
    """The place of its workflow in :attr:`Found.workflows`."""
    workflow_id: str
    workflow_name: str
    within: tuple[str, ...]
    name: str
    id: str
    tool: bool
    version: float
    language: Literal["python", "pythonNative"]
    each: bool
    """Whether it runs once for each item."""
    code: str
    disabled: bool
    continue_on_fail: bool

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return " › ".join((self.workflow_name, *self.within, self.name))


class ReadWorkflow(msgspec.Struct, kw_only=True):
    """One workflow, as far as it is of its form."""

    source: str
    id: str
    name: str
    within: tuple[str, ...]
    pins: dict[str, list[Any]]
    """Node → the items that are pinned to it."""
    connections: dict[str, Any]
    calls: list[tuple[str, str]]
    """Node and id of the workflow that it runs."""
    count: int = 0
    """Nodes of any kind."""
    sources: dict[str, list[str]] | None = None
    """Node → those whose output comes into it; None until somebody asks (`pins.py`)."""


class Found(msgspec.Struct):
    """All that was found. ``notes`` are what isn't wrong, and not checked either."""

    workflows: list[ReadWorkflow] = []
    nodes: list[CodeNode] = []
    problems: list[Problem] = []
    notes: list[Problem] = []
    count: int = 0


class _TooMany(Exception):
    pass


def find(documents: Iterator[Document | Problem]) -> Found:
    """Every Python node of these documents."""
    finder = _Finder()
    try:
        for document in documents:
            if isinstance(document, Problem):
                finder.found.problems.append(document)
            else:
                finder.document(document)
    except _TooMany:
        text = f"there are more than {MOST_NODES:,} nodes in all; check the exports in parts"
        finder.found.problems.append(Problem(document.source, text))
    finder.calls()
    return finder.found


class _Finder:
    def __init__(self) -> None:
        self.found = Found()
        self._told_cut: set[int] = set()  # workflows of which it is said that a name is too long
        self._off = False  # within what n8n doesn't run: an archived workflow, a node that is disabled

    def document(self, document: Document) -> None:
        before = len(self.found.workflows)
        for number, value in enumerate(_workflows(document.value), 1):
            self._off = value.get("isArchived") is True
            self._workflow(document.source, value, number, ())
        self._off = False
        if len(self.found.workflows) > before:
            return
        problem = Problem(document.source, "there is no workflow in it: an object with a list of `nodes` is expected")
        # a folder may hold what else people keep beside their exports
        empty = document.value == [] or not document.named
        (self.found.notes if empty else self.found.problems).append(problem)

    def _say(self, source: str, text: str, note: bool = False) -> None:
        (self.found.notes if note else self.found.problems).append(Problem(source, text))

    def _workflow(self, source: str, value: Mapping[str, Any], number: int, within: tuple[str, ...]) -> None:
        name = cut(_text(value.get("name"))) or f"workflow {number}"
        # a workflow without an id of its own that stands in another one runs under the other's
        workflow = ReadWorkflow(
            source=source, id=_id(value), name=name, within=within, pins={}, connections={}, calls=[]
        )
        place = len(self.found.workflows)
        self.found.workflows.append(workflow)
        self._say_cut(place, name)
        if _text(value.get("id")) != workflow.id:
            self._say(source, f"{name}: its id has more than {LONGEST_NAME} characters, and counts for none", True)
        nodes = _unwrapped(value.get("nodes"))
        if not isinstance(nodes, list):
            self._say(source, f"{name}: `nodes` is {_kind(nodes)}; a list is expected")
            return
        workflow.count = len(nodes)
        self.found.count += len(nodes)
        if self.found.count > MOST_NODES:
            raise _TooMany
        pins, connections = _unwrapped(value.get("pinData")), _unwrapped(value.get("connections"))
        if isinstance(pins, dict):
            workflow.pins = {cut(str(node)): items for node, items in pins.items() if isinstance(items, list)}
        if isinstance(connections, dict):
            workflow.connections = {cut(node): kinds for node, kinds in connections.items()}
        for index, node in enumerate(nodes, 1):
            if not isinstance(node, dict):
                self._say(source, f"{name}: node {index} is {_kind(node)}; an object is expected")
                continue
            self._node(place, node, index, within)

    def _node(self, place: int, node: Mapping[str, Any], index: int, within: tuple[str, ...]) -> None:
        workflow = self.found.workflows[place]
        kind = node.get("type")
        if not isinstance(kind, str):
            self._say(workflow.source, f"{workflow.name}: node {index} has {_kind(kind)} for its `type`")
            return
        if kind != CODE_NODE and kind not in TOOLS and kind not in CALLERS:
            return
        name = cut(_text(node.get("name"))) or f"node {index}"
        self._say_cut(place, name)
        parameters = _unwrapped(node.get("parameters", {}))
        if not isinstance(parameters, dict):
            what = f"{workflow.name}, {name}: `parameters` is {_kind(parameters)}; an object is expected"
            self._say(workflow.source, what)
        elif kind in CALLERS:
            around, self._off = self._off, self._off or node.get("disabled") is True
            self._caller(workflow, name, parameters, within)
            self._off = around
        else:
            self._code(place, node, name, parameters, within)

    def _say_cut(self, place: int, name: str) -> None:
        """Once for each workflow."""
        if is_cut(name) and place not in self._told_cut:
            self._told_cut.add(place)
            text = f"{name}: of longer names {LONGEST_NAME - 1} characters are read; give powers by the workflow's id"
            self._say(self.found.workflows[place].source, text, note=True)

    def _code(
        self, place: int, node: Mapping[str, Any], name: str, parameters: Mapping[str, Any], within: tuple[str, ...]
    ) -> None:
        workflow, tool = self.found.workflows[place], node.get("type") in TOOLS
        where = f"{workflow.name}, {name}"
        language = parameters.get("language", "javaScript")
        if language not in LANGUAGES:
            if not isinstance(language, str):
                self._say(workflow.source, f"{where}: `language` is {_kind(language)}; a text is expected")
            return
        code = parameters.get("pythonCode", _TOOLS_DEFAULT if tool else "")
        if not isinstance(code, str):
            self._say(workflow.source, f"{where}: `pythonCode` is {_kind(code)}; a text is expected")
            return
        if len(code) > LONGEST_CODE:
            self._say(workflow.source, f"{where}: its code has {len(code):,} characters; {LONGEST_CODE:,} are checked")
            return
        version = node.get("typeVersion", 2)
        if isinstance(version, bool) or not isinstance(version, int | float) or not 0 <= version < HIGHEST_VERSION:
            kind = "none that n8n has" if type(version) in (int, float) else _kind(version)
            self._say(workflow.source, f"{where}: `typeVersion` is {kind}; a number is expected")
            version = 2
        if not tool and version < 2:
            note = "n8n runs a Code node of version 1 as JavaScript, whatever language it names; it is checked anyway"
            self._say(workflow.source, f"{where}: {note}", note=True)
        self.found.nodes.append(
            CodeNode(
                source=workflow.source, workflow=place, workflow_id=workflow.id, workflow_name=workflow.name,
                within=within, name=name, id=_text(node.get("id"))[:LONGEST_NAME], tool=tool, version=float(version),
                language="python" if language == "python" else "pythonNative",
                each=not tool and parameters.get("mode") == "runOnceForEachItem",
                code=code, disabled=self._off or node.get("disabled") is True,
                continue_on_fail=node.get("continueOnFail") is True
                or node.get("onError") in ("continueRegularOutput", "continueErrorOutput"),
            )
        )  # fmt: skip

    # ---- workflows that workflows run --------------------------------------------------------

    def _caller(
        self, workflow: ReadWorkflow, name: str, parameters: Mapping[str, Any], within: tuple[str, ...]
    ) -> None:
        where = f"{workflow.name}, {name}"
        inner, source = parameters.get("workflowJson"), parameters.get("source", "database")
        if source in ("localFile", "url"):
            self._say(workflow.source, f"{where}: it runs a workflow from elsewhere ({source}); check that too", True)
        elif inner is not None and source == "parameter":
            self._inline(workflow, name, inner, within)
        elif not self._off:
            target = parameters.get("workflowId")
            if isinstance(target, dict):  # a resource locator
                target = target.get("value")
            if isinstance(target, str | int) and not isinstance(target, bool) and target != "":
                if str(target).startswith("="):
                    self._say(workflow.source, f"{where}: which workflow it runs is an expression of n8n's", True)
                else:
                    workflow.calls.append((name, str(target)[:LONGEST_NAME]))

    def _inline(self, workflow: ReadWorkflow, name: str, inner: Any, within: tuple[str, ...]) -> None:
        where = f"{workflow.name}, {name}"
        if len(within) >= DEEPEST:
            self._say(workflow.source, f"{where}: workflows within workflows are read {DEEPEST} levels deep")
            return
        if isinstance(inner, str):
            expression = inner.startswith("=")
            try:
                inner = decode(inner.removeprefix("=").encode("utf-8", "surrogatepass"))
            except ValueError as error:
                text = "is an expression of n8n's" if expression else f"can't be read: {error}"
                self._say(workflow.source, f"{where}: the workflow in it {text}", note=expression)
                return
        values = list(_workflows(inner))
        if not values:
            self._say(workflow.source, f"{where}: `workflowJson` is no workflow; an object with `nodes` is expected")
        for number, value in enumerate(values, 1):
            # n8n runs it under the id of the workflow around it, unless it has one
            self._workflow(
                workflow.source, {"id": workflow.id, "name": workflow.name, **value}, number, (*within, name)
            )

    def calls(self) -> None:
        """What is said of workflows that call others: those that aren't here, and circles."""
        known = {workflow.id for workflow in self.found.workflows if workflow.id}
        graph: dict[str, list[str]] = {}
        for workflow in self.found.workflows:
            for name, target in workflow.calls:
                if target not in known:
                    where = f"{workflow.name}, {name}"
                    self._say(workflow.source, f"{where}: it runs the workflow {target}, which wasn't read", True)
                elif workflow.id:
                    graph.setdefault(workflow.id, []).append(target)
        circles = _circles(graph)
        for circle in islice(circles, MOST_CIRCLES):
            self._say("", f"workflows run each other in a circle: {' → '.join(circle)}", True)
        if next(circles, None) is not None:
            self._say("", f"there are more than {MOST_CIRCLES} such circles; the first are listed", True)


def _circles(graph: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """Circles of a graph, one for each edge that closes one, long ones shortened. Without recursion: a chain may be
    long.
    """
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        on_path: dict[str, int] = {}
        waiting: list[tuple[str, bool]] = [(start, False)]
        while waiting:
            name, left = waiting.pop()
            if left:
                path.pop()
                del on_path[name]
                done.add(name)
            elif name in on_path:
                first = on_path[name]
                left_out = len(path) - first - (_CIRCLE_SHOWN - 1)
                shown = path[first : first + _CIRCLE_SHOWN - 1]
                yield [*shown, *([f"{left_out:,} more"] if left_out > 0 else []), name]
            elif name not in done:
                on_path[name] = len(path)
                path.append(name)
                waiting.append((name, True))
                waiting += [(other, False) for other in dict.fromkeys(graph.get(name, ()))]


def _workflows(value: Any) -> Iterator[Mapping[str, Any]]:
    """The workflows of a document, whichever of its forms it has."""
    if isinstance(value, list):
        for one in value:
            yield from _single(one)
    elif isinstance(value, dict) and "nodes" not in value and isinstance(value.get("data"), list):
        for one in value["data"]:  # a page of the public API
            yield from _single(one)
    else:
        yield from _single(value)


def _single(value: Any) -> Iterator[Mapping[str, Any]]:
    for _ in range(3):  # a template has its workflow in `workflow`, the list of them once more
        if not isinstance(value, dict) or "nodes" in value:
            break
        value = value.get("workflow", value.get("data"))
    if isinstance(value, dict) and "nodes" in value:
        yield value


def cut(name: str) -> str:
    """A name, or as much of it as is kept."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + CUT


def is_cut(name: str) -> bool:
    """Whether it is but the beginning of somebody's name."""
    return len(name) == LONGEST_NAME and name.endswith(CUT)


def _id(workflow: Mapping[str, Any]) -> str:
    text = _text(workflow.get("id"))
    return text if len(text) <= LONGEST_NAME else ""


def _unwrapped(value: Any) -> Any:
    """The value, or what is in it as JSON in text."""
    if isinstance(value, str):
        try:
            return decode(value.encode("utf-8", "surrogatepass"))
        except ValueError:
            return value
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if type(value) is int else ""


def _kind(value: Any) -> str:
    return "nothing" if value is None else _KINDS.get(type(value), "something else")
