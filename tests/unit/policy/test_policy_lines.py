"""In which line of a TOML file something stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from reptarium.pool.policy.lines import Place, lines_of

#: Every way to write things. Each value says in which line it begins.
TEXT = "\n".join(
    (
        '# a comment with [[brackets]] and "quotes',
        "a = 2",
        '"b c" = [ # one',
        "  4, [4, 4],",
        '  """',
        'at 5: # [x] \\" ""\\""""", 6,',
        "]",
        'd.e."f.g" = 8   # dotted',
        "[h]",
        'i = {j = 10, k.l = 10, "m" = [{n = 10}, {}]}',
        "'o' = '''",
        "at 11: \\ ''''",
        "p = 2026-01-02 03:04:05",
        "  [[ q . r ]]",
        's = "at 15: \\" ] } , #"',
        "[[q.r]] # another",
        "[q.r.t]",
        "u = 'at 18: \\'",
        "[[q.r.v]]",
        'w = """"at 20:""""',
        "[q.x]",
        "y = true",
    )
)


def _leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, (*place, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _leaves(one, (*place, number))
    else:
        yield place, value


def test_every_value_has_its_line() -> None:
    """What tomllib reads has a line each, and the right one: numbers and texts of this file say theirs."""
    lines = lines_of(TEXT)
    for place, value in _leaves(tomllib.loads(TEXT)):
        assert place in lines
        if found := re.search(r"(?:at )?(\d+):?$|at (\d+):", str(value)) if type(value) in (int, str) else None:
            assert lines[place] == int(found[1] or found[2]), place
    assert (lines["h", "p"], lines["q", "r", 0], lines["q", "r", 1], lines["q", "x", "y"]) == (13, 14, 16, 22)


@pytest.mark.parametrize(("text", "place", "line"), [("a = {\n b = 1, # c\n}", ("a", "b"), 2), ("a = 1", ("a",), 1)])
def test_what_only_later_toml_has(text: str, place: Place, line: int) -> None:
    """Tables in line may go over several lines in TOML 1.1, and a file may end without an end of its line."""
    assert lines_of(text)[place] == line


def test_no_text_takes_long() -> None:
    """The largest file that is read, of one odd kind, is no work to speak of."""
    many = 2**16
    assert lines_of("a = [" + "{b = '\"'}," * many + "]")["a", many - 1, "b"] == 1
    assert lines_of(f"a = {'[' * 200}{']' * 200}")["a", *[0] * 199] == 1
