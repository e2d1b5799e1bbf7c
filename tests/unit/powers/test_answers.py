"""One task's resolver: what it may have of the machine's."""

from __future__ import annotations

from ipaddress import ip_address

import dns.message
import dns.rcode
import pytest
import trio
import trio.testing

from reptarium.pool.powers.answers import _AT_ONCE, _REMEMBERED, Answers
from reptarium.pool.powers.destinations import Address, Destinations, parse_entry


async def unpaced() -> None:
    """Another call may be looked at."""


class Slow:
    """Knows a name after a second; ``most``: how many were looked up at the same time."""

    now = most = 0

    async def addresses(self, name: str, kind: str) -> list[Address]:
        self.now += 1
        self.most = max(self.most, self.now)
        await trio.sleep(1)
        self.now -= 1
        return []


async def test_one_task_takes_few_of_the_machines_look_ups(autojump_clock: trio.testing.MockClock) -> None:
    """However many resolvers it has: the others' names are looked up too. All of its own are, in time."""
    names = Slow()
    answers = Answers(Destinations([parse_entry("api.example.com:443")]), names, unpaced, lambda why: None)
    question = dns.message.make_query("api.example.com", "A").to_wire()
    replies = []

    async def ask() -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(answers.serve, theirs)
        await ours.send_all(len(question).to_bytes(2, "big") + question)
        replies.append(await ours.receive_some())
        await ours.aclose()

    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(ask)
    assert len(replies) == 40
    assert names.most == _AT_ONCE


class OneAddress:
    """Every name has the same address."""

    async def addresses(self, name: str, kind: str) -> list[Address]:
        return [ip_address("192.0.2.1")]


@pytest.mark.slow
async def test_what_is_remembered_for_a_task_is_bounded_by_names_too() -> None:
    """A pattern, and a server that knows every name: the next name is not answered, those of before stay known."""
    refused: list[str] = []
    answers = Answers(Destinations([parse_entry("*.example.com:443")]), OneAddress(), unpaced, refused.append)
    codes = []
    for number in [*range(_REMEMBERED + 2), 7]:
        reply = await answers.reply(dns.message.make_query(f"n{number}.example.com", "A").to_wire())
        assert reply is not None
        codes.append(dns.message.from_wire(reply).rcode())
    assert codes == [dns.rcode.NOERROR] * _REMEMBERED + [dns.rcode.SERVFAIL] * 2 + [dns.rcode.NOERROR]
    assert len(answers.names_of(ip_address("192.0.2.1"))) == _REMEMBERED
    assert refused == [f"addresses of {_REMEMBERED} names were given to this task: no more can be remembered"] * 2
