"""The broker's certificate, for runners that come over a network."""

from __future__ import annotations

import ssl
from pathlib import Path


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a broker shows to runners: a chain of certificates and their private key, both files in PEM.

    Raises ValueError, which names the file and what is wrong with it.
    """
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # an empty password: nobody is asked for one on a terminal
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{key} is not the key of {certificate}") from None
        raise ValueError(
            f"{certificate} and {key}: expected a certificate and its key without a password, both in PEM"
        ) from None
    return context
