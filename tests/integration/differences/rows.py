"""The rows' programs: run together where their environment is the same, and what of an outcome is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from reptarium.pool.differences.table import Difference, NodeProgram
from tests.integration.differences.driver import Took


class Shown(NamedTuple):
    """One program of a row. ``id`` is the row's with the program's number."""

    id: str
    program: NodeProgram

    @property
    def settings(self) -> dict[str, Any]:
        """The task, in the protocol's form."""
        return {
            "code": self.program.code,
            "items": json.loads(self.program.items),
            "nodeMode": "runOnceForAllItems" if self.program.mode == "all" else "runOnceForEachItem",
            "continueOnFail": self.program.continue_on_fail,
        }

    def wrong(self, runner: str, took: Took) -> list[str]:
        """What differs from what the table says of ``runner`` (``original`` or ``ours``); nothing when it is right."""
        found = []
        for what, got in (("", took.outcome), ("_description", took.description)):
            expected = getattr(self.program, runner + what)
            if expected is not None and not matches(expected, got):
                found.append(f"expected {expected!r}, got {got!r}")
        return found


def matches(expected: str, got: str) -> bool:
    """Whether an outcome is what the table says; ``…`` stands for any text."""
    first, *others = expected.split("…")
    if not others:
        return got == expected
    at = len(first)
    if not got.startswith(first):
        return False
    for part in others[:-1]:
        found = got.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return got.endswith(others[-1]) and len(got) - len(others[-1]) >= at


def by_environment(table_rows: Iterable[Difference]) -> Iterator[tuple[Mapping[str, str], list[Shown]]]:
    """The programs of all rows, those of the same environment together."""
    groups: dict[tuple[tuple[str, str], ...], list[Shown]] = {}
    for row in table_rows:
        for number, program in enumerate(row.program, start=1):
            key = tuple(sorted(program.environ.items()))
            groups.setdefault(key, []).append(Shown(f"{row.id}/{number}", program))
    for key, shown in groups.items():
        yield dict(key), shown
