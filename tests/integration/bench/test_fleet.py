"""`bench --listen`: runners that were started elsewhere, scripted ones, over loopback. Each test bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from reptarium.pool.bench import fleet, report
from reptarium.pool.bench.cases import CASES
from reptarium.pool.bench.load import Plan, Round, run_round
from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from tests.integration.embedded_broker.broker_runner import FakeRunner, fake_runner
from tests.limits import fail_after

TRIVIAL = partial(CASES.__getitem__, "trivial")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Broker]:
    """The brokers that fleets open; nothing settles meanwhile."""
    found: list[Broker] = []

    @asynccontextmanager
    async def recorded(config: BrokerConfig) -> AsyncIterator[Broker]:
        async with open_broker(config) as broker:
            found.append(broker)
            yield broker

    monkeypatch.setattr(fleet, "open_broker", recorded)
    monkeypatch.setattr(fleet, "_SETTLING", 0.0)
    return found


async def serve(runner: FakeRunner, tasks: int) -> None:
    """Do some tasks, and leave in the midst of one more."""
    await runner.register("Scripted")
    for _ in range(tasks):
        await runner.offer()
        settings = await runner.take()
        number = settings["settings"]["items"][0]["json"]["n"]
        await runner.done(settings["taskId"], [{"json": {"n": number + 1}}])
    await runner.offer()
    await runner.take()
    await runner.vanish()


async def test_runners_come_and_go(opened: list[Broker]) -> None:
    """They are waited for; one that is lost in the midst of a task costs that task, and the report has it all."""
    said: list[str] = []
    config = BrokerConfig(host="127.0.0.1", auth_token="two words")

    async def runner(name: str, tasks: int) -> None:
        while not opened:
            await trio.testing.wait_all_tasks_blocked()
        async with fake_runner(opened[0], name, register=False) as one:
            await serve(one, tasks)

    with fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runner, "first", 30)
            nursery.start_soon(runner, "second", 10)
            async with fleet.open_fleet(
                "fleet", config, expected=2, within=10, say=said.append, token_said=True
            ) as site:
                found = Round()
                await run_round(site, TRIVIAL, Plan(tasks=42, concurrency=2), into=found)
                result = report.case_result("trivial", "load", site, [found])
    assert said[1:3] == [
        f"  N8N_RUNNERS_TASK_BROKER_URI=http://127.0.0.1:{opened[0].port}",
        "  N8N_RUNNERS_AUTH_TOKEN='two words'",
    ]
    assert {line.split(";")[0] for line in said if " came" in line} == {
        "Scripted (first) came",
        "Scripted (second) came",
    }
    assert (result.good, result.failed) == (40, {"disconnected": 2})
    assert [(part.name, part.good, part.failed) for part in result.by_runner] == [
        ("Scripted (first)", 30, {"disconnected": 1}),
        ("Scripted (second)", 10, {"disconnected": 1}),
    ]
    assert result.cpu_per_task is None
    assert result.fleet is not None
    assert (result.fleet.expected, result.fleet.least, result.fleet.most) == (2, 0, 2)
    gone = [change.text for change in result.fleet.changes]
    assert gone[0].startswith("Scripted (second) went, with 1 tasks: ")
    assert gone[0].endswith("; 1 of 2")
    assert result.command == "runners that were started elsewhere"


async def test_who_does_not_come_is_told(opened: list[Broker], autojump_clock: trio.testing.MockClock) -> None:
    """Every few seconds how many are there, and at the end of the time what to look at."""
    said: list[str] = []
    with pytest.raises(fleet.NotThere, match=r"0 of 3 runners came within 12 s .*N8N_RUNNERS_TASK_BROKER_URI"):
        async with fleet.open_fleet("fleet", BrokerConfig(), expected=3, within=12, say=said.append, token_said=False):
            raise AssertionError("nobody is there")
    assert said.count("waiting for runners: 0 of 3") == 2
    assert not any("AUTH_TOKEN" in line for line in said)
