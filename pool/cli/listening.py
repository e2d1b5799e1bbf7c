"""Flags of commands that runners connect to: an address, a certificate."""

from __future__ import annotations

import argparse
import ssl
from pathlib import Path

from reptarium.pool.embedded_broker.tls import server_tls


def port(text: str) -> int:
    """A TCP port, as a flag's value."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` as a flag's value; an IPv6 address stands in brackets."""
    host, colon, number = text.rpartition(":")
    if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise argparse.ArgumentTypeError(f"{text!r} is no address: HOST:PORT, such as 0.0.0.0:5679 or [::]:5679")
    return host.strip("[]"), port(number)


def port_or_address(text: str) -> tuple[str, int]:
    """``PORT``, on loopback, or ``HOST:PORT``."""
    return address(text) if ":" in text else ("127.0.0.1", port(text))


def tls_arguments(parser: argparse._ActionsContainer) -> None:
    """Declare the flags of a certificate."""
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="serve HTTPS: the certificate and its chain, PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="the certificate's private key, PEM")


def tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """The certificate that was given. Raises ValueError, with what is wrong with it."""
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        raise ValueError("--tls-cert and --tls-key go together")
    if arguments.tls_cert is None:
        return None
    try:
        return server_tls(arguments.tls_cert, arguments.tls_key)
    except ValueError as error:
        raise ValueError(f"--tls-cert, --tls-key: {error}") from None
