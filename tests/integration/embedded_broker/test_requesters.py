"""Tasks that are handed in over HTTP, and `reptarium submit`, which does that: scripted runners, loopback only."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.lowlevel

from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.cli import submit
from reptarium.pool.cli.asking import Asked, NoAnswer, ask
from reptarium.pool.cli.main import main
from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker, requesters
from reptarium.pool.embedded_broker.requesters import TaskRequest
from reptarium.pool.protocol.messages import TaskSettings
from tests.conftest import make_settings
from tests.integration.embedded_broker.broker_runner import FakeRunner, fake_runner, http
from tests.limits import fail_after

TOKEN = "hush-hush"
CONFIG = BrokerConfig(auth_token=TOKEN, requesting="local")
TASK = b'{"settings": {"code": "return []"}}'
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def asked(broker: Broker, token: str = TOKEN) -> Asked:
    """How to ask that broker."""
    return Asked(broker.uri, broker.config.path, token, None)


async def answer(runner: FakeRunner, end: Callable[[str], Any]) -> dict[str, Any]:
    """Take a task, print twice, and end it. Returns its settings."""
    await runner.offer()
    settings = await runner.take()
    for number, params in enumerate((["one", {"two": 2}], ["é\n"])):
        await runner.send(
            "runner:rpc", callId=f"c{number}", taskId=settings["taskId"], name="logNodeOutput", params=params
        )
        await runner.expect("broker:rpcresponse")
    await end(settings["taskId"])
    return settings


async def test_prints_come_first_and_the_result_is_the_runners() -> None:
    """A task goes to a runner as n8n's do; prints are lines as they come, white space in the result does no harm."""
    said: list[list[str]] = []
    with fail_after(20):
        async with open_broker(CONFIG) as broker, fake_runner(broker) as runner, trio.open_nursery() as nursery:

            async def done(task_id: str) -> None:
                result = '[\n{"x":\n"a\\nb"}]'
                await runner.send_text(
                    f'{{"type":"runner:taskdone","taskId":"{task_id}","data":{{"result":{result}}}}}'
                )

            nursery.start_soon(answer, runner, done)
            outcome = await ask(asked(broker), TASK, lambda values: said.append(list(values)))
    assert outcome.status == "done"
    assert outcome.result() == [{"x": "a\nb"}]
    assert outcome.runner_id == runner.runner_id
    assert said == [["one", '{"two":2}'], ["é\n"]]


async def test_submit_is_to_a_person_as_exec_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Items on standard output, prints beside them; what the runner says of an error, or the broker, and status 1."""
    request = TaskRequest(TaskSettings(code="return []"), 60, 0.2)
    with fail_after(20):
        async with open_broker(CONFIG) as broker, trio.open_nursery() as nursery:
            settings = make_settings(broker_uris=(broker.uri,), auth_token=TOKEN)
            assert await submit._submit(settings, request, raw=False) == 1
            assert "no runner had a free slot" in capsys.readouterr().err
            async with fake_runner(broker) as runner:
                nursery.start_soon(answer, runner, lambda task_id: runner.done(task_id, {"a": 1}))
                assert await submit._submit(settings, request, raw=False) == 0
                told = capsys.readouterr()
                assert json.loads(told.out[told.out.index("[\n") :]) == [{"json": {"a": 1}}]
                assert told.err == 'one {"two":2}\né\n\n'

                async def fail(task_id: str) -> None:
                    await runner.send("runner:taskerror", taskId=task_id, error={"message": "no", "stack": "here"})

                nursery.start_soon(answer, runner, fail)
                assert await submit._submit(settings, request, raw=False) == 1
                assert "Error: no\nhere\n" in capsys.readouterr().err
            wrong = make_settings(broker_uris=(broker.uri,), auth_token="another")
            assert await submit._submit(wrong, request, raw=False) == 2
            assert "N8N_RUNNERS_AUTH_TOKEN must be the broker's (--broker)" in capsys.readouterr().err


async def test_who_goes_takes_the_task_along() -> None:
    """A requester whose connection ends has its task cancelled, at the runner too."""
    with fail_after(20):
        async with open_broker(CONFIG) as broker, fake_runner(broker) as runner:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, asked(broker), TASK, print)
                await runner.offer()
                await runner.take()
                nursery.cancel_scope.cancel()
            cancel = await runner.expect("broker:taskcancel")
            assert cancel["reason"] == "The requester has gone"


async def test_a_broker_that_goes_is_told() -> None:
    """What a task had printed by then was said; how it ends isn't known."""
    said: list[list[str]] = []

    async def close(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b'HTTP/1.1 200 OK\r\n\r\n{"type":"print","values":["x"]}\n')

    with fail_after(20):
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, close, 0, host="127.0.0.1"))
            broker = Asked(f"http://127.0.0.1:{listener.socket.getsockname()[1]}", "/runners", TOKEN, None)
            with pytest.raises(NoAnswer, match="before the task had ended"):
                await ask(broker, TASK, lambda values: said.append(list(values)))
            nursery.cancel_scope.cancel()
    assert said == [["x"]]


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (TASK, {}, 401, "Authorization: Bearer"),
        (TASK, {"Authorization": "Bearer other"}, 401, "Authorization: Bearer"),
        (TASK, {"Authorization": f"Basic {TOKEN}"}, 401, "Authorization: Bearer"),
        (TASK, {"Authorization": "Bearer \xe9"}, 401, "Authorization: Bearer"),
        (b"", BEARER, 400, "No task"),
        (b"\xff", BEARER, 400, "No task"),
        (b"{}", BEARER, 400, "missing required field `settings`"),
        (b'{"settings": {"code": 5}}', BEARER, 400, "settings.code"),
        (b'{"settings": {"code": ""}, "timeOut": 5}', BEARER, 400, "timeOut"),
        (b'{"settings": {"code": ""}, "timeout": 0}', BEARER, 400, "timeout: must be more than 0"),
        (b'{"settings": {"items": %s}}' % (b"[" * 1001 + b"]" * 1001), BEARER, 400, "nested too deeply: over 1000"),
        (b'{"settings": {"code": "%s"}}' % (b"x" * 5000), BEARER, 413, "More than 4096 bytes"),
    ],
)
async def test_what_is_refused(body: bytes, headers: dict[str, str], status: int, said: str) -> None:
    """Without the token nothing is read, and what is no task is told in which place."""
    async with open_broker(BrokerConfig(auth_token=TOKEN, requesting="local", max_payload=4096)) as broker:
        with fail_after(10):
            found, told = await http(broker, "POST /runners/tasks", body, headers)
            assert found == status
            assert said in told["message"]
            assert broker.unfinished == 0


async def test_nobody_is_heard_who_is_not_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default there is no such interface; then it is the machine's own, with the token all the same."""
    with fail_after(20):
        async with open_broker(BrokerConfig(auth_token=TOKEN)) as broker:
            assert (await http(broker, "POST /runners/tasks", TASK, BEARER))[0] == 404
            with pytest.raises(LinkError, match="it is no `reptarium broker`"):
                await ask(asked(broker), TASK, print)
        monkeypatch.setattr(requesters, "_is_local", lambda host: False)
        async with open_broker(CONFIG) as broker:
            with pytest.raises(LinkError, match="answered 403: Tasks are taken from the broker's own machine only"):
                await ask(asked(broker), TASK, print)
        async with open_broker(BrokerConfig(auth_token=TOKEN, requesting="any")) as broker:
            assert (await http(broker, "POST /runners/tasks", b"", BEARER))[0] == 400


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False), ("::ffff:10.0.0.1", False), ("", False), ("localhost", False),
    ],
)  # fmt: skip
def test_what_is_the_machines_own(host: str, local: bool) -> None:
    """Loopback, in whichever form the socket has it."""
    assert requesters._is_local(host) is local


@pytest.mark.parametrize(
    ("arguments", "token", "status", "said"),
    [
        (["--broker", "foo:"], TOKEN, 2, "--broker='foo:'"),
        (["--broker", "http://a,http://b"], TOKEN, 2, "--broker: one broker"),
        (["--broker", "dns+http://a"], TOKEN, 2, "--broker: one broker"),
        (["--timeout", "0"], TOKEN, 2, "--timeout='0'"),
        ([], None, 78, "N8N_RUNNERS_AUTH_TOKEN is not set"),
        (["--items", "none.json"], TOKEN, 2, "--items none.json"),
    ],
)
def test_submit_names_what_is_wrong(
    arguments: list[str], token: str | None, status: int, said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The flag, or the variable, before anybody is asked."""
    monkeypatch.delenv("N8N_RUNNERS_AUTH_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("N8N_RUNNERS_AUTH_TOKEN", token)
    assert main(["submit", __file__, *arguments]) == status
    assert said in capsys.readouterr().err
