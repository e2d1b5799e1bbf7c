"""What a task prints, on its way from its worker to n8n: judged, counted, and sent on print by print.

A worker sends its prints together, and some lie in memory that the supervisor looks into (``sandbox/wire.py``), so
what comes here is many at a time; n8n takes each as a call of its own, which nobody waits for.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec
import trio

from reptarium.pool.protocol.messages import UNREADABLE, blanked, judging_json
from reptarium.pool.tasks.callbacks import OnCall
from reptarium.pool.tasks.router import RpcRouter
from reptarium.pool.turns import in_turns
from reptarium.pool.workers.worker import Worker, WorkerGone
from reptarium.sandbox import wire
from reptarium.sandbox.texts import PRINT_PRICE
from reptarium.sandbox.wire import Kind

__all__ = ["LARGE_PRINT", "LOOK", "PrintsOf"]

#: Seconds between two looks for what a task that has just printed has printed since.
LOOK: Final = 0.02
#: A longer one is judged in pieces, in bytes: the limit of what a task may print is an administrator's to set.
LARGE_PRINT: Final = 1 << 19
#: Prints that are judged and sent on before everything else has its turn.
TOGETHER: Final = 64
#: What a worker may say beyond the limit: the note that ends a console, and JSON around it. In bytes.
_OVERHEAD: Final = 64 * 1024
#: Seconds for n8n to take what a task had printed when it was ended.
LAST_WORDS: Final = 1.0

_NAME: Final = "logNodeOutput"
_decoder = msgspec.json.Decoder(list[str])


class PrintsOf:
    """One task's prints. ``limit``: bytes, each print's price included."""

    def __init__(self, task_id: str, router: RpcRouter, limit: int, on_call: OnCall | None = None) -> None:
        self._task_id = task_id
        self._router = router
        self._left = self._limit = limit
        self._on_call = on_call
        self._until = -float("inf")

    @property
    def awaited(self) -> bool:
        """Whether some may lie in the worker's memory of which it says nothing."""
        return trio.current_time() < self._until

    @property
    def longest(self) -> int:
        """Bytes of the longest frame that an honest worker sends."""
        return max(self._limit, wire.PRINTS_ROOM) + _OVERHEAD

    async def take(self, worker: Worker, payload: bytes | bytearray) -> None:
        """What a worker has sent. Raises ``wire.ProtocolViolation``."""
        await self._forward(worker.prints.sent(payload))

    async def look(self, worker: Worker) -> None:
        """What it has printed and not sent yet. Raises ``wire.ProtocolViolation``."""
        if lines := worker.prints.waiting():
            await self._forward(memoryview(lines))

    async def take_rest(self, worker: Worker) -> None:
        """What one whose task has been ended has left: whole prints of it, as far as n8n takes them in a second.

        Nothing that it says is a fault any more.
        """
        limits = {Kind.CONSOLE: self.longest}
        with trio.move_on_after(LAST_WORDS), suppress(wire.ProtocolViolation):
            with suppress(WorkerGone):
                while (frame := await worker.receive_now(limits)) is not None:
                    await self.take(worker, frame[1])
            await self.look(worker)

    async def _forward(self, lines: bytes | bytearray | memoryview) -> None:
        size = len(lines)
        if not size:
            return
        self._until = trio.current_time() + 2 * wire.PRINTS_QUIET
        if lines[size - 1] != 0x0A:
            raise wire.ProtocolViolation("a print without an end")
        if size > wire.PRINTS_ROOM:
            await self._send([bytes(memoryview(lines)[:-1])])
            return
        each = bytes(lines).split(b"\n")
        each.pop()
        for first in range(0, len(each), TOGETHER):
            await self._send(each[first : first + TOGETHER])
            if len(each) >= first + TOGETHER:
                await trio.lowlevel.checkpoint()

    async def _send(self, lines: list[bytes]) -> None:
        for line in lines:
            self._left -= len(line) + 1 + PRINT_PRICE
            if self._left < -_OVERHEAD:  # an honest console stops by itself and says so
                raise wire.ProtocolViolation("prints far beyond what REPTARIUM_MAX_CONSOLE allows")
            if not (_is_plain(line) or await is_print(line)):
                raise wire.ProtocolViolation("a console line that is not a list of strings")
            await self._router.post(self._task_id, _NAME, msgspec.Raw(line))
            if self._on_call is not None:
                self._on_call(_NAME, "success", None)  # nobody answers it


def _is_plain(line: bytes | bytearray) -> bool:
    """:func:`is_print` of nearly all there are, without a coroutine."""
    if len(line) > LARGE_PRINT:
        return False
    try:
        _decoder.decode(line)
    except UNREADABLE:
        return False
    return True


async def is_print(line: bytes | bytearray) -> bool:
    """Whether it is a JSON list of strings."""
    if len(line) > LARGE_PRINT:  # a list at least: what is in it nobody here makes objects of
        return line[:1] == b"[" and await in_turns(judging_json(line))
    return _is_plain(line) or _is_plain(blanked(line))  # a lone surrogate is JSON all the same
