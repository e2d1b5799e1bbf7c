"""Installing the packages of a requirements file, once for all runners that share the directory.

Theory of operation. Whoever finds the directory takes it as it is. Who doesn't waits for a lock, looks again, and makes
it: an installer of its own session fills a directory beside it, which is then renamed. So there is never a half of one
under its name, whoever is killed when; what somebody left who was killed is removed by the next one who has the lock.
An end of the runner ends the installer with all that it has started. What the file system does is done in threads.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
import trio

from reptarium.pool.config import Settings
from reptarium.pool.installing.blame import explain, plain
from reptarium.pool.installing.installer import command, environment
from reptarium.pool.installing.own import own_constraints
from reptarium.pool.installing.place import Place, imports_of
from reptarium.pool.installing.requirements import PackagesRefused, normalized
from reptarium.sandbox.wire import PackageIndex

log = structlog.get_logger("reptarium.pool.installing.installation")

#: Seconds between two looks for the lock, and between two lines about what goes on.
LOOK, PACE = 0.2, 10.0
#: How long the end waits for a file system, and for what the installer still has to say, in seconds.
LAST = 5.0
#: Lines that are kept of what it says, and characters of one.
KEPT, LONGEST = 400, 2000
#: Lines that tell how far it is.
_TELLING = re.compile(
    r"\s*(?:Collecting|Processing|Downloading|Building|Installing|Successfully|Resolved|Prepared|\+) "
)
#: Ends with us (prctl(2), PR_SET_PDEATHSIG), hears every signal, and becomes the installer.
_TIED = (
    "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, 9, 0, 0, 0); "
    "signal.pthread_sigmask(signal.SIG_SETMASK, ()); "
    "os.getppid() == int(sys.argv[1]) and os.execv(sys.argv[2], sys.argv[2:])"
)

_T = TypeVar("_T")


class Installation:
    """The packages of one place, as far as they are there. ``doing``: what goes on, for ``/readyz``; empty when done.

    ``tell`` gets a line about each step. ``environ``: this process's, of which the installer gets little.
    """

    def __init__(
        self, place: Place, settings: Settings, environ: Mapping[str, str], tell: Callable[[str], object] | None = None
    ) -> None:
        self.place = place
        self.doing = "not installed yet"
        self._settings = settings
        self._environ = environ
        self._tell = tell or (lambda line: log.info("installing packages", step=line))
        self._since = 0.0

    async def have(self) -> None:
        """Return when they are there. Raises :class:`PackagesRefused`."""
        place, self._since = self.place, trio.current_time()
        try:
            if not await _in_thread(place.ready):
                await _in_thread(partial(place.root.mkdir, mode=0o755, parents=True, exist_ok=True))
                async with self._locked():
                    if not await _in_thread(place.ready):
                        await self._make()
            if os.geteuid() == 0:
                _require_reachable(place)
            await _in_thread(lambda: _warn_of_mount(place.root))
        except OSError as error:
            raise self._refused(error) from error
        self.doing = ""
        log.info("packages are there", path=str(place.site), requirements=place.requirements.path)

    def _refused(self, error: OSError) -> PackagesRefused:
        remedy = ""
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR):
            remedy = f": the runner (user {os.geteuid()}) must be able to write there, or find them installed"
        elif error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF):
            remedy = ": its file system has no locks, without which two runners would disturb one another"
        return PackagesRefused(
            f"REPTARIUM_REQUIREMENTS_PATH={self.place.root}: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}{remedy}"
        )

    def _step(self, line: str) -> None:
        if line != self.doing:
            self.doing = line
            self._tell(line)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """One at a time; who waits looks whether there is still something to do."""
        fd = await _in_thread(lambda: open_lock(self.place.root / f".lock-{self.place.name}"))
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._step("another runner installs them; waiting for it")
                    await trio.sleep(LOOK)
            yield
        finally:
            os.close(fd)

    async def _make(self) -> None:
        place = self.place
        self._step(f"installing what {place.requirements.path} names")
        part: Path | None = None
        try:
            part = await _in_thread(partial(_begin, place))
            target = part / "set" / "site-packages"
            if place.requirements.wants_any:
                environ = environment(self._environ, self._settings, place, part)
                words = await _in_thread(partial(command, self._settings, place, environ, part, target))
                await self._run(words, environ)
            # Waited for, come what may: what is removed below meanwhile would get its name in halves
            await trio.to_thread.run_sync(partial(_finish, place, part / "set"))
        finally:
            if part is not None:
                with trio.move_on_after(LAST, shield=True):
                    await _in_thread(partial(shutil.rmtree, part, ignore_errors=True))

    async def _run(self, words: list[str], environ: Mapping[str, str]) -> None:
        """The installer, to its end or ours. Raises :class:`PackagesRefused` when it fails."""
        program = f"{words[0]} -m pip" if "-m" in words[:3] else words[0]
        log.info("installing packages", installer=program, path=str(self.place.root))
        said: deque[str] = deque(maxlen=KEPT)
        process, read = _start(words, environ, os.path.dirname(self.place.requirements.path))
        async with trio.lowlevel.FdStream(read) as output:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._tell_time)
                    ended = trio.Event()
                    nursery.start_soon(_wait, process, ended)
                    nursery.start_soon(self._listen, output, said, nursery.cancel_scope)
                    await ended.wait()
                    _kill_session(process)  # what it left would keep its output open
                    await trio.sleep(LAST)
                    nursery.cancel_scope.cancel()
            finally:
                _kill_session(process)
                process.wait()
        if process.returncode:
            raise PackagesRefused(explain(self.place.requirements, list(said), process.returncode))

    async def _listen(self, output: trio.lowlevel.FdStream, said: deque[str], end: trio.CancelScope) -> None:
        rest = b""
        async for data in output:
            *lines, rest = (rest + data)[-(1 << 16) :].split(b"\n")
            for raw in lines:
                self._heard(raw, said)
        self._heard(rest, said)
        end.cancel()

    def _heard(self, raw: bytes, said: deque[str]) -> None:
        line = plain(raw.decode("utf-8", "replace"))[:LONGEST]
        if not line:
            return
        said.append(line)
        if _TELLING.match(line):
            self._step(line.strip())
        else:
            log.debug("installer: " + line)

    async def _tell_time(self) -> None:
        while True:
            await trio.sleep(PACE)
            log.info("installing packages goes on", seconds=round(trio.current_time() - self._since), step=self.doing)


def _start(words: list[str], environ: Mapping[str, str], folder: str) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and where what it says comes out.

    Not in a thread: what ties it to us is tied to the thread that forks. ``folder``: what a file names by a relative
    path lies there, for both installers. Raises OSError.
    """
    read, write = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *words],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
            start_new_session=True,
            umask=0o022,
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    return process, read


async def _in_thread(work: Callable[[], _T]) -> _T:
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """The installer and all that it has started. Its id is its own as long as it isn't reaped."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _wait(process: subprocess.Popen[bytes], ended: trio.Event) -> None:
    """Until it has ended; it is not reaped yet then."""
    pidfd = os.pidfd_open(process.pid)
    try:
        await trio.lowlevel.wait_readable(pidfd)
    finally:
        trio.lowlevel.notify_closing(pidfd)
        os.close(pidfd)
    ended.set()


def open_lock(path: Path) -> int:
    """The file whose lock whoever makes, or removes, a directory holds. Raises OSError."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)  # another user's


def _begin(place: Place) -> Path:
    """A directory to fill, and nothing left of those before."""
    prefix = f".part-{place.name}-"
    for left in place.root.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=prefix, dir=place.root))
    for inner in ("set/site-packages", "tmp", "cache"):
        (part / inner).mkdir(parents=True)
    for shared in (part, part / "set", part / "set/site-packages"):
        shared.chmod(0o755)
    (part / "constraints.txt").write_text(own_constraints(), "utf-8")
    return part


def _finish(place: Place, made: Path) -> None:
    """Give it its name, once all of it is on the disk."""
    site = made / "site-packages"
    index = PackageIndex(tuple(_imports(site, place.requirements.names)))
    (made / place.index.name).write_bytes(msgspec.json.encode(index))
    (made / place.index.name).chmod(0o644)
    _to_disk(made)
    try:
        made.rename(place.directory)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) or not place.ready():
            raise
    _to_disk(place.root)


def _to_disk(directory: Path) -> None:
    """All that was written on its file system (syncfs(2)): a name that outlives a power cut has contents that do."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        ctypes.CDLL(None).syncfs(fd)
    finally:
        os.close(fd)


def _imports(site: Path, wanted: tuple[str, ...]) -> list[str]:
    """Names that the packages of these names are imported by."""
    found: list[str] = []
    for distribution in importlib.metadata.distributions(path=[str(site)]):
        if normalized(distribution.metadata["Name"] or "") in wanted:
            found += imports_of(distribution)
    return list(dict.fromkeys(found))


def _require_reachable(place: Place) -> None:
    """Where the runner is root, workers have other users: they must get there. Raises :class:`PackagesRefused`."""
    for directory in (place.site, *place.site.parents):
        if not directory.stat().st_mode & 0o001:
            raise PackagesRefused(
                f"REPTARIUM_REQUIREMENTS_PATH={place.root}: workers can't get there, who have other users than the "
                f"runner: chmod o+x {directory}"
            )


def _warn_of_mount(root: Path) -> None:
    if os.statvfs(root).f_flag & os.ST_NOEXEC:
        log.warning(
            "the packages' file system is mounted noexec: those with compiled modules can't be imported", path=str(root)
        )
