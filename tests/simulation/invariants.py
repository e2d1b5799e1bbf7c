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
from tests.simulation.rules import Rules
from tests.unit.brokers.market import forgotten


class Watcher(trio.abc.Instrument):
    """Checks a runner at every turn; ``failed`` is called once, with what is wrong."""

    def __init__(self) -> None:
        self.turns = 0
        self._most = 0
        self.broken: Broken | None = None
        self._runner: Runner | None = None
        self._rules: Rules | None = None
        self._failed: Callable[[], None] = lambda: None

    def watch(self, runner: Runner, rules: Rules | None, failed: Callable[[], None]) -> None:
        """From now on."""
        self._runner, self._rules, self._failed = runner, rules, failed

    def after_io_wait(self, timeout: float) -> None:
        """A turn has ended."""
        self.turns += 1
        if self._runner is None or self.broken is not None:
            return
        if self._rules is not None:
            self._rules.look(self._runner)
        wrong = check(self._runner, self._most) or pools(self._runner)
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
    return None


def _offered(capacity: Capacity, link: BrokerLink, offers: int, tasks: int, told: int) -> str | None:
    """What is wrong with the offers of a registered broker that reads, or None."""
    if capacity.shared:
        return forgotten(capacity, link) if link.reads else None
    should = max(capacity.slots - capacity.accepted + tasks, 0)
    if told != should:
        return f"was told {told} slots, and has {should}"
    return None if offers + tasks == max(told, tasks) else f"{offers} offers and {tasks} tasks for {told} slots"


def pools(runner: Runner) -> str | None:
    """What is wrong with the pools and the workers that there are, or None."""
    there = runner.pools._there()
    most = runner.settings.max_pools if runner.rulebook is not None else 1
    if len(there) > most:
        return f"{len(there)} pools, of at most {most}"
    for pool in there:
        if pool.parked > runner.pools.size:
            return f"{pool.parked} workers are parked, of at most {runner.pools.size}"
        retired = sum(brood.retired for brood in pool._broods)
        if retired > 3 or len(pool._broods) - retired > 2:
            return f"{len(pool._broods)} zygotes of a pool, {retired} of them given up"
        if (brood := pool._brood) is not None:
            wanted = pool.parked + len(brood.starting) + brood.requested
            # as many as there are slots may wait, and as many have waited whose tasks have ended this very turn
            if wanted > runner.pools.size + 2 * runner.settings.max_concurrency:
                return f"{wanted} workers of a pool are parked or on their way"
    for side in runner.pools._sides:
        if side.users < len(side._lent) or (side.pool is None and side.yields):
            return f"a pool has {side.users} users and {len(side._lent)} workers lent, yields={side.yields}"
    return None


def left(runner: Runner, machine: Machine) -> str | None:
    """What a runner has left behind that has ended, or None."""
    if runner.links:
        return f"links: {[link.uri for link in runner.links]}"
    if runner.capacity.accepted:
        return f"{runner.capacity.accepted} accepted tasks"
    if machine.living or runner.pools.workers:
        return f"{machine.living} processes, {len(runner.pools.workers)} workers"
    if waiting := runner.pool.waiting + runner.pools.wanting + sum(side.users for side in runner.pools._sides):
        return f"{waiting} tasks that wait for a worker, or use a pool"
    if runner.pools.count > 1:
        return f"{runner.pools.count} pools"
    if machine.watchdog.watched:
        return f"{len(machine.watchdog.watched)} watched workers"
    return None
