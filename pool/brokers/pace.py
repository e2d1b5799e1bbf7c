"""How much a broker may say that nobody has asked it for. No I/O, no clock: ``now`` is handed in.

**Messages.** A broker answers: it takes the offers that it gets, sends settings for what it has taken, perhaps
cancels that, and answers calls. Of its own accord it says next to nothing. One that says more, whatever that is,
would take as much of the event loop as all others together; so it is read slowly. What is said in answer is never
slowed.

**Frames.** A frame that brings nothing on, a ping, a pong, an empty fragment or one of a few bytes, costs as much as a
message does: nobody sends many. So they are counted by themselves, and paid for by nothing that we say. What is read
at once ends anywhere in a message, and so does a fragment in what is read: a few bytes at either end are no such frame
if enough came before them.
"""

from __future__ import annotations

import math

#: Messages a second that a broker may send unasked, and how many in one go.
RATE, BURST = 20.0, 64
#: How many messages an offer, and a call, may be answered with: what is due, and one that comes twice.
OFFER, CALL = 4, 2
#: More than this isn't saved up by offers that nobody takes: four for each of the 1,000 slots that a runner may have.
MOST = 4096
#: Frames a second that bring nothing on, and how many in one go; a part for every so many bytes does bring it on.
FRAME_RATE, FRAME_BURST, BRINGS_ON = 10.0, 64, 256
#: More bytes than this aren't saved up for the small parts to come: as many as are read at once.
BROUGHT = 64 * 1024


class FramePace:
    """How many frames that bring nothing on one connection may still send."""

    def __init__(self, rate: float = FRAME_RATE, burst: int = FRAME_BURST) -> None:
        self._rate, self._burst = rate, burst
        self._left: float = burst
        self._since = math.inf

    def take(self, now: float) -> float:
        """One has come. Returns for how many seconds it, and what is behind it, has to wait."""
        if self._left < self._burst:
            self._left = min(self._left + max(now - self._since, 0.0) * self._rate, self._burst)
        self._since = now
        self._left -= 1
        return max(-self._left / self._rate, 0.0)


class Fragments:
    """Which parts of messages bring them on, on one connection."""

    def __init__(self) -> None:
        self._brought = 0

    def brings_on(self, size: int, last: bool) -> bool:
        """Whether a part of so many bytes does; the last one of a message always does."""
        self._brought = min(self._brought + size, BROUGHT)
        if last:
            return True
        if self._brought < BRINGS_ON:
            self._brought = 0  # small parts don't add up
            return False
        self._brought -= BRINGS_ON
        return True


class Pace(FramePace):
    """How many messages one connection may still send: earned by what we say, beside its rate."""

    def __init__(self) -> None:
        super().__init__(RATE, BURST)

    def offered(self) -> None:
        """The broker was offered a slot."""
        self._left = max(self._left, min(self._left + OFFER, MOST))

    def called(self) -> None:
        """A task has called: n8n is asked for something, or told what was printed."""
        self._left += CALL
