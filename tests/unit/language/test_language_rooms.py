"""The rooms of the language layer: who imports whom, and what is there before user code comes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reptarium.sandbox import language
from reptarium.sandbox.language.hardening import audit

ROOT = Path(language.__file__).parent
LANGUAGE = "reptarium.sandbox.language"
#: Room → the rooms that it may import.
BELOW = {
    "policy": set(),
    "compile": {"policy"},
    "guards": {"policy"},
    "hardening": {"policy", "guards"},
    "packages": {"policy", "guards", "hardening"},
    "runtime": {"policy", "guards", "hardening", "packages"},
}


def imports(file: Path) -> Iterator[str]:
    """The dotted names of ours that a file imports, those of imports within functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("reptarium."))


def modules() -> list[str]:
    """Every module of the layer."""
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in ROOT.rglob("*.py")]
    return [".".join((LANGUAGE, *each)).removesuffix(".__init__") for each in parts]


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    """The arrows point one way, and out of the layer points none."""
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        for name in imports(file):
            assert name.startswith(f"{LANGUAGE}."), f"{file} imports {name}"
            assert name.removeprefix(f"{LANGUAGE}.").partition(".")[0] in BELOW[room] | {room}, f"{file}: {name}"


def test_every_folder_is_a_room() -> None:
    """A new one says whom it may import."""
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} == BELOW.keys()


def test_all_of_the_layer_is_imported_with_it() -> None:
    """A restricted worker can't read our files: what the zygote hasn't imported would never be."""
    program = f"import sys, {LANGUAGE}\nprint(*sorted(name for name in sys.modules if name.startswith('{LANGUAGE}')))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.split() == sorted(modules())


def test_the_hook_trusts_three_modules_of_ours() -> None:
    """By their whole names: those in which code is compiled, run, and made for data classes."""
    assert {name for name in audit.CODE_MAKERS if name.startswith("reptarium")} == {
        "reptarium.sandbox.language.compile.program",
        "reptarium.sandbox.language.hardening.generated_classes",
        "reptarium.sandbox.language.runtime.run",
    }
    assert audit.CODE_MAKERS.keys() & modules() == {name for name in audit.CODE_MAKERS if name.startswith("reptarium")}
