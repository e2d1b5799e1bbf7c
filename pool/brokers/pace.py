"""How much a broker may say that nobody has asked it for. No I/O, no clock: ``now`` is handed in.

A broker answers: it takes the offers that it gets, sends settings for what it has taken, perhaps cancels that, and
answers calls. Of its own accord it says next to nothing. One that says more, whatever that is, would take as much of
the event loop as all others together; so it is read slowly. What is said in answer is never slowed.
"""

from __future__ import annotations

import math

#: Messages a second that a broker may send unasked, and how many in one go.
RATE, BURST = 20.0, 64
#: How many messages an offer, and a call, may be answered with: what is due, and one that comes twice.
OFFER, CALL = 4, 2
#: More than this isn't saved up by offers that nobody takes: four for each of the 1,000 slots that a runner may have.
MOST = 4096


class Pace:
    """What one connection may still say."""

    def __init__(self) -> None:
        self._left: float = BURST
        self._since = math.inf

    def offered(self) -> None:
        """The broker was offered a slot."""
        self._left = max(self._left, min(self._left + OFFER, MOST))

    def called(self) -> None:
        """A task has called: n8n is asked for something, or told what was printed."""
        self._left += CALL

    def take(self, now: float) -> float:
        """A message has come. Returns for how many seconds it, and what is behind it, has to wait."""
        if self._left < BURST:
            self._left = min(self._left + max(now - self._since, 0.0) * RATE, BURST)
        self._since = now
        self._left -= 1
        return max(-self._left / RATE, 0.0)
