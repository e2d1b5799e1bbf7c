"""The whole sequence in throw-away processes, as root and as an ordinary user; limits, privileges,
cgroups, fallbacks.
"""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest
from kernel_helpers import child

from reptarium.sandbox.kernel import IsolationConfig, cgroups, layers, prepare, privileges, rlimits

ROOT = os.geteuid() == 0
root = pytest.mark.skipif(not ROOT, reason="needs root")
kernel = pytest.mark.usefixtures("kernel_layer")

SANDBOX = """
import msgspec
from reptarium.sandbox.kernel import IsolationConfig, IsolationUnavailable, prepare
import codecs, sysconfig, threading, time, zoneinfo
sysconfig.get_paths()  # imports lazily, like codecs; the user below may not reach this interpreter any more
codecs.lookup("ascii")
if user:
    from reptarium.sandbox.kernel import syscalls
    os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
    syscalls.prctl(4, 1)  # as a program started by that user would be
prepared = prepare(IsolationConfig(**config))
layers = {layer.name: layer.state for layer in prepared.restrict_zygote([])}
zygote = os.getpid()
forks = 0
def in_worker(action):
    global forks
    forks += 1
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            prepared.restrict_worker(theirs.fileno(), zygote, forks)
            answer = action()
        except BaseException as error:
            answer = repr(error)
        os.write(theirs.fileno(), json.dumps(answer).encode())
        os._exit(0)
    theirs.close()
    raw = b""
    while data := ours.recv(65536):
        raw += data
    ours.close()
    return [json.loads(raw) if raw else None, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
"""


def sandbox(code: str, user: int = 0, before: str = "", variables: dict[str, Any] | None = None, **config: Any) -> Any:
    """What `code` reports in a restricted zygote, on which `before` was run when it wasn't yet."""
    unrestricted, prepare, restricted = SANDBOX.partition("prepared = prepare(")
    program = f"{unrestricted}\n{before}\n{prepare}{restricted}{code}"
    answers, status = child(program, user=user, config=config, **(variables or {}))
    assert status == 0
    return answers


@kernel
class TestSequence:
    @pytest.mark.parametrize("namespaces", ["auto", "off"])
    @pytest.mark.parametrize("user", [0, 65534] if ROOT else [0], ids=["root", "user"] if ROOT else ["user"])
    def test_worker(self, namespaces: str, user: int) -> None:
        """A worker computes, imports lazily, starts threads; it has its socket and /dev/null, and can do
        nothing else.
        """
        reachable = privileges.unreachable([os.path.realpath(os.__file__)], user, user) is None
        # An ordinary user could not have started an interpreter that it can't reach.
        lazy = "__import__('colorsys')" if reachable or not user else "pass"
        code = f"""
def action():
    ran = []
    thread = threading.Thread(target=lambda: ran.append(1)); thread.start(); thread.join()
    {lazy}
    open_now = []
    for fd in range(64):
        try:
            os.fstat(fd)
        except OSError:
            continue
        open_now.append(fd)
    return [ran, len(open_now), outcome(os.fork), outcome(socket.socket), outcome(open, "/etc/passwd"),
            outcome(open, "/dev/shm/x", "w"), outcome(os.kill, zygote, 0), outcome(os.listdir, "/proc")]
report([layers, in_worker(action)])
"""
        layers, (answers, status) = sandbox(code, user=user, namespaces=namespaces)
        assert status == 0
        ran, descriptors, *refused = answers
        assert (ran, descriptors) == ([1], 4)
        assert set(refused) <= {"EPERM", "EACCES", "ENOENT"}, refused
        for name in ("no_new_privs", "seccomp", "rlimits"):
            assert layers[name] == "active"
        assert layers["landlock"] in ("active", "partial")
        assert layers["namespaces"] != "active" or namespaces == "auto"

    @pytest.mark.parametrize("namespaces", ["auto", "off"])
    def test_memory(self, namespaces: str) -> None:
        """A worker that goes over its memory gets a MemoryError, on the heap, by mapping and on many
        threads' stacks.
        """
        code = """
def action():
    import mmap
    return [outcome(bytearray, 80 * 2**20), outcome(bytearray, 400 * 2**20),
            outcome(mmap.mmap, -1, 400 * 2**20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS),
            outcome(mmap.mmap, -1, 400 * 2**20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100)]
report(in_worker(action))
"""
        answers, status = sandbox(code, memory=200 * 2**20, namespaces=namespaces)
        assert (answers, status) == (["done", "MemoryError", "ENOMEM", "EPERM"], 0)

    @pytest.mark.slow
    def test_cpu(self) -> None:
        """A worker that computes longer than its processor time is ended by SIGXCPU, or SIGKILL when it
        ignores that.
        """
        code = """
def burn():
    while True:
        pass
def stubborn():
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    burn()
report([in_worker(burn), in_worker(stubborn)])
"""
        assert sandbox(code, cpu_seconds=1) == [[None, -signal.SIGXCPU], [None, -signal.SIGKILL]]

    def test_descriptors(self) -> None:
        """A worker can't have more descriptors than configured."""
        code = """
def action():
    kept = []
    try:
        while True:
            kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return [len(kept), errno.errorcode[error.errno]]
report(in_worker(action))
"""
        (count, name), status = sandbox(code, open_files=20)
        assert (name, status) == ("EMFILE", 0)
        assert count <= 20

    def test_descriptors_without_close_range(self) -> None:
        """Where there is no close_range(2), all are closed too, those above the worker's own limit included."""
        code = """
from reptarium.sandbox.kernel import syscalls
real = syscalls.try_call
syscalls.try_call = lambda name, *args: (-1, errno.ENOSYS) if name == "close_range" else real(name, *args)
extra = [os.dup(0) for _ in range(30)]
prepared._plan_worker()
def action():
    found = []
    for fd in range(200):
        try:
            os.fstat(fd)
        except OSError:
            continue
        found.append(fd)
    return len(found)
report(in_worker(action))
"""
        assert sandbox(code, open_files=20) == [4, 0]

    def test_dies_with_the_zygote(self) -> None:
        """A worker of a zygote that has gone ends at once, with or without a user id of its own."""
        code = """
ours, theirs = socket.socketpair()
pid = os.fork()
if pid == 0:
    prepared.restrict_worker(theirs.fileno(), 1, 0)  # not its parent: as if the zygote had died in between
    os.write(theirs.fileno(), b"lives")
    os._exit(0)
theirs.close()
report([ours.recv(100).decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])])
"""
        assert sandbox(code) == ["", 1]

    @pytest.mark.parametrize("own_uids", [False, pytest.param(True, marks=root)])
    def test_killed_with_the_zygote(self, own_uids: bool) -> None:
        """When a zygote is killed, the kernel kills its workers, even those that have another user id
        than it.
        """
        code = """
worker_socket, theirs = socket.socketpair()
middle = os.fork()
if middle == 0:
    prepared = prepare(IsolationConfig(**config))
    prepared.restrict_zygote([theirs.fileno()])
    zygote = os.getpid()
    if os.fork() == 0:
        prepared.restrict_worker(theirs.fileno(), zygote, 0)
        os.write(theirs.fileno(), b"up")
        while True:
            time.sleep(60)
    theirs.close()
    while True:
        time.sleep(60)
theirs.close()
up = worker_socket.recv(10).decode()
os.kill(middle, signal.SIGKILL)
worker_socket.settimeout(20)
end = worker_socket.recv(10).decode()  # ends when the last holder of the other end is gone
report([up, end])
"""
        prelude = SANDBOX.split("prepared = prepare(")[0]
        config = {"worker_uids": [70000, 70099]} if own_uids else {}
        answers, status = child(prelude + code, user=0, config=config)
        assert (answers, status) == (["up", ""], 0)

    @root
    def test_user_ids(self) -> None:
        """Root's workers are nobody without groups, or one user id each out of the range."""
        code = """
who = lambda: [os.getresuid(), os.getresgid(), os.getgroups()]
report([layers["uid"], in_worker(who)[0], in_worker(who)[0], outcome(os.setresuid, 0, 0, 0)])
"""
        state, one, two, back = sandbox(code, before="os.setgroups([4, 24])")
        assert state in ("active", "partial")
        assert one == two == [[65534] * 3, [65534] * 3, []]
        assert back == "EPERM"
        _, one, two, _ = sandbox(code, worker_uids=[70000, 70001])
        assert {one[0][0], two[0][0]} == {70000, 70001}
        assert one[0] == [one[0][0]] * 3

    @root
    def test_no_capabilities(self) -> None:
        """Neither zygote nor worker has capabilities, but for those that the configuration makes
        necessary.
        """
        code = """
from reptarium.sandbox.kernel import privileges
report([privileges.effective(), in_worker(lambda: outcome(os.setresuid, 70001, 70001, 70001))])
"""
        reachable = privileges.unreachable([os.path.realpath(os.__file__)], 65534, 65534) is None
        effective, worker = sandbox(code, namespaces="off")
        assert effective == (0 if reachable else 1 << privileges.CAP_DAC_READ_SEARCH)
        assert worker == ["EPERM", 0]
        effective, worker = sandbox(code, namespaces="auto", worker_uids=[70000, 70099])
        wanted = {privileges.CAP_SETUID, privileges.CAP_SETGID, privileges.CAP_KILL}
        assert {bit for bit in range(64) if effective >> bit & 1} - {privileges.CAP_DAC_READ_SEARCH} == wanted
        assert worker == ["EPERM", 0]

    @root
    def test_threads_of_one_worker(self) -> None:
        """With a user id of its own a worker can't have more threads than configured."""
        code = """
def action():
    gate = threading.Event()
    started = 0
    try:
        for _ in range(100):
            threading.Thread(target=gate.wait, daemon=True).start()
            started += 1
    except RuntimeError as error:
        gate.set()
        return started
report(in_worker(action))
"""
        count, status = sandbox(code, worker_uids=[70200, 70299], max_threads=10)
        assert status == 0
        assert 5 <= count <= 10

    @pytest.mark.parametrize("layered", [True, False], ids=["with it", "without it"])
    def test_own_landlock_layer_keeps_a_worker_from_its_siblings(self, layered: bool) -> None:
        """Siblings are out of reach by a worker's own layer alone: where they could be traced otherwise (dumpable, of
        one user), a sibling's descriptor of a file that all may read opens without it, and doesn't with it.
        """
        loosened = """
from reptarium.sandbox.kernel import landlock, privileges, syscalls
privileges.not_dumpable = lambda: syscalls.prctl(4, 1)
privileges.PR_SET_DUMPABLE = 3  # PR_GET_DUMPABLE
if not layered:
    landlock.restrict_with = lambda calls, ruleset, flags: None
"""
        look = """
gate, theirs = socket.socketpair()
sibling = os.fork()
if sibling == 0:
    prepared.restrict_worker(theirs.fileno(), zygote, 1)
    os.write(theirs.fileno(), b"up")
    os.read(theirs.fileno(), 1)
    os._exit(0)
theirs.close()
gate.recv(2)
forks = 1
answer = in_worker(lambda: [outcome(os.open, f"/proc/{sibling}/fd/0", os.O_RDONLY), outcome(os.open, "/dev/null", 0)])
gate.close()
os.waitpid(sibling, 0)
report(answer)
"""
        answers = sandbox(look, before=loosened, variables={"layered": layered}, namespaces="off")
        assert answers == [["EACCES" if layered else "done", "done"], 0]

    @root
    def test_submounts_are_read_only(self, tmp_path: Path) -> None:
        """What is mounted below a readable path can't be written either, once the new root is in place."""
        code = """
from reptarium.sandbox.kernel import namespaces, paths, syscalls
def mount(target):
    parts = [ctypes.create_string_buffer(part) for part in (b"tmpfs", target.encode(), b"tmpfs", b"size=64k,mode=0777")]
    kind, place, system, data = map(ctypes.addressof, parts)
    syscalls.call("mount", kind, place, system, 0, data)
syscalls.call("unshare", 0x00020000)
none, slash = ctypes.create_string_buffer(b"none"), ctypes.create_string_buffer(b"/")
syscalls.call("mount", ctypes.addressof(none), ctypes.addressof(slash), 0, 16384 | 1 << 18, 0)
mount(top)
os.mkdir(top + "/below")
mount(top + "/below")
write = lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
before = outcome(write, top + "/below/one")
entered = namespaces.enter(paths.Readable((top,)))
report([before, entered.refused, outcome(write, top + "/two"), outcome(write, top + "/below/three"),
        outcome(os.unlink, top + "/below/one"), outcome(write, "/four")])
"""
        answers, status = child(code, top=str(tmp_path))
        assert (answers, status) == (["done", [], "EROFS", "EROFS", "EROFS", "EROFS"], 0)

    @pytest.mark.parametrize(("groups", "state"), [({1000}, "off"), ({1000, 0}, "partial")], ids=["own", "root's"])
    def test_a_user_who_stays(self, groups: set[int], state: str) -> None:
        """A user without a group of its own is in root's, which is said; no layer speaks for another."""
        said = layers.unchanged(1000, groups)
        assert said[0] == state
        assert ("root's group" in said[1]) == ("65532:65532" in said[2]) == (state == "partial")
        assert "Landlock and seccomp keep" not in said[1]

    def test_who_goes_first(self) -> None:
        """An ordinary user's process raises its score and takes that back; one that is at the most already says so."""
        code = """
from reptarium.sandbox.kernel import oom
read = lambda: int(open("/proc/self/oom_score_adj").read())
own, score = read(), oom.Score()
score.raise_(); raised = read(); score.lower()
states = [raised - own, read() - own, score.problem]
open("/proc/self/oom_score_adj", "w").write("1000")
score = oom.Score()
score.raise_(); score.lower()
report([*states, score.fd, score.problem])
"""
        drop = (
            "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n" if ROOT else ""
        )
        dumpable = "ctypes.CDLL(None).prctl(4, 1)\n"
        imported = "from reptarium.sandbox.kernel import oom\n"
        (raised, lowered, *rest), status = child(imported + drop + dumpable + textwrap.dedent(code))
        assert (raised, lowered, status) == (500, 0, 0)
        assert rest == ["", -1, "the runner's own is 1000 already: workers can't go before it"]

    @root
    def test_own_code_is_covered(self, tmp_path: Path) -> None:
        """In the new root something empty lies over what is barred below a readable path; what is beside it is read."""
        for name in ("own/code.py", "own.pth", "other/code.py"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("text")
        code = """
from reptarium.sandbox.kernel import namespaces, paths
entered = namespaces.enter(paths.Readable((top,), (), (top + "/own", top + "/own.pth", top + "/none")))
read = lambda name: open(os.path.join(top, name)).read()
report([entered.refused, os.listdir(top + "/own"), read("own.pth"), read("other/code.py"), outcome(read, "none")])
"""
        answers, status = child(code, top=str(tmp_path))
        assert (answers, status) == ([[], [], "", "text", "ENOENT"], 0)

    def test_capabilities_that_nobody_has(self) -> None:
        """Whoever holds none gives none up: a service's filter may refuse the call."""
        refuse = """
from reptarium.sandbox.kernel import bpf, privileges, seccomp, syscalls
privileges.CapabilitySet().apply()
privileges.no_new_privs()
seccomp.install(bpf.assemble(bpf.Rules({"capset": bpf.errno_action(1)}, default=bpf.ALLOW), syscalls.machine()))
"""
        user = 65534 if ROOT else 0
        code = "report([outcome(privileges.CapabilitySet().apply), in_worker(lambda: 1)])"
        assert sandbox(code, user=user, before=refuse, namespaces="off") == ["EPERM", [1, 0]]

    def test_speculation(self) -> None:
        """Where the kernel leaves the prediction of branches to processes it isn't shared, for good."""
        ask = "ctypes.CDLL(None).prctl(52, 1, 0, 0, 0)"  # PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH
        code = f"report([before, layers['speculation'], {ask}, in_worker(lambda: outcome(syscalls.prctl, 53, 1, 2))])"
        looked = f"from reptarium.sandbox.kernel import syscalls\nbefore = {ask}"
        before, state, after, worker = sandbox(code, before=looked)
        assert (state, after) == (("active", 0b1001) if before & 1 else ("off", before))
        assert worker == ["EPERM", 0]


class TestConfiguration:
    @pytest.mark.parametrize(
        "config",
        [
            {"worker_uids": (0, 10)},
            {"worker_uids": (20, 10)},
            {"uid": 0},
            {"memory": 0},
            {"open_files": 3},
            {"read_paths": ("relative",)},
            {"read_paths": ("/usr/..",)},
        ],
        ids=str,
    )
    def test_contradictions(self, config: dict[str, Any]) -> None:
        """A configuration that would weaken the sandbox or contradicts itself is refused."""
        with pytest.raises(ValueError, match=r"worker_uids|uid|memory|read_paths"):
            prepare(IsolationConfig(**config))

    @pytest.mark.parametrize(
        ("error", "text"),
        [(38, "no such call"), (95, "wasn't started"), (1, "profile refuses"), (22, "EINVAL")],
    )
    def test_landlock_problems(self, error: int, text: str) -> None:
        """Each way of not having Landlock has its own explanation and its own remedy."""
        detail, remedy = layers.landlock_problem(error)
        assert text in detail
        assert remedy

    def test_old_kernel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a kernel before 5.13 Landlock isn't expected, so that enforce doesn't insist on it."""
        monkeypatch.setattr(layers, "kernel_version", lambda: (5, 12))
        assert not layers.landlock_expected()
        assert "5.13" in layers.landlock_problem(38)[0]

    def test_standard_stream(self) -> None:
        """A worker's socket can't be one of the standard streams."""
        code = """
from reptarium.sandbox.kernel import IsolationConfig, prepare
prepared = prepare(IsolationConfig())
try:
    prepared.restrict_worker(2, os.getppid(), 0)
except ValueError as error:
    report(str(error))
"""
        answer, status = child(code)
        assert status == 0
        assert "standard stream" in answer

    @kernel
    def test_only_root_chooses(self) -> None:
        """Somebody who isn't root and asks for another user id is refused under enforce, with what to
        change.
        """
        code = (
            SANDBOX.split("prepared = prepare(")[0]
            + """
prepared = prepare(IsolationConfig(**config))
try:
    prepared.restrict_zygote([])
except IsolationUnavailable as error:
    report(str(error))
"""
        )
        if not ROOT:
            answer, _ = child(code, user=0, config={"uid": 4711})
        else:
            answer, _ = child(code, user=65533, config={"uid": 4711})
        assert "only root can change the user" in answer
        assert "best-effort" in answer


class TestLimits:
    def test_data_in_use(self) -> None:
        """The memory that RLIMIT_DATA counts is more than nothing and less than all."""
        assert 2**20 < rlimits.memory_in_use()[0] < 2**40

    def test_threads_of(self) -> None:
        """This process's own threads are among those of its user."""
        assert rlimits.threads_of(os.getuid()) >= 1
        assert rlimits.threads_of(3_000_000_001) == 0

    def test_close_all_but(self) -> None:
        """All descriptors close but the standard streams and those that are kept."""
        code = """
from reptarium.sandbox.kernel import rlimits
opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(10)]
rlimits.close_all_but({opened[3], opened[7], 1})
alive = [fd for fd in [0, 1, 2, *opened] if outcome(os.fstat, fd) == "done"]
report(alive == [0, 1, 2, opened[3], opened[7]])
"""
        assert child(code) == (True, 0)


class TestPrivileges:
    def test_unreachable(self, tmp_path: Path) -> None:
        """A directory closed to the user is named; open ones aren't."""
        closed = tmp_path / "closed"
        (closed / "in").mkdir(parents=True)
        closed.chmod(0o700)
        owner = os.stat(closed).st_uid
        assert privileges.unreachable([str(closed / "in")], owner + 1, os.stat(closed).st_gid + 1) in (
            str(closed),
            *map(str, tmp_path.parents),
            str(tmp_path),
        )
        assert privileges.unreachable(["/usr"], 65534, 65534) is None
        assert privileges.unreachable(["/nowhere/at/all"], 65534, 65534) == "/nowhere"


class TestCgroups:
    def tree(self, tmp_path: Path, controllers: str = "") -> Path:
        group = tmp_path / "unit" / "supervisor"
        group.mkdir(parents=True)
        for directory in (tmp_path / "unit", group):
            (directory / "cgroup.controllers").write_text("pids memory")
            (directory / "cgroup.subtree_control").write_text(controllers)
        return group

    def test_current(self, tmp_path: Path) -> None:
        """The group is found by /proc/self/cgroup, and isn't there without a unified hierarchy."""
        group = self.tree(tmp_path)
        listing = tmp_path / "cgroup"
        listing.write_text("0::/unit/supervisor\n")
        assert cgroups.current(listing, tmp_path) == group
        listing.write_text("4:memory:/x\n0::/elsewhere\n")
        assert cgroups.current(listing, tmp_path) is None
        assert cgroups.current(tmp_path / "none", tmp_path) is None

    def test_join(self, tmp_path: Path) -> None:
        """A delegated tree gets a group beside the supervisor's, with its ceilings, the controllers and the
        process.
        """
        group = self.tree(tmp_path, "memory")
        (tmp_path / "unit" / f"{cgroups.PREFIX}7").mkdir()
        wanted = {"pids.max": 500, "memory.max": 2**30}
        assert cgroups.join(wanted, group, pid=42) == (("pids.max", "memory.max"), "")
        own = tmp_path / "unit" / f"{cgroups.PREFIX}42"
        assert (own / "pids.max").read_text() == "500"
        assert (own / "memory.max").read_text() == "1073741824"
        assert (own / "cgroup.procs").read_text() == "42"
        assert (tmp_path / "unit" / "cgroup.subtree_control").read_text() == "+pids"
        assert not (tmp_path / "unit" / f"{cgroups.PREFIX}7").exists()

    def test_some_of_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of several controllers those that are delegated are used, and the reason for the others is told."""
        write = Path.write_text

        def refusing(path: Path, text: str) -> int:
            if text == "+cpu" or path.name == "cpu.weight":
                raise PermissionError(13, "Permission denied", str(path))
            return write(path, text)

        monkeypatch.setattr(Path, "write_text", refusing)
        group = self.tree(tmp_path)
        done, problem = cgroups.join({"pids.max": 5, "cpu.weight": 50}, group, pid=42)
        place = tmp_path / "unit" / "cgroup.subtree_control"
        assert (done, problem) == (("pids.max",), f"cpu is not delegated: Permission denied ({place})")
        assert (tmp_path / "unit" / f"{cgroups.PREFIX}42" / "cgroup.procs").read_text() == "42"

    def test_what_is_refused_has_a_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A write that fails names no file by itself: the reason does."""
        write = Path.write_text

        def refusing(path: Path, text: str) -> int:
            if path.name == "cgroup.procs":
                raise OSError(2, "No such file or directory")
            return write(path, text)

        monkeypatch.setattr(Path, "write_text", refusing)
        group = self.tree(tmp_path)
        said = cgroups.join({"pids.max": 5}, group, pid=42)[1]
        place = tmp_path / "unit" / f"{cgroups.PREFIX}42" / "cgroup.procs"
        assert said == f"not delegated: No such file or directory ({place})"

    def test_not_delegated(self, tmp_path: Path) -> None:
        """Without delegation the reason is told and nothing is raised."""
        wanted = {"pids.max": 5}
        assert "hierarchy" in cgroups.join(wanted, None)[1]
        done, problem = cgroups.join(wanted, tmp_path / "a")
        assert not done
        assert "root" in problem
