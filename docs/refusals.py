"""The list of docs/user-code.md of all that the restricted mode refuses, from the tables of the language layer:
``python docs/refusals.py`` writes it anew. A test holds the page against this (tests/unit/house/test_refusals.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from reptarium.sandbox.language.packages import pandas, registry
from reptarium.sandbox.language.policy import names, nodes, stdlib

PAGE = Path(__file__).resolve().parent / "user-code.md"
#: What stands between these on the page is replaced; neither is seen when it is rendered.
_BLOCK = re.compile(r"(<!-- refusals -->\n).*?(<!-- / -->)", re.DOTALL)
_PARSED_NEVER = ("it isn't a program", "type comments aren't read")


def _by_reason(table: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, why in table.items():
        found.setdefault(why, []).append(name)
    return found


def _rows(table: Mapping[str, Iterable[str]]) -> list[str]:
    return [f"| {', '.join(f'`{name}`' for name in sorted(set(listed)))} | {why} |" for why, listed in table.items()]


def _functions() -> dict[str, list[str]]:
    """Reason → functions and methods that say so themselves."""
    found: dict[str, list[str]] = {}
    for package in registry.PACKAGES.values():
        for module, reasons in package.refused.items():
            for why, listed in reasons.items():
                found.setdefault(why, []).extend(f"{module}.{name}" for name in listed.split())
    for method, why in pandas.METHODS.items():
        found.setdefault(why, []).append(f"DataFrame.{method}")
    return found


def _parts() -> dict[str, list[str]]:
    """Reason → what the short stand-ins of standard modules lack: names that begin so, or the module."""
    found: dict[str, list[str]] = {}
    for module, reasons in stdlib.WITHHELD.items():
        for starts, why in reasons.items():
            listed = [f"{module}.{start}…" for start in starts.split()] or [f"{module}.…"]
            found.setdefault(why, []).extend(listed)
    return found


def tables() -> str:
    """All of it, as the page has it."""
    syntax = {nodes.LABELS.get(name, name): why for name, why in nodes.REFUSED.items() if why not in _PARSED_NEVER}
    parts: list[tuple[str, list[str]]] = [
        ("Builtins", _rows(_by_reason(names.DENIED_BUILTINS))),
        ("Syntax", _rows(_by_reason(syntax))),
        ("Modules of the standard library", _rows(_by_reason(stdlib.REFUSED))),
        ("Names of modules (`…`: what begins so, or else isn't there)", _rows(_parts())),
        ("Functions and methods", _rows(_functions())),
        ("Packages", _rows(_by_reason(stdlib.REFUSED_EXTERNAL))),
    ]
    return "\n".join(f"| {title} | why |\n| --- | --- |\n" + "\n".join(rows) + "\n" for title, rows in parts)


def written(page: str) -> str:
    """``page`` with its list as the code has it."""
    return _BLOCK.sub(lambda block: f"{block[1]}{tables()}{block[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
