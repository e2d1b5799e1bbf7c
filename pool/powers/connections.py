"""One task's connections: asked for by its worker's filter, judged, made here, handed over, counted.

Theory of operation. A worker has no sockets of IP but those that come from here:

- ``socket``: a socket is made here and put into the worker's table. This side keeps a copy as long as it isn't
  connected: it tells, when it matters, whether it is blocking and which options the task has set.
- ``connect``: the address is read once, judged (`destinations.py`), and connected to with *another* socket, which
  then takes the place of the first under the same number. The worker never has a socket on which this side still
  calls what could block, and this side connects to what it has read, whatever stands in the task's memory by then.
  A blocking caller waits until the connection is there. One that isn't gets the connecting socket at once, with
  EINPROGRESS, and learns the rest from the kernel, as always.
- To the resolver (:data:`RESOLVER`: what a C library asks that finds no configuration; or a server that the machine's
  names): one end of a connection, at whose other end `answers.py` answers for names that are listed. What it gave for
  a name is remembered: only that may be connected to by this name. Sockets of UDP lead there as well (`datagrams.py`).

Bounds. Calls are paced by not reading them: threads of the task wait in the kernel, nothing queues up here. Names are
paced with them. Sockets that are kept are at most the descriptors that a worker can have. Everything ends with the
task.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections import Counter
from ipaddress import ip_address
from typing import Final, Literal, Protocol

import msgspec
import trio

from reptarium.pool.powers.answers import Answers, Names
from reptarium.pool.powers.datagrams import Datagrams
from reptarium.pool.powers.destinations import Destinations, plain_address
from reptarium.pool.powers.listener import Destination, Listener, Stopped
from reptarium.pool.powers.sockets import Held, give_up, is_connected, pair, start, was_connected
from reptarium.pool.protocol.messages import TaskDoneData, TaskErrorData

__all__ = ["RESOLVER", "ConnectLimits", "Connections", "Outcome"]

#: Where a C library's resolver asks that finds no resolv.conf (resolv.conf(5)).
RESOLVER: Final = Destination(ip_address("127.0.0.1"), 53)

Outcome = Literal["connected", "failed", "timeout", "refused"]

#: A connection by name takes four stopped calls: socket and connect, of the resolver and of the connection.
_CALLS_EACH: Final = 4
#: What a call costs of them that is only stopped to be looked at.
_SMALL: Final = 1 / 32
#: What is remembered of a task for its log line, and of refusals told with its error.
_REMEMBERED, _EXPLAINED = 20, 3


class ConnectLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Connections of one task in all, and per second; seconds for one; sockets that are kept for it."""

    most: int
    rate: float
    timeout: float
    sockets: int


class ConnectionMeter(Protocol):
    """The metrics that connections count."""

    def connection(self, outcome: Outcome) -> None: ...


class Connections:
    """One task's connections. :meth:`serve` is their life; it closes all that was kept."""

    def __init__(
        self,
        listener: Listener,
        destinations: Destinations,
        names: Names,
        limits: ConnectLimits,
        meter: ConnectionMeter | None = None,
    ) -> None:
        self._listener = listener
        self._destinations = destinations
        self._answers = Answers(destinations, names, self._pace, self._refuse)
        self._limits = limits
        self._meter = meter
        self._names = names
        self._datagrams = Datagrams(
            listener, self._answers, self._is_resolver, self._refuse, self._pace, limits.sockets
        )
        self._held: dict[int, Held] = {}
        self._made = 0
        self._waiting = 0  # attempts whose end isn't known, of sockets that the worker may have closed since
        self._watched: dict[int, tuple[socket.socket, Destination]] = {}  # attempts that a worker polls, by id of Held
        self._resolvers = 0
        self._tokens = self._burst = limits.rate * _CALLS_EACH
        self._paced = trio.current_time()
        self._outcomes: Counter[Outcome] = Counter()
        self._seen: list[str] = []
        self._refusals: dict[str, None] = {}
        self._scope = trio.CancelScope()
        self._served = False

    # ---- what became of them ------------------------------------------------------------

    @property
    def seen(self) -> tuple[str, ...]:
        """``host:port outcome`` of each, the first :data:`_REMEMBERED` of them, and how many more there were."""
        more = sum(self._outcomes.values()) - len(self._seen)
        return (*self._seen, f"and {more} more") if more > 0 else tuple(self._seen)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why connections and names were refused, each reason once."""
        return tuple(self._refusals)

    def explain(self, outcome: TaskDoneData | TaskErrorData) -> TaskDoneData | TaskErrorData:
        """The outcome; an error says as well what was refused while the task ran."""
        if not self._refusals or not isinstance(outcome, TaskErrorData):
            return outcome
        refused = "; ".join(list(self._refusals)[:_EXPLAINED])
        before = f"{outcome.description}\n" if outcome.description else ""
        return msgspec.structs.replace(outcome, description=f"{before}Connections that were refused: {refused}.")

    def _came(self, outcome: Outcome, target: Destination, why: str = "") -> None:
        self._outcomes[outcome] += 1
        if self._meter is not None:
            self._meter.connection(outcome)
        if outcome == "refused":
            self._refuse(why)
        if len(self._seen) < _REMEMBERED:
            address = f"[{target.address}]" if target.address.version == 6 else str(target.address)
            names = sorted(self._answers.names_of(target.address))
            where = f"{names[0]}:{target.port} ({address})" if names else f"{address}:{target.port}"
            self._seen.append(f"{where} {outcome}")

    def _refuse(self, why: str) -> None:
        if len(self._refusals) < _REMEMBERED:
            self._refusals[why] = None

    # ---- life ---------------------------------------------------------------------------

    async def serve(self) -> None:
        """Answer what the worker asks for until it, or the task, has ended (:meth:`end`)."""
        self._served = True
        if self._scope.cancel_called:  # the task ended when it had just asked
            return
        try:
            with self._scope, contextlib.suppress(trio.ClosedResourceError):
                async with trio.open_nursery() as nursery:
                    while (stopped := await self._listener.receive()) is not None:
                        await self._pace(1 if stopped.call in ("connect", "socket") else _SMALL)
                        await self._handle(stopped, nursery)
                    self._tell_watched()  # the worker has ended
                    nursery.cancel_scope.cancel()
        finally:
            self._listener.close()
            for held in self._held.values():
                held.close()
            self._held.clear()
            self._datagrams.close()

    async def _handle(self, stopped: Stopped, nursery: trio.Nursery) -> None:
        if stopped.call == "socket":
            await self._socket(stopped, nursery)
        elif stopped.fd in self._datagrams:
            await self._datagrams.answer(stopped, nursery)
        elif stopped.call == "connect":
            await self._connect(stopped, nursery)
        elif stopped.call in ("bind", "sendto"):
            self._listener.answer(stopped, errno.EPERM)
        else:  # where it has come from, and what it is connected to: any socket's own business
            self._listener.let_go_on(stopped)

    def end(self) -> None:
        """The task has ended."""
        self._tell_watched()
        self._scope.cancel()
        if not self._served:  # it has asked for nothing
            self._listener.close()

    def _tell_watched(self) -> None:
        """What nobody will wait for any more is told as it stands."""
        while self._watched:
            fresh, target = self._watched.popitem()[1]
            self._came("connected" if is_connected(fresh) else "failed", target)

    async def _pace(self, cost: float = 1) -> None:
        """Wait until another call may be looked at."""
        while True:
            now = trio.current_time()
            self._tokens = min(self._burst, self._tokens + (now - self._paced) * self._burst)
            self._paced = now
            if self._tokens >= cost:
                self._tokens -= cost
                return
            await trio.sleep((cost - self._tokens) / self._burst)

    # ---- socket ---------------------------------------------------------------------------

    async def _socket(self, stopped: Stopped, nursery: trio.Nursery) -> None:
        family, kind, _ = (argument & 0xFFFFFFFF for argument in stopped.args[:3])
        if kind & 0xF == socket.SOCK_DGRAM:
            if (number := await self._datagrams.make(stopped, nursery)) is not None:
                self._forget(number)
            return
        try:
            made = socket.socket(family, socket.SOCK_STREAM | kind & socket.SOCK_NONBLOCK)
        except OSError as error:
            self._listener.answer(stopped, error.errno or errno.ENFILE)
            return
        try:
            number = await self._listener.put(stopped, made)
        except OSError as error:
            made.close()
            self._listener.answer(stopped, error.errno or errno.EMFILE)
            return
        except trio.Cancelled:
            made.close()
            raise
        self._forget(number)
        self._datagrams.forget(number)
        if len(self._held) >= self._limits.sockets:  # numbers beyond what an honest table holds
            self._held.pop(next(iter(self._held))).let_go()
        self._held[number] = Held(copy=made)
        self._listener.answer(stopped, value=number)

    def _forget(self, number: int) -> None:
        if (before := self._held.pop(number, None)) is not None:
            before.let_go()

    # ---- connect --------------------------------------------------------------------------

    async def _connect(self, stopped: Stopped, nursery: trio.Nursery) -> None:
        target = await self._listener.target(stopped)
        if target is None:
            return
        held = self._held.get(stopped.fd)
        if isinstance(target, int):
            self._listener.answer(stopped, target)
        elif held is None:
            self._listener.answer(stopped, errno.ENOTSOCK)
        elif held.state == "connecting":
            self._listener.answer(stopped, errno.EALREADY)
        elif held.copy is None:
            self._listener.answer(stopped, errno.EISCONN)
        elif (held.copy.family == socket.AF_INET) != (target.address.version == 4):
            self._listener.answer(stopped, errno.EAFNOSUPPORT)
        elif self._is_resolver(target):
            await self._connect_resolver(stopped, held, nursery)
        elif why := self._objection(target):
            self._came("refused", target, why)
            self._listener.answer(stopped, errno.EACCES)
        else:
            self._made += 1
            await self._begin(stopped, held, held.copy, target, nursery)

    def _objection(self, target: Destination) -> str:
        if self._waiting >= self._limits.sockets:
            return f"a task may wait for {self._limits.sockets} connections at the same time (REPTARIUM_MAX_OPEN_FILES)"
        if self._made >= self._limits.most:
            return f"a task may make {self._limits.most} connections (REPTARIUM_CONNECT_MAX)"
        names = self._answers.names_of(target.address)
        return self._destinations.judge(target.address, target.port, names).why

    async def _begin(
        self, stopped: Stopped, held: Held, before: socket.socket, target: Destination, nursery: trio.Nursery
    ) -> None:
        try:
            fresh, problem = await self._listener.aside(start, before, target)
        except OSError as error:
            self._failed(stopped, target, error.errno or errno.ENFILE)
            return
        if problem not in (0, errno.EINPROGRESS):
            fresh.close()
            self._failed(stopped, target, problem)
            return
        held.state = "connecting"
        if not fcntl.fcntl(before, fcntl.F_GETFL) & os.O_NONBLOCK:
            nursery.start_soon(self._finish, stopped, held, fresh, target)
            return
        handed = False
        try:
            handed = await self._hand_over(stopped, fresh)
        finally:
            if not handed:
                fresh.close()
                held.settle(connected=False)
        if handed:
            before.close()
            held.copy = fresh
            self._listener.answer(stopped, problem)
            self._watched[id(held)] = fresh, target
            nursery.start_soon(self._watch, held, fresh, target)

    async def _hand_over(self, stopped: Stopped, fresh: socket.socket) -> bool:
        """Put ``fresh`` in the place of the socket that the worker has; False when it can't be."""
        try:
            await self._listener.put(stopped, fresh, at=stopped.fd)
        except OSError as error:
            self._listener.answer(stopped, error.errno or errno.EBADF)
            return False
        return True

    def _failed(self, stopped: Stopped, target: Destination, problem: int) -> None:
        self._came("failed", target)
        self._listener.answer(stopped, problem)

    async def _finish(self, stopped: Stopped, held: Held, fresh: socket.socket, target: Destination) -> None:
        """For a blocking caller: nobody else has the socket until it is connected."""
        connected = False
        self._waiting += 1
        try:
            with trio.move_on_after(self._limits.timeout) as scope:
                await trio.lowlevel.wait_writable(fresh)
            if scope.cancelled_caught:
                self._came("timeout", target)
                self._listener.answer(stopped, errno.ETIMEDOUT)
            elif problem := fresh.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._failed(stopped, target, problem)
            else:
                fresh.setblocking(True)  # nothing that blocks is called on it from here on
                connected = await self._hand_over(stopped, fresh)
                if connected:
                    self._came("connected", target)
                    self._listener.answer(stopped)
        finally:
            self._waiting -= 1
            fresh.close()
            held.settle(connected=connected)

    async def _watch(self, held: Held, fresh: socket.socket, target: Destination) -> None:
        """For a caller that goes on: the worker has the socket, and SO_ERROR, which only tells once, is its to read."""
        connected = False
        self._waiting += 1
        try:
            with trio.move_on_after(self._limits.timeout) as scope:
                await trio.lowlevel.wait_writable(fresh)
            connected = is_connected(fresh) or await self._listener.aside(was_connected, fresh)
            if self._watched.pop(id(held), None) is not None:  # else the task has ended, and it is told
                self._came("connected" if connected else "timeout" if scope.cancelled_caught else "failed", target)
            if scope.cancelled_caught:
                await self._listener.aside(give_up, fresh)
        finally:
            self._waiting -= 1
            held.settle(connected=connected)

    def _is_resolver(self, target: Destination) -> bool:
        """Whether a resolver is asked there; one that is listed is connected to."""
        address = plain_address(target.address)
        if (address, target.port) == (RESOLVER.address, RESOLVER.port):
            return True
        theirs = target.port == RESOLVER.port and address in self._names.nameservers
        return theirs and not self._destinations.judge(address, target.port).allowed

    # ---- names ----------------------------------------------------------------------------

    async def _connect_resolver(self, stopped: Stopped, held: Held, nursery: trio.Nursery) -> None:
        if self._resolvers >= self._limits.sockets:
            self._listener.answer(stopped, errno.ENFILE)
            return
        assert held.copy is not None
        try:
            ours, theirs = await self._listener.aside(pair)
        except OSError as error:
            self._listener.answer(stopped, error.errno or errno.ECONNREFUSED)
            return
        handed = False
        try:
            theirs.setblocking(not fcntl.fcntl(held.copy, fcntl.F_GETFL) & os.O_NONBLOCK)
            handed = await self._hand_over(stopped, theirs)
        finally:
            theirs.close()
            if not handed:
                ours.close()
        if handed:
            held.settle(connected=True)
            self._listener.answer(stopped)
            self._resolvers += 1
            nursery.start_soon(self._resolve, trio.SocketStream(trio.socket.from_stdlib_socket(ours)))

    async def _resolve(self, stream: trio.SocketStream) -> None:
        try:
            await self._answers.serve(stream)
        finally:
            self._resolvers -= 1
