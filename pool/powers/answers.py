"""The resolver of one task: its C library asks, this side answers for names that are listed, and for no others.

What was given for a name is remembered: only that may be connected to by this name, and only by this task.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Final, Literal, Protocol

import trio

from reptarium.pool.powers import dns
from reptarium.pool.powers.destinations import Address, Destinations, plain_address

__all__ = ["Answers", "Names", "NoNames", "ResolutionFailed"]

#: Addresses of names that are remembered of one task: a pattern lets it ask for any number of names of one address.
_REMEMBERED: Final = 4096
#: Names that are looked up for one task at the same time: the machine has a bound for all of them (`resolver.py`).
_AT_ONCE: Final = 4
#: Bytes of a question.
_LONGEST: Final = 512


class ResolutionFailed(Exception):
    """No server has answered: not known whether there is such a name."""


class Names(Protocol):
    """Who knows addresses of names (`resolver.py`)."""

    @property
    def nameservers(self) -> frozenset[Address]:
        """The servers that this machine's configuration names: what a task asks that reads it."""

    async def addresses(self, name: str, kind: Literal["A", "AAAA"]) -> list[Address] | None:
        """The addresses of a normal name; None when there is no such name. Raises :class:`ResolutionFailed`."""


class NoNames:
    """Knows none."""

    nameservers: frozenset[Address] = frozenset()

    async def addresses(self, name: str, kind: Literal["A", "AAAA"]) -> list[Address] | None:
        """None: there is no such name."""
        return None


class Answers:
    """Answers one task's questions. ``pace`` is awaited before each, ``refuse`` is told why a name was refused."""

    def __init__(
        self,
        destinations: Destinations,
        names: Names,
        pace: Callable[[], Awaitable[None]],
        refuse: Callable[[str], None],
    ) -> None:
        self._destinations = destinations
        self._names = names
        self._pace = pace
        self._refuse = refuse
        self._turns = trio.CapacityLimiter(_AT_ONCE)
        self._given: dict[Address, set[str]] = {}
        self._remembered = 0

    def names_of(self, address: Address) -> Collection[str]:
        """The names that the address was given for."""
        return self._given.get(plain_address(address), ())

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer the questions of a stream, each preceded by its length (RFC 1035, 4.2.2), one after the other."""
        async with stream:
            pending = bytearray()
            with contextlib.suppress(trio.BrokenResourceError):
                while data := await stream.receive_some(_LONGEST):
                    pending += data
                    for message in _messages(pending):
                        await self._pace()
                        reply = await self.reply(message)
                        if reply is None:
                            return
                        await stream.send_all(len(reply).to_bytes(2, "big") + reply)
                    if len(pending) >= _LONGEST + 2:
                        return

    async def reply(self, message: bytes) -> bytes | None:
        """The answer to a question, of at most 512 bytes; None for what isn't one."""
        question = dns.parse(message)
        if question is None:
            return None
        name = question.name
        if name is None or not self._destinations.knows(name):
            self._refuse(f"REPTARIUM_CONNECT_ALLOW doesn't list the name {name or 'that was asked for'}")
            return dns.answer(question, dns.NAME_ERROR)
        if question.type is None:
            return dns.answer(question, dns.NO_ERROR)
        try:
            async with self._turns:
                found = await self._names.addresses(name, question.type)
        except ResolutionFailed:
            return dns.answer(question, dns.SERVER_FAILURE)
        if found is None:
            return dns.answer(question, dns.NAME_ERROR)
        for address in map(plain_address, found[: dns.MOST_ADDRESSES]):
            if name in self.names_of(address):
                continue
            if self._remembered == _REMEMBERED:
                self._refuse(f"addresses of {_REMEMBERED} names were given to this task: no more can be remembered")
                return dns.answer(question, dns.SERVER_FAILURE)
            self._remembered += 1
            self._given.setdefault(address, set()).add(name)
        return dns.answer(question, dns.NO_ERROR, found)


def _messages(pending: bytearray) -> Iterator[bytes]:
    """Whole messages at the beginning, taken out as they are given."""
    while len(pending) >= 2:
        end = 2 + int.from_bytes(pending[:2], "big")
        if end > _LONGEST + 2 or len(pending) < end:
            return
        message = bytes(pending[2:end])
        del pending[:end]
        yield message
