"""How many lines a head of HTTP may have, whoever sends it: a client of the endpoint, or a broker that answers.

h11 reads a head in one call that nothing can interrupt. What that takes goes by lines rather than by bytes: 16 KiB in
four thousand headers take 11 ms, in one 0.6. Fifty neighbours who send such at the same time would hold up the loop for
half a second. So the lines are counted as they come, before h11 sees them.
"""

from __future__ import annotations

#: More is nobody's: browsers send twenty headers, proxies add a few, n8n answers with a dozen.
MOST_LINES = 128


class HeadLines:
    """The lines that have come on one connection."""

    def __init__(self) -> None:
        self._seen = 0

    def too_many(self, data: bytes | bytearray) -> bool:
        """Whether there are more than there may be, now that this has come."""
        self._seen += data.count(b"\n")
        return self._seen > MOST_LINES
