"""Addresses of names, as this machine knows them: its hosts file, then the servers of its resolv.conf.

Names that tasks may ask for are few and the administrator's; what they resolve to is judged when it is connected to
(`destinations.py`). dnspython asks over trio: a lookup that nobody waits for any more is gone.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

import dns.asyncresolver
import dns.exception
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import structlog
import trio

from reptarium.pool.powers.answers import ResolutionFailed
from reptarium.pool.powers.destinations import Address, address_of, normal_name

__all__ = ["SystemResolver"]

log = structlog.get_logger("reptarium.pool.powers.resolver")

#: Seconds for one name, and names that are looked up at the same time.
_LIFETIME = 5.0
_AT_ONCE = 32
_CACHED = 1000


class SystemResolver:
    """The machine's own view of names."""

    def __init__(self, hosts: Path = Path("/etc/hosts"), configuration: str = "/etc/resolv.conf") -> None:
        self._hosts_path = hosts
        self._hosts_read: tuple[int, int] | None = None
        self._hosts: dict[str, list[Address]] = {}
        self._servers: dns.asyncresolver.Resolver | None = None
        self._limit = trio.CapacityLimiter(_AT_ONCE)
        with contextlib.suppress(dns.resolver.NoResolverConfiguration, OSError):
            self._servers = dns.asyncresolver.Resolver(configuration)
            self._servers.lifetime = _LIFETIME
            self._servers.cache = dns.resolver.LRUCache(_CACHED)

    @property
    def nameservers(self) -> frozenset[Address]:
        """The addresses of the servers that are asked."""
        if self._servers is None:
            return frozenset()
        return frozenset(found for text in self._servers.nameservers if (found := address_of(str(text))))

    async def addresses(self, name: str, kind: Literal["A", "AAAA"]) -> list[Address] | None:
        """The addresses of a normal name; None when there is no such name. Raises :class:`ResolutionFailed`."""
        known = self._from_hosts(name)
        if known is not None:
            return [address for address in known if address.version == (4 if kind == "A" else 6)]
        if self._servers is None:
            raise ResolutionFailed("no DNS server is configured")
        async with self._limit:
            try:
                found = await self._servers.resolve(
                    name, dns.rdatatype.from_text(kind), dns.rdataclass.IN, raise_on_no_answer=False, search=True
                )
            except dns.resolver.NXDOMAIN:
                return None
            except (dns.exception.DNSException, OSError, ValueError) as error:
                raise ResolutionFailed(f"{type(error).__name__}: {error}") from None
        return [address for record in found if (address := address_of(record.to_text())) is not None]

    def _from_hosts(self, name: str) -> list[Address] | None:
        """What the hosts file says, read anew when it has changed."""
        try:
            status = self._hosts_path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            if seen != self._hosts_read:
                self._hosts = _parse_hosts(self._hosts_path.read_text("utf-8", "replace"))
                self._hosts_read = seen
        except OSError:
            self._hosts = {}
        return self._hosts.get(name)


def _parse_hosts(text: str) -> dict[str, list[Address]]:
    found: dict[str, list[Address]] = {}
    for line in text.splitlines():
        address_text, *names = line.partition("#")[0].split() or [""]
        address = address_of(address_text)
        for name in map(normal_name, names):
            if address is not None and name is not None:
                found.setdefault(name, []).append(address)
    return found
