"""The one-use token that a WebSocket to the broker is opened with."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import h11
import msgspec
import trio

from reptarium.pool.brokers.errors import GrantRefused, LinkError
from reptarium.pool.brokers.stream import CONNECT_TIMEOUT, open_stream
from reptarium.pool.heads import HeadLines
from reptarium.sandbox.nesting import bounded

#: The longest head of an answer, and the longest answer in all, bytes. n8n's has a few hundred.
LONGEST_HEAD, LONGEST_ANSWER = 16 * 1024, 64 * 1024
#: How much of it is looked at before everything else has its turn, bytes: 64 KiB may be ten thousand chunks.
PIECE = 4096

_HTTP = b"HTTP/"


class _Token(msgspec.Struct):
    token: str


class _Granted(msgspec.Struct):
    data: _Token


async def fetch_grant(base: str, path: str, auth_token: str, tls: ssl.SSLContext | None = None) -> str:
    """``POST {base}{path}/auth``: a one-use grant token, fit for a header.

    ``tls``: see :func:`open_stream`. Raises :class:`GrantRefused` on a 403 and :class:`LinkError` for anything else
    that isn't a grant, within ``CONNECT_TIMEOUT`` seconds and having read no more than ``LONGEST_ANSWER``.
    """
    url = f"{base}{path}/auth"
    try:
        with trio.fail_after(CONNECT_TIMEOUT):
            # the broker is a neighbour: a proxy from the environment is not meant for it
            stream = await open_stream(base, tls)
            try:
                status, body = await _post(stream, url, msgspec.json.encode({"token": auth_token}))
            finally:
                await trio.aclose_forcefully(stream)
    except trio.TooSlowError:
        raise LinkError(f"{base} did not answer within {CONNECT_TIMEOUT:.0f} s") from None
    except trio.BrokenResourceError:
        raise LinkError(f"{url} closed the connection before it had answered") from None
    except h11.RemoteProtocolError:
        # h11's own words quote what came, which may be long and is nobody's to log
        raise LinkError(f"{url} answered something that is not HTTP, or only half of an answer") from None
    except (h11.LocalProtocolError, ValueError) as error:
        raise LinkError(f"{url} can't be asked for: {type(error).__name__}") from None
    if status == 403:
        raise GrantRefused(
            f"{url} refused the auth token (403): N8N_RUNNERS_AUTH_TOKEN must be the broker's", fatal=False
        )
    if not 200 <= status < 300:
        raise LinkError(f"{url} answered {status}")
    return _grant(url, body)


async def _post(stream: trio.abc.Stream, url: str, body: bytes) -> tuple[int, bytes]:
    """The status of the answer and, where that is a good one, its body."""
    parts = urlsplit(url)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
    request = h11.Request(
        method="POST",
        target=parts.path,
        headers=[
            ("Host", parts.netloc.encode("idna").decode()),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Accept", "application/json"),
            ("Connection", "close"),
        ],
    )
    await stream.send_all(connection.send(request) + body)
    connection.send(h11.Data(body))
    connection.send(h11.EndOfMessage())
    status, answer, received, lines = 0, bytearray(), 0, HeadLines()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await stream.receive_some(PIECE)
            if received < len(_HTTP):  # another protocol's banner is no head that might still come
                _check_start(url, received, data)
            received += len(data)
            if received > LONGEST_ANSWER:
                raise LinkError(f"{url} answered more than {LONGEST_ANSWER // 1024} KiB, which is not a grant")
            if lines.too_many(data):
                raise LinkError(f"{url} answered more lines than a grant has")
            connection.receive_data(bytes(data))
        elif isinstance(event, h11.Response):
            status = event.status_code
            if not 200 <= status < 300:
                return status, b""
        elif isinstance(event, h11.Data):
            answer += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(answer)
        elif not isinstance(event, h11.InformationalResponse):
            raise LinkError(f"{url} closed the connection before it had answered")


def _check_start(url: str, received: int, data: bytes | bytearray) -> None:
    expected = _HTTP[received:]
    if not expected.startswith(data[: len(expected)]):
        raise LinkError(f"{url} answered something that is not HTTP")


def _grant(url: str, body: bytes) -> str:
    try:
        with bounded(body):
            grant = msgspec.json.decode(body, type=_Granted).data.token
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise LinkError(f"{url} answered something that is not a grant") from None
    if not grant:
        raise LinkError(f"{url} answered an empty grant")
    if not (grant.isascii() and grant.isprintable()) or " " in grant or len(grant) > LONGEST_HEAD:
        raise LinkError(f"{url} answered a grant that no header can carry")
    return grant
