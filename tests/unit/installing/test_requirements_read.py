"""What the runner reads of a requirements file, what its installer sees, and how its failures are said."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from reptarium.pool.config import load_settings
from reptarium.pool.installing import installer
from reptarium.pool.installing.blame import explain, plain
from reptarium.pool.installing.own import own_versions
from reptarium.pool.installing.place import Place
from reptarium.pool.installing.requirements import PackagesRefused, Requirements, read_requirements
from tests.limits import within


def read(folder: Path, text: str, **others: str) -> Requirements:
    (folder / "r.txt").write_text(text)
    for name, other in others.items():
        (folder / f"{name}.txt").write_text(other)
    return read_requirements(str(folder / "r.txt"))


def test_lines_have_their_numbers_and_names(tmp_path: Path) -> None:
    """Comments, continued lines, extras, markers, files and addresses; what is included is read, constraints are not
    asked for.
    """
    found = read(
        tmp_path,
        "\ufeff# what for\n--index-url https://${WHO}@index.test/simple\n"
        "Pandas [excel] >= 2 ; python_version > '3'  # it\n"
        "numpy==1.0 \\\n   --hash=sha256:aa \\\n   --hash=sha256:bb\n-r more.txt\n-c=limits.txt\n"
        "./x/some_thing-1.0-py3-none-any.whl\n"
        "Zope.Interface @ https://index.test/z.whl#sha256=a\ngit+https://x.test/y#egg=My_Own\n",
        more="alpha\n",
        limits="beta<3\n",
    )
    assert [(line.number, line.name) for line in found.lines] == [
        (2, ""), (3, "pandas"), (4, "numpy"), (9, "some-thing"), (10, "zope-interface"), (11, "my-own"), (1, "alpha"),
    ]  # fmt: skip
    assert found.lines[2].text == "numpy==1.0 --hash=sha256:aa --hash=sha256:bb"
    assert found.hashed
    assert found.variables == {"WHO"}
    assert found.lines[-1].file == str(tmp_path / "more.txt")


def test_another_text_is_another_directory(tmp_path: Path) -> None:
    """What is included counts, and so does what the runner needs; the file's name doesn't."""
    first = read(tmp_path, "a\n-c limits.txt\n", limits="b<1\n")
    assert read(tmp_path, "a\n-c limits.txt\n", limits="b<1\n").digest == first.digest
    assert read(tmp_path, "a\n-c limits.txt\n", limits="b<2\n").digest != first.digest
    assert read(tmp_path, "a \n-c limits.txt\n", limits="b<1\n").digest != first.digest
    assert read_requirements(str(tmp_path / "r.txt"), "trio==1").digest != first.digest


@pytest.mark.parametrize(
    ("text", "says"),
    [("a\n-e ./mine\n", "line 2 (-e ./mine)"), ("-r none.txt\n", "none.txt can't be read"), ("\n", "")],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str, says: str) -> None:
    """A package to be edited, a file that isn't there; an empty one asks for nothing."""
    if not says:
        assert not read(tmp_path, text).wants_any
        return
    with pytest.raises(PackagesRefused, match="REPTARIUM_REQUIREMENTS") as caught:
        read(tmp_path, text)
    assert says in str(caught.value)


PIP_MISSING = """\
Processing ./w/gamma-1.0-py3-none-any.whl (from -r r.txt (line 2))
ERROR: Could not find a version that satisfies the requirement missing-thing>=3 (from gamma) (from versions: none)
ERROR: No matching distribution found for missing-thing>=3"""
PIP_SYNTAX = "ERROR: Invalid requirement: 'beta=1.0' (from line 3 of r.txt)\nHint: = is not a valid operator."
PIP_OPTION = (
    "Usage: __main__.py [options]\n\nERROR: Invalid requirement: --frob\n__main__.py: error: no such option: --frob"
)
UV_MISSING = """\
error: No solution found when resolving dependencies
  cause: Because missing-thing was not found in the provided package locations and all versions of gamma depend on
         missing-thing>=3, we can conclude that all versions of gamma cannot be used."""
UV_HASH = "error: Failed to download `alpha_x==1.0`\n  cause: Hash mismatch for `alpha_x==1.0`"
UV_OPTION = "error: Unexpected '-', expected '-c', '-e', '-r' or the start of a requirement: r.txt:4:1"


@pytest.mark.parametrize(
    ("said", "line"),
    [(PIP_MISSING, 2), (PIP_SYNTAX, 3), (PIP_OPTION, 4), (UV_MISSING, 2), (UV_HASH, 1), (UV_OPTION, 4)],
    ids=["pip-missing", "pip-syntax", "pip-option", "uv-missing", "uv-hash", "uv-option"],
)
def test_a_failure_is_told_with_its_line(tmp_path: Path, said: str, line: int) -> None:
    """Words of pip 23 and uv 0.13, as they were said: the line that they mean, and themselves."""
    requirements = read(tmp_path, "Alpha.X\ngamma\nbeta=1.0\n--frob\n")
    told = explain(requirements, said.splitlines(), 1)
    assert told.startswith(f"REPTARIUM_REQUIREMENTS: {tmp_path}/r.txt, line {line} (")
    assert told.count(", line ") == 1 or f"line {line} " in told.split(";")[0]


def test_a_conflict_with_the_runner_is_explained(tmp_path: Path) -> None:
    """Where a dependency of our own is named, its version is said; ordinary words that are names, too, don't count."""
    requirements = read(tmp_path, "older\n")
    said = ["ERROR: Cannot install older==1.0", "    older 1.0 depends on msgspec<0.1", "    constraint: msgspec==9"]
    assert f"the runner itself needs msgspec {own_versions()['msgspec']}" in explain(requirements, said, 1)
    assert "the runner" not in explain(requirements, ["error: older has a rich outcome of priority"], 1)


def test_foreign_words_are_made_plain() -> None:
    """No password of an index in the log, and nothing that moves a cursor."""
    assert plain("Looking in https://me:word@index.test/simple\x1b[2J\r") == "Looking in https://index.test/simple [2J"


def test_the_installer_sees_no_secret(tmp_path: Path) -> None:
    """It gets what installers need and what the file names, and no token, whatever variable that is in."""
    token = "a-long-secret-token"
    environ = {
        "PATH": "/bin", "HTTPS_PROXY": "http://p:1", "PIP_INDEX_URL": "https://i.test", "UV_INDEX_URL": "https://i.test",
        "N8N_RUNNERS_AUTH_TOKEN": token, "INDEX_USER": "me", "COPY": token, "PIP_COPY": token, "DATABASE": "x",
        "PIP_TARGET": "/elsewhere", "UV_NO_VERIFY_HASHES": "1",
    }  # fmt: skip
    requirements = read(
        tmp_path, "--index-url https://${INDEX_USER}@i.test\na ${COPY} ${N8N_RUNNERS_AUTH_TOKEN} ${PIP_TARGET}\n"
    )
    place = Place(requirements, tmp_path, "name")
    seen = installer.environment(environ, load_settings(environ), place, tmp_path)
    assert set(seen) - {"TMPDIR", "PYTHONUTF8", "UV_CACHE_DIR", "PIP_NO_CACHE_DIR"} == {
        "PATH", "HTTPS_PROXY", "PIP_INDEX_URL", "UV_INDEX_URL", "INDEX_USER",
    }  # fmt: skip
    assert token not in str(seen)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Modules that an installer doesn't find: pip, and what is added."""
    real, gone = PathFinder.find_spec, {"pip"}
    monkeypatch.setattr(PathFinder, "find_spec", lambda name, *more: None if name in gone else real(name, *more))
    monkeypatch.setattr(sys, "_base_executable", sys.executable)
    return gone


def test_no_installer_is_told(tmp_path: Path, absent: set[str]) -> None:
    """Neither uv nor a pip, nor the one that Python brings along, which Debian has in a package of its own."""
    absent.add("ensurepip")
    place = Place(read(tmp_path, "a\n"), tmp_path, "name")
    with pytest.raises(PackagesRefused, match="neither uv nor pip is here"):
        installer.command(load_settings({}), place, {"PATH": "/nowhere"}, tmp_path, tmp_path / "target")


@pytest.mark.slow
def test_pip_that_python_brings_along_runs(tmp_path: Path, absent: set[str]) -> None:
    """In an environment without pip it is run out of its wheel."""
    place = Place(read(tmp_path, "a\n"), tmp_path, "name")
    words = installer.command(load_settings({"REPTARIUM_INSTALLER": "pip"}), place, {}, tmp_path, tmp_path / "target")
    asked = subprocess.run(
        [*words[: words.index("install")], "--version"],
        capture_output=True, text=True, timeout=within(300), check=True,
    )  # fmt: skip
    assert asked.stdout.startswith("pip ")
    assert "ensurepip" in asked.stdout


def test_who_installs(tmp_path: Path) -> None:
    """uv where it is; pip where something tells pip where packages come from, which uv wouldn't hear; and hashes are
    required of both where the file has one.
    """
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    place = Place(read(tmp_path, "a==1 --hash=sha256:aa\n"), tmp_path, "name")

    def words(environ: dict[str, str]) -> list[str]:
        return installer.command(load_settings(environ), place, environ, tmp_path, tmp_path / "target")

    here = {"PATH": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}  # whatever this machine's say
    assert words(here)[0] == str(uv)
    assert "--require-hashes" in words(here)
    assert words({**here, "PIP_NO_CACHE_DIR": "1"})[0] == str(uv)
    for told in ({"PIP_INDEX_URL": "https://i.test"}, {"REPTARIUM_INSTALLER": "pip"}):
        assert words({**here, **told})[1:4] == ["-I", "-m", "pip"]
    assert "--require-hashes" in words({**here, "REPTARIUM_INSTALLER": "pip"})
    assert words({**here, "PIP_INDEX_URL": "x", "UV_INDEX_URL": "y"})[0] == str(uv)
    found = words({**here, "REPTARIUM_WHEELS": "/wheels"})
    assert found[found.index("--no-index") :][:3] == ["--no-index", "--find-links", "/wheels"]
    with pytest.raises(PackagesRefused, match="there is no uv on the PATH"):
        words({"PATH": "/nowhere", "REPTARIUM_INSTALLER": "uv"})
