"""How deep JSON may be nested: a limit of our own, the same on every version of Python.

What an interpreter's own parsers and writers bear follows its recursion limit (Python 3.11), a constant (3.12, 3.13) or
the size of its C stack (3.14, 200,000 levels): the same result would be written here and refused there, and what is
written would reach n8n, whose programs walk trees by recursion. Imports nothing, as ``texts.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Final

#: How many levels a value may have: about as many as Python's ``json`` bears by itself, where it counts them.
MAX_NESTING: Final = 1000

#: So many levels need no care anywhere.
FEW: Final = 200
_ROOM: Final = 4
# Bytes in which brackets are counted at once
_SMALL: Final = 1 << 14
_OTHERS: Final = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS: Final = tuple(1 if byte in b"[{" else -1 for byte in range(256))
_ROUNDS: Final = 8
# Brackets that are counted one by one between two steps
_PIECE: Final = 1 << 15
# So far beyond the limit nobody needs to know how far
_FAR: Final = MAX_NESTING + 100


def nesting(raw: bytes | bytearray | memoryview) -> int:
    """How many levels deep a JSON text is nested; or what is no less, and at most a few hundred, where that is cheaper.

    More than a hundred levels beyond :data:`MAX_NESTING` aren't counted any further. 1.5 ms a megabyte; 130 ms where
    that is all brackets, and deep.
    """
    text = bytes(raw)
    if len(text) < _SMALL and (opened := text.count(b"[") + text.count(b"{")) <= FEW:
        return opened
    steps = nesting_in_steps(text)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return int(end.value)


def nesting_in_steps(raw: bytes | bytearray | memoryview) -> Generator[None, None, int]:
    """The same, in steps of a few milliseconds."""
    text = bytes(raw)
    if len(text) < _SMALL and (opened := text.count(b"[") + text.count(b"{")) <= FEW:
        return opened
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Texts without brackets go first. Whatever two quotes stand side by side: the rest is within a text as it was.
    marks = text.translate(None, _OTHERS).replace(b'""', b"")
    if b'"' in marks:
        marks = b"".join(marks.split(b'"')[::2])
    inner = marks
    for done in range(1, _ROUNDS + 1):
        inner = inner.replace(b"[]", b"").replace(b"{}", b"")  # one or two levels
        if len(inner) <= FEW:
            return len(inner) + 2 * done
        yield
    depth = most = 0
    for start in range(0, len(marks), _PIECE):
        piece = marks[start : start + _PIECE]
        most = max(most, depth + max(accumulate(map(_STEPS.__getitem__, piece))))
        if most > _FAR:
            break
        opened = piece.count(b"[") + piece.count(b"{")
        depth += 2 * opened - len(piece)
        yield
    return most


@contextmanager
def room(depth: int = MAX_NESTING) -> Iterator[None]:
    """Python 3.11 counts calls within C as its own: let a parser or writer go so deep."""
    before = sys.getrecursionlimit()
    if depth > FEW:
        sys.setrecursionlimit(max(before, _ROOM * MAX_NESTING))
    try:
        yield
    finally:
        if depth > FEW:
            sys.setrecursionlimit(before)


@contextmanager
def bounded(raw: bytes | bytearray, around: int = 0) -> Iterator[None]:
    """Room for reading a JSON text of somebody else's, in which a value stands ``around`` levels deep.

    Raises ValueError for one that is nested too deeply, whatever this Python bears.
    """
    depth = nesting(raw)
    if depth > MAX_NESTING + around:
        raise ValueError(f"nested too deeply: over {MAX_NESTING} levels")
    with room(depth):
        yield
