"""An imaginary network: streams in memory that are slow, stand still, and break anywhere.

A stream behaves as trio's ``SocketStream`` does, errors included. Each direction is a :class:`Pipe`: what is sent
arrives after a delay, as many bytes at a time as the seed says, and no more is on its way than fits.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import msgspec
import trio

from reptarium.pool.brokers.errors import LinkError
from tests.simulation.history import History

Serve = Callable[["Stream"], Awaitable[None]]


class Weather(msgspec.Struct, kw_only=True):
    """What a connection's way is like. Times in seconds, sizes in bytes."""

    delay: float = 0.0
    #: What fits on the way before the sender waits.
    room: int = 64 * 1024
    #: The largest piece that is received at once, by who waits for it: who comes later finds all that has arrived.
    piece: int = 64 * 1024
    #: After so many bytes, of both directions together, it breaks: None never.
    breaks_after: int | None = None
    #: How it breaks: ``reset`` (both sides notice), ``end`` (as if the other side had closed), ``silence`` (nobody).
    breaks_with: str = "reset"


class Pipe:
    """One direction of a connection."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._queue: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._changed = trio.Event()
        self.ended = False
        self.broken = False
        self.deaf = False  # what is sent is lost
        self.unread = False  # the receiver has closed
        self.stalled_until = 0.0

    def _notify(self) -> None:
        if self._changed.statistics().tasks_waiting:
            self._changed.set()
            self._changed = trio.Event()

    async def send(self, data: bytes) -> None:
        """Put ``data`` on its way, waiting for room."""
        sent = 0
        room = self._line.weather.room
        while True:
            if self.broken:
                raise trio.BrokenResourceError("imaginary: connection reset")
            if self.unread:
                self._line.reset()
                raise trio.BrokenResourceError("imaginary: broken pipe")
            if self._bytes < room:
                part = data[sent : sent + room - self._bytes]
                sent += len(part)
                self._put(part)
                if sent >= len(data):
                    return
            else:
                await self._changed.wait()

    def send_nowait(self, data: bytes) -> bool:
        """Put ``data`` on its way, if there is room for all of it."""
        if self.broken or self.unread or self._bytes + len(data) > self._line.weather.room:
            return False
        self._put(data)
        return True

    def send_part(self, data: bytes) -> int:
        """Put as much of ``data`` on its way as there is room for."""
        if self.broken or self.unread:
            return 0
        part = data[: max(self._line.weather.room - self._bytes, 0)]
        if part:
            self._put(part)
        return len(part)

    def _put(self, part: bytes) -> None:
        part = self._line.passes(part)
        if part and not self.deaf:
            self._queue.append((trio.current_time() + self._line.weather.delay, part))
            self._bytes += len(part)
            self._notify()
        self._line.carried()

    async def receive(self, most: int) -> bytes:
        """Some of what has arrived; empty at the end."""
        while True:
            now = trio.current_time()
            if self.broken:
                raise trio.BrokenResourceError("imaginary: connection reset")
            due = max(self._queue[0][0], self.stalled_until) if self._queue else self.stalled_until
            if due <= now:
                if self._queue and due < now:
                    return self._take_all(now, most)
                if self._queue:
                    return self._take(min(most, self._line.weather.piece))
                if self.ended:
                    return b""
                due = float("inf")
            with trio.move_on_at(due):
                await self._changed.wait()

    def _take(self, most: int) -> bytes:
        due, data = self._queue.popleft()
        if len(data) > most:
            self._queue.appendleft((due, data[most:]))
        self._bytes -= len(data[:most])
        self._notify()
        return data[:most]

    def _take_all(self, now: float, most: int) -> bytes:
        taken = bytearray()
        while self._queue and self._queue[0][0] <= now and len(taken) < most:
            taken += self._take(most - len(taken))
        return bytes(taken)

    def end(self) -> None:
        """Nothing comes after what is on its way. A network that has fallen silent doesn't carry that either."""
        if not self.deaf:
            self.ended = True
            self._notify()

    def leave(self) -> None:
        """The receiver has closed."""
        if not self.deaf:
            self.unread = True
            self._notify()

    def tear(self) -> None:
        """Both of its ends are errors from now on, and what is on its way is lost."""
        self.broken = True
        self._queue.clear()
        self._bytes = 0
        self._notify()

    def wake(self) -> None:
        """Something has changed that a sender or a receiver waits for."""
        self._notify()


class Line:
    """One connection: two pipes and what becomes of them."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.there, self.back = Pipe(self), Pipe(self)
        self._left = weather.breaks_after
        self._due = False

    def passes(self, part: bytes) -> bytes:
        """What gets through of ``part`` before the connection breaks."""
        if self._left is None:
            return part
        self._due = len(part) >= self._left
        through = part[: self._left]
        self._left -= len(through)
        return through

    def carried(self) -> None:
        """Break when it is time."""
        if self._due:
            self._due, self._left = False, None
            self.break_off(self.weather.breaks_with)

    def break_off(self, how: str) -> None:
        """Break, as :class:`Weather` says."""
        if how == "reset":
            self.reset()
        elif how == "end":
            for pipe in (self.there, self.back):
                pipe.end()
                pipe.leave()
        else:
            self.there.deaf = self.back.deaf = True

    def hold(self) -> None:
        """Break no more, and stand still no more."""
        self._left = None
        self.stall(0.0)

    def reset(self) -> None:
        """Break noticeably."""
        self.there.tear()
        self.back.tear()

    def stall(self, seconds: float) -> None:
        """Nothing arrives for so long."""
        for pipe in (self.there, self.back):
            pipe.stalled_until = trio.current_time() + seconds
            pipe.wake()


class Stream(trio.abc.HalfCloseableStream):
    """One end of a connection."""

    def __init__(self, line: Line, incoming: Pipe, outgoing: Pipe, closed: Callable[[Stream], None]) -> None:
        self.line = line
        self._incoming, self._outgoing = incoming, outgoing
        self._closed = False
        self._on_close = closed
        self._sending: trio.CancelScope | None = None
        self._receiving: trio.CancelScope | None = None

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As a socket's: one sender at a time."""
        if self._sending is not None:
            raise trio.BusyResourceError("imaginary: two senders at once")
        with trio.CancelScope() as self._sending:
            try:
                await trio.lowlevel.checkpoint()
                if len(data) and not self._closed:
                    await self._outgoing.send(bytes(data))
            finally:
                self._sending = None
        if self._closed:
            raise trio.ClosedResourceError

    async def wait_send_all_might_not_block(self) -> None:
        """At once."""
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As a socket's: one receiver at a time."""
        if self._receiving is not None:
            raise trio.BusyResourceError("imaginary: two receivers at once")
        with trio.CancelScope() as self._receiving:
            try:
                await trio.lowlevel.checkpoint()
                if not self._closed:
                    return await self._incoming.receive(max_bytes or 65536)
            finally:
                self._receiving = None
        raise trio.ClosedResourceError

    def send_nowait(self, data: bytes) -> bool:
        """Send all of ``data`` if there is room for it, and nobody else is sending."""
        return self._sending is None and not self._closed and self._outgoing.send_nowait(data)

    def send_at_once(self, data: bytes) -> int:
        """Send what there is room for."""
        assert self._sending is None, "imaginary: two senders at once"
        return 0 if self._closed else self._outgoing.send_part(data)

    async def send_eof(self) -> None:
        """Close the sending half."""
        await trio.lowlevel.checkpoint()
        self._outgoing.end()

    async def aclose(self) -> None:
        """Close it; whoever waits on this end is told."""
        if not self._closed:
            self._closed = True
            self._outgoing.end()
            self._incoming.leave()
            for scope in (self._sending, self._receiving):
                if scope is not None:
                    scope.cancel()
            self._on_close(self)
        await trio.lowlevel.checkpoint()


class Network:
    """Who listens where, what the ways are like, and which streams are open."""

    def __init__(self, rng: random.Random, history: History) -> None:
        self._rng = rng
        self._history = history
        self._listeners: dict[str, Serve] = {}
        self._weather: Callable[[str], Weather] = lambda address: Weather()
        self.names: dict[str, list[str] | None] = {}
        self.nursery: trio.Nursery | None = None
        self.open: set[Stream] = set()  # the runner's ends
        self.lines: list[tuple[str, Line]] = []
        #: Addresses that nobody answers at, not even with a refusal.
        self.black_holes: set[str] = set()
        self.calm = False  # the storm is over

    def listen(self, address: str, serve: Serve) -> None:
        """``serve`` gets what connects to ``address`` (``host:port``)."""
        self._listeners[address] = serve

    def close(self, address: str) -> None:
        """Nobody listens there any more; connections stay."""
        self._listeners.pop(address, None)

    def weather(self, weather: Callable[[str], Weather]) -> None:
        """From now on new connections to an address are like this."""
        self._weather = weather

    async def open_stream(self, uri: str, tls: object = None) -> Stream:
        """In place of ``brokers/stream.py``. Raises LinkError as that does."""
        address = urlsplit(uri).netloc
        if address in self.black_holes:
            await trio.sleep_forever()
        await trio.sleep(self._weather(address).delay)
        weather = self._weather(address)  # as it is when the connection is there
        serve = self._listeners.get(address)
        if serve is None:
            raise LinkError(f"{uri}: Connection refused")
        assert self.nursery is not None
        line = Line(weather)
        ours = Stream(line, line.back, line.there, self.open.discard)
        theirs = Stream(line, line.there, line.back, lambda stream: None)
        self.open.add(ours)
        self.lines = [(where, known) for where, known in self.lines if not known.there.broken][-64:]
        self.lines.append((address, line))
        self.nursery.start_soon(serve, theirs)
        return ours

    async def addresses(self, uri: str, served: object = ()) -> frozenset[str]:
        """In place of ``brokers/resolve.py``. Raises OSError as that does."""
        await trio.lowlevel.checkpoint()
        found = self.names[urlsplit(uri).hostname or ""]
        if found is None:
            raise OSError("imaginary: no such name")
        return frozenset(f"http://{address}" for address in found)
