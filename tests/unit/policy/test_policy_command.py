"""`reptarium policy` and the rules in `reptarium run --print-config`."""

from __future__ import annotations

from pathlib import Path

import pytest

from reptarium.pool.cli.main import main
from reptarium.pool.policy.schema import render

RULES = """
[[rule]]
name = "charts"
workflow_id = ["1", "2"]
node = "Draw *"
scratch = "none"
connect_allow = ["a.example:443"]
[[rule]]
name = "rest"
task_memory = "2GiB"
[[rule]]
name = "never"
max_threads = 2
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of rules, with nothing of it in the environment."""
    for name in ("REPTARIUM_POLICY", "REPTARIUM_MAX_POOLS"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "policy.toml"
    file.write_text(RULES)
    return str(file)


def test_check_shows_the_rules(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Conditions, what is set, how many pools that takes; what is odd goes to standard error."""
    assert main(["policy", "check", path]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "rule charts: workflow_id 1, 2; node Draw *",
        "  scratch  none",
        "  connect_allow  a.example:443",
        "rule rest: every task",
        "  task_memory  2 GiB",
        "rule never: every task",
        "  max_threads  2",
        "3 rules, 2 pools of at most 4",
    ]
    assert err == f'warning: {path}:11: rule "never" is never reached: "rest" before it matches every task\n'


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        (["--workflow-id", "2", "--node", "Draw it"], "charts"),
        (["--workflow-id", "2", "--node", "Code"], "rest"),
        (["--workflow", "Draw"], "rest"),
    ],
)
def test_check_says_which_rule_matches(
    asked: list[str], rule: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it would be for a task of which that is known."""
    assert main(["policy", "check", path, *asked]) == 0
    assert capsys.readouterr().out.startswith(f"rule: {rule}\n  ")


def test_check_takes_the_file_in_force(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where none is named; and where there is none, that is bad usage. A task that no rule matches has its word too."""
    assert main(["policy", "check"]) == 2
    assert "REPTARIUM_POLICY" in capsys.readouterr().err
    monkeypatch.setenv("REPTARIUM_POLICY", path)
    Path(path).write_text('[[rule]]\nname = "a"\nnode = "x"\nmax_threads = 2')
    assert main(["policy", "check", "--node", "y"]) == 0
    assert capsys.readouterr().out == "rule: default\n"


@pytest.mark.parametrize("command", [["policy", "check"], ["run", "--print-config"], ["run"]])
def test_mistakes_are_told(
    command: list[str], path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With status 78, by whatever reads the file: a runner doesn't start with it."""
    monkeypatch.setenv("REPTARIUM_POLICY", path)
    monkeypatch.setenv("N8N_RUNNERS_AUTH_TOKEN", "secret")
    if command == ["run"]:
        monkeypatch.setattr("reptarium.pool.cli.run.take_over_stderr", lambda: None)
        monkeypatch.setattr("reptarium.pool.cli.run._take_all_descriptors", lambda: None)
    Path(path).write_text('[[rule]]\nname = "a"\nmax_threads = 0')
    assert main(command) == 78
    assert f'{path}:3: rule "a": max_threads: 0: out of range' in capsys.readouterr().err


def test_print_config_shows_the_rules(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below the settings."""
    monkeypatch.setenv("REPTARIUM_POLICY", path)
    assert main(["run", "--print-config"]) == 0
    out, err = capsys.readouterr()
    assert "rule charts: workflow_id 1, 2; node Draw *\n  scratch  none\n" in out
    assert '"never" is never reached' in err


def test_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """For editors."""
    assert main(["policy", "schema"]) == 0
    assert capsys.readouterr().out == render()
