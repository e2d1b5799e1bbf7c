"""Pythons that nothing starts on."""

from __future__ import annotations

import sys
import sysconfig
from types import SimpleNamespace

import pytest

from reptarium.pool.cli.main import main
from reptarium.pool.cli.status import BAD_CONFIG


def test_a_free_threaded_build(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Is refused before anything is done, in words that say what to install."""
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    assert main(["doctor"]) == BAD_CONFIG
    assert "free-threaded build of CPython" in (said := capsys.readouterr().err)
    assert "Install Reptarium with an ordinary CPython" in said


@pytest.mark.parametrize(("platform", "name"), [("darwin", "macOS"), ("win32", "Windows"), ("freebsd14", "freebsd14")])
def test_another_system(
    platform: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Has no kernel that holds tasks: the start says so, and where it can be run."""
    monkeypatch.setattr(sys, "platform", platform)
    assert main(["exec", "x.py"]) == BAD_CONFIG
    assert f"this is {name}: what holds tasks is the Linux kernel" in capsys.readouterr().err


def test_another_python(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Is refused as well, by its name."""
    monkeypatch.setattr(sys, "implementation", SimpleNamespace(name="pypy"))
    assert main(["run"]) == BAD_CONFIG
    assert "this Python is pypy" in capsys.readouterr().err
