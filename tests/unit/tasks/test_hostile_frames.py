"""What a worker that has broken out may say: each is its task's violation of the protocol, and no fault of ours."""

from __future__ import annotations

import struct
from collections.abc import Awaitable
from typing import Any

import pytest

from reptarium.pool.endings import Ending
from reptarium.pool.protocol.messages import PIECE
from reptarium.pool.tasks.callbacks import Callbacks, CallLimits
from reptarium.pool.tasks.console import LARGE_PRINT, is_print
from reptarium.pool.tasks.execution import Execution, _Failed
from reptarium.pool.tasks.limits import task_limits
from reptarium.sandbox import wire
from tests.conftest import make_settings, others_turns

DEEP = b"[" * 30_000 + b"]" * 30_000
#: What is no head, whatever it is the head of.
HEADS = {
    "deep": b'{"x":' + DEEP + b"}",
    "deep in a field": b'{"call":' + DEEP + b',"custom_data_size":' + DEEP + b"}",
    "deep and open": b"[" * 30_000,
    "no UTF-8": b'{"name":"\xff","custom_data_size":"\xff"}',
    "half an emoji": b'{"call":"\\ud83d","name":"\\ud83d","kind":"\\ud83d","custom_data_size":"\\ud83d"}',
    "beyond all numbers": b'{"call":1e999,"custom_data_size":1e999,"static_data_size":' + b"9" * 5000 + b"}",
    "below zero": b'{"call":-1,"custom_data_size":-1,"static_data_size":-1}',
    "nothing": b"",
    "zeros": bytes(1000),
}
#: Frames whose head has another length than they say.
CUT = {"no length": b"\x00", "too short": struct.pack("<I", 1000) + b"{}", "too long": struct.pack("!I", 2**31) + b"{}"}


BODIES = {f"a head: {name}": struct.pack("<I", len(head)) + head + b"[]" for name, head in HEADS.items()} | CUT


def execution() -> Execution:
    """One whose frames are looked at."""
    nothing: Any = None
    return Execution("t", nothing, nothing, task_limits(make_settings()))


async def violates(awaitable: Awaitable[object]) -> bool:
    """Whether the task ends as a violation of the protocol."""
    try:
        await awaitable
    except _Failed as failed:
        return failed.ending is Ending.VIOLATION
    except wire.ProtocolViolation:
        return True
    return False


@pytest.mark.parametrize("name", BODIES)
async def test_results_and_calls(name: str) -> None:
    """A head that is none, whichever way."""
    assert await violates(execution()._done(BODIES[name]))
    nothing: Any = None
    if name not in (
        "a head: below zero",
        "a head: deep",
    ):  # a call's number may be any, what isn't known is passed over
        assert await violates(Callbacks("t", nothing, CallLimits()).answer(BODIES[name]))


@pytest.mark.parametrize("name", HEADS)
async def test_failures_and_prints(name: str) -> None:
    """A failure and a print have no head: they are one value."""
    known = name in ("deep", "below zero", "deep in a field")
    assert known or execution()._failed(HEADS[name]).ending is Ending.VIOLATION
    assert not await is_print(HEADS[name])


async def test_a_long_print_is_judged_in_steps() -> None:
    """The limit of what a task may print is an administrator's to set: everything else has its turn."""
    long = b'["' + b"x" * 2 * LARGE_PRINT + b'"]'
    async with others_turns() as turns:
        assert await is_print(long)
        assert turns() >= len(long) // PIECE - 1
        assert not await is_print(b'{"a":' + long + b"}")
        assert not await is_print(long[:-1])
