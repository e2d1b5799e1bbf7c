"""What of a task's call may go to n8n, and what of n8n's answer may come back.

Pure functions over raw JSON. The worker that wrote a call is taken for hostile: whatever decides
is read here and written anew, so that no second parser can see something else than what was
checked (twice the same key, odd spellings of an address). Large values stay raw.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from reptarium.pool.config import names_secret, shows_secret
from reptarium.pool.protocol.messages import PIECE, UNREADABLE, Steps, joined, parting

#: Parameters that name something, options of a request but for what they carry, in bytes: read in one call.
MOST_READ = 512 * 1024
#: Commas and brackets in what is made objects of in one call, of an answer: up to 0.5 µs each.
MOST_VALUES = 100_000
#: What is longer is taken out of the options before that.
_CARRIED = 16 * 1024


class Refused(Exception):
    """The call may not go out, or its answer may not come in. The text is for the task's owner."""


def _check_length(what: str, params: bytes | memoryview) -> None:
    if len(params) > MOST_READ:
        raise Refused(f"{what} has more than {MOST_READ >> 10} KiB of parameters")


# ---- HTTP ----------------------------------------------------------------------------

#: Options of ``helpers.httpRequest`` that can't send a request elsewhere than to ``url``.
HTTP_OPTIONS = frozenset(
    {
        *("url", "baseURL", "method", "headers", "qs", "arrayFormat", "body", "json", "encoding", "auth"),
        *("returnFullResponse", "ignoreHttpStatusErrors", "timeout", "disableFollowRedirect"),
        "skipSslCertificateValidation",
    }
)
#: Scheme, host, port and the rest, as strictly as can be: no user info, no escapes, ASCII hosts only. What
#: another parser would read differently (backslashes, control characters, a percent sign in the host) isn't
#: matched. Without re.ASCII, IGNORECASE would let U+212A pass for a k.
_ADDRESS = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?([/?#][^\x00-\x20\x7f\\]*)?",
    re.IGNORECASE | re.ASCII,
)
_raw_options = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def restrict_http(name: str, params: bytes | memoryview, patterns: Collection[str]) -> bytes:
    """The parameters of an HTTP call, rewritten so that it reaches a host of ``patterns`` and no other.

    Redirects are turned off: n8n would follow them to anywhere. Raises :class:`Refused`.
    """
    if name != "helpers.httpRequest":
        raise Refused(f"{name} is not available while REPTARIUM_HTTP_ALLOW restricts hosts; use http_request")
    try:
        (options,) = _raw_options.decode(params)
    except UNREADABLE:
        raise Refused("helpers.httpRequest takes one object of options") from None
    odd = options.keys() - HTTP_OPTIONS
    if odd:
        raise Refused(f"the option '{min(odd)[:50]}' is not available while REPTARIUM_HTTP_ALLOW restricts hosts")
    url = _text(options, "url") or ""
    base = _text(options, "baseURL")
    if base is not None and not re.match(r"[a-z][a-z0-9+.-]*:|//", url, re.IGNORECASE | re.ASCII):
        url = f"{base.rstrip('/')}/{url.lstrip('/')}" if url else base
    host = http_host(url)
    if host is None:
        raise Refused(f"HTTP requests to '{url[:200]}' are not allowed: an http or https address is needed")
    if not any(fnmatchcase(host, pattern.lower()) for pattern in patterns):
        raise Refused(f"HTTP requests to '{host[:200]}' are not allowed; see REPTARIUM_HTTP_ALLOW")
    if "headers" in options:
        try:
            headers = msgspec.json.decode(options["headers"], type=dict[str, msgspec.Raw] | None)
        except UNREADABLE:
            raise Refused("the headers of an HTTP request must be an object") from None
        if any(key.strip().lower() == "host" for key in headers or ()):
            raise Refused("the header 'Host' is not available while REPTARIUM_HTTP_ALLOW restricts hosts")
        options["headers"] = msgspec.Raw(msgspec.json.encode(headers or {}))
    options.pop("baseURL", None)
    options["url"] = msgspec.Raw(msgspec.json.encode(url))
    options["disableFollowRedirect"] = msgspec.Raw(b"true")
    return msgspec.json.encode([options])


def restricting_http(name: str, params: memoryview, patterns: Collection[str]) -> Steps[bytes]:
    """:func:`restrict_http`, in steps: a request may carry hundreds of megabytes, and a hostile one any options."""
    if len(params) <= MOST_READ:
        return restrict_http(name, params, patterns)
    if (bytes(params[:1]), bytes(params[-1:])) != (b"[", b"]"):
        raise Refused("helpers.httpRequest takes one object of options")
    parted = yield from parting(params[1:-1], ("url", "baseURL", "headers"), _CARRIED)
    if isinstance(parted, str):
        raise Refused(f"the options of an HTTP request cannot be read: {parted}")
    rest, values = parted
    _check_length("an HTTP request, beside what it carries,", rest)
    yield
    return b"".join(joined(restrict_http(name, b"[%s]" % rest, patterns), values))


def _text(options: dict[str, msgspec.Raw], key: str) -> str | None:
    if key not in options:
        return None
    try:
        return msgspec.json.decode(options[key], type=str | None)
    except UNREADABLE:
        raise Refused(f"the option '{key}' of an HTTP request must be a string") from None


def http_host(url: str) -> str | None:
    """The host of an address in lower case, without brackets; None for what isn't plainly http(s)."""
    match = _ADDRESS.fullmatch(url)
    return match[2].lower().strip("[]") if match else None


# ---- binary data -----------------------------------------------------------------------

_place = msgspec.json.Decoder(tuple[int, str])


def check_place(name: str, params: bytes | memoryview) -> None:
    """The parameters of a read: an item's number and a property's name. Raises :class:`Refused`.

    n8n takes an object with a file's id in place of the name, and with it the files of other
    workflows: a task names its own items' properties only.
    """
    _check_length(name, params)
    try:
        index, _ = _place.decode(params)
    except UNREADABLE:
        raise Refused(f"{name} takes the number of an item and the name of a binary property") from None
    if index < 0:
        raise Refused(f"{name}: there is no item {index}")


# ---- task data -------------------------------------------------------------------------


class _Chunk(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    start_index: int
    count: int


class _Input(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    include: bool
    chunk: _Chunk | msgspec.UnsetType = msgspec.UNSET


class _DataRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    data_of_nodes: msgspec.Raw
    prev_node: bool
    input: _Input
    env: bool


_data_request = msgspec.json.Decoder(_DataRequest)
_nodes = msgspec.json.Decoder(list[str] | Literal["all"])


def check_data_request(params: bytes | memoryview, *, env: bool) -> bytes:
    """The parameters of a task data request, written anew. Without ``env`` the environment isn't asked for.

    Raises :class:`Refused`.
    """
    _check_length("a request for task data", params)
    try:
        request = _data_request.decode(params)
    except UNREADABLE as error:
        raise Refused(f"a request for task data that n8n wouldn't understand: {error}") from None
    try:
        _nodes.decode(request.data_of_nodes)
    except UNREADABLE:
        raise Refused("a request for task data names its nodes in a list, or says 'all'") from None
    request.env = request.env and env
    return msgspec.json.encode(request)


_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def release_task_data(data: bytes) -> bytes:
    """n8n's answer without what no task may see. Raises :class:`Refused` when it cannot be read.

    With ``N8N_BLOCK_ENV_ACCESS_IN_NODE=false`` n8n sends its whole environment, tokens included.
    The execution's ``resumeToken``, with which anybody could resume it from outside, goes too.
    """
    answer: Any
    try:
        answer = _raw_object.decode(data)
        if "envProviderState" in answer:
            answer["envProviderState"] = _release_state(msgspec.json.decode(answer["envProviderState"]))
        if "runExecutionData" in answer:
            answer["runExecutionData"] = _without_token(answer["runExecutionData"])
        return msgspec.json.encode(answer)
    except UNREADABLE:
        pass  # lone surrogates are JSON for JavaScript, but not for msgspec
    try:
        answer = json.loads(data)
    except UNREADABLE:
        answer = {}
    if not isinstance(answer, dict) or not answer:
        raise Refused("n8n's answer to a request for task data cannot be read")
    if "envProviderState" in answer:
        answer["envProviderState"] = _release_state(answer["envProviderState"])
    if isinstance(answer.get("runExecutionData"), dict):
        answer["runExecutionData"].pop("resumeToken", None)
    return json.dumps(answer, separators=(",", ":")).encode()


#: What is looked at, or changed, of an answer and of the objects in it.
_LOOKED_AT = (
    "envProviderState",
    "env",
    "runExecutionData",
    "resumeToken",
    "additionalData",
    "executionTimeoutTimestamp",
)


def releasing_task_data(
    data: memoryview, *, large: int = PIECE, piece: int = PIECE
) -> Steps[tuple[list[bytes | memoryview], float | None]]:
    """:func:`release_task_data` and :func:`execution_deadline`, in steps: an answer may have hundreds of megabytes."""
    if len(data) <= large:
        return [release_task_data(bytes(data))], execution_deadline(bytes(data))
    parted = yield from parting(data, _LOOKED_AT, piece)
    if isinstance(parted, str):
        raise Refused(f"n8n's answer to a request for task data cannot be read: {parted}")
    rest, values = parted
    yield
    if sum(map(rest.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise Refused("n8n's answer to a request for task data has too many parts")
    yield
    return joined(release_task_data(rest), values), execution_deadline(rest)


#: The end of the year 9999, in milliseconds since 1970: no date is later.
_LAST_DATE = 253_402_300_800_000


class _Additional(msgspec.Struct, rename="camel"):
    execution_timeout_timestamp: Any = None


class _Timed(msgspec.Struct, rename="camel"):
    additional_data: _Additional | None = None


def execution_deadline(data: bytes) -> float | None:
    """When n8n ends the execution, by its answer to a request for task data: seconds since 1970.

    None where the execution has no time limit, or the answer tells it in another way than n8n 2.41 does
    (``additionalData.executionTimeoutTimestamp``, in milliseconds).
    """
    try:
        answer = msgspec.json.decode(data, type=_Timed)
    except UNREADABLE:
        try:
            answer = msgspec.convert(json.loads(data), _Timed)
        except UNREADABLE:
            return None
    stamp = answer.additional_data.execution_timeout_timestamp if answer.additional_data else None
    if isinstance(stamp, bool) or not isinstance(stamp, int | float) or not 0 < stamp < _LAST_DATE:
        return None
    return stamp / 1000


def _without_token(raw: msgspec.Raw) -> Any:
    try:
        execution = _raw_object.decode(raw)
    except UNREADABLE:  # not an object: nothing to take out
        return raw
    execution.pop("resumeToken", None)
    return execution


def _release_state(state: Any) -> dict[str, Any]:
    """The environment's part of an answer, in the one shape that is known; anything else is dropped."""
    if not isinstance(state, dict):
        return {"env": {}}
    env = state.get("env")
    return {
        "env": release_environment(env) if isinstance(env, dict) else {},
        "isEnvAccessBlocked": state.get("isEnvAccessBlocked") is True,
        "isProcessAvailable": state.get("isProcessAvailable") is True,
    }


#: Families of variables that configure n8n, its database, its queue, and us.
_PREFIXES = ("N8N_", "DB_", "QUEUE_", "REPTARIUM_")


def release_environment(env: dict[str, Any]) -> dict[str, str]:
    """n8n's environment without its own settings and without what is a secret by its name or its value."""
    return {
        name: value
        for name, value in env.items()
        if isinstance(value, str)
        and not name.upper().startswith(_PREFIXES)
        and not names_secret(name)
        and not shows_secret(value)
    }
