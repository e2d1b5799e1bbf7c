"""The imaginary machine that zygotes and workers run on: what there is of it, and what goes wrong there.

The real pool orders workers of :class:`Zygote` and hears of their first words through :class:`FirstWords`.
"""

from __future__ import annotations

import errno
import os
import random
import select
import signal
from collections import deque
from collections.abc import Callable, Sized

import msgspec
import trio

from reptarium.pool.endings import Ending
from reptarium.pool.workers.worker import Worker
from reptarium.pool.workers.zygote import START_TIMEOUT, Newborn, News
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import LayerStatus
from tests.simulation.broker import Broken
from tests.simulation.history import History
from tests.simulation.rules import Rules, overlap
from tests.simulation.workers import ImaginaryWorker, Process


class Habits(msgspec.Struct, kw_only=True):
    """What goes wrong with workers, as chances, and what takes how long, in seconds. Changes apply at once."""

    fork_delay: float = 0.002
    start_delay: float = 0.002
    reap_delay: float = 0.001
    fork_fails: float = 0.0
    dies_at_start: float = 0.0
    fails_at_start: float = 0.0
    lies_at_start: float = 0.0
    never_ready: float = 0.0
    dies_parked: float = 0.0
    zygote_fails: float = 0.0
    pool_refused: float = 0.0


class Machine:
    """The machine that zygotes and workers run on: what there is of it."""

    def __init__(self, rng: random.Random, history: History, rules: Rules | None) -> None:
        self.rng = rng
        self.history = history
        self.rules = rules
        self.habits = Habits()
        self.nursery: trio.Nursery | None = None
        self.zygotes: list[Zygote] = []
        self.greeted = False  # one of them has been ready
        self.processes: dict[int, Process] = {}  # those that live, by pid
        self.everybody: dict[int, Process] = {}  # that was ever born, by pid and by descriptor
        self.watchdog = Watchdog()
        self._ids = 100

    def new_id(self) -> int:
        """A number that no process, and no descriptor, has or had."""
        self._ids += 1
        return self._ids

    def zygote(self) -> Zygote:
        """In place of ``ZygoteProcess``."""
        zygote = Zygote(self, first=not self.zygotes)
        self.zygotes.append(zygote)
        return zygote

    def worker(self, number: int, pid: int, fd: int, pidfd: int, prints: int) -> ImaginaryWorker:
        """In place of ``Worker``."""
        return ImaginaryWorker(number, self.everybody[pid])

    @property
    def living(self) -> int:
        """Zygotes and workers that are there."""
        return sum(zygote.alive for zygote in self.zygotes) + len(self.processes)


class Zygote:
    """In place of ``pool/workers/zygote.py``."""

    def __init__(self, machine: Machine, *, first: bool) -> None:
        self.alive = True
        self.hangs = False
        self.config: wire.ZygoteConfig | None = None
        self.workers: set[int] = set()
        self._machine = machine
        self._first = first
        self._news: deque[News] = deque()
        self._changed = trio.Event()
        machine.history.note("zygote started")

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    @property
    def pid(self) -> int:
        """Nobody's."""
        return 1

    def kill(self) -> None:
        """SIGKILL."""
        self.die()

    async def greet(self, config: wire.ZygoteConfig) -> wire.Hello | wire.Refusal | None:
        """Ready after a while, or dead."""
        machine, self.config = self._machine, config
        if (rules := machine.rules) is not None:
            others = [one for one in machine.zygotes if one.alive and one.config is not None and one.config != config]
            if any(overlap(config, one.config) for one in others if one.config is not None):
                raise Broken("two pools hand out the same user ids")
            if not self._first and rules.rng.random() < 0.5:
                with trio.fail_after(START_TIMEOUT):
                    while self.hangs and self.alive:
                        await self._changed.wait()
        await trio.sleep(0.05)
        if (
            rules is not None
            and config != machine.zygotes[0].config
            and rules.rng.random() < machine.habits.pool_refused
        ):
            self.die()
            return wire.Refusal("there is no such sandbox here")
        if not self._first and self._machine.rng.random() < self._machine.habits.zygote_fails:
            self.die()
        if not self.alive:
            return None
        self._machine.greeted = True
        return wire.Hello(python="imaginary", layers=(LayerStatus(name="seccomp", state="active"),))

    def order(self, workers: int, *, urgent: bool) -> bool:
        """Fork that many."""
        if not self.alive:
            return False
        assert self._machine.nursery is not None
        self._machine.nursery.start_soon(self._fork, workers)
        return True

    async def _fork(self, workers: int) -> None:
        machine = self._machine
        for _ in range(workers):
            await trio.sleep(machine.habits.fork_delay)
            while self.hangs and self.alive:
                await self._changed.wait()
            if not self.alive:
                return
            if machine.rng.random() < machine.habits.fork_fails:
                self._tell(wire.ForkFailed(errno.EAGAIN))
                continue
            process = Process(machine, self)
            machine.processes[process.pid] = machine.everybody[process.pid] = machine.everybody[process.fd] = process
            self.workers.add(process.pid)
            assert machine.nursery is not None
            machine.nursery.start_soon(process.run)
            self._tell(Newborn(process.pid, process.fd, -1))

    def _tell(self, news: News) -> None:
        self._news.append(news)
        self._notify()

    def reaped(self, pid: int, status: int) -> None:
        """A worker has ended."""
        self.workers.discard(pid)
        if self.alive:
            self._tell(wire.Exited(pid, status, 0.001))
        self._notify()

    def hang(self) -> None:
        """Stop, as by SIGSTOP."""
        self._machine.history.note("zygote hangs")
        self.hangs = True

    def go_on(self) -> None:
        """Go on, as by SIGCONT."""
        self.hangs = False
        self._notify()

    def die(self) -> None:
        """Die, and its workers with it."""
        if self.alive:
            self._machine.history.note("zygote died")
        self.alive = False
        for pid in list(self.workers):
            self._machine.processes[pid].kill()
        self._notify()

    async def receive(self) -> News | None:
        """What it tells next; None when it has died and all is told."""
        while self.hangs or not self._news:
            if not self.alive:
                return None
            await self._changed.wait()
        await trio.lowlevel.checkpoint()
        return self._news.popleft()

    async def exit_status(self) -> int:
        """Killed."""
        self.die()
        return -int(signal.SIGKILL)

    async def bury(self, left: Sized, exited: Callable[[wire.Exited], object]) -> None:
        """Its workers are reported while it lives; then it is dead."""
        with trio.move_on_after(1.0):
            while left and (news := await self.receive()) is not None:
                if isinstance(news, wire.Exited):
                    exited(news)
        self.die()

    async def log_stderr(self) -> None:
        """It says nothing there."""
        while self.alive:
            await self._changed.wait()


class FirstWords:
    """In place of ``select.epoll``: a real descriptor that is readable when a watched socket is."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._event = os.eventfd(0, os.EFD_NONBLOCK)
        self._armed: dict[int, bool] = {}

    def __enter__(self) -> FirstWords:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._event)
        for process in self._machine.everybody.values():
            if process.first_words is self:  # another zygote has its own
                process.first_words = None

    def fileno(self) -> int:
        return self._event

    def register(self, fd: int, _: int) -> None:
        self._machine.everybody[fd].first_words = self
        self.modify(fd, 0)

    def modify(self, fd: int, _: int) -> None:
        self._armed[fd] = False
        process = self._machine.everybody[fd]
        if process.said or not process.speaks:
            self.wake(fd)

    def wake(self, fd: int) -> None:
        """The socket is readable."""
        if self._armed.get(fd) is False:
            self._armed[fd] = True
            os.eventfd_write(self._event, 1)

    def poll(self, _: float) -> list[tuple[int, int]]:
        ready = [fd for fd, is_ready in self._armed.items() if is_ready]
        for fd in ready:
            del self._armed[fd]
        if ready:
            os.eventfd_read(self._event)
        return [(fd, select.EPOLLIN) for fd in ready]


class Watchdog:
    """In place of ``workers/watchdog.py``: kills whom a script says, and looks at nobody."""

    def __init__(self) -> None:
        self.watched: dict[Worker, None] = {}

    def watch(self, worker: Worker | None) -> None:
        if worker is not None:
            self.watched[worker] = None

    def unwatch(self, worker: Worker | None) -> int:
        if worker is not None:
            self.watched.pop(worker, None)
        return 0

    def kill(self, worker: Worker) -> None:
        """It has grown too large."""
        if worker in self.watched:
            worker.kill(Ending.MEMORY)

    async def run(self) -> None:
        await trio.sleep_forever()
