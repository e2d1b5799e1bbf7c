"""User code calls back: real sandboxed workers, supervisor and embedded broker, over a scripted n8n."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from reptarium.pool.embedded import embedded_runner
from reptarium.pool.embedded_broker import Broker, BrokerConfig, Outcome, RpcError, TaskHandle
from reptarium.pool.workers.configuration import zygote_config
from tests.conftest import make_settings
from tests.limits import fail_after
from tests.unit.userspace.scripted import CallError, ScriptedN8n, buffer

pytestmark = pytest.mark.usefixtures("nothing_left")

EACH = {"nodeMode": "runOnceForEachItem"}
PIC = bytes(range(256))


@asynccontextmanager
async def scripted(
    environ: dict[str, str] | None = None, *, probe: bool = False, **changes: Any
) -> AsyncIterator[tuple[Broker, ScriptedN8n]]:
    """A warm runner whose broker answers from a scripted n8n."""
    n8n = ScriptedN8n()
    config = BrokerConfig(accept_timeout=60)  # broker, runner and 200 workers share what cores there are

    async def rpc(task: TaskHandle, name: str, params: list[Any]) -> Any:
        try:
            return n8n.rpc(name, params)
        except CallError as error:
            raise RpcError(error.data) from None

    async def task_data(task: TaskHandle, request: dict[str, Any]) -> Any:
        return n8n.task_data(request)

    with fail_after(60):
        settings = make_settings(environ, **changes)
        zygote = msgspec.structs.replace(zygote_config(settings), probe=probe)
        async with embedded_runner(settings, config=config, zygote=zygote) as broker:
            broker.rpc_handler, broker.task_data_handler = rpc, task_data
            yield broker, n8n


async def run(broker: Broker, n8n: ScriptedN8n, code: str, **settings: Any) -> Outcome:
    """Run one task on the scripted n8n's input items."""
    with fail_after(30):
        return await broker.submit({"code": code, "items": n8n.inputs, **settings}).outcome()


def result(outcome: Outcome) -> Any:
    """The result of a task that must have ended well."""
    assert outcome.status == "done", (outcome.error, outcome)
    return outcome.result()


def message(outcome: Outcome) -> str:
    """The error message of a task that must have failed."""
    assert outcome.status == "error", outcome
    assert outcome.error is not None
    return outcome.error.message


async def test_calls_need_no_builtin_of_the_users() -> None:
    """Names that `N8N_RUNNERS_BUILTINS_DENY` takes from user code are missed by none of its calls."""
    denied = "bool,bytes,dict,enumerate,float,getattr,int,isinstance,len,list,map,object,set,str,tuple,type,zip"
    code = """
saw = [_node("Split").first().json.n, _node("Lookup").all(1)[0].json.other, _execution.id]
_execution.custom_data.set("a", 1)
_workflow.static_data["b"] = 2
return [{"json": {"saw": [*saw, _helpers.get_binary(0, "data").decode()]}}]
"""
    async with scripted({"N8N_RUNNERS_BUILTINS_DENY": denied}) as (broker, n8n):
        assert result(await run(broker, n8n, code)) == [{"json": {"saw": [1, 1, "77", "one!"]}}]


async def test_every_name() -> None:
    """Each name that user code has works from inside the sandbox, through the language layer."""
    code = """
checks = {}
checks["file"] = list(_helpers.get_binary(1, "pic")) == list(range(256))
checks["info"] = _helpers.binary_info(0)["bytes"] == 4
checks["stored"] = _helpers.prepare_binary(b"\\x00\\xff", "a.bin", "application/x").fileName == "a.bin"
checks["set"] = _helpers.setBinaryDataBuffer({"fileName": "f"}, b"xy")["id"] == "set"
checks["text"] = _helpers.binaryToString("grüß".encode(), "utf8") == "grüß"
checks["rare text"] = _helpers.binaryToString(b"abc", "hex") == "hex:3"
checks["http"] = _helpers.http_request("http://x/json", params={"a": 1})["ok"]
checks["own http"] = _helpers.httpRequest({"url": "http://x/own"}) == "own"
checks["old http"] = _helpers.request("http://x/old") == "old"
try:
    _helpers.http_request("http://x/fail")
except HttpRequestError as error:
    checks["http error"] = error.status_code == 404 and error.body["why"] == "gone" and "404" in str(error)
try:
    _helpers.get_binary(5)
except HelperError as error:
    checks["error"] = "no binary field 'data'" in str(error)
checks["node"] = [i.json.n for i in _node("Split").all()] == [1, 2]
checks["nodes"] = (_("Split").first().json.n, _node["Split"].last().json.n) == (1, 2)
checks["paired"] = _node("Split").item.json.n == 1 and _node("Split").item(1)["json"]["n"] == 2
checks["params"] = _node("Unrun").params["of"] == "Unrun" and not _node("Unrun").is_executed
checks["input"] = _input.first().json.id == 20 and len(_input.all()) == 2
checks["deep"] = _input.item.json.tag.deep[0].x == 1
checks["json"] = _json.id == _json["id"] == _items[0]["json"]["id"] == 20
checks["current"] = _binary is None and _item_index == 0
checks["where"] = (_prev_node.name, _prevNode.outputIndex, _run_index) == ("Merge", 0, 3)
checks["workflow"] = (_workflow.id, _workflow.name, _workflow.active) == ("w1", "Orders", True)
checks["execution"] = (_execution.id, _execution.mode) == ("77", "production")
checks["vars"] = _vars.region == "eu" and _vars["limits"]["max"] == 5
checks["env"] = dict(_env) == {"COLOUR": "blue"}
checks["now"] = _now.utcoffset().total_seconds() == 9 * 3600 and _today.hour == 0
_workflow.static_data.count += 1
_execution.custom_data.set("order", 17)
return [{"json": checks}]
"""
    async with scripted() as (broker, n8n):
        n8n.http = {
            "http://x/json": {
                "statusCode": 200,
                "headers": {"content-type": "application/json"},
                "body": buffer(b'{"ok": true}'),
            },
            "http://x/own": {"statusCode": 200, "body": "own"},
            "http://x/old": "old",
            "http://x/fail": {"statusCode": 404, "headers": {}, "body": {"why": "gone"}},
        }  # fmt: skip
        outcome = await run(broker, n8n, code)
        (item,) = result(outcome)
        assert len(item["json"]) == 25
        assert [name for name, fine in item["json"].items() if fine is not True] == []
        assert outcome.data is not None
        assert msgspec.json.decode(outcome.data.static_data) == {"global": {"count": 2}}
        assert msgspec.json.decode(outcome.data.custom_data) == {"earlier": "yes", "order": "17"}


async def test_each_item() -> None:
    """In per-item mode the names follow the current item, and what was fetched is kept for the task."""
    code = """
seen = _execution.custom_data
seen.set(f"item{_item_index}", _json.id)
same = _item["json"] is _input.item["json"]
return {"n": _node("Split").item.json.n, "same": same, "at": _item_index, "id": _json.id}
"""
    async with scripted() as (broker, n8n):
        outcome = await run(broker, n8n, code, **EACH)
        assert [item["json"] for item in result(outcome)] == [
            {"n": 1, "same": True, "at": 0, "id": 20},
            {"n": 2, "same": True, "at": 1, "id": 10},
        ]
        assert len(n8n.asked) == 5  # the general part, and the four nodes on the ways back
        assert outcome.data is not None
        assert msgspec.json.decode(outcome.data.custom_data) == {
            "earlier": "yes",
            "item0": "20",
            "item1": "10",
        }


async def test_views_are_results() -> None:
    """What the names give can be changed and returned like any item."""
    code = """
for item in _input.all():
    item.json.id += 1
_node_item = _node("Split").item
return _input.all() + [_node_item, {"json": _vars}]
"""
    async with scripted() as (broker, n8n):
        values = [item["json"] for item in result(await run(broker, n8n, code))]
        assert values == [
            {"id": 21, "tag": {"deep": [{"x": 1}]}},
            {"id": 11},
            {"n": 1},
            {"region": "eu", "limits": {"max": 5}},
        ]


async def test_old_pyodide_code() -> None:
    """A workflow written for n8n's old Python node runs as it was."""
    code = """
results = []
for item in _input.all():
    name = item.json.tag.deep[0].x if "tag" in item.json else None
    origin = _node["Split"].json["n"]
    results.append({"json": {"id": item.json["id"], "x": name, "from": origin, "prev": _prevNode.name}})
if _input.first().json.id and _execution.mode != "test" and _vars["region"]:
    _getWorkflowStaticData("node")["runs"] = _runIndex
return results
"""
    async with scripted() as (broker, n8n):
        outcome = await run(broker, n8n, code)
        assert [item["json"] for item in result(outcome)] == [
            {"id": 20, "x": 1, "from": 1, "prev": "Merge"},
            {"id": 10, "x": None, "from": 1, "prev": "Merge"},
        ]
        assert outcome.data is not None
        assert msgspec.json.decode(outcome.data.static_data) == {
            "global": {"count": 1},
            "node:Python": {"runs": 3},
        }


async def test_nothing_is_asked_for_nothing() -> None:
    """A task that uses no name of ours sends nothing but its result, and saves nothing."""
    async with scripted() as (broker, n8n):
        outcome = await run(broker, n8n, "for _ in range(3):\n    pass\nreturn [i for i in _items]  # _now, _node")
        result(outcome)
        assert n8n.asked == []
        assert outcome.data is not None
        assert outcome.data.static_data is msgspec.UNSET
        assert outcome.data.custom_data is msgspec.UNSET


async def test_a_failed_task_saves_nothing() -> None:
    """What a failing task changed is not saved; static data without a JSON form fails the task."""
    async with scripted() as (broker, n8n):
        outcome = await run(broker, n8n, "_workflow.static_data.count = 5\nraise ValueError('x')")
        assert message(outcome) == "x"
        assert outcome.data is None
        code = "d = _workflow.static_data\nd['self'] = d\nreturn []"
        assert "static data cannot be saved" in message(await run(broker, n8n, code))


async def test_errors_point_at_the_persons_line() -> None:
    """An uncaught failure of a call is the task's error, with the person's own line."""
    async with scripted() as (broker, n8n):
        outcome = await run(broker, n8n, "x = 1\n_helpers.http_request('http://nowhere/')\n")
        assert "getaddrinfo ENOTFOUND" in message(outcome)
        assert outcome.error is not None
        assert outcome.error.line_number == 2
        outcome = await run(broker, n8n, "\n\nreturn _node('Nope').all()", **EACH)
        assert "there is no node 'Nope'" in message(outcome)
        assert outcome.error is not None
        assert (outcome.error.line_number, outcome.error.item_index) == (3, 0)


async def test_names_can_be_rebound() -> None:
    """Our names are ordinary names: a task may use them for its own ends."""
    code = """
_node = {"a": 1}
_helpers = [x for _, x in enumerate("ab")]
return [{"json": {"n": _node["a"], "h": _helpers}}]
"""
    async with scripted() as (broker, n8n):
        assert result(await run(broker, n8n, code)) == [{"json": {"n": 1, "h": ["a", "b"]}}]
        assert n8n.asked == []


@pytest.mark.slow
async def test_a_large_file() -> None:
    """5 MB go in and out unharmed."""
    data = random.Random(6).randbytes(5_000_000)
    code = """
stored = _helpers.prepare_binary(_helpers.get_binary(0)[::-1])
return [{"json": {}, "binary": {"data": stored}}]
"""
    async with scripted() as (broker, n8n):
        n8n.files[0, "data"] = data
        (item,) = result(await run(broker, n8n, code))
        assert item["binary"]["data"]["bytes"] == 5_000_000
        name, (sent,) = n8n.asked[-1]
        assert name == "helpers.prepareBinaryData"
        assert bytes(sent["data"]) == data[::-1]


async def test_our_objects_lead_nowhere() -> None:
    """Through the objects that a task is given nobody reaches the channel, a module or the interpreter."""
    attempts = [
        "_helpers.http_request.__globals__",
        "_helpers.http_request.__closure__[0].cell_contents",
        "getattr(_helpers.get_binary, '__glo' + 'bals__')",
        "'{0.__globals__}'.format(_helpers.http_request)",
        "_input._all.__self__",
        "_node._open.__closure__",
        "_workflow._replace.__self__",
        "_input.first().__class__.__init__.__globals__",
        "_execution.custom_data._set.__self__",
        "_helpers.channel",
        "_helpers.http_request.__code__",
        "type(_node).__call__.__globals__",
        "HttpRequestError.__init__.__globals__",
        "_vars._fetch.__func__",
    ]
    async with scripted() as (broker, n8n):
        for attempt in attempts:
            outcome = await run(broker, n8n, f"return str({attempt})")
            assert outcome.status == "error", (attempt, outcome)
        assert "cannot be changed" in message(await run(broker, n8n, "_helpers.http_request = 5"))


# ---- limits --------------------------------------------------------------------------


async def test_calls_turned_off() -> None:
    """`none` turns all calls off; what needs no call still works."""
    async with scripted({"REPTARIUM_RPC_ALLOW": "none"}) as (broker, n8n):
        assert "REPTARIUM_RPC_ALLOW" in message(await run(broker, n8n, "return _workflow.id"))
        assert "REPTARIUM_RPC_ALLOW" in message(await run(broker, n8n, "return _helpers.get_binary(0)"))
        assert "REPTARIUM_RPC_ALLOW" in message(await run(broker, n8n, "return _now"))
        assert result(await run(broker, n8n, "return _input.first().json.id")) == 20
        assert n8n.asked == []


async def test_http_to_listed_hosts() -> None:
    """HTTP goes to listed hosts only, also when a listed host redirects elsewhere."""
    code = """
out = []
for url in ("http://good.example/ok", "http://good.example/hop", "http://good.example/out", "http://evil.example/"):
    try:
        out.append(_helpers.http_request(url))
    except HttpRequestError as error:
        out.append(str(error))
return out
"""
    async with scripted({"REPTARIUM_HTTP_ALLOW": "good.example, *.fine.example"}) as (broker, n8n):
        n8n.http = {
            "http://good.example/ok": {"statusCode": 200, "body": "ok"},
            "http://good.example/hop": {"statusCode": 302, "headers": {"location": "http://a.fine.example/"}},
            "http://a.fine.example/": {"statusCode": 200, "body": "hopped"},
            "http://good.example/out": {"statusCode": 302, "headers": {"location": "http://evil.example/"}},
        }
        first, second, third, fourth = result(await run(broker, n8n, code))
        assert (first, second) == ("ok", "hopped")
        assert "'evil.example' are not allowed; see REPTARIUM_HTTP_ALLOW" in third
        assert "'evil.example' are not allowed; see REPTARIUM_HTTP_ALLOW" in fourth
        assert all(params[0]["disableFollowRedirect"] is True for _, params in n8n.asked)
        assert not any("evil" in params[0]["url"] for _, params in n8n.asked)


async def test_number_and_size_of_calls() -> None:
    """More calls or bytes than allowed are errors that user code can catch, and the task goes on."""
    code = """
out = []
for n in range(4):
    try:
        out.append(_helpers.prepare_binary(bytes(10 ** n)).bytes)
    except HelperError as error:
        out.append(str(error))
return out
"""
    environ = {"REPTARIUM_RPC_MAX_CALLS": "2", "REPTARIUM_RPC_MAX_BYTES": "1024"}
    async with scripted(environ) as (broker, n8n):
        first, second, third, fourth = result(await run(broker, n8n, code))
        assert (first, second) == (1, 10)
        assert "REPTARIUM_RPC_MAX_CALLS" in third
        assert "over the limit of 1024 bytes for one call" in fourth
        n8n.files[0, "data"] = bytes(2000)
        assert "REPTARIUM_RPC_MAX_BYTES" in message(await run(broker, n8n, "return _helpers.get_binary(0)"))


# ---- time ------------------------------------------------------------------------------


async def test_a_call_without_an_answer() -> None:
    """A call ends at its time limit, and the task can go on."""
    async with scripted({"REPTARIUM_RPC_TIMEOUT": "0.2"}) as (broker, n8n):

        async def never(task: TaskHandle, name: str, params: list[Any]) -> Any:
            await trio.sleep_forever()

        broker.rpc_handler = never
        code = "try:\n    _helpers.get_binary(0)\nexcept HelperError as error:\n    return str(error)"
        assert "no answer within 0.2 s (REPTARIUM_RPC_TIMEOUT)" in result(await run(broker, n8n, code))


async def test_a_request_without_an_answer() -> None:
    """A broker that doesn't answer ends a task at the call's time limit, with the name that needed the answer."""
    async with scripted({"REPTARIUM_RPC_TIMEOUT": "0.2"}) as (broker, n8n):

        async def never(task: TaskHandle, request: dict[str, Any]) -> Any:
            await trio.sleep_forever()

        broker.task_data_handler = never
        no_answer = "no answer within 0.2 s (REPTARIUM_RPC_TIMEOUT)"
        assert message(await run(broker, n8n, "return _now")) == f"_now has no value: taskData: {no_answer}"
        outcome = await run(broker, n8n, "if not _items:\n    _run_index = 1\nreturn _run_index")
        assert message(outcome) == f"_run_index has no value: taskData: {no_answer}"
        assert outcome.error is not None
        assert outcome.error.line_number == 3
        code = (
            "for _now in _items: pass\n_json = _now['json']\nclass A: _env = 1\nreturn [{'json': {'id': _json['id']}}]"
        )
        assert result(await run(broker, n8n, code)) == [{"json": {"id": 10}}]


async def test_a_request_that_outlasts_the_task() -> None:
    """Where the task's time limit comes first, its error names what was waited for."""
    async with scripted({"N8N_RUNNERS_TASK_TIMEOUT": "1", "REPTARIUM_RPC_TIMEOUT": "60"}) as (broker, n8n):

        async def never(task: TaskHandle, request: dict[str, Any]) -> Any:
            await trio.sleep_forever()

        broker.task_data_handler = never
        outcome = await run(broker, n8n, "return _now")
        assert message(outcome) == "Task execution timed out after 1 seconds, waiting for n8n's answer to taskData"
        assert outcome.error is not None
        assert "REPTARIUM_RPC_TIMEOUT" in str(outcome.error.description)


async def test_the_executions_deadline() -> None:
    """A task knows when n8n ends the execution, and a call ends by then with an error that says so."""
    async with scripted({"REPTARIUM_RPC_TIMEOUT": "60"}) as (broker, n8n):

        async def never(task: TaskHandle, name: str, params: list[Any]) -> Any:
            await trio.sleep_forever()

        broker.rpc_handler = never

        async def in_three_seconds(task: TaskHandle, request: dict[str, Any]) -> Any:
            n8n.deadline = (time.time() + 3) * 1000
            return n8n.task_data(request)

        broker.task_data_handler = in_three_seconds
        code = """
import datetime

left = _execution.deadline - _now
try:
    _helpers.http_request("http://x")
except HttpRequestError as error:
    over = datetime.datetime.now(_now.tzinfo) >= _execution.deadline
    return [{"json": {"seconds": left.total_seconds(), "error": str(error), "over": over}}]
"""
        (item,) = result(await run(broker, n8n, code))
        assert item["json"]["seconds"] < 3
        assert "no answer before the execution's deadline" in item["json"]["error"]
        assert item["json"]["over"] is True

        async def without(task: TaskHandle, request: dict[str, Any]) -> Any:
            return n8n.task_data(request)

        broker.task_data_handler = without
        n8n.deadline = None
        assert result(await run(broker, n8n, "return [{'json': {'none': _execution.deadline is None}}]")) == [
            {"json": {"none": True}}
        ]


async def test_the_task_ends_during_a_call() -> None:
    """A task's time limit, and a cancel, end a call that waits."""
    async with scripted({"N8N_RUNNERS_TASK_TIMEOUT": "1"}) as (broker, n8n):
        waiting = trio.Event()

        async def never(task: TaskHandle, name: str, params: list[Any]) -> Any:
            waiting.set()
            await trio.sleep_forever()

        broker.rpc_handler = never
        assert "timed out after 1 second" in message(await run(broker, n8n, "_helpers.get_binary(0)"))
        waiting = trio.Event()
        handle = broker.submit({"code": "_helpers.get_binary(0)", "items": []})
        await waiting.wait()
        handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
        broker.rpc_handler = _echo
        assert result(await run(broker, n8n, "return _helpers.httpRequest({'url': 'a'})")) == "a"


async def _echo(task: TaskHandle, name: str, params: list[Any]) -> Any:
    return {"statusCode": 200, "body": params[0]["url"]}


# ---- hostile workers -------------------------------------------------------------------


async def test_a_hostile_worker() -> None:
    """A worker can neither speak for another task, nor see secrets, nor skip a check."""
    ask = """
import json
def ask(name, params, via="rpc"):
    ok, data = channel.call(name, json.dumps(params).encode(), via)
    return [ok, data.decode()]
request = {"dataOfNodes": [], "prevNode": False, "input": {"include": False}, "env": True}
"""
    async with scripted({"REPTARIUM_HTTP_ALLOW": "none"}, probe=True) as (broker, n8n):
        n8n.env = {"N8N_ENCRYPTION_KEY": "top-secret-value"}
        code = ask + "result = [ask(n, request, 'data') for n in ('env', 'workflow', 'x' * 5000)]"
        answers = result(await run(broker, n8n, code))
        assert [ok for ok, _ in answers] == [True] * 3
        assert not any("top-secret-value" in text or "sesame" in text for _, text in answers)
        n8n.asked.clear()
        code = (
            ask
            + """
result = [
    ask("helpers.httpRequest", [{"url": "http://x"}]),
    ask("logNodeOutput", ["x"]),
    ask("helpers.evil", []),
    ask("helpers.getBinaryDataBuffer", [0, {"id": "other"}]),
    ask("x", [], "nodes"),
    ask("x", {"env": True}, "data"),
]
"""
        )
        assert [ok for ok, _ in result(await run(broker, n8n, code))] == [False] * 6
        assert n8n.asked == []
        for attack in (
            'wire.with_head(wire.RpcHead(1, "helpers.binaryToString"), b"[1],\\"taskId\\":\\"other\\"")',
            'wire.with_head(wire.RpcHead(1, "helpers.binaryToString"), b"nonsense")',
            '[b"\\xff\\xff\\xff\\xff"]',
        ):
            code = f"channel.send(wire.Kind.RPC, *{attack})\nchannel.receive()"
            assert "broke its protocol" in message(await run(broker, n8n, code))
        assert n8n.asked == []


async def test_a_worker_that_dies_during_its_call() -> None:
    """A worker that is gone is noticed at once, however long its call would still wait."""
    async with scripted(probe=True) as (broker, n8n):

        async def never(task: TaskHandle, name: str, params: list[Any]) -> Any:
            await trio.sleep_forever()

        broker.rpc_handler = never
        code = """
import os
channel.send(wire.Kind.RPC, *wire.with_head(wire.RpcHead(1, "helpers.binaryToString"), b"[]"))
os._exit(3)
"""
        with fail_after(20):
            assert "ended without a result" in message(await run(broker, n8n, code))


async def test_a_worker_that_floods() -> None:
    """Calls sent without waiting for answers are answered in turn and counted; the limit holds."""
    code = """
for n in range(20):
    head = wire.RpcHead(n, "helpers.binaryToString")
    channel.send(wire.Kind.RPC, *wire.with_head(head, b'[{"data":[]},"x"]'))
result = []
for n in range(20):
    kind, payload = channel.receive()
    head, _ = wire.split_head(payload)
    result.append(bytes(head).decode())
"""
    async with scripted({"REPTARIUM_RPC_MAX_CALLS": "10"}, probe=True) as (broker, n8n):
        heads = [msgspec.json.decode(head) for head in result(await run(broker, n8n, code))]
        assert heads == [{"call": n, "ok": n < 10} for n in range(20)]
        assert len(n8n.asked) == 10


# ---- many at once ------------------------------------------------------------------------


@pytest.mark.parametrize(("tasks", "calls"), [(40, 25), pytest.param(200, 50, marks=pytest.mark.slow)])
async def test_calls_never_cross(tasks: int, calls: int) -> None:
    """Many tasks at once with many calls each, answered in random order: each gets its own answers."""
    rng = random.Random(200)
    waiting, many = 0, trio.Event()  # the first ones wait for one another, on whatever machine

    async def answer(task: TaskHandle, name: str, params: list[Any]) -> Any:
        nonlocal waiting
        waiting += 1
        if waiting > tasks // 2:
            many.set()
        await many.wait()
        await trio.sleep(rng.random() * 0.02)
        assert params[0]["url"].startswith(f"{task.settings.node_name}:")
        return {"statusCode": 200, "body": params[0]["url"]}

    code = f"""
who = _items[0]["json"]["who"]
return [_helpers.httpRequest({{"url": f"{{who}}:{{n}}"}}) == f"{{who}}:{{n}}" for n in range({calls})]
"""
    async with scripted({"N8N_RUNNERS_TASK_TIMEOUT": "60"}, max_concurrency=tasks, warm_workers=tasks) as (
        broker,
        _,
    ):
        broker.rpc_handler = answer
        with fail_after(50):
            handles = [
                broker.submit({"code": code, "items": [{"json": {"who": f"t{n}"}}], "nodeName": f"t{n}"})
                for n in range(tasks)
            ]
            for handle in handles:
                assert result(await handle.outcome()) == [True] * calls
