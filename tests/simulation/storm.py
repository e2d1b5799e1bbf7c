"""The storm: what goes wrong in one history, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio
import trio.testing

from tests.simulation.broker import ImaginaryBroker
from tests.simulation.machine import Habits, Zygote
from tests.simulation.misbehaviour import Misbehaviour, garbage
from tests.simulation.network import Weather

if TYPE_CHECKING:
    from tests.simulation.world import World


class Storm:
    """The troubles of a world, from :meth:`run` to :meth:`end`."""

    def __init__(self, world: World, clock: trio.testing.MockClock) -> None:
        self._world, self._clock = world, clock
        self._rng, self._plan = world.rng, world.plan
        self._events: list[Callable[[], None]] = []

    async def run(self) -> None:
        """Let it rage for the plan's time."""
        self._settle()
        rng, plan = self._rng, self._plan
        strikes = [(rng.uniform(0, plan.storm), self._ask) for _ in range(plan.tasks)]
        if rng.random() < 0.5:  # all at once, to have them queue
            strikes = [(at if rng.random() < 0.3 else plan.storm / 3, event) for at, event in strikes]
        for trouble in (one for one in plan.troubles if one in self._striking()):
            strike = self._striking()[trouble]
            strikes += [(rng.uniform(0, plan.storm), strike) for _ in range(rng.choice([1, 3, 6]))]
        if (rules := self._world.rules) is not None:
            strikes += [(rules.rng.uniform(0, plan.storm), self._world.reload) for _ in range(rules.reloads)]
        strikes.sort(key=lambda pair: pair[0])
        began = trio.current_time()
        for at, strike in strikes:
            await trio.sleep_until(began + at)
            if self._world.ended.is_set():
                return
            strike()
        await trio.sleep_until(began + plan.storm)

    def end(self) -> None:
        """All is well again: connections that still would break don't, who was hung goes on."""
        world = self._world
        world.network.weather(lambda address: Weather(delay=0.001))
        world.network.calm = True
        world.network.black_holes.clear()
        for _, line in world.network.lines:
            line.hold()
        for broker in world.brokers:
            broker.misbehaviour = Misbehaviour()
            broker.open()
            if broker.core.draining:
                broker.restart()
        if world.plan.by_name:
            world.network.names["brokers"] = [broker.address for broker in world.brokers]
        world.machine.habits = Habits()
        for zygote in world.machine.zygotes:
            zygote.go_on()
        for process in list(world.machine.processes.values()):
            if process.doomed:
                process.kill()

    # ---- what lasts -----------------------------------------------------------------------------

    def _settle(self) -> None:
        rng, has = self._rng, self._plan.troubles
        usual = rng.choice([0.0, 0.0, 0.001])
        narrow = "slow network" in has or "brokers don't read" in has  # or what isn't read lies in the network
        breaks = "connections break" in has

        def weather(address: str) -> Weather:
            return Weather(
                delay=rng.choice([0.001, 0.05, 0.2]) if "slow network" in has else usual,
                room=rng.choice([400, 4096, 65536]) if narrow else 65536,
                piece=rng.choice([20, 300, 65536]) if "slow network" in has else 65536,
                breaks_after=rng.choice([None, 10, 200, 500, 1000, 3000]) if breaks else None,
                breaks_with=rng.choice(["reset", "end", "silence"]),
            )

        self._world.network.weather(weather)
        some = rng.choice([0.02, 0.1, 0.4])
        for broker in self._world.brokers:
            if rng.random() < 0.3:
                continue  # some are well, and must not suffer
            broker.misbehaviour = Misbehaviour(
                loses=some if "messages lost" in has else 0.0,
                repeats=some if "messages repeated" in has else 0.0,
                delays=some if "messages late" in has else 0.0,
                garbles=some if "messages garbled" in has else 0.0,
                door=some if "odd doors" in has else 0.0,
                overhears=some if "messages lost" in has else 0.0,
                answers=0.3 if "calls unanswered" in has else 1.0,
                mute="mute" in has,
            )
        chance = rng.choice([0.05, 0.3])
        births = "births fail" in has
        self._world.machine.habits = Habits(
            fork_delay=rng.choice([0.001, 0.1]),
            start_delay=rng.choice([0.001, 0.05]),
            reap_delay=rng.choice([0.0, 0.001, 1.0]),
            fork_fails=chance if births else 0.0,
            dies_at_start=chance / 2 if births else 0.0,
            fails_at_start=chance / 2 if births else 0.0,
            lies_at_start=chance / 4 if births else 0.0,
            never_ready=chance / 8 if births else 0.0,
            dies_parked=chance if "workers die" in has else 0.0,
            zygote_fails=chance if "zygote dies" in has else 0.0,
            pool_refused=0.0 if self._world.rules is None else self._world.rules.refused,
        )

    # ---- what strikes ---------------------------------------------------------------------------

    def _striking(self) -> dict[str, Callable[[], None]]:
        return {
            "connections break": self._cut,
            "connections stall": self._stall,
            "brokers don't read": self._stop_reading,
            "garbage": self._invent,
            "brokers restart": self._restart,
            "cancels": self._cancel,
            "addresses come and go": self._move,
            "black holes": self._swallow,
            "zygote dies": self._zygote_dies,
            "zygote hangs": self._zygote_hangs,
            "clock jumps": self._jump,
        }

    def _broker(self) -> ImaginaryBroker:
        return self._rng.choice(self._world.brokers)

    def _ask(self) -> None:
        self._world.ask(self._broker())

    def _cut(self) -> None:
        rng, broker = self._rng, self._broker()
        how = rng.choice(["reset", "end", "silence", "close", "leave"])
        self._world.history.note("cut", broker.name, how)
        if how in ("close", "leave"):
            broker.cut_off(1000 if how == "close" else None)
            return
        for address, line in self._world.network.lines:
            if address == broker.address:
                line.break_off(how)

    def _stall(self) -> None:
        seconds = self._rng.choice([0.2, 3.0, 15.0])
        self._world.history.note("stall", seconds)
        for _, line in self._world.network.lines:
            if self._rng.random() < 0.5:
                line.stall(seconds)

    def _stop_reading(self) -> None:
        broker, seconds = self._broker(), self._rng.choice([0.5, 5.0, 60.0])
        self._world.history.note("doesn't read", broker.name, seconds)
        broker.misbehaviour.reads_again_at = trio.current_time() + seconds

    def _invent(self) -> None:
        broker, rng = self._broker(), self._rng
        known = [task_id for peer in broker.core.peers.values() for task_id in peer.tasks]
        broker.invent(garbage(rng.choice([*known, "nobody's"]), rng) for _ in range(rng.choice([1, 1, 30])))

    def _restart(self) -> None:
        rng, broker = self._rng, self._broker()
        if rng.random() < 0.5:
            broker.drain()
        else:
            broker.restart()
            if rng.random() < 0.5:
                self._world.network.close(broker.address)

    def _cancel(self) -> None:
        broker = self._broker()
        tasks = list(broker.core._tasks.values())
        if tasks:
            broker.cancel(self._rng.choice(tasks))

    def _move(self) -> None:
        rng, world = self._rng, self._world
        found = [broker.address for broker in world.brokers if rng.random() < 0.5]
        world.network.names["brokers"] = found if rng.random() < 0.8 else None
        world.history.note("the name is now", world.network.names["brokers"])

    def _swallow(self) -> None:
        self._world.network.black_holes.add(self._broker().address)

    def _zygote(self) -> Zygote:
        """The last one; with rules, one of any pool."""
        machine, rules = self._world.machine, self._world.rules
        living = [] if rules is None else [zygote for zygote in machine.zygotes if zygote.alive]
        return rules.rng.choice(living) if rules is not None and living else machine.zygotes[-1]

    def _zygote_dies(self) -> None:
        # a runner whose first zygotes are killed while they start has no sandbox, and says so
        if self._world.machine.greeted:
            self._zygote().die()

    def _zygote_hangs(self) -> None:
        zygote = self._zygote()
        zygote.go_on() if zygote.hangs else zygote.hang()

    def _jump(self) -> None:
        seconds = self._rng.choice([0.5, 5.0, 40.0])
        self._world.history.note("the clock jumps", seconds)
        self._clock.jump(seconds)
