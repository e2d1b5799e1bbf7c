"""Cases of callbacks.py: user code's calls into n8n, each with its own check of what n8n saved."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

from n8nctl import HOST

Check = Callable[[dict[str, Any], list[dict[str, Any]]], None]


class Case(NamedTuple):
    """A workflow and what must come of it. ``runs`` executions; the last one is checked.

    ``time_limit``: the workflow's own, in seconds; 0 is none.
    """

    name: str
    code: str
    check: Check
    runs: int
    each: bool
    runner: str
    time_limit: int


CASES: list[Case] = []


def case(
    name: str, code: str, *, runs: int = 1, each: bool = False, runner: str = "open", time_limit: int = 0
) -> Callable[[Check], Check]:
    """Register ``check`` for a case; ``runner`` names its runner's settings (RUNNERS)."""

    def register(check: Check) -> Check:
        CASES.append(Case(name, textwrap.dedent(code).strip("\n"), check, runs, each, runner, time_limit))
        return check

    return register


#: Settings of the runners that cases run on.
RUNNERS: dict[str, dict[str, str]] = {
    "open": {},
    "loopback": {"REPTARIUM_HTTP_ALLOW": HOST},
    "closed": {"REPTARIUM_RPC_ALLOW": "none"},
}


def values(items: list[dict[str, Any]]) -> list[Any]:
    """The items' JSON."""
    return [item["json"] for item in items]


@case(
    "http_requests_like",
    """
    web = "@WEB@"
    r = _helpers.http_request
    echo = r(web + "/echo?q=1", params={"a": [1, 2], "b": "x y"}, headers={"X-A": "1"}, timeout=20)
    posted = r(web + "/echo", "POST", json={"n": [1, None, "u"]})
    form = r(web + "/echo", "PUT", data={"a": "1 2", "b": "c"})
    text = r(web + "/echo", "POST", data="grüß")
    full = r(web + "/bytes", full_response=True)
    out = {
        "path": echo["path"], "header": echo["headers"]["x-a"],
        "posted": [posted["method"], posted["headers"]["content-type"], posted["body"]],
        "form": [form["method"], form["headers"]["content-type"], form["body"]],
        "text": text["body"].encode("latin-1").decode(),
        "bytes": r(web + "/bytes") == bytes(range(256)) == full.body,
        "full": [full.status_code, full.headers["content-type"]],
        "latin": r(web + "/latin"),
        "hop": r(web + "/hop")["path"],
        "stay": r(web + "/hop", allow_redirects=False, full_response=True).status_code,
        "auth": r(web + "/echo", auth=("u", "p"))["headers"]["authorization"],
    }
    for name, url in (("fail", web + "/fail"), ("refused", "http://127.0.0.1:1/")):
        try:
            r(url)
        except HttpRequestError as error:
            out[name] = [error.status_code, error.body, str(error).replace(web, "WEB")]
    return [{"json": out}]
    """,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    (out,) = values(items)
    assert out["path"] == "/echo?q=1&a=1&a=2&b=x+y", out
    assert out["header"] == "1", out
    assert out["posted"] == ["POST", "application/json", '{"n":[1,null,"u"]}'], out["posted"]
    assert out["form"] == ["PUT", "application/x-www-form-urlencoded", "a=1+2&b=c"], out["form"]
    assert out["text"] == "grüß"
    assert out["bytes"] is True
    assert out["full"] == [200, "application/octet-stream"]
    assert out["latin"] == "grüß"
    assert (out["hop"], out["stay"]) == ("/echo", 302)
    assert out["auth"] == "Basic dTpw"
    assert out["fail"][:2] == [418, {"why": "no"}]
    assert "GET WEB/fail: 418" in out["fail"][2]
    assert out["refused"][:2] == [None, None]
    assert "ECONNREFUSED" in out["refused"][2], out["refused"]


@case(
    "http_own_options",
    """
    web = "@WEB@"
    h = _helpers.httpRequest
    echo = h({"url": web + "/echo", "method": "POST", "body": {"x": 1}, "json": True, "qs": {"a": 1}})
    out = {
        "echo": [echo["path"], echo["method"], echo["body"]],
        "bytes": h({"url": web + "/bytes", "encoding": "arraybuffer"}) == bytes(range(256)),
        "full": h({"url": web + "/echo", "returnFullResponse": True}).statusCode,
        "ignored": h({"url": web + "/fail", "ignoreHttpStatusErrors": True}),
        "base": h({"url": "/echo", "baseURL": web})["path"],
        "old": _helpers.request({"uri": web + "/echo", "json": True})["path"],
    }
    try:
        h({"url": web + "/fail"})
    except HttpRequestError as error:
        out["fail"] = [error.status_code, error.body]
    return [{"json": out}]
    """,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    assert values(items) == [
        {
            "echo": ["/echo?a=1", "POST", '{"x":1}'],
            "bytes": True,
            "full": 200,
            "ignored": {"why": "no"},
            "base": "/echo",
            "old": "/echo",
            "fail": [418, {"why": "no"}],
        }
    ]


@case(
    "http_restricted",
    """
    web = "@WEB@"
    out = []
    named = web.replace("127.0.0.1", "localhost")
    for url in (web + "/echo", web + "/hop", web + "/hop-out", named + "/echo"):
        try:
            out.append(_helpers.http_request(url)["path"])
        except HttpRequestError as error:
            out.append("REPTARIUM_HTTP_ALLOW" in str(error))
    return [{"json": {"out": out}}]
    """,
    runner="loopback",
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    assert values(items) == [{"out": ["/echo", "/echo", True, True]}], items


@case(
    "file_in_and_out",
    """
    out = []
    for n, item in enumerate(_items):
        data = _helpers.get_binary(n)
        info = _helpers.binary_info(n)
        new = _helpers.prepare_binary(data[::-1] + bytes([0, 255]), f"back{n}.bin", "application/x-test")
        again = _helpers.setBinaryDataBuffer({"mimeType": "text/plain", "fileName": "s.txt"}, b"set")
        out.append({"json": {"text": _helpers.binaryToString(data, "utf8"), "name": info["fileName"],
                             "hex": _helpers.binaryToString(data, "hex")},
                    "binary": {"back": new, "again": again}})
    try:
        _helpers.get_binary(0, "nope")
    except HelperError as error:
        out[0]["json"]["error"] = str(error)
    return out
    """,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    first, second = items
    assert first["json"]["text"] == "one!", first
    assert second["json"]["text"] == "two!", second
    assert first["json"]["name"] == "a.txt", first
    assert first["json"]["hex"] == b"one!".hex(), first
    assert "no binary field 'nope'" in first["json"]["error"], first
    back = second["binary"]["back"]
    assert (back["fileName"], back["mimeType"], back["bytes"]) == ("back1.bin", "application/x-test", 6), back
    assert first["binary"]["again"]["bytes"] == 3, first


@case(
    "large_file",
    """
    data = bytes(range(256)) * 8192
    stored = _helpers.prepare_binary(data, "large.bin")
    return [{"json": {"bytes": stored["bytes"]}, "binary": {"data": stored}}]
    """,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    assert values(items) == [{"bytes": 2 << 20}]


@case(
    "other_nodes",
    """
    split = _node("Split")
    out = {
        "all": [i.json.text for i in split.all()],
        "first": split.first()["json"]["text"],
        "last": _("Split").last().json.text,
        "old": _node["Fields"].json["text"],
        "params": split.params["fieldToSplitOut"],
        "ran": [_node(n).is_executed for n in ("Split", "Unrun")],
        "webhook": len(_node("Webhook").first().json.body["items"]),
        "prev": _prev_node.name,
        "input": _input.params["operation"],
        "binary": _input.first().binary.data.fileName,
    }
    for name in ("Nope", "Unrun"):
        try:
            _node(name).all()
        except HelperError as error:
            out[name] = str(error)
    return [{"json": out}]
    """,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    (out,) = values(items)
    assert (out["all"], out["first"], out["last"], out["old"]) == (["one", "two"], "one", "two", "one!")
    assert (out["params"], out["ran"], out["webhook"]) == ("body.items", [True, False], 2)
    assert (out["prev"], out["input"], out["binary"]) == ("File", "toText", "a.txt")
    assert "no node 'Nope'" in out["Nope"]
    assert "has not run" in out["Unrun"]


@case(
    "paired_items",
    """
    split = _node("Split")
    return {"here": _item_index, "fields": _node("Fields").item.json.text, "split": split.item.json.text,
            "webhook": len(_node("Webhook").item.json.body["items"]), "other": split.item(0).json.text}
    """,
    each=True,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    assert values(items) == [
        {"here": 0, "fields": "one!", "split": "one", "webhook": 2, "other": "one"},
        {"here": 1, "fields": "two!", "split": "two", "webhook": 2, "other": "one"},
    ], values(items)


@case(
    "static_data",
    """
    data = _workflow.static_data
    data["runs"] = data.get("runs", 0) + 1
    mine = _workflow.node_static_data
    mine["seen"] = mine.get("seen", []) + [data.runs]
    return [{"json": {"runs": data.runs, "seen": list(mine.seen)}}]
    """,
    runs=3,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    assert values(items) == [{"runs": 3, "seen": [1, 2, 3]}], values(items)


@case(
    "custom_data",
    """
    _execution.custom_data.set("order", 4711)
    _execution.customData.setAll({"ok": True, "who": "Ada"})
    return [{"json": _execution.custom_data.get_all()}]
    """,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    assert values(items) == [{"order": "4711", "ok": "true", "who": "Ada"}], values(items)
    assert execution["customData"] == {"order": "4711", "ok": "true", "who": "Ada"}, execution["customData"]


@case(
    "where_we_are",
    """
    return [{"json": {"workflow": [_workflow.name, _workflow.active, isinstance(_workflow.id, str)],
                      "execution": [_execution.id, _execution.mode], "run": _run_index,
                      "zone": str(_now.tzinfo), "today": _today.isoformat()[10:], "vars": dict(_vars),
                      "env": [_env.get("COLOUR"), [n for n in _env if "N8N_" in n], "MY_SECRET" in _env]}}]
    """,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    (out,) = values(items)
    assert out["workflow"] == ["where_we_are", True, True], out
    assert out["execution"] == [str(execution["id"]), "production"]
    assert (out["run"], out["zone"], out["vars"]) == (0, "Europe/Berlin", {})
    assert out["today"] in ("T00:00:00+01:00", "T00:00:00+02:00")
    assert out["env"] == ["blue", [], False], out["env"]


@case(
    "deadline",
    """
    end = _execution.deadline
    return [{"json": {"end": end.timestamp(), "zone": str(end.tzinfo), "left": (end - _now).total_seconds()}}]
    """,
    time_limit=600,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    (out,) = values(items)
    started = datetime.datetime.fromisoformat(execution["startedAt"]).timestamp()
    assert abs(out["end"] - started - 600) < 60, (out, started)  # n8n counts from when it prepares the execution
    assert 0 < out["left"] <= 600, out
    assert out["zone"] == "Europe/Berlin", out


@case("no_deadline", """return [{"json": {"end": _execution.deadline}}]""")
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    assert values(items) == [{"end": None}], values(items)


@case(
    "old_pyodide_code",
    """
    results = []
    for item in _input.all():
        results.append({"json": {"has": item.binary.data.mimeType, "from": _node["Split"].first().json.text,
                                 "prev": _prevNode.name, "run": _runIndex}})
    _getWorkflowStaticData("global")["seen"] = len(results)
    return results
    """,
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    assert values(items) == [{"has": "text/plain", "from": "one", "prev": "File", "run": 0}] * 2, values(items)


@case(
    "turned_off",
    """
    out = []
    for call in (lambda: _helpers.get_binary(0), lambda: _node("Split").all(), lambda: _workflow.id):
        try:
            out.append(call())
        except HelperError as error:
            out.append("REPTARIUM_RPC_ALLOW" in str(error))
    return [{"json": {"out": out, "input": _input.first().binary.data.fileName}}]
    """,
    runner="closed",
)
def _(execution: dict[str, Any], items: list[dict[str, Any]]) -> None:
    assert values(items) == [{"out": [True, True, True], "input": "a.txt"}], values(items)
