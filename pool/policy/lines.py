"""Where in a TOML file something stands: `tomllib` says what is there, not in which line.

For texts that `tomllib` has read: what it takes is not judged once more, and may be what only TOML 1.1 has.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

__all__ = ["Place", "lines_of"]

#: Keys, and positions in arrays, from the top of the document.
Place = tuple[str | int, ...]

_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{1,2}(?!"))?'
    r"|'''.*?'''(?:'{1,2}(?!'))?"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE: Final = re.compile(r"[^,\]}#\n]*")


def lines_of(text: str) -> dict[Place, int]:
    """The line, counted from 1, in which each key, table and entry of an array begins."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._text = text
        self._at = 0
        self._line = 1
        #: How many tables an array of tables has so far.
        self._tables: dict[Place, int] = {}

    def document(self) -> None:
        """Note everything."""
        table: Place = ()
        while not self._ends():
            if self._take("[["):
                array = self._within(self._key(), last=False)
                self._note(array)
                table = (*array, self._tables.get(array, 0))
                self._tables[array] = self._tables.get(array, 0) + 1
                self._note(table)
                self._take("]]")
            elif self._take("["):
                table = self._within(self._key(), last=True)
                self._note(table)
                self._take("]")
            else:
                self._pair(table)

    def _within(self, key: tuple[str, ...], *, last: bool) -> Place:
        """The place that a header's key stands for: in an array of tables it is the last one."""
        place: Place = ()
        for number, part in enumerate(key, 1):
            place = (*place, part)
            if place in self._tables and (last or number < len(key)):
                place = (*place, self._tables[place] - 1)
        return place

    def _pair(self, table: Place) -> None:
        start = self._line
        key = self._key()
        for length in range(1, len(key) + 1):
            self.lines.setdefault((*table, *key[:length]), start)
        self._take("=")
        self._value((*table, *key))

    def _key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while not parts or self._take("."):
            self._skip()
            quoted = _STRING.match(self._text, self._at)
            found = quoted or _BARE_KEY.match(self._text, self._at)
            if found is None:
                raise ValueError(f"line {self._line}: no key")
            parts.append(tomllib.loads(f"key = {found[0]}")["key"] if quoted else found[0])
            self._move(found.end())
        return tuple(parts)

    def _value(self, place: Place) -> None:
        self._skip()
        if self._take("{"):
            while not self._take("}"):
                self._pair(place)
                self._take(",")
        elif self._take("["):
            number = 0
            while not self._take("]"):
                self._note((*place, number))
                self._value((*place, number))
                self._take(",")
                number += 1
        else:
            found = _STRING.match(self._text, self._at) or _BARE_VALUE.match(self._text, self._at)
            assert found is not None  # the second matches nothing, too
            self._move(found.end())

    def _note(self, place: Place) -> None:
        self.lines.setdefault(place, self._line)

    def _ends(self) -> bool:
        self._skip()
        return self._at >= len(self._text)

    def _take(self, mark: str) -> bool:
        """Whether this comes next, after blanks, comments and ends of lines; then it is taken."""
        self._skip()
        there = self._text.startswith(mark, self._at)
        if there:
            self._at += len(mark)
        elif self._at >= len(self._text):
            raise ValueError("the text ends too early")
        return there

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._move(found.end())

    def _move(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end
