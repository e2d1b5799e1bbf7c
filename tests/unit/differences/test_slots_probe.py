"""What a start is asked about its slots has an answer, however its offers come and go."""

from __future__ import annotations

from itertools import chain, cycle
from types import SimpleNamespace
from typing import Any

import trio.testing

from tests.integration.differences import starts
from tests.limits import fail_after


class Offers:
    """A runner whose offers come one after the other, and then expire and are renewed for ever."""

    def __init__(self) -> None:
        self._seen = chain([0, 0, 1, 2, 3], cycle([5, 5, 5, 4, 5, 5, 10]))

    @property
    def offers(self) -> int:
        return next(self._seen)


async def test_renewed_offers_are_no_new_ones(autojump_clock: trio.testing.MockClock) -> None:
    """What stands most of the time is the number of slots, though each is renewed now and then."""
    broker: Any = SimpleNamespace(runners=[Offers()])
    with fail_after(60):
        assert await starts.PROBES["slots"](broker, {}) == ", 5 slots"
