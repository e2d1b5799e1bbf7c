"""A private directory for each worker: the only place where it may write, and where nobody else looks.

Which process does what
    The supervisor makes a base directory and tells the zygote (`IsolationConfig.scratch`); it removes a worker's
    directory when the worker is gone, and measures meanwhile what is in it. The zygote's own Landlock layer allows
    writing below the base. A worker, when it has its user id (`Scratch.enter`), makes a directory there, named by its
    process id and closed to everybody else, works in it, and restricts itself with a ruleset of its own: it grants what
    the others' grants, and all of that directory. It is one layer more to build for each worker, 0.1 ms, and the reason
    why siblings of one user don't see each other's files.

What writing means
    Regular files and directories are made, written, truncated, renamed and removed. There are no links, symbolic or
    hard, no FIFOs, sockets or devices: nothing leads out, and nothing that is removed hangs. Calls that Landlock
    doesn't handle because they don't open anything (modes, times) would reach every file that the user owns: they are
    answered as done, and do nothing. So is umask(2), with which an owner would lose sight of its own directories, and
    so are fsync(2), msync(2) and flock(2): nobody else sees these files, and none outlives its task. To set a file's
    times to now is refused: who tries that first, and makes the file when it can't (pathlib's touch), would take the
    answer for a file. Extended attributes aren't supported, as on many file systems. Files are mapped into memory,
    shared with the file itself, as SQLite's write-ahead log (on Python 3.13 any shelf), `mmap` and `numpy.memmap` do:
    RLIMIT_AS bounds the mappings, the supervisor what lies in the files, with a name or without. Shared memory without
    a file stays refused.

`RLIMIT_FSIZE` bounds one file, the supervisor the whole.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import Final

from reptarium.sandbox.kernel import landlock
from reptarium.sandbox.kernel.bpf import ALLOW, Check, Clause, Rules, errno_action
from reptarium.sandbox.kernel.layers import IsolationUnavailable
from reptarium.sandbox.kernel.paths import Grant

__all__ = ["Scratch", "environment", "require", "with_scratch"]

# asm-generic/fcntl.h
_O_ACCESS: Final = 0o3
_O_WRONLY: Final = 0o1
_O_RDWR: Final = 0o2
_O_CREAT: Final = 0o100
_O_EXCL: Final = 0o200
_O_TRUNC: Final = 0o1000
_O_APPEND: Final = 0o2000
_O_SYNC: Final = 0o4010000
# F_GETLK F_SETLK F_SETLKW, and the same of open file descriptions: SQLite locks its files.
_LOCKS: Final = (5, 6, 7, 36, 37, 38)
_RENAME_NOREPLACE: Final = 1
# asm-generic/mman-common.h
_MAP_SHARED: Final = 0x01
_MAP_ANONYMOUS: Final = 0x20

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
        checked["fcntl"] = (*checked["fcntl"], Clause((Check(1, _LOCKS),)))
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


def environment(directory: str, temporary: str = "") -> dict[str, str]:
    """What tells libraries that this is where their temporary files, caches and settings go; `temporary` is another
    path of it.
    """
    return {
        "HOME": directory,
        "TMPDIR": temporary or directory,
        "XDG_CACHE_HOME": f"{directory}/.cache",
        "XDG_CONFIG_HOME": f"{directory}/.config",
        "XDG_DATA_HOME": f"{directory}/.local/share",
        "MPLCONFIGDIR": f"{directory}/.config/matplotlib",
    }


class Scratch:
    """Everything that a worker needs to take a directory of its own: made in the unrestricted zygote.

    Raises OSError where the base directory can't be opened.
    """

    def __init__(self, base: str, roots: tuple[str, ...], features: landlock.Features) -> None:
        self._base = base
        self._features = features
        self._rules, _ = landlock.opened([Grant(root, "tree") for root in roots], features)
        self.fds = [rule.fd for rule in self._rules]
        #: The worker's directory, when it has one; and where that is as well, by another name.
        self.directory = ""
        self.temporary = ""

    def moved(self, base: str, temporary: str) -> None:
        """In the root directory of tasks the base is here."""
        self._base, self.temporary = base, temporary

    def enter(self) -> int:
        """Make this worker's directory, go there, and put its Landlock layer in force. Raises OSError."""
        self.directory = directory = f"{self._base}/{os.getpid()}"
        os.mkdir(directory, 0o700)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.fchdir(fd)
        ruleset = landlock.build_of([*self._rules, landlock.scratch_rule(fd, self._features)], self._features)
        landlock.restrict(ruleset, self._features.worker_flags)
        return 0
