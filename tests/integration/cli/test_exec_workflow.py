"""`reptarium exec` on a workflow's export, and again whenever a file changes."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import trio

from reptarium.pool.cli.main import main
from tests.limits import fail_after
from tests.unit.check.exported import code, tool, workflow

LINKS = {"In": {"main": [[{"node": "Sum", "type": "main", "index": 0}]]}}
SUM = "return [{'json': {'sum': sum(item['json']['n'] for item in _items), 'at': _workflow.name}}]"


@pytest.fixture
def export(tmp_path: Path) -> str:
    """A workflow with a node that sums what is pinned before it, one for each item, and a tool."""
    each = code("Each", "return {'n': _item['json']['n'] + 1}")
    each["parameters"]["mode"] = "runOnceForEachItem"
    nodes = [code("Sum", SUM), each, tool("Tool", "return _query.upper()")]
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(workflow(*nodes, connections=LINKS, pinData={"In": [{"json": {"n": 1}}, {"n": 4}]})))
    return str(path)


def test_pinned_items(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A node runs on what is pinned before it, under the workflow's name."""
    assert main(["exec", export, "--node", "Sum"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"json": {"sum": 5, "at": "Orders"}}]


def test_mode_and_items_of_ones_own(export: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node's own mode counts, and items can be given."""
    (tmp_path / "items.json").write_text('[{"n": 1}, {"n": 2}]')
    assert main(["exec", export, "--node", "Each", "--items", str(tmp_path / "items.json")]) == 0
    assert [item["json"] for item in json.loads(capsys.readouterr().out)] == [{"n": 2}, {"n": 3}]


def test_nothing_is_pinned(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no items are pinned before a node, and none are given, that is said."""
    assert main(["exec", export, "--node", "Each"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out), "no items are pinned before 'Each'" in err) == ([], True)


def test_tools(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A Code Tool runs on a query."""
    assert main(["exec", export, "--node", "Tool", "--query", "hello"]) == 0
    assert json.loads(capsys.readouterr().out) == "HELLO"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--node", "Other"], "there is no Python node 'Other' in it; there is 'Sum', 'Each', 'Tool'"),
        ([], "there are 3 Python nodes; name one with --node: 'Sum', 'Each', 'Tool'"),
    ],
)
def test_which_node(export: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Which node is meant must be said, and those that there are are named."""
    assert main(["exec", export, *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("text", "said"), [("{", "it is not JSON"), ("[]", "no Python node"), ("{}", "no workflow")])
def test_no_workflow(tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no export ends in words."""
    path = tmp_path / "flow.json"
    path.write_text(text)
    assert main(["exec", str(path), "--node", "A"]) == 2
    assert said in capsys.readouterr().err


def test_watching_standard_input(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard input can't be watched."""
    assert main(["exec", "-", "--watch"]) == 2
    assert "--watch needs files" in capsys.readouterr().err


@pytest.mark.slow
async def test_watch(tmp_path: Path) -> None:
    """The script runs again when it changes, also when it was replaced or wasn't there; Ctrl-C ends."""
    script = tmp_path / "script.py"
    script.write_text("return [{'json': {'n': 1}}]")
    with fail_after(60):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "reptarium", "exec", str(script), "--watch"],
            stdout=-1, stderr=-2, env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert process.stdout is not None
        text = seen = ""

        async def until(words: str) -> None:
            nonlocal text, seen
            while words not in text:
                data = await process.stdout.receive_some()  # type: ignore[union-attr]
                assert data, text
                text += data.decode()
                seen += data.decode()
            text = text.partition(words)[2]

        try:
            await until('"n": 1')
            await until("waiting for")
            script.write_text("return [{'json': {'n': 22}}]")
            await until('"n": 22')
            await until("waiting for")
            script.write_text("return [{'json': {'half'")
            await trio.sleep(0.05)
            script.write_text("return [{'json': {'n': 333}}]")
            await until('"n": 333')
            assert "SyntaxError" not in seen
            await until("waiting for")
            script.unlink()
            await until("cannot be read")
            await until("waiting for")
            (tmp_path / "new.py").write_text("return nothing")
            (tmp_path / "new.py").rename(script)
            await until("NameError")
            await until("waiting for")
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
        finally:
            process.kill()
            await process.stdout.aclose()


def test_a_tool_without_a_query(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A Code Tool isn't run as if it were a Code node: it says what it runs on."""
    assert main(["exec", export, "--node", "Tool"]) == 2
    assert "'Tool' is a Code Tool, which runs on a query: --query TEXT" in capsys.readouterr().err


def test_other_nodes_have_what_is_pinned_to_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node that reads another one's items gets those that are pinned in the export, as in a check."""
    source = "return [{'n': _node['In'].first().json.n, 'all': len(_('In').all())}]"
    path = tmp_path / "flow.json"
    links = {"In": {"main": [[{"node": "Reads", "type": "main", "index": 0}]]}}
    path.write_text(
        json.dumps(workflow(code("Reads", source), pinData={"In": [{"n": 3}, {"n": 4}]}, connections=links))
    )
    assert main(["exec", str(path)]) == 0
    assert [item["json"] for item in json.loads(capsys.readouterr().out)] == [{"n": 3, "all": 2}]
