"""Workflows as n8n 2.41.1 itself exported them (`export:workflow --all --separate --pretty`), and ordinary programs.

The workflows were imported into a real n8n first: nodes of every version that may hold Python, and workflows within
workflows. What n8n tells of the user that they belong to is left out.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reptarium.pool.check.exports import read_all
from reptarium.pool.check.pins import comes_in, comes_out
from reptarium.pool.check.workflows import find
from tests.unit.check.exported import code, result, workflow

DATA = Path(__file__).resolve().parents[2] / "data"


def test_every_python_node() -> None:
    """Every Python node is found, with its version and language, in workflows within workflows too."""
    found = find(read_all([str(DATA / "exports")]))
    assert found.problems == []
    assert [(node.place, node.version, node.language, node.tool, node.each) for node in found.nodes] == [
        ("Code nodes › First version", 1, "python", False, False),
        ("Code nodes › Pyodide", 2, "python", False, False),
        ("Code nodes › Native", 2, "pythonNative", False, False),
        ("Code nodes › Each item", 2, "pythonNative", False, True),
        ("Code tools › Tool 1", 1, "python", True, False),
        ("Code tools › Tool 1.1", 1.1, "python", True, False),
        ("Code tools › Tool 1.2", 1.2, "python", True, False),
        ("Code tools › Tool 1.3", 1.3, "python", True, False),
        ("Sub-workflows › Inline › Inner", 2, "pythonNative", False, False),
    ]
    assert [note.text for note in found.notes] == [
        "Code nodes, First version: n8n runs a Code node of version 1 as JavaScript, whatever language it names; it is "
        "checked anyway"
    ]
    assert {node.workflow_id for node in found.nodes if node.within} == {"subWorkflows0001"}


def test_pinned_data() -> None:
    """Pinned items are found where n8n writes them."""
    found = find(read_all([str(DATA / "exports")]))
    node = next(node for node in found.nodes if node.name == "Native")
    pinned = comes_in(found, node)
    assert pinned is not None
    assert (pinned.node, [item["json"] for item in pinned.items]) == ("Start", [{"n": 1}, {"n": 4}])
    expected = comes_out(found, node, pinned)
    assert expected is not None
    assert [item["json"] for item in expected.items] == [{"sum": 5}]


@pytest.mark.slow
def test_ordinary_programs_need_no_power() -> None:
    """Ordinary programs, which tests/integration/language runs in workers, are judged to run with lists alone."""
    programs = [json.loads(line) for line in (DATA / "programs.jsonl").read_text().splitlines()]
    everything = result(workflow(*(code(one["name"], one["code"], each=one.get("each", False)) for one in programs)))
    never = [one for one in everything.checked.reports if one.status == "never"]
    # some give what a worker takes and n8n doesn't: test_agreement.py has the rest of them
    refused = "n8n refuses what the code returns"
    assert {one.node.name for one in never if any(no.message != refused for no in one.needs.unsolved)} == set()
    assert {one.node.name for one in everything.unproven} == set()
    needing = {one.node.name for one in everything.checked.reports if one.needs.language == "python" or one.needs.files}
    assert needing == set()
