"""Workers that lower their limits to those of their task, and an attacker below the language layer in them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from arena import arena

from reptarium.sandbox import wire
from reptarium.sandbox.kernel import TaskLimits
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("kernel_layer")

MIB = 2**20
MOST: dict[str, Any] = {
    "memory": 256 * MIB, "cpu_seconds": 100, "max_threads": 6, "open_files": 40, "namespaces": "off", "adjustable": True,
}  # fmt: skip
LESS = wire.TaskTerms(
    kernel=TaskLimits(memory=64 * MIB, cpu_seconds=10, max_threads=2, open_files=20, scratch_bytes=0),
    max_result=1 << 20, max_console=1 << 20, rpc_max_bytes=1 << 20,
)  # fmt: skip
#: Each limit of a worker and whether anything raised it: the kernel's own call, soft, hard and both.
HELD = """
import resource
def pair(soft, hard):
    return text(struct.pack("=QQ", soft, hard))
before = [resource.getrlimit(which) for which in range(16)]
answers = {
    raw("prlimit64", pid, which, pair(*told), 0)
    for which in (0, 1, 2, 6, 7, 9)
    for soft, hard in [resource.getrlimit(which)]
    for told in ((hard + 1, hard + 1), (soft, 2**64 - 1), (2**64 - 1, 2**64 - 1))
    for pid in (0, os.getpid())
    if hard != -1
}
others = {raw("prlimit64", 0, which, pair(0, 0), 0) for which in (3, 4, 5, 8, 10, 11, 12, 13, 14, 15)}
raised = [which for which in range(16) if before[which] != resource.getrlimit(which)]
result = {"answers": sorted(answers), "others": sorted(others), "raised": raised,
          "files": before[7], "memory": attempt(bytearray, 80 * 2**20), "cpu": before[0]}
"""


async def test_what_is_lowered_stays_lowered() -> None:
    """A task's limits are its worker's from before its first instruction, and none of them can be raised."""
    with fail_after(60):
        async with arena(size=1, **MOST) as it:
            free = await it.attack(HELD)
            held = await it.attack(HELD, head=partial(wire.TaskHead, terms=LESS))
    for found in (free, held):
        assert (found["answers"], found["others"], found["raised"]) == (["EPERM"], ["EPERM"], [])
    assert (free["files"], free["cpu"], free["memory"]) == ([40, 40], [100, 101], "done")
    assert (held["files"], held["cpu"], held["memory"]) == ([20, 20], [10, 11], "MemoryError")


async def test_terms_beyond_what_the_pool_has_give_no_more() -> None:
    """A supervisor that errs can't make a worker raise its own limits."""
    more = TaskLimits(memory=512 * MIB, cpu_seconds=1000, max_threads=60, open_files=400, scratch_bytes=9)
    with fail_after(60):
        async with arena(size=1, **MOST) as it:
            terms = wire.TaskTerms(kernel=more, max_result=1 << 20, max_console=1 << 20, rpc_max_bytes=1 << 20)
            found = await it.attack(HELD, head=partial(wire.TaskHead, terms=terms))
    assert (found["files"], found["cpu"][1], found["memory"]) == ([40, 40], 101, "done")
