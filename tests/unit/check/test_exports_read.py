"""What is read of exports, in every form that n8n gives out, and what becomes of those that are none."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from reptarium.pool.check import exports, workflows
from reptarium.pool.check.exports import Document, Problem, decode, read_all
from reptarium.pool.check.pins import comes_in
from tests.limits import within
from tests.unit.check.exported import code, found, tool, workflow


def names(*values: Any) -> list[str]:
    """The Python nodes of exports of these values."""
    return [node.name for node in found(*values).nodes]


ONE = workflow(code("A", "return []"))


@pytest.mark.parametrize(
    "value",
    [
        ONE,
        [ONE],
        {"data": [ONE], "nextCursor": None},
        {"id": 7, "workflow": ONE},
        {"workflow": {"id": 7, "workflow": ONE}},
        {"nodes": ONE["nodes"], "connections": {}},
        {**ONE, "nodes": json.dumps(ONE["nodes"])},
    ],
    ids=["one", "all", "page of the API", "template", "template within", "copied in the editor", "database's text"],
)
def test_forms(value: Any) -> None:
    """A workflow is found in whatever n8n wraps it."""
    assert names(value) == ["A"]


@pytest.mark.parametrize("language", ["python", "pythonNative"])
@pytest.mark.parametrize("version", [2, 2.1, 3])
def test_code_nodes(language: str, version: float) -> None:
    """Code nodes of each version are found under both names of the language."""
    (node,) = found(workflow(code("A", "return []", language=language, typeVersion=version))).nodes
    assert (node.language, node.version, node.tool, node.each) == (language, version, False, False)


def test_code_node_of_version_1() -> None:
    """A Code node of version 1 that names Python is checked, with the word that n8n runs it as JavaScript."""
    everything = found(workflow(code("A", "return []", typeVersion=1)))
    assert [node.name for node in everything.nodes] == ["A"]
    assert "as JavaScript" in everything.notes[0].text


@pytest.mark.parametrize("version", [1, 1.1, 1.2, 1.3])
def test_code_tools(version: float) -> None:
    """Code Tools of each version are found."""
    (node,) = found(workflow(tool("T", "return _query", version))).nodes
    assert (node.version, node.tool) == (version, True)


def test_defaults_that_exports_leave_out() -> None:
    """What n8n leaves out of an export is what it runs: no code, a tool's example, once for all items."""
    bare = tool("T", "")
    del bare["parameters"]["pythonCode"]
    empty = code("A", "")
    del empty["parameters"]["pythonCode"], empty["typeVersion"]
    first, second = found(workflow(bare, empty)).nodes
    assert first.code.endswith("return _query.upper()")
    assert (second.code, second.each) == ("", False)


def test_each_item_and_failing_on() -> None:
    """A node's mode and what it does on an error are read, in the old and the new form."""
    each = code("A", "return {}", onError="continueErrorOutput")
    each["parameters"]["mode"] = "runOnceForEachItem"
    first, second = found(workflow(each, code("B", "return []", continueOnFail=True, disabled=True))).nodes
    assert (first.each, first.continue_on_fail, first.disabled) == (True, True, False)
    assert (second.each, second.continue_on_fail, second.disabled) == (False, True, True)


def test_javascript_is_nobodys_business() -> None:
    """JavaScript nodes, and nodes of other kinds, are none of ours."""
    javascript = code("J", "return []", language="javaScript")
    default = {**code("D", ""), "parameters": {"jsCode": "return []"}}
    other = {"name": "Set", "type": "n8n-nodes-base.set", "parameters": {"pythonCode": "x"}}
    everything = found(workflow(javascript, default, other))
    assert (everything.nodes, everything.problems, everything.count) == ([], [], 3)


def caller(inner: Any, name: str = "Sub", kind: str = "n8n-nodes-base.executeWorkflow", **parameters: Any) -> Any:
    """A node that runs another workflow."""
    given = {"source": "parameter", "workflowJson": inner} if inner is not None else {}
    return {"name": name, "type": kind, "typeVersion": 1.2, "parameters": {**given, **parameters}}


@pytest.mark.parametrize("kind", sorted(workflows.CALLERS))
@pytest.mark.parametrize("as_text", [True, False])
def test_inline_workflows(kind: str, as_text: bool) -> None:
    """Workflows that stand in a node are read too, and run under the id of the one around them."""
    inner = {"nodes": [code("In", "return []"), caller({"nodes": [code("Deep", "return []")]}, "Next")]}
    everything = found(workflow(caller(json.dumps(inner) if as_text else inner, kind=kind)))
    assert [(node.name, node.within, node.workflow_id) for node in everything.nodes] == [
        ("In", ("Sub",), "W1"),
        ("Deep", ("Sub", "Next"), "W1"),
    ]


def test_disabled_callers() -> None:
    """What a disabled node would run doesn't run: neither the workflow in it, nor one by its id."""
    inner = {"nodes": [code("A", "return []")]}
    kind = "n8n-nodes-base.executeWorkflow"
    off = {"name": "Off", "type": kind, "disabled": True, "parameters": {"source": "parameter", "workflowJson": inner}}
    on = {**off, "name": "On", "disabled": False}
    elsewhere = {"name": "By id", "type": kind, "disabled": True, "parameters": {"workflowId": "W9"}}
    everything = found(workflow(off, elsewhere, on))
    assert [(node.within, node.disabled) for node in everything.nodes] == [(("Off",), True), (("On",), False)]
    assert everything.notes == []


def test_inline_without_end() -> None:
    """Workflows within workflows are read to a depth, and what is below is said not to be."""
    inner: Any = {"nodes": [code("Deepest", "return []")]}
    for _ in range(workflows.DEEPEST + 1):
        inner = {"nodes": [caller(inner)]}
    everything = found(inner)
    assert everything.nodes == []
    assert f"{workflows.DEEPEST} levels deep" in everything.problems[0].text


def test_workflows_that_call_others() -> None:
    """Called workflows that weren't read are named, and so are circles; neither is an error."""
    locator = {"__rl": True, "mode": "list", "value": "W2"}
    first = workflow(caller(None, workflowId=locator), caller(None, "Gone", workflowId="W9"))
    second = workflow(caller(None, workflowId="W1"), caller(None, "Itself", workflowId="W2"), name="Other", id="W2")
    everything = found(first, second)
    texts = " | ".join(note.text for note in everything.notes)
    assert everything.problems == []
    assert "runs the workflow W9, which wasn't read" in texts
    assert "circle: W1 → W2 → W1" in texts
    assert "circle: W2 → W2" in texts


def test_long_chains_of_calls() -> None:
    """Two thousand workflows that call one another in a ring are followed without recursion."""
    ring = [workflow(caller(None, workflowId=f"R{(number + 1) % 2_000}"), id=f"R{number}") for number in range(2_000)]
    (note,) = found(ring).notes
    assert "in a circle" in note.text


def test_many_circles() -> None:
    """However many circles there are and however long, some of them are told, with some of their names."""
    last = 200
    many = [
        workflow(caller(None, workflowId=f"R{number + 1}"), caller(None, workflowId="R0"), id=f"R{number}")
        for number in range(last)
    ]
    notes = [note.text for note in found(*many, workflow(id=f"R{last}")).notes]
    assert len(notes) == workflows.MOST_CIRCLES + 1
    names = " → ".join(f"R{number}" for number in range(9))
    assert notes[0].startswith("workflows run each other in a circle: R0 → ")
    assert any(f"{names} → " in note and " more → R0" in note for note in notes)
    assert max(map(len, notes)) < 200
    assert notes[-1] == "there are more than 20 such circles; the first are listed"


def test_workflows_from_elsewhere() -> None:
    """Workflows of files, addresses and expressions can't be read here: that is said."""
    nodes = [
        caller(None, source="localFile"),
        caller(None, source="url"),
        caller(None, workflowId="={{ $json.id }}"),
        caller("={{ $json.workflow }}"),
    ]
    everything = found(workflow(*nodes))
    assert (len(everything.notes), everything.problems) == (4, [])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "no workflow"),
        ({}, "no workflow"),
        ([1, None], "no workflow"),
        ({"nodes": 3}, "`nodes` is a number; a list is expected"),
        ({"nodes": {"a": 1}}, "`nodes` is an object"),
        ({"nodes": [3, None]}, "node 1 is a number; an object is expected"),
        ({"nodes": [{"type": ["x"]}]}, "node 1 has a list for its `type`"),
        ({"nodes": [{**code("A", ""), "parameters": []}]}, "A: `parameters` is a list; an object is expected"),
        ({"nodes": [code("A", 3)]}, "`pythonCode` is a number"),
        ({"nodes": [code("A", "x", language=3)]}, "`language` is a number"),  # type: ignore[arg-type]
        ({"nodes": [code("A", "x", typeVersion="2")]}, "`typeVersion` is a text"),
        ({"nodes": [code("A", "return " + "x" * (workflows.LONGEST_CODE - 6))]}, "its code has 1,048,577 characters"),
        ({"nodes": [caller("{")]}, "the workflow in it can't be read: it is not JSON"),
        ({"nodes": [caller("3")]}, "`workflowJson` is no workflow"),
        ({"nodes": [caller("[" * 5000 + "]" * 5000)]}, "nested more than 1,000 levels deep"),
    ],
)
def test_wrong_types(value: Any, said: str) -> None:
    """What isn't of its type is said with its place, and the rest is read."""
    everything = found(value, ONE)
    assert said in everything.problems[0].text
    assert everything.problems[0].source == "1.json"
    assert "A" in [node.name for node in everything.nodes]


@pytest.mark.parametrize("version", [10**30, 10**400, float("nan"), float("inf"), -1, True, "2", None])
def test_versions_that_are_none(version: object) -> None:
    """Whatever stands for a version, the node is checked as one of version 2, and that is said."""
    everything = found(workflow({**code("A", "return []"), "typeVersion": version}))
    assert [node.version for node in everything.nodes] == [2]
    assert "`typeVersion` is" in everything.problems[0].text


def test_odd_values_where_nothing_depends_on_them() -> None:
    """Names, ids, pins and connections of any type are no error."""
    odd = {"id": {}, "name": [], "pinData": 3, "connections": "x", "nodes": [{**code("A", "x"), "name": 5, "id": []}]}
    everything = found(odd)
    assert everything.problems == []
    assert [node.name for node in everything.nodes] == ["5"]


def test_too_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of nodes it ends, with what to do."""
    monkeypatch.setattr(workflows, "MOST_NODES", 10)
    everything = found(workflow(*[code(f"{n}", "return []") for n in range(8)]), workflow(*[{}] * 8))
    assert len(everything.nodes) == 8
    assert "more than 10 nodes" in everything.problems[0].text


# ---- files ------------------------------------------------------------------------------


def read(*places: Path) -> list[Document | Problem]:
    """What is read of these."""
    return list(read_all(map(str, places)))


def test_folders(tmp_path: Path) -> None:
    """A folder's files are read in order, those of folders in it too; what else people keep there is no error."""
    (tmp_path / "b.json").write_text(json.dumps(workflow(code("B", ""))))
    (tmp_path / "a.json").write_text(json.dumps(workflow(code("A", ""))), "utf-8-sig")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/c.json").write_text(json.dumps([workflow(code("C", ""))]))
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("x")
    everything = workflows.find(read_all([str(tmp_path)]))
    assert [node.name for node in everything.nodes] == ["A", "B", "C"]
    assert everything.problems == []
    assert everything.notes[0].source.endswith("package.json")


def test_archived_workflows() -> None:
    """n8n runs none of their nodes: they count as disabled ones do, and those after them count."""
    archived = workflow(code("Old", "import subprocess"), isArchived=True)
    everything = found([archived, workflow(code("New", "return []"), isArchived=False)])
    assert [(node.name, node.disabled) for node in everything.nodes] == [("Old", True), ("New", False)]


def test_linked_folders(tmp_path: Path) -> None:
    """Folders that are linked are read, each once, and links that lead round in a circle have an end."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a.json").write_text(json.dumps(workflow(code("A", "return []"))))
    (tmp_path / "here").mkdir()
    for name in ("one", "two"):
        (tmp_path / "here" / name).symlink_to(tmp_path / "there")
    (tmp_path / "there/round").symlink_to(tmp_path / "here")
    assert [Path(document.source).name for document in read_all([str(tmp_path / "here")])] == ["a.json"]


def test_unreadable_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder within one that can't be read is a problem, beside what was read."""
    (tmp_path / "a.json").write_text(json.dumps(workflow(code("A", ""))))
    (tmp_path / "sub").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    everything = workflows.find(read_all([str(tmp_path)]))
    assert [node.name for node in everything.nodes] == ["A"]
    assert everything.problems == [Problem(str(tmp_path / "sub"), "the folder can't be read: Permission denied")]


def test_unreadable_files(tmp_path: Path) -> None:
    """Files that aren't there, aren't JSON, are empty, or would never end, are problems, each with its name."""
    (tmp_path / "broken.json").write_text('{"nodes": [')
    (tmp_path / "empty.json").write_text(" \n")
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes/pipe.json")
    (tmp_path / "nothing").mkdir()
    wanted = ["missing.json", "broken.json", "empty.json", "pipes", "nothing", "nul\0"]
    texts = [problem.text for problem in read(*(tmp_path / name for name in wanted)) if isinstance(problem, Problem)]
    words = ["No such file", "it is not JSON", "it is empty", "neither a file nor a folder", "no .json file", "null"]
    assert len(texts) == len(wanted)
    for text, word in zip(texts, words, strict=True):
        assert word in text


def test_pipes_that_are_named(tmp_path: Path) -> None:
    """A pipe that is asked for itself is read, as what a shell's `<(…)` gives."""
    os.mkfifo(tmp_path / "pipe")
    content = json.dumps(workflow(code("A", "return []")))
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=[content], daemon=True)
    writer.start()
    (document,) = read(tmp_path / "pipe")
    assert isinstance(document, Document)
    assert document.value["name"] == "Orders"
    writer.join(within(10))


def test_devices_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device is read as far as a file may be long."""
    monkeypatch.setattr(exports, "LONGEST", 1 << 20)
    (problem,) = read(Path("/dev/zero"))
    assert isinstance(problem, Problem)
    assert "longer than 1 MiB" in problem.text


def test_long_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the longest is not read into memory whole."""
    monkeypatch.setattr(exports, "LONGEST", 1 << 20)
    (tmp_path / "long.json").write_text(f'"{"x" * (1 << 20)}"')
    (problem,) = read(tmp_path / "long.json")
    assert isinstance(problem, Problem)
    assert "longer than 1 MiB" in problem.text


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000])
def test_deep_files(raw: bytes) -> None:
    """Deep nesting is refused before it is parsed."""
    with pytest.raises(ValueError, match="levels deep"):
        decode(raw)


def test_half_an_emoji() -> None:
    """Texts that JavaScript can write and UTF-8 can't hold are read, without what can't be sent on."""
    assert decode(b'{"a": "x\\ud83d", "b": "\\ud83d\\ude00"}') == {"a": "x\ufffd", "b": "\U0001f600"}


def test_names_without_measure() -> None:
    """Of a long name the beginning is kept, and that is said; a node's pins are found by it all the same."""
    long, other = "n" * 5_000, "before" * 100
    links = {other: {"main": [[{"node": long}]]}}
    everything = found(workflow(code(long, "return []"), pinData={other: [{"a": 1}]}, connections=links, id="x" * 300))
    (node,) = everything.nodes
    assert node.name == "n" * 199 + "…"
    assert node.workflow_id == ""
    notes = [note.text.partition(": ")[2] for note in everything.notes]
    assert notes == [
        "its id has more than 200 characters, and counts for none",
        "of longer names 199 characters are read; give powers by the workflow's id",
    ]
    pinned = comes_in(everything, node)
    assert pinned is not None
    assert [item["json"] for item in pinned.items] == [{"a": 1}]
