"""Zygotes that lie: a real process in a real zygote's place, and a pool whose next zygote is one."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest
import trio

from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.workers import zygote
from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.pool import WorkerPool
from tests.conftest import make_settings

_PROGRAM = r'''
import json, os, signal, socket, sys, time
control = socket.socket(fileno=int(sys.argv[1]))
control.recv(1 << 18)
def say(what, *fds):
    raw = what if isinstance(what, bytes) else json.dumps(what).encode()
    socket.send_fds(control, [raw], fds)
def hello():
    say({"type": "hello", "python": "3", "layers": []})
def order():
    return json.loads(control.recv(1 << 18))["count"]
def worker(code="_ = input.recv(9)"):
    """A child that says that it is ready; its pid, its socket, its pidfd."""
    ours, input = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        control.close()
        input.send(bytes([16, 0, 0, 0, 0, 0, 0, 0]))
        exec(code)
        os._exit(0)
    return pid, ours, os.pidfd_open(pid)
def forked(pid, *fds):
    say({"type": "forked", "pid": pid}, *fds)
'''


class Reports(Reporter):
    """Keeps what would go to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[BaseException, dict[str, str]]] = []

    def report(self, error: BaseException, **tags: str) -> None:
        """Keep it."""
        self.kept.append((error, tags))


class Pool:
    """A warm pool of real workers, what it counts and reports, and its zygote's process."""

    def __init__(self, size: int) -> None:
        self.metrics, self.reports = Metrics(), Reports()
        self.pool = WorkerPool(
            zygote_config(make_settings()), size=size, meter=self.metrics, faults=OwnFaults(self.metrics, self.reports)
        )
        self.limits: list[int | None] = []
        self.pool.on_limit = lambda: self.limits.append(self.pool.limit)

    @property
    def zygotes(self) -> list[psutil.Process]:
        """Every zygote there is."""
        return psutil.Process().children()

    def sample(self, name: str, **labels: str) -> float:
        """A metric's value."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    @property
    def faults(self) -> float:
        """How many faults of zygotes were counted."""
        return self.sample("reptarium_faults_total", part="zygote")


@asynccontextmanager
async def warm_pool(size: int = 3) -> AsyncIterator[Pool]:
    """A pool that has all its workers, from an honest zygote."""
    here = Pool(size)
    async with trio.open_nursery() as nursery:
        await nursery.start(here.pool.run)
        await here.pool.wait_warm()
        yield here
        here.pool.close()
        nursery.cancel_scope.cancel()


def lying(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """The next zygotes do ``what`` instead of an honest one's work."""
    monkeypatch.setattr(zygote, "_COMMAND", (sys.executable, "-c", _PROGRAM + what))


async def until(condition: object) -> None:
    """Wait until ``condition()``."""
    assert callable(condition)
    while not condition():
        await trio.sleep(0.01)
