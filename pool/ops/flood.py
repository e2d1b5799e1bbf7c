"""How much of the log one kind of line may take: what others cause costs so many lines, and no more.

Whoever speaks with the runner can make it say something each time: a broker whose messages are garbage, a worker that
writes to descriptor 2, a client, who answers for a name. A *kind* of line is its text up to a colon, of each broker
apart. Of each kind :data:`LINES` are written within :data:`PERIOD` seconds, and :data:`BYTES` of them; the rest is
counted, and said in one line afterwards. Lines about tasks that have run aren't limited: there are as many as tasks,
and they are what the log is for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

#: Of one kind, within so many seconds: lines, and bytes, each line with so many beside its text.
LINES, BYTES, PERIOD, BESIDE = 200, 256 * 1024, 10.0, 128
#: Kinds that are told apart at a time; all others together are one.
KINDS = 256
#: What isn't limited.
UNLIMITED = frozenset({"task"})

_OTHERS = ("others", "")

Clock = Callable[[], float]


class Allowance:
    """What one kind has left. ``left_out``: how many lines weren't written since somebody was told (:meth:`told`)."""

    def __init__(self, now: float) -> None:
        self.left_out = 0
        self._since, self._lines, self._bytes = now, LINES, BYTES

    def over(self, now: float) -> bool:
        """Whether its time is over."""
        return now - self._since >= PERIOD

    def take(self, now: float, lines: int = 1) -> bool:
        """Whether a line may be written; if not, so many are left out."""
        if self.over(now):
            self._since, self._lines, self._bytes = now, LINES, BYTES
        if self._lines <= 0 or self._bytes <= 0:
            self.left_out += lines
            return False
        self._lines -= 1
        return True

    def charge(self, size: int) -> None:
        """It was so long, in bytes."""
        self._bytes -= size + BESIDE

    def told(self) -> int:
        """How many lines were left out, which is told now."""
        left_out, self.left_out = self.left_out, 0
        return left_out


class Flood:
    """Two processors of structlog: :meth:`admit`, the first of all, and :meth:`written`, the last.

    ``render`` makes a line of what is left out: kind, broker, how many.
    """

    def __init__(self, render: Callable[[str, str, int], str], clock: Clock = time.monotonic) -> None:
        #: How many lines were left out in all.
        self.left_out = 0
        self._render, self._clock = render, clock
        self._kinds: dict[tuple[str, str], Allowance] = {}
        self._flooding: dict[tuple[str, str], Allowance] = {}
        self._current: Allowance | None = None

    def admits(self, text: str, broker: str = "") -> bool:
        """Whether a line may be written."""
        if text in UNLIMITED:
            self._current = None
            return True
        now, kind = self._clock(), (text.partition(":")[0], broker)
        allowance = self._kinds.get(kind)
        if allowance is None:
            if len(self._kinds) >= KINDS:
                self._kinds = {known: one for known, one in self._kinds.items() if not one.over(now)}
            if len(self._kinds) >= KINDS:
                kind = _OTHERS
            allowance = self._kinds.setdefault(kind, Allowance(now))
        if allowance.take(now):
            self._current = allowance
            return True
        self.left_out += 1
        self._flooding[kind] = allowance
        return False

    def admit(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Raises structlog.DropEvent for a line that is left out."""
        if not self.admits(str(event.get("event", "")), str(event.get("broker", ""))):
            raise structlog.DropEvent
        return event

    def written(self, _logger: Any, _method: str, line: str) -> str:
        """The line, and before it what was left out of floods whose time is over."""
        if self._current is not None:
            self._current.charge(len(line))
        if not self._flooding:
            return line
        now = self._clock()
        over = [kind for kind, allowance in self._flooding.items() if allowance.over(now)]
        return "\n".join([*(self._render(*kind, self._flooding.pop(kind).told()) for kind in over), line])
