"""What a zygote, or a worker that has broken out, writes on the standard error that they share."""

from __future__ import annotations

import os
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from reptarium.pool.workers.zygote import ZygoteProcess
from tests.conftest import others_turns
from tests.limits import fail_after


async def logged(text: bytes) -> tuple[list[Any], int]:
    """What is logged of ``text``, and how often somebody else had his turn meanwhile."""
    read, write = os.pipe()
    zygote = ZygoteProcess.__new__(ZygoteProcess)
    zygote._stderr = trio.lowlevel.FdStream(read)

    async def say() -> None:
        async with trio.lowlevel.FdStream(write) as stream:
            await stream.send_all(text)

    with capture_logs() as lines, fail_after(60):
        async with others_turns() as turns, trio.open_nursery() as nursery:
            nursery.start_soon(say)
            await zygote.log_stderr()
    await zygote._stderr.aclose()
    return lines, turns()


async def test_a_traceback_is_logged() -> None:
    """Line by line."""
    lines, _ = await logged(b"Traceback\n  File\nOSError\n")
    assert [line["event"] for line in lines] == ["zygote: Traceback", "zygote:   File", "zygote: OSError"]


@pytest.mark.parametrize("unit", [b"\n", b"x" * 4000 + b"\n"])
async def test_a_flood_is_no_flood_of_the_log(unit: bytes) -> None:
    """All of it is read, a part of it logged, the rest counted; everything else has its turn."""
    size = 1 << 20
    lines, turns = await logged(unit * (size // len(unit)))
    assert lines[-1]["event"] == "what the zygote or its workers wrote was too much to be logged"
    assert sum(len(line["event"]) for line in lines) < size // 3
    assert len(lines) - 1 + lines[-1]["lines"] == size // len(unit)
    assert turns > len(lines) / 100
