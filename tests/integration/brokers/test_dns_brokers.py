"""`dns+http://name:port`: one pool serves every address of a name, and follows as addresses come and go.

The name is answered by trio's own seam for tests; the addresses are loopback's (127.0.0.1, 127.0.0.2 …), which
share one port as the pods of a headless service do.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from reptarium.pool.brokers import resolve
from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.runner import Runner
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
TOKEN = "the-token-of-all"
NAME = "brokers.test"


class Resolver(trio.abc.HostnameResolver):
    """Answers for one name with what `addresses` holds; None fails, as a name server that is down."""

    def __init__(self) -> None:
        self.addresses: set[str] | None = set()
        self.asked = 0

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, type: int = 0, *_: Any, **__: Any) -> Any:
        assert host in (NAME, NAME.encode())
        self.asked += 1
        if self.addresses is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, type, 6, "", (address, port)) for address in sorted(self.addresses)]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


class Fleet:
    """Brokers that share a port, and the runner that looks them up."""

    def __init__(self, resolver: Resolver, stack: AsyncExitStack) -> None:
        self.resolver = resolver
        self.port = 0
        self.metrics = Metrics()
        self._stack = stack

    async def broker(self, address: str) -> Broker:
        config = BrokerConfig(host=address, port=self.port, auth_token=TOKEN, drain_grace=0.1)
        broker = await self._stack.enter_async_context(open_broker(config))
        self.port = broker.port
        return broker

    def connected(self, broker: Broker) -> float | None:
        """What the metrics say of a broker; None: they don't know it."""
        return self.metrics.registry.get_sample_value("reptarium_broker_connected", {"broker": broker.uri})


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.01)


async def done(broker: Broker, value: int) -> None:
    outcome = await broker.submit({"code": f"return {value}", "items": []}).outcome()
    assert outcome.status == "done", outcome


@asynccontextmanager
async def running(fleet: Fleet) -> AsyncIterator[Runner]:
    """The runner, with the name as its only address."""
    settings = msgspec.structs.replace(
        make_settings(), broker_uris=(f"dns+http://{NAME}:{fleet.port}",), auth_token=TOKEN
    )
    runner = Runner(settings, metrics=fleet.metrics)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.run)
        try:
            yield runner
        finally:
            runner.shutdown()


@asynccontextmanager
async def name() -> AsyncIterator[Fleet]:
    """The name, and room for brokers behind it."""
    resolver = Resolver()
    before = trio.socket.set_custom_hostname_resolver(resolver)
    try:
        async with AsyncExitStack() as stack:
            yield Fleet(resolver, stack)
    finally:
        trio.socket.set_custom_hostname_resolver(before)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is looked up many times a second."""
    monkeypatch.setattr(resolve, "RESOLVE_INTERVAL", 0.05)


async def test_every_address_of_a_name_is_served() -> None:
    """Two brokers behind one name: both have the runner registered, and both have their tasks done."""
    with fail_after(60):
        async with name() as fleet:
            first, second = await fleet.broker("127.0.0.1"), await fleet.broker("127.0.0.2")
            fleet.resolver.addresses = {"127.0.0.1", "127.0.0.2"}
            async with running(fleet):
                await first.wait_for_runner()
                await second.wait_for_runner()
                async with trio.open_nursery() as nursery:
                    for number in range(4):
                        nursery.start_soon(done, first, number)
                        nursery.start_soon(done, second, number)
                assert (len(first.runners), len(second.runners)) == (1, 1)
                assert (fleet.connected(first), fleet.connected(second)) == (1, 1)


async def test_addresses_come_and_go() -> None:
    """A broker that leaves the name keeps its running task, result and all, and is left; a new one is served."""
    with fail_after(60):
        async with name() as fleet:
            first, second = await fleet.broker("127.0.0.1"), await fleet.broker("127.0.0.2")
            third = await fleet.broker("127.0.0.3")
            fleet.resolver.addresses = {"127.0.0.1", "127.0.0.2"}
            async with running(fleet):
                await first.wait_for_runner()
                await second.wait_for_runner()
                assert third.runners == []
                code = "import time\nprint('on')\ntime.sleep(0.5)\nreturn 'x' * 2_000_000"
                last = second.submit({"code": code, "items": []})
                await until(lambda: last.console)

                fleet.resolver.addresses = {"127.0.0.1", "127.0.0.3"}
                await third.wait_for_runner()
                outcome = await last.outcome()
                assert outcome.status == "done", outcome
                await until(lambda: not second.runners)
                await until(lambda: fleet.connected(second) is None)
                await done(third, 3)
                await done(first, 1)
                assert (fleet.connected(first), fleet.connected(third)) == (1, 1)
                # nobody takes what is asked for where the runner has left
                late = second.submit({"code": "return 1", "items": []}, request_timeout=0.2)
                assert (await late.outcome()).status == "no-runner"

                fleet.resolver.addresses = {"127.0.0.1", "127.0.0.2", "127.0.0.3"}
                await second.wait_for_runner()
                await done(second, 2)
                assert fleet.connected(second) == 1


async def test_a_broker_that_dies_before_its_address_goes_leaves_no_trace() -> None:
    """A pod that is gone is retried while its name lasts, then forgotten: no alert for what isn't there."""
    with fail_after(60):
        async with name() as fleet:
            first = await fleet.broker("127.0.0.1")
            fleet.resolver.addresses = {"127.0.0.1", "127.0.0.2"}
            async with running(fleet) as runner:
                await first.wait_for_runner()
                async with open_broker(
                    BrokerConfig(host="127.0.0.2", port=fleet.port, auth_token=TOKEN, drain_grace=0.1)
                ) as second:
                    await second.wait_for_runner()
                await until(lambda: fleet.connected(second) == 0)
                fleet.resolver.addresses = {"127.0.0.1"}
                await until(lambda: fleet.connected(second) is None)
                await until(lambda: [link.uri for link in runner.links] == [first.uri])
                await done(first, 1)


async def test_a_name_server_that_fails_changes_nothing() -> None:
    """While the name can't be looked up, the brokers that are known stay served."""
    with fail_after(60):
        async with name() as fleet:
            first = await fleet.broker("127.0.0.1")
            fleet.resolver.addresses = None
            async with running(fleet):
                await until(lambda: fleet.resolver.asked >= 2)
                fleet.resolver.addresses = {"127.0.0.1"}
                await first.wait_for_runner()
                fleet.resolver.addresses = None
                asked = fleet.resolver.asked
                await until(lambda: fleet.resolver.asked >= asked + 3)
                await done(first, 1)
                assert len(first.runners) == 1
