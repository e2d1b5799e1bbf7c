"""The faults that are done to runners under load: to their processes, their network, their broker.

A fault strikes real processes and real connections. Each one is written down (``injuries.py``).
"""

from __future__ import annotations

import math
import random
import resource
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import psutil
import trio

from reptarium.pool.bench.injuries import Injury, Record
from reptarium.pool.bench.runners import RunnerProcess, Site
from reptarium.pool.bench.stats import descriptors_of, tree
from reptarium.pool.embedded_broker import Delayed, TaskHandle
from reptarium.pool.protocol.messages import (
    BrokerMessage,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    RunnerRpcCall,
    RunnerTaskAccepted,
    RunnerTaskDone,
    RunnerTaskOffer,
)
from reptarium.sandbox.wire import BUSY_NAME, IDLE_NAME

#: Seconds until what must come, or end, is given up (a lost connection waits up to 10 s of backoff).
GIVEN_UP = 20.0
#: Workers that stand still at a time: each holds a slot until its task's time limit.
MAX_STOPPED = 2
#: Messages that come twice or late, and settings that are lost, when their turn comes.
DISORDERED, LOST = 12, 2
#: Messages at which a connection is cut.
_POINTS = (
    RunnerTaskOffer, BrokerTaskOfferAccept, RunnerTaskAccepted, BrokerTaskSettings, RunnerRpcCall, RunnerTaskDone,
)  # fmt: skip


def by_name(site: Site, *names: str) -> list[psutil.Process]:
    """The processes below the site's runners that show one of ``names`` (see ``sandbox/wire.py``)."""
    return [process for root in site.processes() for process in below(root, *names)]


def below(root: psutil.Process, *names: str) -> list[psutil.Process]:
    """The processes below one runner that show one of ``names``."""
    found = []
    for process in tree(root)[1:]:
        with suppress(psutil.NoSuchProcess):
            if process.name() in names:
                found.append(process)
    return found


def workers(root: psutil.Process, *names: str) -> list[psutil.Process]:
    """Likewise, without zygotes: one that starts rehearses under a worker's name."""
    zygotes = set(root.children())
    return [process for process in below(root, *names) if process not in zygotes]


def alive(process: psutil.Process) -> bool:
    """Whether it runs, or sleeps; a zombie that waits for another parent does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _what(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {process.name()}, {process.status()}, child of {process.ppid()}"
    except psutil.NoSuchProcess:
        return f"{process.pid}, which has ended by now"


class FaultMaker:
    """The faults that can be done to a site, each a method that does it once.

    ``runner_names`` are the runners' own names, in the order of the site's; ``cancel`` names the tasks that
    may be cancelled.
    """

    def __init__(self, site: Site, runner_names: Sequence[str], rng: random.Random, record: Record) -> None:
        self.handles: set[TaskHandle] = set()
        self._site, self._rng, self._record = site, rng, record
        self._names = runner_names
        self._disorder = self._lost = 0
        self._cut_at: type[Any] | None = None
        self._stopped: list[psutil.Process] = []
        site.broker.outgoing_filter = self._outgoing

    def all(self) -> list[Callable[[], Awaitable[None]]]:
        """Every fault."""
        return [self.kill_idle_worker, self.kill_busy_worker, self.kill_zygote, self.kill_runner, self.stop_worker,
                self.cut_connection, self.cut_at_message, self.silence_connection, self.slow_reader,
                self.broker_outage, self.cancel_burst, self.disorder, self.lose_settings,
                self.exhaust_descriptors]  # fmt: skip

    # --- processes -------------------------------------------------------------------------

    async def kill_idle_worker(self) -> None:
        """SIGKILL to a parked worker: perhaps a task has it by now."""
        self._kill_worker("kill_idle_worker", IDLE_NAME)

    async def kill_busy_worker(self) -> None:
        """SIGKILL to a worker with a task."""
        self._kill_worker("kill_busy_worker", BUSY_NAME)

    def _kill_worker(self, kind: str, name: str) -> None:
        found = [(root, process) for root in self._site.processes() for process in workers(root, name)]
        if found:
            root, victim = self._rng.choice(found)
            self._note(kind, runner=self._name(root), victims=1)
            with suppress(psutil.NoSuchProcess):
                victim.kill()

    async def kill_zygote(self) -> None:
        """SIGKILL to a zygote: its workers go with it."""
        root = self._some_process()
        with suppress(psutil.NoSuchProcess):
            for zygote in root.children():
                self._note("kill_zygote", runner=self._name(root))
                zygote.kill()

    async def kill_runner(self) -> None:
        """SIGKILL to a whole runner; what starts runners starts it anew. Its processes must all go with it."""
        runner: RunnerProcess = self._rng.choice(self._site.runners)
        family = tree(runner.process)[1:]
        injury = self._note("kill_runner", runner=self._name(runner.process))
        await runner.stop(kill=True)
        with trio.move_on_after(GIVEN_UP):  # to end takes a processor, too, and workers come last
            while any(alive(process) for process in family):
                await trio.sleep(0.01)
        left = [_what(process) for process in family if alive(process)]
        injury.ended = trio.current_time()
        runner.start()
        if left:
            raise AssertionError(f"the killed runner left processes: {', '.join(left)}")

    async def stop_worker(self) -> None:
        """SIGSTOP to a worker, for good: whoever waits for it must not wait for ever."""
        self._stopped = [process for process in self._stopped if alive(process)]
        found = [(root, process) for root in self._site.processes() for process in workers(root, BUSY_NAME, IDLE_NAME)]
        if found and len(self._stopped) < MAX_STOPPED:
            root, victim = self._rng.choice(found)
            self._note("stop_worker", runner=self._name(root), victims=1)
            with suppress(psutil.NoSuchProcess):
                victim.suspend()
                self._stopped.append(victim)

    async def exhaust_descriptors(self) -> None:
        """A runner that has started can open nothing for a while: no connection, no worker's socket."""
        name = self._name_of(self._some_runner())
        if name not in self._names:  # it has none before it is registered
            return
        root = self._site.runners[self._names.index(name)].process
        injury = self._note("exhaust_descriptors", runner=name)
        with suppress(psutil.NoSuchProcess):
            soft, hard = root.rlimit(resource.RLIMIT_NOFILE)
            root.rlimit(resource.RLIMIT_NOFILE, (min(descriptors_of(root), soft), hard))
            await trio.sleep(0.3)
            root.rlimit(resource.RLIMIT_NOFILE, (soft, hard))
        injury.ended = trio.current_time()

    def _some_process(self) -> psutil.Process:
        runner: RunnerProcess = self._rng.choice(self._site.runners)
        return runner.process

    # --- the network -----------------------------------------------------------------------

    async def cut_connection(self) -> None:
        """The network breaks: a reset, without a close frame."""
        self._cut("cut_connection", self._some_runner())

    async def cut_at_message(self) -> None:
        """The same in the moment of the next message of some kind, out or in, which is lost."""
        self._cut_at = self._rng.choice(_POINTS)

    def _cut(self, kind: str, runner_id: str | None) -> None:
        if runner_id is not None:
            self._note(kind, runner=self._name_of(runner_id))
            self._site.broker.disconnect(runner_id, abrupt=True)

    async def silence_connection(self) -> None:
        """The network falls silent, without an end: the runner must find out by itself."""
        runner_id = self._some_runner()
        if runner_id is not None:
            injury = self._note("silence_connection", runner=self._name_of(runner_id))
            self._site.broker.faults.silence(runner_id)
            # the broker gives it tasks until a ping has gone unanswered, if the runner doesn't come back before
            injury.ended += 2 * self._site.broker.config.heartbeat_interval

    async def slow_reader(self) -> None:
        """The broker reads next to nothing for a while."""
        runner_id = self._some_runner()
        if runner_id is not None:
            injury = self._note("slow_reader", runner=self._name_of(runner_id))
            self._site.broker.faults.throttle(runner_id, 20_000)
            await trio.sleep(0.4)
            self._site.broker.faults.throttle(runner_id, None)
            # acknowledgements, pongs and prints of meanwhile are late
            injury.ended = trio.current_time() + self._site.broker.config.accept_timeout

    async def broker_outage(self) -> None:
        """The broker is killed, and started anew on its port."""
        injury = self._note("broker_outage")
        await self._site.broker.faults.outage(0.3)
        injury.ended = trio.current_time()

    def _some_runner(self) -> str | None:
        views = self._site.broker.runners
        return self._rng.choice(views).id if views else None

    # --- the broker ------------------------------------------------------------------------

    async def cancel_burst(self) -> None:
        """Cancel half of all tasks at once, wherever in their lives they are."""
        for handle in list(self.handles):
            if self._rng.random() < 0.5:
                self._note("cancel_burst", victims=1)
                handle.cancel()

    async def disorder(self) -> None:
        """The next messages come twice or late."""
        self._disorder = DISORDERED

    async def lose_settings(self) -> None:
        """The next settings don't come at all."""
        self._lost = LOST

    def _outgoing(self, runner_id: str, message: BrokerMessage) -> Iterable[BrokerMessage | Delayed]:
        if self._strikes(runner_id, message):
            return []
        if self._lost and isinstance(message, BrokerTaskSettings):
            self._lost -= 1
            self._note("lose_settings", runner=self._name_of(runner_id), victims=1)
            return []
        if not self._disorder:
            return [message]
        self._disorder -= 1
        if self._rng.random() < 0.5:
            return [message, message]
        return [Delayed(message, self._rng.random() * 0.05)]

    def incoming(self, runner_id: str, message: Any) -> bool:
        """Whether a message of a runner arrives: False when the connection is cut at it."""
        return not self._strikes(runner_id, message)

    def _strikes(self, runner_id: str, message: Any) -> bool:
        if self._cut_at is None or not isinstance(message, self._cut_at):
            return False
        self._cut_at = None
        self._cut("cut_at_message", runner_id)
        return True

    # --- small things ----------------------------------------------------------------------

    def settle(self) -> None:
        """No more of it: stopped workers go on (SIGCONT), messages come as they are."""
        self._disorder = self._lost = 0
        self._cut_at = None
        for process in self._stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def _note(self, kind: str, *, runner: str | None = None, victims: float = math.inf) -> Injury:
        return self._record.add(kind, trio.current_time(), runner=runner, victims=victims)

    def _name(self, root: psutil.Process) -> str | None:
        for runner, name in zip(self._site.runners, self._names, strict=True):
            with suppress(RuntimeError, psutil.NoSuchProcess):
                if runner.process == root:
                    return name
        return None

    def _name_of(self, runner_id: str | None) -> str | None:
        return next((view.name for view in self._site.broker.runners if view.id == runner_id), None)
