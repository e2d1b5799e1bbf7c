"""Imaginary workers: what they say is bytes, what they are is a task of the simulation.

The real pool parks, leases and buries them; the real ``Worker`` reads and writes their sockets. Here is what lies
below: a socket (:class:`_Socket`) and a process (:class:`Process`). Who makes them: ``machine.py``.

A task's code is the script of the worker that gets it: a list of steps in JSON, see :meth:`Process._follow`.
"""

from __future__ import annotations

import errno
import json
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from reptarium.pool.workers.prints import Prints
from reptarium.pool.workers.worker import Worker, WorkerGone
from reptarium.sandbox import wire
from reptarium.sandbox.process.channel import Channel
from reptarium.sandbox.wire import Kind

if TYPE_CHECKING:
    from tests.simulation.machine import FirstWords, Machine, Zygote

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
    b"".join(wire.frame(Kind.CONSOLE, bytes(8), b'{"not": "a list"}\n')),
    b"".join(wire.frame(Kind.CONSOLE, b"\xff" * 8, b'["from another place"]\n')),
    b"".join(wire.frame(Kind.CONSOLE, bytes(8), b'["unfinished"]')),
    b"".join(wire.frame(Kind.FAILED, b"{}")),
    b"".join(wire.frame(Kind.RPC, *wire.with_head(wire.ResultHead(), b"[]"))),
    b"".join(wire.frame(Kind.RPC, *wire.with_head(wire.RpcHead(1, "helpers.httpRequest"), b"[] []"))),
    wire.HEADER.pack(Kind.READY, 0),
)


STEPS = {"under", "wait", "print", "scribble", "call", "result", "fail", "die", "leave", "hang", "grow", "lie"}


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
        self.prints = ImaginaryPrints(process.prints)
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


class ImaginaryPrints(Prints):
    """The real ones, but for the system calls."""

    __slots__ = ("_memory",)

    def __init__(self, memory: bytearray) -> None:
        super().__init__(-1)
        self._memory = memory

    @property
    def readable(self) -> bool:
        """It is memory."""
        return True

    def _read(self, size: int, at: int) -> bytes:
        return bytes(self._memory[at : at + size])


class _Console(Channel):
    """The real one's prints, but for the system calls: what it would write lies in ``written``."""

    clock = staticmethod(trio.current_time)

    def __init__(self, memory: bytearray) -> None:
        super().__init__(-1)
        self.written: list[Any] = []
        self.share(memory)  # type: ignore[arg-type] # as good as a mapping, to whom writes into it

    def flush(self) -> None:
        """What was printed goes first, whatever is said then."""
        self._say([])

    def _write(self, buffers: list[bytes | bytearray | memoryview]) -> None:
        self.written += buffers


class Process:
    """A worker's process."""

    def __init__(self, machine: Machine, zygote: Zygote) -> None:
        self.pid, self.fd = machine.new_id(), machine.new_id()
        self.said, self.heard = bytearray(), bytearray()
        self.prints = bytearray(wire.PRINTS_SIZE)
        self._console = _Console(self.prints)
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
            await self._follow(step, facts, head)
        while not self.left:  # lingers, to be killed
            await self.changed.wait()

    async def _follow(self, step: str, facts: list[Any], head: wire.TaskHead) -> None:
        """One step of a script."""
        if step == "under":
            assert self._machine.rules is not None
            assert self._zygote.config is not None
            assert self.worker is not None
            workflow, asked, pause = facts
            self._machine.rules.check(workflow, asked, self._zygote.config, head.terms, self.worker)
            await trio.sleep(pause)
        elif step == "wait":
            await trio.sleep(facts[0])
        elif step == "print":
            for number in range(facts[0]):
                self._console.print(json.dumps([f"line {number}" + "." * facts[1]]).encode() + b"\n")
                await self._deliver()
        elif step == "scribble":
            at = facts[0] % (len(self.prints) - 8)
            self.prints[at : at + 8] = facts[1].to_bytes(8, "little")
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
        self._console.flush()
        self._console.written += parts
        await self._deliver()

    async def _deliver(self) -> None:
        data = b"".join(self._console.written)
        self._console.written.clear()
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
