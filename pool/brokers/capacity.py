"""Who may take how many tasks: the one owner of the runner's slots. No I/O, no clock: ``now`` is handed in.

All brokers share the slots, and each is offered what is free of them; so a slot that one broker has
taken is withdrawn from the others before anything else happens (:meth:`Capacity.share`). A broker that was
turned away for lack of a slot comes first: for ``TURN`` seconds one of those that become free is kept for
it. Otherwise the one whose task just ended would always be the first to have the next, and the others
would starve.
"""

from __future__ import annotations

import math
from typing import Protocol

#: How long a freed slot is kept for the brokers that were turned away, in seconds on the clock of ``now``.
TURN = 0.05


class Holder(Protocol):
    """One broker's link, as far as slots go."""

    @property
    def registered(self) -> bool:
        """Whether the broker may send tasks."""

    @property
    def accepted(self) -> int:
        """How many slots it has taken: its tasks that have not ended."""

    def set_capacity(self, capacity: int, now: float) -> None:
        """Take that many tasks from now on, those counted that it has."""


class Capacity:
    """``slots`` tasks at once, over all brokers that have joined."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._turned_away: dict[Holder, float] = {}  # when it last was, of each that has joined
        self._sharing = False

    @property
    def shared(self) -> bool:
        """Whether there is more than one broker to have the slots."""
        return len(self._turned_away) > 1

    @property
    def accepted(self) -> int:
        """How many slots are taken."""
        return sum(holder.accepted for holder in self._turned_away)

    def join(self, holder: Holder) -> None:
        """From now on the slots are this broker's too."""
        self._turned_away[holder] = -math.inf

    def leave(self, holder: Holder) -> None:
        """The broker is gone for good."""
        self._turned_away.pop(holder, None)

    def turned_away(self, holder: Holder, now: float) -> None:
        """A task of this broker was rejected for lack of a slot: the next that becomes free is kept for it."""
        if holder in self._turned_away:
            self._turned_away[holder] = now

    def served(self, holder: Holder) -> None:
        """A task of this broker was taken: its turn is over."""
        if holder in self._turned_away:
            self._turned_away[holder] = -math.inf

    def may_have(self, holder: Holder, now: float, *, ending: int = 0) -> int:
        """How many tasks ``holder`` may have: those that it has, and what is free for it.

        ``ending`` of its tasks are about to end.
        """
        free = max(self.slots - self.accepted + ending, 0)
        return holder.accepted - ending + self._free_for(holder, free, self._first(now) if free else [])

    def share(self, now: float) -> None:
        """After a slot was taken or became free: tell every broker's link what it may have now.

        Nothing happens for a single broker, nor when a link calls this because it has just been told.
        """
        if self._sharing or not self.shared:
            return
        self._sharing = True
        try:
            for holder, capacity in self.shares(now):
                holder.set_capacity(capacity, now)
        finally:
            self._sharing = False

    def shares(self, now: float) -> list[tuple[Holder, int]]:
        """What each may have: those that were turned away first, then whoever has the least."""
        free = max(self.slots - self.accepted, 0)
        first = self._first(now)
        order = sorted(self._turned_away, key=lambda one: (-self._turned_away[one], one.accepted))
        return [(holder, holder.accepted + self._free_for(holder, free, first)) for holder in order]

    def _first(self, now: float) -> list[Holder]:
        """Those that were turned away a moment ago."""
        if not self.shared:
            return []
        return [holder for holder, at in self._turned_away.items() if at > now - TURN and holder.registered]

    def _free_for(self, holder: Holder, free: int, first: list[Holder]) -> int:
        """What is free for it of ``free`` slots: one is kept for each of ``first``, if it isn't one of them."""
        return free if holder in first else max(free - len(first), 0)
