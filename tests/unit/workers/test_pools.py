"""Which pool a rule's tasks get, and what that does to capacity. No process is started."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.refusal import PoolRefused
from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.pools import AGAIN, LOOK, TENURE, Pools, SidePool
from reptarium.pool.workers.sharing import fits, pool_for
from reptarium.pool.workers.waiting import NoWorker
from reptarium.sandbox.wire import ZygoteConfig
from tests.conftest import make_settings
from tests.limits import fail_after

OWN, SMALL, LARGE = {}, {"TASK_MEMORY": "64MiB"}, {"TASK_MEMORY": "2GiB"}  # type: ignore[var-annotated]
PYTHON, FILES = {"LANGUAGE": "python"}, {"SCRATCH": "1MiB"}
MORE_FILES = {"SCRATCH": "2MiB", **LARGE}


def config(environ: dict[str, str]) -> ZygoteConfig:
    """What workers are made with under these settings."""
    return zygote_config(make_settings({f"REPTARIUM_{name}": value for name, value in environ.items()}))


def pools(*shared: dict[str, str]) -> Pools:
    """The first pool, made for the environment and these."""
    metrics = Metrics()
    made = pool_for([config(OWN), *map(config, shared)])
    return Pools(made, size=4, meter=metrics, faults=OwnFaults(metrics, Reporter()), most=3, idle=60)


def lenders(pools: Pools, *wanted: dict[str, str]) -> list[Any]:
    """Whom tasks of these get their workers of; each must be able to serve them."""
    configs = [config(one) for one in wanted]
    found = pools.lenders(configs)
    assert all(fits(one, made) for one, (_, made) in zip(configs, found, strict=True))
    return [lender for lender, _ in found]


def test_as_few_pools_as_can_be() -> None:
    """One for all that agree in what must be decided before fork; the first where that can serve."""
    it = pools(SMALL)
    own, small, python, files, more = lenders(it, OWN, SMALL, PYTHON, FILES, MORE_FILES)
    assert own is small is it.default
    assert files is more
    assert python is not files
    assert isinstance(python, SidePool)
    assert it.count == 1  # none is made before a task comes


def test_other_rules_keep_the_pools_that_can_serve_them() -> None:
    """A pool that none takes is retired; a limit beyond what one was made for is another's."""
    it = pools()
    python, files = lenders(it, PYTHON, FILES)
    assert lenders(it, {**PYTHON, **SMALL}) == [python]
    assert (python.retired, files.retired) == (False, True)
    own, large, more, again = lenders(it, OWN, LARGE, {**PYTHON, **LARGE}, PYTHON)
    assert own is it.default
    assert large not in (it.default, python, more)
    assert (more.retired, again) == (False, python)
    assert lenders(it, PYTHON) == [python]
    assert (large.retired, more.retired) == (True, True)


def test_capacity_follows_the_first_pool() -> None:
    """While that can't start workers, what tasks have of others counts beside what it can serve; else nothing does."""
    it = pools()
    (python,) = lenders(it, PYTHON)
    told: list[int | None] = []
    it.on_limit = lambda: told.append(it.limit)
    python.users = 2
    it.weigh()
    assert (it.limit, told) == (None, [])
    it.default.limit = 1
    it.weigh()
    assert told == [3]


class Imaginary:
    """In place of a pool: it is ready after a second, unless it can't be made, and has as many workers as one likes."""

    def __init__(self, refused: bool) -> None:
        self.size, self.limit, self.layers, self.workers = 1, None, (), {}
        self._refused = refused

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        await trio.sleep(1)
        if self._refused:
            raise PoolRefused("as told")
        task_status.started()
        await trio.sleep_forever()

    async def lease(self) -> Any:
        return SimpleNamespace(number=object())

    def lease_nowait(self) -> Any:
        """There is always one."""
        return SimpleNamespace(number=object())

    def discard(self, worker: Any, reason: object) -> None:
        """Its task has ended."""


@pytest.fixture
def living(monkeypatch: pytest.MonkeyPatch) -> Pools:
    """Two pools at most, those of rules imaginary: with a memory limit of 2 GiB none can be made."""
    it = pools()
    it._most = 2
    monkeypatch.setattr(it.default, "run", Imaginary(refused=False).run)
    monkeypatch.setattr(it, "_make", lambda made, number, size: Imaginary(made.isolation.memory == 2 << 30))
    return it


async def use(side: SidePool, seconds: float, order: list[str], name: str) -> None:
    """A task that has a worker of a pool for so long."""
    try:
        worker = await side.lease()
    except NoWorker:
        order.append(f"no {name}")
        return
    order.append(name)
    await trio.sleep(seconds)
    side.discard(worker)


async def test_a_worker_that_is_had_at_once_counts_as_any_other(
    living: Pools, autojump_clock: trio.testing.MockClock
) -> None:
    """There is none before its pool is ready, nor of one that makes room; each counts until it is let go of."""
    (python,) = lenders(living, PYTHON)
    told: list[int | None] = []
    with fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(living.run)
            assert python.lease_nowait() is None
            nursery.start_soon(use, python, 0, [], "starts it")
            await trio.sleep(0.5)
            assert python.pool is not None
            assert python.lease_nowait() is None
            first = await python.lease()
            await trio.sleep(0.5)
            living.default.limit, living.on_limit = 1, lambda: told.append(living.limit)
            others = [python.lease_nowait() for _ in range(living.size)]
            assert None not in others
            assert told == [3, 4, 5, 6]
            assert python.users == living.size + 1
            assert python.pool.size == living.size
            python.yields = True
            assert python.lease_nowait() is None
            python.yields = False
            for worker in (first, *others):
                python.discard(worker)
            assert python.users == 0
            nursery.cancel_scope.cancel()


async def test_who_waits_longest_for_a_pool_is_next(living: Pools, autojump_clock: trio.testing.MockClock) -> None:
    """However many want one meanwhile, and whoever has had one already: it waits in line behind them."""
    wanted = lenders(living, PYTHON, FILES, {**PYTHON, **FILES})
    order: list[str] = []
    with fail_after(120):
        async with trio.open_nursery() as nursery:
            await nursery.start(living.run)
            async with trio.open_nursery() as tasks:
                for name, side in zip("abcabcabc", wanted * 3, strict=True):
                    tasks.start_soon(use, side, TENURE + 2 * LOOK, order, name)
                    await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
    assert order == [*"aaabbbccc"]


async def test_a_pool_that_cannot_be_made_takes_no_room(living: Pools, autojump_clock: trio.testing.MockClock) -> None:
    """Its tasks are told so, and those who waited meanwhile get theirs, one after the other."""
    refused, python, files = lenders(living, {**PYTHON, **FILES, **LARGE}, PYTHON, FILES)
    order: list[str] = []
    with fail_after(AGAIN):
        async with trio.open_nursery() as nursery:
            await nursery.start(living.run)
            for name, side in (("refused", refused), ("python", python), ("refused", refused), ("files", files)):
                nursery.start_soon(use, side, 0, order, name)
                await trio.sleep(0.1 if len(order) < 2 else 1)
            while "files" not in order:
                await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
    assert order == ["no refused", "no refused", "python", "files"]
