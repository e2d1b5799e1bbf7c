"""The scratch directories of tasks: where they lie, what is in them, and that nothing of them stays.

Theory of operation. Each runner has a directory of its own in the system's place for temporary files, locked as long as
it lives. A worker makes one below that for itself (``sandbox/kernel/scratch.py``), named by its process id, and in it
the one that its task has: there is nothing to do here before it. When it is gone its directory is moved aside first,
since the id may come again, and removed. Meanwhile what running tasks have written is measured; who has more than its
share is killed. What a runner left that was killed is removed by the next one that starts: whatever nobody has locked.

A task's directory is hostile ground. Everything here goes by open directories and never follows a link; trees of any
depth are removed with two descriptors; no pass over one looks at more than the limit of entries. All of it is done in
threads, away from the event loop, and no end waits for them for long: a file system may hang.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

import msgspec
import structlog
import trio

from reptarium.pool.endings import Ending
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.refusal import ScratchRefused
from reptarium.pool.workers.worker import Worker
from reptarium.sandbox.texts import SCRATCH_ENTRIES
from reptarium.sandbox.wire import ZygoteConfig

log = structlog.get_logger("reptarium.pool.workers.scratch")

#: Seconds between two measurements, and how much longer than one of them the pause is at least.
INTERVAL, SHARE = 0.05, 4
#: How long the beginning of a runner waits for a file system that stands still, and its end, in seconds.
FIRST, LAST = 30.0, 5.0
#: What an entry counts at least: that a directory is full of empty files is seen in its number.
_BLOCK = 512
#: What directories may take beside: a file as long as the limit is an error of its writer's, and ends no task.
_ROOM = 64 << 10
#: Directories within one another beyond which a task has too many.
_DEEPEST = 200
_ATTEMPTS = 5
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Progress:
    entries = 0  # that threads have looked at: a number that stands still once they hang


_progress = _Progress()


class ScratchArea:
    """One runner's directory with those of its tasks. ``path`` is where workers make theirs."""

    def __init__(self, path: str, fd: int, limit: int) -> None:
        self.path = path
        self._fd = fd
        self._limit = limit
        self._numbers = itertools.count(1)
        self._threads = trio.CapacityLimiter(3)  # one for each of what `run` does
        self._ended: deque[int] = deque()
        self._moved: deque[str] = deque()
        self._work = trio.Event()

    def gone(self, pid: int) -> None:
        """The worker of this id has ended: its directory goes."""
        self._ended.append(pid)
        self._wake()

    def _wake(self) -> None:
        self._work.set()
        self._work = trio.Event()

    async def run(self, workers: Callable[[], Mapping[int, Worker]]) -> None:
        """Remove what is gone and measure what those of ``workers`` have that run a task, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._move_all)
            nursery.start_soon(self._remove_all)
            nursery.start_soon(self._measure_all, workers)

    async def idle(self) -> None:
        """Wait until nothing is done in a thread any more: what was cancelled goes on there."""
        while self._threads.borrowed_tokens:
            await trio.sleep(0.005)

    async def _move_all(self) -> None:
        while True:
            while self._ended:
                pid = self._ended.popleft()
                try:
                    name = await trio.to_thread.run_sync(self._move, pid, limiter=self._threads, abandon_on_cancel=True)
                except OSError as error:  # it stays until the runner ends; a worker of the same id will not start
                    log.error("a scratch directory can't be moved", name=str(pid), error=str(error))
                    continue
                if name is not None:
                    self._moved.append(name)
                    self._wake()
            await self._work.wait()

    def _move(self, pid: int) -> str | None:
        """Remove an ended worker's directory if it is empty, else move it aside: its new name. Raises OSError."""
        with contextlib.suppress(OSError):
            outer = os.open(str(pid), _DIRECTORY, dir_fd=self._fd)
            try:
                for inner in os.listdir(outer):
                    os.rmdir(inner, dir_fd=outer)
            finally:
                os.close(outer)
            os.rmdir(str(pid), dir_fd=self._fd)
            return None
        name = f"gone-{next(self._numbers)}"
        try:
            os.rename(str(pid), name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except FileNotFoundError:
            return None
        return name

    async def _remove_all(self) -> None:
        while True:
            while self._moved:
                await _try_to_remove(self._fd, self._moved.popleft(), self._threads)
            await self._work.wait()

    async def _measure_all(self, workers: Callable[[], Mapping[int, Worker]]) -> None:
        pause = INTERVAL
        while True:
            await trio.sleep(pause)
            began = trio.current_time()
            for worker in [worker for worker in workers().values() if worker.state == "leased"]:
                limit = self._limit if worker.limits is None else worker.limits.scratch_bytes
                over = await trio.to_thread.run_sync(
                    self._is_over, worker.pid, limit, limiter=self._threads, abandon_on_cancel=True
                )
                if over and worker.state == "leased":
                    worker.kill(Ending.SCRATCH)
            pause = max(INTERVAL, SHARE * (trio.current_time() - began))

    def _is_over(self, pid: int, limit: int) -> bool:
        held = 0
        for entries, size in enumerate(itertools.chain(sizes(self._fd, str(pid)), deleted(pid)), 1):
            held += size
            if held > limit + _ROOM or entries > SCRATCH_ENTRIES:
                return True
        return False


@asynccontextmanager
async def scratch_of(
    config: ZygoteConfig, workers: Callable[[], Mapping[int, Worker]], faults: OwnFaults
) -> AsyncIterator[tuple[ZygoteConfig, Callable[[int], None]]]:
    """The area that ``config`` asks for, at work, if any: the configuration with its place, and whom to tell of each
    worker, by its process id, that is no more.

    Raises :class:`ScratchRefused`.
    """
    isolation = config.isolation
    if not isolation.scratch_bytes:
        yield config, lambda pid: None
        return
    async with scratch_area(isolation.scratch_bytes) as area, trio.open_nursery() as nursery:
        nursery.start_soon(faults.keep, "pool", area.run, workers)
        isolation = msgspec.structs.replace(isolation, scratch=area.path)
        yield msgspec.structs.replace(config, isolation=isolation), area.gone
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def scratch_area(limit: int) -> AsyncIterator[ScratchArea]:
    """A directory for scratch of ``limit`` bytes each, with nothing left of it at the end.

    Raises :class:`ScratchRefused`.
    """
    try:
        place, top, name, fd = await _begun()
    except OSError as error:
        raise ScratchRefused(
            f"REPTARIUM_SCRATCH: no directory can be had for it ({error}): set TMPDIR to one where the runner may "
            "write, such as a tmpfs, or leave REPTARIUM_SCRATCH out"
        ) from None
    area = ScratchArea(f"{place}/{name}", fd, limit)
    try:
        yield area
    finally:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_if_hung, nursery.cancel_scope, area.path)
                await area.idle()
                await _try_to_remove(top, name, trio.CapacityLimiter(1))
                os.close(fd)  # else a thread may still be at work with them: they stay open
                os.close(top)
                nursery.cancel_scope.cancel()


async def _begun() -> tuple[str, int, str, int]:
    """What :func:`_begin` returns, in a thread. Raises OSError, too, where nothing goes on there."""
    found, problem = None, OSError(errno.ETIMEDOUT, f"its file system has not answered for {FIRST:g} s")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_give_up, nursery.cancel_scope)
        try:
            found = await trio.to_thread.run_sync(_begin, abandon_on_cancel=True)
        except OSError as error:
            problem = error
        nursery.cancel_scope.cancel()
    if found is None:
        raise problem
    return found


async def _give_up(beginning: trio.CancelScope) -> None:
    await _stand_still(FIRST)
    beginning.cancel()


async def _stand_still(seconds: float) -> None:
    """Return once no entry has been looked at for so long."""
    seen = -1
    while seen != _progress.entries:
        seen = _progress.entries
        await trio.sleep(seconds)


async def _cancel_if_hung(removal: trio.CancelScope, path: str) -> None:
    """End a removal that stands still."""
    await _stand_still(LAST)
    event = "the file system of the scratch directories hangs: they are left to the next runner"
    log.error(event, path=path, waited_s=LAST)
    removal.cancel()


def _begin() -> tuple[str, int, str, int]:
    """The directory of all runners (its path, itself) and in it one of this runner's own (its name, itself), locked.

    Raises OSError.
    """
    top, place = _top()
    try:
        _remove_leftovers(top)
        name, fd = _own(top)
    except BaseException:
        os.close(top)
        raise
    return place, top, name, fd


def _top() -> tuple[int, str]:
    """The directory of all runners of this user: open, and its path. Raises OSError."""
    place = f"{os.path.realpath(tempfile.gettempdir())}/reptarium-scratch-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(place, 0o700)
    fd = os.open(place, _DIRECTORY)
    status = os.fstat(fd)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
        os.close(fd)
        raise PermissionError(errno.EPERM, "it is somebody else's, or open to others", place)
    os.fchmod(fd, 0o711)
    return fd, place


def _own(top: int) -> tuple[str, int]:
    """A new directory of this runner's own: its name, and itself, locked. Raises OSError."""
    while True:
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        os.mkdir(name, 0o700, dir_fd=top)
        fd = os.open(name, _DIRECTORY, dir_fd=top)
        fcntl.flock(fd, fcntl.LOCK_EX)
        # Workers of other users make theirs in here; none can list it, or touch what isn't its own
        os.fchmod(fd, 0o1733 if os.geteuid() == 0 else 0o700)
        if os.fstat(fd).st_nlink:  # else a runner that starts has taken it for a leftover, in that moment
            return name, fd
        os.close(fd)


def _remove_leftovers(top: int) -> None:
    """What runners left that are no more: nobody holds its lock."""
    for name in os.listdir(top):
        with contextlib.suppress(OSError):
            fd = os.open(name, _DIRECTORY, dir_fd=top)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(top, name)
            finally:
                os.close(fd)


async def _try_to_remove(parent: int, name: str, threads: trio.CapacityLimiter) -> None:
    """Remove a directory, in a thread; its worker may still be about to die when its zygote has died before."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await trio.to_thread.run_sync(remove, parent, name, limiter=threads, abandon_on_cancel=True)
        except FileNotFoundError:
            return
        except OSError as error:
            if attempt == _ATTEMPTS:
                log.error("a scratch directory can't be removed", name=name, error=str(error))
            await trio.sleep(INTERVAL)
        else:
            return


def sizes(parent: int, name: str) -> Iterator[int]:
    """The bytes that each entry below a directory takes on its file system, in no order; nothing once it is gone."""
    waiting: list[tuple[str, ...]] = [(name,)]
    while waiting:
        path = waiting.pop()
        if len(path) > _DEEPEST:  # to get there takes as many steps each time
            yield from itertools.repeat(_BLOCK, SCRATCH_ENTRIES + 1)
        with contextlib.suppress(OSError):
            fd = _descend(parent, path)
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        status = entry.stat(follow_symlinks=False)
                        _progress.entries += 1
                        yield max(status.st_blocks * 512, _BLOCK)
                        if stat.S_ISDIR(status.st_mode):
                            waiting.append((*path, entry.name))
            finally:
                os.close(fd)


def deleted(pid: int) -> Iterator[int]:
    """The bytes of each file that a process has open, or mapped into its memory, and that has no name any more.

    Nothing where these are hidden from us: descriptors take CAP_SYS_PTRACE to see (proc_pid_fd(5)), mapped files
    CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE as well (proc_pid_map_files(5)). There the file system bounds them.
    """
    seen = set()
    for folder in ("fd", "map_files"):
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/{folder}"):
                with contextlib.suppress(OSError):
                    status = os.stat(f"/proc/{pid}/{folder}/{name}")
                    file = status.st_dev, status.st_ino
                    if stat.S_ISREG(status.st_mode) and not status.st_nlink and file not in seen:
                        seen.add(file)
                        yield status.st_blocks * 512


def _descend(parent: int, path: tuple[str, ...]) -> int:
    fd = os.open(path[0], _DIRECTORY, dir_fd=parent)
    for name in path[1:]:
        try:
            below = os.open(name, _DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def remove(parent: int, name: str) -> None:
    """Remove a directory and all below it, of whatever depth: a directory in it is moved up before it is emptied.

    Raises OSError for what can't be removed.
    """
    try:
        top = os.open(name, _DIRECTORY, dir_fd=parent)
    except NotADirectoryError:
        os.unlink(name, dir_fd=parent)
        return
    try:
        os.fchmod(top, 0o700)
        number = 0
        pending = [name for name in os.listdir(top) if not _unlinked(top, name)]
        while pending:
            current = pending.pop()
            _progress.entries += 1
            fd = os.open(current, _DIRECTORY, dir_fd=top)
            try:
                os.fchmod(fd, 0o700)
                for inner in os.listdir(fd):
                    if not _unlinked(fd, inner):
                        number += 1
                        moved = f"moved {number} {os.urandom(4).hex()}"
                        os.rename(inner, moved, src_dir_fd=fd, dst_dir_fd=top)
                        pending.append(moved)
            finally:
                os.close(fd)
            os.rmdir(current, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _unlinked(fd: int, name: str) -> bool:
    """Whether the entry is gone: False for a directory."""
    _progress.entries += 1
    try:
        os.unlink(name, dir_fd=fd)
    except IsADirectoryError:
        return False
    return True
