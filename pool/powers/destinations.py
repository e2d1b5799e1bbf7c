"""What tasks may connect to: ``REPTARIUM_CONNECT_ALLOW`` as rules. Pure, no I/O.

An entry is a host and ports: ``api.example.com:443``, ``*.internal:5432``, ``10.1.0.0/16:6379|6380``,
``[2001:db8::/32]:8000-8100``, ``*:443``. A connection always goes to an address, never to a name, so what is judged
is an address and a port, with the names that it was given for. There are three kinds of addresses:

- Ordinary ones: open when an entry lists them, or when a resolver has just given them for a listed name. Ports count.
- Special ones (private, link-local with its metadata services, shared, reserved: :data:`SPECIAL`): only an entry that
  lies *within* that special range opens them. Neither a name that resolves to one (DNS rebinding) nor
  ``0.0.0.0/0`` does.
- Our own (loopback, this machine's, the brokers'): only an entry of exactly that address does.

An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) is judged as what it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

__all__ = ["Address", "Destinations", "Entry", "Verdict", "normal_name", "parse_entry", "plain_address"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SETTING = "REPTARIUM_CONNECT_ALLOW"

#: IANA's special-purpose registries, RFC 6890 and later ones, without what is globally reachable → in words.
SPECIAL: dict[Network, str] = {
    ip_network(text): words
    for words, texts in {
        "a private address": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
        "a link-local address": "169.254.0.0/16 fe80::/10",
        "an address shared by carriers": "100.64.0.0/10",
        "a reserved address": "192.0.0.0/24 192.0.2.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 192.88.99.0/24 "
        "240.0.0.0/4 100::/64 2001::/23 2001:db8::/32 3fff::/20 5f00::/16 64:ff9b:1::/48 fec0::/10",
    }.items()
    for text in texts.split()
}
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
#: Nobody's, or everybody's: connecting to these means something else than it says.
_NEVER = (ip_network("0.0.0.0/8"), ip_network("::/128"), ip_network("224.0.0.0/4"), ip_network("ff00::/8"))
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)


class Entry(msgspec.Struct, frozen=True):
    """One entry. Exactly one of ``name`` (a whole name, ``*.suffix``, or ``*``) and ``network`` is set; ``ports`` are
    inclusive ranges.
    """

    name: str = ""
    network: str = ""
    ports: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        ports = "|".join(str(low) if low == high else f"{low}-{high}" for low, high in self.ports)
        ports = "*" if self.ports == ((1, 65_535),) else ports
        host = self.name
        if self.network:
            host = self.network.removesuffix("/128" if ":" in self.network else "/32")
        return f"[{host}]:{ports}" if ":" in host else f"{host}:{ports}"

    def opens(self, port: int) -> bool:
        """Whether the port is one of its ports."""
        return any(low <= port <= high for low, high in self.ports)

    def names(self, name: str) -> bool:
        """Whether the name (see :func:`normal_name`) is one that it lists."""
        if self.name.startswith("*"):
            return name.endswith(self.name[1:])
        return bool(self.name) and self.name == name


class Verdict(msgspec.Struct, frozen=True):
    """Whether a connection may be made; ``why`` says what an administrator would have to change, if not."""

    allowed: bool
    why: str = ""


def normal_name(name: str) -> str | None:
    """A name as rules and questions spell it: lower case, no dot at the end. None for what can't be one."""
    name = name.lower().removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return None
    return name


def parse_entry(text: str) -> Entry:
    """One entry of the setting. Raises ValueError with what is wrong with it."""
    host, colon, ports = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{text!r} has no port; write host:443, or host:* for every port")
    ranges = _ports(ports, text)
    bracketed = host.startswith("[") and host.endswith("]")
    inner = host[1:-1] if bracketed else host
    if ":" in inner and not bracketed:
        raise ValueError(f"{text!r}: an IPv6 address is written in brackets, [2001:db8::1]:443")
    try:
        network = ip_network(inner)
    except ValueError as error:
        if bracketed or "/" in inner or re.fullmatch(r"[\d.]+", inner, re.ASCII):
            raise ValueError(f"{text!r}: {error}") from None
    else:
        mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
        if mapped is not None:
            raise ValueError(f"{text!r}: write the IPv4 address itself, {mapped}")
        return Entry(network=str(network), ports=ranges)
    if inner == "*":
        return Entry(name="*", ports=ranges)
    if not inner.isascii():
        raise ValueError(f"{text!r}: write the name as DNS does, {_idna(inner)}")
    wildcard = inner.startswith("*.")
    name = normal_name(inner[2:] if wildcard else inner)
    if name is None:
        raise ValueError(f"{text!r}: {inner!r} is neither a name, *.suffix, an address, nor a network")
    return Entry(name=f"*.{name}" if wildcard else name, ports=ranges)


def _idna(name: str) -> str:
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return "xn--…"


def _ports(text: str, entry: str) -> tuple[tuple[int, int], ...]:
    if text == "*":
        return ((1, 65_535),)
    found = []
    for part in text.split("|"):
        match = _PORT.fullmatch(part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= low <= high <= 65_535:
            raise ValueError(f"{entry!r}: {part!r} is not a port; write 443, 80|443, 8000-8100, or *")
        found.append((low, high))
    return tuple(sorted(set(found)))


def plain_address(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that leads there; the address itself otherwise."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return inner
        low = int(address) & 0xFFFFFFFF
        if address in _NAT64 or (address in _COMPATIBLE and low > 1):
            return IPv4Address(low)
    return address


class Destinations:
    """The whole setting, and what this machine is. ``own`` are addresses that only an entry of their own opens."""

    def __init__(self, entries: Iterable[Entry], own: Collection[Address] = ()) -> None:
        self.entries = tuple(entries)
        self.own = frozenset(map(plain_address, own))
        self._networks = [(ip_network(entry.network), entry) for entry in self.entries if entry.network]

    def knows(self, name: str) -> bool:
        """Whether the name may be asked for at all. It must be normal (:func:`normal_name`)."""
        return any(entry.names(name) for entry in self.entries)

    def judge(self, address: Address, port: int, names: Collection[str] = ()) -> Verdict:
        """May a task connect there? ``names`` are those that the address was given to the task for."""
        where = plain_address(address)
        text = f"[{where}]" if isinstance(where, IPv6Address) else str(where)
        if any(where in network for network in _NEVER):
            return Verdict(False, f"{text} is not the address of one machine")
        if where in self.own or any(where in network for network in _LOOPBACK):
            if any(network.num_addresses == 1 for network in self._listing(where, port)):
                return Verdict(True)
            return Verdict(False, f"{text} is the runner's own or a broker's; {SETTING} opens it by {text}:{port} only")
        for special, words in SPECIAL.items():
            if where in special:
                if any(_within(network, special) for network in self._listing(where, port)):
                    return Verdict(True)
                return Verdict(False, f"{text} is {words}; {SETTING} must list it, {text}:{port} or its network")
        if any(True for _ in self._listing(where, port)):
            return Verdict(True)
        listed = [name for name in names if self.knows(name)]
        if any(entry.names(name) and entry.opens(port) for name in listed for entry in self.entries):
            return Verdict(True)
        subject = listed[0] if listed else text
        return Verdict(False, f"{SETTING} doesn't list {subject}:{port}")

    def _listing(self, address: Address, port: int) -> Iterable[Network]:
        return (network for network, entry in self._networks if address in network and entry.opens(port))


def _within(network: Network, outer: Network) -> bool:
    return network.version == outer.version and network.subnet_of(outer)  # type: ignore[arg-type]


def address_of(text: str) -> Address | None:
    """The address that the text spells, or None."""
    try:
        return ip_address(text)
    except ValueError:
        return None
