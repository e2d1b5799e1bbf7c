"""The embedded broker's faults: what they do is what networks and machines do, seen from a scripted runner.

Loopback only, dynamic ports, every test bounded; how long a throttled stream takes is asked of a clock that jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest
import trio
import trio.testing

from reptarium.pool.embedded_broker import Broker, BrokerConfig, TaskHandle, open_broker
from reptarium.pool.embedded_broker.transport import Transport
from reptarium.pool.protocol.messages import RunnerTaskAccepted
from tests.integration.embedded_broker.broker_runner import FakeRunner, fake_runner, http
from tests.integration.embedded_broker.test_broker_http import upgrade
from tests.limits import fail_after

CODE = {"code": "return []", "items": []}


async def running_task(broker: Broker, runner: FakeRunner) -> TaskHandle:
    """A task that the runner has taken."""
    handle = broker.submit(CODE)
    await runner.offer()
    await runner.take()
    return handle


async def until(condition: Callable[[], object]) -> None:
    """Wait for what the broker will do soon; the test's own limit bounds it."""
    while not condition():
        await trio.sleep(0.001)


async def test_throttled_runner_is_read_slowly_and_then_not_at_all() -> None:
    """Nothing of what a runner says arrives at rate 0; all of it does when the throttle is gone."""
    with fail_after(10):
        async with open_broker() as broker, fake_runner(broker, "r") as runner:
            assert not broker.faults.throttle("other", 0)
            assert broker.faults.throttle("r", 0)
            await runner.offer()  # a read that was under way may have returned this one: it is kept back too
            await runner.offer()
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert broker.runners[0].offers == 0
            received = broker.runners[0].received
            broker.faults.throttle("r", 1_000_000)
            await until(lambda: broker.runners[0].offers == 2)
            assert broker.runners[0].received > received
            broker.faults.throttle("r", None)
            handle = broker.submit(CODE)
            await runner.done((await runner.take())["taskId"])
            assert (await handle.outcome()).status == "done"


async def test_throttle_keeps_its_rate(autojump_clock: trio.testing.MockClock) -> None:
    """100 kB at 50 kB a second take two seconds, in steps of a fiftieth."""
    ours, theirs = trio.testing.memory_stream_pair()
    transport = Transport(cast(trio.SocketStream, ours))
    await theirs.send_all(bytes(100_000))
    transport.throttle(50_000)
    began = trio.current_time()
    while transport.received < 100_000:
        assert len(await transport.receive_some(64 * 1024)) <= 1000
    assert trio.current_time() - began == pytest.approx(2.0)


async def test_silent_broker_leaves_the_connection_half_open() -> None:
    """The runner's pings go unanswered, no end comes, and the broker has failed the task."""
    with fail_after(10):
        async with open_broker() as broker, fake_runner(broker, "r") as runner:
            handle = await running_task(broker, runner)
            assert not broker.faults.silence("other")
            assert broker.faults.silence("r")
            assert (await handle.outcome()).status == "disconnected"
            assert broker.runners == []
            with trio.move_on_after(0.1) as pinging:
                await runner.socket.ping()
            assert pinging.cancelled_caught
            with trio.move_on_after(0.1) as reading:
                await runner.read()
            assert reading.cancelled_caught
            assert runner.socket.closed is None
            await runner.vanish()  # or leaving it would wait for the answer to its close frame
            async with fake_runner(broker, "r") as again:
                handle = await running_task(broker, again)
                await again.done(handle.task_id)
                assert (await handle.outcome()).status == "done"


async def test_outage_refuses_connections_and_keeps_requests() -> None:
    """Connections are reset, the port is closed, then open again; old grants are worth nothing."""
    with fail_after(20):
        async with open_broker(BrokerConfig(auth_token="t")) as broker, trio.open_nursery() as nursery:
            port, grant = broker.port, broker.grant_token()
            async with fake_runner(broker, "r") as runner:
                running = await running_task(broker, runner)
                waiting = broker.submit(CODE)
                nursery.start_soon(broker.faults.outage, 0.2)
                assert (await running.outcome()).status == "disconnected"
                assert (await runner.closed())[0] == 1006
            with pytest.raises(OSError, match="attempts to connect"):
                await trio.open_tcp_stream("127.0.0.1", port)
            await until(lambda: not nursery.child_tasks)
            assert (await http(broker, "GET /healthz"))[0] == 200
            assert broker.port == port
            assert (await upgrade(broker, "/runners/_ws?id=r", grant))[0] == 403
            async with fake_runner(broker, "r") as runner:
                await runner.offer()
                await runner.done((await runner.take())["taskId"])
                assert (await waiting.outcome()).status == "done"


async def test_incoming_filter_drops_and_repeats() -> None:
    """What the filter yields is taken in place of what came, and it may disconnect the runner."""
    seen: list[str] = []

    def lose_first_accept(runner_id: str, message: Any) -> Iterable[Any]:
        seen.append(type(message).__name__)
        if isinstance(message, RunnerTaskAccepted) and seen.count("RunnerTaskAccepted") == 1:
            broker.disconnect(runner_id, abrupt=True)
            return ()
        return (message, message)

    with fail_after(10):
        async with open_broker() as broker:
            broker.incoming_filter = lose_first_accept
            handle = broker.submit(CODE)
            async with fake_runner(broker, "r") as runner:
                await runner.offer()
                accept = await runner.expect("broker:taskofferaccept")
                await runner.send("runner:taskaccepted", taskId=accept["taskId"])
                assert (await runner.closed())[0] == 1006
            assert not handle.done
            async with fake_runner(broker, "r") as runner:
                await runner.offer()
                await runner.done((await runner.take())["taskId"])
                assert (await handle.outcome()).status == "done"
                await until(lambda: broker.counters.duplicates == 1)  # the second copy of the result
    assert seen[:3] == ["RunnerInfo", "RunnerTaskOffer", "RunnerTaskAccepted"]
