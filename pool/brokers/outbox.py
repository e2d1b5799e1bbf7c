"""What waits to be written to one broker."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

import trio

from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.protocol.messages import BrokerMessage, RunnerMessage, encode

#: Messages that may wait for the writer, and how many of them may be prints, calls and results: a task
#: that floods waits for room, and the session's own words find some beside it: an accept, a verdict and two
#: offers for each of the 1,000 slots that a runner may have, with a broker that reads nothing meanwhile.
OUTBOX, BULK = 4352, 256
#: From so many bytes of waiting prints, calls and results on, the next one waits for room.
BULK_BYTES = 8 << 20
#: Messages, and bytes of them, that are written at once where they wait together.
TOGETHER, TOGETHER_BYTES = 64, 64 << 10
#: A broker that lets more messages wait than this is slow: it gets no new offers.
BACKLOG = 64


class Outbox:
    """What waits to be written to one broker, bounded by number and by bytes.

    The session's *words* (accepts, offers, verdicts) are small and never wait: when there is no room for
    one, the broker has long stopped reading. *Bulk* (prints, calls, results) waits for room, first come,
    first served; a message larger than all room is taken when there is some. After :meth:`close`
    everything is swallowed.

    What is put while the outbox is entered (``with outbox:``, in which nothing may wait) goes when it is left: at
    once, if nothing is being written and the socket takes it. All else is the writer's, who has a turn for it.
    """

    def __init__(self) -> None:
        #: Called when a broker that was slow isn't any more.
        self.on_relief: Callable[[], object] = lambda: None
        #: Writes messages if that waits for nothing. True: all of them; False: a part, and the writer's next write
        #: begins with the rest; None: nothing. Raises nothing.
        self.write_at_once: Callable[[Sequence[bytes]], bool | None] = lambda texts: None
        self._was_slow = False
        self.unwritten = 0  # queued, or on its way from the queue to the socket
        self._bulk = self._bulk_bytes = 0
        self._turn = trio.StrictFIFOLock()
        self._freed = trio.Event()
        self._closed = False
        self._entered = 0
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._writer = trio.lowlevel.ParkingLot()
        self._writing: list[tuple[bytes, bool]] = []  # on its way from the queue to the socket

    def __enter__(self) -> Self:
        self._entered += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self._entered -= 1
        if self._queue and not self._entered:
            self._write_at_once()

    @property
    def owes(self) -> bool:
        """Whether a print, a call or a result is not written yet, or waits for room."""
        return bool(self._bulk) or self._turn.locked()

    @property
    def slow(self) -> bool:
        """Whether the broker reads more slowly than we write."""
        return self.unwritten > BACKLOG or self._bulk_bytes >= BULK_BYTES

    def put(self, message: RunnerMessage | BrokerMessage, *, bulk: bool = False) -> None:
        """Queue a message. Raises :class:`LinkError` when the broker has long stopped reading.

        ``bulk`` is for who has waited for :meth:`room`.
        """
        if self._closed:
            return
        data = encode(message)
        if len(self._queue) >= OUTBOX:
            raise LinkError(f"the broker does not read: {OUTBOX} messages wait")
        self._queue.append((data, bulk))
        if not self._entered:
            self._writer.unpark()
        self.unwritten += 1
        if bulk:
            self._bulk += 1
            self._bulk_bytes += len(data)
        self._was_slow = self._was_slow or self.slow

    @property
    def _full(self) -> bool:
        return self._bulk >= BULK or self._bulk_bytes >= BULK_BYTES or self.unwritten >= OUTBOX

    @property
    def roomy(self) -> bool:
        """Whether :meth:`room` needn't wait."""
        return not (self._full or self._turn.locked())

    async def room(self) -> None:
        """Wait until it is one's turn and there is room for one message of bulk, or nothing goes out any more.

        The room is the caller's until it waits for something. When there is some at once, this is no checkpoint.
        """
        if not self.roomy:
            async with self._turn:
                while self._full and not self._closed:
                    await self._freed.wait()

    async def write(self, write: Callable[[Sequence[bytes]], Awaitable[None]]) -> None:
        """Write what is queued with ``write``, in its order and what waits together at once, until :meth:`close`."""
        try:
            while True:
                rest = bool(self._writing)  # of what was written at once in part
                while not (self._queue or rest):
                    if self._closed:
                        return
                    await self._writer.park()
                    rest = bool(self._writing)
                if not rest:
                    self._writing = self._together()
                await write([] if rest else [data for data, _ in self._writing])
                self._written()
        finally:
            self.close()

    def _write_at_once(self) -> None:
        while self._queue and not (self._writing or self._closed):
            self._writing = self._together()
            data = [data for data, _ in self._writing]
            all_of_it = self.write_at_once(data) if sum(map(len, data)) <= TOGETHER_BYTES else None
            if all_of_it:
                self._written()
                continue
            if all_of_it is None:
                self._queue.extendleft(reversed(self._writing))
                self._writing = []
            self._writer.unpark()
            return

    def _together(self) -> list[tuple[bytes, bool]]:
        """The first that waits, and what may go with it."""
        taken = [self._queue.popleft()]
        size = len(taken[0][0])
        while self._queue and len(taken) < TOGETHER and (size := size + len(self._queue[0][0])) <= TOGETHER_BYTES:
            taken.append(self._queue.popleft())
        return taken

    def _written(self) -> None:
        written, self._writing = self._writing, []
        self.unwritten -= len(written)
        for data, bulk in written:
            if bulk:
                self._bulk -= 1
                self._bulk_bytes -= len(data)
        if self._turn.locked():
            self._freed.set()
            self._freed = trio.Event()
        if self._was_slow and not self.slow:
            self._was_slow = False
            self.on_relief()

    def close(self) -> None:
        """Nothing more goes out: what is queued is dropped, whoever waits for room is let go."""
        self._closed = True
        self._queue.clear()
        self._writer.unpark()
        self._freed.set()

    async def flush(self) -> None:
        """Wait until everything that was queued, or waits for room, is written."""
        while (self.unwritten or self._turn.locked()) and not self._closed:
            await trio.sleep(0.002)
