"""The filters: what the compiled programs answer (interpreted, both architectures), and what the kernel
makes of them.
"""

from __future__ import annotations

import errno
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_helpers import child, interpret, reference

from reptarium.sandbox.kernel import bpf, seccomp, syscalls
from reptarium.sandbox.kernel.bpf import ALLOW, DENY, KILL, Check, Clause, Rules
from reptarium.sandbox.kernel.syscalls import AUDIT_ARCH, Arch

PID = 4711
WORKER = {arch: seccomp.worker_filter(arch).for_pid(PID) for arch in syscalls.ARCHES}
ZYGOTE = {arch: seccomp.zygote_filter(arch).for_pid(PID) for arch in syscalls.ARCHES}
both = pytest.mark.parametrize("arch", syscalls.ARCHES)


def ask(arch: Arch, name: str, *args: int, filters: dict[Arch, bytes] = WORKER) -> int:
    nr = syscalls.number(name, arch)
    assert nr is not None
    return interpret(filters[arch], AUDIT_ARCH[arch], nr, args)


class TestNumbers:
    def test_known_numbers(self) -> None:
        """The table agrees with numbers that are known from elsewhere."""
        assert syscalls.number("openat", "x86_64") == 257
        assert syscalls.number("openat", "aarch64") == 56
        assert syscalls.number("seccomp", "x86_64") == 317
        assert syscalls.number("seccomp", "aarch64") == 277
        assert syscalls.number("landlock_restrict_self", "aarch64") == 446

    def test_missing_on_one(self) -> None:
        """A call that one architecture never had has no number there."""
        assert syscalls.number("open", "aarch64") is None

    def test_misspelt(self) -> None:
        """A name that no kernel has is an error, not a rule that vanishes."""
        with pytest.raises(KeyError, match="openat3"):
            syscalls.number("openat3", "x86_64")

    @both
    def test_unique(self, arch: Arch) -> None:
        """No two calls share a number."""
        numbers = list(syscalls.names(arch).values())
        assert len(numbers) == len(set(numbers))


class TestAssembler:
    @both
    @settings(database=None)
    @given(data=st.data())
    def test_agrees_with_rules(self, arch: Arch, data: st.DataObject) -> None:
        """For any call and any arguments the compiled worker filter answers what its rules say."""
        rules = seccomp.worker_rules(arch)
        name = data.draw(st.sampled_from(sorted(syscalls.names(arch))))
        interesting = st.sampled_from([0, 1, 2, PID, 0x3D0F00, 0x1200011, 0x5401, 2**32, 2**63, 0o2000000, 1030])
        args = tuple(data.draw(st.lists(interesting | st.integers(0, 2**64 - 1), min_size=6, max_size=6)))
        assert ask(arch, name, *args) == reference(rules, name, args, PID)

    @both
    def test_every_number(self, arch: Arch) -> None:
        """Every number up to 1000, named or not, gets the answer of its rule or the default."""
        rules = seccomp.worker_rules(arch)
        names = {nr: name for name, nr in syscalls.names(arch).items()}
        for nr in range(1000):
            name = names.get(nr)
            expected = rules.default if name is None else reference(rules, name, (), PID)
            assert interpret(WORKER[arch], AUDIT_ARCH[arch], nr) == expected, (nr, name)

    @both
    def test_wrong_architecture(self, arch: Arch) -> None:
        """A call of another architecture ends the process, whatever its number means there."""
        for other in (0x40000003, 0x40000028, 0, *(set(AUDIT_ARCH.values()) - {AUDIT_ARCH[arch]})):
            for filters in (WORKER, ZYGOTE):
                assert interpret(filters[arch], other, 0) == KILL

    def test_x32(self) -> None:
        """A call of the x32 ABI, and a number below zero, end the process."""
        for nr in (0x40000000, 0x40000001, 0x40000208, -1, 2**31):
            assert interpret(WORKER["x86_64"], AUDIT_ARCH["x86_64"], nr) == KILL

    @both
    def test_jumps_further_than_255(self, arch: Arch) -> None:
        """A program whose jumps are longer than an instruction can say is still right."""
        names = sorted(syscalls.names(arch))
        clauses = {
            name: (Clause((Check(0, tuple(range(40 + index))),), bpf.errno_action(index + 1)),)
            for index, name in enumerate(names[:40])
        }
        rules = Rules({}, clauses)
        program = bpf.assemble(rules, arch)
        assert len(program) > 1000
        for index, name in enumerate(names[:40]):
            nr = syscalls.number(name, arch)
            assert nr is not None
            assert interpret(program.code, AUDIT_ARCH[arch], nr, (39,)) == bpf.errno_action(index + 1)
            assert interpret(program.code, AUDIT_ARCH[arch], nr, (99 + 60,)) == DENY

    def test_too_long(self) -> None:
        """A filter that the kernel wouldn't take is refused when it is compiled."""
        with pytest.raises(ValueError, match="4096"):
            bpf.assemble(Rules({}, {"read": (Clause((Check(0, tuple(range(5000))),)),)}), "x86_64")

    def test_two_rules(self) -> None:
        """Two rules for one call are an error."""
        with pytest.raises(ValueError, match="read"):
            Rules({"read": ALLOW}, {"read": (Clause(()),)})

    @both
    def test_pid_is_patched(self, arch: Arch) -> None:
        """Patching replaces every stand-in for the pid and nothing else."""
        program = seccomp.worker_filter(arch)
        stand_in = bpf.PID.to_bytes(4, "little")
        assert program.code.count(stand_in) == len(program.pid_offsets) > 0
        patched = program.for_pid(PID)
        assert stand_in not in patched
        assert patched.replace(PID.to_bytes(4, "little"), stand_in) == program.code


class TestWorkerRules:
    @both
    @pytest.mark.parametrize(
        "name",
        [
            "socket",
            "connect",
            "bind",
            "listen",
            "accept",
            "accept4",
            "sendmsg",
            "recvmsg",
            "sendmmsg",
            "execve",
            "execveat",
            "fork",
            "vfork",
            "kill",
            "rt_sigqueueinfo",
            "rt_tgsigqueueinfo",
            "pidfd_send_signal",
            "pidfd_open",
            "setpriority",
            "sched_setaffinity",
            "sched_setscheduler",
            "sched_setattr",
            "setrlimit",
            "memfd_create",
            "memfd_secret",
            "shmget",
            "shmat",
            "shmdt",
            "shmctl",
            "semget",
            "msgget",
            "mq_open",
            "truncate",
            "ftruncate",
            "fallocate",
            "rename",
            "renameat",
            "renameat2",
            "link",
            "linkat",
            "symlink",
            "symlinkat",
            "unlink",
            "unlinkat",
            "mkdir",
            "mkdirat",
            "rmdir",
            "mknod",
            "mknodat",
            "creat",
            "chmod",
            "fchmod",
            "fchmodat",
            "chown",
            "fchown",
            "fchownat",
            "lchown",
            "utimensat",
            "setxattr",
            "fsetxattr",
            "removexattr",
            "pwrite64",
            "pwritev",
            "pwritev2",
            "sendfile",
            "splice",
            "tee",
            "vmsplice",
            "copy_file_range",
            "chdir",
            "fchdir",
            "personality",
            "seccomp",
            "landlock_restrict_self",
            "setuid",
            "setgid",
            "setresuid",
            "setresgid",
            "setgroups",
            "capset",
            "mlock",
            "mlockall",
            "mlock2",
            "remap_file_pages",
            "msync",
            "inotify_init1",
            "fanotify_init",
            "timer_create",
            "signalfd4",
            "pipe",
            "epoll_create",
            "eventfd",
            "dup",
            "dup2",
            "dup3",
            "close_range",
            "process_mrelease",
            "set_mempolicy",
            "mbind",
            "migrate_pages",
            "move_pages",
            "arch_prctl",
            "setsid",
            "setpgid",
            "mincore",
            "cachestat",
            "io_submit",
            "io_setup",
            "sync",
            "fsync",
            "wait4",
            "waitid",
            "getitimer",
            "setitimer",
            "alarm",
        ],
    )
    def test_refused(self, arch: Arch, name: str) -> None:
        """A call that reaches out of the process or writes is refused with EPERM, whatever its arguments."""
        if syscalls.number(name, arch) is None:
            assert (arch, syscalls.number(name, "x86_64") is None) == ("aarch64", False)
            return
        for args in ((), (1, 1, 1), (PID,) * 6, (2**64 - 1,) * 6):
            assert ask(arch, name, *args) == DENY

    @both
    def test_hopeless(self, arch: Arch) -> None:
        """Calls that only an attack makes end the process."""
        for name in seccomp.HOPELESS:
            if syscalls.number(name, arch) is not None:
                assert ask(arch, name) == KILL, name

    @both
    @pytest.mark.parametrize(
        "flags",
        [0x01, 0x03, 0x22 | 0x100, 0x22 | 0x40000, 0x22 | 0x2000, 0x21, 0x2 | 0x1],
        ids=["shared", "shared-validate", "growsdown", "hugetlb", "locked", "shared-anonymous", "both"],
    )
    def test_mmap_refused(self, arch: Arch, flags: int) -> None:
        """Memory that RLIMIT_DATA doesn't count can't be mapped."""
        assert ask(arch, "mmap", 0, 4096, 3, flags, 2**64 - 1, 0) == DENY

    @both
    @pytest.mark.parametrize("flags", [0x22, 0x02, 0x20022, 0x4022, 0x32, 0x802], ids=hex)
    def test_mmap_allowed(self, arch: Arch, flags: int) -> None:
        """Private memory, thread stacks and extension modules can be mapped."""
        assert ask(arch, "mmap", 0, 4096, 5, flags, 3, 0) == ALLOW

    @both
    def test_open_read_only(self, arch: Arch) -> None:
        """openat is for reading: each flag that writes, creates, truncates or makes a path descriptor is
        refused.
        """
        assert ask(arch, "openat", -100 & 2**64 - 1, 0x1000, 0o2000000) == ALLOW
        for flag in (1, 2, 3, 0o100, 0o1000, 0o2000, 0o20000000, 0o10000000, 0o20000, 0o4010000, 0o1000000):
            assert ask(arch, "openat", -100 & 2**64 - 1, 0x1000, 0o2000000 | flag) == DENY, oct(flag)

    @both
    def test_clone(self, arch: Arch) -> None:
        """clone makes threads with exactly the flags of C libraries, and never a process or a namespace."""
        assert ask(arch, "clone", 0x3D0F00) == ALLOW
        assert ask(arch, "clone", 0x7D0F00) == ALLOW
        for flags in (17, 0x1200011, 0, 0x10000, 0x100, 0x3D0F00 | 0x10000000, 0x3D0F00 | 0x4000, 0x3C0F00):
            assert ask(arch, "clone", flags) == DENY, hex(flags)
        assert ask(arch, "clone3", 0x1000, 88) == bpf.errno_action(errno.ENOSYS)

    @both
    def test_own_process_only(self, arch: Arch) -> None:
        """tgkill, prlimit64 and sched_getaffinity are about the process itself."""
        assert ask(arch, "tgkill", PID, PID + 1, 0) == ALLOW
        for other in (0, 1, PID - 1, -1 & 2**64 - 1, -PID & 2**64 - 1):
            assert ask(arch, "tgkill", other, 5, 0) == DENY
            assert ask(arch, "tkill", other, 5) == DENY
        assert ask(arch, "tkill", PID, 6) == ALLOW
        assert ask(arch, "prlimit64", 0, 7, 0, 0x1000) == ALLOW
        assert ask(arch, "prlimit64", PID, 7, 0, 0x1000) == ALLOW
        assert ask(arch, "prlimit64", 1, 7, 0, 0x1000) == DENY
        for pointer in (0x1000, 2**32, 2**47):
            assert ask(arch, "prlimit64", 0, 7, pointer, 0) == DENY, hex(pointer)
        assert ask(arch, "sched_getaffinity", 0) == ALLOW
        assert ask(arch, "sched_getaffinity", 1) == bpf.errno_action(errno.ENOSYS)

    @both
    def test_event_loops(self, arch: Arch) -> None:
        """A worker makes descriptors to wait on and pairs that lead to itself; it names no address and no family."""
        for name in (
            "epoll_create1",
            "epoll_ctl",
            "epoll_pwait",
            "eventfd2",
            "pipe2",
            "timerfd_create",
            "timerfd_settime",
        ):
            assert ask(arch, name) == ALLOW, name
        for kind in (1, 5, 1 | 0o2000000 | 0o4000):
            assert ask(arch, "socketpair", 1, kind, 0, 0x1000) == ALLOW, kind
        for family, kind in ((2, 1), (10, 1), (16, 3), (1, 2), (1, 3), (0, 1)):
            assert ask(arch, "socketpair", family, kind, 0, 0x1000) == DENY, (family, kind)
        for option in (7, 8):  # the size of its buffers stays: SO_SNDBUF, SO_RCVBUF
            assert ask(arch, "setsockopt", 3, 1, option, 0x1000, 4) == bpf.errno_action(0), option
        for level, option in ((1, 32), (1, 33), (1, 13), (1, 26), (6, 1), (0, 7), (41, 8)):
            assert ask(arch, "setsockopt", 3, level, option, 0x1000, 4) == DENY, (level, option)
        assert ask(arch, "recvfrom", 3, 0x1000, 1, 0, 0, 0) == ALLOW
        assert ask(arch, "sendto", 3, 0x1000, 1, 0, 0, 0) == ALLOW
        for address in (0x1000, 2**32, 2**47):
            assert ask(arch, "sendto", 3, 0x1000, 1, 0, address, 16) == DENY, hex(address)
        assert ask(arch, "sendto", 3, 0x1000, 1, 0x4000, 0, 0) == ALLOW
        assert ask(arch, "sendto", 3, 0x1000, 1, 0x4001, 0, 0) == DENY  # MSG_OOB
        assert ask(arch, "pipe2", 0x1000, 0o2004000) == ALLOW
        for flag in (0o200, 0o40000):  # O_NOTIFICATION_PIPE, O_DIRECT
            assert ask(arch, "pipe2", 0x1000, 0o2000000 | flag) == DENY, oct(flag)

    @both
    def test_prctl(self, arch: Arch) -> None:
        """prctl names threads and memory; nothing that undoes a layer."""
        assert ask(arch, "prctl", 15, 0x1000) == ALLOW
        for option in (1, 4, 8, 22, 23, 24, 28, 35, 38, 47, 53, 67, 0x59616D61):
            assert ask(arch, "prctl", option) == DENY, option

    @both
    def test_descriptors(self, arch: Arch) -> None:
        """ioctl and fcntl query terminals and set descriptor flags; no terminal input, owners, leases or
        seals.
        """
        assert ask(arch, "ioctl", 1, 0x5401) == ALLOW
        for request in (0x5412, 0x541B, 0x8901, 0x40045431, 0x5402, 0x540E):
            assert ask(arch, "ioctl", 0, request) == DENY, hex(request)
        assert ask(arch, "fcntl", 1, 3) == ALLOW
        for command in (4, 6, 7, 8, 10, 1024, 1025, 1026, 1031, 1033):
            assert ask(arch, "fcntl", 1, command) == DENY, command

    @both
    def test_clocks(self, arch: Arch) -> None:
        """The clocks can be read and slept on; processor clocks of other processes (negative ids) can't."""
        for call in ("clock_gettime", "clock_getres", "clock_nanosleep"):
            assert ask(arch, call, 1) == ALLOW
            assert ask(arch, call, (~1 << 3) & 2**64 - 1) == bpf.errno_action(errno.EINVAL)

    @both
    def test_memory_barriers(self, arch: Arch) -> None:
        """Barriers are for the threads of the process itself."""
        for command in (0, 8, 16, 32, 64):
            assert ask(arch, "membarrier", command) == ALLOW
        for command in (1, 2, 4, 128, 256, 512):
            assert ask(arch, "membarrier", command) == bpf.errno_action(errno.EINVAL)

    @both
    def test_madvise(self, arch: Arch) -> None:
        """Page merging, which tells by its timing what other processes hold, isn't known."""
        assert ask(arch, "madvise", 0x1000, 4096, 4) == ALLOW
        for advice in (12, 9, 100, 101):
            assert ask(arch, "madvise", 0x1000, 4096, advice) == bpf.errno_action(errno.EINVAL)

    @both
    def test_page_cache(self, arch: Arch) -> None:
        """Whether a file is in memory can't be asked, nor can it be thrown out, or put elsewhere: reads take no flags
        (which would tell, RWF_NOWAIT, or evict, RWF_DONTCACHE), advice does nothing.
        """
        assert ask(arch, "preadv2", 3, 0x1000, 1, 0, 0, 0) == ALLOW
        for flags in (1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x8000_0000):
            assert ask(arch, "preadv2", 3, 0x1000, 1, 0, 0, flags) == bpf.errno_action(errno.EOPNOTSUPP), hex(flags)
        for advice in range(6):
            assert ask(arch, "fadvise64", 3, 0, 0, advice) == bpf.errno_action(0), advice
        for advice in (20, 21, 25):  # MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE
            assert ask(arch, "madvise", 0x1000, 4096, advice) == bpf.errno_action(errno.EINVAL)

    @both
    @pytest.mark.parametrize("flags", [0, 0x80, 0x100, 0x180], ids=hex)
    def test_futex(self, arch: Arch, flags: int) -> None:
        """Locks, conditions and semaphores wait and wake; the priority-inheriting kinds, full of kernel holes, are not
        there.
        """
        for operation in (0, 1, 3, 4, 5, 9, 10):
            assert ask(arch, "futex", 0x1000, operation | flags) == ALLOW, operation
        for operation in (2, 6, 7, 8, 11, 12, 13, 14, 0x200, 0x40):
            assert ask(arch, "futex", 0x1000, operation | flags) == bpf.errno_action(errno.ENOSYS), operation

    @both
    def test_io_uring(self, arch: Arch) -> None:
        """Who probes for io_uring hears that there is none; who goes on to use it is ended."""
        assert ask(arch, "io_uring_setup", 8, 0x1000) == bpf.errno_action(errno.ENOSYS)
        assert ask(arch, "io_uring_enter", 3) == KILL


class TestZygoteRules:
    @both
    @settings(database=None)
    @given(data=st.data())
    def test_weaker_than_the_workers(self, arch: Arch, data: st.DataObject) -> None:
        """Whatever a worker may do, the baseline under it lets through."""
        name = data.draw(st.sampled_from(sorted(syscalls.names(arch))))
        args = tuple(
            data.draw(st.lists(st.sampled_from([0, 1, 2, 17, PID, 0x3D0F00, 1030, 2**40]), min_size=6, max_size=6))
        )
        if ask(arch, name, *args) == ALLOW:
            assert ask(arch, name, *args, filters=ZYGOTE) == ALLOW

    @both
    def test_its_work(self, arch: Arch) -> None:
        """The zygote can fork, pair Unix sockets, hand descriptors over and restrict its children."""
        for name in [
            "sendmsg",
            "recvmsg",
            "pidfd_open",
            "wait4",
            "waitid",
            "close_range",
            "prlimit64",
            "seccomp",
            "landlock_restrict_self",
        ]:
            assert ask(arch, name, filters=ZYGOTE) == ALLOW, name
        assert ask(arch, "clone", 0x1200011, filters=ZYGOTE) == ALLOW
        assert ask(arch, "socketpair", 1, 0o2000001, filters=ZYGOTE) == ALLOW

    @both
    def test_of_musl(self, arch: Arch) -> None:
        """musl forks by fork(2) where there is one, and tells the kernel anew where a child's thread id lies."""
        if arch == "x86_64":
            assert ask(arch, "fork", filters=ZYGOTE) == ALLOW
            assert ask(arch, "fork") == DENY
        assert ask(arch, "clone", 17, filters=ZYGOTE) == ALLOW
        for filters in (WORKER, ZYGOTE):
            assert ask(arch, "set_tid_address", 0x1000, filters=filters) == ALLOW

    @both
    def test_not_its_work(self, arch: Arch) -> None:
        """The zygote can't exec, open sockets, write files, make namespaces or share memory either."""
        for name in [
            "execve",
            "execveat",
            "socket",
            "connect",
            "bind",
            "shmget",
            "unlinkat",
            "renameat2",
            "kill",
        ]:
            assert ask(arch, name, filters=ZYGOTE) == DENY, name
        # memory for a worker's prints, of which the worker can make none
        assert ask(arch, "memfd_create", 0x1000, 1, filters=ZYGOTE) == ALLOW
        assert ask(arch, "memfd_create", 0x1000, 5, filters=ZYGOTE) == DENY  # in huge pages
        assert ask(arch, "mmap", 0, 4096, 3, 0x01, 7, filters=ZYGOTE) == ALLOW
        assert ask(arch, "mmap", 0, 4096, 7, 0x01, 7, filters=ZYGOTE) == DENY
        for name, arguments in (("memfd_create", (0x1000, 1)), ("mmap", (0, 4096, 3, 0x01, 7)), ("ftruncate", (7, 1))):
            assert ask(arch, name, *arguments, filters=WORKER) == DENY, name
        assert ask(arch, "unshare", 0x10000000, filters=ZYGOTE) == KILL
        assert ask(arch, "socketpair", 2, 1, filters=ZYGOTE) == DENY
        assert ask(arch, "clone", 0x10000011, filters=ZYGOTE) == DENY
        assert ask(arch, "openat", 0, 0x1000, 0o101, filters=ZYGOTE) == DENY
        assert ask(arch, "openat", 0, 0x1000, 2, filters=ZYGOTE) == ALLOW  # /dev/null, for a worker; see Landlock
        assert ask(arch, "openat", 0, 0x1000, 0o1002, filters=ZYGOTE) == DENY
        assert ask(arch, "mmap", 0, 4096, 3, 0x21, filters=ZYGOTE) == DENY


FILTERED = """
from reptarium.sandbox.kernel import privileges, seccomp, syscalls
import threading
privileges.no_new_privs()
seccomp.install(seccomp.zygote_filter(syscalls.machine()))
if worker:
    seccomp.install(seccomp.worker_filter(syscalls.machine()))
"""


class TestForReal:
    pytestmark = pytest.mark.usefixtures("kernel_layer")

    def test_refusals(self) -> None:
        """Under both filters the kernel refuses processes, sockets, writes and shared memory with EPERM;
        threads run.
        """
        code = (
            FILTERED
            + """
ran = []
thread = threading.Thread(target=lambda: ran.append(1)); thread.start(); thread.join()
import mmap
report({
    "fork": outcome(os.fork),
    "socket": outcome(socket.socket),
    "write": outcome(open, "/tmp/reptarium-unit", "w"),
    "exec": outcome(os.execv, "/bin/true", ["true"]),
    "kill": outcome(os.kill, os.getppid(), 0),
    "shared": outcome(mmap.mmap, -1, 4096),
    "clone3": errno.errorcode[syscalls.try_call("clone3", 0, 0)[1]],
    "memfd": outcome(os.memfd_create, "x"),
    "self": outcome(signal.raise_signal, signal.SIGCONT),
    "thread": ran,
})
"""
        )
        answers, status = child(code, worker=True)
        assert status == 0
        assert answers.pop("thread") == [1]
        assert answers.pop("self") == "done"
        assert answers.pop("clone3") == "ENOSYS"
        assert set(answers.values()) == {"EPERM"}, answers

    @pytest.mark.parametrize("name", ["ptrace", "process_vm_readv", "bpf", "io_uring_enter", "unshare", "keyctl"])
    def test_kills(self, name: str) -> None:
        """A hopeless call ends the process with SIGSYS."""
        answers, status = child(
            FILTERED + "syscalls.try_call(name, 0, 0, 0)\nreport('survived')", worker=True, name=name
        )
        assert (answers, status) == (None, -signal.SIGSYS)

    @pytest.mark.skipif(syscalls.machine() != "x86_64", reason="x32 is an ABI of x86-64")
    def test_x32(self) -> None:
        """An x32 call ends the process, by the filter or because the kernel has no such ABI at all."""
        answers, status = child(
            FILTERED + "syscalls.libc.syscall(0x40000000 + 39, 0, 0, 0, 0, 0)\nreport('survived')",
            worker=True,
        )
        assert (answers, status) == (None, -signal.SIGSYS)

    def test_zygote_can_fork(self) -> None:
        """Under the baseline alone a child can be made and waited for, and nothing can be executed."""
        code = (
            FILTERED
            + """
pid = os.fork()
if pid == 0:
    os._exit(7)
report([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), outcome(os.execv, "/bin/true", ["true"])])
"""
        )
        assert child(code, worker=False) == ([7, "EPERM"], 0)

    def test_needs_no_new_privs(self) -> None:
        """Without no_new_privs and without privilege the kernel doesn't take a filter: an OSError that
        names the call.
        """
        code = """
from reptarium.sandbox.kernel import privileges, seccomp, syscalls
privileges.CapabilitySet().apply()
try:
    seccomp.install(seccomp.worker_filter(syscalls.machine()))
except OSError as error:
    report([errno.errorcode[error.errno], str(error)])
"""
        (name, text), status = child(code)
        assert (name, status) == ("EACCES", 0)
        assert "seccomp" in text
