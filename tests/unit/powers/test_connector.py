"""What all tasks' connections share: which addresses are our own, and what a fault of it costs."""

from __future__ import annotations

import errno
import os
import socket
from ipaddress import ip_address

import psutil
import pytest
import trio
import trio.testing

from reptarium.pool.powers.answers import NoNames
from reptarium.pool.powers.connections import ConnectLimits
from reptarium.pool.powers.connector import Allowed, Connector
from reptarium.pool.powers.destinations import Destinations, parse_entry

LIMITS = ConnectLimits(most=10, rate=10, timeout=5.0, sockets=64)
BROKER = ip_address("10.1.2.3")


class _Resolver(trio.abc.HostnameResolver):
    """Knows the broker's name, as long as it is ``up``."""

    up = True

    async def getaddrinfo(self, host: object, port: object, *_: object, **__: object) -> list[object]:  # type: ignore[override]
        if not self.up:
            raise socket.gaierror(socket.EAI_AGAIN, "no server has answered")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (str(BROKER), 0))]

    async def getnameinfo(self, *_: object) -> tuple[str, str]:  # type: ignore[override]
        raise NotImplementedError


def _connector(faults: list[Exception]) -> Connector:
    rules = Destinations([parse_entry("10.0.0.0/8:*")])
    return Connector(rules, NoNames(), LIMITS, brokers=["broker.test"], fault=faults.append)


async def test_a_broker_that_cannot_be_resolved_stays_closed(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Its address is known from before: a network that is listed doesn't open it because a DNS server is down."""
    resolver = _Resolver()
    trio.socket.set_custom_hostname_resolver(resolver)
    connector = _connector([])
    await nursery.start(connector.run)
    resolver.up = False
    await trio.sleep(25)
    assert not connector._destinations.judge(BROKER, 5679).allowed
    assert connector._destinations.judge(ip_address("10.1.2.4"), 5679).allowed


async def test_a_broker_is_closed_under_every_rule(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """What a rule lists instead opens our own and the brokers' addresses no more than the environment's list does."""
    trio.socket.set_custom_hostname_resolver(_Resolver())
    connector = _connector([])
    await nursery.start(connector.run)
    made = connector.begin(os.pipe(), Allowed(entries=(parse_entry("10.0.0.0/8:*"),), limits=LIMITS))
    assert made is not None
    assert not made._destinations.judge(BROKER, 5679).allowed
    assert made._destinations.judge(ip_address("10.1.2.4"), 5679).allowed
    made.end()


async def test_a_machine_without_descriptors_keeps_its_addresses(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interfaces that can't be read end nobody's connections: those that were seen before are still ours."""
    trio.socket.set_custom_hostname_resolver(_Resolver())
    connector = _connector([])
    await nursery.start(connector.run)
    before = connector._destinations.own

    def refused() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(psutil, "net_if_addrs", refused)
    await trio.sleep(25)
    assert connector._destinations.own == before
    assert BROKER in before


async def test_what_is_handed_over_while_nobody_serves_is_closed() -> None:
    """Between a fault and the new start a task goes without connections, and nothing is left of its listener."""
    trio.socket.set_custom_hostname_resolver(_Resolver())
    connector = _connector([])
    async with trio.open_nursery() as nursery:
        await nursery.start(connector.run)
        nursery.cancel_scope.cancel()
    handed = os.pipe()
    assert connector.begin(handed) is None
    for each in handed:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(each)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


async def test_who_asks_for_nothing_is_waited_for_by_nobody(nursery: trio.Nursery) -> None:
    """Its task's end closes what it came with, and so does the connector's. Pipes stand for listeners."""
    trio.socket.set_custom_hostname_resolver(_Resolver())
    faults: list[Exception] = []
    connector = _connector(faults)
    handed = [os.pipe() for _ in range(3)]
    async with trio.open_nursery() as inner:
        await inner.start(connector.run)
        (runs,) = inner.child_tasks
        before = {task for child in runs.child_nurseries for task in child.child_tasks}
        first, second, third = map(connector.begin, handed)
        assert first is not None
        assert second is not None
        assert third is not None
        await trio.testing.wait_all_tasks_blocked()
        assert {task for child in runs.child_nurseries for task in child.child_tasks} == before
        first.end()
        assert not any(map(_is_open, handed[0]))
        os.write(handed[1][1], b"it asks")
        second.end()  # in the moment in which it does
        await trio.testing.wait_all_tasks_blocked()
        assert not any(map(_is_open, handed[1]))
        assert all(map(_is_open, handed[2]))
        inner.cancel_scope.cancel()
    assert not any(map(_is_open, handed[2]))
    assert faults == []


async def test_a_task_that_ends_when_it_has_just_asked(nursery: trio.Nursery) -> None:
    """It has been heard, and nothing of it is served any more."""
    trio.socket.set_custom_hostname_resolver(_Resolver())
    faults: list[Exception] = []
    connector = _connector(faults)
    await nursery.start(connector.run)
    handed = os.pipe()
    made = connector.begin(handed)
    assert made is not None
    os.write(handed[1], b"it asks")
    while connector._silent:
        await trio.lowlevel.checkpoint()
    made.end()
    await trio.testing.wait_all_tasks_blocked()
    assert not any(map(_is_open, handed))
    assert faults == []
