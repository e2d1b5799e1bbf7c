"""The forms of a report: for programs, for code review, to send on, and on a terminal."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reptarium.pool.check.checking import Result
from reptarium.pool.check.exports import Problem
from reptarium.pool.check.report import as_json, page, sarif, table
from reptarium.pool.check.report.words import headline
from reptarium.pool.check.running import NodeRun
from reptarium.pool.cli.task_input import BadInput, read_task
from tests.unit.check.exported import code, result, workflow

#: Whoever writes workflows chooses names and code.
HOSTILE = "<script>alert(1)</script> [red]\x1b[2J\u202e"
SECRET = "sk-live-0123456789"


def checked() -> Result:
    """A report with something of each kind in it."""
    nodes = [
        code("Runs", "return []"),
        code("Lists", f"import json\nkey = {SECRET!r}"),
        code(HOSTILE, "import requests\nrequests.get('https://a.example')\nimport datetime\ndatetime.datetime.now()"),
        code("Never", "import subprocess"),
        code("Off", "def f(:", disabled=True),
    ]
    pins = {"Lists": [{"json": {"password": SECRET}}]}
    return result(workflow(*nodes, name=HOSTILE, pinData=pins), {"nodes": 3})


def test_headline() -> None:
    """What it comes down to is said in one line; disabled nodes don't count."""
    assert headline(checked()) == (
        "4 Python nodes in 2 workflows, 1 more disabled: 1 run, 2 need settings, 1 must change"
    )


def test_json() -> None:
    """The report for programs has each node, what to change, the settings, and what couldn't be read."""
    data = json.loads(as_json.render(checked()))
    assert data["counts"] == {"workflows": 2, "nodes": 5, "python": 5, "runs": 1, "settings": 2, "never": 1}
    assert [node["status"] for node in data["nodes"]] == ["runs", "settings", "settings", "never", "never"]
    (refusal,) = data["nodes"][1]["refusals"]
    assert (refusal["line"], refusal["setting"]) == (1, "N8N_RUNNERS_STDLIB_ALLOW")
    assert refusal["change"] == "N8N_RUNNERS_STDLIB_ALLOW decides this"
    assert data["settings"]["environ"]["N8N_RUNNERS_STDLIB_ALLOW"] == "datetime,json"
    assert data["problems"][0]["source"] == "2.json"


@pytest.mark.parametrize("render", [as_json.render, sarif.render, page.render])
def test_nothing_secret(render: object) -> None:
    """Neither code nor pinned data is in a report."""
    assert callable(render)
    assert SECRET not in render(checked())


def test_sarif() -> None:
    """Each refusal is a result at the line of the export that the code stands in, with a rule that is declared."""
    (run,) = json.loads(sarif.render(checked()))["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {one["ruleId"] for one in run["results"]} <= rules
    levels = {one["ruleId"]: one["level"] for one in run["results"]}
    assert levels["never"] == "error"
    assert levels["imports"] == "warning"
    assert levels["differs"] == "note"
    assert levels["syntax"] == "note"  # that node is disabled


def test_sarif_lines(tmp_path: Path) -> None:
    """The line is the export's, wherever in it the node stands and however its text is escaped."""
    path = tmp_path / "an export.json"
    path.write_text(json.dumps(workflow(code("A", "x = 'é'"), code("B", "import subprocess  # é")), indent=1))
    number = next(n for n, line in enumerate(path.read_text().splitlines(), 1) if "subprocess" in line)
    everything = result(json.loads(path.read_text()))
    for report in everything.checked.reports:
        report.node = msgspec.structs.replace(report.node, source=str(path))
    (run,) = json.loads(sarif.render(everything))["runs"]
    (where,) = {json.dumps(one["locations"][0]["physicalLocation"]) for one in run["results"]}
    assert json.loads(where) == {
        "artifactLocation": {"uri": path.as_uri()}, "region": {"startLine": number}
    }  # fmt: skip


def test_sarif_of_equal_nodes(tmp_path: Path) -> None:
    """Nodes of equal code, and workflows of one name in two files, have lines and files of their own."""
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    nodes = [code("A", "import subprocess  # é"), code("B", "x = 1"), code("C", "import subprocess  # é")]
    for path, escaped in zip(paths, (True, False), strict=True):
        path.write_text(json.dumps(workflow(*nodes), indent=1, ensure_ascii=escaped))
    everything = result(*(json.loads(path.read_text()) for path in paths))
    for report in everything.checked.reports:
        report.node = msgspec.structs.replace(report.node, source=str(paths[report.node.source == "2.json"]))
    lines = [n for n, line in enumerate(paths[0].read_text().splitlines(), 1) if "subprocess" in line]
    for path in paths:
        everything.runs.append(NodeRun(place="Orders › C", source=str(path), verdict="fails"))
    (run,) = json.loads(sarif.render(everything))["runs"]
    at = [(one["ruleId"] == "run", one["locations"][0]["physicalLocation"]) for one in run["results"]]
    places = [(ran, one["artifactLocation"]["uri"], one["region"]["startLine"]) for ran, one in at]
    assert list(dict.fromkeys(places)) == [
        *((False, path.as_uri(), line) for path in paths for line in lines),
        *((True, path.as_uri(), lines[1]) for path in paths),
    ]


def test_names_of_files_that_are_not_utf_8(tmp_path: Path) -> None:
    """A file's name is bytes: in JSON what is no text of them is replaced, in an address it is escaped."""
    name = os.fsdecode(b"a\xff.json")
    everything = result({"nodes": 3}, workflow(code("A", "import subprocess")))
    everything.checked.found.problems = [Problem(name, "it is empty")]
    everything.checked.found.notes = [Problem(name, "odd")]
    for report in everything.checked.reports:
        report.node = msgspec.structs.replace(report.node, source=name)
    data = json.loads(as_json.render(everything))
    sources = [data["problems"][0]["source"], data["notes"][0]["source"], data["nodes"][0]["node"]["source"]]
    assert sources == ["a\ufffd.json"] * 3
    (run,) = json.loads(sarif.render(everything))["runs"]
    places = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]}
    assert places == {"a%FF.json"}
    assert "a\ufffd.json" in page.render(everything)


def test_why_an_export_is_not_run(tmp_path: Path) -> None:
    """What `reptarium exec` says of an export has its names without what drives a terminal."""
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"name": HOSTILE, "nodes": 3}))
    with pytest.raises(BadInput, match="`nodes` is a number") as caught:
        read_task(argparse.Namespace(code=str(path), node=None), "exec")
    assert str(caught.value).isprintable()


def test_page() -> None:
    """The page is whole by itself, and what people wrote is text in it."""
    text = page.render(checked())
    parser = _Tags()
    parser.feed(text)
    assert {"table", "pre", "h1", "style"} <= parser.tags
    assert not parser.tags & {"script", "link", "img", "iframe", "object", "base"}
    assert not re.search(r"\b(src|href|on\w+)=", text)
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)


def test_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal all is there, and nothing that people wrote moves its cursor or is taken for markup."""
    table.show(checked())
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]" in text
    assert "N8N_RUNNERS_STDLIB_ALLOW=datetime,json" in text
    assert "No setting lets these run" in text
    assert "4 Python nodes in 2 workflows" in text


def test_narrow_terminals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where columns would be too narrow to be read, what stands in them stands below one another."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    table.show(checked())
    lines = re.sub("\x1b\\[[0-9]*m", "", capsys.readouterr().out).splitlines()
    assert any(line.startswith("what stands in the way: line 1: import of 'json' is") for line in lines)
    assert not any("│" in line for line in lines)


def test_without_python(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a Python node that is what is said."""
    everything = result(workflow())
    table.show(everything)
    assert capsys.readouterr().out.strip() == "0 Python nodes in 1 workflow: nothing to run"
    assert "There is no Python node" in page.render(everything)


def test_sarif_of_what_n8n_itself_has() -> None:
    """What was read over the API is at the address at which n8n shows the workflow; a problem, at n8n's own."""
    everything = result(workflow(code("A", "import subprocess"), id="a b"))
    (report,) = everything.checked.reports
    report.node = msgspec.structs.replace(report.node, source="https://n8n.example.com:8443/sub")
    everything.checked.found.problems = [Problem("http://127.0.0.1:5678", "its pages don't end")]
    (run,) = json.loads(sarif.render(everything))["runs"]
    assert list(dict.fromkeys(_addresses(run))) == [
        "https://n8n.example.com:8443/sub/workflow/a%20b",
        "http://127.0.0.1:5678",
    ]


def test_sarif_has_what_its_readers_ask_for() -> None:
    """Of each run, rule and result those properties that SARIF 2.1.0 and code review require, of their types."""
    log = json.loads(sarif.render(checked()))
    assert (log["version"], log["$schema"]) == ("2.1.0", "https://json.schemastore.org/sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    assert all(rule["id"] and rule["shortDescription"]["text"] for rule in driver["rules"])
    assert len({rule["id"] for rule in driver["rules"]}) == len(driver["rules"])
    assert run["results"]
    for one in run["results"]:
        assert one["level"] in ("none", "note", "warning", "error")
        assert one["message"]["text"]
        (where,) = one["locations"]
        assert where["physicalLocation"]["region"]["startLine"] >= 1
        assert all(" " not in uri for uri in _addresses(run))


def _addresses(run: Any) -> list[str]:
    """The addresses of a run's results."""
    return [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]]
