"""What a call may carry out of a worker, and what an answer may carry in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reptarium.pool.protocol.messages.wellformed import whole
from reptarium.pool.tasks.call_rules import (
    Refused,
    check_data_request,
    check_place,
    execution_deadline,
    http_host,
    release_environment,
    release_task_data,
    releasing_task_data,
    restrict_http,
)

HTTP = "helpers.httpRequest"
HOSTS = ("api.example.com", "*.internal", "10.0.0.?", "KOALA.org", "::1")


def restricted(options: Any, name: str = HTTP) -> dict[str, Any]:
    """The options that go out."""
    (out,) = json.loads(restrict_http(name, json.dumps([options]).encode(), HOSTS))
    assert isinstance(out, dict)
    return out


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "https://API.Example.com:8443/a?b=c#d",
        "http://api.example.com?x=http://evil.com",
        "http://api.example.com/@evil.com/ü",
        "http://a.b.internal/",
        "http://10.0.0.7/",
        "http://[::1]:80/",
        "http://koala.org/",
    ],
)
def test_allowed_addresses(url: str) -> None:
    """Addresses of an allowed host go out as they are, with redirects turned off."""
    assert restricted({"url": url}) == {"url": url, "disableFollowRedirect": True}


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.com/",
        "http://api.example.com.evil.com/",
        "http://evil.com/api.example.com",
        "http://evilinternal/",
        "http://api.example.com@evil.com/",
        "http://api.example.com:80@evil.com/",
        "http://evil.com\\@api.example.com/",
        "http://evil.com\\.internal/",
        "http:\\\\evil.com/api.example.com",
        "http://evil.com#@api.example.com/",
        "http://evil.com?.internal",
        "http:/evil.com/x.internal",
        "http:evil.com/x.internal",
        "///evil.com/.internal",
        "//evil.com",
        " http://api.example.com/",
        "http://api.example.com\t.evil.com/",
        "http://api.example.com/\n",
        "ht\ntp://api.example.com/",
        "http://api.example.com%2eevil.com/",
        "http://%61pi.example.com/",
        "http://api.example.com:port/",
        "http://api.example.com:/",
        "http://\u212aoala.org/",
        "http://evil.com/\\.internal",
        "http://api。example.com/",
        "http://xn--.internal:99999999/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "ftp://api.example.com/",
        "unix:/run/x.sock",
        "api.example.com",
        "/relative",
        "",
        "http://",
        "http:///x.internal",
        "http://[::1].internal",
        "http://[::2]/",
    ],
)
def test_refused_addresses(url: str) -> None:
    """Any other address, and any that two parsers could read differently, stays in."""
    with pytest.raises(Refused, match="not allowed"):
        restricted({"url": url})


def test_host_of_an_address() -> None:
    """The host comes in lower case, and not at all for what isn't plainly http."""
    assert http_host("HTTPS://Api.Example.COM:1/x") == "api.example.com"
    assert http_host("http://[FE80::1]/") == "fe80::1"
    assert http_host("gopher://x/") is None


def test_base_address() -> None:
    """A relative address and its base are put together here, so that n8n has nothing to put together."""
    assert restricted({"url": "/x", "baseURL": "http://api.example.com/v1/"})["url"] == "http://api.example.com/v1/x"
    assert restricted({"url": "", "baseURL": "http://api.example.com"})["url"] == "http://api.example.com"
    both = restricted({"url": "http://api.example.com/", "baseURL": "http://evil.com"})
    assert both == {"url": "http://api.example.com/", "disableFollowRedirect": True}
    for url, base in (
        ("/api.example.com", "http://evil.com"),
        ("http://evil.com/", "http://api.example.com"),
        (".evil.com/", "http://api.example.com@"),
        ("//evil.com/", "http://api.example.com"),
        ("x:y", "http://api.example.com"),
    ):
        with pytest.raises(Refused):
            restricted({"url": url, "baseURL": base})


def test_everything_else_passes_raw() -> None:
    """Body, query and headers go out untouched; a body stays raw JSON."""
    options = {
        "url": "http://api.example.com/",
        "method": "POST",
        "body": {"type": "Buffer", "data": [1, 2]},
        "headers": {"X-A": "1"},
        "qs": {"a": [1]},
        "timeout": 5,
        "disableFollowRedirect": False,
        "encoding": "arraybuffer",
    }
    assert restricted(options) == options | {"disableFollowRedirect": True}


@pytest.mark.parametrize(
    "more",
    [{"proxy": {"host": "evil.com"}}, {"uri": "http://evil.com"}, {"agentOptions": {}}, {"socketPath": "/x"},
     {"baseUrl": "http://evil.com"}, {"URL": "http://evil.com"}, {"maxRedirects": 5}, {"__proto__": {}},
     {"headers": {"Host": "evil.com"}}, {"headers": {" host ": "evil.com"}}, {"headers": ["x"]},
     {"baseURL": 5}, {"url": ["http://evil.com"]}, {"url": None}],
)  # fmt: skip
def test_options_that_lead_elsewhere(more: dict[str, Any]) -> None:
    """Options that could move a request to another host, known or not, stay in."""
    with pytest.raises(Refused):
        restricted({"url": "http://api.example.com/"} | more)


def test_two_parsers_one_reading() -> None:
    """Of a key that comes twice, the one that was checked is the one that goes out."""
    raw = b'[{"url":"http://evil.com/","url":"http://api.example.com/"}]'
    assert b"evil" not in restrict_http(HTTP, raw, HOSTS)
    raw = b'[{"url":"http://api.example.com/","url":"http://evil.com/"}]'
    with pytest.raises(Refused):
        restrict_http(HTTP, raw, HOSTS)
    raw = b'[{"\\u0075rl":"http://evil.com/"}]'
    with pytest.raises(Refused):
        restrict_http(HTTP, raw, HOSTS)


@pytest.mark.parametrize("raw", [b"[]", b"[{},{}]", b'["http://api.example.com"]', b"{}", b"[null]", b"[" * 60_000])
def test_other_parameters(raw: bytes) -> None:
    """Anything but one object of options stays in."""
    with pytest.raises(Refused):
        restrict_http(HTTP, raw, HOSTS)


def test_old_request_helper() -> None:
    """n8n's older helper has too many ways to name an address: not while hosts are restricted."""
    with pytest.raises(Refused, match="use http_request"):
        restricted({"url": "http://api.example.com/"}, "helpers.request")


# ---- binary data ---------------------------------------------------------------------


def test_places() -> None:
    """A read names an item's number and a property; an object with a file's id is somebody else's file."""
    check_place("helpers.getBinaryDataBuffer", b'[0,"data"]')
    for raw in (b'[0,{"id":"filesystem-v2:workflows/other"}]', b'[-1,"a"]', b'["0","a"]', b"[0]",
                b'[0,"a","b"]', b"{}", b"[" * 60_000, b'[1.5,"a"]', b'[true,"a"]'):  # fmt: skip
        with pytest.raises(Refused):
            check_place("helpers.getBinaryDataBuffer", raw)


# ---- task data -----------------------------------------------------------------------


def test_data_requests() -> None:
    """A request for task data is passed in the one shape that n8n knows."""
    good = {"dataOfNodes": ["A"], "prevNode": True, "input": {"include": True}, "env": True}
    chunk = good | {"dataOfNodes": "all", "input": {"include": True, "chunk": {"startIndex": 0, "count": 5}}}
    for one in (good, chunk):
        assert json.loads(check_data_request(json.dumps(one).encode(), env=True)) == one
    assert json.loads(check_data_request(json.dumps(good).encode(), env=False))["env"] is False
    for bad in (
        {**good, "more": 1},
        {**good, "dataOfNodes": "some"},
        {**good, "dataOfNodes": [1]},
        {**good, "dataOfNodes": {"__proto__": 1}},
        {**good, "input": {"include": 1}},
        {**good, "input": None},
        {**good, "env": "yes"},
        {},
        [good],
        "all",
    ):
        with pytest.raises(Refused):
            check_data_request(json.dumps(bad).encode(), env=True)
    with pytest.raises(Refused):
        check_data_request(b'{"dataOfNodes":' + b"[" * 60_000, env=True)


SECRETS = {
    "N8N_RUNNERS_AUTH_TOKEN": "s1",
    "n8n_encryption_key": "s2",
    "DB_POSTGRESDB_HOST": "s3",
    "QUEUE_BULL_REDIS_HOST": "s4",
    "REPTARIUM_X": "s5",
    "MY_API_KEY": "s6",
    "GITHUB_TOKEN": "s7",
    "SMTP_PASSWORD": "s8",
    "DATABASE_URL": "postgres://user:s9@db/x",
    "SENTRY_DSN": "s10",
    "MAIL_PASS": "s11",
    "CREDENTIALS_OVERWRITE_DATA": "s12",
    "SESSION_COOKIE": "s13",
    "PROXY": "http://u:s14@proxy",
}
PLAIN = {"HOME": "/home/node", "TZ": "UTC", "COLOUR": "blue", "SITE": "https://example.com/a:b@c"}


def test_environment() -> None:
    """n8n's own settings and whatever looks like a secret, by name or value, are withheld."""
    assert release_environment(SECRETS | PLAIN | {"ODD": 5}) == PLAIN


@pytest.mark.parametrize("surrogate", ["", '"odd":"\\ud83d",'])
def test_task_data(surrogate: str) -> None:
    """Task data comes in without secrets and without the resume token, however it is spelled."""
    state = {"env": SECRETS | PLAIN, "isEnvAccessBlocked": False, "more": {"env": SECRETS}}
    rest = {
        "runExecutionData": {"resultData": {"runData": {}}, "resumeToken": "s99"},
        "workflow": {"id": "w"},
    }
    raw = f'{{{surrogate}"envProviderState":{json.dumps(state)},{json.dumps(rest)[1:]}'
    out = json.loads(release_task_data(raw.encode()))
    assert out["envProviderState"] == {"env": PLAIN, "isEnvAccessBlocked": False, "isProcessAvailable": False}
    assert out["runExecutionData"] == {"resultData": {"runData": {}}}
    assert out["workflow"] == {"id": "w"}
    assert '"s' not in json.dumps(out)


def test_the_environment_twice() -> None:
    """A key that comes twice, or in escapes, hides nothing."""
    state = json.dumps({"env": SECRETS})
    raw = f'{{"envProviderState":{state},"envProvider\\u0053tate":{state}}}'.encode()
    assert json.loads(release_task_data(raw))["envProviderState"]["env"] == {}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"envProviderState": None}, {"envProviderState": {"env": {}}}),
        ({"envProviderState": [SECRETS]}, {"envProviderState": {"env": {}}}),
        ({"envProviderState": "s"}, {"envProviderState": {"env": {}}}),
        ({"runExecutionData": None}, {"runExecutionData": None}),
        ({"runExecutionData": [1]}, {"runExecutionData": [1]}),
        ({}, {}),
    ],
)
def test_odd_task_data(answer: Any, expected: Any) -> None:
    """Of a state in another shape nothing is passed."""
    assert json.loads(release_task_data(json.dumps(answer).encode())) == expected


@pytest.mark.parametrize("raw", [b"null", b"[]", b'"x"', b"5", b"{", b"", b'{"a":' * 60_000, b'["\\ud83d"]'])
def test_unreadable_task_data(raw: bytes) -> None:
    """An answer that is no object is refused."""
    with pytest.raises(Refused, match="cannot be read"):
        release_task_data(raw)


@pytest.mark.parametrize("piece", [16, 40, 200])
@pytest.mark.parametrize(
    "answer",
    [
        {"workflow": {"nodes": [{"name": "x" * 300}] * 20}, "inputData": {"main": [[{"json": {"a": 1}}] * 50]}},
        {"envProviderState": {"env": {"SMTP_PASS": "p" * 300, "LANG": "C", **{f"A{n}": "b" * 50 for n in range(9)}}}},
        {"envProviderState": {"more": ["x"] * 200, "env": {"LANG": "C"}}, "selfData": {"a": ["y"] * 300}},
        {"runExecutionData": {"resumeToken": "t" * 400, "resultData": {"runData": {"N": [{"a": "b"}] * 90}}}},
        {"runExecutionData": {"resultData": ["\ud83d" * 100], "resumeToken": "t"}, "node": {"name": "\ud83d"}},
        {"additionalData": {"x": "y" * 500, "executionTimeoutTimestamp": 1_700_000_000_500}, "mode": "m" * 500},
    ],
)
def test_task_data_is_released_in_pieces_as_it_is_in_one(answer: dict[str, Any], piece: int) -> None:
    """The same secrets are gone, the same rest is there, whatever of it is long."""
    data = json.dumps(answer).encode()
    parts, deadline = whole(releasing_task_data(memoryview(data), large=0, piece=piece))
    assert json.loads(b"".join(parts)) == json.loads(release_task_data(data))
    assert deadline == execution_deadline(data)


def test_task_data_that_is_none_is_refused_in_pieces_too() -> None:
    """What can't be read isn't passed on."""
    for data in (b'{"a":["' + b"x" * 300, b"[" * 300, b'{"workflow":[1,,2' + b" " * 300 + b"]}"):
        with pytest.raises(Refused):
            whole(releasing_task_data(memoryview(data), large=0, piece=16))


@pytest.mark.parametrize("field", ["envProviderState", "additionalData", "workflow"])
def test_no_object_is_made_of_each_value_in_an_answer(field: str) -> None:
    """Four megabytes of a lying broker would take a second of the event loop."""
    inner = b'{"executionTimeoutTimestamp":[%s0],"env":[%s0]}' % ((b"[]," * 100_000,) * 2)
    data = b'{"%s":%s,"half an emoji":"\\ud83d"}' % (field.encode(), inner)
    if field == "workflow":
        parts, deadline = whole(releasing_task_data(memoryview(data)))
        assert (b"".join(parts), deadline) == (data, None)
    else:
        with pytest.raises(Refused, match="too many parts"):
            whole(releasing_task_data(memoryview(data)))
