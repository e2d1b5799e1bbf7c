"""Steps that take long, of many tasks at once: one at each pass of the event loop, in the order in which they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from reptarium.pool.brokers import reading
from reptarium.pool.brokers.reading import LIGHT, Reading
from reptarium.pool.protocol.messages import Malformed, Steps
from reptarium.pool.turns import Turnstile, in_turns
from tests.limits import fail_after


class Passes(trio.abc.Instrument):
    """Counts the passes of the loop."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


@pytest.fixture
def passes() -> Any:
    return Passes()


async def test_one_step_a_pass(passes: Passes) -> None:
    """Fifty tasks with steps of their own: no two in one pass, nobody twice before all have had one."""
    trio.lowlevel.add_instrument(passes)
    done: list[tuple[int, int]] = []
    turnstile = Turnstile()

    def steps(who: int) -> Steps[None]:
        for _ in range(3):
            done.append((passes.count, who))
            yield

    async def work(who: int) -> None:
        await in_turns(steps(who), turnstile)

    with fail_after(10):
        async with trio.open_nursery() as nursery:
            for who in range(50):
                nursery.start_soon(work, who)
    trio.lowlevel.remove_instrument(passes)
    at = [when for when, _ in done]
    assert len(set(at)) == len(at) == 150
    assert [sorted(who for _, who in done[start : start + 50]) for start in (0, 50, 100)] == [list(range(50))] * 3


async def test_who_is_alone_does_not_wait(passes: Passes) -> None:
    """The first step comes at once; a task that was cancelled while it waited has taken nobody's turn."""
    trio.lowlevel.add_instrument(passes)
    turnstile = Turnstile()
    before = passes.count
    await turnstile.turn()
    assert passes.count == before
    with trio.CancelScope() as scope:
        scope.cancel()
        await turnstile.turn()
    assert scope.cancelled_caught
    with fail_after(10):
        await turnstile.turn()
    trio.lowlevel.remove_instrument(passes)


@pytest.mark.parametrize(("size", "most"), [(LIGHT + 1, 1), (LIGHT, 20)])
async def test_large_messages_of_all_brokers_take_turns(
    size: int, most: int, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may take milliseconds each is not taken apart twenty at a time; what is small is."""
    trio.lowlevel.add_instrument(passes)
    at: list[int] = []

    def decoding(frame: bytes) -> Steps[Malformed]:
        at.append(passes.count)
        return Malformed("no message")
        yield

    monkeypatch.setattr(reading, "decoding_broker_message", decoding)
    turnstile = Turnstile()

    class OneFrame:
        """A connection on which one message comes."""

        def leave_to(self, at_once: object) -> None:
            """There is one message, and it isn't plain."""

        async def frames(self) -> AsyncIterator[bytes]:
            """What comes."""
            yield b"x" * size

    with fail_after(10):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                one: Any = OneFrame()
                nursery.start_soon(Reading(one, lambda message: None, pytest.fail, turnstile).run)
    trio.lowlevel.remove_instrument(passes)
    assert len(at) == 20
    assert max(map(at.count, at)) == most
