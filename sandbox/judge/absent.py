"""Names that modules of the standard library haven't got: those of another version of Python's, or of none.

Such a module is imported here as a worker imports it, if tasks may have it at all: it is Python's own, no program's.
"""

from __future__ import annotations

import ast
import difflib
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from reptarium.sandbox.judge.constants import Constants
from reptarium.sandbox.judge.given import asked_for, guarded
from reptarium.sandbox.judge.messages import Objection, Use
from reptarium.sandbox.language import LanguagePolicy
from reptarium.sandbox.language.policy.allowlist import import_refusal

_EVERYTHING = LanguagePolicy(stdlib_allow=("*",), external_allow=("*",))
#: A program that asks for one of these may know what isn't there.
_VERSIONS = ("sys.version", "sys.hexversion", "sys.platform", "platform.", "os.name")
#: Parts of a dotted name that are looked at; how like another a name is that may be meant for it.
_DEEPEST, _NEAR = 8, 0.75


def surely_of_modules(
    nodes: list[tuple[ast.AST, bool, bool]], modules: Mapping[str, str], constants: Constants
) -> Iterator[Use]:
    """Names of modules that a program reads where it expects no failure, and that are surely those modules'.
    ``modules``: its names → what they stand for.
    """
    every = [node for node, _, _ in nodes]
    caught, asked = guarded(every), asked_for(every)
    inner: set[int] = set()
    for node, optional, _ in nodes:
        if optional or id(node) in caught:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if alias.name != "*" and alias.name not in asked:
                    yield Use(f"{node.module}.{alias.name}", node.lineno)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and id(node) not in inner:
            parts: list[str] = []
            root: ast.expr = node
            while isinstance(root, ast.Attribute):
                inner.add(id(root))
                parts.append(root.attr)
                root = root.value
            known = isinstance(root, ast.Name) and root.id in modules and constants.is_imported(root.id)
            if known and isinstance(root, ast.Name) and asked.isdisjoint(parts):
                yield Use(".".join((modules[root.id], *reversed(parts))), node.lineno)


def absent(uses: Iterable[Use], names: Collection[str]) -> Iterator[Objection]:
    """Those that aren't there. ``names``: all that the program reads of modules."""
    if any(name.startswith(_VERSIONS) for name in names):
        return
    told: set[str] = set()
    for use in uses:
        found = _missing(use.name)
        if found is not None and found[0] not in told:
            told.add(found[0])
            yield Objection(use.line, f"'{found[0]}' isn't there", found[1], None, "never")


@cache
def _missing(name: str) -> tuple[str, str] | None:
    """As much of a name as isn't there, and what is said of it; None where it is, or nobody knows."""
    first, *parts = name.split(".")[:_DEEPEST]
    there: object = _module(first)
    path = first
    for part in parts:
        if part.startswith("_") or not isinstance(there, ModuleType | type):
            return None
        path = f"{path}.{part}"
        below = _module(path) if isinstance(there, ModuleType) else None
        if below is None and not hasattr(there, part):
            # of parts that lie there and aren't imported others tell
            return None if is_standard_part(path) else (path, _instead(there, part, path))
        there = getattr(there, part, None) if below is None else below
        if isinstance(there, ModuleType) and below is None:  # another module, which the language layer knows of
            return None
    return None


@cache
def _module(name: str) -> ModuleType | None:
    """A module of the standard library that tasks may have."""
    if name.partition(".")[0] not in sys.stdlib_module_names or import_refusal(_EVERYTHING, name) is not None:
        return None
    try:
        return import_module(name)
    except Exception:  # none of this name, or none that this machine has
        return None


@cache
def is_standard_part(name: str) -> bool:
    """Whether a module of the standard library lies there. Looks at files; nothing is imported."""
    *packages, part = name.split(".")
    folder = Path(sysconfig.get_path("stdlib")).joinpath(*packages)
    return part.isidentifier() and PathFinder.find_spec(part, [str(folder)]) is not None


def _instead(there: object, part: str, path: str) -> str:
    whole = path.rpartition(".")[0]
    version = f"Python {sys.version_info[0]}.{sys.version_info[1]} has no such name"
    same = getattr(there, whole.rpartition(".")[2], None)
    if isinstance(there, ModuleType) and isinstance(same, type) and hasattr(same, part):
        return f"{version}; instead: {whole}.{same.__name__}.{part}"
    near = difflib.get_close_matches(part, [one for one in dir(there) if not one.startswith("_")], 1, _NEAR)
    return f"{version}; instead: {whole}.{near[0]}" if near else version
