"""Parts of installed packages that a program uses and doesn't import: ``import PIL``, then ``PIL.Image``.

Such a part is there when the package imports it itself, or makes it when it is asked for. What it imports is read off
its files; nothing is imported for that. Where that isn't sure, nothing is said.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from reptarium.pool.check.distributions import places
from reptarium.sandbox.judge.messages import Objection, ProgramFeatures

#: With one of these a package may have any part: it makes them on demand, or imports by their names.
_ANY = re.compile(r"__getattr__|import_module|__import__|lazy|import \*|exec\(|sys\.modules")
#: Files of a package that are read, and bytes of one.
_MOST, _LONGEST = 200, 1 << 20


#: Of packages of which that can't be told by their files: parts that importing the package surely doesn't import.
_SURELY_NOT = {"matplotlib": frozenset(("pyplot", "animation"))}


def parts_not_imported(features: ProgramFeatures, preload: Iterable[str] = ()) -> Iterable[Objection]:
    """Those that the program uses, of its one package outside the standard library: others may import anything.
    ``preload``: what is imported ahead, and there without an import.
    """
    imported = {*(one.module for one in features.imports), *features.taken}
    packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    if len(packages) != 1 or features.late:
        return
    (package,) = packages
    told: set[str] = set()
    for use in features.uses:
        part = ".".join(use.name.split(".")[:2])
        if part in told or not part.startswith(f"{package}.") or _is_imported(part, {*imported, *preload}):
            continue
        told.add(part)
        if part.partition(".")[2] in _unimported(package):
            why = f"{package} doesn't import it: write import {part}"
            yield Objection(use.line, f"'{part}' isn't there", why, None, "never")


def _is_imported(part: str, imported: Iterable[str]) -> bool:
    return any(one == part or one.startswith(f"{part}.") for one in imported)


@cache
def _unimported(package: str) -> frozenset[str]:
    """Modules that lie in a package, and that importing it surely doesn't import."""
    spec = PathFinder.find_spec(package, places())
    if spec is None or not spec.origin or not spec.submodule_search_locations:
        return frozenset()
    folder = Path(spec.origin).parent
    lying = {
        path.name.partition(".")[0] for path in folder.iterdir() if path.suffix in (".py", ".so") or _has_init(path)
    }
    reached = _reached(package, folder)
    if reached is None:
        return _SURELY_NOT.get(package, frozenset())
    return frozenset(lying - reached - {"__init__"})


def _has_init(path: Path) -> bool:
    return (path / "__init__.py").is_file()


def _reached(package: str, folder: Path) -> frozenset[str] | None:
    """First parts of the names of modules that are imported with a package; None where that can't be told."""
    found: set[str] = set()
    waiting, seen = [(package, folder / "__init__.py")], set[Path]()
    while waiting:
        module, path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        try:
            text = path.read_text("utf-8", errors="replace")
            tree = ast.parse(text)
        except (OSError, SyntaxError, ValueError, RecursionError):
            return None
        if len(seen) > _MOST or len(text) > _LONGEST or _ANY.search(text):
            return None
        for name in _imports(tree, module if path.name == "__init__.py" else module.rpartition(".")[0]):
            parts = name.split(".")
            if parts[0] == package and len(parts) > 1:
                found.add(parts[1])
                below = folder.joinpath(*parts[1:])
                waiting += [(name, one) for one in (below.with_suffix(".py"), below / "__init__.py") if one.is_file()]
    return frozenset(found)


def _imports(tree: ast.Module, package: str) -> Iterable[str]:
    """Dotted names that a module of a package imports, and names in those, which may be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
