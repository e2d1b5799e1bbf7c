"""What waits to be written to one broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

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
    """

    def __init__(self) -> None:
        #: Called when a broker that was slow isn't any more.
        self.on_relief: Callable[[], object] = lambda: None
        self._was_slow = False
        self.unwritten = 0  # queued, or on its way from the queue to the socket
        self._bulk = self._bulk_bytes = 0
        self._turn = trio.StrictFIFOLock()
        self._freed = trio.Event()
        self._closed = False
        self._queue, self._queued = trio.open_memory_channel[tuple[bytes, bool]](OUTBOX)

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
        try:
            self._queue.send_nowait((data, bulk))
        except trio.WouldBlock:
            raise LinkError(f"the broker does not read: {OUTBOX} messages wait") from None
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
            following: tuple[bytes, bool] | None = None
            while True:
                taken, following = self._with_more(following or await self._queued.receive())
                await write([data for data, _ in taken])
                self.unwritten -= len(taken)
                for data, bulk in taken:
                    if bulk:
                        self._bulk -= 1
                        self._bulk_bytes -= len(data)
                del taken, data  # not kept until the next one comes
                if self._turn.locked():
                    self._freed.set()
                    self._freed = trio.Event()
                if self._was_slow and not self.slow:
                    self._was_slow = False
                    self.on_relief()
        except trio.EndOfChannel:  # closed, and all of it is written
            pass
        finally:
            self.close()

    def _with_more(self, first: tuple[bytes, bool]) -> tuple[list[tuple[bytes, bool]], tuple[bytes, bool] | None]:
        """It with what else waits and may go with it; and the one after these, where it has been looked at."""
        taken, size = [first], len(first[0])
        while len(taken) < TOGETHER:
            try:
                following = self._queued.receive_nowait()
            except trio.WouldBlock:
                break
            size += len(following[0])
            if size > TOGETHER_BYTES:
                return taken, following
            taken.append(following)
        return taken, None

    def close(self) -> None:
        """Nothing more goes out: what is queued is dropped, whoever waits for room is let go."""
        self._closed = True
        self._queue.close()
        self._queued.close()
        self._freed.set()

    async def flush(self) -> None:
        """Wait until everything that was queued, or waits for room, is written."""
        while (self.unwritten or self._turn.locked()) and not self._closed:
            await trio.sleep(0.002)
