"""A real pool whose tasks may connect, real servers on loopback, and names that only these tests know.

Rules of these tests: loopback only, ports that the system gives, every test bounded. Code runs in a worker below the
language layer (``probe``), in the whole kernel layer: what counts is what the kernel and the supervisor let happen.
"""

from __future__ import annotations

import json
import math
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Literal

import msgspec
import trio

from reptarium.pool.powers.answers import ResolutionFailed
from reptarium.pool.powers.certificates import certificates, resolver_files
from reptarium.pool.powers.connections import Connections, ConnectLimits
from reptarium.pool.powers.connector import Connector
from reptarium.pool.powers.destinations import Address, Destinations, parse_entry
from reptarium.pool.powers.resolver import SystemResolver
from reptarium.pool.workers.pool import WorkerPool
from reptarium.pool.workers.worker import WorkerGone
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import IsolationConfig
from reptarium.sandbox.language.policy import LanguagePolicy
from reptarium.sandbox.wire import Kind
from tests.limits import SLOWNESS

LIMITS = ConnectLimits(most=1000, rate=1000, timeout=5.0, sockets=64)
#: Names of these tests, none of which anybody else resolves.
HOSTS = {
    "server.test": ["127.0.0.1"],
    "six.test": ["::1"],
    "many.test": ["127.0.0.1", "127.0.0.2"],
    "rebound.test": ["127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
}

PRELUDE = """
import ctypes, errno, json, os, select, signal, socket, struct, sys, threading, time
from reptarium.sandbox.kernel import syscalls
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long] * 7
def raw(name, *args):
    ctypes.set_errno(0)
    args = [ctypes.addressof(a) if isinstance(a, ctypes.Array) else a for a in args]
    nr = syscalls.number(name, syscalls.machine())
    answer = _libc.syscall(nr, *args, *(0,) * (6 - len(args)))
    return errno.errorcode[ctypes.get_errno()] if answer == -1 else answer
def attempt(action, *args, **named):
    try:
        action(*args, **named)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "done"
def inet(host, port):
    packed = struct.pack("=H", 2) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)
    return ctypes.create_string_buffer(packed, 16)
"""


#: From the names that a task of ``REPTARIUM_LANGUAGE=python`` has to what a probe is given.
FROM_ABOVE = "channel = print.__wrapped__.__closure__[0].cell_contents._send.__self__\nresult = None\n"


class FixedNames:
    """A resolver that knows these names; ``asked`` is what it was asked for."""

    def __init__(self, hosts: dict[str, list[str]]) -> None:
        self.hosts = hosts
        self.nameservers: frozenset[Address] = frozenset()
        self.asked: list[str] = []

    async def addresses(self, name: str, kind: Literal["A", "AAAA"]) -> list[Address] | None:
        self.asked.append(name)
        if name.startswith("broken."):
            raise ResolutionFailed("no answer")
        if name not in self.hosts:
            return None
        found = map(ip_address, self.hosts[name])
        return [address for address in found if address.version == (4 if kind == "A" else 6)]


@dataclass
class Came:
    """What came of a task: its result (or how its worker ended), its connections, why some were refused."""

    result: Any
    seen: tuple[str, ...]
    refusals: tuple[str, ...]


@dataclass
class Rig:
    pool: WorkerPool
    connector: Connector
    names: FixedNames
    nursery: trio.Nursery
    faults: list[Exception]
    outcomes: list[str] = field(default_factory=list)

    def connection(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    async def run(self, code: str, prelude: str = PRELUDE, time_limit: float = math.inf, **variables: Any) -> Came:
        """Run `code`, which sets ``result``, natively in a fresh worker; "timed out" after `time_limit` seconds."""
        worker = await self.pool.lease()
        connections: Connections | None = None
        source = f"{prelude}\nglobals().update(json.loads({json.dumps(json.dumps(variables))}))\n{code}"
        if not self.pool.config.probe:
            source = f"{FROM_ABOVE}{source}\nreturn result"
        result: Any = "timed out"
        try:
            with trio.move_on_after(time_limit):
                try:
                    await worker.send(Kind.TASK, *wire.with_head(wire.TaskHead(code=source, items_size=2), b"[]"))
                    connections = self.connector.begin(worker.take_handed())
                    kind, payload = await worker.receive({Kind.RESULT: 2**20, Kind.FAILED: 2**18})
                    if kind is Kind.RESULT:
                        result = json.loads(bytes(wire.split_head(payload)[1]))
                    else:
                        result = f"failed: {msgspec.json.decode(payload)['message']}"
                except WorkerGone:
                    worker.close_socket()
                    await worker.exited.wait()
                    result = signal.Signals(worker.status & 0x7F).name if worker.status else "ended"
        finally:
            self.pool.discard(worker)
            if connections is not None:
                connections.end()
        assert connections is not None
        assert self.faults == []
        return Came(result, connections.seen, connections.refusals)

    async def serve(self, handler: Callable[[trio.SocketStream], Awaitable[object]], host: str = "127.0.0.1") -> int:
        """Serve TCP with `handler`; the port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = trio.socket.from_stdlib_socket(socket.create_server((host, 0), family=family))
        self.nursery.start_soon(trio.serve_listeners, handler, [trio.SocketListener(server)])
        return int(server.getsockname()[1])


async def echo(stream: trio.SocketStream) -> None:
    """Give back what comes."""
    async with stream:
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass


@asynccontextmanager
async def rig(
    *allow: str,
    limits: ConnectLimits = LIMITS,
    brokers: Iterable[str] = (),
    hosts: dict[str, list[str]] | None = None,
    size: int = 2,
    read_paths: tuple[str, ...] = (),
    language: LanguagePolicy | None = None,
    **isolation: Any,
) -> AsyncIterator[Rig]:
    """A warm pool whose tasks may connect to `allow`. With `language` they come from above, as people's do."""
    config = wire.ZygoteConfig(
        language=language or LanguagePolicy(),
        isolation=IsolationConfig(
            connections=True, read_paths=(*certificates(), *resolver_files(), *read_paths), **isolation
        ),
        probe=language is None,
        patience=SLOWNESS,
    )
    names = FixedNames(HOSTS if hosts is None else hosts)
    names.nameservers = SystemResolver().nameservers
    faults: list[Exception] = []
    pool = WorkerPool(config, size=size)
    made: list[Rig] = []

    class Meter:
        def connection(self, outcome: str) -> None:
            made[0].connection(outcome)

    connector = Connector(
        Destinations(map(parse_entry, allow)), names, limits, meter=Meter(), brokers=brokers, fault=faults.append
    )
    async with trio.open_nursery() as nursery:
        made.append(Rig(pool, connector, names, nursery, faults))
        await nursery.start(pool.run)
        await nursery.start(connector.run)
        await pool.wait_warm(1)
        try:
            yield made[0]
        finally:
            pool.close()
            nursery.cancel_scope.cancel()
