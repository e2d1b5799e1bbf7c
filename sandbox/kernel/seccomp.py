"""The system call filters: the rules of workers and zygote, and how a filter is put in force. `bpf.py` compiles them.

Which process does what
    The zygote compiles both filters once (`worker_filter`, `zygote_filter`), installs its own, and forks.
    Each worker writes its own pid into its copy of the ready bytes (`Loaded`) and installs them on top:
    filters *stack*, the strictest answer wins, and none can ever be taken off. No privilege is needed but
    ``no_new_privs``.

What the filters say
    They are allowlists. A call that no rule names is answered EPERM, which Python shows as a
    PermissionError with a traceback: libraries that merely *probe* (a scheduler query, a terminal ioctl, a
    socket) go on or fail like they do in any other poor environment. A few calls that no library makes by
    accident and that only an attack needs (`HOPELESS`) end the process, as does a call of a foreign
    architecture or of the x32 ABI, whose numbers mean other things. ``clone3`` passes its flags in memory,
    where a filter can't look; ENOSYS makes C libraries fall back to ``clone``.

References: `seccomp(2)`, `prctl(2)`, ``Documentation/userspace-api/seccomp_filter.rst``,
``include/uapi/linux/seccomp.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import replace
from typing import Final

from reptarium.sandbox.kernel import notify, syscalls
from reptarium.sandbox.kernel.adjust import ADJUSTABLE
from reptarium.sandbox.kernel.bpf import ALLOW, KILL, PID, Check, Clause, Program, Rules, assemble, errno_action
from reptarium.sandbox.kernel.scratch import with_scratch
from reptarium.sandbox.kernel.syscalls import Arch

__all__ = [
    "HOPELESS",
    "Loaded",
    "available",
    "install",
    "worker_filter",
    "worker_rules",
    "zygote_filter",
    "zygote_rules",
]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Calls that give an attacker something and that no library makes by accident: ends the process.
HOPELESS: Final = _words(
    "ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd bpf perf_event_open "
    "userfaultfd io_uring_enter io_uring_register kexec_load kexec_file_load init_module "
    "finit_module delete_module open_by_handle_at name_to_handle_at reboot swapon swapoff iopl ioperm "
    "modify_ldt quotactl quotactl_fd acct mount umount2 pivot_root move_mount open_tree fsopen fsconfig "
    "fsmount fspick mount_setattr setns unshare chroot add_key request_key keyctl lookup_dcookie "
    "nfsservctl vhangup syslog settimeofday clock_settime adjtimex clock_adjtime sethostname "
    "setdomainname "
)

# Answered whatever the arguments are. Each can only touch the caller itself, its own descriptors or (stat)
# names.
_WORKER_PLAIN: Final = _words(
    # its own descriptors; what can be opened at all is Landlock's and openat's business
    "read readv pread64 preadv write writev close lseek fstat newfstatat statx stat lstat "
    "getdents64 getdents readlink readlinkat access faccessat faccessat2 getcwd "
    # waiting, and descriptors of its own to wait on: event loops of libraries and of asyncio
    "poll ppoll select pselect6 nanosleep sched_yield restart_syscall "
    "epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 timerfd_create timerfd_settime timerfd_gettime "
    "recvfrom "
    # memory of its own, counted by RLIMIT_DATA
    "munmap mremap brk mseal "
    # threads of its own
    "rseq set_robust_list set_tid_address gettid exit exit_group "
    # signals that it sends to itself
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack "
    # who and where it is: nothing here tells what it couldn't know anyway
    "getpid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp uname sysinfo "
    "getcpu getrusage times getrandom time gettimeofday getrlimit "
)

# asm-generic/fcntl.h; O_DIRECTORY and O_NOFOLLOW differ (arch/arm64/include/uapi/asm/fcntl.h).
_O_NOCTTY: Final = 0o400
_O_NONBLOCK: Final = 0o4000
_O_LARGEFILE: Final[dict[Arch, int]] = {"x86_64": 0o100000, "aarch64": 0o400000}
_O_DIRECTORY: Final[dict[Arch, int]] = {"x86_64": 0o200000, "aarch64": 0o40000}
_O_NOFOLLOW: Final[dict[Arch, int]] = {"x86_64": 0o400000, "aarch64": 0o100000}
_O_CLOEXEC: Final = 0o2000000

_PROT_READ_WRITE: Final = 0x3
_MAP_SHARED: Final = 0x01
_MAP_TYPE: Final = 0x0F
_MAP_PRIVATE: Final = 0x02
_MAP_GROWSDOWN: Final = 0x100
_MAP_LOCKED: Final = 0x2000
_MAP_HUGETLB: Final = 0x40000

# PROT_READ | PROT_WRITE | PROT_EXEC, and on aarch64 PROT_BTI | PROT_MTE (arch/arm64/include/uapi/asm/mman.h).
_PROT: Final[dict[Arch, int]] = {"x86_64": 0x7, "aarch64": 0x37}

# What C libraries pass to clone(2) for a thread: VM FS FILES SIGHAND THREAD SYSVSEM SETTLS PARENT_SETTID
# CHILD_CLEARTID. musl adds CLONE_DETACHED (0x400000), which the kernel ignores.
_CLONE_THREAD: Final = 0x3D0F00
_CLONE_DETACHED: Final = 0x400000
# fork(3): SIGCHLD with CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID (glibc), or bare (musl).
_CLONE_FORK: Final = (0x1200000 | 17, 17)

_FCNTL: Final = (0, 1, 2, 3, 1030)  # F_DUPFD F_GETFD F_SETFD F_GETFL F_DUPFD_CLOEXEC
_IOCTL: Final = (0x5401, 0x802C542A, 0x5421, 0x5450, 0x5451)  # TCGETS TCGETS2 FIONBIO FIONCLEX FIOCLEX
# NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED FREE HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP
# POPULATE_READ POPULATE_WRITE DONTNEED_LOCKED GUARD_INSTALL GUARD_REMOVE. Missing on purpose:
# MERGEABLE (timing tells what other processes' pages hold), COLD and PAGEOUT (so does what is thrown out of the page
# cache), COLLAPSE (it puts a library's pages elsewhere in the page cache, and takes them from all who have them mapped;
# and each processor takes part), REMOVE, HWPOISON, SOFT_OFFLINE.
_MADVISE: Final = (0, 1, 2, 3, 4, 8, 14, 15, 16, 17, 22, 23, 24, 102, 103)
# WAIT WAKE REQUEUE CMP_REQUEUE WAKE_OP WAIT_BITSET WAKE_BITSET. Missing on purpose: those that inherit priorities
# (LOCK_PI and its kin, requeueing onto them), where most of futex(2)'s kernel holes were.
_FUTEX: Final = (0, 1, 3, 4, 5, 9, 10)
# Private or not: musl wakes threads without it.
_FUTEX_FLAGS: Final = 0x80 | 0x100  # FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME
_PR_SET_NAME: Final = 15
_PR_GET_NAME: Final = 16
_PR_SET_VMA: Final = 0x53564D41
_CLOCK_MAX: Final = 16
# QUERY, and PRIVATE_EXPEDITED, with and without SYNC_CORE, with its registration. Missing on purpose: those that make
# other processes' processors take part (GLOBAL and its kin), and RSEQ.
_MEMBARRIER: Final = (0, 8, 16, 32, 64)


# AF_UNIX; SOCK_STREAM and SOCK_SEQPACKET, with SOCK_CLOEXEC and SOCK_NONBLOCK.
_PAIR: Final = (Check(0, (1,)), Check(1, (1, 5), mask=0xFFFFFFFF & ~(_O_CLOEXEC | _O_NONBLOCK)))

_BUFFERS: Final = (Check(1, (1,)), Check(2, (7, 8)))  # SOL_SOCKET: SO_SNDBUF, SO_RCVBUF


def _not_set(arg: int, allowed: int) -> Check:
    """No bit of this int argument is set outside of `allowed`."""
    return Check(arg, (0,), mask=0xFFFFFFFF & ~allowed)


def _memory_rules(arch: Arch) -> dict[str, tuple[Clause, ...]]:
    prot = _not_set(2, _PROT[arch])
    # A shared mapping is not counted by RLIMIT_DATA and neither is one that grows downwards (the kernel
    # takes it for a stack: is_data_mapping in mm/vma.h); locked and huge pages come out of pools that are
    # not the task's.
    flags = Check(3, (_MAP_PRIVATE,), mask=_MAP_TYPE | _MAP_GROWSDOWN | _MAP_LOCKED | _MAP_HUGETLB)
    return {
        "mmap": (Clause((flags, prot)),),
        # PROT_GROWSDOWN/PROT_GROWSUP would let one call reach a whole stack.
        "mprotect": (Clause((prot,)),),
        # EINVAL is what a kernel that doesn't know an advice says; allocators take it well.
        "madvise": (Clause((Check(2, _MADVISE),)), Clause((), errno_action(errno.EINVAL))),
    }


def _open_flags(arg: int, arch: Arch) -> Check:
    """Read-only: only flags that can't create, write, truncate or make a bare path descriptor."""
    allowed = _O_NOCTTY | _O_NONBLOCK | _O_CLOEXEC | _O_LARGEFILE[arch] | _O_DIRECTORY[arch] | _O_NOFOLLOW[arch]
    return _not_set(arg, allowed)


def worker_rules(arch: Arch) -> Rules:
    """The final filter: a process that computes, reads what Landlock lets it, and speaks on descriptors
    it has.
    """
    plain = dict.fromkeys(_WORKER_PLAIN, ALLOW)
    plain |= dict.fromkeys(HOPELESS, KILL)
    # What C libraries probe for and do without when it is "not there".
    plain |= dict.fromkeys(
        ("clone3", "openat2", "futex_waitv", "map_shadow_stack", "io_uring_setup"), errno_action(errno.ENOSYS)
    )
    # Advice about the page cache succeeds and does nothing: it would load, and throw out, what others share.
    plain["fadvise64"] = errno_action(0)
    own = (0, PID)
    null = (Check(4, (0,)), Check(4, (0,), high=True))
    checked = _memory_rules(arch) | {
        # What C libraries say of a kernel without a flag. Some tell what is in the page cache, some throw out of it.
        "preadv2": (Clause((Check(5, (0,)),)), Clause((), errno_action(errno.EOPNOTSUPP))),
        "futex": (
            Clause((Check(1, _FUTEX, mask=0xFFFFFFFF & ~_FUTEX_FLAGS),)),
            Clause((), errno_action(errno.ENOSYS)),
        ),
        "openat": (Clause((_open_flags(2, arch),)),),
        "open": (Clause((_open_flags(1, arch),)),),
        "clone": (Clause((Check(0, (_CLONE_THREAD,), mask=0xFFFFFFFF & ~_CLONE_DETACHED),)),),
        "ioctl": (Clause((Check(1, _IOCTL),)),),
        "fcntl": (Clause((Check(1, _FCNTL),)),),
        # Reading its own limits: pid is 0 or its own, the new limit is a null pointer.
        "prlimit64": (Clause((Check(0, own), Check(2, (0,)), Check(2, (0,), high=True))),),
        # glibc's pthread_getattr_np asks for the thread's own id, and takes ENOSYS as "all processors".
        "sched_getaffinity": (Clause((Check(0, own),)), Clause((), errno_action(errno.ENOSYS))),
        # A pair leads from the process to itself: an event loop wakes itself up with one.
        "socketpair": (Clause(_PAIR),),
        # Advice of event loops (trio's) about their pair's buffers, the kernel's memory: succeeds, does nothing.
        "setsockopt": (Clause(_BUFFERS, errno_action(0)),),
        # send(2) on what is connected: write(2), where no address is named.
        "sendto": (Clause((*null, Check(3, (0,), mask=notify.MSG_OOB))),),
        # not a pipe for the kernel's notifications (O_NOTIFICATION_PIPE), nor one that keeps packets apart
        "pipe2": (Clause((_not_set(1, _O_CLOEXEC | _O_NONBLOCK),)),),
        # raise(3), abort(3), pthread_kill(3). musl names the thread alone, of which a filter knows the first.
        "tgkill": (Clause((Check(0, (PID,)),)),),
        "tkill": (Clause((Check(0, (PID,)),)),),
        # Names of threads and of mappings; everything else that prctl does could undo a layer.
        "prctl": (Clause((Check(0, (_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA)),)),),
        # Negative clock ids are the processor clocks of other processes, which can be slept on, too.
        **{
            name: (Clause((Check(0, tuple(range(_CLOCK_MAX))),)), Clause((), errno_action(errno.EINVAL)))
            for name in ("clock_gettime", "clock_getres", "clock_nanosleep")
        },
        # EINVAL is what a kernel that doesn't know a command says.
        "membarrier": (Clause((Check(0, _MEMBARRIER),)), Clause((), errno_action(errno.EINVAL))),
    }
    return Rules(plain, checked)


def zygote_rules(arch: Arch) -> Rules:
    """The baseline: what a worker may do, and what it takes to make, restrict and hand over one."""
    worker = worker_rules(arch)
    plain = dict(worker.plain)
    checked = dict(worker.checked)
    # Only a worker knows its pid, so these are decided here without one. Landlock's signal scope and
    # prlimit's own check of user ids stand behind them.
    for name in (
        "tgkill",
        "tkill",
        "prlimit64",
        "sched_getaffinity",
        "clock_gettime",
        "clock_getres",
        "prctl",
        "fcntl",
        "sendto",
        "setsockopt",
    ):
        del checked[name]
        plain[name] = ALLOW
    extra = _words(
        "sendmsg recvmsg shutdown getsockopt setsockopt getsockname getpeername "
        "dup dup2 dup3 close_range wait4 waitid pidfd_open pidfd_send_signal setrlimit "
        "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self "
        "setresuid setresgid setgroups capget capset setpriority getpgid getsid "
        "signalfd4 "
        "fork"  # of musl; where there is no such call it is clone there, too
    )
    plain |= dict.fromkeys(extra, ALLOW)
    thread = worker.checked["clone"]
    checked["clone"] = (*thread, Clause((Check(0, _CLONE_FORK),)))
    # memory that a worker has in common with the supervisor, for what its task prints
    checked["memfd_create"] = (Clause((Check(1, (os.MFD_CLOEXEC,)),)),)
    plain["ftruncate"] = ALLOW
    shared = (Check(3, (_MAP_SHARED,)), Check(2, (_PROT_READ_WRITE,)))
    checked["mmap"] = (*checked["mmap"], Clause(shared))
    # /dev/null for each worker; Landlock says that it is nothing else
    checked["openat"] = (*checked["openat"], Clause((Check(2, (os.O_RDWR,)),)))
    return Rules(plain, checked)


def _adjustable(rules: Rules) -> Rules:
    """The worker's rules when it may lower its own limits: what it has lowered, nobody without privileges raises."""
    own = Clause((Check(0, (0, PID)), Check(1, ADJUSTABLE)))
    return replace(rules, checked={**rules.checked, "prlimit64": (*rules.checked["prlimit64"], own)})


def worker_filter(arch: Arch, *, connections: bool = False, scratch: bool = False, adjustable: bool = False) -> Program:
    """The compiled final filter of workers; `connections`: those that may ask for connections; `scratch`: those that
    have a directory to write in; `adjustable`: those that lower their limits to their task's.
    """
    rules = worker_rules(arch)
    if adjustable:
        rules = _adjustable(rules)
    if connections:
        rules = notify.worker_rules(rules)
    return assemble(with_scratch(rules, zygote=False) if scratch else rules, arch)


def zygote_filter(arch: Arch, *, connections: bool = False, scratch: bool = False) -> Program:
    """The compiled baseline filter of the zygote of such workers."""
    rules = zygote_rules(arch)
    if connections:
        rules = notify.zygote_rules(rules)
    return assemble(with_scratch(rules, zygote=True) if scratch else rules, arch)


# --- the kernel's side ----------------------------------------------------------------------------

_SET_MODE_FILTER: Final = 1  # SECCOMP_SET_MODE_FILTER
_GET_ACTION_AVAIL: Final = 2  # SECCOMP_GET_ACTION_AVAIL
_TSYNC: Final = 1  # SECCOMP_FILTER_FLAG_TSYNC


class _FilterProgram(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def available() -> int:
    """0 when filters with all the answers above can be had, else the errno that the kernel gave."""
    action = ctypes.c_uint32(KILL)
    try:
        return syscalls.try_call("seccomp", _GET_ACTION_AVAIL, 0, ctypes.addressof(action))[1]
    except KeyError:
        return errno.ENOSYS


class Loaded:
    """A filter in memory that the kernel can read as it is: made once, before fork, so that a worker only
    writes its pid into it.
    """

    __slots__ = ("_buffer", "_header", "address", "pids")

    def __init__(self, program: Program) -> None:
        self._buffer = ctypes.create_string_buffer(program.code, len(program.code))
        self._header = _FilterProgram(len(program), ctypes.addressof(self._buffer))
        #: Of the filter's ``struct sock_fprog``, as long as this object lives.
        self.address = ctypes.addressof(self._header)
        #: Where the process's own pid belongs.
        self.pids = tuple(ctypes.c_uint32.from_buffer(self._buffer, offset) for offset in program.pid_offsets)

    def install_with(self, calls: syscalls.CallList) -> None:
        """Have `calls` put the filter in force, for the calling thread and all that it creates.

        Needs ``no_new_privs`` or CAP_SYS_ADMIN. The caller must be the process's only thread, as a forked child is:
        others would go unfiltered.
        """
        calls.call("seccomp", _SET_MODE_FILTER, 0, self.address, keep=self)


def install(program: Program) -> None:
    """Load and install `program` for all threads of this process; see `Loaded`. Raises OSError."""
    loaded = Loaded(program)
    for place in loaded.pids:
        place.value = os.getpid()
    unfiltered = syscalls.call("seccomp", _SET_MODE_FILTER, _TSYNC, loaded.address)
    if unfiltered:
        raise OSError(errno.EBUSY, f"thread {unfiltered} can't be filtered", "seccomp")
