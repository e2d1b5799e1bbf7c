"""What must hold at every turn of the event loop, and at the end.

An instrument of trio looks after each turn: every task that could go on has had a step, and nothing half done is seen,
because what changes several things at once does so between two awaits.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from reptarium.pool.protocol.session import STALE
from reptarium.pool.runner import Runner
from tests.simulation import seams
from tests.simulation.broker import Broken
from tests.simulation.workers import Machine


class Watcher(trio.abc.Instrument):
    """Checks a runner at every turn; ``failed`` is called once, with what is wrong."""

    def __init__(self) -> None:
        self.turns = 0
        self.broken: Broken | None = None
        self._runner: Runner | None = None
        self._machine: Machine | None = None
        self._failed: Callable[[], None] = lambda: None

    def watch(self, runner: Runner, machine: Machine, failed: Callable[[], None]) -> None:
        """From now on."""
        self._runner, self._machine, self._failed = runner, machine, failed

    def after_io_wait(self, timeout: float) -> None:
        """A turn has ended."""
        self.turns += 1
        if self._runner is None or self._machine is None or self.broken is not None:
            return
        wrong = check(self._runner, self._machine)
        if wrong is not None:
            self.broken = Broken(wrong)
            self._failed()


def check(runner: Runner, machine: Machine) -> str | None:
    """What doesn't hold of a runner, or None."""
    slots, accepted = runner.capacity.slots, 0
    for link in runner.links:
        session = link._session
        if session is None:
            continue
        tasks, offers = len(session._tasks), len(session._offers)
        accepted += tasks
        if session.state == "registered":
            if offers + tasks != session.capacity and (offers or tasks < session.capacity):
                return f"{link.uri}: {offers} offers and {tasks} tasks, which is not {session.capacity}"
        elif offers:
            return f"{link.uri}: {offers} offers while {session.state}"
        if len(session._stale) > STALE:
            return f"{link.uri}: {len(session._stale)} replaced offers are remembered"
        connection = link._connection
        if connection is not None:
            waits = connection.outbox
            if waits.unwritten > seams.OUTBOX + 1 or waits._bulk > seams.BULK + 1:
                return f"{link.uri}: {waits.unwritten} messages wait, {waits._bulk} of them bulk"
    if accepted > slots:
        return f"{accepted} tasks are accepted, with {slots} slots"
    return None


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
