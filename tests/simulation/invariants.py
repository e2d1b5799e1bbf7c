"""What must hold at every turn of the event loop, and at the end.

An instrument of trio looks after each turn: every task that could go on has had a step, and nothing half done is seen,
because what changes several things at once does so between two awaits.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from reptarium.pool.brokers.capacity import Capacity
from reptarium.pool.brokers.link import BrokerLink
from reptarium.pool.protocol.session import STALE
from reptarium.pool.runner import Runner
from tests.simulation import seams
from tests.simulation.broker import Broken
from tests.simulation.machine import Machine


class Watcher(trio.abc.Instrument):
    """Checks a runner at every turn; ``failed`` is called once, with what is wrong."""

    def __init__(self) -> None:
        self.turns = 0
        self._most = 0
        self.broken: Broken | None = None
        self._runner: Runner | None = None
        self._failed: Callable[[], None] = lambda: None

    def watch(self, runner: Runner, failed: Callable[[], None]) -> None:
        """From now on."""
        self._runner, self._failed = runner, failed

    def after_io_wait(self, timeout: float) -> None:
        """A turn has ended."""
        self.turns += 1
        if self._runner is None or self.broken is not None:
            return
        wrong = check(self._runner, self._most)
        capacity = self._runner.capacity
        self._most = max(capacity.slots, capacity.accepted)
        if wrong is not None:
            self.broken = Broken(wrong)
            self._failed()


def check(runner: Runner, before: int) -> str | None:
    """What doesn't hold of a runner that might have had ``before`` tasks a turn ago, or None."""
    capacity = runner.capacity
    slots, accepted = capacity.slots, 0
    for link in runner.links:
        serving = link._serving
        if serving is None:
            continue
        session = serving.session
        tasks, offers = len(session._tasks), len(session._offers)
        accepted += tasks
        if session.state != "registered":
            if offers:
                return f"{link.uri}: {offers} offers while {session.state}"
        elif offers > runner.settings.max_concurrency:
            return f"{link.uri}: {offers} offers for {runner.settings.max_concurrency} slots"
        elif not session.hold:
            wrong = _offered(capacity, link, offers, tasks, session.capacity)
            if wrong is not None:
                return f"{link.uri}: {wrong}"
        if len(session._stale) > STALE:
            return f"{link.uri}: {len(session._stale)} replaced offers are remembered"
        waits = serving.connection.outbox
        if waits.unwritten > seams.OUTBOX + 1 or waits._bulk > seams.BULK + 1:
            return f"{link.uri}: {waits.unwritten} messages wait, {waits._bulk} of them bulk"
    if accepted > max(slots, before):
        return f"{accepted} tasks are accepted, with {slots} slots"
    if accepted != capacity.accepted:
        return f"{accepted} tasks are accepted; capacity says {capacity.accepted}"
    if capacity.shared and slots - accepted - capacity._keeps > 0:
        waiting = [place.holder for place in capacity._line if place.holder.reads]
        if waiting:
            return f"{len(waiting)} brokers wait for an offer while a slot is free and kept for nobody"
    return None


def _offered(capacity: Capacity, link: BrokerLink, offers: int, tasks: int, told: int) -> str | None:
    """What is wrong with the offers of a registered broker that reads, or None."""
    if capacity.shared:
        waits = capacity._places[link] in capacity._line
        return None if offers or waits or not link.reads else "holds no offer, and doesn't wait for one"
    should = max(capacity.slots - capacity.accepted + tasks, 0)
    if told != should:
        return f"was told {told} slots, and has {should}"
    return None if offers + tasks == max(told, tasks) else f"{offers} offers and {tasks} tasks for {told} slots"


def left(runner: Runner, machine: Machine) -> str | None:
    """What a runner has left behind that has ended, or None."""
    if runner.links:
        return f"links: {[link.uri for link in runner.links]}"
    if runner.capacity.accepted:
        return f"{runner.capacity.accepted} accepted tasks"
    if machine.living or runner.pool.workers:
        return f"{machine.living} processes, {len(runner.pool.workers)} workers"
    if runner.pool.waiting:
        return f"{runner.pool.waiting} tasks that wait for a worker"
    if machine.watchdog.watched:
        return f"{len(machine.watchdog.watched)} watched workers"
    return None
