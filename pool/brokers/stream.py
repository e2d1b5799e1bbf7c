"""A stream to a broker: TCP to whichever of its addresses answers first, TLS where its address says so."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import trio

from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.config import ConfigError, Settings

#: Seconds to reach the broker, as many for the WebSocket's handshake, and as many for a grant in all.
CONNECT_TIMEOUT = 15.0

_SECURE = ("https", "wss")
#: OpenSSL's words for a certificate that nobody we trust has signed (X509_V_ERR_…): self-signed, alone or at the end of
#: a chain; its issuer, or the issuer's signature, not to be had.
_UNKNOWN_ISSUER = {18, 19, 20, 21}


def broker_tls(settings: Settings) -> ssl.SSLContext | None:
    """What brokers' certificates are checked against; None where no broker has one.

    Raises :class:`ConfigError` when the file of ``REPTARIUM_BROKER_CA`` has no certificates.
    """
    path = settings.broker_ca
    if path is None:
        secure = any(urlsplit(uri).scheme in _SECURE for uri in settings.broker_uris)
        return ssl.create_default_context() if secure else None
    try:
        if not Path(path).is_file():  # a pipe would be waited for, a device read without end
            raise OSError("no such file" if not Path(path).exists() else "not a file")
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        problem = "no certificate in it"
    except OSError as error:
        problem = error.strerror or str(error)
    raise ConfigError((f"REPTARIUM_BROKER_CA={path!r}: {problem}; expected a file of certificates in PEM",))


async def open_stream(
    uri: str, tls: ssl.SSLContext | None = None
) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    """A connected stream, its TLS handshake done. Takes as long as it takes: give it a deadline.

    ``tls``: from :func:`broker_tls`; the system's authorities where it is None. Raises :class:`LinkError`.
    """
    parts = urlsplit(uri)
    secure = parts.scheme in _SECURE
    host = parts.hostname or ""
    try:
        # its addresses in turn, the next one when one hasn't answered within a quarter of a second (RFC 8305)
        stream = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80))
    except (OSError, ValueError) as error:  # ValueError: a name that no resolver would take
        raise LinkError(f"{uri}: {_unreachable(error)}") from None
    if not secure:
        return stream
    try:
        context = tls or ssl.create_default_context()
        wrapped = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
        await wrapped.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, trio.BrokenResourceError | OSError | ValueError):
            raise LinkError(f"{uri}: {_no_tls(error)}") from None
        raise
    return wrapped


def send_at_once(stream: trio.abc.Stream, data: bytes) -> int:
    """Send as much of ``data`` as that waits for nothing. Returns how many bytes: none where it isn't known how.

    Nothing is raised: who sends the rest meets what is wrong. Nobody else may be sending meanwhile.
    """
    if not isinstance(stream, trio.SocketStream):  # TLS has a state of its own
        return 0
    try:
        return os.write(stream.socket.fileno(), data)
    except OSError:
        return 0


def _unreachable(error: BaseException) -> str:
    """Why none of a name's addresses could be reached: each reason once."""
    group = error.__cause__
    each = group.exceptions if isinstance(group, BaseExceptionGroup) else (group or error,)
    return ", ".join(dict.fromkeys(_words(one) for one in each))


def _words(error: BaseException) -> str:
    # trio's own words name the address once more; a resolver's errors have numbers below 0
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)
    return str(error) or type(error).__name__


def _no_tls(error: BaseException) -> str:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        hint = "; a private authority's certificate goes into REPTARIUM_BROKER_CA"
        why = cause.verify_message.rstrip(".")
        return f"its certificate is not trusted: {why}{hint if cause.verify_code in _UNKNOWN_ISSUER else ''}"
    if isinstance(cause, ssl.SSLError):
        return f"no TLS with it ({cause.reason or cause})"
    return f"the connection was closed during the TLS handshake{f' ({error})' if str(error) else ''}"
