"""What a release is made of: one version everywhere, workflows that lint and are pinned, a site without a warning."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import reptarium
from docs.diagrams import ROOT
from tests.limits import within

CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
USES = re.compile(r"uses: ([\w./-]+)@(\S+)(?: # (v\d+\.\d+\.\d+))?$", re.MULTILINE)


def lint(name: str, *arguments: str) -> None:
    """Run a tool that may not be there; the test is skipped by its name then."""
    places = os.pathsep.join((str(ROOT / ".venv-deploy/bin"), os.environ["PATH"]))
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run(
        [found, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=within(120), check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]
    return found


def notes(tag: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / ".ci/release-notes", tag],
        capture_output=True, text=True, timeout=within(60), check=False,
    )  # fmt: skip


def test_one_version() -> None:
    """The newest section of the changelog that has a day is this version's, and its notes can be made of that alone."""
    dated = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", CHANGELOG, re.MULTILINE)
    assert dated[0] == reptarium.__version__
    assert "## [Unreleased]" in CHANGELOG.split(f"## [{dated[0]}]")[0]
    made = notes(f"v{reptarium.__version__}")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("### ")
    assert "\n## [" not in made.stdout
    assert notes("v999.0.0").returncode == 1


@pytest.mark.parametrize("section", re.split(r"^## \[", CHANGELOG, flags=re.MULTILINE)[1:], ids=lambda text: text[:10])
def test_changelog_is_sorted(section: str) -> None:
    """Within a version each kind of change stands once, in Keep a Changelog's order."""
    order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    kinds = re.findall(r"^### (.+)$", section, re.MULTILINE)
    assert kinds == sorted(set(kinds), key=order.index)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned(path: Path) -> None:
    """Each by its whole commit, with the version that it is, the same everywhere."""
    used = [use for each in WORKFLOWS for use in USES.findall(each.read_text())]
    text = path.read_text()
    assert len(USES.findall(text)) == text.count("uses:")
    for action, commit, version in USES.findall(text):
        assert re.fullmatch("[0-9a-f]{40}", commit), action
        assert {(other, tag) for name, other, tag in used if name == action} == {(commit, version)}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_have_no_more_than_they_need(path: Path) -> None:
    """Nothing is permitted but by a job itself; each has a time limit; no checkout leaves a token behind."""
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    for name, job in jobs(path).items():
        assert job["timeout-minutes"] <= 180, name
        assert "permissions" in job, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
    assert not re.search(r"run:.*\$\{\{", path.read_text())  # what somebody else chooses is no program


def test_every_python_is_tested() -> None:
    """On both architectures, those that the metadata names."""
    matrix = jobs(ROOT / ".github/workflows/tests.yml")["test"]["strategy"]["matrix"]
    named = re.findall(r"Python :: (\d\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert matrix["python"] == named
    assert any(machine.endswith("-arm") for machine in matrix["machine"])


def test_what_workflows_call_is_there() -> None:
    """Scripts and targets of make that a step runs exist."""
    makefile = (ROOT / "Makefile").read_text()
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            for run in (step["run"] for step in job["steps"] if "run" in step):
                for script in re.findall(r"\.ci/[\w.-]+", run):
                    assert os.access(ROOT / script, os.X_OK), name
                for targets in re.findall(r"^(?:sudo .*)?\bmake ([a-z ]+)", run, re.MULTILINE):
                    for target in targets.split():
                        assert re.search(rf"^(?:[a-z]+ )*{target}(?: [a-z]+)*:", makefile, re.MULTILINE), target


def test_workflows_pass_zizmor() -> None:
    """Nothing that an attacker of the workflows would like."""
    lint("zizmor", "--offline", "--quiet", ".github")


def test_workflows_pass_actionlint() -> None:
    """Keys, expressions and shell of the workflows are right."""
    lint("actionlint")


def test_navigation_has_every_page() -> None:
    """Each page of docs/ has its place in the site, once."""

    named: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, str):
            named.append(node)
        else:
            for inner in node.values() if isinstance(node, dict) else node:
                walk(inner)

    walk(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(named) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    """No link or anchor that leads nowhere, no page that is left out."""
    lint("mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site"))
    assert (tmp_path / "site/index.html").stat().st_size > 1000
