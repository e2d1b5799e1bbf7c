"""Namespaces: an empty network, its own IPC and host name, and a root directory that holds nothing but what
may be read.

Which process does what
    The zygote enters them once, first thing, while it still has the privilege; workers inherit them, so a
    fork costs nothing more. They are *never required*: Docker's default profile and Kubernetes "restricted"
    forbid them, and what they do is done by seccomp and Landlock already. What they add is that metadata
    goes away, too: Landlock doesn't hide that a file exists, a new root does.

Two routes
    With CAP_SYS_ADMIN the namespaces are made directly. Without it, through a user namespace, where the
    machine lets an ordinary user make one; a throw-away child tries the whole sequence first, since some
    machines allow the first step and refuse a later one, when there is no way back. The user keeps its
    number inside. Root enters one only if the users that zygote and workers become can be mapped there: in a
    namespace that knows nobody else they would stay root. All capabilities that the user namespace gave are
    dropped with the rest (`privileges.py`).

The new root
    A tmpfs with a bind mount for every readable path at its own place, read-only with all that is mounted
    below it, and the symlinks that lead there; something empty lies over the runner's own code; then `pivot_root(2)`,
    and the old root is detached. No /proc, no /tmp, no /sys.
    Directories on the way are ours and searchable, so that an interpreter under a private home directory stays
    reachable after the drop of the user id.
    Landlock rules are about inodes and hold for the new mounts unchanged.

/tmp
    Where tasks have scratch directories, all of these are at :data:`SCRATCH`, and /tmp is each worker's own, although
    all share one root: a symlink to the working directory of whoever looks, which only procfs can say, and no worker
    may change. So procfs is there at a place of its own. What it shows of names is what Landlock, without which there
    is no scratch, never hides; it opens nothing there. /tmp stays away where something readable lies below it.

No PID namespace: `unshare(CLONE_NEWPID)` moves only children, the first of which would be an init whose end
kills all the others; a stub would sit between zygote and workers and take over waiting. Pids inside would
no longer be those that the zygote reports. Signals to others are refused by seccomp and Landlock, /proc is
out of reach, and nothing would be gained.

References: `namespaces(7)`, `user_namespaces(7)`, `mount_namespaces(7)`, `pivot_root(2)`, `mount(2)`,
`mount_setattr(2)`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from reptarium.sandbox.kernel import privileges, syscalls
from reptarium.sandbox.kernel.paths import Readable

__all__ = ["Entered", "Ids", "enter"]

_NEWNS: Final = 0x00020000
_NEWCGROUP: Final = 0x02000000
_NEWUTS: Final = 0x04000000
_NEWIPC: Final = 0x08000000
_NEWUSER: Final = 0x10000000
_NEWNET: Final = 0x40000000
_SIMPLE: Final = (("network", _NEWNET), ("ipc", _NEWIPC), ("uts", _NEWUTS), ("cgroup", _NEWCGROUP))

_MS_RDONLY: Final = 1
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_NOEXEC: Final = 8
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
_MNT_DETACH: Final = 2
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000

# statvfs flags have the values of the mount flags for these: nosuid nodev noexec noatime nodiratime
# relatime. A user namespace may not take any of them off a mount that it was given.
_LOCKED: Final = 2 | 4 | 8 | 1024 | 2048
_ST_RELATIME: Final = 4096
_MS_RELATIME: Final = 1 << 21

#: Where in the new root workers' scratch directories are.
SCRATCH: Final = "/.scratch"
_PROC: Final = "/.proc"
_OWN_TMP: Final = f"{_PROC}/self/cwd"

# Where the new root is put together: any directory that exists, seen by nobody else.
_STAGES: Final = ("/tmp", "/run", "/mnt", "/var", "/proc")


@dataclass(frozen=True, slots=True)
class Entered:
    """What came of it: the names of namespaces entered and of those refused, with the reason of the first
    refusal.
    """

    entered: tuple[str, ...]
    refused: tuple[str, ...]
    reason: str = ""

    @property
    def new_root(self) -> bool:
        """Whether nothing but what may be read is left of the file system."""
        return "mount" in self.entered

    @property
    def own_tmp(self) -> bool:
        """Whether /tmp is the working directory of whoever looks."""
        return self.new_root and os.path.islink("/tmp") and os.readlink("/tmp") == _OWN_TMP


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids that a user namespace is to have, as (first, how many)."""

    users: tuple[tuple[int, int], ...]
    groups: tuple[tuple[int, int], ...]


def enter(readable: Readable, ids: Ids | None = None, writable: str = "") -> Entered:
    """Enter every namespace that this process is permitted; `ids` are those that root and its workers will have,
    `writable` is a directory that stays so, at :data:`SCRATCH`.
    Never raises for lack of permission.

    Call with one thread and before any other restriction.
    """
    if privileges.effective() >> privileges.CAP_SYS_ADMIN & 1:
        return _unshare_all(readable, writable)
    problem = _try_in_child(readable, ids, writable)
    if not problem and (threads := len(os.listdir("/proc/self/task"))) > 1:  # the child that tried has one
        problem = f"this process has {threads} threads, and only one with a single thread may (unshare(2))"
    if problem:
        return Entered((), ("user", *(name for name, _ in _SIMPLE), "mount"), problem)
    _enter_user(ids)
    result = _unshare_all(readable, writable)
    return Entered(("user", *result.entered), result.refused, result.reason)


def _unshare(flags: int) -> None:
    syscalls.call("unshare", flags)


def _enter_user(ids: Ids | None) -> None:
    """Enter a user namespace: with those ids, or with the one that everybody may map, the own. Raises OSError."""
    if ids is not None:
        with _mapped_from_outside(ids):
            _unshare(_NEWUSER)
        return
    uid, gid = os.geteuid(), os.getegid()
    _unshare(_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


@contextlib.contextmanager
def _mapped_from_outside(ids: Ids) -> Iterator[None]:
    """Have this process's ids mapped when it has entered a user namespace inside of this. Raises OSError.

    More ids than one's own are mapped by somebody with CAP_SETUID and CAP_SETGID in the namespace *above*: a child that
    was forked before.
    """
    entered, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(tell)
            if os.read(entered, 1):
                for name, ranges in (("uid_map", ids.users), ("gid_map", ids.groups)):
                    with open(f"/proc/{os.getppid()}/{name}", "w", encoding="ascii") as file:
                        file.write("".join(f"{first} {first} {count}\n" for first, count in ranges))
                status = 0
        finally:
            os._exit(status)
    os.close(entered)
    try:
        yield
        os.write(tell, b"!")
    finally:
        os.close(tell)
        _, status = os.waitpid(pid, 0)
    if status:
        raise PermissionError(errno.EPERM, "the users of zygote and workers can't be mapped")


def _unshare_all(readable: Readable, writable: str) -> Entered:
    entered: list[str] = []
    refused: list[str] = []
    reason = ""
    steps: list[tuple[str, Callable[[], None]]] = [(name, partial(_unshare, flag)) for name, flag in _SIMPLE]
    steps.append(("mount", partial(_new_root, readable, writable)))
    for name, step in steps:
        try:
            step()
        except OSError as error:
            refused.append(name)
            reason = reason or f"{name}: {error.strerror or error}"
        else:
            entered.append(name)
    return Entered(tuple(entered), tuple(refused), reason)


def _try_in_child(readable: Readable, ids: Ids | None, writable: str) -> str:
    """Go through the user-namespace route in a child that ends right after; "" when all of it works."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        text = "the attempt ended without an answer"
        try:
            _enter_user(ids)
            result = _unshare_all(readable, writable)
            text = "" if not result.refused else result.reason
        except OSError as error:
            text = f"user namespace: {error.strerror or error}"
        finally:
            with contextlib.suppress(OSError):
                os.write(writer, f"={text}".encode()[:512])
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    return answer[1:] if answer.startswith("=") else "the attempt ended without an answer"


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    pointers = [ctypes.create_string_buffer(os.fsencode(text)) for text in (source, target, kind, data)]
    addresses = [ctypes.addressof(pointer) for pointer in pointers]
    try:
        syscalls.call(
            "mount",
            addresses[0],
            addresses[1],
            addresses[2] if kind else 0,
            flags,
            addresses[3] if data else 0,
        )
    except OSError as error:
        raise OSError(error.errno, f"mount on {target}: {error.strerror}") from None


def _new_root(readable: Readable, writable: str) -> None:
    """Enter a mount namespace whose root holds only what is readable.

    Should a step fail after the namespace was entered, the process is left in a private copy of the old
    tree (mounts made on the way are undone), which is a worse root but a sound one.
    """
    stage = next((path for path in _STAGES if os.path.isdir(path)), None)
    if stage is None:
        raise FileNotFoundError(2, "no directory to put the new root together in")
    _unshare(_NEWNS)
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    # Opened before the stage may cover one of them, and after unshare: a bind mount can't come from another
    # namespace.
    sources: list[tuple[str, int]] = []
    wanted = [(path, path) for path in readable.roots]
    if writable:
        wanted += [(SCRATCH, writable), (_PROC, "/proc")]
    staged = False
    try:
        for place, path in wanted:
            with contextlib.suppress(OSError):
                sources.append((place, os.open(path, os.O_PATH | os.O_CLOEXEC)))
        proc = os.open("/proc/self/fd", os.O_PATH | os.O_CLOEXEC)
        sources.append(("", proc))
        _mount("tmpfs", stage, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "mode=0755,size=1m,nr_inodes=4096")
        staged = True
        previous = os.umask(0o022)
        try:
            _fill(stage, sources, readable.links, proc)
            if writable and not os.path.lexists(f"{stage}/tmp"):
                os.symlink(_OWN_TMP, f"{stage}/tmp")
            _cover(stage, readable.barred)
        finally:
            os.umask(previous)
        os.chdir(stage)
        dot = ctypes.create_string_buffer(b".")
        # The documented idiom: old and new root stacked on one another, then the upper one (the old) is
        # detached.
        syscalls.call("pivot_root", ctypes.addressof(dot), ctypes.addressof(dot))
        staged = False
        syscalls.call("umount2", ctypes.addressof(dot), _MNT_DETACH)
        os.chdir("/")
        _mount("none", "/", "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    finally:
        if staged:
            where = ctypes.create_string_buffer(os.fsencode(stage))
            syscalls.try_call("umount2", ctypes.addressof(where), _MNT_DETACH)
        for _, fd in sources:
            os.close(fd)


def _fill(stage: str, sources: list[tuple[str, int]], links: tuple[tuple[str, str], ...], proc: int) -> None:
    for path, fd in sources:
        if not path:
            continue
        target = stage + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        # Through a descriptor of /proc/self/fd, since the stage may be /proc itself.
        source = f"{fd}"
        if os.path.isdir(f"/proc/self/fd/{fd}") if stage != "/proc" else os.fstat(fd).st_mode & 0o40000:
            os.makedirs(target, exist_ok=True)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
        os.fchdir(proc)
        _mount(source, target, "", _MS_BIND | _MS_REC)
        devices = 0 if path.startswith("/dev/") else _MS_NODEV
        writing = {SCRATCH: _MS_NOEXEC, _PROC: _MS_NOEXEC | _MS_RDONLY}.get(path, _MS_RDONLY)
        _restrict(target, _MS_NOSUID | devices | writing)
    for link, destination in links:
        target = stage + link
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(destination, target)


def _cover(stage: str, barred: Iterable[str]) -> None:
    """Put an empty directory or file over each of these."""
    nothing = f"{stage}/.nothing"
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    for path in barred:
        target = stage + path
        if os.path.isdir(target):
            _mount("tmpfs", target, "tmpfs", flags, "mode=0555,size=4k,nr_inodes=2")
        elif os.path.exists(target):
            os.close(os.open(nothing, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o400))
            _mount(nothing, target, "", _MS_BIND)


def _restrict(target: str, flags: int) -> None:
    """Set `flags` at `target`, and in what is mounted below it: nothing can be written any more, for one."""
    # struct mount_attr {attr_set, attr_clr, propagation, userns_fd}; MOUNT_ATTR_* have the values of these four flags
    attributes = ctypes.create_string_buffer(struct.pack("=QQQQ", flags, 0, 0, 0), 32)
    where = ctypes.create_string_buffer(os.fsencode(target))
    error = syscalls.try_call(
        "mount_setattr", _AT_FDCWD, ctypes.addressof(where), _AT_RECURSIVE, ctypes.addressof(attributes), 32
    )[1]
    if error == errno.ENOSYS:  # Linux before 5.12: the upper one alone, and all of its flags have to be repeated
        status = os.statvfs(target)
        kept = status.f_flag & _LOCKED | (_MS_RELATIME if status.f_flag & _ST_RELATIME else 0)
        _mount("none", target, "", _MS_BIND | _MS_REMOUNT | flags | kept)
    elif error:
        raise OSError(error, f"mount_setattr on {target}: {os.strerror(error)}")
