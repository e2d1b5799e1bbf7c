"""The worker pool's fault boundaries: a brood's fault ends the brood, and what others are told ends nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.workers import brood as brood_module
from reptarium.pool.workers.brood import HUNG, Brood
from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.pool import WorkerPool
from reptarium.sandbox import wire
from tests.conftest import make_settings
from tests.limits import fail_after


class Zygote:
    """A process that is none: it greets, and makes no worker. What it can't do is ``broken``."""

    pid = 1
    broken: str = ""
    made: list[Zygote]

    def __init__(self) -> None:
        self.killed = False
        self.made.append(self)

    def _stumble(self, at: str) -> None:
        if self.broken == at and self is self.made[0]:
            raise ValueError("of a kind that nobody foresaw")

    async def greet(self, config: object) -> wire.Hello:
        """It is ready."""
        return wire.Hello(python="3", layers=())

    async def log_stderr(self) -> None:
        """It says nothing."""

    async def receive(self) -> None:
        """It makes no worker."""
        await trio.sleep_forever()

    def order(self, workers: int, *, urgent: bool) -> bool:
        """It takes every order."""
        self._stumble("order")
        return True

    def kill(self) -> None:
        """It ends."""
        self.killed = True

    async def bury(self, left: object, exited: object) -> None:
        """It has ended."""
        self._stumble("bury")


@asynccontextmanager
async def pool_of(broken: str, patch: pytest.MonkeyPatch) -> AsyncIterator[tuple[WorkerPool, Callable[[str], float]]]:
    """A pool whose first zygote can't do that, and how many faults a part has met."""
    patch.setattr(Zygote, "made", [], raising=False)
    patch.setattr(Zygote, "broken", broken)
    patch.setattr(brood_module, "ZygoteProcess", Zygote)
    metrics = Metrics()
    pool = WorkerPool(zygote_config(make_settings()), size=2, meter=metrics)

    def faults(part: str) -> float:
        return metrics.registry.get_sample_value("reptarium_faults_total", {"part": part}) or 0.0

    with fail_after(100):
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            yield pool, faults
            nursery.cancel_scope.cancel()


async def test_a_fault_with_an_order_ends_the_zygote(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Whoever needed a worker goes on, and another zygote follows."""
    async with pool_of("order", monkeypatch) as (pool, faults):
        await trio.sleep(1.0)
        assert [zygote.killed for zygote in Zygote.made] == [True, False]
        assert (faults("zygote"), faults("pool")) == (1, 0)
        assert pool.trouble


async def test_a_fault_in_looking_at_a_zygote_ends_it(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Whoever looks has others to look at."""
    monkeypatch.setattr(Brood, "retire", lambda brood, problem: brood.zygote._stumble("look"))
    async with pool_of("look", monkeypatch) as (_, faults):
        await trio.sleep(HUNG + 2.0)
        assert [zygote.killed for zygote in Zygote.made] == [True, False]
        assert (faults("zygote"), faults("pool")) == (1, 0)


async def test_a_fault_in_a_burial_is_counted(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """The zygote that hung is one fault, its burial another; the next zygote is there all the same."""
    async with pool_of("bury", monkeypatch) as (_, faults):
        await trio.sleep(HUNG + 2.0)
        assert len(Zygote.made) == 2
        assert (faults("zygote"), faults("pool")) == (2, 0)


async def test_who_is_told_of_the_limit_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """It is told in the midst of something else, which is gone on with."""

    def stumble() -> None:
        raise ValueError("of a kind that nobody foresaw")

    async with pool_of("", monkeypatch) as (pool, faults):
        pool.on_limit = stumble
        pool.limit = 7  # as if it had changed
        await trio.sleep(1.0)
        assert [zygote.killed for zygote in Zygote.made] == [False]
        assert (faults("zygote"), faults("pool")) == (0, 1)
