"""Connections of all tasks: the rules, who knows names, what this machine's own addresses are."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable, Iterable, Sequence

import msgspec
import psutil
import structlog
import trio

from reptarium.pool.powers.answers import Names
from reptarium.pool.powers.connections import ConnectionMeter, Connections, ConnectLimits
from reptarium.pool.powers.destinations import Address, Destinations, Entry, address_of
from reptarium.pool.powers.listener import Listener

__all__ = ["Allowed", "Connector"]

log = structlog.get_logger("reptarium.pool.powers.connector")

#: Seconds between two looks at which addresses are our own.
_LOOK = 10.0
#: Stands for this machine among the names of brokers.
_HERE = "this machine"


class Allowed(msgspec.Struct, frozen=True):
    """What tasks of one rule may connect to, and how often."""

    entries: tuple[Entry, ...]
    limits: ConnectLimits


class Connector:
    """Serves the connections of tasks. ``brokers`` are hosts that no name and no network opens.

    ``fault`` is told of an exception that nobody foresaw: it ends one task's connections, not more.
    """

    def __init__(
        self,
        destinations: Destinations,
        names: Names,
        limits: ConnectLimits,
        *,
        meter: ConnectionMeter | None = None,
        brokers: Iterable[str] = (),
        fault: Callable[[Exception], None],
    ) -> None:
        self._destinations = destinations
        self._names = names
        self._limits = limits
        self._meter = meter
        self._brokers = tuple(brokers)
        self._fault = fault
        self._own: dict[str, frozenset[Address]] = {}  # as found last, by broker
        self._of_rules: dict[tuple[Entry, ...], Destinations] = {}
        self._silent: dict[int, Connections] = {}  # by their listener: nothing has been asked for yet
        self._first_calls: select.epoll | None = None  # of these

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep what is known of our own addresses; until cancelled."""
        with select.epoll() as first_calls:
            async with trio.open_nursery() as nursery:
                self._first_calls = first_calls
                nursery.start_soon(self._hear, nursery, first_calls)
                try:
                    await self._keep_looking(task_status)
                finally:
                    self._first_calls = None
                    for connections in list(self._silent.values()):
                        connections.end()

    async def _keep_looking(self, task_status: trio.TaskStatus[None]) -> None:
        while True:
            await self._look()
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            await trio.sleep(_LOOK)

    async def _hear(self, nursery: trio.Nursery, first_calls: select.epoll) -> None:
        """Hear tasks ask for the first time. One task of ours for all: most of theirs never do."""
        while True:
            await trio.lowlevel.wait_readable(first_calls.fileno())
            for fd, _ in first_calls.poll(0):
                if (connections := self._silent.pop(fd, None)) is not None:
                    first_calls.unregister(fd)
                    nursery.start_soon(self._serve, connections)

    def _closing(self, fd: int) -> None:
        if self._silent.pop(fd, None) is not None and self._first_calls is not None:
            self._first_calls.unregister(fd)

    async def _look(self) -> None:
        """Find out which addresses are our own. What can't be found out now stays as it was, and as protected."""
        try:
            self._own[_HERE] = interface_addresses()
        except OSError as error:  # no descriptor to be had
            if _HERE not in self._own:
                raise
            log.warning("this machine's addresses can't be read; keeping those we have", error=str(error))
        for host in self._brokers:
            with contextlib.suppress(OSError, UnicodeError), trio.move_on_after(_LOOK / 2):
                self._own[host] = await addresses_of(host)
        own = frozenset().union(*self._own.values())
        if own != self._destinations.own:
            self._destinations = Destinations(self._destinations.entries, own)
            self._of_rules.clear()

    def begin(self, handed: Sequence[int], allowed: Allowed | None = None) -> Connections | None:
        """A worker that came with these descriptors has a task now: serve what it asks for, as far as it is allowed.

        None when they got lost on the way (our own table was full), or when a fault is just being got over: what it
        asks for fails with ENOSYS then.
        """
        if self._first_calls is None or len(handed) != 2:
            why = "its listener is lost" if self._first_calls is not None else "they are being started anew"
            log.error(f"a task's connections can't be served: {why}", descriptors=len(handed))
            for each in handed:
                os.close(each)
            return None
        destinations, limits = self._destinations, self._limits
        if allowed is not None:
            limits, known = allowed.limits, self._of_rules.get(allowed.entries)
            destinations = known or Destinations(allowed.entries, destinations.own)
            self._of_rules[allowed.entries] = destinations
        listener = Listener(handed[0], handed[1], self._closing)
        made = Connections(listener, destinations, self._names, limits, self._meter)
        self._silent[listener.fd] = made
        self._first_calls.register(listener.fd, select.EPOLLIN)
        return made

    async def _serve(self, connections: Connections) -> None:
        try:
            await connections.serve()
        except* Exception as group:
            self._fault(group)


def interface_addresses() -> frozenset[Address]:
    """The addresses of this machine's interfaces. Raises OSError."""
    return _parsed(
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    )


async def addresses_of(host: str) -> frozenset[Address]:
    """The addresses of a host. Raises OSError or UnicodeError when it can't be resolved."""
    found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return _parsed(str(entry[4][0]) for entry in found)


def _parsed(texts: Iterable[str]) -> frozenset[Address]:
    return frozenset(address for text in texts if (address := address_of(text.partition("%")[0])) is not None)
