"""What docs/ says is true: examples give the results shown, commands run, names and links exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pool.config_table import VARIABLES
from pool.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLE = re.compile(r"<!-- example( each-item)? -->\n```python\n(.*?)```\n```json\n(.*?)```", re.DOTALL)
USER_CODE = (ROOT / "docs/user-code.md").read_text()
EXAMPLES = EXAMPLE.findall(USER_CODE)


def reptarium(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, as a person would run it, with a clean environment."""
    return subprocess.run(
        [sys.executable, "-m", "pool", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
    )


def items() -> str:
    match = re.search(r"<!-- items -->\n```json\n(.*?)```", USER_CODE, re.DOTALL)
    assert match is not None
    return match[1]


def sections(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_there_are_examples() -> None:
    """The pattern above finds every example that the page marks."""
    assert len(EXAMPLES) == USER_CODE.count("<!-- example")
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize(("mode", "code", "expected"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_of_user_code(mode: str, code: str, expected: str, tmp_path: Path) -> None:
    """Each example gives the result that is printed below it, through the real pool and sandbox."""
    (tmp_path / "script.py").write_text(code)
    (tmp_path / "items.json").write_text(items())
    extra = ["--each-item"] if mode else []
    done = reptarium("exec", "script.py", "--items", "items.json", *extra, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(expected)


def commands() -> list[str]:
    found = [line for page in PAGES for block in sections(page.read_text(), "sh") for line in block.splitlines()]
    return sorted({line.strip() for line in found if line.strip()})


def test_every_command_is_run_below() -> None:
    """A command that is new in docs/ needs a test here."""
    assert commands() == [
        ".ci/deploy-tools.sh",
        "make e2e N8N_DIR=/path/to/n8n",
        "make test",
        "reptarium doctor",
        "reptarium exec script.py --items items.json",  # test_examples_of_user_code
        "reptarium run --print-config",
    ]


def test_print_config() -> None:
    """`reptarium run --print-config` needs no token, shows every variable and hides secrets."""
    done = reptarium("run", "--print-config", N8N_RUNNERS_AUTH_TOKEN="hush")
    assert done.returncode == 0, done.stderr
    assert all(variable.name in done.stdout for variable in VARIABLES)
    assert "hush" not in done.stdout + done.stderr


def test_doctor() -> None:
    """`reptarium doctor` names the layers, whatever this machine has of them."""
    done = reptarium("doctor")
    assert done.returncode in (0, 1), done.stderr
    for layer in ("seccomp", "landlock"):
        assert layer in done.stdout.lower()


@pytest.mark.parametrize("command", ["make test", "make e2e N8N_DIR=/path/to/n8n"])
def test_make_targets(command: str) -> None:
    """The targets exist; what they would do is only printed, since they run these very tests."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_deploy_tools_script() -> None:
    """The script may be executed and parses; CI runs it."""
    script = ROOT / ".ci/deploy-tools.sh"
    assert os.access(script, os.X_OK)
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_in_docs_exist(page: Path) -> None:
    """Every variable of ours and every metric that a page names exists, and so does every file."""
    text = page.read_text()
    known = {variable.name for variable in VARIABLES}
    assert set(re.findall(r"\bREPTARIUM_[A-Z_]+\b", text)) <= known
    exported = Metrics().expose().decode()
    for name in re.findall(r"\breptarium_[a-z_]+\b", text):
        assert name in exported, name
    for path in re.findall(r"`((?:deploy|tests|pool|sandbox|docs)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links point at files that exist."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
