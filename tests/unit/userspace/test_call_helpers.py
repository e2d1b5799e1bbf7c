"""`_helpers`: HTTP requests and binary data, over a scripted n8n."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reptarium.sandbox.userspace.calls import HelperError
from reptarium.sandbox.userspace.helpers import Helpers, HttpRequestError
from reptarium.sandbox.userspace.views import View
from tests.unit.userspace.scripted import CallError, ScriptedN8n, buffer, supply

URL = "http://api.example/x"


@pytest.fixture
def n8n() -> ScriptedN8n:
    return ScriptedN8n()


@pytest.fixture
def helpers(n8n: ScriptedN8n) -> Any:
    return supply(n8n, "_helpers")(None)["_helpers"]


def response(body: Any, content_type: str = "application/json", status: int = 200, **headers: str) -> dict[str, Any]:
    """A full response as n8n gives it; bytes as a Buffer."""
    return {
        "statusCode": status,
        "statusMessage": "Words",
        "headers": {"content-type": content_type, **headers},
        "body": buffer(body) if isinstance(body, bytes) else body,
    }


def sent(n8n: ScriptedN8n) -> dict[str, Any]:
    """The options of the last HTTP call."""
    options: dict[str, Any] = n8n.asked[-1][1][0]
    return options


# ---- requests-like -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"a": [1]}', "application/json; charset=utf-8", {"a": [1]}),
        (b'{"a": 1}', "application/problem+json", {"a": 1}),
        (b"", "application/json", None),
        (b"not json", "application/json", "not json"),
        ("grüß".encode(), "text/plain; charset=utf-8", "grüß"),
        ("grüß".encode("latin-1"), 'text/html; charset="ISO-8859-1"', "grüß"),
        ("grüß".encode(), "text/plain; charset=nonsense", "grüß"),
        (b"\xff", "text/plain", "\ufffd"),
        (b"<a/>", "application/xml", "<a/>"),
        (bytes(range(256)), "application/octet-stream", bytes(range(256))),
        (b"\x89PNG", "", b"\x89PNG"),
        ("already text", "text/plain", "already text"),
    ],
)
def test_body_by_content_type(n8n: ScriptedN8n, helpers: Any, body: Any, content_type: str, expected: Any) -> None:
    """The body is parsed JSON, text or bytes, as the content type says and the content allows."""
    n8n.http[URL] = response(body, content_type)
    assert helpers.http_request(URL) == expected
    assert sent(n8n) == {
        "url": URL,
        "method": "GET",
        "headers": {},
        "encoding": "arraybuffer",
        "returnFullResponse": True,
        "ignoreHttpStatusErrors": True,
    }


def test_keywords(n8n: ScriptedN8n, helpers: Any) -> None:
    """The keywords of `requests` become n8n's options."""
    n8n.http[URL] = response(b"{}")

    def ask(**keywords: Any) -> dict[str, Any]:
        helpers.http_request(url=URL, **keywords)
        return sent(n8n)

    assert ask(params={"a": [1, 2], "b": "x y", "c": None})["url"] == f"{URL}?a=1&a=2&b=x+y"
    assert ask(params=[("a", 1)])["url"] == f"{URL}?a=1"
    posted = ask(method="post", json={"n": 1}, headers={"X-A": 5})
    assert (posted["method"], posted["body"]) == ("POST", '{"n":1}')
    assert posted["headers"] == {"X-A": "5", "content-type": "application/json"}
    assert ask(json=[])["body"] == "[]"
    assert ask(json={}, headers={"Content-Type": "application/x"})["headers"] == {"Content-Type": "application/x"}
    form = ask(method="POST", data={"a": "1 2", "b": ["x", "y"]})
    assert (form["body"], form["headers"]) == (
        "a=1+2&b=x&b=y",
        {"content-type": "application/x-www-form-urlencoded"},
    )
    assert ask(data="text")["headers"] == {"content-type": "text/plain; charset=utf-8"}
    assert ask(data="grüß".encode())["body"] == "grüß"
    assert ask(timeout=2.5)["timeout"] == 2500
    assert ask(auth=("u", "p"))["headers"] == {"authorization": "Basic dTpw"}
    assert ask(allow_redirects=False)["disableFollowRedirect"] is True
    assert ask(verify=False)["skipSslCertificateValidation"] is True


def test_query_and_fragment(n8n: ScriptedN8n, helpers: Any) -> None:
    """Parameters are added to a query that is there, before a fragment."""
    n8n.http[URL] = response(b"{}")
    helpers.http_request(URL + "?q=1#f", params={"a": 1})
    assert sent(n8n)["url"] == f"{URL}?q=1&a=1#f"


def test_mistakes(helpers: Any) -> None:
    """What can't be sent is refused with the reason, before n8n is asked."""
    with pytest.raises(ValueError, match="either json or data"):
        helpers.http_request(URL, json=1, data="x")
    with pytest.raises(ValueError, match="not UTF-8 cannot be sent"):
        helpers.http_request(URL, data=b"\xff")
    with pytest.raises(TypeError, match="not int"):
        helpers.http_request(URL, data=5)
    with pytest.raises(TypeError, match="url must be a string"):
        helpers.http_request(None, params={"a": 1})
    with pytest.raises(TypeError, match='at least "url"'):
        helpers.httpRequest({})
    with pytest.raises(ValueError, match="not UTF-8"):
        helpers.httpRequest({"url": URL, "body": b"\xff"})


def test_full_response(n8n: ScriptedN8n, helpers: Any) -> None:
    """The full response is a dict with attributes."""
    n8n.http[URL] = response(b"[1]", etag="e")
    full = helpers.http_request(URL, full_response=True)
    assert full == {
        "status_code": 200,
        "status_message": "Words",
        "headers": {"content-type": "application/json", "etag": "e"},
        "body": [1],
        "url": URL,
    }
    assert full.headers.etag == "e"


def test_failing_status(n8n: ScriptedN8n, helpers: Any) -> None:
    """A status of 400 or more raises HttpRequestError with everything that is known."""
    n8n.http[URL] = response(b'{"why": "no"}', status=418)
    with pytest.raises(HttpRequestError, match=f"POST {URL}: 418 Words") as caught:
        helpers.http_request(URL, "POST")
    error = caught.value
    assert (error.status_code, error.body, error.url, error.method) == (418, {"why": "no"}, URL, "POST")
    assert error.headers["content-type"] == "application/json"
    assert helpers.HttpRequestError is HttpRequestError
    n8n.http[URL] = response(b"some words", "text/plain", status=500)
    with pytest.raises(HttpRequestError, match="500 Words: some words"):
        helpers.http_request(URL)


def test_no_response(n8n: ScriptedN8n, helpers: Any) -> None:
    """Without a response there is no status, but n8n's reason."""
    for call in (
        lambda: helpers.http_request("http://nowhere/"),
        lambda: helpers.httpRequest({"url": "http://nowhere/"}),
        lambda: helpers.request("http://nowhere/"),
        lambda: helpers.request({"uri": "http://nowhere/"}),
    ):
        with pytest.raises(HttpRequestError, match=r"GET http://nowhere/: .*getaddrinfo ENOTFOUND") as caught:
            call()
        assert caught.value.status_code is None


@pytest.mark.parametrize("answer", [None, [], "x", {}, {"statusCode": "200"}, {"statusCode": 200, "headers": 5}])
def test_hostile_response(n8n: ScriptedN8n, helpers: Any, answer: Any) -> None:
    """A response of another shape is an error that says so."""
    n8n.http[URL] = answer
    with pytest.raises(HelperError, match="unexpected shape"):
        helpers.http_request(URL)


# ---- redirects that n8n was not let follow ------------------------------------------------


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [(301, "GET", "GET", None), (302, "POST", "GET", None), (303, "PUT", "GET", None),
     (303, "HEAD", "HEAD", None),
     (307, "POST", "POST", "b"), (308, "PUT", "PUT", "b"), (302, "PUT", "PUT", "b")],
)  # fmt: skip
def test_redirects(n8n: ScriptedN8n, helpers: Any, status: int, method: str, then: str, body: str | None) -> None:
    """A redirect that n8n hasn't followed is followed here, as RFC 9110 wants it."""
    n8n.http[URL] = response(b"", status=status, location="../y?z=1")
    n8n.http["http://api.example/y"] = response(b"5")
    assert helpers.http_request(URL, method, data="b" if body else None, headers={"Authorization": "s"}) == 5
    last = sent(n8n)
    assert (last["url"], last["method"], last.get("body")) == ("http://api.example/y?z=1", then, body)
    assert last["headers"]["Authorization"] == "s"


def test_redirect_to_another_server(n8n: ScriptedN8n, helpers: Any) -> None:
    """Another server doesn't get the credentials that were meant for the first."""
    n8n.http[URL] = response(b"", status=302, location="http://other.example/")
    n8n.http["http://other.example/"] = response(b"5")
    assert helpers.http_request(URL, headers={"authorization": "s", "Cookie": "c", "X": "1"}, auth=("u", "p")) == 5
    assert sent(n8n)["headers"] == {"X": "1"}
    assert helpers.httpRequest({"url": URL, "auth": {"username": "u"}, "qs": {"a": 1}}) == buffer_bytes(b"5")
    assert "auth" not in sent(n8n)
    assert "qs" not in sent(n8n)


def buffer_bytes(data: bytes) -> bytes:
    """What a Buffer is for user code."""
    return data


def test_redirects_end(n8n: ScriptedN8n, helpers: Any) -> None:
    """A circle of redirects is an error; with allow_redirects=False the first is the response."""
    n8n.http[URL] = response(b"", status=302, location=URL)
    with pytest.raises(HttpRequestError, match="more than 10 redirects"):
        helpers.http_request(URL)
    assert len(n8n.asked) == 10
    assert helpers.http_request(URL, allow_redirects=False, full_response=True).status_code == 302
    with pytest.raises(HttpRequestError, match="302"):
        helpers.httpRequest({"url": URL, "disableFollowRedirect": True})


# ---- n8n's own options -----------------------------------------------------------------


def test_own_options(n8n: ScriptedN8n, helpers: Any) -> None:
    """Options pass as they are; the answer is what n8n would give: body, or full response."""
    n8n.http[URL] = response({"a": 1})
    options = {"url": URL, "method": "POST", "body": {"x": 1}, "json": True, "qs": {"a": 1}}
    assert helpers.httpRequest(options) == {"a": 1}
    assert sent(n8n) == options | {"returnFullResponse": True, "ignoreHttpStatusErrors": True}
    full = helpers.httpRequest({"url": URL, "returnFullResponse": True})
    assert (full.statusCode, full.statusMessage, full.body.a) == (200, "Words", 1)
    n8n.http[URL] = response(b"\x00\xff")
    assert helpers.httpRequest({"url": URL, "encoding": "arraybuffer"}) == b"\x00\xff"
    helpers.httpRequest({"url": URL, "body": b"text"})
    assert sent(n8n)["body"] == "text"


def test_own_options_and_errors(n8n: ScriptedN8n, helpers: Any) -> None:
    """A failing status raises, unless the options say that it shall not."""
    n8n.http[URL] = response({"why": 1}, status=404)
    with pytest.raises(HttpRequestError, match="404"):
        helpers.httpRequest({"url": URL})
    assert helpers.httpRequest({"url": URL, "ignoreHttpStatusErrors": True}) == {"why": 1}


def test_old_request(n8n: ScriptedN8n, helpers: Any) -> None:
    """n8n's older helper takes an address or its own options, and gives what n8n gives."""
    n8n.http[URL] = '{"a": 1}'
    assert helpers.request(URL) == '{"a": 1}'
    assert helpers.request({"uri": URL, "json": True}) == '{"a": 1}'
    assert n8n.asked[-1] == ("helpers.request", [{"uri": URL, "json": True}])


# ---- binary data ---------------------------------------------------------------------


def test_reading_files(n8n: ScriptedN8n, helpers: Any) -> None:
    """An item's file as bytes, and what n8n knows about it, under both names."""
    assert helpers.get_binary(0) == helpers.getBinaryDataBuffer(0, "data") == b"one!"
    assert helpers.get_binary(1, "pic") == bytes(range(256))
    assert helpers.binary_info(0) == helpers.assertBinaryData(0, "data") == {"mimeType": "text/plain", "bytes": 4}
    assert helpers.binary_info(0).mimeType == "text/plain"
    assert n8n.asked[0] == ("helpers.getBinaryDataBuffer", [0, "data"])


def test_missing_file(helpers: Any) -> None:
    """A file that isn't there is n8n's own error; a place that is none is refused here."""
    with pytest.raises(HelperError, match=r"The item has no binary field 'nope' \[item 0\]"):
        helpers.get_binary(0, "nope")
    for index in (-1, "0", True, 1.5):
        with pytest.raises(TypeError, match="number of an input item"):
            helpers.get_binary(index)
    with pytest.raises(TypeError, match="name of a binary property, not dict"):
        helpers.get_binary(0, {"id": "someone-elses"})


def test_writing_files(n8n: ScriptedN8n, helpers: Any) -> None:
    """Bytes or text become a file of n8n; what isn't given is left out."""
    data = bytes(range(256))
    assert helpers.prepare_binary(data, "a.bin", "application/x") == {
        "id": "stored",
        "bytes": 256,
        "fileName": "a.bin",
        "mimeType": "application/x",
    }
    assert n8n.asked[-1] == ("helpers.prepareBinaryData", [buffer(data), "a.bin", "application/x"])
    helpers.prepareBinaryData(b"x")
    assert n8n.asked[-1] == ("helpers.prepareBinaryData", [buffer(b"x")])
    helpers.prepare_binary("ü", mime_type="text/plain")
    assert n8n.asked[-1] == ("helpers.prepareBinaryData", [buffer("ü".encode()), None, "text/plain"])
    assert helpers.set_binary({"fileName": "f"}, b"xy") == {"fileName": "f", "id": "set", "bytes": 2}
    assert helpers.setBinaryDataBuffer(View({"fileName": "f"}), b"xy").id == "set"
    with pytest.raises(TypeError, match="bytes or a string, not list"):
        helpers.prepare_binary([1])


def test_bytes_to_text(n8n: ScriptedN8n, helpers: Any) -> None:
    """Text encodings are decoded here; what only n8n knows is asked of n8n."""
    assert helpers.binary_to_string("\ufeffgrüß".encode()) == "grüß"
    assert helpers.binaryToString(b"\xfc", "latin1") == helpers.binaryToString(b"\xfc", "binary") == "ü"
    assert helpers.binaryToString("ü".encode("utf-16-le"), "utf16le") == "ü"
    assert n8n.asked == []
    assert helpers.binaryToString(b"abc", "hex") == "hex:3"
    assert helpers.binaryToString(b"abc", "macintosh-x") == "macintosh-x:3"
    with pytest.raises(TypeError, match="data is bytes, not str"):
        helpers.binaryToString("x")


def test_method_not_served(n8n: ScriptedN8n, helpers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that n8n doesn't serve is an error with n8n's words."""

    def refuse(name: str, params: list[Any]) -> Any:
        raise CallError("Method not allowed")

    monkeypatch.setattr(n8n, "rpc", refuse)
    with pytest.raises(HelperError, match="Method not allowed"):
        helpers.get_binary(0)


def test_helpers_cannot_be_changed(helpers: Any) -> None:
    """User code can't put its own functions in the helpers' place, and the class has no more to show."""
    with pytest.raises(AttributeError, match="cannot be changed"):
        helpers.http_request = None
    public = {name for name in dir(helpers) if not name.startswith("__")}
    assert public == set(Helpers.__slots__)
    assert json.dumps(sorted(public))
