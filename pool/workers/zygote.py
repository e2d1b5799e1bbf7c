"""One zygote's process: started, greeted, given orders, listened to and buried.

Theory of operation. :class:`ZygoteProcess` executes ``python -m reptarium.sandbox`` and owns what there is of it
here: the process, our end of its control socket, the pipe of its standard error. Nothing of it is in the
supervisor but these. It lives through four steps, in this order, each taken by its owner:

1. Made: it is forked and executed, with an environment of a few variables.
2. :meth:`~ZygoteProcess.greet`: it is told what it needs to know, imports, restricts itself, and says
   that it is ready (``Hello``), that it can't be (``Refusal``), or nothing, because it has died.
3. :meth:`~ZygoteProcess.order` asks for workers, :meth:`~ZygoteProcess.receive` tells what has become of that and who
   has exited. Packets and descriptors are turned into values here; what they mean for the pool is the
   pool's business (``pool.py``), and so is everything about a worker once it is born.
4. :meth:`~ZygoteProcess.bury`: its workers, which were killed, are reaped and reported by it as long as it
   lives; then its socket is closed, which ends it, and it is reaped itself.

A zygote runs no user code, but it holds the hand of processes that do, so it isn't believed: what no honest one says is
a :class:`ZygoteFault`, and whoever gets that ends it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import site
import socket
import subprocess
import sys
from collections.abc import Callable, Sized
from pathlib import Path

import msgspec
import structlog
import trio

import reptarium
from reptarium.pool.ops.flood import Allowance
from reptarium.pool.protocol.messages import UNREADABLE
from reptarium.sandbox import wire

log = structlog.get_logger("reptarium.pool.workers.zygote")

#: A zygote may take its time to import (pandas: about 1 s on a slow disk).
START_TIMEOUT = 120.0
#: Seconds for a dying zygote to reap its workers, and again to end by itself.
_END_TIMEOUT = 1.0
#: What is executed, with the number of its control socket's descriptor as the last argument.
_COMMAND: tuple[str, ...] = (sys.executable, "-P", "-s", "-B", "-m", "reptarium.sandbox")
#: Bytes of an unfinished line on standard error that are kept.
_MAX_LINE = 64 * 1024
#: Room for a worker's three descriptors.
_RIGHTS = socket.CMSG_LEN(12)
#: Packets, and lines, that are read without a look at the event loop.
_PACKETS = 64


class ZygoteFault(Exception):
    """A zygote hangs, or did what no honest one does. The text says what."""


class ZygoteSlow(ZygoteFault):
    """It wasn't ready in time."""


class Newborn(msgspec.Struct, frozen=True):
    """A worker was forked. Its descriptors are the receiver's to close. ``prints``: see ``wire.PRINTS_SIZE``; -1: there
    is none.
    """

    pid: int
    fd: int
    pidfd: int
    prints: int = -1


#: What a zygote tells while it serves.
News = Newborn | wire.Exited | wire.ForkFailed

_decoder: msgspec.json.Decoder[wire.ZygoteMessage] = msgspec.json.Decoder(wire.ZygoteMessage)


class ZygoteProcess:
    """A zygote, from its start to its end.

    Making one starts it, which raises OSError (out of processes, descriptors, memory).
    """

    def __init__(self) -> None:
        self._control, self._process, self._stderr = _spawn()
        self._read = 0  # packets since the last look at the event loop

    @property
    def pid(self) -> int:
        """Its process id, which is that of its session: it leads one."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: its workers die with it."""
        self._process.kill()

    async def greet(self, config: wire.ZygoteConfig) -> wire.Hello | wire.Refusal | None:
        """Tell it ``config`` and wait for its first word; None when it ended before that.

        Raises trio.TooSlowError after :data:`START_TIMEOUT` times its patience, in seconds, and :class:`ZygoteFault`.
        """
        with contextlib.suppress(BrokenPipeError):  # it may be dead already: the end of the socket tells
            self._control.send(msgspec.json.encode(config))
        with trio.fail_after(START_TIMEOUT * config.patience):
            packet, fds, _ = await self._receive_packet()
        word = _decoded(packet, fds)
        _close(fds)
        if isinstance(word, wire.Hello | wire.Refusal | None) and not fds:
            return word
        raise ZygoteFault(f"the zygote's first word is {type(word).__name__}")

    def order(self, workers: int, *, urgent: bool) -> bool:
        """Ask for so many workers (``urgent``: see ``wire.Fork``). False when its socket is full, or it is gone."""
        try:
            self._control.send(msgspec.json.encode(wire.Fork(workers, urgent=urgent)))
        except OSError:
            return False
        return True

    async def receive(self) -> News | None:
        """What it tells next; None when it has ended. Raises :class:`ZygoteFault`."""
        packet, fds, cut = await self._receive_packet()
        message = _decoded(packet, fds)
        if isinstance(message, wire.Forked) and len(fds) in (2, 3) and not cut:
            return Newborn(message.pid, *fds)
        _close(fds)
        if isinstance(message, wire.Forked) and len(fds) < 3 and cut:
            # no room for them in our table (unix(7), MSG_CTRUNC): the worker meets the end of its socket
            return wire.ForkFailed(errno.EMFILE)
        if fds or cut or isinstance(message, wire.Forked | wire.Hello | wire.Refusal):
            raise ZygoteFault(f"the zygote said {type(message).__name__}, with {len(fds)} descriptors, where it can't")
        return message

    async def exit_status(self) -> int:
        """How it has ended, when it ends now (negative: by that signal); if it doesn't, it is killed after a second."""
        with trio.move_on_after(_END_TIMEOUT):
            while self._process.poll() is None:
                await trio.sleep(0.005)
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()

    async def bury(self, left: Sized, exited: Callable[[wire.Exited], object]) -> None:
        """End it; leave no process and no descriptor.

        ``left`` are its workers that were killed and not reaped yet. A living zygote reaps them and says so, and
        ``exited``, which gets that, takes them out of ``left``. What it forks meanwhile meets the end of its socket.
        """
        try:
            with trio.move_on_after(_END_TIMEOUT):
                while left and self._process.poll() is None:
                    packet, fds, _ = await self._receive_packet()
                    _close(fds)
                    if not packet:
                        break
                    with contextlib.suppress(ZygoteFault):
                        message = _decoded(packet, [])
                        if isinstance(message, wire.Exited):
                            exited(message)
        finally:
            trio.lowlevel.notify_closing(self._control)
            self._control.close()
            await self.exit_status()
            await self._stderr.aclose()

    async def log_stderr(self) -> None:
        """Log what it says on standard error (a Python traceback, usually), to the end.

        Its workers have it too, and one that is broken out of could write without end: all is read, some of it logged.
        """
        rest, allowance = b"", Allowance(trio.current_time())
        with contextlib.suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            async for data in self._stderr:
                *lines, rest = (rest + data)[-_MAX_LINE:].split(b"\n")
                if allowance.over(trio.current_time()):
                    _tell_left_out(allowance)
                for number, line in enumerate(lines):
                    if not allowance.take(trio.current_time(), len(lines) - number):
                        break
                    allowance.charge(len(line))
                    log.warning("zygote: " + line.decode("utf-8", "replace"))
                    if number % _PACKETS == _PACKETS - 1:
                        await trio.lowlevel.checkpoint()
        _tell_left_out(allowance)

    async def _receive_packet(self) -> tuple[bytes, list[int], bool]:
        """One control packet, its descriptors, and whether some found no room; empty at the end."""
        self._read += 1
        if self._read >= _PACKETS:
            self._read = 0
            await trio.lowlevel.checkpoint()
        while True:
            try:
                # not recv_fds, which forgets its flags
                packet, rights, flags, _ = self._control.recvmsg(wire.MAX_CONTROL, _RIGHTS, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                self._read = 0
                await trio.lowlevel.wait_readable(self._control)
                continue
            except ConnectionResetError:
                return b"", [], False
            fds = [fd for _, _, packed in rights for fd in memoryview(packed).cast("i")]
            return packet, fds, bool(flags & socket.MSG_CTRUNC)


def _tell_left_out(allowance: Allowance) -> None:
    if lines := allowance.told():
        log.warning("what the zygote or its workers wrote was too much to be logged", lines=lines)


def _decoded(packet: bytes, fds: list[int]) -> wire.ZygoteMessage | None:
    """The message in a packet; None at the end. Raises ZygoteFault, and closes ``fds`` then."""
    if not packet:
        return None
    try:
        return _decoder.decode(packet)
    except UNREADABLE as error:
        _close(fds)
        raise ZygoteFault(f"the zygote said what is no message: {error}") from None


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _spawn() -> tuple[socket.socket, subprocess.Popen[bytes], trio.lowlevel.FdStream]:
    """A new zygote: our end of its control socket, the process, what it says on standard error. Raises OSError."""
    with contextlib.ExitStack() as undo:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        undo.callback(ours.close)
        ours.setblocking(False)
        with theirs:
            read, write = os.pipe()
            undo.callback(os.close, read)
            try:
                # In this thread on purpose: PR_SET_PDEATHSIG fires when the *thread* that forked ends (prctl(2))
                process = subprocess.Popen(
                    [*_COMMAND, str(theirs.fileno())],
                    env=zygote_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=write,
                    pass_fds=[theirs.fileno()],
                    cwd="/",
                    # what a terminal sends to all of its programs (Ctrl-C, its end) is ours to act on: tasks go on
                    start_new_session=True,
                )
            finally:
                os.close(write)
        undo.pop_all()
        return ours, process, trio.lowlevel.FdStream(read)


def zygote_environment() -> dict[str, str]:
    """The few variables that an interpreter needs at its start; the zygote unsets them again.

    Libraries start no threads (``wire.NO_THREADS``): a forked child has none of its parent's. Symbols are bound at the
    start: otherwise each child binds, in pages of its own, what its parent has never called.
    """
    env = {
        "LD_BIND_NOW": "1",
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        **wire.NO_THREADS,
    }
    # found through PYTHONPATH: the zygote finds the package where we found it
    top = Path(reptarium.__file__).resolve().parent
    if (top / "sandbox").is_dir() and str(top.parent) not in site.getsitepackages():
        env["PYTHONPATH"] = str(top.parent)
    return env
