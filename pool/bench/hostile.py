"""Neighbours that mean harm, or stand: done to runners under load, as the faults are. Each says what it is to prove."""

from __future__ import annotations

import ctypes
import math
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import psutil
import trio

from reptarium.pool.bench.faults import GIVEN_UP, alive, below, workers
from reptarium.pool.bench.injuries import Injury, Record
from reptarium.pool.bench.lag import ask
from reptarium.pool.bench.neighbours import Around
from reptarium.pool.bench.runners import DEFAULTS, Site
from reptarium.sandbox.wire import BUSY_NAME, HEADER, PRINTS_PLACE, ZYGOTE_NAME, Kind

#: Clients of the health endpoint that say nothing, that ask and don't read, and that ask in thousands of lines.
IDLE, DEAF, WORDY = 1000, 20, 60
#: Seconds that nobody reads a log for; that a worker goes on to print for.
STALLED, FLOODS = 1.0, 5.0

_UPGRADE = (
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: YWJjZGU=\r\n\r\n"
)
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_PRIORITIES = b"\x00\x00\x05\x02\x00\x00\x00\x00\x01\x00\x00\x00\x00\x10" * 5_000
_LINES = b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 3900 + b"\r\n"
_ASKED = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1000

_PIDFD_GETFD = 438  # syscalls(2): the same number on every architecture
#: Empty prints, each in a frame of its own.
_SMALL = b"".join(HEADER.pack(Kind.CONSOLE, 11) + PRINTS_PLACE.pack(3 * n) + b"[]\n" for n in range(100_000))


class HostileNeighbours:
    """Each method lets one loose, once. ``names`` are the runners' own, in the order of the site's."""

    def __init__(self, site: Site, names: Sequence[str], around: Around, rng: random.Random, record: Record) -> None:
        self._site, self._names, self._around = site, names, around
        self._rng, self._record = rng, record

    def all(self) -> list[Callable[[], Awaitable[None]]]:
        """Every one."""
        return [
            self.hostile_health_client,
            self.garbage_broker,
            self.stalled_stderr,
            self.hung_zygote,
            self.hostile_console,
        ]

    async def hostile_health_client(self) -> None:
        """Idle, deaf and garbling clients of the health port, and HTTP/2: it answers, and tasks go on."""
        number = self._some()
        if number is None:
            return
        port = self._around.ports[number]
        streams: list[trio.SocketStream] = []
        try:
            for said in (
                _UPGRADE,
                _HTTP2 + _PRIORITIES,
                self._rng.randbytes(20_000),
                *[_ASKED] * DEAF,
                *[_LINES] * WORDY,
            ):
                streams.append(await self._client(port, said))
            with suppress(OSError):  # as many as there are descriptors for
                for _ in range(IDLE):
                    streams.append(await self._client(port, b""))
            await self._healthy(port, "while 1,000 clients say nothing")
        finally:
            for stream in streams:
                await trio.aclose_forcefully(stream)

    @staticmethod
    async def _client(port: int, said: bytes) -> trio.SocketStream:
        made = trio.socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            await made.connect(("127.0.0.1", port))
        except OSError:
            made.close()
            raise
        stream = trio.SocketStream(made)
        with trio.move_on_after(0.1), suppress(trio.BrokenResourceError):
            if said:
                await stream.send_all(said)
        return stream

    async def garbage_broker(self) -> None:
        """Neighbour brokers answer garbage all the time, here once more: the good one's tasks don't notice."""
        answered = self._around.garbage.answered
        with trio.move_on_after(3.0):
            while self._around.garbage.answered == answered:
                await trio.sleep(0.02)

    async def stalled_stderr(self) -> None:
        """Nobody reads the log for a second: tasks go on, health answers."""
        number = self._some()
        if number is None:
            return
        with self._around.logs[number].stalled():
            await trio.sleep(STALLED)
            await self._healthy(self._around.ports[number], "while nobody reads its log")

    async def hung_zygote(self) -> None:
        """SIGSTOP to a zygote, for good: it is replaced, and no more is offered meanwhile than can be served."""
        number = self._some()
        if number is None:
            return
        root = self._site.runners[number].process
        injury = self._note("hung_zygote", number, victims=int(DEFAULTS["N8N_RUNNERS_MAX_CONCURRENCY"]))
        for zygote in below(root, ZYGOTE_NAME):
            with suppress(psutil.NoSuchProcess):
                zygote.suspend()
            with trio.move_on_after(GIVEN_UP):
                while alive(zygote):
                    await trio.sleep(0.02)
            injury.ended = trio.current_time()
            if alive(zygote):
                zygote.resume()
                raise AssertionError("a zygote that hung was never replaced")

    async def hostile_console(self) -> None:
        """A worker prints small frames without end (root only): it is killed, all others have their turn."""
        found = [
            (number, worker)
            for number, runner in enumerate(self._site.runners)
            if runner.status is None
            for worker in workers(runner.process, BUSY_NAME)
        ]
        if found:
            number, victim = self._rng.choice(found)
            with suppress(OSError):  # it has ended; or we may not (ptrace(2))
                with _its_socket(victim.pid) as channel:
                    self._note("hostile_console", number, victims=1)
                    await trio.to_thread.run_sync(_flood, channel)

    async def _healthy(self, port: int, when: str) -> None:
        """Raises AssertionError where the endpoint doesn't answer."""
        try:
            answer = await ask(port, "/healthz")
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            answer = repr(error).encode()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise AssertionError(f"/healthz didn't answer {when}: {answer[:100]!r}")

    def _some(self) -> int | None:
        """One of the registered runners, by its place in the site."""
        there = {view.name for view in self._site.broker.runners if view.registered}
        found = [number for number, name in enumerate(self._names) if name in there]
        return self._rng.choice(found) if found else None

    def _note(self, kind: str, number: int, victims: float = math.inf) -> Injury:
        return self._record.add(kind, trio.current_time(), runner=self._names[number], victims=victims)


def _its_socket(pid: int) -> socket.socket:
    """A descriptor of a worker's own socket: what is written to it the worker seems to have written. Raises OSError."""
    folder = f"/proc/{pid}/fd"
    number = next((int(fd) for fd in os.listdir(folder) if os.readlink(f"{folder}/{fd}").startswith("socket:")), -1)
    pidfd = os.pidfd_open(pid)
    try:
        stolen = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, pidfd, number, 0)
        if stolen < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return socket.socket(fileno=stolen)
    finally:
        os.close(pidfd)


def _flood(channel: socket.socket) -> None:
    """Frames without end, until the worker is killed."""
    left, ends = memoryview(_SMALL), time.monotonic() + FLOODS
    while time.monotonic() < ends:
        try:
            left = left[channel.send(left, socket.MSG_DONTWAIT) :] or memoryview(_SMALL)
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            return
