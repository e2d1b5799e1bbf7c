"""Each attack that isn't refused says in its own file why that is no harm."""

from __future__ import annotations

import ast
import errno
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from test_exhaust import ATTACKS as EXHAUSTING
from test_exhaust import HARMLESS as ENDING_WELL
from test_reach import CASES, WITH_SCRATCH
from test_reach import HARMLESS as NOT_REACHING
from test_scratch import ATTACKS as ON_FILES

from tests.powers.test_attacks import ATTACKS as ON_CONNECTIONS
from tests.powers.test_attacks import HARMLESS as NOT_CONNECTING

#: How a refusal looks from inside: an error, an end by a signal, or what these tests write for several of the former.
REFUSALS = re.compile(
    rf"({'|'.join(name for name in vars(errno) if name.startswith('E'))}|SIG[A-Z]+|MemoryError|REFUSED)"
)


def _answers(right: Any) -> Iterator[object]:
    if isinstance(right, (list, tuple, set)):
        for each in right:
            yield from _answers(each)
    else:
        yield right


def carried_out(cases: Mapping[str, Any]) -> set[str]:
    """The attacks that are given something that is no refusal."""
    return {name for name, right in cases.items() if not all(REFUSALS.fullmatch(str(each)) for each in _answers(right))}


REACH = {name: right | WITH_SCRATCH.get(name, set()) for name, _, right in CASES}
CORPORA: dict[str, tuple[set[str], Mapping[str, str]]] = {
    "reach": (carried_out(REACH), NOT_REACHING),
    "files": (carried_out({name: right for name, (_, right) in ON_FILES.items()}), {}),
    "connections": (carried_out({name: right for name, (_, right) in ON_CONNECTIONS.items()}), NOT_CONNECTING),
    "exhaustion": ({name for name, (_, error) in EXHAUSTING.items() if error is None}, ENDING_WELL),
}


@pytest.mark.parametrize("corpus", CORPORA)
def test_what_is_carried_out_has_a_reason(corpus: str) -> None:
    """Every attack that gets more than a refusal says why, and no other does."""
    done, reasons = CORPORA[corpus]
    if corpus == "reach":
        done.add("write: /tmp")  # refused where this checkout lies below /tmp
    assert done == reasons.keys()
    assert [name for name, why in reasons.items() if len(why) < 30] == []


def test_what_runs_to_its_end_under_the_language_layer_has_a_reason() -> None:
    """A test of the language layer that lets an attack run to its end says in its docstring why nothing is reached."""
    silent = []
    for path in sorted((Path(__file__).parents[1] / "language").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                calls = {getattr(each.func, "id", "") for each in ast.walk(node) if isinstance(each, ast.Call)}
                if calls & {"check_nothing_reached", "outcome"} and len(ast.get_docstring(node) or "") < 30:
                    silent.append(f"{path.name}: {node.name}")
    assert silent == []
