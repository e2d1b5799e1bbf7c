"""What an execution holds, and for how long; and a worker that has broken out and speaks to it without end."""

from __future__ import annotations

import gc
import socket
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
import trio

from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.endings import Ending
from reptarium.pool.protocol.messages import RunnerMessage, TaskDoneData, TaskErrorData, TaskSettings
from reptarium.pool.tasks.callbacks import CallLimits
from reptarium.pool.tasks.execution import Execution
from reptarium.pool.tasks.limits import Limits
from reptarium.pool.tasks.router import RpcRouter
from reptarium.pool.workers.worker import Worker
from reptarium.sandbox import wire
from reptarium.sandbox.texts import PRINT_PRICE
from reptarium.sandbox.wire import Kind
from tests.limits import fail_after

LIMITS = Limits(timeout=15.0, memory=2**29, max_result=2**28, max_console=2**20, calls=CallLimits())
MEGABYTE = 1_000_000
NOTHING = partial(task_settings, {"code": "x", "items": []})

Play = Callable[[trio.SocketStream], Awaitable[None]]


class OnePool:
    """Leases one worker, whose part is played here, over a real socket."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.worker = Worker(1, 0, ours.detach(), -1)
        self.theirs = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))

    def lease_nowait(self) -> Worker:
        """The one worker."""
        return self.worker

    def discard(self, worker: Worker, reason: Ending = Ending.DONE) -> None:
        """The task has ended."""
        worker.killed_for = worker.killed_for or reason
        worker.close_socket()


@pytest.fixture
async def pool() -> AsyncIterator[OnePool]:
    """A pool of one."""
    pool = OnePool()
    yield pool
    pool.worker.close_socket()
    await pool.theirs.aclose()


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage collection: what is let go is let go at once."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def frame(kind: Kind, *parts: bytes | memoryview) -> bytes:
    """A frame as it lies on the wire."""
    return b"".join(wire.frame(kind, *parts))


async def read_task(stream: trio.SocketStream) -> None:
    """Read a task, and keep nothing of it."""
    head = b""
    while len(head) < wire.HEADER.size:
        head += await stream.receive_some(wire.HEADER.size - len(head))
    _, left = wire.HEADER.unpack(head)
    while left:
        left -= len(await stream.receive_some(min(left, 65536)))


async def run(
    pool: OnePool,
    settings: Callable[[], TaskSettings],
    play: Play,
    limits: Limits = LIMITS,
) -> tuple[TaskDoneData | TaskErrorData | None, weakref.ref[Execution], list[RunnerMessage]]:
    """One task whose worker plays its part; its outcome, what is left of it, what it sent to n8n."""
    sent: list[RunnerMessage] = []

    async def send(message: RunnerMessage) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message)

    fake: Any = pool
    execution = Execution("t", fake, RpcRouter(send), limits)
    execution.start(settings())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(play, pool.theirs)
        outcome = await execution.run()
        nursery.cancel_scope.cancel()
    return outcome, weakref.ref(execution), sent


async def answers(stream: trio.SocketStream) -> None:
    """A worker that is done."""
    await read_task(stream)
    await stream.send_all(frame(Kind.RESULT, *wire.with_head(wire.ResultHead(), b"[]")))
    await trio.sleep_forever()


async def fails(stream: trio.SocketStream) -> None:
    """A worker whose code raised."""
    await read_task(stream)
    await stream.send_all(frame(Kind.FAILED, msgspec.json.encode(wire.Failure(kind="user", message="no"))))
    await trio.sleep_forever()


async def lies(stream: trio.SocketStream) -> None:
    """A worker that makes a call that is none."""
    await read_task(stream)
    await stream.send_all(frame(Kind.RPC, *wire.with_head(wire.RpcHead(1, "helpers.httpRequest"), b"nonsense")))
    await trio.sleep_forever()


async def dies(stream: trio.SocketStream) -> None:
    """A worker that closes its socket."""
    await read_task(stream)
    await stream.aclose()


@pytest.mark.parametrize("play", [answers, fails, lies, dies])
async def test_an_ended_task_is_gone_at_once(play: Play, pool: OnePool, uncollected: None) -> None:
    """Nothing that an execution consists of holds it: it goes without a garbage collection, however it ended."""
    with fail_after(20):
        outcome, left, _ = await run(pool, NOTHING, play)
    assert isinstance(outcome, TaskDoneData) is (play is answers)
    assert left() is None


async def test_items_are_let_go_when_they_are_sent(pool: OnePool, uncollected: None) -> None:
    """Sending takes no copy of them, and while the code runs the supervisor holds none of what it was given."""
    held: dict[str, int] = {}

    async def looks(stream: trio.SocketStream) -> None:
        await read_task(stream)
        await trio.testing.wait_all_tasks_blocked()
        held["running"], held["at most"] = tracemalloc.get_traced_memory()
        await stream.send_all(frame(Kind.RESULT, *wire.with_head(wire.ResultHead(), b"[]")))
        await trio.sleep_forever()

    with fail_after(20):
        tracemalloc.start()
        try:
            items, query = msgspec.Raw(bytes(20 * MEGABYTE)), msgspec.Raw(bytes(MEGABYTE))
            given = [TaskSettings(code="x", items=items, query=query)]
            del items, query
            tracemalloc.reset_peak()
            outcome, _, _ = await run(pool, given.pop, looks)
        finally:
            tracemalloc.stop()
    assert isinstance(outcome, TaskDoneData)
    assert held["at most"] < 23 * MEGABYTE
    assert held["running"] < MEGABYTE


async def floods(stream: trio.SocketStream) -> None:
    """A worker that has broken out: blocks of small console frames for ever."""
    await read_task(stream)
    place = wire.PRINTS_PLACE.pack
    block = b"".join(frame(Kind.CONSOLE, place(6 * number), b'["x"]\n') for number in range(20_000))
    while True:
        try:
            await stream.send_all(block)
        except trio.BrokenResourceError:
            return


async def test_a_console_without_end_ends_its_worker(pool: OnePool) -> None:
    """Far over the limit of its prints a worker is killed for it, and n8n was sent what the limit allows."""
    limits = msgspec.structs.replace(LIMITS, max_console=20 * PRINT_PRICE)
    with fail_after(30):
        outcome, _, sent = await run(pool, NOTHING, floods, limits)
    assert isinstance(outcome, TaskErrorData)
    assert outcome.message == "The task's worker broke its protocol and was killed"
    assert "REPTARIUM_MAX_CONSOLE" in str(outcome.description)
    assert len(sent) < 20 + 64 * 1024 / PRINT_PRICE
