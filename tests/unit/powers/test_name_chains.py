"""Names that stand for other names (CNAME), as a server of ours tells them: what they open, and what not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import trio

from reptarium.pool.powers.answers import Answers
from reptarium.pool.powers.destinations import Destinations, parse_entry
from reptarium.pool.powers.resolver import SystemResolver
from tests.limits import fail_after

PUBLIC = "93.184.216.34"
#: Name → what it stands for: another name, or addresses.
ZONE: dict[str, str | list[str]] = {
    "api.example.com": "edge.cdn.test",
    "edge.cdn.test": "pop7.cdn.test",
    "pop7.cdn.test": [PUBLIC],
    "round.example.com": "back.example.com",
    "back.example.com": "round.example.com",
    "itself.example.com": "itself.example.com",
    "nowhere.example.com": "gone.cdn.test",
    **{f"far{n}.example.com": f"far{n + 1}.example.com" for n in range(40)},
    "far40.example.com": [PUBLIC],
    "near.example.com": "far32.example.com",  # eight names on
    "inside.example.com": "db.corp.test",
    "db.corp.test": ["10.0.0.5", "127.0.0.1", "169.254.169.254", PUBLIC],
}


def told(query: dns.message.Message) -> dns.message.Message:
    """What a recursive server answers: the chain, as far as it goes, and the addresses at its end."""
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.RA
    (question,) = query.question
    name = question.name.to_text(omit_final_dot=True)
    for _ in range(50):
        found = ZONE.get(name)
        if found is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            break
        if isinstance(found, list):
            answer.answer.append(dns.rrset.from_text_list(f"{name}.", 60, "IN", "A", found))
            break
        answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{found}."))
        if any(rrset.name.to_text(omit_final_dot=True) == found for rrset in answer.answer):
            break
        name = found
    return answer


@asynccontextmanager
async def answers(tmp_path: Path, *entries: str) -> AsyncIterator[Answers]:
    """One task's resolver under these entries, over the machine's whose server is ours."""
    configuration = tmp_path / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.1\n")
    resolver = SystemResolver(tmp_path / "no hosts", str(configuration))
    assert resolver._servers is not None

    async def serve() -> None:
        while True:
            data, sender = await server.recvfrom(512)
            reply = told(dns.message.from_wire(data))
            wire = reply.to_wire(max_size=65535)
            await server.sendto(wire, sender)

    async def unpaced() -> None:
        """Another question may be asked."""

    server = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await server.bind(("127.0.0.1", 0))
    resolver._servers.port = server.getsockname()[1]
    with server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield Answers(Destinations(map(parse_entry, entries)), resolver, unpaced, lambda why: None)
            nursery.cancel_scope.cancel()


async def ask(resolver: Answers, name: str) -> tuple[str, list[str]]:
    """How a question is answered: its code, and addresses."""
    with fail_after(10):
        reply = await resolver.reply(dns.message.make_query(name, "A").to_wire())
    assert reply is not None
    message = dns.message.from_wire(reply)
    return dns.rcode.to_text(message.rcode()), [str(record) for rrset in message.answer for record in rrset]


async def test_a_chain_gives_addresses_of_the_name_that_was_asked_for(tmp_path: Path) -> None:
    """It may lead elsewhere: the addresses count for the listed name, and the names in between open nothing."""
    rule = Destinations([parse_entry("api.example.com:443")])
    async with answers(tmp_path, "api.example.com:443") as resolver:
        assert await ask(resolver, "api.example.com") == ("NOERROR", [PUBLIC])
        assert resolver.names_of(ip_address(PUBLIC)) == {"api.example.com"}
        for name in ("edge.cdn.test", "pop7.cdn.test"):
            assert await ask(resolver, name) == ("NXDOMAIN", [])
        names = resolver.names_of(ip_address(PUBLIC))
    assert rule.judge(ip_address(PUBLIC), 443, names).allowed
    assert not rule.judge(ip_address(PUBLIC), 80, names).allowed


async def test_chains_without_an_end_give_nothing(tmp_path: Path) -> None:
    """A loop, a name that stands for itself, and a chain that is too long are failures of the server; a chain to a name
    that nobody has is no name. A chain of ordinary length is followed.
    """
    async with answers(tmp_path, "*.example.com:443") as resolver:
        for name in ("round.example.com", "itself.example.com", "far0.example.com"):
            assert (await ask(resolver, name))[1] == [], name
        assert await ask(resolver, "nowhere.example.com") == ("NXDOMAIN", [])
        assert resolver.names_of(ip_address(PUBLIC)) == ()
        assert await ask(resolver, "near.example.com") == ("NOERROR", [PUBLIC])


async def test_a_chain_into_private_addresses_opens_none_of_them(tmp_path: Path) -> None:
    """What a listed name comes to stand for (rebinding) is connected to only where it is public, or listed itself."""
    rule = Destinations([parse_entry("inside.example.com:*")], own=[ip_address("10.9.9.9")])
    async with answers(tmp_path, "inside.example.com:*") as resolver:
        _, found = await ask(resolver, "inside.example.com")
        allowed = {
            address: rule.judge(ip_address(address), 443, resolver.names_of(ip_address(address))).allowed
            for address in found
        }
    assert allowed == {"10.0.0.5": False, "127.0.0.1": False, "169.254.169.254": False, PUBLIC: True}
