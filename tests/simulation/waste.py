"""After the calm, in some histories: all brokers but one take slots and send no settings for them, and then recover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from reptarium.pool.brokers.capacity import LONGEST_TURN
from reptarium.pool.brokers.trial import PATIENCE
from reptarium.pool.embedded_broker.records import BrokerTask
from tests.simulation.broker import Broken, ImaginaryBroker
from tests.simulation.misbehaviour import Misbehaviour

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Seconds for which the healthy one is watched, and that its tasks take; and their messages, to a broker that is slow.
#: From an offer to a broker that is slow until the settings of its task are there. Then how long after the last waste
#: each must have a task done.
WATCHED, TASK, ON_THEIR_WAY, ROUND, RECOVERY = 20.0, 1.0, 1.0, 1.2, 25.0


class Waste:
    """What one healthy broker gets beside wasteful ones."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def play(self) -> None:
        """The wasteful ones never want for tasks; the healthy one has as many as there are slots."""
        world, runner = self._world, self._world.runner
        assert runner is not None
        healthy, *others = world.brokers
        if not others or world.rules is not None or runner.stopping:
            return
        world.history.note("all but one waste their slots")
        slots = world.plan.slots
        # until each has wasted what it could take while it was trusted
        before = 2.0 + runner.settings.settings_timeout * (1 + -(-len(others) // slots))
        for broker in others:
            broker.misbehaviour = Misbehaviour(wastes=True)
        waiting = [(broker, world.ask(broker, [["wait", 0.1]])) for broker in others for _ in range(slots * 20)]
        done, longest = 0, 0.0
        asked: list[BrokerTask] = []
        last = known = trio.current_time() + before
        while (now := trio.current_time()) < known + WATCHED and not runner.stopping:
            ended = [one for one in asked if one in healthy.outcomes]
            if now > known:
                done += len(ended)
                longest, last = max(longest, now - last), now if ended else last
            asked = [one for one in asked if one not in healthy.outcomes]
            asked += [world.ask(healthy, [["wait", TASK]]) for _ in range(slots - len(asked))]
            await trio.sleep(0.05)
        if runner.stopping:
            return
        most = slots * WATCHED / (TASK + ON_THEIR_WAY)
        if world.one_at_a_time(healthy):
            most = min(most, WATCHED / ROUND)
        if done < 0.6 * most:
            raise Broken(f"beside {len(others)} wasteful brokers a healthy one has {done} tasks done in {WATCHED:g} s")
        if longest > PATIENCE + TASK + ON_THEIR_WAY + LONGEST_TURN:
            raise Broken(f"beside {len(others)} wasteful brokers a healthy one waits {longest:.1f} s for a slot")
        for broker, one in waiting:
            if one not in broker.outcomes:
                broker.cancel(one)
        await self._recover(others)

    async def _recover(self, brokers: list[ImaginaryBroker]) -> None:
        """They send settings again, and are served again."""
        world, runner = self._world, self._world.runner
        assert runner is not None
        world.history.note("nobody wastes slots any more")
        for broker in brokers:
            broker.misbehaviour = Misbehaviour()
        asked = [(broker, world.ask(broker, [["wait", 0.1]])) for broker in brokers]
        with trio.move_on_after(RECOVERY):
            while any(one not in broker.outcomes for broker, one in asked) and not runner.stopping:
                await trio.sleep(0.1)
        for broker, one in asked:
            if (one not in broker.outcomes or broker.outcomes[one].status != "done") and not runner.stopping:
                raise Broken(f"{broker.name}: not served {RECOVERY:g} s after it has wasted its last slot")
