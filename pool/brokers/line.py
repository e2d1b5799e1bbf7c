"""Who waits for a slot, and who is next. No I/O, no clock: ``now`` is handed in.

One broker's tasks take a minute each, another's milliseconds: if each had a task in its turn, the second one would have
one a minute. So what counts is for how long a broker has held slots, its running tasks included, and that it will hold
the next one for as long as its tasks do as a rule. Whoever has had least then is next; those that have had as much go
in a circle.

It counts while somebody waits: who had all slots when nobody else wanted any owes nothing for that. Whoever comes into
line has held as much as the first in it, as far as the others can have had that while he was away; and when somebody
comes into an empty one nobody has held anything.

Nobody waits for ever for what he has had, and n8n gives up on a task after a minute: of those that have waited for more
than :data:`LONGEST` seconds whoever has waited longest has every second slot.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sized
from itertools import count
from typing import Generic, Protocol, TypeVar

import msgspec


class Share(msgspec.Struct, eq=False):
    """For how long a broker has held slots: in seconds of one slot."""

    tasks: int = 0
    """How many it holds now."""
    usual: float = 0.0
    """For how long its tasks have held theirs lately."""
    left: float = -math.inf
    """When it last waited in line."""
    _total: float = 0.0
    _since: float = 0.0
    _before: float = 0.0  # what of that doesn't count
    _round: int = 0  # one begins whenever the line was empty
    _ended: float = 0.0  # the total when its last task ended

    def total(self, now: float) -> float:
        """Ever."""
        return self._total + self.tasks * (now - self._since)

    def counted(self, now: float) -> float:
        """What of that counts."""
        return self.total(now) - self._before

    def begin(self, number: int, began: float) -> None:
        """Of this round, which has begun then, and only that counts, if that is news."""
        if self._round != number:
            self._round, self._before = number, self.total(began)
            self._ended, self.usual = self._before, 0.0

    def level(self, seconds: float, now: float) -> None:
        """Count so much at least."""
        self._before -= max(seconds - self.counted(now), 0.0)

    def set_tasks(self, tasks: int, now: float) -> None:
        """It holds so many from now on."""
        self._total, self._since = self.total(now), now
        if (ended := self.tasks - tasks) > 0:
            each = (self._total - self._ended) / ended
            self.usual += (each - self.usual) / 4 if self.usual else each
            self._ended = self._total
        self.tasks = tasks


class Waiter(Protocol):
    """Who may wait."""

    share: Share

    @property
    def kept(self) -> Sized:
        """The slots that are kept for it: as good as held."""


#: In seconds: a third of what n8n lets a task wait.
LONGEST = 20.0

_Who = TypeVar("_Who", bound=Waiter)


class Line(Generic[_Who]):
    """Those who wait for one of so many slots, in their order."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._heap: list[tuple[float, int, _Who]] = []  # those who have left it too, until they come up
        self._there: dict[_Who, tuple[int, float]] = {}  # their tickets, and since when
        self._numbers = count()
        self._round, self._began = 0, 0.0
        self._second = False

    def __len__(self) -> int:
        return len(self._there)

    def __contains__(self, who: object) -> bool:
        return who in self._there

    def join(self, who: _Who, now: float, *, back: bool = False) -> None:
        """Wait from now on. ``back``: it never ceased to want slots, so that it has held no more than it has."""
        if who in self._there:
            return
        if self._there:
            who.share.begin(self._round, self._began)
            if not back:
                missed = self._slots * (now - who.share.left)
                who.share.level(min(self._first(now).share.counted(now), who.share.counted(now) + missed), now)
        else:
            self._round, self._began = self._round + 1, now
        self.stay(who, now)

    def stay(self, who: _Who, now: float) -> None:
        """Wait on, from now, behind those who have had as much."""
        self.leave(who, now)
        self._there[who] = next(self._numbers), now
        self._place(who, now)

    def leave(self, who: _Who, now: float) -> None:
        """Wait no more."""
        if self._there.pop(who, None) is not None:
            who.share.left = now

    def pop(self, now: float) -> _Who:
        """The next one, who waits no more."""
        who, (_, since) = next(iter(self._there.items()))
        self._second = now - since > LONGEST and not self._second
        if not self._second:
            who = self._first(now)
        self.leave(who, now)
        return who

    def count(self, who: _Who, tasks: int, now: float) -> None:
        """It holds so many slots from now on."""
        who.share.begin(self._round, self._began)
        who.share.set_tasks(tasks, now)
        if who in self._there:  # shorter tasks than before make its claim less, and it keeps its number
            self._place(who, now)

    def _place(self, who: _Who, now: float) -> None:
        """Have it in the heap with what it claims now. Higher claims of its are met after that, or never."""
        if len(self._heap) > 2 * len(self._there) + 10:
            self._heap = [(self._claim(each, now), ticket, each) for each, (ticket, _) in self._there.items()]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (self._claim(who, now), self._there[who][0], who))

    def _claim(self, who: _Who, now: float) -> float:
        """What it will have had once it has what is kept for it, and one more."""
        who.share.begin(self._round, self._began)
        return who.share.counted(now) + (len(who.kept) + 1) * who.share.usual

    def _waits(self, entry: tuple[float, int, _Who]) -> bool:
        ticket, _ = self._there.get(entry[2], (None, None))
        return ticket == entry[1]

    def _first(self, now: float) -> _Who:
        """Who has had least. It is up in the heap then."""
        while True:
            claim, ticket, who = entry = self._heap[0]
            if not self._waits(entry):
                heapq.heappop(self._heap)
            elif (more := self._claim(who, now)) > claim:  # its tasks went on while it waited
                heapq.heapreplace(self._heap, (more, ticket, who))
            else:
                return who
