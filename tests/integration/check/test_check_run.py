"""`reptarium check --run`: nodes in real workers, on pinned items, with nothing sent anywhere."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reptarium.pool.cli.main import main
from tests.limits import within
from tests.unit.check.exported import code, tool, workflow


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open lists, and nothing else of the environment that the tests run in."""
    for name in os.environ:
        if name.startswith(("N8N_", "REPTARIUM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("N8N_RUNNERS_STDLIB_ALLOW", "*")


def runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], nodes: list[Any], pins: Any, *options: str
) -> tuple[int, dict[str, tuple[str, str, str]]]:
    """Exit status, and by node its verdict, what it was compared with, and the detail. `In` leads to every node."""
    links = {"In": {"main": [[{"node": node["name"], "type": "main", "index": 0} for node in nodes]]}}
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(workflow(*nodes, pinData=pins, connections=links)))
    status = main(["check", str(path), "--run", "--json", *options])
    done = json.loads(capsys.readouterr().out)["runs"]
    return status, {
        run["place"].removeprefix("Orders › "): (run["verdict"], run["with_what"], run["detail"]) for run in done
    }


IN = [{"json": {"n": 1}}, {"json": {"n": 2}}]


def test_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Same, differs, fails, ran and not run are told apart; calls to n8n and connections end in the sandbox."""
    each = code("Each", "return {'n': _item['json']['n'] * 10}")
    each["parameters"]["mode"] = "runOnceForEachItem"
    nodes = [
        each,
        code("Other", "return [{'json': {'n': 5}}]"),
        code("Fails", "print(1)\nreturn [1 / 0]"),
        code(
            "Alone",
            "assert (_prev_node.name, dict(_input.params)) == ('In', {})\n"
            "return [{'json': {'at': _node['In'].first().json.n, 'one': _node['In'].item.json.n}}]",
        ),
        code("Asks", "return _helpers.http_request('http://127.0.0.1:1/')"),
        code("Connects", "import socket\nsocket.create_connection(('127.0.0.1', 1))"),
        code("Refused", "import subprocess"),
        code("Late", "import pandas\nreturn [{'t': _now.toISO()}]"),
        code("Off", "return []", disabled=True),
        tool("Tool", "return _query"),
    ]
    pins = {"In": IN, "Each": [{"json": {"n": 10}}, {"n": 20}], "Other": [{"json": {"n": 6}}]}
    status, found = runs(tmp_path, capsys, nodes, pins)
    assert status == 1
    assert found["Each"] == ("same", "pinned to Each", "")
    assert found["Other"] == ("differs", "pinned to Other", "item 0.n: 5, and there 6")
    assert found["Alone"][:2] == ("ran", "")
    assert [found[name][0] for name in ("Fails", "Asks", "Connects", "Refused", "Late", "Tool")] == [
        *["fails"] * 5,
        "skipped",
    ]
    assert "division by zero" in found["Fails"][2]
    assert "not in a check" in found["Asks"][2]
    assert "REPTARIUM_CONNECT_ALLOW" in found["Connects"][2]
    assert "tasks start no processes" in found["Refused"][2]
    assert "toISO" in found["Late"][2]
    assert "Off" not in found


@pytest.mark.slow
def test_each_under_its_own_powers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is proposed for one node is what that node runs under, beside others that need something else."""
    nodes = [
        code("Lists", "return [{'n': hasattr(_items, 'x')}]"),
        code("Files", "with open('a.txt', 'w') as file:\n    file.write('x')\nreturn [{'n': 1}]"),
        code("Plain", "return [{'n': eval('1 + 1')}]"),
    ]
    status, found = runs(tmp_path, capsys, nodes, {"In": IN})
    assert found == {node["name"]: ("ran", "", "") for node in nodes}
    assert status == 1  # two need settings


def test_results_that_n8n_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node whose result n8n would refuse has failed, unless its workflow goes on with that."""
    nodes = [
        code("Number", "found = 3\nreturn found"),
        code("Goes on", "found = 3\nreturn found", onError="continueRegularOutput"),
        code("Dict", "found = {'a': 1}\nreturn found"),
    ]
    _, found = runs(tmp_path, capsys, nodes, {"In": IN})
    assert {name: verdict for name, (verdict, _, _) in found.items()} == {
        "Number": "fails", "Goes on": "ran", "Dict": "ran",
    }  # fmt: skip
    assert found["Number"][2].startswith("n8n refuses the result: the code returns a number (3)")


def test_items_and_answers_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Items can be given by a node's name, and recorded answers to its calls, in their order."""
    (tmp_path / "items.json").write_text('[{"n": 7}]')
    (tmp_path / "answers.json").write_text(
        '{"Asks": {"httpRequest": [{"a": 1}, {"statusCode": 201, "headers": {}, "body": 2}]}}'
    )
    nodes = [
        code("Given", "return _items"),
        code("Asks", "get = _helpers.http_request\nreturn [{**get('http://a.example'), 'b': get('http://b.example')}]"),
    ]
    pins = {"Given": [{"json": {"n": 7}}], "In": IN, "Asks": [{"a": 1, "b": 2}]}
    options = ["--items", f"Given={tmp_path}/items.json", "--answers", str(tmp_path / "answers.json")]
    status, found = runs(tmp_path, capsys, nodes, pins, *options)
    assert found == {"Given": ("same", "pinned to Given", ""), "Asks": ("same", "pinned to Asks", "")}
    assert status == 0


def test_tools_run_on_what_they_are_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A text or an object; the name may have "=" in it. A tool that nothing is asked of doesn't run."""
    nodes = [
        tool("a=b", "return _query.upper()"),
        tool("Adds", "return _query['n'] + 1"),
        tool("Fails", "return _query.missing"),
        tool("Wrong", "found = {'a': 1}\nreturn found"),
        tool("Rests", "return _query"),
    ]
    options = ["--query", "a=b=x=y", "--query", 'Adds={"n": 1}', "--query", "Fails=z", "--query", "Wrong=z"]
    status, found = runs(tmp_path, capsys, nodes, {}, *options)
    assert {name: verdict for name, (verdict, _, _) in found.items()} == {
        "a=b": "ran", "Adds": "ran", "Fails": "fails", "Wrong": "fails", "Rests": "skipped",
    }  # fmt: skip
    assert "missing" in found["Fails"][2]
    assert found["Wrong"][2] == "n8n refuses the result: the tool returns a dict. Return a text, or a number"
    assert found["Rests"][2] == "a tool runs on a query: --query NODE=TEXT"
    assert status == 1


@pytest.mark.slow
def test_against_another_runner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a runner to compare with, its results count; what it logs doesn't get into the report."""
    command = shlex.join([sys.executable, "-m", "reptarium", "run"])
    nodes = [
        code("Same", "return _items"),
        code("Here", "import os\nreturn [{'n': os.getppid() > 0, 'p': os.getpid()}]"),
    ]
    status, found = runs(tmp_path, capsys, nodes, {"In": IN}, "--against", command)
    assert found["Same"] == ("same", "n8n's runner", "")
    assert status == 0 or found["Here"][0] == "differs"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--against", "false"], "--against false: the runner ended with status 1"),
        (["--items", "x.json"], "NODE=FILE is wanted"),
        (["--items", "A=none.json"], "No such file"),
        (["--items", "B=items.json"], "there is no Python Code node 'B'"),
        (["--query", "A=hello"], "there is no Code Tool 'A'"),
        (["--query", "Tool"], "NODE=TEXT is wanted"),
        (["--query", "Tool=[1]"], "--query Tool: a string or a JSON object is wanted"),
        (["--answers", "none.json"], "No such file"),
    ],
)
def test_what_can_not_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    """A runner that doesn't start, and files that aren't there, end in words and status 2."""
    (tmp_path / "a.json").write_text(json.dumps(workflow(code("A", "return []"), tool("Tool", "1"), pinData={"A": []})))
    assert main(["check", str(tmp_path / "a.json"), "--run", *options]) == 2
    assert said in capsys.readouterr().err


HOSTILE = {
    "Endless": ("while True: pass", "timed out"),
    "Memory": ("held = []\nwhile True: held.append(bytearray(10_000_000))", "exceeded its memory limit"),
    "Forks": ("import ctypes\nwhile True: ctypes.CDLL(None).fork() < 0 and 1 / 0", "division by zero"),
    "Floods": ("while True: print('x' * 10_000)", "timed out"),
    "Exits": ("import sys\nsys.exit(0)", "tried to exit"),
    "Ends": ("import os\nos._exit(0)", ""),
    "Says much": ("raise ValueError('z' * 10_000_000)", "zzz"),
    "Huge": ("return [{'json': {'x': 'y' * 100_000_000}} for _ in range(20)]", "memory limit"),
    "Deep": ("x = 1\nfor _ in range(100_000): x = [x]\nreturn [{'json': {'x': x}}]", "nested too deeply"),
    "Never ends a line": ("import re\nre.match('(a+)+$', 'a' * 60 + 'b')", "timed out"),
}


@pytest.mark.slow
def test_hostile_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a program does, it ends in a verdict in few words, and those after it are run."""
    monkeypatch.setenv("N8N_RUNNERS_TASK_TIMEOUT", "4")
    nodes = [*(code(name, source) for name, (source, _) in HOSTILE.items()), code("After", "return _items")]
    _, found = runs(tmp_path, capsys, nodes, {"In": IN})
    for name, (_, words) in HOSTILE.items():
        assert found[name][0] == "fails", (name, found[name])
        assert words in found[name][2]
        assert len(found[name][2]) < 1_000
    assert found["After"][0] == "ran"


@pytest.mark.slow
def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends the nodes, and what came of those before is in the report."""
    sources = {"First": "return _items", "Second": "import time\ntime.sleep(6)\nreturn []", "Third": "while True: pass"}
    nodes = [code(name, source) for name, source in sources.items()]
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(workflow(*nodes, pinData={node["name"]: IN for node in nodes})))
    command = [sys.executable, "-m", "reptarium", "check", str(path), "--run", "--json"]
    environ = {"PATH": os.environ["PATH"], "N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_TASK_TIMEOUT": "600"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr is not None
        assert "2 of 3 nodes run" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=within(60))
    assert process.returncode == 130
    assert "interrupted" in err
    ran = {run["place"].partition(" › ")[2]: (run["verdict"], run["detail"]) for run in json.loads(out)["runs"]}
    assert ran == {"First": ("ran", ""), "Second": ("ran", ""), "Third": ("skipped", "it wasn't reached")}
