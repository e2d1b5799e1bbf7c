"""What n8n knows about the running execution, fetched when it is first needed and kept.

Nothing is asked before user code touches it, and only for what it touches: the general part
(workflow, settings, where we are) with an empty list of nodes, a node's runs when that node is
looked at, the environment when ``_env`` is. Shapes as a live n8n 2.40.5 sends them; fields that
we don't use aren't even decoded.
"""

from __future__ import annotations

import datetime
import os
import zoneinfo
from typing import Any

import msgspec

from reptarium.sandbox.userspace.calls import Ask, HelperError, decode_as, prepare
from reptarium.sandbox.userspace.json_form import Raw, to_json


class Source(msgspec.Struct, rename="camel"):
    """Where the items of a run (or of the current node) came from."""

    previous_node: str
    previous_node_output: int | None = None
    previous_node_run: int | None = None


class RunData(msgspec.Struct):
    """Outputs of a run: by output, its items."""

    main: list[list[dict[str, Any]] | None] = []


class Run(msgspec.Struct):
    """One run of a node."""

    data: RunData | None = None
    source: list[Source | None] | None = None


class NodeInfo(msgspec.Struct):
    """A node of the workflow. Parameters as they were typed: expressions are not evaluated."""

    name: str
    type: str = ""
    parameters: dict[str, Any] = {}


class Link(msgspec.Struct):
    """One end of a connection: an input of a node."""

    node: str
    type: str = "main"
    index: int = 0


#: By node and kind of connection: for each output, where it leads.
Connections = dict[str, dict[str, list[list[Link] | None] | None]]


class Workflow(msgspec.Struct, rename="camel"):
    """The workflow that runs. Its connections are read only where they are needed."""

    id: str | None = None
    name: str | None = None
    active: bool | None = None
    nodes: list[NodeInfo] = []
    connections: Any = None
    settings: dict[str, Any] | None = None
    static_data: dict[str, Any] | None = None


class _Results(msgspec.Struct, rename="camel"):
    run_data: dict[str, list[Run]] = {}
    metadata: dict[str, Any] | None = None


class _Execution(msgspec.Struct, rename="camel"):
    result_data: _Results = msgspec.field(default_factory=_Results)


class _Inputs(msgspec.Struct):
    main: list[Source | None] = []


class _Additional(msgspec.Struct, rename="camel"):
    execution_id: str | None = None
    execution_timeout_timestamp: Any = None
    variables: dict[str, Any] | None = None


class _Environment(msgspec.Struct, rename="camel"):
    env: dict[str, str] = {}
    is_env_access_blocked: bool = False


class Answer(msgspec.Struct, rename="camel"):
    """The parts of a task data response that are used here."""

    workflow: Workflow
    run_execution_data: _Execution | None = None
    connection_input_source: _Inputs | None = None
    run_index: int = 0
    mode: str = ""
    active_node_name: str = ""
    additional_data: _Additional = msgspec.field(default_factory=_Additional)
    env_provider_state: _Environment | None = None


class _PinnedWorkflow(msgspec.Struct, rename="camel"):
    pin_data: dict[str, list[dict[str, Any]]] | None = None


class _PinnedAnswer(msgspec.Struct):
    """What of an answer counts only in executions that somebody started by hand. It may be large."""

    workflow: _PinnedWorkflow


class _Input(msgspec.Struct):
    include: bool = False


class Request(msgspec.Struct, rename="camel"):
    """Parameters of a task data request. ``input`` is required: without it n8n gives no answer."""

    data_of_nodes: list[str] = []
    prev_node: bool = False
    input: _Input = msgspec.field(default_factory=_Input)
    env: bool = False


prepare(Answer, _PinnedAnswer, Request, Connections)


class TaskData:
    """The execution, as far as it has been asked for. Never handed to user code."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._general: Answer | None = None
        self._runs: dict[str, list[Run]] = {}
        self._environment: dict[str, str] | None = None
        self._pinned: dict[str, list[dict[str, Any]]] = {}
        self._before: dict[str, int] | None = None

    def _fetch(self, request: Request) -> Answer:
        raw = self._ask("taskData", msgspec.json.encode(request), "data")
        answer = decode_as(raw, Answer, "taskData")
        if self._general is None:
            if answer.mode == "manual":
                self._pinned = decode_as(raw, _PinnedAnswer, "taskData").workflow.pin_data or {}
            self._general = answer
        return answer

    @property
    def general(self) -> Answer:
        """Everything but runs and environment."""
        return self._general or self._fetch(Request())

    def runs(self, name: str) -> list[Run]:
        """The runs of a node, oldest first; empty when it hasn't run."""
        if name not in self._runs:
            execution = self._fetch(Request(data_of_nodes=[name])).run_execution_data
            self._runs[name] = execution.result_data.run_data.get(name, []) if execution else []
        return self._runs[name]

    def environment(self) -> dict[str, str]:
        """The environment variables that n8n releases, without secrets (the supervisor sees to that)."""
        if self._environment is None:
            state = self._fetch(Request(env=True)).env_provider_state
            self._environment = {} if state is None else state.env
        return self._environment

    def variables(self) -> dict[str, Any]:
        """n8n's variables."""
        return self.general.additional_data.variables or {}

    def zone(self) -> datetime.tzinfo:
        """The workflow's time zone; the runner's own (TZ) where the workflow doesn't set one."""
        name = (self.general.workflow.settings or {}).get("timezone")
        if not isinstance(name, str) or name == "DEFAULT":
            name = os.environ.get("TZ") or "UTC"
        try:
            return zoneinfo.ZoneInfo(name)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            return datetime.UTC

    def deadline(self) -> datetime.datetime | None:
        """When n8n ends the execution, in the workflow's time zone; None where it has no time limit.

        n8n tells it in milliseconds since 1970.
        """
        stamp = self.general.additional_data.execution_timeout_timestamp
        if type(stamp) not in (int, float) or stamp <= 0:  # what the runner takes for no limit either
            return None
        try:
            return datetime.datetime.fromtimestamp(stamp / 1000, self.zone())
        except (ValueError, OverflowError, OSError):
            return None

    def node(self, name: str) -> NodeInfo:
        """A node of the workflow. Raises :class:`HelperError` naming those that there are."""
        nodes = self.general.workflow.nodes
        for node in nodes:
            if node.name == name:
                return node
        names = ", ".join(f"'{node.name}'" for node in nodes[:50])
        raise HelperError(f"there is no node '{name}' in this workflow; its nodes are: {names}")

    def pinned(self, name: str) -> list[dict[str, Any]] | None:
        """The node's pinned items where they count: in an execution that somebody started by hand."""
        return self._pinned.get(name) if self.general.mode == "manual" else None

    def output(self, name: str) -> int:
        """Which output of a node leads here, be it through other nodes; 0 where none does.

        n8n's own choice where code names no output: the nearest way, of equally long ones that by the first input.
        """
        return self._outputs_before(name).get(name, 0)

    def leads_here(self, name: str) -> bool:
        """Whether a way leads from the node to the current one."""
        return name in self._outputs_before(name)

    def _outputs_before(self, name: str) -> dict[str, int]:
        self.runs(name)  # whose answer has the connections too: no request more
        if self._before is None:
            try:
                connections = msgspec.convert(self.general.workflow.connections or {}, Connections)
            except msgspec.ValidationError as error:
                raise HelperError(f"taskData: n8n's answer has connections of an unexpected shape: {error}") from None
            self._before = outputs_before(self.general.active_node_name, connections)
        return self._before

    def items(self, name: str, output: int, run: int) -> list[dict[str, Any]]:
        """What a node put out. ``run`` -1 is the last. Raises :class:`HelperError`."""
        runs = self.runs(name)
        if not runs and (pinned := self.pinned(name)) is not None:
            return pinned
        if not runs:
            self.node(name)  # a misspelt name has an error of its own
            raise HelperError(f"the node '{name}' has not run in this execution (see .is_executed)")
        try:
            data = runs[run].data
        except IndexError:
            raise HelperError(f"the node '{name}' has run {len(runs)} time(s); there is no run {run}") from None
        outputs = [] if data is None else data.main
        if output < 0 or (output >= len(outputs) and output > 0):
            raise HelperError(f"the node '{name}' has {len(outputs)} output(s); there is no output {output}")
        return (outputs[output] if outputs else None) or []

    def sources(self) -> list[Source | None]:
        """Where the current node's items came from, by input."""
        inputs = self.general.connection_input_source
        return inputs.main if inputs is not None else []

    def source(self) -> Source | None:
        """Where the items of the first input came from; None for what has no predecessor."""
        return next(iter(self.sources()), None)


def outputs_before(name: str, connections: Connections) -> dict[str, int]:
    """By node that comes before the node ``name``: the output by which the nearest way leads there."""
    entries: dict[str, list[tuple[int, str, int]]] = {}
    for origin, kinds in connections.items():
        for output, links in enumerate(kinds.get("main") or []):
            for link in links or []:
                if link.type == "main":
                    entries.setdefault(link.node, []).append((link.index, origin, output))
    found: dict[str, int] = {}
    reached = [name]
    for one in reached:  # grows while it is walked through
        for _, origin, output in sorted(entries.pop(one, []), key=lambda entry: entry[0]):
            found.setdefault(origin, output)
            reached.append(origin)
    return found


# ---- what is saved ---------------------------------------------------------------------


class Saved:
    """Static and custom data: read from n8n, changed by user code, sent back with the result."""

    def __init__(self, data: TaskData) -> None:
        self._data = data
        self._static: dict[str, Any] | None = None
        self._before: Raw = b""
        self._custom: dict[str, str] | None = None
        self._custom_changed = False

    def static(self, key: str) -> dict[str, Any]:
        """The workflow's static data under ``key``: ``global`` or ``node:NAME``."""
        if self._static is None:
            self._static = self._data.general.workflow.static_data or {}
            self._before = to_json(self._static)
        kept = self._static.get(key)
        if not isinstance(kept, dict):
            kept = {}
            self._static[key] = kept
        return kept

    def replace(self, key: str, value: dict[str, Any]) -> None:
        """Put ``value`` in the place of :meth:`static`."""
        self.static(key)
        assert self._static is not None
        self._static[key] = value

    def custom(self) -> dict[str, str]:
        """The execution's custom data: what earlier nodes set, and what was set here."""
        if self._custom is None:
            execution = self._data.general.run_execution_data
            earlier = execution.result_data.metadata if execution is not None else None
            self._custom = {str(key): str(value) for key, value in (earlier or {}).items()}
        return self._custom

    def set_custom(self, key: str, value: str) -> None:
        """Set one entry."""
        self.custom()[key] = value
        self._custom_changed = True

    def outcome(self) -> tuple[Raw, Raw]:
        """(custom data, static data) as raw JSON; empty where nothing has changed.

        Raises ``ResultError`` when the static data has no JSON form.
        """
        custom: Raw = b""
        static: Raw = b""
        if self._custom_changed:
            custom = to_json(self._custom)
        if self._static is not None:
            pruned = {key: value for key, value in self._static.items() if value or key in self._known()}
            after = to_json(pruned)
            if after != self._before:
                static = after
        return custom, static

    def _known(self) -> set[str]:
        return set(msgspec.json.decode(self._before)) if self._before else set()
