"""Which Pythons CI tests on, and what it says of those that it didn't."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.limits import within

SCRIPT = Path(__file__).parents[3] / ".ci" / "pythons"


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkout with Python 3.11 as its own; 3.12 and 3.13 beside it, 3.14 only as what ``make pythons`` has made.

    ``make`` fails for what stands in ``fails``.
    """
    program(tmp_path / ".ci" / "pythons", SCRIPT.read_text().partition("\n")[2])
    program(tmp_path / "venv" / "bin" / "python", "echo python3.11")
    for version in ("3.11", "3.12", "3.13"):
        program(tmp_path / "bin" / f"python{version}", f"echo python{version}")
    program(tmp_path / "bin" / "python3.14", "exit 127")
    program(tmp_path / "made" / "pythons" / "python3.14", "echo python3.14")
    program(tmp_path / "bin" / "make", 'echo "make $*"; ! grep -qx "${2#VENV=}" fails')
    (tmp_path / "fails").write_text("nothing\n")
    return tmp_path


def run(place: Path, **environ: str) -> tuple[int, list[str]]:
    """The exit status and the lines."""
    path = f"{place / 'bin'}:{os.environ['PATH']}"
    environ = {"PATH": path, "VENV": "venv", "PLATFORMS": str(place / "made"), **environ}
    done = subprocess.run(
        ["bash", ".ci/pythons"], cwd=place, env=environ, capture_output=True, text=True, timeout=within(20)
    )
    return done.returncode, done.stdout.splitlines()


def test_each_that_is_there_is_tested_on(place: Path) -> None:
    """Also one that was made for it, where the name alone stands for nothing."""
    status, said = run(place)
    assert status == 0
    assert [line.split("VENV=")[1] for line in said if line.startswith("make")] == [
        f"venv-python{version} suites" for version in ("3.12", "3.13", "3.14")
    ]
    assert said[-1] == "TESTED on: python3.11 python3.12 python3.13 python3.14"


def test_one_that_is_not_there_is_named_last(place: Path) -> None:
    """Nobody takes it for tested; asked for by name, it has to be there."""
    (place / "made" / "pythons" / "python3.14").unlink()
    status, said = run(place)
    assert status == 0
    assert said[-2:] == [
        "TESTED on: python3.11 python3.12 python3.13",
        "NOT TESTED: python3.14 isn't here; perhaps: make pythons VERSIONS=3.14",
    ]
    assert run(place, PYTHONS="python3.12 python3.13")[0] == 0
    assert run(place, PYTHONS="python3.12 python3.14")[0] == 1


def test_the_others_are_tested_after_one_that_failed(place: Path) -> None:
    """The status tells, and the last line which."""
    (place / "fails").write_text("venv-python3.12\n")
    status, said = run(place)
    assert status == 1
    assert said[-2:] == ["TESTED on: python3.11 python3.13 python3.14", "FAILED on: python3.12"]
