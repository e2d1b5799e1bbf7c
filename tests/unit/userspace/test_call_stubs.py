"""The stubs for editors say what the names really are."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from mypy import api

from reptarium import sandbox
from reptarium.sandbox.userspace import helpers, nodes, views
from reptarium.sandbox.userspace.names import NAMES
from tests.unit.userspace.scripted import ScriptedN8n, supply

STUBS = Path(sandbox.__file__).parent / "userspace/reptarium-stubs"
TREE = ast.parse((STUBS / "reptarium" / "__init__.pyi").read_text("utf-8"))

#: Where people read a shorter name than we do.
DECLARED_AS = {"ExecutionView": "Execution"}

USES = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reptarium import HttpRequestError, _execution, _helpers, _input, _items, _node, _now, _workflow

count: int = len([item["json"]["n"] for item in _items])
data: bytes = _helpers.get_binary(0)
status: int = _helpers.http_request("http://x", full_response=True).status_code
name: str = _input.first().json.name + _node("A").item.json.name + _node["B"].item(2).json.name
_workflow.static_data["seen"] = _workflow.static_data.get("seen", 0) + 1
_execution.custom_data.set("a", 1)
when: str = _now.isoformat()
left: float = (_execution.deadline - _now).total_seconds() if _execution.deadline else 60.0
try:
    _helpers.http_request("http://x", "POST", json={"a": 1}, timeout=5)
except HttpRequestError as error:
    code: int | None = error.status_code
"""


def _classes() -> dict[str, set[str]]:
    """The stubs' classes with their public members."""
    found: dict[str, set[str]] = {}
    for node in TREE.body:
        if isinstance(node, ast.ClassDef):
            members = [
                getattr(part, "name", None) or getattr(getattr(part, "target", None), "id", "") for part in node.body
            ]
            found[node.name] = {member for member in members if member and not member.startswith("__")}
    return found


def test_names_are_those_of_a_task() -> None:
    """The stubs name what a task has, no more and no less, as a module and as builtins."""
    own = NAMES | {"_items", "_item", "_query"}
    declared = {
        getattr(node, "name", None) or node.target.id  # type: ignore[union-attr]
        for node in TREE.body
        if isinstance(node, ast.AnnAssign | ast.FunctionDef)
    }
    assert declared | {"HttpRequestError", "HelperError"} == own
    (statement,) = (
        node
        for node in ast.parse((STUBS / "__builtins__.pyi").read_text("utf-8")).body
        if isinstance(node, ast.ImportFrom)
    )
    assert {alias.name for alias in statement.names} == own
    assert all(alias.asname == alias.name for alias in statement.names)


@pytest.mark.parametrize(
    "kind",
    [helpers.Helpers, nodes.Input, nodes.Node, nodes.Nodes, nodes.PreviousNode, nodes.WorkflowView,
     nodes.CustomData, nodes.ExecutionView, views.LazyView],
)  # fmt: skip
def test_members_are_those_of_the_objects(kind: type[Any]) -> None:
    """Each object has the public members that its stub declares; only inherited ones may be left out."""
    real = {name for name in vars(kind) if not name.startswith("_")}
    assert _classes()[DECLARED_AS.get(kind.__name__, kind.__name__)] == real


def test_parameters_are_those_of_the_functions() -> None:
    """The helpers take the parameters that their stubs declare."""
    real = supply(ScriptedN8n(), "_helpers")(None)["_helpers"]
    (stub,) = (node for node in TREE.body if isinstance(node, ast.ClassDef) and node.name == "Helpers")
    for node in stub.body:
        if isinstance(node, ast.FunctionDef):
            declared = [arg.arg for arg in (*node.args.args[1:], *node.args.kwonlyargs)]
            assert list(inspect.signature(getattr(real, node.name)).parameters) == declared, node.name


@pytest.mark.slow
def test_a_type_checker_accepts_ordinary_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mypy in strict mode finds nothing in ordinary code, and finds a mistake in wrong code."""
    monkeypatch.setenv("MYPYPATH", str(STUBS))
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(USES, "utf-8")
    bad.write_text(USES + "\n_helpers.get_binary('zero')\n", "utf-8")
    options = ["--strict", "--no-incremental", "--config-file", "/dev/null"]
    report, _, status = api.run([*options, str(good)])
    assert status == 0, report
    report, _, status = api.run([*options, str(bad)])
    assert status == 1
    assert 'incompatible type "str"; expected "int"' in report
