"""The rooms of the language layer: who imports whom, and what is there before user code comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from docs import diagrams
from reptarium.sandbox import language
from reptarium.sandbox.language.hardening import audit
from tests.limits import within

ROOT = Path(language.__file__).parent
LANGUAGE = "reptarium.sandbox.language"
MODULES = {name: path for name, path in diagrams.modules().items() if name.startswith(LANGUAGE)}
#: Room → the rooms that it may import.
BELOW = {
    "policy": set(),
    "compile": {"policy"},
    "guards": {"policy"},
    "hardening": {"policy", "guards"},
    "packages": {"policy", "guards", "hardening"},
    "runtime": {"policy", "guards", "hardening", "packages"},
    "plain": {"policy", "compile", "guards", "packages", "runtime"},
}


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    """The arrows point one way, and out of the layer points none."""
    own = [name for name in MODULES if name.startswith(f"{LANGUAGE}.{room}")]
    assert own
    for module in own:
        for name in diagrams.imports(MODULES[module], diagrams.modules()):
            if name.startswith("reptarium."):
                assert name.startswith(f"{LANGUAGE}."), f"{module} imports {name}"
                assert name.removeprefix(f"{LANGUAGE}.").partition(".")[0] in BELOW[room] | {room}, f"{module}: {name}"


def test_every_folder_is_a_room() -> None:
    """A new one says whom it may import."""
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} == BELOW.keys()


def test_all_of_the_layer_is_imported_with_it() -> None:
    """A restricted worker can't read our files: what the zygote hasn't imported would never be."""
    program = f"import sys, {LANGUAGE}\nprint(*sorted(name for name in sys.modules if name.startswith('{LANGUAGE}')))"
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=within(60)
    )
    assert shown.stdout.split() == sorted(MODULES)


def test_the_hook_trusts_three_modules_of_ours() -> None:
    """By their whole names: those in which code is compiled, run, and made for data classes."""
    assert {
        "reptarium.sandbox.language.compile.program",
        "reptarium.sandbox.language.hardening.generated_classes",
        "reptarium.sandbox.language.runtime.run",
    } == audit.OUR_MAKERS
    assert MODULES.keys() >= audit.OUR_MAKERS
