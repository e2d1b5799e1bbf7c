"""What each item of the surface gave, the original's runner and ours: ``surface.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

from tests.integration.differences import surface

PATH = Path(__file__).with_name("surface.json")
#: The Python that the original runs on, and ours when outcomes are recorded: error texts are Python's own.
PYTHON = (3, 13)
#: Names that later Pythons have in modules that don't show all of theirs, and that are withheld there: by the Python
#: that brought them, and module.
NEWER = {
    (3, 14): {
        "asyncio": "FrameCallGraphEntry FutureCallGraph capture_call_graph format_call_graph future_add_to_awaited_by "
        "future_discard_from_awaited_by print_call_graph",
        "configparser": "InvalidWriteError UnnamedSectionDisabledError",
        "io": "GenericAlias Reader Writer",
        "types": "CapsuleType",
        "typing": "evaluate_forward_ref",
    },
}


class Pair(NamedTuple):
    """One item's outcomes."""

    original: str
    ours: str


def load() -> dict[str, Pair]:
    """The outcomes by id."""
    return {
        name: Pair(*outcome) if isinstance(outcome, list) else Pair(outcome, outcome)
        for name, outcome in json.loads(PATH.read_text("utf-8")).items()
    }


def save(pairs: dict[str, Pair]) -> None:
    """Write them, one line an item; equal outcomes once."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(pair.original if pair.original == pair.ours else list(pair))}"
        for name, pair in sorted(pairs.items())
    ]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def written(item: str, outcome: str) -> str:
    """The outcome as it is recorded: of a module's names the shorter list, of those it has or of those it hasn't."""
    kind, _, name = item.split("/", 2)
    if kind != "names" or not outcome.startswith("= "):
        return outcome
    missing = json.loads(outcome[2:])[0]["json"]["missing"]
    if not missing:
        return "all"
    there = sorted(set(surface.public_names(name)) - set(missing))
    return f"all but {' '.join(missing)}" if len(missing) <= len(there) else f"only {' '.join(there)}".strip()


def same(item: str, expected: str, got: str) -> bool:
    """Whether an outcome is the recorded one, as far as the running Python decides it.

    Another Python has other names in its modules, and its own words for its errors.
    """
    if item.startswith("names/"):
        offered = _offered(item, expected)
        if isinstance(offered, set):
            module = item.split("/", 2)[2]
            offered -= {name for names in NEWER.values() for name in names.get(module, "").split()}
        return offered == _offered(item, got)
    if sys.version_info[:2] != PYTHON and expected.startswith("! "):
        return got.startswith("! ")
    return expected == got


def listed(outcome: str) -> list[str]:
    """The names in a module's outcome: those that it has, or those that it hasn't."""
    first, *words = outcome.split()
    return words if first == "only" else words[1:]  # all but …


def _offered(item: str, outcome: str) -> set[str] | str:
    here = set(surface.public_names(item.split("/", 2)[2]))
    if outcome.startswith("all"):
        return here - set(listed(outcome))
    return here & set(listed(outcome)) if outcome.startswith("only") else outcome
