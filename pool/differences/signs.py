"""Which differences a program's text tells of: ``signs.json``, which is installed, from the table, which isn't.

``python -m reptarium.pool.differences.signs > pool/differences/signs.json``
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec

from reptarium.pool.differences.table import Table, load, stands_for

PATH = Path(__file__).with_name("signs.json")
#: Kinds of the surface's items that a program's text shows.
_SHOWN = ("import", "builtin", "attribute", "given-all")
#: Profile of the surface in which a program has what it imports.
_PROFILE = "star"


class SignedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table, and the signs of a program that it is about. ``gain``: it works here, and there it didn't."""

    id: str
    gain: bool
    what: str
    original: str
    ours: str
    why: str
    signs: tuple[str, ...]


def signed(table: Table) -> list[SignedRow]:
    """The rows that a program's text can show."""
    rows = []
    for row in table.row:
        parts = [pattern.split("/", 2) for pattern in row.surface]
        shown = [f"{part[0]}/{part[2]}" for part in parts if part[0] in _SHOWN and part[1] == _PROFILE]
        signs = tuple(dict.fromkeys((*row.signs, *shown)))
        if signs:
            texts = {key: _plain(getattr(row, key)) for key in ("what", "original", "ours", "why")}
            rows.append(SignedRow(id=row.id, gain=row.area == "works", signs=signs, **texts))
    return rows


def _plain(text: str) -> str:
    """Markdown of a cell on one line, its links as their words."""
    return " ".join(re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text).split())


def render(table: Table) -> str:
    """The file, ending in a line end."""
    lines = [msgspec.json.encode(row).decode() for row in signed(table)]
    return "[\n" + ",\n".join(lines) + "\n]\n"


@cache
def rows() -> tuple[SignedRow, ...]:
    """What is installed."""
    return msgspec.json.decode(PATH.read_bytes(), type=tuple[SignedRow, ...])


def about(signs: Iterable[str]) -> list[tuple[SignedRow, tuple[str, ...]]]:
    """The rows that a program with these signs is about, each with those of them that show it."""
    plain, patterns = _by_sign()
    found: dict[int, list[str]] = {}
    for sign in signs:
        for place in plain.get(sign, ()):
            found.setdefault(place, []).append(sign)
        for pattern, place in patterns:
            if stands_for(pattern, sign):
                found.setdefault(place, []).append(sign)
    return [(rows()[place], tuple(dict.fromkeys(found[place]))) for place in sorted(found)]


@cache
def _by_sign() -> tuple[dict[str, list[int]], list[tuple[str, int]]]:
    plain: dict[str, list[int]] = {}
    patterns = []
    for place, row in enumerate(rows()):
        for sign in row.signs:
            if "*" in sign:
                patterns.append((sign, place))
            else:
                plain.setdefault(sign, []).append(place)
    return plain, patterns


if __name__ == "__main__":
    print(render(load()), end="")
