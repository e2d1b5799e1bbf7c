"""HTTP/1.1 for short answers: one request a connection, h11 over trio's sockets.

Whoever reaches the port may be hostile, so what one client can take is bounded: a place among ``MAX_CLIENTS`` (the
one that has had its place longest goes when another comes, so that idle ones don't keep a probe out), ``READ_TIMEOUT``
to say what it wants, ``LONGEST_HEAD`` to say it in, ``WRITE_TIMEOUT`` to take the answer. Every connection is closed
after its answer. Nothing is negotiated: an offer of HTTP/2 or of a WebSocket is declined by ignoring it (RFC 9110,
7.8).

One client is a fault boundary: what nobody foresaw is told to ``on_fault``, answered where an answer was asked for,
and ends that connection alone. Cancelled, all connections are dropped at once; no client is waited for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote

import h11
import msgspec
import structlog
import trio

from reptarium.pool.heads import HeadLines

log = structlog.get_logger("reptarium.pool.ops.http_server")

#: Connections at a time.
MAX_CLIENTS = 64
#: The longest request line and headers together, bytes; and how much of them is looked at in one go.
LONGEST_HEAD, PIECE = 16 * 1024, 4096
#: Seconds to send a whole request, to take the answer, and to close after it.
READ_TIMEOUT, WRITE_TIMEOUT, CLOSE_TIMEOUT = 5.0, 10.0, 1.0
#: What is read and thrown away of a client that goes on after its answer, bytes: closing on unread data would reset
#: the connection and may take the answer with it.
DISCARDED = 2 << 20
#: Seconds until the next try when no connection can be accepted.
ACCEPT_PAUSE = 0.1

_RECEIVE = 64 * 1024
_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


class HttpAnswer(msgspec.Struct, frozen=True):
    """What a client gets. Length, date and the end of the connection are the server's to say."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


def refusal(status: int, *headers: tuple[str, str]) -> HttpAnswer:
    """An answer of the status' own words."""
    return HttpAnswer(status, HTTPStatus(status).phrase.encode(), headers=headers)


class HttpServer:
    """Answers GET and HEAD.

    ``respond`` maps a path, without its query, to an answer; None: there is nothing. It must not block. ``on_fault``
    is told what nobody foresaw.
    """

    def __init__(self, respond: Callable[[str], HttpAnswer | None], on_fault: Callable[[Exception], None]) -> None:
        self._respond = respond
        self._on_fault = on_fault
        self._clients: dict[trio.CancelScope, None] = {}  # in the order in which they came

    async def serve(self, listener: trio.SocketListener) -> None:
        """Accept and answer until cancelled."""
        accepting = True
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await listener.accept()
                except Exception as error:
                    if not isinstance(error, OSError):
                        self._on_fault(error)
                    elif accepting:  # out of descriptors or memory, perhaps for long
                        log.warning("the health endpoint can't accept a connection; trying again", error=str(error))
                    accepting = False
                    self._let_oldest_go()
                    await trio.sleep(ACCEPT_PAUSE)
                    continue
                accepting = True
                if len(self._clients) >= MAX_CLIENTS:
                    self._let_oldest_go()
                scope = trio.CancelScope()
                self._clients[scope] = None
                nursery.start_soon(self._client, stream, scope)

    def _let_oldest_go(self) -> None:
        for scope in self._clients:
            del self._clients[scope]
            scope.cancel()
            return

    async def _client(self, stream: trio.SocketStream, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await self._talk(stream)
        except trio.BrokenResourceError:
            pass  # it has gone
        except Exception as error:
            self._on_fault(error)
        finally:
            self._clients.pop(scope, None)
            with suppress(OSError):  # it is closed all the same (close(2))
                stream.socket.close()

    async def _talk(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD)
        request: h11.Request | None = None
        answer = refusal(408)
        with trio.move_on_after(READ_TIMEOUT):
            try:
                request = await _request(connection, stream)
            except h11.RemoteProtocolError as error:
                # h11 also knows 501, for how a body is encoded: nobody has asked for one here
                answer = refusal(error.error_status_hint if error.error_status_hint < 500 else 400)
            else:
                if request is None:
                    return
                answer = self._answer(request)
        with trio.move_on_after(WRITE_TIMEOUT):
            await stream.send_all(_encode(connection, answer, body=request is None or request.method != b"HEAD"))
            await stream.send_eof()
            with trio.move_on_after(CLOSE_TIMEOUT):
                left = DISCARDED
                while left > 0 and (data := await stream.receive_some(_RECEIVE)):
                    left -= len(data)

    def _answer(self, request: h11.Request) -> HttpAnswer:
        if not request.http_version.startswith(b"1."):
            return refusal(400)
        try:
            answer = self._respond(_path(request.target.decode("ascii")))
        except Exception as error:
            self._on_fault(error)
            return refusal(500)
        if answer is None:
            return refusal(404)
        return answer if request.method in (b"GET", b"HEAD") else refusal(405, ("allow", "GET, HEAD"))


async def _request(connection: h11.Connection, stream: trio.SocketStream) -> h11.Request | None:
    """What the client asks. None: it has gone without a word. Raises h11.RemoteProtocolError."""
    lines = HeadLines()
    while (event := connection.next_event()) is h11.NEED_DATA:
        data = await stream.receive_some(PIECE)
        if lines.too_many(data.partition(b"\r\n\r\n")[0]):  # a body, or what is asked beside it, is nobody's
            raise h11.RemoteProtocolError("too many lines", error_status_hint=431)
        connection.receive_data(data)
    return event if isinstance(event, h11.Request) else None


def _path(target: str) -> str:
    """The path that a request is about, as it is meant: unescaped, without query, origin and a slash at its end."""
    path = unquote(re.split(r"[?#]", _ORIGIN.sub("", target, count=1), maxsplit=1)[0])
    return path.removesuffix("/") or "/"


def _encode(connection: h11.Connection, answer: HttpAnswer, *, body: bool) -> bytes:
    headers = [
        ("content-type", answer.content_type),
        ("content-length", str(len(answer.body))),
        *answer.headers,
        ("date", formatdate(usegmt=True)),
        ("connection", "close"),
    ]
    phrase = HTTPStatus(answer.status).phrase.encode()
    head = connection.send(h11.Response(status_code=answer.status, reason=phrase, headers=headers))
    return (head or b"") + (answer.body if body else b"")
