"""What networks and machines do wrong, done on purpose: for tests and ``reptarium bench --chaos``.

A connection that breaks off is ``Broker.disconnect`` with ``abrupt``; messages that are lost,
repeated or late are made by the broker's filters, whose types are here. :class:`Faults` has the rest. Runners
are named by their id; where a method returns a bool, False says that no such runner is connected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

import msgspec
import trio

from reptarium.pool.embedded_broker.runner_connection import RunnerConnection
from reptarium.pool.protocol.messages import BrokerMessage, Malformed, RunnerMessage, Unknown


class Delayed(msgspec.Struct, frozen=True):
    """From an outgoing filter: send ``message`` after ``seconds``."""

    message: BrokerMessage | bytes
    seconds: float


OutgoingFilter = Callable[[str, BrokerMessage], Iterable[BrokerMessage | bytes | Delayed]]
IncomingFilter = Callable[[str, RunnerMessage | Unknown | Malformed], Iterable[RunnerMessage | Unknown | Malformed]]


class Faults:
    """The faults that can be done to one broker: ``broker.faults``.

    ``find`` gives the connection of a runner's id, ``lost`` is told which is gone; the broker is down while a block
    of ``outage`` runs.
    """

    def __init__(
        self,
        *,
        find: Callable[[str], RunnerConnection | None],
        lost: Callable[[RunnerConnection], None],
        outage: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._find = find
        self._lost = lost
        self._outage = outage

    def throttle(self, runner_id: str, rate: float | None) -> bool:
        """Read at most ``rate`` bytes a second from a runner (0: nothing; None: as fast as they come).

        What the kernel's buffers hold is not slowed down. The heartbeat goes on: a pong that comes too
        slowly ends the connection, as with any broker. Lasts as long as the connection.
        """
        connection = self._find(runner_id)
        if connection is not None:
            connection.throttle(rate)
        return connection is not None

    def silence(self, runner_id: str) -> bool:
        """Leave a runner with a half-open connection, as a machine does that loses its power.

        Nothing more is read, sent or answered, no end and no reset is sent; the broker takes the runner for
        gone. The socket is closed with the broker.
        """
        connection = self._find(runner_id)
        if connection is not None:
            connection.silence()
            self._lost(connection)
        return connection is not None

    async def outage(self, seconds: float) -> None:
        """Go down as a killed broker does, and come back on the same port after ``seconds``.

        Connections are reset, their running tasks end as ``disconnected``; whoever connects meanwhile is
        refused by the kernel; grants of before are worth nothing. Requests keep waiting, as requesters
        would ask again. Raises OSError when somebody has taken the port.
        """
        async with self._outage():
            await trio.sleep(seconds)
