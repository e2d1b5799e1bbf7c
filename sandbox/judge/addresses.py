"""Addresses that stand in texts of a program, and texts that are hosts."""

from __future__ import annotations

import re

from reptarium.sandbox.judge.messages import Host
from reptarium.sandbox.judge.network import SCHEMES

_ADDRESS = re.compile(
    r"\b([a-z][a-z0-9+.-]*)://(?:[^\s/?#@'\"<>]*@)?(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::(\d{1,5}))?(.?)", re.ASCII
)
#: Hosts that stand in names of XML's and JSON's vocabularies.
_VOCABULARIES = frozenset(
    "www.w3.org schemas.openxmlformats.org schemas.xmlsoap.org schemas.microsoft.com purl.org json-schema.org "
    "schema.org www.sitemaps.org xml.org ns.adobe.com".split()
)
#: Names as they stand in zones and in Docker's networks, and addresses. A token is none: its parts are longer.
HOST = re.compile(r"(?=.{1,253}$)[\w-]{1,63}(\.[\w-]{1,63})*\.?|[0-9a-fA-F:]{2,45}", re.ASCII)
#: What is a host without being called so.
PLAIN_HOST = re.compile(
    r"localhost|([\w-]+\.)+([a-zA-Z]{2,24}|xn--[\w-]+)\.?|\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]*(:[0-9a-fA-F]*){2,7}",
    re.ASCII,
)
#: Hosts and ports in what drivers of databases take: names and values.
_HOST_IN_PAIRS = re.compile(
    r"(?:^|[\s;])(?:host|hostaddr|server|data source|address)\s*=\s*'?(?:tcp:)?([\w.-]+)(?:,(\d{1,5}))?",
    re.ASCII | re.IGNORECASE,
)
_PORT_IN_PAIRS = re.compile(r"(?:^|[\s;])port\s*=\s*'?(\d{1,5})", re.ASCII | re.IGNORECASE)


def hosts(text: str, line: int, whole: bool) -> list[Host]:
    """The hosts of the addresses in a text. ``whole``: nothing that was put in at run time follows it."""
    found = []
    for match in _ADDRESS.finditer(text[:100_000]):
        scheme, host, port, after = match.groups()
        if not after and not whole:
            continue  # the name may go on
        scheme = scheme.partition("+")[0]  # postgresql+psycopg
        if scheme not in SCHEMES or host in _VOCABULARIES or (port and not 0 < int(port) < 65_536):
            continue
        found.append(Host(host.strip("[]").rstrip("."), int(port or SCHEMES[scheme]), line))
    return found


def in_pairs(text: str) -> tuple[str, int] | None:
    """Host and port of the drivers' own form: ``host=db port=5432``, ``Server=db,1433;…``; port 0: it tells none."""
    host = _HOST_IN_PAIRS.search(text[:10_000])
    port = _PORT_IN_PAIRS.search(text[:10_000])
    return host and (host[1], int(host[2] or (port and port[1]) or 0))
