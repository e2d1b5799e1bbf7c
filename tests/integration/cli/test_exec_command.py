"""`reptarium exec` as a person uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reptarium.pool.cli.main import main
from tests.limits import within

ITEMS = '[{"n": 1}, {"json": {"n": 2}}]'


def reptarium(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """One command, bounded."""
    return subprocess.run(
        [sys.executable, "-m", "reptarium", *arguments],
        input=stdin,
        text=True,
        capture_output=True,
        timeout=within(60),
        env={"PATH": os.environ["PATH"], **environ},
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script to fill."""
    return tmp_path / "script.py"


def test_result_on_stdout_prints_on_stderr(script: Path) -> None:
    """The two streams don't mix."""
    script.write_text("print('sum')\nreturn [{'json': {'sum': sum(i['json']['n'] for i in _items)}}]")
    done = reptarium("exec", str(script), "--items", "-", stdin=ITEMS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"json": {"sum": 3}}]
    assert done.stderr == "sum\n"


def test_each_item(script: Path) -> None:
    """--each-item runs the code once for each."""
    script.write_text("return {'double': _item['json']['n'] * 2}")
    done = reptarium("exec", str(script), "--items", "-", "--each-item", stdin=ITEMS)
    assert [item["json"] for item in json.loads(done.stdout)] == [{"double": 2}, {"double": 4}]


@pytest.mark.slow
def test_query(script: Path) -> None:
    """--query takes JSON, or plain text; of what comes back n8n hands text and numbers to the agent."""
    script.write_text("return _query")
    refused = reptarium("exec", str(script), "--query", '{"a": 1}')
    assert refused.returncode == 1
    assert "n8n would refuse the result: the tool returns a dict. Return a text, or a number" in refused.stderr
    assert json.loads(reptarium("exec", str(script), "--query", '{"a": 1}', "--raw").stdout) == {"a": 1}
    assert json.loads(reptarium("exec", str(script), "--query", "plain words").stdout) == "plain words"


@pytest.mark.slow
def test_what_n8n_would_say(script: Path) -> None:
    """What are no items fails as in n8n, and --raw prints it; prints look as one asks; there is no n8n to call."""
    script.write_text("\ufeffprint('a', {'b': (1,)})\nreturn 5", "utf-8")
    done = reptarium("exec", str(script), "--console", "n8n", N8N_RUNNER_PATH="/x")
    assert (done.returncode, done.stdout) == (1, "")
    assert "'a' {\"b\": [1]}\n" in done.stderr
    assert "warning: N8N_RUNNER_PATH is not a setting" in done.stderr
    assert "the code returns a number (5)" in done.stderr
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "reptarium", "exec", str(script), "--raw"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=within(60))
    assert done.returncode == 1
    assert done.stderr == "a {'b': (1,)}\nreptarium: No space left on device (standard output)\n"
    done = reptarium("exec", "-", stdin="\ufeffreturn _helpers.http_request('http://x.test')")
    assert "there is no n8n here" in done.stderr


def test_failed_task(script: Path) -> None:
    """Exit status 1 and a readable error with the script's own line."""
    script.write_text("x = 1\nreturn x / 0")
    done = reptarium("exec", str(script))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "division by zero" in done.stderr
    assert "Line 2" in done.stderr


@pytest.mark.slow
def test_time_limit(script: Path) -> None:
    """--timeout cuts a runaway off."""
    script.write_text("while True:\n    pass")
    done = reptarium("exec", str(script), "--timeout", "0.5")
    assert done.returncode == 1
    assert "timed out after 0.5 seconds" in done.stderr
    assert "raise --timeout" in done.stderr


@pytest.mark.slow
def test_refused_import(script: Path) -> None:
    """A refusal names the module, the line and the setting."""
    script.write_text("import json\nimport csv\nreturn 1")
    done = reptarium("exec", str(script), "--allow-stdlib", "json")
    assert done.returncode == 1
    for part in ("csv", "Line 2", "N8N_RUNNERS_STDLIB_ALLOW"):
        assert part in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["/no/such/file.py"], "", "cannot be read"),
        (["-", "--items", "-"], "", "both"),
        (["-", "--items", "/no/such/items"], "return 1", "--items"),
        (["-", "--timeout", "soon"], "return 1", "--timeout='soon': not a number of seconds"),
        *(
            pytest.param(arguments, "return 1", said, marks=pytest.mark.slow)
            for arguments, said in ((["-", "--query", "[1]"], "--query"), (["-", "--timeout", "1e9"], "--timeout="))
        ),
    ],
)
def test_bad_input(arguments: list[str], stdin: str, said: str) -> None:
    """Exit status 2 and a message that names the fault."""
    done = reptarium("exec", *arguments, stdin=stdin)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.slow
def test_items_that_are_no_json(script: Path) -> None:
    """Broken items are bad input, not a failed task."""
    script.write_text("return 1")
    done = reptarium("exec", str(script), "--items", "-", stdin="{")
    assert done.returncode == 2


@pytest.mark.parametrize("command", ["", "run", "exec", "broker", "demo", "bench", "doctor", "policy"])
def test_help_for_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command explains itself."""
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: reptarium {command}".rstrip())


@pytest.mark.slow
def test_what_the_terminal_cannot_write(script: Path) -> None:
    """A result is JSON whatever characters standard output knows."""
    script.write_text("return [{'a': '\\u00e9\\ud800'}]", "utf-8")
    for encoding in ("ascii", "utf-8"):
        done = reptarium("exec", str(script), PYTHONIOENCODING=encoding)
        assert (done.returncode, json.loads(done.stdout)) == (0, [{"json": {"a": "\u00e9\ud800"}}]), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("items", ["[" * 100_000, '[{"a": "\\ud800"}]'])
def test_odd_items(script: Path, items: str) -> None:
    """Items that can't be sent are bad input, in one line."""
    script.write_text("return _items")
    done = reptarium("exec", str(script), "--items", "-", stdin=items)
    assert done.returncode == 2
    assert done.stderr.startswith("reptarium exec: --items -: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_byte_order_mark(script: Path) -> None:
    """A file of an editor that begins with a byte order mark is read like any other."""
    script.write_text("return [{'a': 1}]", "utf-8-sig")
    assert json.loads(reptarium("exec", str(script)).stdout) == [{"json": {"a": 1}}]
