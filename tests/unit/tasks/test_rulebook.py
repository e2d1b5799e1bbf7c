"""Reading a policy anew, whatever the disk does meanwhile."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from reptarium.pool.config import Settings
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.policy.file import read_policy
from reptarium.pool.policy.rules import Policy
from reptarium.pool.tasks import rulings
from reptarium.pool.tasks.rulings import Rulebook, wanted_pools
from reptarium.pool.workers.pools import Pools
from tests.conftest import make_settings
from tests.limits import fail_after

RULE = "[[rule]]\nname = '%s'\ntask_timeout = 1.0"


def rulebook(path: Path) -> Rulebook:
    """Of a file with one rule, "first"."""
    path.write_text(RULE % "first")
    metrics = Metrics()
    policy = read_policy(str(path), make_settings({"REPTARIUM_POLICY": str(path)}))
    config = wanted_pools(policy)[0][1]
    pools = Pools(config, size=1, meter=metrics, faults=OwnFaults(metrics, Reporter()), most=2)
    return Rulebook(policy, pools, metrics.policy)


def names(book: Rulebook) -> list[str]:
    """Of the rules in force."""
    return [rule.name for rule in book.policy.rules]


async def test_what_was_read_last_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks while it is being read has it read once more: a slow disk doesn't bring back what is old."""
    path = tmp_path / "policy.toml"
    book = rulebook(path)
    goes_on, reads = threading.Event(), []

    def slow(path: str, settings: Settings) -> Policy:
        policy = read_policy(path, settings)
        reads.append(policy)
        goes_on.wait(10)
        return policy

    monkeypatch.setattr(rulings, "read_policy", slow)
    with fail_after(20):
        async with trio.open_nursery() as nursery:
            for name in ("second", "third", "fourth"):
                await trio.Path(path).write_text(RULE % name)
                nursery.start_soon(book.reload)
                while not reads:
                    await trio.sleep(0.001)
            goes_on.set()
    assert names(book) == ["fourth"]
    assert len(reads) == 2


async def test_a_disk_that_hangs_keeps_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules before stay, which is said; who asks again takes no thread more; once it goes on, so does this."""
    monkeypatch.setattr(rulings, "READING", 0.05)  # of the real clock: a thread takes part
    path, goes_on, read = tmp_path / "policy.toml", threading.Event(), rulings.read_policy
    book = rulebook(path)

    def hanging(path: str, settings: Settings) -> Policy:
        goes_on.wait(60)
        return read(path, settings)

    monkeypatch.setattr(rulings, "read_policy", hanging)
    before = len(os.listdir("/proc/self/task"))
    with fail_after(60), capture_logs() as logs:
        for _ in range(3):
            await book.reload()
        assert [line["problem"] for line in logs] == [f"{path}: can't be read within 0.05 s"] * 3
        assert len(os.listdir("/proc/self/task")) <= before + 1
        path.write_text(RULE % "second")
        goes_on.set()
        while names(book) == ["first"]:
            await book.reload()
    assert names(book) == ["second"]
