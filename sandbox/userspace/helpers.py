"""``_helpers``: HTTP requests and binary data, both done by n8n on the task's behalf.

None of this needs a network in the sandbox. What leaves it is a call on the worker's own socket, which the
supervisor checks against the admin's settings before n8n hears of it.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec

from reptarium.sandbox.language.hardening import trusted
from reptarium.sandbox.userspace.calls import (
    Ask,
    HelperError,
    decode,
    decode_as,
    decode_buffer,
    encode,
    encode_buffer,
    prepare,
)
from reptarium.sandbox.userspace.json_form import Raw, to_json
from reptarium.sandbox.userspace.views import View

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Names of node's encodings that Python has under another one.
_ENCODINGS = {"utf16le": "utf-16-le", "ucs2": "utf-16-le", "ucs-2": "utf-16-le", "binary": "latin-1"}


class HttpRequestError(HelperError):
    """An HTTP request that failed. ``status_code`` is None when there was no response at all.

    ``body`` and ``headers`` are the response's, ``url`` and ``method`` the request's.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str,
        method: str,
        status_code: int | None = None,
        headers: dict[str, Any] | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message)
        self.url, self.method = url, method
        self.status_code, self.headers, self.body = status_code, View(headers or {}), body


class _Response(msgspec.Struct, rename="camel"):
    """n8n's answer when it is asked for the full response."""

    status_code: int
    body: msgspec.Raw = msgspec.Raw(b"null")
    headers: dict[str, Any] = {}
    status_message: str | None = None


prepare(_Response)


class Helpers:
    """The object behind ``_helpers``. Its attributes are functions; they know the channel, it doesn't."""

    __slots__ = (
        "HttpRequestError",
        "assertBinaryData",
        "binaryToString",
        "binary_info",
        "binary_to_string",
        "getBinaryDataBuffer",
        "get_binary",
        "httpRequest",
        "http_request",
        "prepareBinaryData",
        "prepare_binary",
        "request",
        "setBinaryDataBuffer",
        "set_binary",
    )

    HttpRequestError: type[HttpRequestError]

    def __init__(self, ask: Ask) -> None:
        for name, function in {**_http_functions(ask), **_binary_functions(ask)}.items():
            object.__setattr__(self, name, function)
        object.__setattr__(self, "HttpRequestError", HttpRequestError)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("the helpers cannot be changed")


# ---- HTTP ----------------------------------------------------------------------------


def _send(ask: Ask, options: dict[str, Any], follow: bool) -> tuple[_Response, str]:
    """One request, and those that it is redirected to. Returns the response and the last address.

    n8n follows redirects by itself unless the supervisor had to forbid it, because the hosts that
    tasks may reach are restricted: then each step is a request of its own, checked like any other.
    """
    options = {**options, "returnFullResponse": True, "ignoreHttpStatusErrors": True}
    url = str(options.get("url", ""))
    for _ in range(MAX_REDIRECTS):
        try:
            raw = ask("helpers.httpRequest", [encode(options)], "rpc")
        except HelperError as error:
            method = str(options.get("method", "GET"))
            raise HttpRequestError(f"{method} {url}: {error}", url=url, method=method) from None
        response = decode_as(raw, _Response, "helpers.httpRequest")
        location = response.headers.get("location")
        if not follow or response.status_code not in _REDIRECTS or not isinstance(location, str):
            return response, url
        target = urljoin(url, location)
        options = _redirected(options, response.status_code, url, target)
        url = target
    method = str(options.get("method", "GET"))
    raise HttpRequestError(f"{method} {url}: more than {MAX_REDIRECTS} redirects", url=url, method=method)


def _redirected(options: dict[str, Any], status: int, old: str, new: str) -> dict[str, Any]:
    """The request that a redirect asks for (RFC 9110, 15.4)."""
    options = {key: value for key, value in options.items() if key not in ("qs", "baseURL")} | {"url": new}
    method = str(options.get("method", "GET")).upper()
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        options = {key: value for key, value in options.items() if key not in ("body", "json")}
        options["method"] = "GET"
    if urlsplit(old)[:2] != urlsplit(new)[:2]:  # another server doesn't get what was meant for this one
        options.pop("auth", None)
        options["headers"] = {
            key: value
            for key, value in (options.get("headers") or {}).items()
            if key.lower() not in ("authorization", "cookie", "proxy-authorization")
        }
    return options


def _http_functions(ask: Ask) -> dict[str, Callable[..., Any]]:
    def http_request(
        url: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        json: Any = None,
        data: str | bytes | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        auth: tuple[str, str] | None = None,
        allow_redirects: bool = True,
        verify: bool = True,
        full_response: bool = False,
    ) -> Any:
        """An HTTP request by n8n; the body comes back as parsed JSON, text or bytes, by its content type."""
        sent = {str(key): str(value) for key, value in (headers or {}).items()}
        options: dict[str, Any] = {"url": _address(url, params), "method": method.upper(), "headers": sent}
        if json is not None and data is not None:
            raise ValueError("give either json or data")
        if json is not None:
            options["body"] = to_json(json).decode()
            _default(sent, "content-type", "application/json")
        elif data is not None:
            options["body"] = _body(data, sent)
        if timeout is not None:
            options["timeout"] = max(int(timeout * 1000), 1)
        if auth is not None:
            token = base64.b64encode(f"{auth[0]}:{auth[1]}".encode()).decode()
            _default(sent, "authorization", f"Basic {token}")
        if not allow_redirects:
            options["disableFollowRedirect"] = True
        if not verify:
            options["skipSslCertificateValidation"] = True
        options["encoding"] = "arraybuffer"  # only so do bytes come through unharmed
        response, final = _send(ask, options, allow_redirects)
        body = _read_body(response)
        if response.status_code >= 400:
            raise _status_error(response, body, final, method.upper())
        if not full_response:
            return body
        return View(
            status_code=response.status_code,
            status_message=response.status_message,
            headers=response.headers,
            body=body,
            url=final,
        )

    def httpRequest(options: dict[str, Any]) -> Any:
        """An HTTP request with n8n's own options (IHttpRequestOptions)."""
        _check_options(options)
        if isinstance(options.get("body"), bytes | bytearray):
            options = {**options, "body": _text_body(bytes(options["body"]))}
        method = str(options.get("method", "GET")).upper()
        response, final = _send(ask, options, not options.get("disableFollowRedirect"))
        body = decode(bytes(response.body), "helpers.httpRequest")
        if not 200 <= response.status_code < 300 and not options.get("ignoreHttpStatusErrors"):
            raise _status_error(response, body, final, method)
        if not options.get("returnFullResponse"):
            return body
        return View(
            statusCode=response.status_code,
            statusMessage=response.status_message,
            headers=response.headers,
            body=body,
        )

    def request(options: str | dict[str, Any]) -> Any:
        """n8n's older request helper, with its own options."""
        if isinstance(options, str):
            options = {"uri": options}
        url, method = str(options.get("uri") or options.get("url")), str(options.get("method", "GET")).upper()
        try:
            raw = ask("helpers.request", [encode(options)], "rpc")
        except HelperError as error:
            raise HttpRequestError(f"{method} {url}: {error}", url=url, method=method) from None
        return decode(raw, "helpers.request")

    return {"http_request": http_request, "httpRequest": httpRequest, "request": request}


def _check_options(options: Any) -> None:
    if not isinstance(options, dict) or not isinstance(options.get("url"), str):
        raise TypeError('httpRequest takes a dict with at least "url"')


def _address(url: Any, params: Mapping[str, Any] | Sequence[tuple[str, Any]] | None) -> str:
    if not isinstance(url, str):
        raise TypeError(f"url must be a string, not {type(url).__name__}")
    if not params:
        return url
    pairs = params.items() if isinstance(params, Mapping) else params
    query = urlencode([(key, value) for key, value in pairs if value is not None], doseq=True)
    address, mark, fragment = url.partition("#")
    return address + ("&" if "?" in address else "?") + query + mark + fragment


def _default(headers: dict[str, str], name: str, value: str) -> None:
    if not any(key.lower() == name for key in headers):
        headers[name] = value


def _body(data: Any, headers: dict[str, str]) -> str:
    if isinstance(data, Mapping):
        _default(headers, "content-type", "application/x-www-form-urlencoded")
        return urlencode(data, doseq=True)
    if isinstance(data, str):
        _default(headers, "content-type", "text/plain; charset=utf-8")
        return data
    if isinstance(data, bytes | bytearray):
        _default(headers, "content-type", "application/octet-stream")
        return _text_body(bytes(data))
    raise TypeError(f"data is a dict, a string or bytes, not {type(data).__name__}")


def _text_body(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(
            "n8n's HTTP helper sends text only; bytes that are not UTF-8 cannot be sent "
            "(put them into a binary property and let an HTTP Request node send it)"
        ) from None


def _read_body(response: _Response) -> Any:
    value = decode(bytes(response.body), "helpers.httpRequest")
    if not isinstance(value, bytes):
        return value
    content_type = next((str(value) for key, value in response.headers.items() if key.lower() == "content-type"), "")
    kind, *parameters = (part.strip() for part in content_type.lower().split(";"))
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return msgspec.json.decode(value) if value.strip() else None
        except ValueError:
            pass  # it only says that it is JSON
    elif not (kind.startswith("text/") or kind in _TEXT_KINDS):
        return value
    charsets = [part.partition("=")[2].strip("\"' ") for part in parameters if part.startswith("charset=")]
    return _decode_text(value, charsets[0] if charsets else "utf-8")


_TEXT_KINDS = frozenset(
    {
        "application/xml",
        "application/javascript",
        "application/x-www-form-urlencoded",
        "application/xhtml+xml",
    }
)


def _codec(name: str) -> codecs.CodecInfo:
    """Python's codec of that name, from a module that may have to be imported first. Raises LookupError."""
    with trusted():
        return codecs.lookup(name)


def _decode_text(data: bytes, charset: str) -> str:
    try:
        return data.decode(_codec(charset).name, "replace")
    except (LookupError, ValueError, TypeError):
        return data.decode("utf-8", "replace")


def _status_error(response: _Response, body: Any, url: str, method: str) -> HttpRequestError:
    words = f" {response.status_message}" if response.status_message else ""
    shown = f": {body[:200]}" if isinstance(body, str) and body.strip() else ""
    return HttpRequestError(
        f"{method} {url}: {response.status_code}{words}{shown}",
        url=url,
        method=method,
        status_code=response.status_code,
        headers=response.headers,
        body=body,
    )


# ---- binary data ---------------------------------------------------------------------


def _binary_functions(ask: Ask) -> dict[str, Callable[..., Any]]:
    def place(item_index: Any, property: Any) -> list[Raw]:
        if isinstance(item_index, bool) or not isinstance(item_index, int) or item_index < 0:
            raise TypeError("item_index is the number of an input item, from 0")
        if not isinstance(property, str):
            raise TypeError(f"property is the name of a binary property, not {type(property).__name__}")
        return [encode(item_index), encode(property)]

    def get_binary(item_index: int, property: str = "data") -> bytes:
        """The bytes of an input item's binary property."""
        name = "helpers.getBinaryDataBuffer"
        try:
            raw = ask(name, place(item_index, property), "rpc")
        except HelperError:
            # n8n gives no reason here where there is no such property, but does for its description
            binary_info(item_index, property)
            raise
        return decode_buffer(raw, name)

    def binary_info(item_index: int, property: str = "data") -> View:
        """What n8n knows about a binary property: mimeType, fileName, fileSize …"""
        name = "helpers.assertBinaryData"
        return View(decode_as(ask(name, place(item_index, property), "rpc"), dict[str, Any], name))

    def prepare_binary(data: bytes | str, file_name: str | None = None, mime_type: str | None = None) -> View:
        """Store bytes with n8n; the result belongs under an item's ``binary``."""
        name = "helpers.prepareBinaryData"
        params = [encode_buffer(_bytes(data)), encode(file_name), encode(mime_type)]
        while params[-1] == b"null":  # what isn't given is left out: n8n then finds the type by itself
            params.pop()
        return View(decode_as(ask(name, params, "rpc"), dict[str, Any], name))

    def set_binary(info: dict[str, Any], data: bytes | str) -> View:
        """Store bytes with n8n under what ``info`` says of them."""
        name = "helpers.setBinaryDataBuffer"
        params = [encode(dict(info)), encode_buffer(_bytes(data))]
        return View(decode_as(ask(name, params, "rpc"), dict[str, Any], name))

    def binary_to_string(data: bytes, encoding: str = "utf8") -> str:
        """Bytes as text; encodings that Python doesn't know are left to n8n."""
        if not isinstance(data, bytes | bytearray):
            raise TypeError(f"data is bytes, not {type(data).__name__}")
        try:
            codec = _codec(_ENCODINGS.get(encoding.lower(), encoding))
            if codec._is_text_encoding:
                return bytes(data).decode(codec.name, "replace").removeprefix("\ufeff")
        except LookupError:
            pass
        name = "helpers.binaryToString"
        return decode_as(ask(name, [encode_buffer(bytes(data)), encode(encoding)], "rpc"), str, name)

    return {
        "get_binary": get_binary,
        "getBinaryDataBuffer": get_binary,
        "binary_info": binary_info,
        "assertBinaryData": binary_info,
        "prepare_binary": prepare_binary,
        "prepareBinaryData": prepare_binary,
        "set_binary": set_binary,
        "setBinaryDataBuffer": set_binary,
        "binary_to_string": binary_to_string,
        "binaryToString": binary_to_string,
    }


def _bytes(data: object) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"data is bytes or a string, not {type(data).__name__}")
