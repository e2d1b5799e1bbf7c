"""A name that stands for several brokers (``dns+http://...``): a headless Kubernetes service."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

import structlog
import trio

log = structlog.get_logger("reptarium.pool.brokers.resolve")

#: How often such a name is looked up again, in seconds.
RESOLVE_INTERVAL = 10.0
PREFIX = "dns+"
#: The broker's port where the name gives none.
DEFAULT_PORT = 5679
#: Brokers of one name: each costs a link, and what answers for a name may say thousands of addresses.
MOST = 256


async def addresses(uri: str, served: Iterable[str] = ()) -> frozenset[str]:
    """The URI of every broker behind ``uri``'s name. Raises OSError when it can't be resolved.

    A name that has addresses of IPv4 and of IPv6 has one of each for every broker, and nothing says which belong
    together: so those of one family are taken. That of ``served``, the URIs in use, as long as the name has any of it;
    else the one that the system puts first, which is the one that it can reach (RFC 6724). Of more than :data:`MOST`
    those of ``served`` stay first of all.
    """
    parts = urlsplit(uri.removeprefix(PREFIX))
    port = parts.port or DEFAULT_PORT
    found = await trio.socket.getaddrinfo(parts.hostname, port, type=trio.socket.SOCK_STREAM)
    if not found:
        return frozenset()
    families = [family for family, *_ in found]
    known = set(served)
    used = {socket.AF_INET6 if "[" in one else socket.AF_INET for one in known}
    family = next((family for family in families if family in used), families[0])
    hosts = {str(entry[4][0]) for entry in found if entry[0] == family}
    all_of_them = {f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host in hosts}
    if len(all_of_them) > MOST:
        log.warning("a name stands for too many brokers", name=parts.hostname, addresses=len(all_of_them), served=MOST)
    return frozenset(sorted(all_of_them, key=lambda one: (one not in known, one))[:MOST])
