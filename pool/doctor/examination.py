"""``reptarium doctor``: what the sandbox is made of on this machine, and what a worker could really do.

Two tables. The first shows each layer as the zygote found it: active, partial, missing or off, why, and
what to change. The second is not about configuration at all: a real pool is started with the settings of
this environment, and a worker *tries*, below the language layer, what no task may do (and what every task
must be able to do). Harmless throughout: signal 0, an unused name, a read of one byte.

When ``enforce`` refuses to start, the tables are made under ``best-effort`` and the refusal is shown above
them. Exit status 0: every layer that is needed holds, or another does its work, and every attempt ended as it must; 1
otherwise; 2: usage. Slow machines are waited for; where that ends, nothing is called open that was only slow.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog
import trio

from reptarium.pool.doctor.attempts import ATTEMPTS, CONNECTING, IN_A_MODE, PROGRAM, scratch_attempts
from reptarium.pool.doctor.finding import Attempt, Examination
from reptarium.pool.powers.connections import ConnectLimits
from reptarium.pool.powers.connector import Connector
from reptarium.pool.powers.destinations import Destinations, parse_entry
from reptarium.pool.powers.resolver import SystemResolver
from reptarium.pool.refusal import PoolRefused
from reptarium.pool.workers.pool import WorkerPool
from reptarium.pool.workers.waiting import NoWorker
from reptarium.pool.workers.worker import Worker, WorkerGone, describe_status
from reptarium.pool.workers.zygote import ZygoteSlow
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import LayerStatus
from reptarium.sandbox.wire import Kind, ZygoteConfig

log = structlog.get_logger("reptarium.pool.doctor")

#: How many times as long as usual a start may take, in seconds until a pool must have its first worker; seconds for one
#: attempt. Emulated processors of a busy machine need a good part of that.
PATIENCE, START, STEP = 5.0, 720.0, 120.0


class _Unfinished(Exception):
    """Something took too long; the text says what."""


@dataclass
class _Found:
    """What has been found so far."""

    layers: tuple[LayerStatus, ...] = ()
    attempts: list[Attempt] = field(default_factory=list)
    worker: dict[str, str] = field(default_factory=dict)
    tricks: tuple[wire.Trick, ...] = ()


async def examine(config: ZygoteConfig) -> Examination:
    """Start a pool with `config` and look at it from inside and outside, from below the language layer and above.

    A refused start is part of the finding, not an exception.
    """
    config = msgspec.structs.replace(config, patience=PATIENCE)
    found = await _examine(config)
    if not found.refusal or config.isolation.policy == "best-effort":
        return found
    config = _without_connections(config)  # which start with everything they need, or not at all
    weaker = msgspec.structs.replace(
        config,
        isolation=msgspec.structs.replace(config.isolation, policy="best-effort"),
        language=msgspec.structs.replace(config.language, mode="restricted"),  # the other needs all layers
    )
    return msgspec.structs.replace(await _examine(weaker), refusal=found.refusal, policy=config.isolation.policy)


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _examine(config: ZygoteConfig) -> Examination:
    """What is found with that configuration, and no other."""
    found, refusal, unfinished = _Found(), "", ""
    try:
        await _examine_pool(config, found)
    except (PoolRefused, NoWorker, _Unfinished, BaseExceptionGroup) as error:
        leaf = _leaf(error)
        if isinstance(leaf, _Unfinished | NoWorker) or isinstance(leaf.__cause__, ZygoteSlow):
            unfinished = str(leaf)
        elif isinstance(leaf, PoolRefused):
            refusal = str(leaf)
        else:
            raise
    return Examination(
        python=platform.python_version(),
        kernel=platform.release(),
        machine=platform.machine(),
        policy=config.isolation.policy,
        refusal=refusal,
        layers=found.layers,
        attempts=tuple(found.attempts),
        worker=found.worker,
        tricks=found.tricks,
        unfinished=unfinished,
    )


@contextlib.contextmanager
def _within(seconds: float, what: str) -> Iterator[None]:
    """Raises _Unfinished when the block takes longer."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise _Unfinished(f"{what} took more than {seconds:g} s: this machine is very slow, or a process hangs")


async def _examine_pool(config: ZygoteConfig, found: _Found) -> None:
    connecting, config = msgspec.structs.replace(config, probe=True), _without_connections(config)
    attempts = found.attempts
    unused = f"reptarium-doctor-{secrets.token_hex(8)}"
    async with _warm(msgspec.structs.replace(config, probe=True)) as pool:
        found.layers, found.tricks = pool.layers, pool.tricks
        seen = await pool.lease()
        found.worker = _outside(seen)
        pool.discard(seen)
        writes = "works" if config.isolation.scratch_bytes else "refused"
        for name, layer, wanted, expression in (*ATTEMPTS, *scratch_attempts(writes)):
            got = await _try(pool, name, _natively(expression, config, unused))
            attempts.append(Attempt(name=name, layer=layer, wanted=wanted, got=got))
    nothing_removed = msgspec.structs.replace(config.language, builtins_deny=())
    async with _warm(msgspec.structs.replace(config, language=nothing_removed)) as pool:
        for name, mode, code in IN_A_MODE:
            wanted = "works" if config.language.mode == mode else "refused"
            attempts.append(Attempt(name=name, layer="language", wanted=wanted, got=await _try(pool, name, code)))
    if connecting.isolation.connections:
        found.layers = await _examine_connections(connecting, attempts)
    _tidy(unused)


@contextlib.asynccontextmanager
async def _warm(config: ZygoteConfig) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(config, size=2)
    async with trio.open_nursery() as nursery:
        with _within(START, "the start of a pool"):
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


def _natively(expression: str, config: ZygoteConfig, unused: str) -> str:
    facts = {
        "SUPERVISOR": os.getpid(),
        "UNUSED": unused,
        "OWN": wire.__file__,
        "MEMORY": config.isolation.memory,
        "FILES": config.isolation.open_files,
    }
    program = "\n".join(f"{name} = {value!r}" for name, value in facts.items())
    return program + PROGRAM.replace("{expression}", expression)


async def _try(pool: WorkerPool, name: str, program: str) -> str:
    with _within(STEP, f"“{name}”"):
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
        connector = Connector(rules, SystemResolver(), limits, fault=_say_fault)
        await nursery.start(pool.run)
        await nursery.start(connector.run)
        for name, wanted, expression in CONNECTING:
            program = f"LISTED = {port}\n" + PROGRAM.replace("{expression}", expression)
            with _within(STEP, f"“{name}”"):
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
