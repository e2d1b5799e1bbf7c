"""The zygote's memory: what moves into the heap and into huge pages works like any other."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.limits import within

PRELUDE = """
import gc, json, os, sys
from reptarium.sandbox.process import heap

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def in_heap(thing):
    with open("/proc/self/maps") as maps:
        for line in maps:
            begin, _, end = line.split(maxsplit=1)[0].partition("-")
            if int(begin, 16) <= id(thing) < int(end, 16):
                return "[heap]" in line
"""


def run(program: str) -> Any:
    """What the program printed, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program], capture_output=True, text=True, timeout=within(60), check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", autouse=True)
def glibc() -> None:
    """Elsewhere memory stays as it is, which is the first test."""
    if not run("print(json.dumps(heap.gather()))"):
        pytest.skip("this C library or interpreter has another heap")


def test_unsettled() -> None:
    """Without :func:`heap.gather` nothing is done."""
    assert run("print(json.dumps(heap.settle()))") == 0


def test_arenas_come_from_the_heap() -> None:
    """Small objects lie in the heap while it gathers, and in arenas of Python's own afterwards."""
    found = run("""
heap.gather()
early = [object() for _ in range(200_000)]
pages = heap.settle()
late = [object() for _ in range(200_000)]
print(json.dumps([in_heap(early[-1]), in_heap(late[-1]), pages >= 0]))
""")
    assert found == [True, False, True]


def test_memory_is_given_back() -> None:
    """Arenas that were gathered can be freed, before and after, among large blocks that come and go."""
    found = run("""
heap.gather()
for _ in range(3):
    small = [[n] for n in range(300_000)]
    large = [bytes(size) for size in range(1, 3 << 20, 1 << 18)]
    del small
small = [[n] for n in range(300_000)]
heap.settle()
full = least = resident()
for turn in range(20):
    large = [bytes(size) for size in range(1, 3 << 20, 1 << 18)]
    mixed = [{"n": n, "text": str(n) * 5} for n in range(20_000)]
    if turn == 10:
        checked = sum(each[0] for each in small)
        del small
        gc.collect()
    text = mixed[-1]["text"]
    del large, mixed
    least = min(least, resident())  # the kernel's khugepaged may fill what was freed with huge pages again
print(json.dumps([checked == sum(range(300_000)), text, full - least]))
""")
    whole, text, freed = found
    assert whole
    assert text == "19999" * 5
    assert freed > 10 * 2**20


def test_a_child_reads_and_writes() -> None:
    """A forked child finds everything in its place, changes its own copy, and leaves its parent's alone."""
    found = run("""
heap.gather()
things = [{"n": n} for n in range(100_000)]
heap.settle()
read, write = os.pipe()
if os.fork() == 0:
    for each in things:
        each["n"] += 1
    os.write(write, str(sum(each["n"] for each in things)).encode())
    os._exit(0)
changed = int(os.read(read, 100))
os.wait()
print(json.dumps([changed, sum(each["n"] for each in things)]))
""")
    assert found == [sum(range(100_001)), sum(range(100_000))]
