"""`reptarium stubs`: what it writes is what mypy and ruff read."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from mypy import api

from reptarium.pool.cli.main import main
from reptarium.sandbox.userspace.names import NAMES
from tests.limits import within


@pytest.mark.slow  # mypy
def test_new_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new folder and a new pyproject.toml beside it: mypy finds the types, ruff takes the names for builtins."""
    assert main(["stubs", str(tmp_path / "typings")]) == 0
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())
    assert set(project["tool"]["ruff"]["builtins"]) == NAMES | {"_items", "_item", "_query"}
    assert (tmp_path / project["tool"]["pyright"]["stubPath"] / "__builtins__.pyi").is_file()
    (tmp_path / "node.py").write_text("rows = [item['json'] for item in _items]\nreturn rows\n")
    ruff = [Path(sys.executable).parent / "ruff", "check", "node.py"]
    done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, timeout=within(60), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from reptarium import _items\n_items.nothing\n"
    (tmp_path / "typed.py").write_text(typed)
    monkeypatch.chdir(tmp_path)
    out, err, _ = api.run(["--config-file", "pyproject.toml", "--no-incremental", "typed.py"])
    assert 'has no attribute "nothing"' in out, out + err


def test_project_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing pyproject.toml is left as it is; what it needs goes to standard output."""
    (tmp_path / "pyproject.toml").write_text("# mine\n")
    assert main(["stubs", str(tmp_path / "types")]) == 0
    assert (tmp_path / "pyproject.toml").read_text() == "# mine\n"
    assert tomllib.loads(capsys.readouterr().out)["tool"]["pyright"]["stubPath"] == "types"


def test_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that can't be made ends in words."""
    (tmp_path / "file").write_text("")
    assert main(["stubs", str(tmp_path / "file/types")]) == 2
    assert "Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("folder", [".", "../here"])
def test_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """However the folder is named, the file beside it has the folder's own name."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["stubs", folder]) == 0
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())
    assert project["tool"]["pyright"]["stubPath"] == "here"
    assert (tmp_path / "here/__builtins__.pyi").is_file()
