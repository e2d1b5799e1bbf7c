"""Names and texts of other people's, as they are shown."""

from __future__ import annotations


def shown(text: str) -> str:
    """A text of somebody's on one line, without what would move a terminal's cursor or turn writing round."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in " ".join(text.split()))
