"""``reptarium doctor``: what the sandbox is made of on this machine, and what a worker could really do.

Two tables. The first shows each layer as the zygote found it: active, partial, missing or off, why, and
what to change. The second is not about configuration at all: a real pool is started with the settings of
this environment, and a worker *tries*, below the language layer, what no task may do (and what every task
must be able to do). Harmless throughout: signal 0, an unused name, a read of one byte.

When ``enforce`` refuses to start, the tables are made under ``best-effort`` and the refusal is shown above
them. Exit status 0: every layer that is needed holds and every attempt ended as it must; 1 otherwise; 2:
usage.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import structlog
import trio

from reptarium.pool.powers.answers import NoNames
from reptarium.pool.powers.connections import ConnectLimits
from reptarium.pool.powers.connector import Connector
from reptarium.pool.powers.destinations import Destinations, parse_entry
from reptarium.pool.workers.pool import PoolRefused, WorkerPool
from reptarium.pool.workers.worker import Worker, WorkerGone, describe_status
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import LayerStatus
from reptarium.sandbox.wire import Kind, ZygoteConfig

log = structlog.get_logger("reptarium.pool.doctor")

#: Without these there is no sandbox to speak of.
NEEDED = frozenset({"seccomp", "landlock", "no_new_privs", "rlimits"})
#: Tasks of root, and a zygote with threads beside it, are not isolated; off: there is nothing to give up.
NEEDED_WHERE_REPORTED = frozenset({"uid", "one thread"})
#: A pool that has not answered after this many seconds is broken.
TIMEOUT = 150.0


#: Errors, signals, and "refused": the language layer's own word.
_REFUSALS = frozenset(
    {"refused", "EPERM", "EACCES", "ENOENT", "ENOSYS", "EROFS", "EMFILE", "ENOMEM", "MemoryError", "SIGSYS"}
)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a worker tried. `wanted` is what must come of it; `got` is an errno's name, a
    signal's name or "works".
    """

    name: str
    layer: str
    wanted: str
    got: str

    @property
    def ok(self) -> bool:
        """Whether it ended as it must."""
        # Not just "anything but works": a mistake in an attempt must not pass for a refusal.
        return self.got == "works" if self.wanted == "works" else self.got in _REFUSALS


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the doctor found. `refusal` is the text of a refused start, empty otherwise."""

    python: str
    kernel: str
    machine: str
    policy: str
    refusal: str
    layers: tuple[LayerStatus, ...]
    attempts: tuple[Attempt, ...]
    worker: dict[str, str]
    tricks: tuple[wire.Trick, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether tasks are isolated as they should be."""
        weak = [
            layer
            for layer in self.layers
            if (layer.name in NEEDED and layer.state in ("missing", "off"))
            or (layer.name in NEEDED_WHERE_REPORTED and layer.state == "missing")
        ]
        return not self.refusal and bool(self.attempts) and not weak and all(one.ok for one in self.attempts)


# name, layer, what must come of it, expression in a worker. `SUPERVISOR` is our pid, `UNUSED` a name of our
# own, `CALL` makes a system call by name.
_ATTEMPTS: tuple[tuple[str, str, str, str], ...] = (
    ("read /etc/passwd", "landlock", "refused", 'open("/etc/passwd").read(1)'),
    ("read the runner's own code", "landlock", "refused", "open(OWN).read(1)"),
    (
        "read the supervisor's environment",
        "landlock",
        "refused",
        'open(f"/proc/{SUPERVISOR}/environ", "rb").read(1)',
    ),
    ("list /proc", "landlock", "refused", 'os.listdir("/proc")'),
    (
        "create a file in the machine's /tmp",
        "seccomp",
        "refused",
        'os.close(os.open(not_own("/tmp/") + UNUSED, os.O_CREAT | os.O_WRONLY))',
    ),
    ("make a directory in /dev/shm", "seccomp", "refused", 'os.mkdir("/dev/shm/" + UNUSED)'),
    ("map shared memory", "seccomp", "refused", 'CALL("mmap", 0, 4096, 3, 0x21, -1, 0)'),
    ("open a TCP socket", "seccomp", "refused", "socket.socket(socket.AF_INET).close()"),
    ("open a Unix socket", "seccomp", "refused", "socket.socket(socket.AF_UNIX).close()"),
    ("fork", "seccomp", "refused", "os.fork() or os._exit(0)"),
    ("execute a program", "seccomp", "refused", 'os.execv("/bin/true", ["true"])'),
    ("signal the supervisor", "seccomp", "refused", "os.kill(SUPERVISOR, 0)"),
    ("signal everybody", "seccomp", "refused", "os.kill(-1, 0)"),
    ("trace another process", "seccomp", "refused", 'CALL("ptrace", 0, 0, 0, 0)'),
    ("enter a user namespace", "seccomp", "refused", 'CALL("unshare", 0x10000000)'),
    ("load a BPF program", "seccomp", "refused", 'CALL("bpf", 5, 0, 0)'),
    ("become root", "uid", "refused", "os.setuid(0)"),
    ("use more memory than allowed", "rlimits", "refused", "bytearray(MEMORY + 2**26)"),
    ("map more than it may address", "rlimits", "refused", 'CALL("mmap", 0, MEMORY + 2**40, 1, 0x4022, -1, 0)'),
    (
        "open too many files",
        "rlimits",
        "refused",
        "[os.open('/dev/null', os.O_RDONLY) for _ in range(FILES + 1)]",
    ),
    (
        "raise its limits",
        "seccomp",
        "refused",
        '(most := ctypes.create_string_buffer((2**20).to_bytes(8, "little") * 2)) and '
        'CALL("prlimit64", 0, 7, ctypes.addressof(most), 0)',
    ),
    ("become dumpable again", "seccomp", "refused", 'CALL("prctl", 4, 1, 0, 0, 0)'),
    ("import a module late", "landlock", "works", '__import__("colorsys")'),
    ("run a thread", "seccomp", "works", "thread()"),
    ("use a time zone", "landlock", "works", '__import__("zoneinfo").ZoneInfo("UTC")'),
    ("random bytes", "seccomp", "works", "os.urandom(16)"),
    ("tell the time", "seccomp", "works", "time.localtime()"),
)


def _scratch_attempts(wanted: str) -> tuple[tuple[str, str, str, str], ...]:
    """What REPTARIUM_SCRATCH decides, and what it doesn't."""
    return (
        ("write a file where it works", "landlock", wanted, 'open("reptarium-doctor", "w").close()'),
        ("write a file beside that", "landlock", "refused", 'open("../reptarium-doctor", "w").close()'),
        ("leave a link there", "seccomp", "refused", 'os.symlink("/etc", "reptarium-doctor")'),
    )


#: name, the language mode that lets it through, a task of a person's: what the language mode decides. In the other
#: mode it is refused.
_IN_A_MODE = (
    ("run text as code, as a task", "python", "return eval(\"'works'\")"),
    ("read a function's globals, as a task", "python", "return 'works' if (lambda: 0).__globals__ else ''"),
)

_PROGRAM = """
import ctypes, errno, os, socket, threading, time
from reptarium.sandbox.kernel import syscalls
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long] * 7
def CALL(name, *args):
    nr = syscalls.number(name, syscalls.machine())
    if _libc.syscall(nr, *args, *(0,) * (6 - len(args))) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def not_own(place):  # a task's own /tmp is its scratch directory
    if os.path.samefile(place, "."): raise OSError(errno.EXDEV, "it isn't the machine's")
    return place
def thread():
    ran = []
    started = threading.Thread(target=ran.append, args=(1,)); started.start(); started.join()
    if not ran: raise RuntimeError("the thread did not run")
try:
    {expression}
    result = "works"
except OSError as error:
    result = errno.errorcode.get(error.errno, str(error))
except MemoryError:
    result = "MemoryError"
except BaseException as error:
    result = type(error).__name__
"""


async def examine(config: ZygoteConfig) -> Examination:
    """Start a pool with `config` and look at it from inside and outside, from below the language layer and above.

    A refused start is part of the finding, not an exception.
    """
    found = await _examine(config, "")
    if isinstance(found, Examination):
        return found
    refusal = found
    if config.isolation.policy == "best-effort":
        return _finding(config, refusal, (), (), {})
    config = _without_connections(config)  # which start with everything they need, or not at all
    weaker = msgspec.structs.replace(
        config,
        isolation=msgspec.structs.replace(config.isolation, policy="best-effort"),
        language=msgspec.structs.replace(config.language, mode="restricted"),  # the other needs all layers
    )
    found = await _examine(weaker, refusal)
    if isinstance(found, Examination):
        return msgspec.structs.replace(found, policy=config.isolation.policy)
    return _finding(config, refusal, (), (), {})


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _examine(config: ZygoteConfig, refusal: str) -> Examination | str:
    """The finding, or the text of the refusal to start."""
    try:
        return await _examine_pool(config, refusal)
    except (PoolRefused, BaseExceptionGroup) as error:
        leaf = _leaf(error)
        if isinstance(leaf, PoolRefused):
            return str(leaf)
        raise


async def _examine_pool(config: ZygoteConfig, refusal: str) -> Examination:
    connecting, config = msgspec.structs.replace(config, probe=True), _without_connections(config)
    attempts: list[Attempt] = []
    unused = f"reptarium-doctor-{secrets.token_hex(8)}"
    with trio.fail_after(TIMEOUT):
        async with _warm(msgspec.structs.replace(config, probe=True)) as pool:
            seen = await pool.lease()
            outside = _outside(seen)
            pool.discard(seen)
            writes = "works" if config.isolation.scratch_bytes else "refused"
            for name, layer, wanted, expression in (*_ATTEMPTS, *_scratch_attempts(writes)):
                got = await _try(pool, _natively(expression, config, unused))
                attempts.append(Attempt(name=name, layer=layer, wanted=wanted, got=got))
            layers, tricks = pool.layers, pool.tricks
        nothing_removed = msgspec.structs.replace(config.language, builtins_deny=())
        async with _warm(msgspec.structs.replace(config, language=nothing_removed)) as pool:
            for name, mode, code in _IN_A_MODE:
                wanted = "works" if config.language.mode == mode else "refused"
                attempts.append(Attempt(name=name, layer="language", wanted=wanted, got=await _try(pool, code)))
        if connecting.isolation.connections:
            layers = await _examine_connections(connecting, attempts)
    _tidy(unused)
    return _finding(config, refusal, layers, tuple(attempts), outside, tricks)


@contextlib.asynccontextmanager
async def _warm(config: ZygoteConfig) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(config, size=2)
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        await pool.wait_warm(1)
        yield pool
        pool.close()
        nursery.cancel_scope.cancel()


def _tidy(unused: str) -> None:
    """Remove what a worker made that should not have been able to."""
    with contextlib.suppress(OSError):
        os.unlink(f"/tmp/{unused}")
    with contextlib.suppress(OSError):
        os.rmdir(f"/dev/shm/{unused}")


def _finding(
    config: ZygoteConfig,
    refusal: str,
    layers: tuple[LayerStatus, ...],
    attempts: tuple[Attempt, ...],
    worker: dict[str, str],
    tricks: tuple[wire.Trick, ...] = (),
) -> Examination:
    return Examination(
        python=platform.python_version(),
        kernel=platform.release(),
        machine=platform.machine(),
        policy=config.isolation.policy,
        refusal=refusal,
        layers=layers,
        attempts=attempts,
        worker=worker,
        tricks=tricks,
    )


def _natively(expression: str, config: ZygoteConfig, unused: str) -> str:
    facts = {
        "SUPERVISOR": os.getpid(),
        "UNUSED": unused,
        "OWN": wire.__file__,
        "MEMORY": config.isolation.memory,
        "FILES": config.isolation.open_files,
    }
    program = "\n".join(f"{name} = {value!r}" for name, value in facts.items())
    return program + _PROGRAM.replace("{expression}", expression)


async def _try(pool: WorkerPool, program: str) -> str:
    worker = await pool.lease()
    try:
        return await _told(worker, program)
    finally:
        pool.discard(worker)


async def _told(worker: Worker, program: str) -> str:
    """What a worker says of its try: "works", an errno, an exception, "refused", or how it ended."""
    try:
        head = wire.TaskHead(code=program, items_size=2)
        await worker.send(Kind.TASK, *wire.with_head(head, b"[]"))
        kind, payload = await worker.receive({Kind.RESULT: 4096, Kind.FAILED: 2**16})
        if kind is Kind.RESULT:
            return str(msgspec.json.decode(bytes(wire.split_head(payload)[1])))
        failure = msgspec.json.decode(payload, type=wire.Failure)
        return "refused" if failure.kind == "policy" else failure.message
    except WorkerGone:
        worker.close_socket()
        await worker.exited.wait()
        return describe_status(worker.status).removeprefix("killed by ")


def _outside(worker: Worker) -> dict[str, str]:
    """What the kernel says of a parked worker (proc_pid_status(5))."""
    wanted = (
        "Uid",
        "Gid",
        "Groups",
        "CapEff",
        "CapBnd",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "Threads",
    )
    try:
        lines = Path(f"/proc/{worker.pid}/status").read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    fields = {key: " ".join(value.split()) for key, _, value in (line.partition(":") for line in lines)}
    return {key: fields[key] for key in wanted if key in fields}


# ---- connections: a pool of its own, since sockets are another thing there -------------------------

# LISTED is a port of ours, listed for this.
_CONNECTING = (
    ("connect to what is listed", "works", "socket.create_connection(('127.0.0.1', LISTED), 5).close()"),
    ("connect to what isn't", "refused", "socket.create_connection(('127.0.0.2', LISTED), 5)"),
    ("send UDP", "refused", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', LISTED))"),
    ("ask for a name that isn't listed", "refused", "socket.getaddrinfo('reptarium-doctor.test', LISTED)"),
    ("open a Unix socket while it may connect", "refused", "socket.socket(socket.AF_UNIX)"),
    ("listen", "refused", "socket.socket().listen()"),
)


def _without_connections(config: ZygoteConfig) -> ZygoteConfig:
    return msgspec.structs.replace(config, isolation=msgspec.structs.replace(config.isolation, connections=False))


def _say_fault(error: Exception) -> None:
    log.error("connections ended through a fault of the runner", exc_info=error)


async def _examine_connections(config: ZygoteConfig, attempts: list[Attempt]) -> tuple[LayerStatus, ...]:
    """Add what becomes of connections that a worker asks for. Returns the layers, that of connections among them."""
    pool = WorkerPool(config, size=2)
    limits = ConnectLimits(most=10, rate=10, timeout=5.0, sockets=config.isolation.open_files)
    async with trio.open_nursery() as nursery:
        (ours,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = ours.socket.getsockname()[1]
        rules = Destinations([parse_entry(f"127.0.0.1:{port}")])
        connector = Connector(rules, NoNames(), limits, fault=_say_fault)
        await nursery.start(pool.run)
        await nursery.start(connector.run)
        for name, wanted, expression in _CONNECTING:
            program = f"LISTED = {port}\n" + _PROGRAM.replace("{expression}", expression)
            worker = await pool.lease()
            connections = connector.begin(worker.take_handed())
            got = await _told(worker, program)
            if connections is not None:
                connections.end()
            pool.discard(worker)
            attempts.append(Attempt(name=name, layer="connections", wanted=wanted, got=got))
        pool.close()
        await ours.aclose()
        nursery.cancel_scope.cancel()
    return pool.layers
