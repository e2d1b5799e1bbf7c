"""Memory is bounded whatever its kind: what RLIMIT_DATA doesn't count, the address space bounds and the watchdog counts.

Rules as in `arena.py`. Attacks on memory take little of it: the bounds are small, not the attacks large.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
from arena import Arena, arena

from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.workers.watchdog import INTERVAL, Watchdog, footprint
from reptarium.pool.workers.worker import Worker
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import rlimits
from reptarium.sandbox.wire import Kind
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("kernel_layer")

MIB = 2**20
MEMORY = 64 * MIB

MAP = """
mmap = ctypes.CDLL(None, use_errno=True).mmap
mmap.restype, mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
def reserve(size, rights=1):
    address = mmap(None, size, rights, 0x4022, -1, 0)  # private, anonymous, no reserve
    return None if address == 2**64 - 1 else address
def look_at(address, size):
    for at in range(address, address + size, 2**21):
        ctypes.c_char.from_address(at).value
"""


async def _serve(place: Arena, watchdog: Watchdog, code: str) -> Worker:
    """Give a worker `code` and wait until it says that it has its memory. Whoever asks discards it."""
    worker = await place.pool.lease()
    watchdog.watch(worker)
    program = f"import ctypes, os, time\n{MAP}\n{code}\nchannel.print(b'[]')\nwhile True: time.sleep(60)"
    await worker.send(Kind.TASK, *wire.with_head(wire.TaskHead(code=program, items_size=2), b"[]"))
    kind, payload = await worker.receive({Kind.CONSOLE: 4096, Kind.FAILED: 2**16})
    assert kind is Kind.CONSOLE, bytes(payload)
    return worker


async def _killed(code: str, limit: int, **isolation: Any) -> bool:
    """Whether a watchdog of `limit` bytes kills a worker for the memory that `code` takes, within some samples."""
    watchdog = Watchdog(limit, 8, Metrics())
    with fail_after(60):
        async with arena(size=1, **isolation) as place, trio.open_nursery() as nursery:
            worker = await _serve(place, watchdog, code)
            nursery.start_soon(watchdog.run)
            with trio.move_on_after(40 * INTERVAL):
                await worker.exited.wait()
            reason = worker.killed_for
            place.pool.discard(worker)
            nursery.cancel_scope.cancel()
    assert reason in ("memory", None)
    return reason == "memory"


async def test_address_space() -> None:
    """A worker can't map more than its memory and the stated reserve, whatever rights the mapping has."""
    code = f"{MAP}\nresult = [reserve(size) is not None for size in sizes]"
    reserve = rlimits.address_reserve(4)
    with fail_after(60):
        async with arena(size=1, memory=MEMORY, max_threads=4) as place:
            answers = await place.attack(code, sizes=[reserve // 2, reserve + MEMORY + 1, 96 << 30])
    assert answers == [True, False, False]


async def test_page_tables_that_a_task_can_make_are_bounded() -> None:
    """However it maps and looks, a task's page tables stay below 2 % of its memory and the reserve."""
    reserve = rlimits.address_reserve(4)
    code = f"""{MAP}
size, held = 1 << 40, 0
while size >= 1 << 24:
    address = reserve(size)
    if address is None:
        size //= 2
        continue
    held += size
    if held > most: break
result = held
"""
    most = MEMORY + reserve
    with fail_after(60):
        async with arena(size=1, memory=MEMORY, max_threads=4) as place:
            held = await place.attack(code, most=most)
    assert held <= most
    assert held // 512 < most * 0.02  # a table of 4 KiB maps 2 MiB


@pytest.mark.slow
async def test_page_tables_count() -> None:
    """The watchdog counts page tables: a task that holds nothing else goes over a small limit by them."""
    code = f"size = {900 * MIB}\naddress = reserve(size)\nassert address, 'refused'\nlook_at(address, size)"
    assert await _killed(code, 3 * MIB // 2, memory=512 * MIB)
    assert not await _killed(code, 64 * MIB, memory=512 * MIB)


async def test_what_a_task_takes_at_once_counts() -> None:
    """The baseline is what the worker had before its task: memory taken before the first sample counts, too."""
    code = f"held = bytearray({45 * MIB})"
    assert await _killed(code, 30 * MIB, memory=MEMORY)
    assert not await _killed(code, 60 * MIB, memory=MEMORY)


def test_footprint() -> None:
    """A process's own resident pages, page tables and what was swapped out, in bytes; of what a kernel doesn't tell,
    nothing.
    """
    status = (
        b"Name:\tx\nVmSize:\t9 kB\nVmRSS:\t9 kB\nRssAnon:\t100 kB\nRssFile:\t9 kB\nRssShmem:\t1 kB\nVmPTE:\t20 kB\n"
    )
    assert footprint(status + b"VmSwap:\t3 kB\nThreads:\t1\n") == 124 * 1024
    assert footprint(b"Name:\tx\nRssAnon:\t100 kB\n") == 100 * 1024
    assert footprint(b"Name:\tx\nState:\tZ (zombie)\n") == 0
