"""How one environment variable's text becomes a value, and how the value is shown to a person.

A `ValueKind` is a parser with its own words: what it allows (for error messages and the documentation) and how a
value looks in `reptarium run --print-config`. Kinds know nothing of variables; `table.py` pairs them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from reptarium.pool.powers.destinations import parse_entry

KIB = 2**10
MIB = 2**20
GIB = 2**30
TIB = 2**40
#: Where n8n's broker listens unless it is told otherwise.
BROKER_PORT = 5679

# Both spellings that people use: binary ones (also Kubernetes' short "Mi") count in 1024, "MB" in 1000. The
# bare letters mean binary units, as in Docker's and systemd's own settings.
_UNITS = {
    **dict.fromkeys(("k", "ki", "kib"), KIB),
    **dict.fromkeys(("m", "mi", "mib"), MIB),
    **dict.fromkeys(("g", "gi", "gib"), GIB),
    **dict.fromkeys(("t", "ti", "tib"), TIB),
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE | re.ASCII)
#: A size as JSON Schema writes patterns: those units, in any case.
_SIZE_PATTERN = r"[0-9]+(\.[0-9]+)?\s*([kKmMgGtT]([iI]?[bB]?)|[bB])?"
_TEXTS = {"type": "array", "items": {"type": "string"}}
_RANGE = re.compile(r"(\d+)\s*-\s*(\d+)", re.ASCII)
_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]+", re.ASCII)
_HIGHEST_ID = 2**32 - 2  # (uid_t)-1 means "leave as it is" to the kernel


class ValueKind(msgspec.Struct, frozen=True):
    """A type of value: its parser, what it allows in words, and how it is shown."""

    parse: Callable[[str], Any]
    """Text without surrounding white space → value; raises ValueError, whose text may add to `allowed`."""
    allowed: str
    """Completes "expected …"."""
    show: Callable[[Any], str] = str
    empty_counts: bool = False
    """Whether `VARIABLE=` is a value of its own (an empty list) rather than the same as not set."""
    schema: Mapping[str, Any] = {}
    """The value in a file that has types (TOML), as JSON Schema."""
    separator: str = ","
    """What stands between a list's parts in a text."""


def show_size(value: int) -> str:
    """Bytes in the largest unit that divides them: 1073741824 → "1 GiB"."""
    for unit, factor in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if value and value % factor == 0:
            return f"{value // factor} {unit}"
    return f"{value} bytes"


def show_seconds(value: float) -> str:
    """Seconds, without a needless decimal: 60.0 → "60 s"."""
    return f"{value:g} s"


def show_list(value: Sequence[str] | None) -> str:
    """A list as it would be written in the environment; "(none)" when empty."""
    return ", ".join(value) if value else "(none)"


def _whole(text: str) -> int:
    # int() alone would also take "1_000", "１２" and "+5".
    if not re.fullmatch(r"-?\d+", text, re.ASCII):
        raise ValueError("not a whole number")
    return int(text)


def whole(low: int, high: int, *, note: str = "", show: Callable[[Any], str] = str) -> ValueKind:
    """A whole number within [low, high]."""

    def parse(text: str) -> int:
        value = _whole(text)
        if not low <= value <= high:
            raise ValueError("out of range")
        return value

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return ValueKind(parse, f"a whole number from {low} to {high}{note}", show, schema=schema)


def user_id() -> ValueKind:
    """A numeric user or group id. Root is no sandbox, so 0 is refused."""

    def parse(text: str) -> int:
        value = _whole(text)
        if value == 0:
            raise ValueError("0 is root")
        if not 1 <= value <= _HIGHEST_ID:
            raise ValueError("out of range")
        return value

    return ValueKind(
        parse,
        f"a numeric id from 1 to {_HIGHEST_ID}",
        lambda value: "(chosen at start)" if value is None else str(value),
    )


def user_id_range() -> ValueKind:
    """`FIRST-LAST`, or `none` for one uid for all workers."""

    def parse(text: str) -> tuple[int, int] | None:
        if text.lower() in ("none", "off"):
            return None
        match = _RANGE.fullmatch(text)
        if match is None:
            raise ValueError("not a range")
        first, last = int(match[1]), int(match[2])
        if not 1 <= first <= last <= _HIGHEST_ID:
            raise ValueError("out of range")
        return first, last

    return ValueKind(
        parse,
        f"FIRST-LAST with numeric ids from 1 to {_HIGHEST_ID}, or none",
        lambda value: "none" if value is None else f"{value[0]}-{value[1]}",
    )


def seconds(low: float, high: float, *, note: str = "") -> ValueKind:
    """A duration in seconds within [low, high]; decimals are allowed, units are not (n8n has none either)."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
            raise ValueError("not a number of seconds")
        value = float(text)
        if not low <= value <= high:
            raise ValueError("out of range")
        return value

    schema = {"type": "number", "minimum": low, "maximum": high}
    return ValueKind(parse, f"a number of seconds from {low:g} to {high:g}{note}", show_seconds, schema=schema)


def rate() -> ValueKind:
    """A share from 0 to 1, as JavaScript and Python write such numbers."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"(\d+\.?\d*|\.\d+)(e-?\d{1,3})?", text, re.ASCII | re.IGNORECASE):
            raise ValueError("not a number")
        value = float(text)
        if not 0 <= value <= 1:
            raise ValueError("out of range")
        return value

    return ValueKind(parse, "a number from 0 to 1", lambda value: f"{value:g}")


def size(low: int, high: int, *, bare: int = 1, or_none: bool = False) -> ValueKind:
    """A size in bytes within [low, high]; ``or_none``: or None, spelt ``none``.

    Args:
        low: smallest allowed size, bytes.
        high: largest allowed size, bytes.
        bare: what a number without a unit counts, bytes. n8n's own variables count bytes.
    """

    def parse(text: str) -> int | None:
        if or_none and text.lower() == "none":
            return None
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError("not a size")
        unit = match[2].lower()
        if unit and unit not in _UNITS:
            raise ValueError(f"unknown unit {match[2]!r}")
        value = int(float(match[1]) * (_UNITS[unit] if unit else bare))
        if not low <= value <= high:
            raise ValueError("out of range")
        return value

    meaning = {1: "bytes", KIB: "KiB", MIB: "MiB"}[bare]
    allowed = f"a size from {show_size(low)} to {show_size(high)}, such as 64MiB or 1GiB (a number alone counts "
    allowed += f"{meaning}), or none" if or_none else f"{meaning})"
    schema = {"type": "string", "pattern": f"^({_SIZE_PATTERN}{'|[nN][oO][nN][eE]' if or_none else ''})$"}
    return ValueKind(parse, allowed, show_size, schema=schema)


def boolean() -> ValueKind:
    """true/false, 1/0, yes/no, on/off in any case.

    n8n's own runner takes ``true`` for true and everything else, ``1`` and ``banana``, for false.
    """

    def parse(text: str) -> bool:
        try:
            return _BOOLEANS[text.lower()]
        except KeyError:
            raise ValueError("not a boolean") from None

    return ValueKind(parse, "true or false (also 1/0, yes/no, on/off)", lambda value: "true" if value else "false")


def choice(*names: str, aliases: dict[str, str] | None = None) -> ValueKind:
    """One of `names`, in any case; `aliases` map other spellings to one of them."""
    known = {name: name for name in names} | (aliases or {})

    def parse(text: str) -> str:
        try:
            return known[text.lower()]
        except KeyError:
            raise ValueError("not one of them") from None

    return ValueKind(parse, " | ".join(names), schema={"type": "string", "enum": list(names)})


def text(longest: int = 1000) -> ValueKind:
    """Any printable text of at most `longest` characters."""

    def parse(value: str) -> str:
        if len(value) > longest or not value.isprintable():
            raise ValueError("not printable, or too long")
        return value

    return ValueKind(parse, f"printable text of at most {longest} characters")


def identifier(longest: int) -> ValueKind:
    """A short name that goes into URLs and logs as it is."""

    def parse(value: str) -> str:
        if len(value) > longest or not re.fullmatch(r"[A-Za-z0-9._~-]+", value, re.ASCII):
            raise ValueError("not such an id")
        return value

    return ValueKind(parse, f"at most {longest} letters, digits, dots, dashes, underscores and tildes")


def token() -> ValueKind:
    """A secret that goes into an HTTP header or body. Errors must not quote it: see `Variable.secret`."""

    def parse(value: str) -> str:
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("has white space or characters that a header can't carry")
        return value

    return ValueKind(parse, "one word of printable ASCII characters")


def _split(value: str) -> tuple[str, ...]:
    # Order is kept (it shows in --print-config), repeated names count once.
    return tuple(dict.fromkeys(part for raw in value.split(",") if (part := raw.strip())))


def names(*, wildcard: bool, default_all: bool = False) -> ValueKind:
    """A comma-separated list of names; spaces around a name don't matter.

    Args:
        wildcard: whether `*` stands for all. Alone only, as in n8n: beside other names it is a mistake.
        default_all: for lists that are open by default `none` also means the empty list.
    """

    def parse(value: str) -> tuple[str, ...]:
        if default_all and value.lower() == "none":
            return ()
        found = _split(value)
        if "*" in found and not wildcard:
            raise ValueError("* has no meaning here")
        if "*" in found and len(found) > 1:
            raise ValueError("* must stand alone")
        return found

    words = "a comma-separated list of names"
    if wildcard:
        words += ", or * alone for all"
    words += ", or none" if default_all else ", or nothing"
    return ValueKind(parse, words, show_list, empty_counts=True, schema=_TEXTS)


def destinations() -> ValueKind:
    """A comma-separated list of what may be connected to: see `powers/destinations.py`."""

    def parse(value: str) -> tuple[str, ...]:
        if value.lower() == "none":
            return ()
        return tuple(dict.fromkeys(str(parse_entry(entry)) for entry in _split(value)))

    return ValueKind(
        parse,
        "a comma-separated list of HOST:PORTS, such as api.example.com:443, *.example.com:80|443, 10.1.0.0/16:5432, "
        "[2001:db8::1]:8000-8100; or none",
        show_list,
        empty_counts=True,
        schema=_TEXTS,
    )


def absolute_path(what: str = "file") -> ValueKind:
    """The path of one file or directory. Whether there is one, whoever reads it finds out."""

    def parse(value: str) -> str:
        if not value.startswith("/") or not value.isprintable():
            raise ValueError("not an absolute path")
        return value

    return ValueKind(parse, f"the absolute path of a {what}")


def absolute_paths() -> ValueKind:
    """Colon-separated absolute paths, as in PATH."""

    def parse(value: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(part for raw in value.split(":") if (part := raw.strip())))
        for path in found:
            if not path.startswith("/"):
                raise ValueError(f"{path!r} is not absolute")
        return found

    return ValueKind(
        parse,
        "absolute paths separated by colons",
        lambda value: ":".join(value) or "(none)",
        schema=_TEXTS,
        separator=":",
    )


def url_path() -> ValueKind:
    """The path prefix of an HTTP service: leading slash added when missing, trailing one removed."""

    def parse(value: str) -> str:
        if not re.fullmatch(r"[!-~]*", value) or re.search(r"[?#]", value):
            raise ValueError("has characters that a path can't have")
        return "/" + value.strip("/")

    return ValueKind(parse, "a URL path such as /runners")


def host() -> ValueKind:
    """An IP address or host name to listen on."""

    def parse(value: str) -> str:
        if not _HOST.fullmatch(value):
            raise ValueError("not a host")
        return value

    return ValueKind(parse, "an IP address or a host name")


def broker_uris() -> ValueKind:
    """A comma-separated list of broker addresses: http(s)://host[:port] or dns+http://name:port.

    The WebSocket's own schemes, ``ws`` and ``wss``, mean ``http`` and ``https``: a broker has both on one port.
    """

    def parse_one(uri: str) -> str:
        parts = urlsplit(uri)
        scheme = parts.scheme.lower()
        if scheme in ("ws", "wss", "dns+ws", "dns+wss"):
            scheme = scheme.replace("ws", "http")
        if scheme == "dns+https":
            # Each address would be called by number, which no certificate names.
            raise ValueError("a certificate can't be checked against the addresses of a name: list the brokers' names")
        if scheme not in ("http", "https", "dns+http"):
            raise ValueError(f"{parts.scheme or 'no scheme'!r} is not a scheme that a broker has")
        if parts.username or parts.password:
            # They would end up in every log line that names the broker.
            raise ValueError("user names and passwords don't belong in it")
        if not parts.hostname:
            raise ValueError("no host in it")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("give a path prefix in N8N_RUNNERS_PATH instead")
        port = f":{BROKER_PORT}" if parts.port is None else ""  # n8n's own, whatever the scheme's would be
        return f"{scheme}://{parts.netloc.lower().rstrip(':')}{port}"

    def parse(value: str) -> tuple[str, ...]:
        found = _split(value)
        if not found:
            raise ValueError("the list is empty")
        return tuple(dict.fromkeys(parse_one(uri) for uri in found))

    return ValueKind(
        parse,
        "http://HOST:PORT or https://HOST:PORT (or ws://, wss://), several separated by commas, or "
        f"dns+http://NAME:PORT for all addresses of a name; without a port n8n's, {BROKER_PORT}",
        lambda value: ", ".join(value),
    )
