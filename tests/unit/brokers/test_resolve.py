"""Which addresses of a name are brokers."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from reptarium.pool.brokers import resolve

SIX, FOUR = socket.AF_INET6, socket.AF_INET


class Resolver(trio.abc.HostnameResolver):
    """Answers with what it is given, in that order."""

    def __init__(self) -> None:
        self.answer: list[tuple[int, str]] = []

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, type: int = 0, *_: Any, **__: Any) -> Any:
        more = {FOUR: (), SIX: (0, 0)}
        return [(of, type, 6, "", (address, port, *more[of])) for of, address in self.answer]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    """In the system's place."""
    resolver = Resolver()
    before = trio.socket.set_custom_hostname_resolver(resolver)
    yield resolver
    trio.socket.set_custom_hostname_resolver(before)


@pytest.mark.parametrize(
    ("answer", "served", "expected"),
    [
        ([(FOUR, "10.0.0.1"), (FOUR, "10.0.0.2")], [], {"http://10.0.0.1:5679", "http://10.0.0.2:5679"}),
        ([(SIX, "fd00::1"), (SIX, "fd00::2")], [], {"http://[fd00::1]:5679", "http://[fd00::2]:5679"}),
        # one broker with an address of each family has one link: over the one that the system would take
        ([(SIX, "fd00::1"), (FOUR, "10.0.0.1")], [], {"http://[fd00::1]:5679"}),
        ([(FOUR, "10.0.0.1"), (SIX, "fd00::1")], [], {"http://10.0.0.1:5679"}),
        # and stays there, in whichever order they come next
        ([(FOUR, "10.0.0.1"), (SIX, "fd00::1")], ["http://[fd00::1]:5679"], {"http://[fd00::1]:5679"}),
        ([(SIX, "fd00::1"), (FOUR, "10.0.0.1")], ["http://10.0.0.1:5679"], {"http://10.0.0.1:5679"}),
        # unless the name has none of that family any more
        ([(FOUR, "10.0.0.1")], ["http://[fd00::1]:5679"], {"http://10.0.0.1:5679"}),
        ([], ["http://10.0.0.1:5679"], set()),
    ],
)
async def test_one_link_to_a_broker(
    answer: list[tuple[int, str]], served: list[str], expected: set[str], resolver: Resolver
) -> None:
    """Of a name with both families of addresses one is taken."""
    resolver.answer = answer
    assert await resolve.addresses("dns+http://brokers.test:5679", served) == expected


async def test_a_name_has_no_end_of_brokers(resolver: Resolver) -> None:
    """Whoever answers for a name swells nothing: some are served, those first that were before."""
    resolver.answer = [(FOUR, f"10.0.{number >> 8}.{number & 255}") for number in range(4000)]
    served = "http://10.0.15.159:5679"
    wanted = await resolve.addresses("dns+http://brokers.test:5679", [served])
    assert len(wanted) == 256
    assert served in wanted
    assert await resolve.addresses("dns+http://brokers.test:5679", wanted) == wanted
