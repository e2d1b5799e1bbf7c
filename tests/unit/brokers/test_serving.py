"""Links and connections over an imaginary network and imaginary time: what comes too late, backoff, the end of all."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from reptarium.pool.brokers import link as link_module
from reptarium.pool.brokers.capacity import Capacity
from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.brokers.link import BACKOFF_FIRST, BACKOFF_LAST, BrokerLink
from reptarium.pool.brokers.outbox import Outbox
from reptarium.pool.brokers.serving import REGISTRATION, Serving
from reptarium.pool.brokers.shared import Shared, Slots
from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import FAULT_PARTS, Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.protocol.messages import (
    BrokerInfoRequest,
    BrokerRunnerRegistered,
    BrokerTaskCancel,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    RunnerTaskAccepted,
    RunnerTaskError,
    RunnerTaskOffer,
    decode_runner_message,
    encode,
)
from reptarium.pool.runner import CLOSING, Runner
from reptarium.pool.tasks.limits import task_limits
from reptarium.pool.workers.watchdog import Watchdog
from tests.conftest import make_settings
from tests.limits import fail_after


class Wire:
    """A connection that is no network: what comes is put into it, what goes is kept."""

    close_reason = "closed in a test"
    receiving = False

    def __init__(self, lasts: float = float("inf")) -> None:
        self.outbox = Outbox()
        self.written: list[Any] = []
        self._lasts = lasts
        self._send, self._receive = trio.open_memory_channel[bytes](100)

    def leave_out(self, unheard: object) -> None:
        """Answers to prints: there are none here."""

    def leave_to(self, at_once: object) -> None:
        """Small messages: they come as any other here."""

    def come(self, message: Any) -> None:
        """The broker sends this."""
        self._send.send_nowait(encode(message))

    async def frames(self) -> AsyncIterator[bytes]:
        """What comes."""
        async for frame in self._receive:
            yield frame

    def send_nowait(self, message: Any) -> None:
        """Queue a word."""
        self.outbox.put(message)

    async def send(self, message: Any) -> None:
        """Queue bulk."""
        await self.outbox.room()
        self.outbox.put(message, bulk=True)

    async def write(self) -> None:
        """The writer."""

        async def keep(messages: Sequence[bytes]) -> None:
            await trio.lowlevel.checkpoint()
            self.written += map(decode_runner_message, messages)

        await self.outbox.write(keep)

    async def keepalive(self, interval: float) -> None:
        """The broker is found dead after a while."""
        await trio.sleep(self._lasts)
        raise LinkError("the broker has not answered a ping")


class EmptyPool:
    """Never has a worker."""

    def lease_nowait(self) -> None:
        """There is none."""

    async def lease(self) -> Any:
        """Wait for one."""
        await trio.sleep_forever()


def shared(slots: int = 2) -> Shared:
    """The means of a link without a pool."""
    settings, metrics, pool = make_settings(auth_token="a token"), Metrics(), EmptyPool()
    faults = OwnFaults(metrics, Reporter())
    return Shared(
        settings=settings,
        limits=task_limits(settings),
        slots=Slots(Capacity(slots), faults),
        pool=pool,  # type: ignore[arg-type] # as far as it is used
        watchdog=Watchdog(2**29, 8, metrics),
        metrics=metrics,
        faults=faults,
        rng=random.Random(1),
        stopping=trio.Event(),
        task_ended=lambda: None,
    )


def faults(means: Shared) -> float:
    """How many there were."""
    value = means.metrics.registry.get_sample_value
    return sum(value("reptarium_faults_total", {"part": part}) or 0 for part in FAULT_PARTS)


async def settled() -> None:
    """Everything that can happen has happened."""
    await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def served(means: Shared, wire: Wire) -> AsyncIterator[Serving]:
    """A registered connection that is served."""
    link = BrokerLink(means, "http://broker")
    means.slots.capacity.join(link)
    async with trio.open_nursery() as tasks:
        serving = Serving(means, link.uri, link, wire, tasks)  # type: ignore[arg-type] # as far as it is used
        link._serving = serving
        tasks.start_soon(serving.run)
        wire.come(BrokerRunnerRegistered())
        await settled()
        yield serving
        tasks.cancel_scope.cancel()


async def test_settings_that_are_on_their_way_are_not_given_up() -> None:
    """Others wait for the slot: a broker that sends nothing loses it, one whose message comes in pieces doesn't."""
    means, wire = shared(), Wire()
    with fail_after(20):
        async with served(means, wire) as serving:
            wire.come(BrokerTaskOfferAccept("t", next(iter(serving.session._offers))))
            await settled()
            later = trio.current_time() + 2.0
            wire.receiving = True
            serving.give_up(2.0, later)
            assert serving.session.waiting == 1
            wire.receiving = False
            serving.give_up(2.0, later)
            assert serving.session.waiting == 0


async def test_settings_that_come_when_the_task_has_been_shut_down() -> None:
    """Its outcome waits for room, so the session still waits for settings: they start nothing and break nothing."""
    means, wire = shared(), Wire()
    with fail_after(20):
        async with served(means, wire) as serving:
            while not wire.outbox._full:
                await wire.send(RunnerTaskAccepted("somebody else's"))
            offer = next(iter(serving.session._offers))
            wire.come(BrokerTaskOfferAccept("t", offer))
            await settled()
            serving.abort("the end")
            await settled()
            assert serving.session.accepted == 1
            wire.come(BrokerTaskSettings("t", task_settings({"code": "x", "items": []})))
            await settled()
            async with trio.open_nursery() as writing:
                writing.start_soon(wire.write)
                await settled()
                writing.cancel_scope.cancel()
            ends = [message for message in wire.written if isinstance(message, RunnerTaskError)]
            assert [(end.task_id, end.error.message) for end in ends] == [("t", "the end")]
            assert serving.session.accepted == 0
            assert not serving.busy
    assert faults(means) == 0


@pytest.mark.parametrize("brokers", [1, 3])
async def test_a_task_that_ends_when_the_connection_has_just_gone(brokers: int) -> None:
    """Its outcome waited for room and is nobody's now: no slot is counted twice, whoever shares them."""
    means, wire = shared(), Wire()
    for number in range(1, brokers):
        means.slots.capacity.join(BrokerLink(means, f"http://broker{number}"))
    with fail_after(20):
        async with served(means, wire) as serving:
            while not wire.outbox._full:
                await wire.send(RunnerTaskAccepted("somebody else's"))
            for offer in list(serving.session._offers):
                wire.come(BrokerTaskOfferAccept(offer, offer))
            await settled()
            serving.abort("the end")
            await settled()
            assert serving.session.accepted == 2
            wire._send.close()
            await settled()
            assert serving.session.state == "closed"
            assert not serving._tasks.child_tasks
    assert faults(means) == 0


@pytest.mark.parametrize(("lasts", "expected"), [(3600.0, BACKOFF_FIRST), (0.5, BACKOFF_LAST)])
async def test_backoff_begins_anew_after_a_connection_that_lasted(
    lasts: float, expected: float, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """However it ended: here the broker no longer answered, after an hour. One that has just begun is no reason."""
    means, attempts = shared(), 0

    async def grant(*_: Any) -> str:
        await trio.lowlevel.checkpoint()
        nonlocal attempts
        attempts += 1
        if attempts <= 8:
            raise LinkError("nobody there")
        return "grant"

    @asynccontextmanager
    async def connect(*_: Any) -> AsyncIterator[Wire]:
        yield Wire(lasts)

    monkeypatch.setattr(link_module, "fetch_grant", grant)
    monkeypatch.setattr(link_module, "connect", connect)
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(BrokerLink(means, "http://broker").run)
            await trio.sleep(4000)
            nursery.cancel_scope.cancel()
    waits = [line["retry_s"] for line in lines if line["event"] == "no connection to the broker"]
    assert BACKOFF_LAST / 2 <= waits[7] <= BACKOFF_LAST
    assert expected / 2 <= waits[8] <= expected


async def test_a_broker_that_does_not_register_us_is_left(autojump_clock: trio.testing.MockClock) -> None:
    """It answers pings, but what it or we have said is lost: the next connection may have better luck."""
    means, wire = shared(), Wire()
    async with trio.open_nursery() as tasks:
        begun = trio.current_time()
        end = await Serving(means, "http://broker", BrokerLink(means, "http://broker"), wire, tasks).run()  # type: ignore[arg-type]
        assert trio.current_time() - begun == REGISTRATION
    assert "has not registered us" in str(end)
    assert faults(means) == 0


class Slow:
    """A link whose broker takes its time to read what is left."""

    busy = False

    def __init__(self, seconds: float) -> None:
        self.closed_at: float | None = None
        self._seconds = seconds

    def drain(self) -> None:
        """No more offers."""

    def abort(self, reason: str) -> None:
        """Kill every task."""

    async def aclose(self) -> None:
        """Write what was said."""
        await trio.sleep(self._seconds)
        self.closed_at = trio.current_time()


async def test_links_are_closed_at_the_same_time(autojump_clock: trio.testing.MockClock) -> None:
    """At shutdown a broker that reads slowly, or not at all, takes none of the others' time."""
    runner = Runner(make_settings(graceful_shutdown_timeout=0.0))
    links = [Slow(seconds) for seconds in (100, 1.9, 1.5, 1.8, 1.7)]
    runner.links[:] = links  # type: ignore[assignment]
    begun = trio.current_time()
    await runner._finish_links()
    assert trio.current_time() - begun == pytest.approx(CLOSING)
    assert [link.closed_at is not None for link in links] == [False, True, True, True, True]


async def test_a_full_outbox_ends_the_connection_whoever_met_it() -> None:
    """A word that finds no room ends this connection, out of whatever call it came, and raises nowhere."""
    means, wire = shared(), Wire()
    with fail_after(20):
        async with served(means, wire) as serving:
            for _ in range(10_000):
                try:
                    wire.send_nowait(RunnerTaskOffer("o", 1))
                except LinkError:
                    break
            wire.come(BrokerInfoRequest())
            await settled()
            assert serving.session.state == "closed"
            assert "does not read" in str(serving._end)
    assert faults(means) == 0


async def test_a_broker_whose_address_goes_when_its_connection_has_just_ended() -> None:
    """Nobody is left to be told the last word: the link ends without a fault."""
    means, wire = shared(), Wire()
    with fail_after(20):
        async with served(means, wire) as serving:
            wire._send.close()
            await settled()
            assert serving.session.state == "closed"
            serving._tasks.cancel_scope.cancel()
        serving.drain(leave=True)
    assert faults(means) == 0


async def test_an_operator_is_told_which_broker_wastes_slots(autojump_clock: trio.testing.MockClock) -> None:
    """Each task that ends without settings through its broker is counted and, once for several, said; others aren't."""
    means, wire = shared(), Wire()

    def wasted() -> float | None:
        return means.metrics.registry.get_sample_value("reptarium_slots_wasted_total", {"broker": "http://broker"})

    async def take(serving: Serving, task_id: str) -> None:
        wire.come(BrokerTaskOfferAccept(task_id, next(iter(serving.session._offers))))
        await settled()

    with capture_logs() as lines:
        async with served(means, wire) as serving:
            await take(serving, "malformed")
            wire._send.send_nowait(b'{"type": "broker:tasksettings", "taskId": "malformed"}')
            await settled()
            await take(serving, "no worker")
            serving.abort("the end")
            await settled()
            assert wasted() is None
            await take(serving, "a")
            await take(serving, "b")
            wire.come(BrokerTaskCancel("a", "acknowledgement window elapsed"))
            await settled()
            assert wasted() == 1
            await trio.sleep(means.settings.settings_timeout + 1)
            assert wasted() == 2
    said = [line for line in lines if "sends no settings" in line["event"]]
    assert [(line["log_level"], line["broker"], line["not_before_s"]) for line in said] == [
        ("warning", "http://broker", 1.0)
    ]
    assert faults(means) == 0
