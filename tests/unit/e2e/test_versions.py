"""What tests/e2e/versions.py makes of a suite's script. The scripts here are made up; no n8n is started."""

from __future__ import annotations

import importlib
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

E2E = Path(__file__).resolve().parents[2] / "e2e"


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, its scripts looked for in a folder of the test's own."""
    monkeypatch.syspath_prepend(str(E2E))
    module = importlib.import_module("versions")
    monkeypatch.setattr(module, "HERE", tmp_path)
    return module


def script(folder: Path, code: str) -> list[str]:
    (folder / "suite.py").write_text(textwrap.dedent(code))
    return ["suite.py"]


def test_counts_and_names_are_the_scripts_own(versions: ModuleType, tmp_path: Path) -> None:
    """A suite says how many passed and failed, and names each that failed."""
    code = """
        print("passed one")
        print("FAILED two (b): why: because")
        print("1 passed, 1 failed")
        raise SystemExit(1)
    """
    assert versions.run(script(tmp_path, code), []) == (1, ["two (b)"], 1, True)


def test_failures_without_a_name_are_counted(versions: ModuleType, tmp_path: Path) -> None:
    """What a script counts as failed and doesn't name isn't lost."""
    code = """
        print("0 passed, 2 failed")
        raise SystemExit(1)
    """
    assert versions.run(script(tmp_path, code), []) == (0, ["another (1)", "another (2)"], 1, True)


@pytest.mark.parametrize(
    "end", ["raise RuntimeError('n8n exited')", "import os; os.kill(os.getpid(), 15)", "raise SystemExit(2)"]
)
def test_run_that_breaks_off_is_no_result(versions: ModuleType, tmp_path: Path, end: str) -> None:
    """A script that crashes, is killed or lacks something is a failure, but none of the version's: not written down."""
    result = versions.run(script(tmp_path, f"print('passed one')\n{end}"), [])
    assert result.status != 0
    assert result.failed == [f"exit status {result.status}"]
    assert not result.whole


def test_lone_surrogates_and_odd_bytes_are_passed_on(
    versions: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a suite prints may be no UTF-8: it is escaped, and the run goes on."""
    code = r"""
        import sys
        sys.path.insert(0, "@E2E@")
        from harness import prepare_output
        prepare_output()
        print("half a pair: \ud83d")
        sys.stdout.buffer.write(b"\xff\n")
        print("1 passed, 0 failed")
    """.replace("@E2E@", str(E2E))
    assert versions.run(script(tmp_path, code), []) == (1, [], 0, True)
    assert capsys.readouterr().out == "half a pair: \\ud83d\n\\xff\n1 passed, 0 failed\n"
