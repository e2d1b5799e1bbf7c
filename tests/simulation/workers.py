"""Imaginary workers and their zygote: what they say is bytes, what they are is a task of the simulation.

The real pool asks for them, parks, leases and buries them; the real ``Worker`` reads and writes their sockets. Here is
what lies below: a socket (:class:`_Socket`), a process (:class:`Process`), the zygote that forks it
(:class:`Zygote`), and the epoll set that tells of first words (:class:`FirstWords`).

A task's code is the script of the worker that gets it: a list of steps in JSON, see :meth:`Process._follow`.
"""

from __future__ import annotations

import errno
import json
import os
import random
import select
import signal
from collections import deque
from collections.abc import Callable, Sized
from typing import Any

import msgspec
import trio

from reptarium.pool.endings import Ending
from reptarium.pool.workers.worker import Worker, WorkerGone
from reptarium.pool.workers.zygote import Newborn, News
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import LayerStatus
from reptarium.sandbox.wire import Kind
from tests.simulation.history import History

#: What lies in a socket before its writer waits, in bytes.
ROOM = 64 * 1024
#: What a worker may say that no honest one says.
LIES = (
    b"\xff" * 16,
    wire.HEADER.pack(Kind.TASK, 0),
    wire.HEADER.pack(Kind.RESULT, wire.MAX_FRAME),
    b"".join(wire.frame(Kind.RESULT, b"\xff\xff\xff\xff")),
    b"".join(wire.frame(Kind.RESULT, *wire.with_head(wire.ResultHead(), b'"x"}, "y": {"'))),
    b"".join(wire.frame(Kind.RESULT, *wire.with_head(wire.ResultHead(custom_data_size=99), b"[]"))),
    b"".join(wire.frame(Kind.CONSOLE, b'{"not": "a list"}')),
    b"".join(wire.frame(Kind.FAILED, b"{}")),
    b"".join(wire.frame(Kind.RPC, *wire.with_head(wire.ResultHead(), b"[]"))),
    b"".join(wire.frame(Kind.RPC, *wire.with_head(wire.RpcHead(1, "helpers.httpRequest"), b"[] []"))),
    wire.HEADER.pack(Kind.READY, 0),
)


STEPS = {"wait", "print", "call", "result", "fail", "die", "leave", "hang", "grow", "lie"}


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


class Machine:
    """The machine that zygotes and workers run on: what there is of it."""

    def __init__(self, rng: random.Random, history: History) -> None:
        self.rng = rng
        self.history = history
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

    def worker(self, number: int, pid: int, fd: int, pidfd: int) -> ImaginaryWorker:
        """In place of ``Worker``."""
        return ImaginaryWorker(number, self.everybody[pid])

    @property
    def living(self) -> int:
        """Zygotes and workers that are there."""
        return sum(zygote.alive for zygote in self.zygotes) + len(self.processes)


class _Socket:
    """The supervisor's end of a worker's socket pair."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.closed = False

    def recv(self, size: int, *_: object) -> bytes:
        said = self._process.said
        if self.closed:
            raise OSError(errno.EBADF, "imaginary: closed")
        if said:
            data = bytes(said[:size])
            del said[:size]
            self._process.notify()
            return data
        if self._process.speaks:
            raise BlockingIOError
        return b""

    def recvmsg(self, size: int, *_: object) -> tuple[bytes, list[object], int, None]:
        return self.recv(size), [], 0, None  # imaginary workers hand nothing over

    def sendmsg(self, buffers: list[memoryview], *_: object) -> int:
        if self.closed or not self._process.speaks:
            raise BrokenPipeError
        room = ROOM - len(self._process.heard)
        if room <= 0:
            raise BlockingIOError
        data = b"".join(buffers)[:room]
        self._process.heard += data
        self._process.notify()
        return len(data)

    def readable(self) -> bool:
        return bool(self._process.said) or not self._process.speaks

    def writable(self) -> bool:
        return len(self._process.heard) < ROOM or not self._process.speaks


class ImaginaryWorker(Worker):
    """The real one, but for the system calls."""

    __slots__ = ("_process",)

    def __init__(self, number: int, process: Process) -> None:
        self._process = process
        super().__init__(number, process.pid, process.fd, -1)
        process.worker = self

    def _open(self, fd: int) -> Any:
        return _Socket(self._process)

    def _kill(self) -> bool:
        """SIGKILL, at once."""
        lives = self._process.speaks
        self._process.kill()
        return lives

    def close_socket(self) -> None:
        """Close our end."""
        if not self._sock.closed:
            self._sock.closed = True
            self._process.left = True
            self._process.notify()

    def stranger(self, zygote: int) -> str:
        """It is the zygote's own."""
        return ""

    def disown(self) -> None:
        """Let go of it."""
        self.close_socket()

    async def _wait(self, wait: Callable[[Any], Any]) -> None:
        ready = self._sock.readable if wait is trio.lowlevel.wait_readable else self._sock.writable
        while not self._sock.closed and not ready():
            await self._process.changed.wait()
        await trio.lowlevel.checkpoint()
        if self._sock.closed:
            raise WorkerGone("closed")


class Process:
    """A worker's process."""

    def __init__(self, machine: Machine, zygote: Zygote) -> None:
        self.pid, self.fd = machine.new_id(), machine.new_id()
        self.said, self.heard = bytearray(), bytearray()
        self.speaks = True  # its end of the socket is open
        self.left = False  # the other end is closed
        self.changed = trio.Event()
        self.worker: ImaginaryWorker | None = None
        self.first_words: FirstWords | None = None
        self._machine, self._zygote = machine, zygote
        self._rng = machine.rng
        self._scope = trio.CancelScope()
        self._status = 0
        self.doomed = True  # it will be of no use

    def notify(self) -> None:
        """Something has changed that somebody waits for."""
        self.changed.set()
        self.changed = trio.Event()
        if self.first_words is not None and (self.said or not self.speaks):
            self.first_words.wake(self.fd)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it with a signal."""
        self._status = self._status or int(number)
        self._scope.cancel()
        self.speaks = False
        self.notify()

    async def run(self) -> None:
        """Its whole life."""
        with self._scope:
            await self._live()
        self.speaks = False
        self.notify()
        with trio.CancelScope(shield=True):
            await trio.sleep(self._machine.habits.reap_delay)
        del self._machine.processes[self.pid]
        self._zygote.reaped(self.pid, self._status)

    async def _live(self) -> None:
        habits, chance = self._machine.habits, self._rng.random()
        await trio.sleep(habits.start_delay)
        if (chance := chance - habits.dies_at_start) < 0:
            self._status = signal.SIGSEGV
            return
        if (chance := chance - habits.fails_at_start) < 0:
            await self._say(wire.frame(Kind.FAILED, b"no memory"))
            return
        if (chance := chance - habits.lies_at_start) < 0:
            await self._say([self._rng.choice(LIES)])
        elif (chance := chance - habits.never_ready) < 0:
            await trio.sleep_forever()
        await self._say(wire.frame(Kind.READY))
        if (chance := chance - habits.dies_parked) < 0:
            await trio.sleep(self._rng.choice([0.0, 0.01, 1.0]))
            self._status = signal.SIGSEGV
            return
        self.doomed = False
        kind, payload = await self._hear()
        if kind is not Kind.TASK:
            return
        raw, _ = wire.split_head(payload)
        head = msgspec.json.decode(raw, type=wire.TaskHead)
        for step, *facts in _script(head.code):
            await self._follow(step, facts)
        while not self.left:  # lingers, to be killed
            await self.changed.wait()

    async def _follow(self, step: str, facts: list[Any]) -> None:
        """One step of a script."""
        if step == "wait":
            await trio.sleep(facts[0])
        elif step == "print":
            for number in range(facts[0]):
                await self._say(wire.frame(Kind.CONSOLE, json.dumps([f"line {number}" + "." * facts[1]]).encode()))
        elif step == "call":
            head = wire.RpcHead(1, facts[0], facts[1])
            await self._say(wire.frame(Kind.RPC, *wire.with_head(head, facts[2].encode())))
            await self._hear()
        elif step == "result":
            value = json.dumps([{"json": {"task": facts[0]}}]).encode() + b" " * facts[1]
            await self._say(wire.frame(Kind.RESULT, *wire.with_head(wire.ResultHead(), value)))
        elif step == "fail":
            failure = wire.Failure(kind=facts[0], message="as told")
            await self._say(wire.frame(Kind.FAILED, msgspec.json.encode(failure)))
        elif step == "die":
            self.kill(facts[0])
            await trio.sleep_forever()
        elif step == "leave":
            self.speaks = False
            self.notify()
            await trio.sleep_forever()
        elif step == "hang":
            await trio.sleep_forever()
        elif step == "grow":
            if self.worker is not None:
                self._machine.watchdog.kill(self.worker)
            await trio.sleep_forever()
        else:
            assert step == "lie"
            await self._say([LIES[facts[0]]])

    async def _say(self, parts: list[Any]) -> None:
        data = b"".join(parts)
        while data:
            room = ROOM - len(self.said)
            if room > 0:
                self.said += data[:room]
                data = data[room:]
                self.notify()
            else:
                await self.changed.wait()
        await trio.lowlevel.checkpoint()

    async def _hear(self) -> tuple[Kind, bytes]:
        size, end = wire.HEADER.size, 0
        while len(self.heard) < size or len(self.heard) < (end := size + wire.HEADER.unpack(self.heard[:size])[1]):
            if self.left:
                self.kill()
            await self.changed.wait()
        frame = bytes(self.heard[:end])
        del self.heard[:end]
        self.notify()
        return Kind(frame[0]), frame[size:]


def _script(code: str) -> list[Any]:
    """The steps of a script; one that came garbled fails."""
    try:
        steps = json.loads(code)
        if all(step[0] in STEPS for step in steps):
            return list(steps)
    except (ValueError, TypeError, LookupError):
        pass
    return [["fail", "syntax"]]


class Zygote:
    """In place of ``pool/workers/zygote.py``."""

    def __init__(self, machine: Machine, *, first: bool) -> None:
        self.alive = True
        self.hangs = False
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
        await trio.sleep(0.05)
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
        self.watched: dict[int, Worker] = {}

    def watch(self, worker: Worker | None) -> None:
        if worker is not None:
            self.watched[worker.pid] = worker

    def unwatch(self, worker: Worker | None) -> int:
        if worker is not None:
            self.watched.pop(worker.pid, None)
        return 0

    def kill(self, worker: Worker) -> None:
        """It has grown too large."""
        if worker.pid in self.watched:
            worker.kill(Ending.MEMORY)

    async def run(self) -> None:
        await trio.sleep_forever()
