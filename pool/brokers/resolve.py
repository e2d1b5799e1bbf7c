"""A name that stands for several brokers (``dns+http://...``): a headless Kubernetes service."""

from __future__ import annotations

from urllib.parse import urlsplit

import trio

#: How often such a name is looked up again, in seconds.
RESOLVE_INTERVAL = 10.0
PREFIX = "dns+"
#: The broker's port where the name gives none.
DEFAULT_PORT = 5679


async def addresses(uri: str) -> frozenset[str]:
    """The URI of every broker behind ``uri``'s name. Raises OSError when it can't be resolved."""
    parts = urlsplit(uri.removeprefix(PREFIX))
    port = parts.port or DEFAULT_PORT
    found = await trio.socket.getaddrinfo(parts.hostname, port, type=trio.socket.SOCK_STREAM)
    hosts = {str(entry[4][0]) for entry in found}
    return frozenset(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host in hosts)
