"""What has happened, in order: for whoever reads a failure, and to see that a seed has one history."""

from __future__ import annotations

from collections import deque

import trio


class History:
    """The events of one seed, each with its imaginary time. ``keep``: how many of the last; None for all."""

    def __init__(self, keep: int | None = 300) -> None:
        self._events: deque[tuple[float, str, tuple[object, ...]]] = deque(maxlen=keep)
        self._began = 0.0
        self.length = 0

    def begin(self) -> None:
        """Time counts from now."""
        self._began = trio.current_time()

    def note(self, what: str, *facts: object) -> None:
        """Something has happened. The facts are written when somebody reads them: they don't change."""
        self.length += 1
        self._events.append((trio.current_time() - self._began, what, facts))

    def lines(self) -> list[str]:
        """The events that are kept, one a line."""
        return [f"{at:10.4f}  {what}  {'  '.join(map(str, facts))}".rstrip() for at, what, facts in self._events]
