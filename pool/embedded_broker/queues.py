"""The matchmaker's two time-ordered collections: offers that expire and tasks that become overdue.

Both keep a heap whose entries outlive what they stand for: most offers are taken and most tasks end
long before their time. An entry is checked when it comes up, and a heap that is mostly dead is rebuilt.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Mapping

from reptarium.pool.embedded_broker.records import BrokerTask, Offer, Peer

#: A heap may hold this many times more dead entries than live ones, and this many on top.
_SLACK = 4
_BASE = 64


class OfferBook:
    """The open offers, per task type in the order in which they came."""

    def __init__(self) -> None:
        self._numbers = 0
        self._by_type: dict[str, OrderedDict[int, Offer]] = {}
        self._expiries: list[tuple[float, int, Offer]] = []

    def add(self, peer: Peer, offer_id: str, task_type: str, expires: float) -> None:
        """Take an offer in. An id that the peer has offered before is the same slot with a new validity."""
        known = peer.offers.get(offer_id)
        if known is not None:
            self.take(known)
        self._numbers += 1
        offer = Offer(self._numbers, offer_id, peer, task_type, expires)
        peer.offers[offer_id] = offer
        self._by_type.setdefault(task_type, OrderedDict())[offer.number] = offer
        heapq.heappush(self._expiries, (expires, offer.number, offer))

    def oldest(self, task_type: str) -> Offer | None:
        """The offer that has waited longest."""
        offers = self._by_type.get(task_type)
        return next(iter(offers.values())) if offers else None

    def take(self, offer: Offer) -> None:
        """The offer is gone."""
        del offer.peer.offers[offer.offer_id]
        del self._by_type[offer.task_type][offer.number]
        if len(self._expiries) > _BASE + _SLACK * sum(map(len, self._by_type.values())):
            self._expiries = [
                (known.expires, known.number, known) for offers in self._by_type.values() for known in offers.values()
            ]
            heapq.heapify(self._expiries)

    def drop(self, peer: Peer) -> None:
        """All offers of the peer are gone."""
        for offer in list(peer.offers.values()):
            self.take(offer)

    def expire(self, now: float) -> int:
        """Drop what has expired; returns how many."""
        expired = 0
        while self._expiries and self._expiries[0][0] <= now:
            offer = heapq.heappop(self._expiries)[2]
            if offer.peer.offers.get(offer.offer_id) is offer:
                expired += 1
                self.take(offer)
        return expired


class Deadlines:
    """When which unfinished task is overdue: each has one deadline at a time, in ``task.deadline``."""

    def __init__(self, tasks: Mapping[int, BrokerTask]) -> None:
        self._tasks = tasks
        self._heap: list[tuple[float, int]] = []

    def set(self, task: BrokerTask, deadline: float) -> None:
        """Replace the task's deadline."""
        task.deadline = deadline
        heapq.heappush(self._heap, (deadline, task.number))
        if len(self._heap) > _BASE + _SLACK * len(self._tasks):
            self._heap = [(known.deadline, known.number) for known in self._tasks.values()]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """The earliest deadline."""
        while self._heap:
            deadline, number = self._heap[0]
            task = self._tasks.get(number)
            if task is not None and task.deadline == deadline:
                return deadline
            heapq.heappop(self._heap)
        return None

    def pop(self, now: float) -> BrokerTask | None:
        """The task that has been overdue longest, once."""
        deadline = self.next()
        if deadline is None or deadline > now:
            return None
        return self._tasks[heapq.heappop(self._heap)[1]]
