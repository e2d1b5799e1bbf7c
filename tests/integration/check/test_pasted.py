"""What check proposes, pasted: a runner with exactly those lines runs every node that was promised to run, no other."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from reptarium.pool.bench.runners import OWN, RunnerProcess, Site, registered
from reptarium.pool.check.exports import read_all
from reptarium.pool.check.pins import as_items, task_of
from reptarium.pool.check.workflows import CodeNode, find
from reptarium.pool.cli.main import main
from reptarium.pool.embedded_broker import BrokerConfig, open_broker
from reptarium.pool.embedded_broker.outcome import failure_text
from tests.limits import fail_after
from tests.unit.check.exported import code, tool, workflow

ITEMS = as_items([{"n": 1, "text": "a b"}, {"n": 2, "text": "c"}])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment that the tests run in."""
    for name in os.environ:
        if name.startswith(("N8N_", "REPTARIUM_")):
            monkeypatch.delenv(name)


@pytest.fixture
def port() -> Iterator[int]:
    """Where something listens that a node may connect to."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield int(server.getsockname()[1])


def each(name: str, source: str) -> Any:
    """A node that runs once for each item."""
    node = code(name, source)
    node["parameters"]["mode"] = "runOnceForEachItem"
    return node


def exports(folder: Path, port: int) -> None:
    """Nodes that need all kinds of settings, and some that no setting lets run."""
    lists = [
        code("Lists", "import json, re\nfrom os import path\nreturn [{'n': json.dumps(path.join('a', 'b'))}]"),
        code("Parts", "import urllib, concurrent\nconcurrent.futures.wait\nreturn [{'q': urllib.parse.quote('a b')}]"),
        each("Each", "return {'n': _item['json']['n'] * 10}"),
        code("Old names", "for item in _input.all():\n    item.json.n += 1\nreturn _items", language="python"),
        code("Package", "import numpy as np\nreturn [{'m': float(np.mean([i['json']['n'] for i in _items]))}]"),
        code("Moments", "import datetime\nreturn [{'t': (_now + datetime.timedelta(days=1)).isoformat()}]"),
        code("Long" * 100, "return [{'n': eval('1 + 1')}]"),
        code("Off", "import subprocess", disabled=True),
        tool("Tool", "import textwrap\nreturn textwrap.shorten(_query, 5)"),
        code("Processes", "import subprocess\nreturn [{'n': subprocess.run(['true']).returncode}]"),
        code("Luxon", "return [{'t': _now.toISO()}]", language="python"),
        code("Not there", "for item in _items:\n    item.json.n = 1\nreturn _items"),
    ]
    powers = [
        code("Files", "with open('a.txt', 'w') as f:\n    f.write('x')\nreturn [{'n': len(open('a.txt').read())}]"),
        code("Plain", "import ctypes\nreturn [{'n': ctypes.sizeof(ctypes.c_int), 'm': [].__class__.__mro__ != 0}]"),
        code(
            "Connects", f"import socket\nsocket.create_connection(('127.0.0.1', {port})).close()\nreturn [{{'n': 1}}]"
        ),
        code("Temporary", "import tempfile\nwith tempfile.TemporaryDirectory() as d:\n    return [{'d': d != ''}]"),
    ]
    inner = {"nodes": [code("Inner", "import statistics\nreturn [{'n': statistics.mean([1, 2]), 'e': eval('3')}]")]}
    caller = {
        "name": "Sub", "type": "n8n-nodes-base.executeWorkflow", "typeVersion": 1.2,
        "parameters": {"source": "parameter", "workflowJson": json.dumps(inner)},
    }  # fmt: skip
    (folder / "lists.json").write_text(json.dumps(workflow(*lists, name="Lists")))
    (folder / "powers.json").write_text(json.dumps([workflow(*powers, caller, name="Powers", id="W2")]))


@pytest.mark.slow
def test_what_is_proposed_lets_run_what_is_promised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], port: int
) -> None:
    """Every node that should run under the proposal does so in a runner that has it, and the others fail there."""
    folder, settings = tmp_path / "exports", tmp_path / "settings"
    folder.mkdir()
    exports(folder, port)
    assert main(["check", str(folder), "--settings", str(settings), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["settings"]["unproven"] == []
    promised = {(one["node"]["source"], one["node"]["name"]) for one in data["nodes"] if one["status"] != "never"}
    lines = dict(line.split("=", 1) for line in (settings / "runner.env").read_text().splitlines())
    assert lines.pop("REPTARIUM_POLICY") == "/etc/reptarium/policy.toml"
    environ = {"N8N_RUNNERS_STDLIB_ALLOW": "", **lines, "REPTARIUM_POLICY": str(settings / "policy.toml")}
    nodes = [node for node in find(read_all([str(folder)])).nodes if not node.disabled]
    ran = trio.run(outcomes, nodes, environ)
    assert {key for key, said in ran.items() if said == ""} == promised, ran
    assert {name for _, name in ran.keys() - promised} == {"Processes", "Luxon", "Not there"}


async def outcomes(nodes: list[CodeNode], environ: dict[str, str]) -> dict[tuple[str, str], str]:
    """File and name of each node → why it failed in a runner with this environment; empty where it didn't."""
    found: dict[tuple[str, str], str] = {}
    with fail_after(120):
        async with open_broker(BrokerConfig()) as broker:
            runner = RunnerProcess(OWN, broker, environ)
            runner.start()
            try:
                await registered(Site("pasted", broker, [runner]), 1)
                for node in nodes:
                    query = "hello world" if node.tool else None
                    handle = broker.submit(task_of(node, [] if node.tool else ITEMS, query), timeout=60)
                    outcome = await handle.outcome()
                    found[node.source, node.name] = "" if outcome.status == "done" else failure_text(outcome)
            finally:
                await runner.stop()
    return found
