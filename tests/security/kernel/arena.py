"""A real pool whose workers take native attacks, and the bystanders that those attacks aim at.

Rules of these tests: every attack starts below the language layer (in a pool whose configuration says ``probe``), carries a
harmless payload (signal 0 or SIGCONT, a marker file, a loopback address), and is judged twice: by what it
got to see inside (errno or signal), and by what changed outside. Loopback and abstract names only;
processes are ended by the pid that we started.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from reptarium.pool.workers.pool import WorkerPool
from reptarium.pool.workers.worker import WorkerGone
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import IsolationConfig
from reptarium.sandbox.language.policy import LanguagePolicy
from reptarium.sandbox.wire import Kind
from tests.limits import SLOWNESS

ROOT = Path(__file__).resolve().parents[3]
AS_ROOT = os.geteuid() == 0
#: The file that attacks would leave where everybody may write. Another test process has its own.
MARK = f"reptarium-mark-{os.getpid()}"
#: Tasks with files have a /tmp of their own but where what they must read lies below it, as a checkout may.
BELOW_TMP = any(Path(path).is_relative_to("/tmp") for path in (sys.prefix, sys.base_prefix, ROOT))
NOBODY = 65534

PRELUDE = """
import ctypes, errno, json, os, signal, socket, struct, sys, threading, time
from reptarium.sandbox.kernel import syscalls
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long] * 7
def numbered(nr, *args):
    ctypes.set_errno(0)
    args = [ctypes.addressof(a) if isinstance(a, ctypes.Array) else a for a in args]
    answer = _libc.syscall(nr, *args, *(0,) * (6 - len(args)))
    return errno.errorcode[ctypes.get_errno()] if answer == -1 else "done"
def raw(name, *args):
    nr = syscalls.number(name, syscalls.machine())
    return "no such call here" if nr is None else numbered(nr, *args)
def text(value):
    return ctypes.create_string_buffer(value.encode() if isinstance(value, str) else value)
def attempt(action, *args, **named):
    try:
        action(*args, **named)
    except OSError as error:
        return errno.errorcode[error.errno]
    except MemoryError:
        return "MemoryError"
    return "done"
def all_of(answers):
    return " ".join(sorted(set(answers)))
"""

#: All but the usual ones, what nothing is configured for and scratch: 5 to 20 seconds each, `make slow` has them.
FURTHER = frozenset({"own-uids", "python", "python with scratch", "stock"})


def configurations(names: Iterable[str]) -> list[Any]:
    """For a fixture's parameters: the names in a set order, the further ones marked as slow."""
    return [pytest.param(name, marks=pytest.mark.slow if name in FURTHER else ()) for name in sorted(names)]


#: The same for a task of ``REPTARIUM_LANGUAGE=python``: from the names that it has to what a probe is given.
FROM_ABOVE = "from reptarium.sandbox import wire\nchannel = print.__wrapped__.__closure__[0].cell_contents._send.__self__\nresult = None\n"
PYTHON = LanguagePolicy(("*",), ("*",), mode="python")


@dataclass
class Bystanders:
    """What attacks aim at: a process of the workers' own user, a directory open to all, servers on
    loopback and an abstract name.
    """

    victim: int
    supervisor: int
    directory: str
    port: int
    abstract: str
    tcp: socket.socket
    unix: socket.socket
    before: dict[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Everything about the bystanders that an attack could have changed."""
        status = Path(f"/proc/{self.victim}/stat").read_text().rsplit(")", 1)[1].split()
        tree = {
            str(path.relative_to(self.directory)): (
                path.lstat().st_mode,
                path.lstat().st_size,
                path.lstat().st_mtime_ns,
            )
            for path in sorted(Path(self.directory).rglob("*"))
        }
        accepted = 0
        for server in (self.tcp, self.unix):
            with contextlib.suppress(BlockingIOError):
                server.accept()[0].close()
                accepted += 1
        return {
            "state": status[0] not in "ZXT",
            "nice": status[16],
            "affinity": sorted(os.sched_getaffinity(self.victim)),
            "limits": Path(f"/proc/{self.victim}/limits").read_text(),
            "tree": tree,
            "shm": sorted(name for name in os.listdir("/dev/shm") if name == MARK),
            "tmp": sorted(name for name in os.listdir("/tmp") if name == MARK),
            "accepted": accepted,
            "ipc": [line for line in Path("/proc/sysvipc/shm").read_text().splitlines() if "7271" in line],
            "hostname": socket.gethostname(),
        }


@contextmanager
def bystanders() -> Iterator[Bystanders]:
    """Start the bystanders; end them again."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="reptarium-open-"))
        os.chmod(directory, 0o777)
        target = Path(directory, "target")
        target.write_text("untouched")
        target.chmod(0o666)
        Path(directory, "empty").mkdir(mode=0o777)
        # The workers' own user: what the kernel lets them signal but for the sandbox.
        victim = subprocess.Popen(
            [
                sys.executable if not AS_ROOT else "/bin/sleep",
                *(["600"] if AS_ROOT else ["-c", "import time; time.sleep(600)"]),
            ],
            stdin=subprocess.DEVNULL,
            # type: ignore[arg-type]
            **({"user": NOBODY, "group": NOBODY, "extra_groups": []} if AS_ROOT else {}),
        )
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        tcp.setblocking(False)
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract = f"reptarium-test-{secrets.token_hex(8)}"
        unix.bind(b"\0" + abstract.encode())
        unix.listen()
        unix.setblocking(False)
        made = Bystanders(victim.pid, os.getpid(), directory, tcp.getsockname()[1], abstract, tcp, unix)
        made.before = made.facts()
        yield made


class Arena:
    """A pool of workers that run what they are given natively."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool

    async def attack(
        self,
        code: str,
        limits: dict[Kind, int] | None = None,
        head: type[wire.TaskHead] = wire.TaskHead,
        **variables: Any,
    ) -> Any:
        """Run `code` (which sets ``result``) natively in a fresh worker; its result, or how the worker
        ended ("SIGSYS"). ``head`` makes the head of its frame.
        """
        source = f"{PRELUDE}\nglobals().update(json.loads({json.dumps(json.dumps(variables))}))\n{code}"
        if self.pool.config.language.mode == "python":
            source = f"{FROM_ABOVE}{source}\nreturn result"
        return await self.run(source, limits, head)

    async def run(
        self, source: str, limits: dict[Kind, int] | None = None, head: type[wire.TaskHead] = wire.TaskHead
    ) -> Any:
        """Run `source` as it is in a fresh worker."""
        worker = await self.pool.lease()
        try:
            await worker.send(Kind.TASK, *wire.with_head(head(code=source, items_size=2), b"[]"))
            allowed, kind = limits or {Kind.CONSOLE: 2**18, Kind.RESULT: 2**20, Kind.FAILED: 2**18}, Kind.CONSOLE
            while kind is Kind.CONSOLE:  # a library's own prints
                kind, payload = await worker.receive(allowed)
            if kind is Kind.RESULT:
                return json.loads(bytes(wire.split_head(payload)[1]))
            return f"failed: {json.loads(bytes(payload))['message']}"
        except WorkerGone:
            worker.close_socket()
            await worker.exited.wait()
            assert worker.status is not None
            code_or_signal = os.waitstatus_to_exitcode(worker.status)
            return signal.Signals(-code_or_signal).name if code_or_signal < 0 else f"exit {code_or_signal}"
        finally:
            self.pool.discard(worker)


@asynccontextmanager
async def arena(
    size: int = 3, probe: bool = True, language: LanguagePolicy | None = None, **isolation: Any
) -> AsyncIterator[Arena]:
    """A warm pool with this isolation. With ``language`` its tasks come from above, as people's do."""
    config = wire.ZygoteConfig(
        language=language or LanguagePolicy(),
        isolation=IsolationConfig(**isolation),
        probe=probe and language is None,
        patience=SLOWNESS,
    )
    pool = WorkerPool(config, size=size)
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        await pool.wait_warm(1)
        try:
            yield Arena(pool)
        finally:
            pool.close()
            nursery.cancel_scope.cancel()
