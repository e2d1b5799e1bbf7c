"""Brokers' links and a market of them, for tests of who gets which slots: no session, no connection, no clock."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from reptarium.pool.brokers.capacity import Capacity, Holder


@dataclass(eq=False)
class Link:
    """A broker's link that holds what it was told to offer."""

    registered: bool = True
    reads: bool = True
    prompt: bool = True
    """Whether it sends a task's settings as soon as it has taken a slot."""
    accepted: int = 0
    unused: int = 0
    open_offers: int = 0
    told: int | None = None
    calls: int = 0
    on_offer: Callable[[], None] = lambda: None
    on_told: Callable[[float], None] = lambda now: None
    on_give_up: Callable[[float], None] = lambda now: None

    def set_capacity(self, capacity: int, now: float) -> None:
        self.calls += 1
        self.told = capacity
        self.open_offers = max(capacity - self.accepted, 0)
        self.on_told(now)

    def offer(self, now: float) -> None:
        self.calls += 1
        self.open_offers += 1
        self.on_offer()

    def withdraw(self, now: float) -> None:
        self.calls += 1
        self.open_offers = 0

    def give_up(self, seconds: float, now: float) -> None:
        self.calls += 1
        self.on_give_up(now)

    def take(self, owner: Capacity, now: float) -> bool:
        """The broker has a task for an offer that it holds. Whether there is a slot for it."""
        room = owner.room(self)
        self.open_offers -= 1
        taken = (self.told or 0) > self.accepted if room is None else room > 0
        if taken:
            self.accepted += 1
            self.unused += 1
        else:
            owner.turned_away(self, now)
        owner.changed(self, now)
        if taken and self.prompt:
            self.use(owner, now)
        return taken

    def use(self, owner: Capacity, now: float) -> None:
        """A task's settings have come."""
        self.unused -= 1
        owner.used(self, now)
        owner.changed(self, now)

    def waste(self, owner: Capacity, now: float) -> float | None:
        """A task has ended without settings."""
        self.unused -= 1
        self.accepted -= 1
        rest = owner.wasted(self, now)
        owner.changed(self, now)
        return rest

    def end(self, owner: Capacity, now: float) -> None:
        """A task has ended."""
        self.accepted -= 1
        self.unused = min(self.unused, self.accepted)
        if owner.room(self) is None:
            self.open_offers = max((self.told or 0) - self.accepted, 0)
        owner.changed(self, now)


def here(slots: int, *links: Link, now: float = 0.0) -> Capacity:
    """The owner of so many slots, with these links."""
    owner = Capacity(slots)
    for link in links:
        owner.join(link)
    for link in links:
        owner.changed(link, now)
    return owner


def forgotten(owner: Capacity, holder: Holder) -> str | None:
    """What is wrong with a broker that is registered, of several: it must hold an offer, or wait for a good reason."""
    place, trial = owner._places[holder], owner._trial
    free = owner.slots - owner.accepted - owner._keeps > 0
    if place in owner._bench:
        if place in owner._line or not place.conduct.on_trial:
            return "waits on the bench, and isn't on trial"
        if free and holder.reads and trial.open:
            return "waits on the bench while the slot of those on trial is free"
        if trial.rests_until is not None:
            due = owner.next_deadline()
            return None if due is not None and due <= trial.rests_until else "nobody ends the rest"
        has = [place for place in owner._places.values() if trial.has(place.conduct)]
        if not trial.open and not any(place.kept or place.holder.unused for place in has):
            return "waits on the bench for a trial that nobody has"
        return None
    if place in owner._line:
        return "waits in line while a slot is free" if free and holder.reads and not place.full else None
    return None if holder.open_offers or place.full else "holds no offer, and doesn't wait for one"


def offers(*links: Link) -> list[int]:
    return [link.open_offers for link in links]


class Market:
    """Brokers whose queues are never empty, each as far away as it is; tasks take ``seconds``, of all or of each.

    The last ``wasteful`` ones send no settings for their tasks, which end after ``patience`` seconds. The first one
    wants a task ``every`` so many seconds only, if that is given: ``waits`` is how long each has waited for its slot.
    """

    def __init__(
        self,
        slots: int,
        distances: list[float],
        seconds: float | list[float],
        *,
        wasteful: int = 0,
        patience: float = 30.0,
        every: float | None = None,
    ) -> None:
        self.now = 0.0
        self.served = [0] * len(distances)
        self.turned_away = 0
        self.waits: list[float] = []
        self._wanted: deque[float] = deque()
        self._seldom = every is not None
        self._seconds = seconds if isinstance(seconds, list) else [seconds] * len(distances)
        self._patience = patience
        self._unused: dict[int, object] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self.links = [Link(prompt=number < len(distances) - wasteful) for number in range(len(distances))]
        self.owner = Capacity(slots)
        for number, (link, distance) in enumerate(zip(self.links, distances, strict=True)):
            link.on_offer = lambda number=number, distance=distance: self._in(distance, lambda: self._accept(number))  # type: ignore[misc]
            self.owner.join(link)
        for link in self.links:
            self.owner.changed(link, 0.0)
        first = self.links[0]
        for _ in range(first.open_offers if first.told else 0):  # it was alone, for a moment
            self._in(distances[0], lambda: self._accept(0))
        if every is not None:
            self._wish(every)

    def _in(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))

    def _wish(self, every: float) -> None:
        self._wanted.append(self.now)
        self._accept(0)
        self._in(every, lambda: self._wish(every))

    def _accept(self, number: int) -> None:
        link, seldom = self.links[number], number == 0 and self._seldom
        if not link.open_offers or (seldom and not self._wanted):
            return
        if link.take(self.owner, self.now):
            self.served[number] += 1
            if seldom:
                self.waits.append(self.now - self._wanted.popleft())
            if link.prompt:
                self._in(self._seconds[number], lambda: link.end(self.owner, self.now))
            else:
                task = self._unused[number] = object()
                link.on_give_up = lambda _: self._waste(number, task)
                self._in(self._patience, lambda: self._waste(number, task))
        else:
            self.turned_away += 1
            if seldom:  # the next of its offers
                self._accept(number)

    def _waste(self, number: int, task: object) -> None:
        if self._unused.get(number) is task:
            del self._unused[number]
            self.links[number].waste(self.owner, self.now)

    def run(self, tasks: int) -> None:
        """Until so many tasks were begun."""
        while sum(self.served) < tasks:
            self._step()

    def run_until(self, now: float) -> None:
        """For so long."""
        while self.now < now:
            self._step()

    def _step(self) -> None:
        deadline = self.owner.next_deadline()
        if self._events and (deadline is None or self._events[0][0] <= deadline):
            self.now, _, event = heapq.heappop(self._events)
            event()
        else:
            assert deadline is not None, "nothing happens any more"
            self.now = deadline
            self.owner.tick(self.now)
