"""Nothing to reach: each attack is tried natively from inside a worker, in each configuration, and
judged from inside and outside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from arena import AS_ROOT, BELOW_TMP, MARK, NOBODY, PRELUDE, PYTHON, ROOT, Bystanders, arena, bystanders, configurations

from reptarium.pool.workers.configuration import zygote_config
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import syscalls
from tests.conftest import make_settings
from tests.limits import fail_after, within

pytestmark = pytest.mark.usefixtures("kernel_layer")

#: As in a stock container; with all that this machine permits; with one user id per worker.
CONFIGURATIONS: dict[str, dict[str, Any]] = {"stock": {"namespaces": "off"}, "full": {}}
if AS_ROOT:
    CONFIGURATIONS["own-uids"] = {"namespaces": "off", "worker_uids": (70000, 70999)}

#: The same attacks from above: as tasks of the language mode that guards nothing.
CONFIGURATIONS["python"] = {"language": PYTHON}
#: With a directory of their own to write in: beside it nothing more is reached.
CONFIGURATIONS["scratch"] = {"scratch_bytes": 2**20}
CONFIGURATIONS["python with scratch"] = {"language": PYTHON, "scratch_bytes": 2**20}

REFUSED = {"EPERM"}
UNREADABLE = {"EPERM", "EACCES", "ENOENT"}
KILLED = {"SIGSYS"}
NO_CALL = {"ENOSYS"}

# name → (expression or statements that give the answer, answers that are right). In scope: the prelude of
# `arena`, and victim, supervisor, zygote, sibling (pids), directory, port, abstract, root.
READS = {
    "passwd": 'attempt(open, "/etc/passwd")',
    "shadow": 'attempt(open, "/etc/shadow")',
    "own source": 'attempt(open, root + "/sandbox/process/worker.py")',
    "supervisor's source": 'attempt(open, root + "/pool/workers/pool.py")',
    "configuration": 'attempt(open, root + "/pyproject.toml")',
    "history": 'attempt(open, root + "/.git/HEAD")',
    "a file that all may read": 'attempt(open, directory + "/target")',
    "the root directory": 'attempt(os.listdir, "/")',
    "home": 'attempt(os.listdir, "/root")',
    "/tmp": 'attempt(os.listdir, "/tmp")',
    "/dev/shm": 'attempt(os.listdir, "/dev/shm")',
    "/proc": 'attempt(os.listdir, "/proc")',
    "/sys": 'attempt(os.listdir, "/sys")',
    "own environ": 'attempt(open, "/proc/self/environ")',
    "own memory": 'attempt(open, "/proc/self/mem")',
    "own maps": 'attempt(open, "/proc/self/maps")',
    "own descriptors": 'attempt(os.listdir, "/proc/self/fd")',
    "init": 'attempt(open, "/proc/1/cmdline")',
    "kernel log": 'attempt(open, "/dev/kmsg")',
    "a path descriptor": 'attempt(os.open, "/etc", os.O_PATH)',
    "current directory": 'attempt(open, "etc/passwd")',
    "through a symlink": 'attempt(open, directory + "/../../etc/passwd")',
    **{
        f"{file} of {who}": f'attempt(open, f"/proc/{{{who}}}/{file}", "rb")'
        for who in ("supervisor", "zygote", "sibling", "victim")
        for file in ("environ", "mem", "maps", "cmdline", "stat")
    },
    **{
        f"{link} of {who}": f'attempt(os.readlink, f"/proc/{{{who}}}/{link}")'
        for who in ("supervisor", "zygote", "sibling")
        for link in ("exe", "cwd", "root", "ns/net", "fd/0")
    },
    **{
        f"descriptors of {who}": f'all_of(attempt(os.open, f"/proc/{{{who}}}/fd/{{n}}", os.O_RDONLY) for n in range(64))'
        for who in ("supervisor", "zygote", "sibling")
    },
}

WRITES = {
    "create": 'attempt(open, directory + "/new", "w")',
    "overwrite": 'attempt(open, directory + "/target", "r+")',
    "append": 'attempt(open, directory + "/target", "a")',
    "unnamed file": "attempt(os.open, directory, os.O_TMPFILE | os.O_RDWR)",
    "null device": 'attempt(open, "/dev/null", "w")',
    "/tmp": f'attempt(open, "/tmp/{MARK}", "w")',
    "/dev/shm": f'attempt(open, "/dev/shm/{MARK}", "w")',
    "creat": 'raw("creat", text(directory + "/new"), 0o666)',
    "mkdir": 'attempt(os.mkdir, directory + "/new")',
    "fifo": 'attempt(os.mkfifo, directory + "/new")',
    "device": 'attempt(os.mknod, directory + "/new", 0o020666, os.makedev(1, 3))',
    "symlink": 'attempt(os.symlink, "/etc/passwd", directory + "/new")',
    "link": 'attempt(os.link, directory + "/target", directory + "/new")',
    "rename": 'attempt(os.rename, directory + "/target", directory + "/new")',
    "renameat2": 'raw("renameat2", -100, text(directory + "/target"), -100, text(directory + "/new"), 0)',
    "unlink": 'attempt(os.unlink, directory + "/target")',
    "rmdir": 'attempt(os.rmdir, directory + "/empty")',
    "truncate": 'attempt(os.truncate, directory + "/target", 0)',
    "chmod": 'attempt(os.chmod, directory + "/target", 0o600)',
    "fchmodat2": 'raw("fchmodat2", -100, text(directory + "/target"), 0o600, 0)',
    "chown": 'attempt(os.chown, directory + "/target", 0, 0)',
    "utime": 'attempt(os.utime, directory + "/target", (1, 1))',
    "xattr": 'attempt(os.setxattr, directory + "/target", "user.x", b"1")',
    "memfd": 'attempt(os.memfd_create, "x")',
    "memfd_secret": 'raw("memfd_secret", 0)',
    "shared anonymous mapping": 'raw("mmap", 0, 4096, 3, 0x21, -1, 0)',
    "shared file mapping": 'raw("mmap", 0, 4096, 1, 0x01, 0, 0)',
    "stack-like mapping": 'raw("mmap", 0, 4096, 3, 0x122, -1, 0)',
    "System V memory": 'raw("shmget", 7271, 4096, 0o1666)',
    "System V semaphores": 'raw("semget", 7271, 1, 0o1666)',
    "System V queue": 'raw("msgget", 7271, 0o1666)',
    "POSIX queue": 'raw("mq_open", text("reptarium"), 0o102, 0o666, 0)',
    "mount": ('raw("mount", text("none"), text(directory), text("tmpfs"), 0, 0)', KILLED),
    "openat2": ('raw("openat2", -100, text(directory + "/new"), text(bytes(24)), 24)', NO_CALL),
    "ftruncate": 'raw("ftruncate", 1, 4096)',
    "fallocate": 'raw("fallocate", 1, 0, 0, 4096)',
    "pwrite": 'raw("pwrite64", 1, text("x"), 1, 0)',
}

# address family and socket type by number: not every Python was built with all names
FAMILIES = {
    "AF_UNIX": (1, 1),
    "AF_INET": (2, 1),
    "AF_INET6": (10, 1),
    "AF_NETLINK": (16, 3),
    "AF_PACKET": (17, 3),
}
FAMILIES |= {
    "AF_CAN": (29, 3),
    "AF_TIPC": (30, 1),
    "AF_BLUETOOTH": (31, 3),
    "AF_ALG": (38, 5),
    "AF_VSOCK": (40, 1),
}
SOCKETS = {
    **{family: f'raw("socket", {number}, {kind}, 0)' for family, (number, kind) in FAMILIES.items()},
    "every family by number": 'all_of(raw("socket", family, kind, 0) for family in range(46) for kind in (1, 2, 3, 5))',
    "pair": 'raw("socketpair", 2, 1, 0, text(bytes(8)))',
    "pair of datagrams": 'raw("socketpair", 1, 2, 0, text(bytes(8)))',
    "TCP": 'attempt(lambda: socket.socket().connect(("127.0.0.1", port)))',
    "UDP": 'raw("socket", 2, 2, 17)',
    "connect on own socket": 'raw("connect", channel.fd, text(struct.pack("=H", 1) + b"\\0" + abstract.encode()), 3 + len(abstract))',
    "bind": 'raw("bind", channel.fd, text(struct.pack("=H", 1) + b"\\0mine"), 7)',
    "listen": 'raw("listen", channel.fd, 1)',
    "accept": 'raw("accept4", channel.fd, 0, 0, 0)',
    "send descriptors": 'raw("sendmsg", channel.fd, text(bytes(56)), 0)',
    "receive descriptors": 'raw("recvmsg", channel.fd, text(bytes(56)), 0)',
    "urgent data": 'raw("sendto", socket.socketpair()[0].detach(), text("x"), 1, 1, 0, 0)',
    "a pipe for notifications": 'raw("pipe2", text(bytes(8)), 0o200)',
    "sendto": 'raw("sendto", channel.fd, text("x"), 1, 0, text(struct.pack("=H", 1) + b"\\0" + abstract.encode()), 3 + len(abstract))',
    "peer's credentials": 'raw("getsockopt", channel.fd, 1, 17, text(bytes(12)), text(struct.pack("=i", 12)))',
    "raw IP": 'raw("socket", 2, 3, 1)',
    "io_uring": ('raw("io_uring_setup", 1, text(bytes(120)))', NO_CALL),
    "io_uring enter": ('raw("io_uring_enter", 0, 1, 0, 0, 0, 0)', KILLED),
}

EXEC = {
    "execve": 'attempt(os.execv, "/bin/true", ["true"])',
    "interpreter": "attempt(os.execv, sys.executable, [sys.executable])",
    "execveat": 'raw("execveat", -100, text("/bin/true"), 0, 0, 0)',
    "execveat by descriptor": 'raw("execveat", 0, text(""), 0, 0, 0x1000)',
    "loader": 'attempt(os.execv, "/lib64/ld-linux-x86-64.so.2", ["ld", "/bin/true"])',
    "subprocess": 'attempt(__import__("subprocess").Popen, ["/bin/true"], close_fds=False)',
    "posix_spawn": 'attempt(os.posix_spawn, "/bin/true", ["true"], {})',
    "fork": "attempt(os.fork)",
    "vfork": 'raw("vfork")',
    "clone": 'raw("clone", 17, 0, 0, 0, 0)',
    "clone of memory": 'raw("clone", 0x100 | 17, 0, 0, 0, 0)',
    "clone as a sibling": 'raw("clone", 0x8000 | 17, 0, 0, 0, 0)',
    "clone with a namespace": 'raw("clone", 0x10000000 | 17, 0, 0, 0, 0)',
    "clone untraced": 'raw("clone", 0x800000 | 17, 0, 0, 0, 0)',
    "clone3": ('raw("clone3", text(struct.pack("=11Q", 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)), 88)', NO_CALL),
}

WHOM = ("supervisor", "zygote", "sibling", "victim", "-1", "0", "1", "-zygote")
SIGNALS = {
    **{f"kill {who}": f"attempt(os.kill, {who}, signal.SIGCONT)" for who in WHOM},
    **{f"kill {who} with nothing": f"attempt(os.kill, {who}, 0)" for who in WHOM},
    **{f"tgkill {who}": f'raw("tgkill", {who}, {who}, 18)' for who in WHOM},
    **{f"tkill {who}": f'raw("tkill", {who}, 18)' for who in WHOM},
    "sigqueue": 'raw("rt_sigqueueinfo", victim, 18, text(struct.pack("=iii", 18, 0, -1) + bytes(116)))',
    "tgsigqueue": 'raw("rt_tgsigqueueinfo", victim, victim, 18, text(struct.pack("=iii", 18, 0, -1) + bytes(116)))',
    "pidfd_open": 'raw("pidfd_open", victim, 0)',
    "pidfd_send_signal": 'raw("pidfd_send_signal", channel.fd, 18, 0, 0)',
    "process_mrelease": 'raw("process_mrelease", channel.fd, 0)',
    "signal by descriptor owner": 'raw("fcntl", channel.fd, 8, victim)',
    "signal number of a descriptor": 'raw("fcntl", channel.fd, 10, 18)',
    "owner by ioctl": 'raw("ioctl", channel.fd, 0x8901, text(struct.pack("=i", victim)))',
    "terminal input": 'raw("ioctl", 0, 0x5412, text("x"))',
    "timer": 'raw("timer_create", 0, 0, text(bytes(8)))',
}

OTHERS = {
    "priority of the victim": "attempt(os.setpriority, os.PRIO_PROCESS, victim, 5)",
    "priority of a user": "attempt(os.setpriority, os.PRIO_USER, 0, 5)",
    "own priority": "attempt(os.nice, 1)",
    "affinity": "attempt(os.sched_setaffinity, victim, {0})",
    "affinity asked": ("attempt(os.sched_getaffinity, victim)", NO_CALL),
    "scheduler": 'raw("sched_setscheduler", victim, 3, text(bytes(4)))',
    "scheduler attributes": 'raw("sched_setattr", victim, text(bytes(56)), 0)',
    "limits of the victim": 'raw("prlimit64", victim, 7, text(struct.pack("=QQ", 5, 5)), 0)',
    "limits of the victim asked": 'raw("prlimit64", victim, 7, 0, text(bytes(16)))',
    "own limits": 'raw("prlimit64", 0, 7, text(struct.pack("=QQ", 5, 5)), 0)',
    "own limits by the old call": 'raw("setrlimit", 2, text(struct.pack("=QQ", 2**40, 2**40)))',
    "I/O priority": 'raw("ioprio_set", 1, victim, 0)',
    "pages of the victim": 'raw("move_pages", victim, 0, 0, 0, 0, 0)',
    "migration": 'raw("migrate_pages", victim, 64, text(bytes(8)), text(bytes(8)))',
    "processor clock of the victim": (
        'raw("clock_gettime", (~victim << 3) | 2, text(bytes(16)))',
        {"EINVAL"},
    ),
    "processor clock of the victim slept on": (
        'raw("clock_nanosleep", (~victim << 3) | 2, 1, text(bytes(16)), 0)',
        {"EINVAL"},
    ),
    # the second is answered in another worker than the first
    "flags of its standard streams": (
        'all_of(raw("ioctl", fd, 0x5421, text("\\1\\0\\0\\0")) for fd in range(3))',
        {"done"},
    ),
    "flags of another's standard streams": (
        'all_of(str(__import__("fcntl").fcntl(fd, 3) & os.O_NONBLOCK) for fd in range(3))',
        {"0"},
    ),
    "barriers of everybody": ('all_of(raw("membarrier", command, 0, 0) for command in (1, 2, 4))', {"EINVAL"}),
    "futexes of the victim": 'raw("get_robust_list", victim, text(bytes(8)), text(bytes(8)))',
    "session": "attempt(os.setsid)",
    "process group": "attempt(os.setpgid, 0, 0)",
    "ptrace": ('raw("ptrace", 16, victim, 0, 0)', KILLED),
    "ptrace seize": ('raw("ptrace", 0x4206, sibling, 0, 0)', KILLED),
    "ptrace me": ('raw("ptrace", 0, 0, 0, 0)', KILLED),
    "process_vm_readv": ('raw("process_vm_readv", sibling, 0, 0, 0, 0, 0)', KILLED),
    "process_vm_writev": ('raw("process_vm_writev", victim, 0, 0, 0, 0, 0)', KILLED),
    "pidfd_getfd": ('raw("pidfd_getfd", channel.fd, 3, 0)', KILLED),
    "kcmp": ('raw("kcmp", sibling, zygote, 0, 3, 3)', KILLED),
    "process_madvise": ('raw("process_madvise", channel.fd, 0, 0, 21, 0)', KILLED),
}

MACHINE = {
    **{
        name: (f'raw("{name}", 0, 0, 0, 0, 0)', KILLED)
        for name in ["umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsmount", "mount_setattr", "unshare", "setns", "chroot", "bpf", "perf_event_open", "keyctl", "add_key", "request_key", "userfaultfd", "quotactl", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "open_by_handle_at", "name_to_handle_at", "reboot", "swapon", "acct", "syslog", "sethostname", "settimeofday", "clock_settime", "adjtimex", "iopl", "ioperm", "modify_ldt"]
        if syscalls.number(name, syscalls.machine() or "x86_64") is not None
    },
    "personality": 'raw("personality", 0x0040000)',
    "fanotify": 'raw("fanotify_init", 0, 0)',
    "inotify": 'raw("inotify_init1", 0)',
    "user id": "attempt(os.setuid, 0)",
    "user ids": "attempt(os.setresuid, 0, 0, 0)",
    "group id": "attempt(os.setgid, 0)",
    "groups": "attempt(os.setgroups, [0])",
    "capabilities": 'raw("capset", text(struct.pack("=Ii", 0x20080522, 0)), text(b"\\xff" * 24))',
    "another filter": 'raw("seccomp", 1, 0, 0)',
    "what is in the page cache": 'numbered(syscalls.number("mincore", syscalls.machine()), 0, 4096, text(bytes(8)))',
    "what is in the page cache, by reading": ('raw("preadv2", 0, 0, 0, 0, 0, 8)', {"ENOTSUP"}),
    "a lock that inherits priorities": ('raw("futex", text(bytes(8)), 6, 0, 0, 0, 0)', NO_CALL),
    "another Landlock ruleset": 'raw("landlock_create_ruleset", 0, 0, 1)',
    "locked memory": 'raw("mlockall", 3)',
    "page cache": 'raw("mincore", 0, 4096, 0)',
    **{
        f"prctl {name}": f'raw("prctl", {option}, {value}, 0, 0, 0)'
        for name, option, value in (
            ("dumpable", 4, 1), ("parent death", 1, 0), ("no_new_privs", 38, 0), ("seccomp", 22, 1), ("ptracer", 0x59616D61, -1),
            ("keepcaps", 8, 1), ("securebits", 28, 0), ("bounding set", 24, 1), ("mm", 35, 8), ("subreaper", 36, 1),
            ("ambient", 47, 2), ("speculation", 53, 0), ("memory merging", 67, 1), ("timestamp counter", 26, 2),
        )
    },
}  # fmt: skip

if syscalls.machine() == "x86_64":
    MACHINE["x32 call"] = ("numbered(0x40000000 | 39)", KILLED)
    MACHINE["call of the 32-bit architecture"] = (
        # mov eax, 20 (getpid); int 0x80; ret. A kernel without 32-bit emulation answers the trap with
        # SIGSEGV.
        'memory = __import__("mmap").mmap(-1, 4096, 2, 7)\n'
        "memory.write(bytes.fromhex('b814000000cd80c3'))\n"
        "result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()",
        {"SIGSYS", "SIGSEGV"},
    )

CASES: list[tuple[str, str, set[str]]] = []
for group, cases, usual in (
    ("read", READS, UNREADABLE),
    ("write", WRITES, UNREADABLE),
    ("socket", SOCKETS, REFUSED),
    ("exec", EXEC, REFUSED),
    ("signal", SIGNALS, REFUSED),
    ("other", OTHERS, REFUSED),
    ("machine", MACHINE, REFUSED),
):
    for case, what in cases.items():
        expression, right = (what, usual) if isinstance(what, str) else what
        CASES.append((f"{group}: {case}", expression, right))


#: With a scratch directory: answers besides those above.
WITH_SCRATCH = {
    "write: chmod": {"done"},
    "write: utime": {"done"},
    "write: xattr": {"ENOTSUP", "EOPNOTSUPP"},  # of file systems that have none
    "write: ftruncate": {"EINVAL"},
    "write: pwrite": {"done"},
    "write: shared file mapping": {"ENODEV"},  # of /dev/null, which is no file
    "read: /tmp": {"done"},
    "write: /tmp": {"EROFS" if BELOW_TMP else "done"},
    "write: /dev/shm": {"EROFS"},  # a read-only root refuses first
}

#: Attacks whose call is carried out, and why that reaches no other task, no file, no network, no process and not the
#: supervisor. test_verdicts.py wants a reason for each; what is outside is looked at in any case (Bystanders).
HARMLESS = {
    "other: flags of its standard streams": (
        "its standard streams are open files of its own: the next case asks another worker, which finds no flag set"
    ),
    "other: flags of another's standard streams": "it is told of its own streams, on which nobody has set a flag",
    "write: chmod": "the filter answers success and the kernel does nothing: the target's mode is as it was",
    "write: utime": "the filter answers success and the kernel does nothing: the target's times are as they were",
    "write: pwrite": "descriptor 1 is /dev/null: no file gets longer",
    "read: /tmp": "in a mount namespace /tmp is the task's own directory, which only it sees and which goes with it",
    "write: /tmp": "in a mount namespace /tmp is the task's own directory: no mark is left in the machine's",
}


class Outcome:
    """What all attacks of one configuration got to see, and what the bystanders looked like after them."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self.sibling: dict[str, str] = {}
        self.sibling_answer: Any = None
        self.zygote_alive = False
        self.scratch = False


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def _attack_all(isolation: dict[str, Any], targets: Bystanders) -> Outcome:
    outcome = Outcome()
    outcome.scratch = "scratch_bytes" in isolation
    with fail_after(180):
        async with arena(**isolation) as place:
            sibling = await place.pool.lease()
            zygote = _parent(sibling.pid)
            for name, code, _ in CASES:
                outcome.answers[name] = await place.attack(
                    code if "result =" in code else f"result = {code}",
                    victim=targets.victim,
                    supervisor=targets.supervisor,
                    zygote=zygote,
                    sibling=sibling.pid,
                    directory=targets.directory,
                    port=targets.port,
                    abstract=targets.abstract,
                    root=str(ROOT),
                )
            outcome.sibling = _status(sibling.pid)
            outcome.zygote_alive = _exists(zygote)
            # parked again, hence next in turn before long: it must still do its work
            place.pool.give_back(sibling)
            outcome.sibling_answer = [await place.attack("result = 6 * 7") for _ in range(4)]
    outcome.before, outcome.after = targets.before, targets.facts()
    return outcome


@pytest.fixture(scope="module", params=configurations(CONFIGURATIONS))
def outcome(request: pytest.FixtureRequest) -> Iterator[Outcome]:
    """All attacks in one configuration, each in a worker of its own; made once."""
    with bystanders() as targets:
        yield trio.run(_attack_all, CONFIGURATIONS[request.param], targets)


@pytest.mark.parametrize(
    ("name", "right"), [(name, right) for name, _, right in CASES], ids=[case[0] for case in CASES]
)
def test_refused(outcome: Outcome, name: str, right: set[str]) -> None:
    """The attack sees a refusal (or is ended), and nothing else."""
    answer = outcome.answers[name]
    if answer == "no such call here":
        assert syscalls.machine() == "aarch64"
        return
    assert isinstance(answer, str), answer
    if outcome.scratch:
        right = right | WITH_SCRATCH.get(name, set())
    assert answer in right or set(answer.split()) <= right, answer


def test_attacks_are_real() -> None:
    """Without the sandbox, as the same user, these attacks work: a refusal above is the sandbox's and not
    the attack's fault.
    """
    harmless = [
        "read: passwd",
        "read: a file that all may read",
        "read: own maps",
        "read: cmdline of victim",
        "write: overwrite",
    ]
    harmless += [
        "write: memfd",
        "write: shared anonymous mapping",
        "socket: AF_INET",
        "exec: subprocess",
    ]
    harmless += [
        "signal: kill victim",
        "signal: pidfd_open",
        "other: priority of the victim",
        "other: affinity",
        "other: processor clock of the victim slept on",
        "other: barriers of everybody",
        "exec: fork",
    ]
    harmless += [
        "write: chmod",
        "write: mkdir",
        "socket: TCP",
        "machine: another Landlock ruleset",
        "machine: prctl dumpable",
    ]
    code = {name: what for name, what, _ in CASES}
    with bystanders() as targets:
        os.chmod(targets.directory, 0o777)
        if AS_ROOT:
            os.chown(Path(targets.directory, "target"), NOBODY, NOBODY)
        facts = {"victim": targets.victim, "directory": targets.directory, "port": targets.port}
        steps = (
            f"answer = {code[name]}\nif os.getpid() != own: os._exit(0)\nanswers[{name!r}] = answer"
            for name in harmless
        )
        program = "\n".join((PRELUDE, f"globals().update({facts!r})", "own, answers = os.getpid(), {}", *steps))
        if AS_ROOT:  # imports first: the user may not reach this interpreter
            program = f"import encodings.idna, subprocess\n{PRELUDE}\nos.setgroups([]); os.setresgid(*[{NOBODY}] * 3); os.setresuid(*[{NOBODY}] * 3)\n{program}"
        done = subprocess.run(
            [sys.executable, "-c", program + "\nprint(json.dumps(answers))"],
            env={}, capture_output=True, text=True, timeout=within(60), check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert {name: answer for name, answer in json.loads(done.stdout).items() if answer != "done"} == {}
        after = targets.facts()
    assert after != targets.before
    assert after["accepted"] == 1


def test_nothing_changed_outside(outcome: Outcome) -> None:
    """After all attacks the victim runs as before, the open directory is untouched, no server has seen a
    connection.
    """
    assert outcome.after == outcome.before
    assert outcome.before["accepted"] == 0
    assert outcome.before["state"] is True


def test_zygote_and_siblings_work_on(outcome: Outcome) -> None:
    """After all attacks the zygote lives and workers, the attacked sibling among them, do their work."""
    assert outcome.zygote_alive
    assert outcome.sibling_answer == [42] * 4


def test_identity_from_outside(outcome: Outcome) -> None:
    """The kernel's own account of a parked worker: filtered twice, no new privileges, no groups, no (or
    one) capability.
    """
    status = outcome.sibling
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert int(status.get("Seccomp_filters", "2")) >= 2
    for name in ("CapInh", "CapAmb"):
        assert int(status[name], 16) == 0
    assert int(status["CapEff"], 16) in (0, 1 << 2)
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16)
    if AS_ROOT:
        assert status["Groups"] == ""
        assert int(status["CapBnd"], 16) == 0
        uids = {int(uid) for uid in status["Uid"].split()}
        assert len(uids) == 1
        assert 0 not in uids
        assert int(status["Gid"].split()[0]) == NOBODY


class ForgedHead(wire.TaskHead, frozen=True, kw_only=True):
    """The head of a task that asks to be run natively, in words of today and of yesterday."""

    probe: bool = True
    native: bool = True
    test_hook: bool = True


@pytest.mark.parametrize("head", [wire.TaskHead, ForgedHead])
async def test_native_code_needs_a_zygote_made_for_it(
    head: type[wire.TaskHead], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool that wasn't made for these tests runs every task under the language layer, whatever its
    frame and its environment say.
    """
    monkeypatch.setenv("REPTARIUM_PROBE", "1")
    monkeypatch.setenv("REPTARIUM_TEST_HOOK", "1")
    with fail_after(60):
        async with arena(probe=False) as place:
            answer = await place.attack("result = 1", head=head)
    assert answer.startswith("failed: Security violation: Line 2: import of 'ctypes' is not allowed")
    assert not zygote_config(make_settings(dict(os.environ))).probe
