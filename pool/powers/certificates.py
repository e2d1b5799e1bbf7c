"""What of the system's files who may connect can read: certificates of authorities, and what resolvers look at."""

from __future__ import annotations

import ssl
from pathlib import Path

__all__ = ["certificates", "resolver_files"]

#: Debian and Alpine, Fedora and its relatives, SUSE; the first of each pair has links into the second. Public
#: certificates only: no directory with private keys is among them.
_PLACES = (
    *("/etc/ssl/certs", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/ssl/cert.pem"),
    *("/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf"),
    *("/etc/pki/ca-trust/extracted", "/etc/ca-certificates/extracted", "/var/lib/ca-certificates"),
)
#: Not the hosts file, which the supervisor reads for tasks: what it gives is remembered. Nor nsswitch.conf, which may
#: name services that a task doesn't reach.
_RESOLVER_FILES = ("/etc/resolv.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols")


def resolver_files() -> tuple[str, ...]:
    """Absolute paths, those that exist."""
    return tuple(place for place in _RESOLVER_FILES if Path(place).exists())


def certificates() -> tuple[str, ...]:
    """Absolute paths, those that exist: the usual places, and where this Python's OpenSSL looks."""
    own = ssl.get_default_verify_paths()
    places = dict.fromkeys((*_PLACES, own.openssl_cafile, own.openssl_capath))
    return tuple(place for place in places if Path(place).is_absolute() and Path(place).exists())
