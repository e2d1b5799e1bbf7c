"""`reptarium check` as an administrator uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reptarium.pool.cli.main import main
from tests.limits import within
from tests.unit.check.exported import code, tool, workflow

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment that the tests run in."""
    for name in os.environ:
        if name.startswith(("N8N_", "REPTARIUM_")):
            monkeypatch.delenv(name)


def export(path: Path, *nodes: Any, **more: Any) -> str:
    """A file with one workflow."""
    path.write_text(json.dumps(workflow(*nodes, **more)))
    return str(path)


def test_from_nothing_to_what_is_proposed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What doesn't run under no settings runs under those that are written."""
    export(tmp_path / "a.json", code("A", "import json\nreturn []"), code("B", "eval('1')"), tool("T", "return _query"))
    export(tmp_path / "b.json", code("C", "open('a', 'w')"), id="W2", name="Files")
    settings = tmp_path / "settings"
    assert main(["check", str(tmp_path), "--settings", str(settings), "--html", str(tmp_path / "r.html")]) == 1
    assert "4 Python nodes in 2 workflows: 1 run, 3 need settings" in capsys.readouterr().out
    assert "<!doctype html>" in (tmp_path / "r.html").read_text()
    for line in (settings / "runner.env").read_text().splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    monkeypatch.setenv("REPTARIUM_POLICY", str(settings / "policy.toml"))
    assert main(["check", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["runs"] == 4


def test_standard_input() -> None:
    """An export can come by standard input; a report for code review goes to standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "reptarium", "check", "-", "--sarif"],
        input=json.dumps(workflow(code("A", "import subprocess"))),
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=within(60), check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["runs"][0]["results"][0]["ruleId"] == "never"


def test_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and the rest is checked."""
    (tmp_path / "broken.json").write_text("{")
    good = export(tmp_path / "a.json", code("A", "return []"))
    assert main(["check", good, str(tmp_path / "broken.json")]) == 2
    text = capsys.readouterr().out
    assert "broken.json: it is not JSON" in text
    assert "1 run" in text


def test_nowhere(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Without a place to read, or with one to write that isn't there, it says so."""
    assert main(["check"]) == 2
    assert "name a FILE" in capsys.readouterr().err
    assert main(["check", "--n8n-url", "http://127.0.0.1:1"]) == 2
    assert "--n8n-url needs --api-key-file" in capsys.readouterr().err
    (tmp_path / "key").write_text("abc")
    assert main(["check", "--n8n-url", "http://127.0.0.1:1", "--api-key-file", str(tmp_path / "key")]) == 2
    assert "Connection refused" in capsys.readouterr().err
    good = export(tmp_path / "a.json", code("A", "return []"))
    assert main(["check", good, "--html", str(tmp_path / "no/where.html")]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path) -> None:
    """A report that finds no room ends in words about standard output, and is no export that can't be read."""
    good = export(tmp_path / "a.json", *(code(f"N{number}", "import json") for number in range(20)))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "reptarium", "check", good, "--json"],
            env={"PATH": os.environ["PATH"]}, stdout=full, stderr=subprocess.PIPE, text=True, timeout=within(60),
            check=False,
        )  # fmt: skip
    assert done.stderr.endswith("reptarium: No space left on device (standard output)\n")
    assert done.returncode == 1


@pytest.mark.slow
def test_many_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten thousand nodes in one export, most of them alike, are checked."""
    nodes = [code(f"N{number}", f"import json\nreturn [{{'n': {number % 50}}}]") for number in range(10_000)]
    assert main(["check", export(tmp_path / "a.json", *nodes), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["counts"]["settings"] == 10_000
    assert data["settings"]["environ"] == {"N8N_RUNNERS_STDLIB_ALLOW": "json"}


@pytest.mark.slow
def test_a_thousand_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand nodes with a program of their own each are checked; how long that takes is printed."""
    programs = [json.loads(line)["code"] for line in (DATA / "programs.jsonl").read_text().splitlines()]
    nodes = [code(f"N{number}", f"{programs[number % len(programs)]}\n# {number}") for number in range(1_000)]
    path = export(tmp_path / "a.json", *nodes)
    began = time.perf_counter()
    assert main(["check", path, "--json"]) == 1
    seconds = time.perf_counter() - began
    assert json.loads(capsys.readouterr().out)["counts"]["python"] == 1_000
    with capsys.disabled():
        print(f"\nreptarium check: 1,000 nodes in {seconds:.1f} s")
