"""The supervisor's view of one worker process: its socket, its pidfd, its frames."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

import trio

from reptarium.pool.endings import Ending, signal_name
from reptarium.pool.workers.prints import Prints
from reptarium.pool.workers.states import WORKER_TRANSITIONS, WorkerEvent, WorkerState
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import TaskLimits
from reptarium.sandbox.wire import Kind

_RECEIVE = 256 * 1024
#: How much is moved between two looks at the event loop, in bytes, and how many frames are read.
_SLICE, _FRAMES = 1 << 20, 64
#: Bytes of a frame that is put together before it is sent: cheaper than what each part of it costs.
_SMALL = 64 * 1024
#: Descriptors that a first word may bring, and room for them.
_HANDED = 2
_RIGHTS = socket.CMSG_LEN(4 * _HANDED)
#: Never a wait, whatever the mode of the socket is: who has made it may change that.
_NO_WAIT = socket.MSG_DONTWAIT
_UCRED = struct.Struct("3i")  # unix(7), SO_PEERCRED: pid, uid, gid


def _beginning(buffers: list[memoryview]) -> list[memoryview]:
    """The first :data:`_SLICE` bytes: what is sent of a later buffer must follow the whole of those before it."""
    parts, room = [], _SLICE
    for buffer in buffers:
        parts.append(buffer[:room])
        room -= len(buffer)
        if room <= 0:
            break
    return parts


class WorkerGone(Exception):
    """The worker's end of the socket is closed."""


class Worker:
    """The supervisor's view of one worker process. It owns the socket and the pidfd.

    Making one raises OSError when ``fd`` is no socket.
    """

    __slots__ = (
        "_buffer",
        "_pidfd",
        "_read",
        "_sock",
        "_tell_end",
        "baseline",
        "cpu",
        "cpu_before",
        "discarded",
        "end",
        "exited",
        "fd",
        "forked",
        "handed",
        "imported",
        "killed_for",
        "limits",
        "number",
        "pid",
        "prints",
        "state",
        "tasks",
    )

    def __init__(self, number: int, pid: int, fd: int, pidfd: int, prints: int = -1) -> None:
        self.number = number
        self.pid = pid
        self.fd = fd
        self.forked = trio.current_time()
        self.discarded = 0.0  # when
        self.state: WorkerState = "starting"
        self.killed_for: Ending | None = None
        self.end: wire.Exited | None = None  # None once it has exited: nobody has seen how
        self.cpu = 0.0  # seconds of its processor time that are counted already
        self.cpu_before = 0.0  # of it, what tasks before its present one have used
        self.tasks = 0  # that it has ended well
        self.limits: TaskLimits | None = None  # its task's, where they aren't everybody's
        self.imported = b""  # what its last task has imported, as it says (``learning.py``)
        self.baseline = -1  # bytes that it held before its task; -1: not known
        self.exited = trio.Event()
        self._tell_end: Callable[[wire.Exited | None], None] | None = None
        self._sock = self._open(fd)
        self._pidfd = pidfd
        self.prints = Prints(prints)
        self.handed: list[int] = []  # the listener of its filter and its memory, when it may ask for connections
        self._buffer = bytearray()
        self._read = 0  # frames since the last look at the event loop

    def _open(self, fd: int) -> socket.socket:
        # all three are said: Python would ask the kernel for what is left out
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=fd)

    def happened(self, event: WorkerEvent) -> None:
        """Go on to the next state. Raises KeyError for what can't happen in this one."""
        self.state = WORKER_TRANSITIONS[self.state][event]

    @property
    def status(self) -> int | None:
        """How it has ended, as of waitpid(2); None: it lives, or nobody has seen it end."""
        return None if self.end is None else self.end.status

    def stranger(self, zygote: int) -> str:
        """What shows that this isn't a child of process ``zygote``: its pidfd is killed through, and must be its own.

        Empty: it is one, or is gone, or it can't be told for lack of a descriptor.
        """
        peer, _, _ = _UCRED.unpack(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if peer != zygote:
            return "its socket is another's"
        try:
            facts = os.open(f"/proc/self/fdinfo/{self._pidfd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            _, found, rest = os.read(facts, 1024).partition(b"\nPid:")
        finally:
            os.close(facts)
        pid = int(rest.split(None, 1)[0]) if found else 0
        if pid == -1:  # reaped (pidfd_open(2))
            return ""
        if pid != self.pid:
            return "its pidfd is another's"
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) != zygote:
                return "it isn't the zygote's child"
        return ""

    def disown(self) -> None:
        """Let go of a process that isn't ours, unharmed."""
        self.close_socket()
        os.close(self._pidfd)
        self._pidfd = -1

    def kill(self, reason: Ending) -> None:
        """SIGKILL, at once. The first reason is kept."""
        if self.killed_for is None:
            self.killed_for = reason
        self._kill()

    def _kill(self) -> bool:
        """Whether there was still a process to be killed."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                return True
        return False

    def close_socket(self) -> None:
        """Close our end: a lingering worker exits."""
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
        self.prints.close()

    def taken_again(self) -> bool:
        """Another task of the same code has it. False when it rests no longer."""
        if self.state == "resting":
            self.happened("taken")
            return True
        return False

    @property
    def quiet(self) -> bool:
        """Whether it says nothing: nothing has come that nobody has read."""
        try:
            self._sock.recv(1, _NO_WAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return not self._buffer
        except OSError:
            pass
        return False

    def take_handed(self) -> list[int]:
        """What came with its first word: from here on the caller's to close."""
        handed, self.handed = self.handed, []
        return handed

    def gone(self, end: wire.Exited | None) -> bool:
        """The process has been reaped by the zygote, or has died with it (None). False when it lived: it is killed."""
        self.end = end
        self.happened("reaped")
        lived = self._kill()
        if self._pidfd >= 0:
            if end is None:
                # after a zygote's death its orphans are ours if we are their reaper (pid 1 of a container)
                with contextlib.suppress(ChildProcessError):
                    os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            os.close(self._pidfd)
            self._pidfd = -1
        for handed in self.take_handed():
            os.close(handed)
        self.exited.set()
        self.tell_end()
        return not lived

    def when_gone(self, tell: Callable[[wire.Exited | None], None]) -> None:
        """Call ``tell`` once, as soon as it is known how the worker has ended, or that nobody will say."""
        self._tell_end = tell
        if self.exited.is_set():
            self.tell_end()

    def tell_end(self) -> None:
        """Who waits for the worker's end waits no longer, whatever is known of it."""
        tell, self._tell_end = self._tell_end, None
        if tell is not None:
            tell(self.end)

    async def send(self, kind: Kind, *parts: bytes | memoryview) -> None:
        """Write one frame. Raises :class:`WorkerGone`."""
        frame = wire.frame(kind, *parts)
        if sum(map(len, frame)) <= _SMALL:
            frame = [b"".join(frame)]
        buffers = [memoryview(part) for part in frame if len(part)]
        while buffers:
            try:
                done = self._sock.sendmsg(_beginning(buffers), (), _NO_WAIT)
            except BlockingIOError:
                await self._wait(trio.lowlevel.wait_writable)
                continue
            except OSError as error:
                raise WorkerGone(str(error)) from None
            while buffers and done >= len(buffers[0]):
                done -= len(buffers.pop(0))
            if done:
                buffers[0] = buffers[0][done:]
            if buffers:
                await trio.lowlevel.checkpoint()

    async def receive(self, limits: Mapping[Kind, int]) -> tuple[Kind, bytes | bytearray]:
        """Read one frame, within ``limits`` (bytes by kind).

        The payload takes as much memory as has come of it. However much there is to read, everything else has
        its turn after a megabyte and after :data:`_FRAMES` frames. Raises ``wire.ProtocolViolation`` and
        :class:`WorkerGone`.
        """
        self._read += 1
        if self._read >= _FRAMES:
            self._read = 0
            await trio.lowlevel.checkpoint()
        buffer = self._buffer
        while len(buffer) < wire.HEADER.size:
            buffer += await self._some()
        if (whole := self._whole_frame(limits)) is not None:
            return whole
        header = wire.parse_header(buffer[: wire.HEADER.size], limits)
        if header.length <= _RECEIVE:  # what has come stays where it is until all has: who is cancelled loses nothing
            while (whole := self._whole_frame(limits)) is None:
                buffer += await self._some()
            return whole
        del buffer[: wire.HEADER.size]
        payload, self._buffer = buffer, bytearray()
        since = 0
        while (missing := header.length - len(payload)) > 0:
            data = self._some_nowait(min(missing, _RECEIVE))
            if data is None:
                await self._wait(trio.lowlevel.wait_readable)
                since = 0
                continue
            payload += data
            since += len(data)
            if since >= _SLICE:
                since = 0
                await trio.lowlevel.checkpoint()
        return header.kind, payload

    def receive_nowait(self, limits: Mapping[Kind, int]) -> tuple[Kind, bytes] | None:
        """A small frame, if all of it has come. Raises as :meth:`receive` does."""
        if (whole := self._whole_frame(limits)) is not None:
            return whole
        self._buffer += self._some_nowait() or b""
        return self._whole_frame(limits)

    async def receive_now(self, limits: Mapping[Kind, int]) -> tuple[Kind, bytes] | None:
        """A frame of any size, if all of it has come. Raises as :meth:`receive` does."""
        since = 0
        while (whole := self._whole_frame(limits)) is None:
            data = self._some_nowait()
            if data is None:
                return None
            self._buffer += data
            since += len(data)
            if since >= _SLICE:
                since = 0
                await trio.lowlevel.checkpoint()
        return whole

    async def speaks(self, within: float) -> bool:
        """Whether a frame begins within so many seconds. Raises :class:`WorkerGone`."""
        if not self._buffer:
            with trio.move_on_after(within):
                self._buffer += await self._some()
        return bool(self._buffer)

    def _whole_frame(self, limits: Mapping[Kind, int]) -> tuple[Kind, bytes] | None:
        buffer = self._buffer
        if len(buffer) < wire.HEADER.size:
            return None
        header = wire.parse_header(buffer[: wire.HEADER.size], limits)
        end = wire.HEADER.size + header.length
        if len(buffer) < end:
            return None
        payload = bytes(memoryview(buffer)[wire.HEADER.size : end])
        del buffer[:end]
        return header.kind, payload

    async def _some(self) -> bytes:
        while (data := self._some_nowait()) is None:
            await self._wait(trio.lowlevel.wait_readable)
            self._read = 0
        return data

    def _some_nowait(self, size: int = _RECEIVE) -> bytes | None:
        try:
            if self.state == "starting":  # no task has been near it: its first word may bring descriptors
                # not recv_fds, which forgets its flags
                data, rights, _, _ = self._sock.recvmsg(size, _RIGHTS, _NO_WAIT | socket.MSG_CMSG_CLOEXEC)
                for _, _, packed in rights:
                    self.handed += memoryview(packed).cast("i")
                if len(self.handed) > _HANDED:
                    raise wire.ProtocolViolation(f"{len(self.handed)} descriptors with the first word")
            else:
                data = self._sock.recv(size, _NO_WAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            raise WorkerGone(str(error)) from None
        if not data:
            raise WorkerGone("closed")
        return data

    async def _wait(self, wait: Callable[[Any], Any]) -> None:
        try:
            await wait(self._sock)
        except trio.ClosedResourceError:
            raise WorkerGone("closed") from None


def describe_status(status: int | None) -> str:
    """A wait status (waitpid(2)) in words."""
    if status is None:
        return "unknown"
    if os.WIFSIGNALED(status):
        return f"killed by {signal_name(os.WTERMSIG(status))}"
    return f"exit status {os.WEXITSTATUS(status)}"
