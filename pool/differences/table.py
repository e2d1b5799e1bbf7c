"""``docs/differences.toml``: what a workflow or an administrator could notice that differs from n8n's Python runner.

A row says what differs, for people, and what shows it, for tests: programs with what each runner makes of them,
and items of the surface (``tests/integration/differences``), whose outcomes are recorded in ``surface.json`` there.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

#: The table, in a checkout.
PATH = Path(__file__).resolve().parents[2] / "docs/differences.toml"


class TableError(Exception):
    """The table is not of its form. The text names the place."""


class NodeProgram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Code of a node, and what comes of it.

    ``original`` and ``ours`` are outcomes: ``= RESULT`` (JSON), ``! MESSAGE``, ``refused`` or ``hangs``, and what
    was printed after `` | ``. Of those that begin or end with ``…`` the rest is compared.
    """

    code: str
    original: str
    ours: str
    items: str = "[]"
    """The node's items, as JSON."""
    mode: Literal["all", "each"] = "all"
    continue_on_fail: bool = False
    environ: dict[str, str] = msgspec.field(default_factory=lambda: {"N8N_RUNNERS_STDLIB_ALLOW": "*"})
    original_description: str | None = None
    ours_description: str | None = None
    """What n8n shows below the message; not compared where it isn't given."""


class Difference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One difference. ``original``, ``ours`` and ``why`` are Markdown; ``{names}`` stands for the surface's names."""

    id: str
    area: str
    what: str
    original: str
    ours: str
    why: str
    surface: tuple[str, ...] = ()
    """Items of the surface that show it, by id or by a pattern with ``*``."""
    signs: tuple[str, ...] = ()
    """What a program has that it is about, likewise (``sandbox/judge/features.py``)."""
    program: tuple[NodeProgram, ...] = ()
    test: str = ""
    """For what neither shows: the test of ours that does, as ``path::name``."""

    def claims(self, item: str) -> bool:
        """Whether the surface's item belongs to this row."""
        return any(stands_for(pattern, item) for pattern in self.surface)


class Area(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the page. ``text`` stands before its table."""

    id: str
    title: str
    text: str = ""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    original: str
    """Which runner of n8n's the outcomes were recorded with."""
    head: str
    tail: str
    area: tuple[Area, ...]
    row: tuple[Difference, ...]


def load(path: Path = PATH) -> Table:
    """Read the table. Raises :class:`TableError`, and OSError where there is no file."""
    try:
        table = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Table)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TableError(f"{path.name}: {error}") from None
    areas = {area.id for area in table.area}
    seen: set[str] = set()
    for row in table.row:
        if row.area not in areas:
            raise TableError(f"{path.name}: row {row.id!r} is of no area: {row.area!r}")
        if row.id in seen:
            raise TableError(f"{path.name}: there are two rows {row.id!r}")
        if not (row.surface or row.program or row.test):
            raise TableError(f"{path.name}: nothing shows row {row.id!r}: it needs surface, program or test")
        seen.add(row.id)
    return table


def stands_for(pattern: str, item: str) -> bool:
    """Whether a row's pattern means the surface's item. Only the star has a meaning."""
    return pattern == item or ("*" in pattern and _compiled(pattern).fullmatch(item) is not None)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))
