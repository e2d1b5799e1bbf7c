"""What nobody foresaw, in each part of a runner with two brokers: it is contained, counted, reported and answered.

Each test plants one exception (``Bomb``) and looks at the neighbour: the other broker's tasks all end well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from reptarium.pool.brokers import link as link_module
from reptarium.pool.brokers import reading
from reptarium.pool.brokers import task as task_module
from reptarium.pool.brokers.serving import Serving
from reptarium.pool.embedded_broker import Broker, BrokerConfig, TaskHandle, open_broker
from reptarium.pool.ops import faults as faults_module
from reptarium.pool.ops.metrics import FAULT_PARTS
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.runner import Runner
from reptarium.pool.tasks.execution import Execution
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
TOKEN = "the token of both"
#: Prints all the time, so that messages come back all the time.
LONG = "import time\nfor _ in range(600):\n    print('on')\n    time.sleep(0.05)\nreturn 1"
CALLS = "try:\n    _helpers.http_request('http://x.test')\nexcept Exception:\n    pass\nreturn 1"
FAULT = "The task failed through a fault of the runner"


class Bomb:
    """In the place of a function: goes off at its first call, and does what the function does from then on."""

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self.gone_off = False
        self._function = function

    def __call__(self, *given: Any, **named: Any) -> Any:
        if not self.gone_off:
            self.gone_off = True
            raise RuntimeError("a bug")
        assert self._function is not None
        return self._function(*given, **named)


class Reports(Reporter):
    """Keeps what would go to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[str, str]] = []

    def report(self, error: BaseException, **tags: str) -> None:
        self.kept.append((str(error), tags["part"]))


class Two:
    """Two brokers, one of which is to be hurt, and the runner that serves both."""

    def __init__(self, neighbour: Broker, hurt: Broker, runner: Runner, reports: Reports) -> None:
        self.neighbour, self.hurt, self.runner, self.reports = neighbour, hurt, runner, reports

    @property
    def serving(self) -> Serving:
        """What the hurt broker's connection carries."""
        (link,) = (link for link in self.runner.links if link.uri == self.hurt.uri)
        assert link._serving is not None
        return link._serving

    def faults(self) -> dict[str, float]:
        """How many faults were counted, by part."""
        value = self.runner.metrics.registry.get_sample_value
        counted = {part: value("reptarium_faults_total", {"part": part}) or 0 for part in FAULT_PARTS}
        return {part: count for part, count in counted.items() if count}

    async def contained(self, part: str, bomb: Bomb, count: int = 1) -> None:
        """The bomb goes off, and is counted and reported as ``part``'s: nothing else is."""
        await until(lambda: bomb.gone_off and self.faults())
        assert self.faults() == {part: count}
        assert self.reports.kept == [("a bug", part)] * count


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.01)


async def done(broker: Broker) -> None:
    outcome = await broker.submit({"code": "return 1", "items": []}).outcome()
    assert outcome.status == "done", outcome


async def running(broker: Broker) -> TaskHandle:
    handle = broker.submit({"code": LONG, "items": []})
    await until(lambda: handle.console)
    return handle


@asynccontextmanager
async def two_brokers(**changes: Any) -> AsyncIterator[Two]:
    """All is well with the neighbour at the end: a task that was there all the time, and many short ones."""
    config = BrokerConfig(auth_token=TOKEN, drain_grace=0.1)
    reports = Reports()
    async with open_broker(config) as neighbour, open_broker(config) as hurt, trio.open_nursery() as nursery:
        settings = make_settings(max_concurrency=4, warm_workers=4, **changes)
        uris = (neighbour.uri, hurt.uri)
        runner = Runner(
            msgspec.structs.replace(settings, broker_uris=uris, auth_token=TOKEN, graceful_shutdown_timeout=0.1),
            reporter=reports,
        )
        ended: list[int] = []

        async def run() -> None:
            ended.append(await runner.run())

        nursery.start_soon(run)
        await neighbour.wait_for_runner()
        await hurt.wait_for_runner()
        await runner.pool.wait_warm()
        kept = await running(neighbour)
        (view,) = neighbour.runners

        async def work() -> None:
            while True:
                await done(neighbour)
                await trio.sleep(0.05)  # what is tested is to have the processor too

        async with trio.open_nursery() as working:
            working.start_soon(work)
            yield Two(neighbour, hurt, runner, reports)
            working.cancel_scope.cancel()
        printed = len(kept.console)
        await until(lambda: len(kept.console) > printed)  # it still runs
        assert [one.id for one in neighbour.runners] == [view.id]
        await done(neighbour)
        assert not ended
        runner.shutdown()
        await until(lambda: ended)
        assert ended == [0]


Plant = Callable[[Two, pytest.MonkeyPatch], Bomb]


def _decoding(name: str) -> Plant:
    def plant(two: Two, patch: pytest.MonkeyPatch) -> Bomb:
        real = getattr(reading, name)
        bomb = Bomb()

        def decoding(frame: bytes) -> Any:
            # the hurt broker alone has tasks with this in their code
            return bomb() if b"going off" in frame and not bomb.gone_off else real(frame)

        patch.setattr(reading, name, decoding)
        two.hurt.submit(
            {"code": f"return 'going off'{' ' * reading.LIGHT * (name != 'plain_broker_message')}", "items": []}
        )
        return bomb

    return plant


def _in(place: Callable[[Serving], object], name: str) -> Plant:
    def plant(two: Two, patch: pytest.MonkeyPatch) -> Bomb:
        there = place(two.serving)
        bomb = Bomb(getattr(there, name))
        patch.setattr(there, name, bomb)
        return bomb

    return plant


#: Where a bomb is planted in what belongs to one connection.
PARTS: dict[str, Plant] = {
    "reading": _decoding("plain_broker_message"),
    "reading in turns": _decoding("decoding_broker_message"),
    "keeping time": _in(lambda serving: serving.session, "next_deadline"),
    "tick": _in(lambda serving: serving.session, "tick"),
    "receive": _in(lambda serving: serving.session, "receive"),
    "offer": _in(lambda serving: serving.session, "offer"),
    "acting": _in(lambda serving: serving, "_act"),
    "router": _in(lambda serving: serving._router, "deliver"),
    "keepalive": _in(lambda serving: serving.connection, "_ping"),
}


#: What is at work where every broker's messages are read, and where offers are made; the others are slow.
USUAL = ("reading", "offer")


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=() if part in USUAL else pytest.mark.slow) for part in PARTS]
)
async def test_a_fault_in_a_link_ends_its_connection_alone(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tasks are answered with an error that says whose fault it was, and the link comes back."""
    with fail_after(60):
        # which the neighbour has to answer within that time, too, on whatever machine
        async with two_brokers(**({"heartbeat_interval": 3.0} if part == "keepalive" else {})) as two:
            task = await running(two.hurt)
            (view,) = two.hurt.runners
            bomb = PARTS[part](two, monkeypatch)
            two.hurt.submit({"code": CALLS, "items": []})  # something happens
            two.serving.session._offers = dict.fromkeys(two.serving.session._offers, 0.0)  # and soon is due
            await two.contained("link", bomb)
            outcome = await task.outcome()
            assert (outcome.status, outcome.error and outcome.error.message) == ("error", FAULT)
            await until(lambda: [one.id for one in two.hurt.runners if one.registered and one.id == view.id])
            await done(two.hurt)
            assert two.runner.accepted <= 4


async def test_a_session_that_fails_over_an_outcome_answers_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result that the session stumbled over is sent, the other task is answered, the link comes back."""
    with fail_after(60):
        async with two_brokers() as two:
            task = await running(two.hurt)
            bomb = _in(lambda serving: serving.session, "finish")(two, monkeypatch)
            await done(two.hurt)
            await two.contained("link", bomb)
            outcome = await task.outcome()
            assert (outcome.status, outcome.error and outcome.error.message) == ("error", FAULT)
            await done(two.hurt)


async def test_a_fault_in_the_writer_ends_its_connection_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be said any more: the broker fails the tasks, the link comes back."""
    with fail_after(60):
        async with two_brokers() as two:
            task = await running(two.hurt)
            bomb = _in(lambda serving: serving.connection._ws, "_write")(two, monkeypatch)
            await two.contained("link", bomb)
            assert (await task.outcome()).status == "disconnected"
            await done(two.hurt)


async def test_a_fault_on_the_way_to_a_broker_is_one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong before there is a connection is tried again like a broker that is away."""
    with fail_after(60):
        async with two_brokers() as two:
            bomb = Bomb(link_module.fetch_grant)
            monkeypatch.setattr(link_module, "fetch_grant", bomb)
            (view,) = two.hurt.runners
            two.hurt.disconnect(view.id, abrupt=True)
            await two.contained("link", bomb)
            await done(two.hurt)


async def test_a_fault_in_a_link_beyond_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what reconnects may fail: it is started anew."""
    monkeypatch.setattr(faults_module, "PAUSE_FIRST", 0.01)
    with fail_after(60):
        async with two_brokers() as two:
            bomb = Bomb(link_module.backoff)
            monkeypatch.setattr(link_module, "backoff", bomb)
            (view,) = two.hurt.runners
            two.hurt.disconnect(view.id, abrupt=True)
            await two.contained("link", bomb)
            await done(two.hurt)


@pytest.mark.parametrize("name", [pytest.param("_listen", marks=pytest.mark.slow), "_dispatch", "kill"])
async def test_a_fault_in_a_task_fails_that_task_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its broker's other tasks don't notice; a fault in killing it is its connection's, which can't answer for it."""
    with fail_after(60):
        async with two_brokers() as two:
            other = await running(two.hurt)
            bombs: list[Bomb] = []
            real = getattr(Execution, name)

            def armed(self: Execution, *given: Any) -> Any:
                ours = self.settings is not None and self.settings.node_name == "the bomb"
                if ours and not bombs:
                    bombs.append(Bomb())
                    bombs[0]()
                return real(self, *given)

            monkeypatch.setattr(Execution, name, armed)
            task = two.hurt.submit({"code": LONG, "items": [], "nodeName": "the bomb"})
            if name == "kill":
                await until(lambda: task.console)
                task.cancel()
                await until(lambda: bombs)
                await two.contained("link", bombs[0])
                assert (await other.outcome()).status == "error"
            else:
                outcome = await task.outcome()
                assert (outcome.status, outcome.error and outcome.error.message) == ("error", FAULT)
                await two.contained("execution", bombs[0])
                assert not other.done
            await done(two.hurt)


async def test_a_fault_in_the_books_costs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task is answered before it is counted and logged: what goes wrong there is seen by nobody but us."""
    with fail_after(60):
        async with two_brokers() as two:
            bomb = Bomb(task_module.record_ended)
            monkeypatch.setattr(task_module, "record_ended", bomb)
            await done(two.hurt)
            await two.contained("execution", bomb)
            await done(two.hurt)


#: What belongs to no broker: the part, and where the bomb is planted.
SERVICES: dict[str, tuple[str, Callable[[Runner], object], str]] = {
    "slots": ("capacity", lambda runner: runner.capacity, "changed"),
    "slots in time": ("capacity", lambda runner: runner.capacity, "next_deadline"),
    "gauges": ("metrics", lambda runner: runner.metrics, "workers"),
    "watchdog": ("watchdog", lambda runner: runner.watchdog, "_look"),
}


@pytest.mark.parametrize(
    "service", [pytest.param(name, marks=pytest.mark.slow if number else ()) for number, name in enumerate(SERVICES)]
)
async def test_a_fault_in_a_service_is_nobodys_task(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What serves all goes on after its fault, and no task of any broker ends by it."""
    part, place, name = SERVICES[service]
    with fail_after(60):
        async with two_brokers() as two:
            task = await running(two.hurt)
            real = getattr(place(two.runner), name)
            again = trio.Event()

            def later(*given: Any, **named: Any) -> Any:
                again.set()
                return real(*given, **named)

            bomb = Bomb(later)
            monkeypatch.setattr(place(two.runner), name, bomb)
            await two.contained(part, bomb)
            await again.wait()
            await done(two.hurt)
            assert not task.done


async def test_a_fault_in_the_pool_is_a_zygote_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers go with it, every task is told so, and a new zygote serves both brokers over the same connections."""
    with fail_after(90):
        async with (
            open_broker(BrokerConfig(auth_token=TOKEN, drain_grace=0.1)) as broker,
            trio.open_nursery() as nursery,
        ):
            reports = Reports()
            settings = msgspec.structs.replace(make_settings(), broker_uris=(broker.uri,), auth_token=TOKEN)
            runner = Runner(settings, reporter=reports)
            nursery.start_soon(runner.run)
            view = await broker.wait_for_runner()
            await runner.pool.wait_warm()
            task = await running(broker)
            bomb = Bomb(runner.pool.ended)
            monkeypatch.setattr(runner.pool, "ended", bomb)
            short = broker.submit({"code": "return 1", "items": []})  # its worker's end is what goes off
            assert (await short.outcome()).status == "done"
            outcome = await task.outcome()
            assert outcome.error is not None
            assert outcome.error.message == "The sandbox was restarted while the task ran"
            await done(broker)
            assert [one.id for one in broker.runners] == [view.id]
            assert reports.kept == [("a bug", "zygote")]
            runner.shutdown()


@pytest.mark.parametrize(
    "name", ["drain", *(pytest.param(name, marks=pytest.mark.slow) for name in ("abort", "aclose"))]
)
async def test_a_fault_at_the_end_does_not_keep_the_runner(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shutdown that meets a fault is cut short, and is the end all the same, with status 0."""
    with fail_after(60):
        async with two_brokers() as two:
            (link,) = (link for link in two.runner.links if link.uri == two.hurt.uri)
            monkeypatch.setattr(link, name, Bomb())
        assert two.faults() == {"runner": 1}
