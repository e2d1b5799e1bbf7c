"""Connections of all tasks: the rules, who knows names, what this machine's own addresses are."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Sequence

import psutil
import structlog
import trio

from reptarium.pool.powers.answers import Names
from reptarium.pool.powers.connections import ConnectionMeter, Connections, ConnectLimits
from reptarium.pool.powers.destinations import Address, Destinations, address_of
from reptarium.pool.powers.listener import Listener

__all__ = ["Connector"]

log = structlog.get_logger("reptarium.pool.powers.connector")

#: Seconds between two looks at which addresses are our own.
_LOOK = 10.0


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
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep what is known of our own addresses; until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            while True:
                own = await own_addresses(self._brokers)
                if own != self._destinations.own:
                    self._destinations = Destinations(self._destinations.entries, own)
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await trio.sleep(_LOOK)

    def begin(self, handed: Sequence[int]) -> Connections | None:
        """A worker that came with these descriptors has a task now: serve what it asks for.

        None when they got lost on the way (our own table was full): what it asks for fails with ENOSYS then.
        """
        if self._nursery is None or len(handed) != 2:
            log.error("a task's connections can't be served: its listener is lost", descriptors=len(handed))
            for each in handed:
                os.close(each)
            return None
        made = Connections(Listener(*handed), self._destinations, self._names, self._limits, self._meter)
        self._nursery.start_soon(self._serve, made)
        return made

    async def _serve(self, connections: Connections) -> None:
        try:
            await connections.serve()
        except* Exception as group:
            self._fault(group)


async def own_addresses(hosts: Iterable[str]) -> frozenset[Address]:
    """The addresses of this machine's interfaces, and those of the hosts as far as they can be resolved."""
    texts = {
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    }
    for host in hosts:
        found = []
        with contextlib.suppress(OSError, UnicodeError), trio.move_on_after(_LOOK / 2):
            found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        texts.update(str(entry[4][0]).partition("%")[0] for entry in found)
    return frozenset(address for text in texts if (address := address_of(text)) is not None)
