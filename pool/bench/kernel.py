"""What the kernel layer costs: ``python -m reptarium.pool.bench.kernel``.

Forks workers like the zygote does, one after the other, and times ``restrict_worker`` inside each, with a
monotonic clock, from the fork's return to the last filter in force (and until it tells where its scratch directory is,
if it has one): page faults of the fresh process are part of it. The fork call itself is timed, too, and so is the way
of a small task to the parked worker and back, both without any restriction and with all of it, to show that neither
gets dearer: what restriction costs is paid while a worker is made, ahead of need.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from reptarium.sandbox import wire
from reptarium.sandbox.kernel import IsolationConfig, LayerStatus, Prepared, prepare
from reptarium.sandbox.language import LanguagePolicy
from reptarium.sandbox.process.worker import WorkerLife

#: The budget of a worker's restriction in milliseconds (median), and what a scratch directory may add.
BUDGET_MS, SCRATCH_MS = 0.5, 0.1
#: What each configuration with scratch directories is compared with.
_WITHOUT = {
    "stock container, scratch": "stock container (no namespaces)",
    "namespaces, scratch": "namespaces as permitted",
}


class Cost(msgspec.Struct, frozen=True):
    """Milliseconds of one configuration over `forks` workers: medians, and the 10th and 95th percentile of
    the restriction.
    """

    name: str
    forks: int
    restrict_ms: float
    restrict_p10_ms: float
    restrict_p95_ms: float
    fork_ms: float
    plain_fork_ms: float
    dispatch_ms: float
    plain_dispatch_ms: float
    prepare_ms: float
    zygote_ms: float
    layers: tuple[LayerStatus, ...]


def measure(name: str, config: IsolationConfig, forks: int, imports: Sequence[str] = ()) -> Cost:
    """Measure `config` in a throw-away zygote (a fork of this process, which stays unrestricted).

    Raises RuntimeError with the child's words when it couldn't restrict itself.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            answer = msgspec.json.encode(_zygote(name, config, forks, imports, writer))
        except BaseException as error:
            answer = msgspec.json.encode(f"{type(error).__name__}: {error}")
        while answer:
            answer = answer[os.write(writer, answer) :]
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(pid, 0)
    found = msgspec.json.decode(raw, type=Cost | str)
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


def _zygote(name: str, config: IsolationConfig, forks: int, imports: Sequence[str], answer: int) -> Cost:
    for module in imports:
        __import__(module)
    start = time.perf_counter()
    prepared = prepare(config)
    ready = time.perf_counter()
    life = WorkerLife(wire.ZygoteConfig(language=LanguagePolicy(), isolation=config))
    plain = [_fork(None, life) for _ in range(forks)]
    before = time.perf_counter()
    layers = prepared.restrict_zygote([answer])
    after = time.perf_counter()
    prepared.rehearse()
    if prepared.scratch is not None:
        life.make_room(prepared.scratch)
    _fork(prepared, life)  # the first one pays for what the zygote's own pages cost once
    samples = [_fork(prepared, life) for _ in range(forks)]
    restricted = sorted(sample.restrict for sample in samples)
    return Cost(
        name=name,
        forks=forks,
        restrict_ms=statistics.median(restricted) * 1e3,
        restrict_p10_ms=restricted[len(restricted) // 10] * 1e3,
        restrict_p95_ms=restricted[int(len(restricted) * 0.95)] * 1e3,
        fork_ms=statistics.median(sample.fork for sample in samples) * 1e3,
        plain_fork_ms=statistics.median(sample.fork for sample in plain) * 1e3,
        dispatch_ms=statistics.median(sample.dispatch for sample in samples) * 1e3,
        plain_dispatch_ms=statistics.median(sample.dispatch for sample in plain) * 1e3,
        prepare_ms=(ready - start) * 1e3,
        zygote_ms=(after - before) * 1e3,
        layers=layers,
    )


class _Sample(NamedTuple):
    """Seconds in restrict_worker, of the fork call as the zygote sees it, and of a task's way to the
    parked worker and back.
    """

    restrict: float
    fork: float
    dispatch: float


_TASK = msgspec.json.encode([{"n": n} for n in range(100)])


def _fork(prepared: Prepared | None, life: WorkerLife) -> _Sample:
    """Make one worker, park it, give it a task, and see it end."""
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        began = time.perf_counter()
        if prepared is not None:
            prepared.restrict_worker(theirs.fileno(), parent, 0)
            life.settle_in()
        took = time.perf_counter() - began
        os.write(theirs.fileno(), struct.pack("=d", took))
        # parked: what is timed from outside now is waking up, a little work, and the answer
        task = msgspec.json.decode(os.read(theirs.fileno(), 4096))
        os.write(theirs.fileno(), msgspec.json.encode([row["n"] * 2 for row in task]))
        os._exit(0)
    forked = time.perf_counter() - start
    theirs.close()
    try:
        data = ours.recv(8)
        if len(data) != 8:
            raise RuntimeError("a worker ended before it was restricted")
        sent = time.perf_counter()
        ours.sendall(_TASK)
        ours.recv(4096)
        dispatched = time.perf_counter() - sent
    finally:
        ours.close()
        os.waitpid(pid, 0)
    return _Sample(struct.unpack("=d", data)[0], forked, dispatched)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the costs; exit status 1 when a median is over the budget."""
    parser = argparse.ArgumentParser(prog="python -m reptarium.pool.bench.kernel", description=__doc__.split("\n")[0])
    parser.add_argument("--forks", type=int, default=300, help="workers per configuration (300)")
    parser.add_argument("--import", dest="imports", action="append", default=[], help="a module to preload")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    policy: Literal["best-effort"] = "best-effort"
    configurations = {
        "stock container (no namespaces)": IsolationConfig(policy=policy, namespaces="off"),
        "namespaces as permitted": IsolationConfig(policy=policy),
    }
    if os.geteuid() == 0:
        configurations["one user id per worker"] = IsolationConfig(policy=policy, worker_uids=(70000, 70999))
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o1777)  # as the supervisor's, for workers of other users
        for name, without in _WITHOUT.items():
            told = {"scratch": base, "scratch_bytes": 2**20}
            configurations[name] = msgspec.structs.replace(configurations[without], **told)
        costs = [measure(name, config, arguments.forks, arguments.imports) for name, config in configurations.items()]
    if arguments.json:
        print(json.dumps([msgspec.to_builtins(cost) for cost in costs], indent=2))
    else:
        print(
            f"Python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} processors, "
            f"{arguments.forks} forks each; medians in ms"
        )
        print(f"{'':34}{'restrict':>9}{'p95':>8}{'fork (plain)':>17}{'dispatch (plain)':>18}{'zygote, once':>14}")
        for cost in costs:
            once = cost.prepare_ms + cost.zygote_ms
            print(
                f"{cost.name:34}{cost.restrict_ms:9.3f}{cost.restrict_p95_ms:8.3f}"
                f"{cost.fork_ms:9.3f} ({cost.plain_fork_ms:.3f})"
                f"{cost.dispatch_ms:10.3f} ({cost.plain_dispatch_ms:.3f}){once:14.1f}"
            )
        by_name = {cost.name: cost for cost in costs}
        for name, without in _WITHOUT.items():
            own, base_line = by_name[name], by_name[without]
            print(
                f"{name}: {own.restrict_ms - base_line.restrict_ms:+.3f} ms, in the fastest tenth of each "
                f"{own.restrict_p10_ms - base_line.restrict_p10_ms:+.3f} ms; target: at most {SCRATCH_MS:+}"
            )
        print(f"restrict: budget {BUDGET_MS} ms, off the dispatch path; plain: the same without any restriction")
    return 0 if all(cost.restrict_ms <= BUDGET_MS for cost in costs) else 1


if __name__ == "__main__":
    sys.exit(main())
