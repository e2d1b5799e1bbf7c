"""A private directory for each worker: the only place where it may write, and where nobody else looks.

Which process does what
    The supervisor makes a base directory and tells the zygote (`IsolationConfig.scratch`); it removes a worker's
    directory when the worker is gone, and measures meanwhile what is in it. The zygote's own Landlock layer allows
    writing below the base. A worker, when it has its user id, makes a directory there, named by its process id and
    closed to other users, and in that another, whose name nobody can guess: Landlock doesn't keep siblings of one user
    from asking whether a path is there. It works in the inner one, and restricts itself with a ruleset of its own
    (`Scratch.enter_with`): it grants what the others' grants, and all of that directory, and is the reason why siblings
    don't see each other's files. All of it is a list of calls that the zygote has laid out, as it has the places where
    a worker writes which directory is its own (`Variables`): 0.2 to 0.35 ms a worker.

What writing means
    Regular files and directories are made, written, truncated, renamed and removed. There are no links, symbolic or
    hard, no FIFOs, sockets or devices: nothing leads out, and nothing that is removed hangs. Calls that Landlock
    doesn't handle because they don't open anything (modes, times) would reach every file that the user owns: they are
    answered as done, and do nothing. So is umask(2), with which an owner would lose sight of its own directories, and
    so are fsync(2), msync(2), flock(2) and the locks of fcntl(2): nobody else sees these files, and none outlives its
    task. (A lock is memory of the kernel's that no limit counts, and on a library's file other tasks would see it. Who
    asks for locks is told that there are none.) To set a file's
    times to now is refused: who tries that first, and makes the file when it can't (pathlib's touch), would take the
    answer for a file. Extended attributes aren't supported, as on many file systems. Files are mapped into memory,
    shared with the file itself, as SQLite's write-ahead log (on Python 3.13 any shelf), `mmap` and `numpy.memmap` do:
    RLIMIT_AS bounds the mappings, the supervisor what lies in the files, with a name or without. Shared memory without
    a file stays refused.

`RLIMIT_FSIZE` bounds one file, the supervisor the whole.
"""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import replace
from typing import Final

from reptarium.sandbox.kernel import landlock, syscalls
from reptarium.sandbox.kernel.bpf import ALLOW, Check, Clause, Rules, errno_action
from reptarium.sandbox.kernel.layers import IsolationUnavailable
from reptarium.sandbox.kernel.paths import Grant

__all__ = ["Scratch", "Variables", "environment", "require", "with_scratch"]

_AT_FDCWD: Final = -100
#: A slash, a process id (of up to 2^22, `proc_sys_kernel(5)`), another slash, what can't be guessed, and a NUL.
_LONGEST_NAME: Final = 32
# asm-generic/fcntl.h
_O_ACCESS: Final = 0o3
_O_WRONLY: Final = 0o1
_O_RDWR: Final = 0o2
_O_CREAT: Final = 0o100
_O_EXCL: Final = 0o200
_O_TRUNC: Final = 0o1000
_O_APPEND: Final = 0o2000
_O_SYNC: Final = 0o4010000
# F_GETLK, and F_SETLK F_SETLKW, and the same of open file descriptions: SQLite locks its files.
_LOCKS_TOLD: Final = (5, 36)
_LOCKS_SET: Final = (6, 7, 37, 38)
_RENAME_NOREPLACE: Final = 1
# asm-generic/mman-common.h
_MAP_SHARED: Final = 0x01
_MAP_ANONYMOUS: Final = 0x20

#: Variable → what follows the directory in it.
_PLACES: Final = {
    "HOME": "",
    "TMPDIR": "",
    "XDG_CACHE_HOME": "/.cache",
    "XDG_CONFIG_HOME": "/.config",
    "XDG_DATA_HOME": "/.local/share",
    "MPLCONFIGDIR": "/.config/matplotlib",
}

_WRITING: Final = "pwrite64 pwritev ftruncate unlink unlinkat rmdir rename renameat".split()
_WITHOUT_EFFECT: Final = "chmod fchmod fchmodat umask fsync fdatasync flock msync sync_file_range".split()
#: Calls that set times, and which argument has them; none stands for now.
_TIMES: Final = {"utime": 1, "utimes": 1, "futimesat": 2, "utimensat": 2}
_ATTRIBUTES: Final = (
    "listxattr llistxattr flistxattr getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr removexattr".split()
)


def with_scratch(rules: Rules, *, zygote: bool) -> Rules:
    """The filter's rules, with what a worker's own directory takes."""
    plain = dict(rules.plain) | dict.fromkeys(_WRITING, ALLOW) | dict.fromkeys(_WITHOUT_EFFECT, errno_action(0))
    plain |= dict.fromkeys(_ATTRIBUTES, errno_action(errno.EOPNOTSUPP))
    checked = dict(rules.checked)
    if zygote:
        plain |= dict.fromkeys(("chdir", "fchdir"), ALLOW)
    for name in plain.keys() & checked.keys():
        del checked[name]
    for name, arg in (("openat", 2), ("open", 1)):
        checked[name] = (*checked[name], *_write_clauses(checked[name], arg))
    flags, prot = checked["mmap"][0].checks
    of_a_file = replace(flags, values=(_MAP_SHARED,), mask=flags.mask | _MAP_ANONYMOUS)
    checked["mmap"] = (*checked["mmap"], Clause((of_a_file, prot)))
    # A directory that its owner may not list could hide what is in it from a supervisor of the same user
    checked["mkdir"] = (Clause((Check(1, (0o700,), mask=0o700),)),)
    checked["mkdirat"] = (Clause((Check(2, (0o700,), mask=0o700),)),)
    checked["renameat2"] = (Clause((Check(4, (0, _RENAME_NOREPLACE)),)),)
    for name, arg in _TIMES.items():
        now = Clause((Check(arg, (0,)), Check(arg, (0,), high=True)), errno_action(errno.EPERM))
        checked[name] = (now, Clause((), errno_action(0)))
    if "fcntl" in checked:
        told, taken = Clause((Check(1, _LOCKS_TOLD),)), Clause((Check(1, _LOCKS_SET),), errno_action(0))
        checked["fcntl"] = (*checked["fcntl"], told, taken)
    return Rules(plain, checked, rules.default)


def _write_clauses(reading: tuple[Clause, ...], arg: int) -> tuple[Clause, ...]:
    """Opening to write, with the flags that reading may have and those that make or empty a file.

    O_TRUNC with read access alone would empty a file on kernels whose Landlock doesn't know truncation.
    """
    clause = reading[0]
    [check] = clause.checks
    allowed = ~check.mask & 0xFFFFFFFF
    more = allowed | _O_ACCESS | _O_CREAT | _O_EXCL | _O_TRUNC | _O_APPEND | _O_SYNC
    for_others = Check(arg, (0,), mask=0xFFFFFFFF & ~more)
    return (Clause((for_others, Check(arg, (_O_WRONLY, _O_RDWR), mask=_O_ACCESS))),)


def require(*, landlock: bool, seccomp: bool) -> None:
    """Raises IsolationUnavailable unless there is what keeps tasks from writing anywhere else."""
    missing = [name for name, there in (("Landlock", landlock), ("seccomp", seccomp)) if not there]
    if missing:
        raise IsolationUnavailable(
            f"REPTARIUM_SCRATCH needs Landlock and seccomp, which keep tasks from writing anywhere else; without "
            f"{' and '.join(missing)} there are no files for tasks: leave REPTARIUM_SCRATCH out."
        )


def environment(directory: str) -> dict[str, str]:
    """What tells libraries that this is where their temporary files, caches and settings go."""
    return {name: directory + below for name, below in _PLACES.items()}


class Scratch:
    """Everything that a worker needs to take a directory of its own: made in the unrestricted zygote.

    Raises OSError where the base directory can't be opened.
    """

    def __init__(self, base: str, roots: tuple[str, ...], features: landlock.Features) -> None:
        self._base = base
        self._features = features
        self._rules, _ = landlock.opened([Grant(root, "tree") for root in roots], features)
        self.fds = [rule.fd for rule in self._rules]
        #: By this name every worker finds its own; empty: each has one of its own only.
        self.everywhere = ""
        #: The worker's, once it is chosen.
        self.directory = ""
        self._outer = self._path = ctypes.create_string_buffer(_LONGEST_NAME)

    def moved(self, base: str, everywhere: str) -> None:
        """In the root directory of tasks the base is here, and for each worker its own directory there."""
        self._base, self.everywhere = base, everywhere

    def choose(self, pid: int) -> None:
        """The directory is that of the worker with this process id."""
        outer = f"{self._base}/{pid}"
        self.directory = directory = f"{outer}/{os.urandom(8).hex()}"
        self._outer.value, self._path.value = os.fsencode(outer), os.fsencode(directory)

    def enter_with(self, calls: syscalls.CallList) -> None:
        """Have `calls` make the directory that is chosen by then, go there, and put the worker's Landlock layer in
        force.

        A list knows no answers: the numbers 1 and 2, which are /dev/null before and after, are freed for the
        directory and the ruleset.
        """
        longest = len(os.fsencode(self._base)) + _LONGEST_NAME
        self._outer, self._path = ctypes.create_string_buffer(longest), ctypes.create_string_buffer(longest)
        address = ctypes.addressof(self._path)
        for made in (ctypes.addressof(self._outer), address):
            calls.call("mkdirat", _AT_FDCWD, made, 0o700)
        calls.call("close", 1)
        calls.call("openat", _AT_FDCWD, address, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        calls.call("fchdir", 1)
        calls.call("close", 2)
        rules = [*self._rules, landlock.scratch_rule(1, self._features)]
        landlock.build_and_restrict_with(calls, 2, rules, self._features)
        for stream in (1, 2):
            calls.function(syscalls.libc.dup2, 0, stream)


class Variables:
    """`environment`, in places that a worker only writes over: to set six variables anew takes it a third of a
    millisecond, for the pages that it copies. Made in the zygote, while that has one thread.
    """

    def __init__(self, directory: str) -> None:
        shown: dict[bytes, bytes] = vars(os.environ)["_data"]
        self._shown = shown
        self._rows = []
        for name, value in environment(directory).items():
            os.environ[name] = value
            line = os.fsencode(f"{name}={value}")
            text = ctypes.create_string_buffer(line, len(line) + _LONGEST_NAME)
            syscalls.libc.putenv(ctypes.byref(text))  # from here on the C library reads what stands there (putenv(3))
            below = _PLACES[name]
            self._rows.append((name, below, name.encode(), below.encode(), f"{name}=".encode(), text))

    def write(self, directory: str, told: dict[str, str]) -> None:
        """This is the worker's: for the C library, for ``os.environ``, and in `told`."""
        place = os.fsencode(directory)
        shown = self._shown
        for name, below, raw_name, raw_below, beginning, text in self._rows:
            told[name] = directory + below
            shown[raw_name] = value = place + raw_below
            text.value = beginning + value
