"""Names with stars: ``*`` stands for any characters, ``?`` for one, everything else for itself, in its case.

The name is chosen by whoever writes workflows, so a match takes time that grows with its length and no faster: between
two stars the first place that fits is taken, and nothing is tried twice.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["matches"]


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name is as the pattern says."""
    (first, at), *between = _pieces(pattern)
    if first.match(name) is None:
        return False
    if not between:
        return at == len(name)
    last, length = between.pop()
    for piece, _ in between:
        found = piece.search(name, at)
        if found is None:
            return False
        at = found.end()
    return at <= len(name) - length and last.match(name, len(name) - length) is not None


@lru_cache(maxsize=1024)
def _pieces(pattern: str) -> tuple[tuple[re.Pattern[str], int], ...]:
    """What stands between the stars, and how long it is."""
    return tuple(
        (re.compile("".join("." if one == "?" else re.escape(one) for one in piece), re.DOTALL), len(piece))
        for piece in pattern.split("*")
    )
