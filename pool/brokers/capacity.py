"""Who may take how many tasks: the one owner of the runner's slots. No I/O, no clock: ``now`` is handed in.

Theory of operation. A single broker is offered every free slot, always: its session sees to that by itself, and here it
is only counted. What follows is about several (:attr:`Capacity.shared`).

An offer is an invitation: the broker answers when it has a task, and whether there is a slot for that is decided then
(:meth:`Capacity.room`). So one free slot may be offered to several brokers, and nothing is withdrawn from all of them
when one has taken it: that would be a message to each for each task. A broker that holds an offer needs no other.

One that holds none waits in *line* for a free slot, and is offered one when its turn comes:

* It has a task for sure if it was turned away, and likely if it took its last offer at once. Such a broker is *eager*:
  a slot is kept for it for twice as long as it takes to answer, within :data:`TURN` and :data:`LONGEST_TURN`, and it
  stays in line for the next one. If it doesn't take what is kept, it isn't eager any more, and keeps the offer.
* Of the others nobody knows. Nothing is kept for them: the slot is offered to the next in line too.

So a free slot is offered to each broker that could take it, whoever is eager has his turn (``line.py`` says when), and
what a task costs doesn't depend on how many brokers there are: it uses one offer up, which is made anew once.

Who takes slots and sends no settings for them gets few: that is ``trial.py``'s. A broker that is on trial waits on the
*bench* instead of in line, and is offered the slot of all who do when it may have it.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from itertools import count
from typing import Protocol

import msgspec

from reptarium.pool.brokers.line import Line, Share
from reptarium.pool.brokers.trial import PATIENCE, Conduct, Trial

#: How long a slot is kept for a broker that is likely to have a task, in seconds on the clock of ``now``: at least
#: (which is also how soon an offer is taken by who has waited for it), and for one that is far away.
TURN, LONGEST_TURN = 0.05, 0.5


class Holder(Protocol):
    """One broker's link, as far as slots go."""

    @property
    def registered(self) -> bool:
        """Whether the broker may send tasks."""

    @property
    def reads(self) -> bool:
        """Whether it reads what it is told: one that doesn't gets no offers."""

    @property
    def accepted(self) -> int:
        """How many slots it has taken: its tasks that have not ended."""

    @property
    def unused(self) -> int:
        """How many of them wait for their task's settings."""

    @property
    def open_offers(self) -> int:
        """How many offers it holds."""

    def set_capacity(self, capacity: int, now: float) -> None:
        """All slots are this broker's: offer it every free one of so many."""

    def offer(self, now: float) -> None:
        """Offer it one more slot."""

    def withdraw(self, now: float) -> None:
        """Let it hold no offer."""

    def give_up(self, seconds: float, now: float) -> None:
        """End its tasks that have waited for settings for so many seconds."""


class _Place(msgspec.Struct, eq=False):
    """What is known of a broker."""

    holder: Holder
    share: Share = msgspec.field(default_factory=Share)
    eager: bool = False
    offered: float = -math.inf
    turn: float = TURN
    told: int | None = None
    """The capacity that it was told while it was alone."""
    kept: deque[_Kept] = msgspec.field(default_factory=deque)
    conduct: Conduct = msgspec.field(default_factory=Conduct)
    paused: bool = False
    """Whether it would wait in line for another slot if it hadn't to use first what it has."""

    @property
    def full(self) -> bool:
        """Whether it must use what it has before it may have more."""
        return self.conduct.limited and self.holder.unused > 0


class _Kept(msgspec.Struct, eq=False):
    """A slot that is kept for a broker."""

    place: _Place
    since: float
    due: bool = True


class Capacity:
    """At most ``slots`` tasks at once, over all brokers that have joined."""

    def __init__(self, slots: int) -> None:
        self.slots = self._most = slots
        self.accepted = 0
        """How many slots are taken."""
        self._places: dict[Holder, _Place] = {}
        self._line: Line[_Place] = Line(slots)
        self._bench: dict[_Place, None] = {}
        self._trial = Trial()
        self._unused: dict[_Place, None] = {}  # those who may have one at a time, and have
        self._kept: list[tuple[float, int, _Kept]] = []  # a heap: until when, which one
        self._numbers = count()
        self._keeps = 0
        self._here: set[_Place] = set()
        self._sole: _Place | None = None
        self._settling = self._unsettled = False

    @property
    def shared(self) -> bool:
        """Whether more than one broker is there to have the slots."""
        return len(self._here) > 1

    @property
    def free(self) -> int:
        """How many slots are not taken."""
        return max(self.slots - self.accepted, 0)

    # ---- who is there -----------------------------------------------------------------------

    def join(self, holder: Holder) -> None:
        """From now on the slots are this broker's too, whenever it is registered."""
        self._places[holder] = _Place(holder)

    def leave(self, holder: Holder, now: float) -> None:
        """The broker is gone for good."""
        place = self._places.pop(holder, None)
        if place is not None:
            self._count(place, 0, now)
            self._gone(place, now)
            self._trial.let_go(place.conduct)
            self._unused.pop(place, None)
            self._settle(now)

    def set_slots(self, slots: int, now: float) -> None:
        """The pool can serve so many tasks from now on: fewer than all while it can't start workers."""
        self.slots = min(slots, self._most)
        if self.shared and not self.free:
            for place in self._places.values():
                if place in self._here:
                    place.holder.withdraw(now)
                    self._line_up(place, now)
        self._settle(now)

    # ---- what a broker's link tells -----------------------------------------------------------

    def room(self, holder: Holder) -> int | None:
        """How many more tasks ``holder`` may take at this moment. None: all slots are its own, and it counts itself."""
        place = self._places.get(holder)
        if place is None:
            return 0
        if len(self._here) - (place in self._here) == 0:
            return None
        room = max(self.slots - self.accepted - self._keeps + len(place.kept), 0)
        if not place.conduct.limited:
            return room
        barred = place.full or (place.conduct.on_trial and not self._trial.open_to(place.conduct))
        return 0 if barred else min(room, 1)

    def turned_away(self, holder: Holder, now: float) -> None:
        """A task of this broker was rejected for lack of a slot: it wants one."""
        place = self._places.get(holder)
        if place is not None and place in self._here:
            place.eager = True
            self._answered(place, now - place.offered)

    def used(self, holder: Holder, now: float) -> None:
        """A task of this broker has got its settings. :meth:`changed` follows."""
        place = self._places.get(holder)
        if place is not None and place.conduct.limited:
            freed = place.conduct.used(now)
            if freed and place.eager and place in self._here and holder.open_offers <= len(place.kept):
                self._join(place, now)

    def wasted(self, holder: Holder, now: float) -> float | None:
        """A task of this broker has ended without settings, and not through us. :meth:`changed` follows.

        Returns for how many seconds it gets no slot while there are others. None: that it has wasted some is known.
        """
        place = self._places.get(holder)
        if place is None or (place.conduct.on_trial and not self._trial.has(place.conduct)):
            return None  # of several that it took together
        rest = place.conduct.has_wasted(now)
        self._forget(place, now)
        self._trial.rest(now + rest)
        return rest

    def changed(self, holder: Holder, now: float) -> None:
        """To be called whenever anything may have changed that ``holder`` tells of itself."""
        place = self._places.get(holder)
        if place is None:
            return
        if place is self._sole and self._has_all(place):
            self._count(place, holder.accepted, now)
            return
        more = holder.accepted - place.share.tasks
        self._count(place, holder.accepted, now)
        if holder.registered:
            self._here.add(place)
        else:
            self._gone(place, now)
        if more > 0:
            # what was kept for it, an offer that it has just got, or one that it had held for a while
            since = place.kept[0].since if place.kept else place.offered
            place.eager = self._give_up(place, now) or now - since <= TURN
            if place.eager:
                place.turn = TURN
                self._answered(place, now - since)
            if place.conduct.limited:
                place.conduct.taken = now
                self._unused[place] = None
            if place.conduct.on_trial:
                self._trial.take(place.conduct)
        if place in self._unused and not holder.unused:
            del self._unused[place]
        self._end_trial(place)
        if not place.conduct.on_trial:
            self._bench.pop(place, None)
        self._line_up(place, now)
        place.paused = place.paused and (place.full or bool(place.kept))
        self.tick(now)

    def _has_all(self, place: _Place) -> bool:
        """Whether nothing can have changed with the only broker but how many it has taken: nobody waits in line then,
        and nothing is kept.
        """
        unknown = place.told is None or place.conduct.limited or place in self._unused
        return place.holder.registered and not unknown

    # ---- whose turn it is ---------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When :meth:`tick` is due; None while nothing is kept, and nobody waits for a trial."""
        if not self._kept and not self._unused:
            return self._trial.rests_until
        waits = (self._kept_until(), self._trial.rests_until, *self._patience())
        return min((until for until in waits if until is not None), default=None)

    def _patience(self) -> list[float]:
        """Until when slots are waited for that aren't used, and that others would have."""
        short = self._line and not self.free
        return [
            place.conduct.taken + PATIENCE
            for place in self._unused
            if short or (self._bench and self._trial.has(place.conduct))
        ]

    def _kept_until(self) -> float | None:
        while self._kept and not self._kept[0][2].due:
            heapq.heappop(self._kept)
        return self._kept[0][0] if self._kept else None

    def tick(self, now: float) -> None:
        """Time has passed: what was kept and not taken goes to the next."""
        self._trial.tick(now)
        while (until := self._kept_until()) is not None and until <= now:
            place = self._kept[0][2].place
            self._forget(place, now)
            self._line_up(place, now)
        if self._unused and any(until <= now for until in self._patience()):
            for place in [place for place in self._unused if place.conduct.taken + PATIENCE <= now]:
                self._unused.pop(place, None)
                place.holder.give_up(PATIENCE, now)
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Tell the only broker what it has, or those in line what is free."""
        self._unsettled = True
        if self._settling:  # a link that was just told something calls: what it has changed comes after that
            return
        self._settling = True
        try:
            while self._unsettled:
                self._unsettled = False
                sole = next(iter(self._here)) if len(self._here) == 1 else None
                if self._sole is not None and self._sole is not sole:
                    self._sole.told = None
                    self._line_up(self._sole, now)
                self._sole = sole
                if sole is not None:
                    self._tell(sole, now)
                else:
                    self._hand_out(now)
        finally:
            self._settling = False

    def _tell(self, place: _Place, now: float) -> None:
        """The only broker has all slots, but those that are still taken by tasks of others."""
        self._forget(place, now)
        capacity = max(self.slots - self.accepted + place.share.tasks, 0)
        if place.told != capacity:
            place.told = capacity
            place.holder.set_capacity(capacity, now)

    def _hand_out(self, now: float) -> None:
        """Offer every slot that is free and not kept to the next in line, until nobody waits."""
        if self._bench and self._trial.open:
            self._hand_out_trial(now)
        deaf: list[_Place] = []
        while self._line and self.slots - self.accepted - self._keeps > 0:
            place = self._line.pop(now)
            if place.full:  # it lines up when it isn't any more
                place.paused = True
                continue
            if not place.holder.reads:
                deaf.append(place)
                continue
            self._offer(place, now)
        for place in deaf:  # they wait on
            self._line.stay(place, now)

    def _hand_out_trial(self, now: float) -> None:
        """Offer the one slot of those on trial to who has wasted least; also to the next while nothing is kept."""
        for place in sorted(self._bench, key=lambda place: place.conduct.wasted):
            if self.slots - self.accepted - self._keeps <= 0 or not self._trial.open:
                return
            if place.holder.reads:
                del self._bench[place]
                self._offer(place, now)

    def _offer(self, place: _Place, now: float) -> None:
        """Offer a slot, and keep it for who is likely to take it."""
        if place.eager:
            kept = _Kept(place, now)
            heapq.heappush(self._kept, (now + place.turn, next(self._numbers), kept))
            place.kept.append(kept)
            self._keeps += 1
            if place.conduct.on_trial:
                self._trial.take(place.conduct)
            if not place.conduct.limited:
                self._line.stay(place, now)
        place.paused = place.eager and place.conduct.limited and not place.conduct.on_trial
        place.offered = now
        place.holder.offer(now)

    def _line_up(self, place: _Place, now: float) -> None:
        if place in self._here and not place.holder.open_offers and not place.full:
            if place.conduct.on_trial:
                self._bench.setdefault(place)
            else:
                self._join(place, now)

    def _join(self, place: _Place, now: float) -> None:
        self._line.join(place, now, back=place.paused)

    def _end_trial(self, place: _Place) -> None:
        """The slot of those on trial is free if this broker had it and has it no more."""
        if not place.conduct.on_trial or not (place.kept or place.holder.unused):
            self._trial.let_go(place.conduct)

    def _give_up(self, place: _Place, now: float) -> bool:
        """Keep one slot less for it. False when none is kept."""
        if not place.kept:
            return False
        place.kept.popleft().due = False
        self._keeps -= 1
        if place in self._line:  # it has less than when it lined up
            self._line.stay(place, now)
        return True

    def _answered(self, place: _Place, seconds: float) -> None:
        """It has taken so long to take an offer, if that isn't one that it had held before it had a task."""
        if seconds <= LONGEST_TURN:
            place.turn = max(place.turn, min(2 * seconds, LONGEST_TURN))

    def _count(self, place: _Place, accepted: int, now: float) -> None:
        if accepted != place.share.tasks:
            self.accepted += accepted - place.share.tasks
            self._line.count(place, accepted, now)

    def _gone(self, place: _Place, now: float) -> None:
        self._here.discard(place)
        place.told = None
        self._forget(place, now)

    def _forget(self, place: _Place, now: float) -> None:
        """It isn't in line any more, and nothing is kept for it."""
        place.eager = place.paused = False
        self._line.leave(place, now)
        self._bench.pop(place, None)
        while self._give_up(place, now):
            pass
        self._end_trial(place)
