"""How `reptarium doctor` shows what it has found, on terminals of any width."""

from __future__ import annotations

import json
import re

import pytest

from reptarium import __version__
from reptarium.pool.cli import doctor
from reptarium.pool.cli.main import main
from reptarium.pool.doctor import Attempt, Examination
from reptarium.sandbox.kernel import LayerStatus
from reptarium.sandbox.wire import Trick

FOUND = Examination(
    python="3.11.7",
    kernel="6.18",
    machine="x86_64",
    policy="enforce",
    refusal="",
    layers=(
        LayerStatus(
            "cgroup", "off", "no unified (v2) cgroup hierarchy at /sys/fs/cgroup [none]", "Optional. Delegate=pids"
        ),
        LayerStatus("seccomp", "active", "allowlist for x86_64; filter of 504 instructions in each worker", ""),
        LayerStatus("landlock", "active", "ABI 7", ""),
        LayerStatus("no_new_privs", "active", "exec gains nothing", ""),
        LayerStatus("rlimits", "active", "529 MB private memory", ""),
    ),
    attempts=(Attempt(name="read /etc/passwd", layer="landlock", wanted="refused", got="EACCES"),),
    worker={"Uid": "20455"},
    tricks=(Trick("heap", True, "6 huge pages"),),
)


async def _found(_: object) -> Examination:
    return FOUND


@pytest.mark.parametrize("columns", [40, 79, 120, 200])
def test_every_width(columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No line is wider than the terminal, and no word is lost: a table where there is room for one."""
    monkeypatch.setattr(doctor, "examine", _found)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    words = set(re.sub("[│:,]", " ", " ".join(lines)).split())
    for text in (f"{__version__} read /etc/passwd refused EACCES heap huge Tasks isolated.", FOUND.layers[0].detail):
        assert set(text.split()) <= words, text
    assert any("━" in line for line in lines) == (columns >= 90)


def test_the_version_is_in_the_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a report of a fault needs first."""
    monkeypatch.setattr(doctor, "examine", _found)
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == __version__
