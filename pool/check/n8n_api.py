"""Reads workflows over n8n's public REST API (`GET /api/v1/workflows`), page by page. Nothing but reading is asked for.

The key goes to the address that was given and nowhere else: no redirect is followed.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import h11
import trio

from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.brokers.stream import open_stream
from reptarium.pool.check.exports import LONGEST, Document, Problem, decode
from reptarium.pool.check.shown import shown

#: Workflows of a page (n8n gives no more), pages in all, seconds for one of them, and for all.
PAGE, MOST_PAGES, PAGE_TIME, ALL_TIME = 250, 4_000, 120.0, 3_600.0
_PATH = "/api/v1"
_LONGEST_HEAD, _LONGEST_KEY = 64 * 1024, 64 * 1024
#: Bytes of all pages: they are kept. Characters of an address that are shown.
MOST_BYTES, _SHOWN = 1 << 30, 200


class ApiError(Exception):
    """The address, the key, or what was answered is of no use. The text says what to change."""


def read_key(path: str) -> str:
    """The API key in a file. Raises :class:`ApiError`."""
    try:
        with Path(path).open("rb") as file:
            key = file.read(_LONGEST_KEY + 1).decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise ApiError(f"--api-key-file {path}: {getattr(error, 'strerror', None) or 'it is no key'}") from None
    if not key or len(key) > _LONGEST_KEY or not key.isprintable() or " " in key:
        raise ApiError(f"--api-key-file {path}: one line with a key of n8n's is expected (Settings, n8n API)")
    return key


def base_of(url: str) -> str:
    """The address of n8n itself, whether or not it was given with the API's path. Raises :class:`ApiError`."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.query
    except ValueError:
        good = False
    # h11 sends no blank; a line end would be a header of somebody's
    if not good or "@" in url or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        given = " (it has an @, and isn't shown)" if "@" in url else f" {url!r}"
        raise ApiError(f"--n8n-url{given}: an address such as https://n8n.example.com is expected")
    return url.rstrip("/").removesuffix(_PATH)


def in_the_clear(base: str) -> bool:
    """Whether the key would go over a network without encryption."""
    parts = urlsplit(base)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True


async def read_workflows(
    base: str, key: str, tls: ssl.SSLContext | None, progress: Callable[[int], object] = id
) -> list[Document | Problem]:
    """Every workflow, a document a page. ``progress`` is told how many there are so far.

    ``tls``: see ``brokers/stream.py``. Raises :class:`ApiError` where not even the first page can be had; what fails
    later is a problem beside what was read.
    """
    documents: list[Document | Problem] = []
    cursor: Any = None
    seen: set[str] = set()
    count = length = 0
    end = trio.current_time() + ALL_TIME
    for _ in range(MOST_PAGES):
        try:
            page, bytes_read = await _page(base, key, tls, cursor)
        except ApiError as error:
            if not documents:
                raise
            return [*documents, Problem(base, f"{error}; what came before is checked")]
        documents.append(Document(base, page["data"], named=False))
        count += len(page["data"])
        length += bytes_read
        progress(count)
        cursor = page.get("nextCursor")
        if not cursor:
            return documents
        if not isinstance(cursor, str) or cursor in seen:
            return [*documents, Problem(base, "its pages don't end; what came before is checked")]
        seen.add(cursor)
        if trio.current_time() >= end:
            what = f"its pages take more than {ALL_TIME / 60:.0f} minutes; what came before is checked"
            return [*documents, Problem(base, what)]
        if length > MOST_BYTES:
            return [
                *documents,
                Problem(base, f"its pages have more than {MOST_BYTES >> 20:,} MiB; the first are checked"),
            ]
    return [*documents, Problem(base, f"it has more than {MOST_PAGES * PAGE:,} workflows; the first are checked")]


async def _page(base: str, key: str, tls: ssl.SSLContext | None, cursor: str | None) -> tuple[dict[str, Any], int]:
    """A page, and its length in bytes."""
    query = urlencode({"limit": PAGE, **({"cursor": cursor} if cursor else {})})
    try:
        with trio.fail_after(PAGE_TIME):
            stream = await open_stream(base, tls)
            try:
                status, headers, body = await _get(stream, base, f"{_PATH}/workflows?{query}", key)
            finally:
                await trio.aclose_forcefully(stream)
    except trio.TooSlowError:
        raise ApiError(f"{base} did not answer within {PAGE_TIME:.0f} s") from None
    except LinkError as error:
        raise ApiError(str(error)) from None
    except (trio.BrokenResourceError, h11.RemoteProtocolError):
        raise ApiError(f"{base} answered something that is not HTTP, or only half of an answer") from None
    if status != 200:
        raise ApiError(_refused(base, status, headers))
    try:
        page = decode(body)
    except ValueError:
        page = None
    if not isinstance(page, dict) or not isinstance(page.get("data"), list):
        raise ApiError(f"{base}{_PATH}/workflows answered something that is no page of workflows")
    return page, len(body)


def _refused(base: str, status: int, headers: dict[bytes, bytes]) -> str:
    where = f"{base}{_PATH}/workflows"
    if status == 401:
        return f"{where} refused the key of --api-key-file (401): make one in n8n, Settings, n8n API"
    if status == 403:
        return f"{where} refused (403): the key needs the scope workflow:list, or the plan has no public API"
    if status == 404:
        return f"{where} isn't there (404): is --n8n-url n8n's own address, and N8N_PUBLIC_API_DISABLED not set?"
    if 300 <= status < 400:
        return f"{where} leads elsewhere ({status}): give --n8n-url the address itself{_address(headers)}"
    return f"{where} answered {status}"


def _address(headers: dict[bytes, bytes]) -> str:
    """Where a redirect leads, as far as it is an address: without the path, which may hold secrets."""
    try:
        target = urlsplit(headers.get(b"location", b"").decode("latin-1"))
    except ValueError:
        return ""
    address = shown(f"{target.scheme}://{target.netloc.rpartition('@')[2]}")
    return f", {address[:_SHOWN]}" if target.netloc else ""


async def _get(stream: trio.abc.Stream, base: str, target: str, key: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of an answer."""
    parts = urlsplit(base)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
    headers = [("Host", parts.netloc), ("Accept", "application/json"), ("Connection", "close"), ("X-N8N-API-KEY", key)]
    request = h11.Request(method="GET", target=f"{parts.path}{target}", headers=headers)
    await stream.send_all(connection.send(request) + (connection.send(h11.EndOfMessage()) or b""))
    status, got, body = 0, {}, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(1 << 16)))
        elif isinstance(event, h11.Response):
            status, got = event.status_code, dict(event.headers)
            if status != 200:
                return status, got, b""
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LONGEST:
                raise ApiError(f"{base} answered more than {LONGEST >> 20} MiB for a page of workflows")
        elif isinstance(event, h11.EndOfMessage):
            return status, got, bytes(body)
        elif not isinstance(event, h11.InformationalResponse):
            raise ApiError(f"{base} closed the connection before it had answered")
