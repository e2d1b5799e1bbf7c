"""One history: a runner, its brokers and what happens to them, from a seed to the end.

It has three parts. In the *storm* the seed's troubles strike while tasks are asked for. Then, unless the runner was
shut down meanwhile, comes the *calm*: all troubles end, and the runner must find back to every broker, serve each
fairly and end every task well. At last it is shut down, must end in time, and must leave nothing.
"""

from __future__ import annotations

import random

import msgspec
import trio
import trio.testing

from reptarium.pool.config import Settings
from reptarium.pool.embedded import embedded_settings
from reptarium.pool.embedded_broker.records import BrokerTask
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.runner import Runner
from reptarium.pool.workers.pools import AGAIN, LOOK, TENURE
from tests.simulation import determinism, invariants, seams
from tests.simulation.broker import READS_AGAIN, Broken, ImaginaryBroker
from tests.simulation.history import History
from tests.simulation.machine import Machine
from tests.simulation.network import Network
from tests.simulation.plan import Plan, plan, settings, task
from tests.simulation.rules import UIDS, Rules
from tests.simulation.storm import Storm
from tests.simulation.waste import Waste

_BASE: Settings | None = None
_NAME = "brokers"
_SETTINGS_TIMEOUT = 5.0
#: Seconds in which the runner must have found back to every broker once all is well: a grant and a WebSocket that come
#: to nothing (15 s each), the wait after that (10 s), a connection that is gone without a word (two heartbeats).
RECOVERY = 90.0
#: Seconds beyond its grace that a runner may take to end: what is aborted is answered, the pool is buried.
ENDING = 8.0


class Failure(Exception):
    """A seed that fails: why, and the last events."""

    def __init__(self, seed: int, why: BaseException, events: list[str]) -> None:
        super().__init__(f"seed {seed}: {type(why).__name__}: {why}")
        self.seed, self.why, self.events = seed, why, events


def play(seed: int, keep: int | None = 300) -> History:
    """The history of a seed. Raises :class:`Failure`."""
    history = History(keep)
    world = World(seed, history)
    try:
        determinism.run(seed, world.main, world.watcher)
        if world.faults.first is not None:
            raise world.faults.first
    except Exception as error:
        raise Failure(seed, world.watcher.broken or _innermost(error), history.lines()) from error
    return history


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class World:
    """What one seed is made of."""

    def __init__(self, seed: int, history: History) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.plan: Plan = plan(self.rng)
        self.history = history
        self.network = Network(self.rng, history)
        own = random.Random(f"rules of {seed}")
        self.rules = Rules(own, self.plan) if own.random() < 0.4 else None
        self.machine = Machine(self.rng, history, self.rules)
        self.faults = seams.Faults()
        self.waste = Waste(self) if random.Random(f"waste of {seed}").random() < 0.15 else None
        self.watcher = invariants.Watcher()
        self.brokers: list[ImaginaryBroker] = []
        self.asked = 0
        self.runner: Runner | None = None
        self.ended = trio.Event()
        self.scope = trio.CancelScope()

    # ---- the three parts ------------------------------------------------------------------

    async def main(self, clock: trio.testing.MockClock) -> None:
        """From the beginning to the end."""
        self.history.begin()
        self.history.note("plan", self.plan)
        with seams.imaginary(self), self.scope:
            async with trio.open_nursery() as nursery:
                await self._begin(nursery)
                assert self.runner is not None
                storm = Storm(self, clock)
                async with trio.open_nursery() as weather:
                    weather.start_soon(storm.run)
                    if self.plan.shutdown:
                        await trio.sleep(self.rng.uniform(0, self.plan.storm))
                        self.history.note("shutdown")
                        self.runner.shutdown()
                storm.end()
                if not self.runner.stopping:
                    await self._calm()
                    if self.waste is not None:
                        await self.waste.play()
                await self._end()
                nursery.cancel_scope.cancel()
        if self.watcher.broken is not None:
            raise self.watcher.broken

    async def _begin(self, nursery: trio.Nursery) -> None:
        self.network.nursery = self.machine.nursery = nursery
        for number in range(self.plan.brokers):
            self.add_broker(nursery, number)
        addresses = [broker.address for broker in self.brokers]
        self.network.names[_NAME] = list(addresses)
        self.runner = Runner(self._settings(addresses), metrics=_METRICS, reporter=self.faults)
        self.watcher.watch(self.runner, self.rules, self.scope.cancel)
        self._nursery = nursery
        nursery.start_soon(self._run)

    def add_broker(self, nursery: trio.Nursery, number: int) -> None:
        """One more broker."""
        broker = ImaginaryBroker(f"b{number}", f"10.0.0.{number + 1}:5679", self.network, self.history, self.rng)
        broker.nursery, broker.heartbeat = nursery, self.plan.heartbeat
        nursery.start_soon(broker.keep_time)
        self.brokers.append(broker)

    def _settings(self, addresses: list[str]) -> Settings:
        plan, base = self.plan, _settings()
        uris = (f"dns+http://{_NAME}:5679",) if plan.by_name else tuple(f"http://{one}" for one in addresses)
        if self.rules is not None:
            base = msgspec.structs.replace(
                base, policy="imaginary", worker_uids=UIDS, max_pools=self.rules.most, pool_idle=self.rules.idle
            )
        return msgspec.structs.replace(
            base,
            broker_uris=uris,
            max_concurrency=plan.slots,
            warm_workers=plan.warm,
            heartbeat_interval=plan.heartbeat,
            task_timeout=plan.task_timeout,
            settings_timeout=_SETTINGS_TIMEOUT,
            rpc_timeout=2.0,
            graceful_shutdown_timeout=plan.grace,
            auto_shutdown_timeout=plan.idle,
        )

    async def _run(self) -> None:
        assert self.runner is not None
        status = await self.runner.run()
        self.history.note("runner ended", status)
        self.ended.set()

    async def _calm(self) -> None:
        """All is well: the runner finds back to every broker, and serves them all."""
        assert self.runner is not None
        self.history.note("calm")
        with trio.move_on_after(RECOVERY) as waiting:
            while not self.runner.stopping and not (
                self.runner.pool.parked and all(map(self._is_well, self.brokers)) and self._nobody_waits()
            ):
                await trio.sleep(0.5)
        if self.runner.stopping:
            return
        if waiting.cancelled_caught:
            lost = [broker.name for broker in self.brokers if not self._is_well(broker)]
            raise Broken(f"{RECOVERY:g} s after the storm there is no usable connection to {lost}")
        if {"messages lost", "messages garbled"} & set(self.plan.troubles):
            await trio.sleep(6.0)  # offers that a broker has never heard of are made anew
        if "brokers don't read" in self.plan.troubles:
            await trio.sleep(READS_AGAIN)  # a task whose slot was taken in vain meanwhile would count for longer
        pools = await self._calm_rules()
        asked = [(broker, self.ask(broker, [["wait", 0.1]])) for broker in self.brokers for _ in range(self.plan.calm)]
        # twice the time that all of them take one after the other, and what workers of the storm may still take
        each = 0.1 + (1.0 if "slow network" in self.plan.troubles else 0.0)
        seconds = 2 * len(asked) * each / self.plan.slots + self.plan.task_timeout + 5.0 + len(asked) * pools
        before = self._held()
        links = {broker.name: set(broker.runners) for broker in self.brokers}
        with trio.move_on_after(seconds):
            while any(one not in broker.outcomes for broker, one in asked) and not self.runner.stopping:
                self._check_shares(asked, before, links)
                await trio.sleep(0.05)
        for broker, one in asked:
            outcome = broker.outcomes.get(one)
            if outcome is None or outcome.status != "done":
                if self.runner.stopping:
                    return  # shut down for idleness meanwhile
                end = "has not ended" if outcome is None else f"ended as {outcome.status} ({outcome.error})"
                raise Broken(f"{broker.name}: a task that was asked for in the calm {end}")

        await self._answered()

    async def _calm_rules(self) -> float:
        """All is well with the policy too. Returns how long a task may wait for others to make room for its pool."""
        if self.rules is None:
            return 0.0
        assert self.runner is not None
        self.rules.settle()
        await self.runner.reload_policy()
        await trio.sleep(1.5)  # what was still being read, and once more
        self.rules.check_settled(self.runner)
        if self.runner.pools.refused:
            await trio.sleep(AGAIN)
        return TENURE + LOOK + 1.0

    async def _answered(self) -> None:
        """Whatever the storm has left running at the runner's side ends too, and with a verdict."""
        assert self.runner is not None
        with trio.move_on_after(_SETTINGS_TIMEOUT + self.plan.task_timeout + 5.0):
            while self._owed() and not self.runner.stopping:
                await trio.sleep(0.5)
        if (owed := self._owed()) and not self.runner.stopping:
            raise Broken(f"accepted, and not answered: {owed}")

    def _owed(self) -> list[str]:
        return [one for broker in self.brokers for runner in broker.runners.values() for one in runner.books.owed]

    def _is_well(self, broker: ImaginaryBroker) -> bool:
        """Whether the broker has a connection that works, and holds an offer: no task of the storm is left."""
        return not broker.core.unfinished and any(
            key in broker.runners
            and not broker.runners[key].stream.line.there.deaf
            and broker.core.open_offers(peer, trio.current_time())
            for key, peer in broker.core.peers.items()
        )

    def _nobody_waits(self) -> bool:
        """Whether what anybody has had of the slots counts no more: no slot is kept or held without settings, as for an
        accept of the storm whose task its broker has forgotten, and none rests that was wasted.
        """
        assert self.runner is not None
        capacity = self.runner.capacity
        return not (capacity._line or capacity._unused) and capacity.next_deadline() is None

    def _held(self) -> dict[str, float]:
        """For how long each broker has held slots, with tasks of the storm that it has forgotten."""
        assert self.runner is not None
        now, places = trio.current_time(), self.runner.capacity._places.values()
        held = {place.holder.uri: place.share.total(now) for place in places}  # type: ignore[attr-defined]
        return {broker.name: held.get(f"http://{broker.address}", 0.0) for broker in self.brokers}

    def one_at_a_time(self, broker: ImaginaryBroker) -> bool:
        """Whether it has used no slot yet, or wasted one in the storm: it is offered the next once it has used one."""
        assert self.runner is not None
        places = self.runner.capacity._places
        return any(places[link].conduct.limited for link in self.runner.links if link.uri == f"http://{broker.address}")

    def _check_shares(
        self, asked: list[tuple[ImaginaryBroker, BrokerTask]], before: dict[str, float], links: dict[str, set[int]]
    ) -> None:
        """Who still waits has held slots for as long as the others, but for those that were free at the beginning.

        In units of the longest task: all take as long, but those that wait for their pool. On a slow network those that
        are near have begun some more before the word of the others has come. So they have while who waits may have one
        at a time: the rest of a round of slots.

        Nobody is excused who has wasted a slot in the storm, as who loses a connection at the wrong moment does: that
        costs it a moment (``trial.py``), and no part of what comes then. But who has lost its connection in the calm,
        as one that was deaf in the storm to an answer to its ping, waited for nothing until it was back.
        """
        slots = self.plan.slots
        ahead = 4 * slots + 4 if "slow network" in self.plan.troubles else slots + 2
        got = {broker.name: 0.0 for broker in self.brokers}
        longest = 0.1
        waiting = set()
        for broker, one in asked:
            if one.state in ("running", "ended"):
                began, ended = one.timings.accepted, one.timings.finished
                until = trio.current_time() if ended is None else ended
                took = max(0.1, 0.0 if began is None else until - began)
                got[broker.name] += took
                longest = max(longest, took)
            elif links[broker.name] & set(broker.runners):
                waiting.add(broker.name)
        held = {name: seconds - before[name] for name, seconds in self._held().items()}
        behind = min((max(held[name], got[name]) for name in waiting), default=0.0)
        if any(broker.name in waiting and self.one_at_a_time(broker) for broker in self.brokers):
            ahead += slots
        if waiting and max(got.values()) > behind + ahead * longest + 1e-6:  # of sums, which are rounded
            raise Broken(f"slots are not shared fairly: for {got} seconds, and {sorted(waiting)} still wait")

    async def _end(self) -> None:
        assert self.runner is not None
        self.history.note("shutdown at the end")
        self.runner.shutdown()
        with trio.move_on_after(self.plan.grace + ENDING):
            await self.ended.wait()
        if not self.ended.is_set():
            raise Broken(f"not ended {ENDING:g} s after its grace")
        await trio.sleep(5.0)  # what is on its way arrives
        wrong = invariants.left(self.runner, self.machine)
        if wrong is None and self.network.open:
            wrong = f"{len(self.network.open)} streams"
        if wrong is not None:
            raise Broken(f"left at the end: {wrong}")

    # ---- what happens ------------------------------------------------------------------------

    def ask(self, broker: ImaginaryBroker, steps: list[list[object]] | None = None) -> BrokerTask:
        """Somebody asks for a task: one of the seed's, or this one, which ends well."""
        self.asked += 1
        number = f"n{self.asked}"
        under = None if self.rules is None else self.rules.first_step(pauses=steps is None)
        if steps is None:
            return broker.submit(task(number, self.plan, self.rng, under=under))
        return broker.submit(settings(number, [*steps, ["result", number, 0]], under=under), patience=600.0)

    def reload(self) -> None:
        """The policy has changed, and SIGHUP has come."""
        assert self.rules is not None
        assert self.runner is not None
        self.rules.change()
        self._nursery.start_soon(self.runner.reload_policy)


def _settings() -> Settings:
    global _BASE
    if _BASE is None:
        environment = {"N8N_RUNNERS_AUTH_TOKEN": "imaginary", "N8N_RUNNERS_ID": "runner"}
        _BASE = embedded_settings(environment)
    return _BASE


#: One for all seeds: making one costs as much as a small history.
_METRICS = Metrics()
