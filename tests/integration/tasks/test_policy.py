"""Tasks under rules, for real: a broker, a runner, pools of workers in their sandbox."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from structlog.testing import capture_logs

from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from reptarium.pool.embedded_broker.outcome import Outcome
from reptarium.pool.runner import Runner
from reptarium.pool.workers import pools
from reptarium.sandbox.kernel import notify
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left", "kernel_layer")

MIB = 2**20
EVAL = "return {'sum': eval('1 + 1')}"
MEMORY = "return {'size': len(bytearray(%d * 2**20))}"
LIMITS = """
import resource
raised = "no"
for which in (0, 1, 2, 6, 7, 9):
    soft, hard = resource.getrlimit(which)
    try:
        resource.setrlimit(which, (hard + 1, hard + 1))
        raised = str(which)
    except (OSError, ValueError):
        pass
return {"files": list(resource.getrlimit(7)), "threads": list(resource.getrlimit(6)), "raised": raised}
"""
CALL = "return _helpers.http_request('http://a.example')"
OWN_THREADS = "import resource\nreturn resource.getrlimit(6)"
WAIT = "import time\nprint('on')\ntime.sleep(%s)\nreturn 'ok'"


class Ruled:
    """A runner with a policy, and its broker."""

    def __init__(self, broker: Broker, runner: Runner, path: Path) -> None:
        self.broker, self.runner, self.path = broker, runner, path

    async def run(self, code: str, **settings: Any) -> Outcome:
        """A task's outcome."""
        return await self.broker.submit({"code": code, "items": [], **settings}, timeout=60).outcome()

    async def result(self, code: str, **settings: Any) -> Any:
        """What a task returns that ends well."""
        outcome = await self.run(code, **settings)
        assert outcome.data is not None, outcome
        return msgspec.json.decode(outcome.data.result)

    async def error(self, code: str, **settings: Any) -> str:
        """What a task is told that fails."""
        outcome = await self.run(code, **settings)
        assert outcome.error is not None, outcome
        return f"{outcome.error.message} {outcome.error.description}"

    async def reload(self, policy: str) -> None:
        """Other rules."""
        await trio.Path(self.path).write_text(policy)
        assert self.runner.rulebook is not None
        await self.runner.rulebook.reload()

    async def pools(self, count: int) -> None:
        """Wait until there are so many."""
        while self.runner.pools.count != count:
            await trio.sleep(0.01)

    def sample(self, name: str, **labels: str) -> float | None:
        """A metric's value."""
        return self.runner.metrics.registry.get_sample_value(name, labels)


@asynccontextmanager
async def ruled(
    path: Path, policy: str, environ: dict[str, str] | None = None, **settings: Any
) -> AsyncIterator[Ruled]:
    """A runner under these rules, warm."""
    await trio.Path(path).write_text(policy)
    with fail_after(120):
        made = make_settings({"REPTARIUM_POLICY": str(path), **(environ or {})}, **settings)
        async with open_broker(BrokerConfig()) as broker, trio.open_nursery() as nursery:
            runner = Runner(
                msgspec.structs.replace(
                    made, broker_uris=(broker.uri,), broker_path="/runners", grant_token=broker.grant_token()
                )
            )
            nursery.start_soon(runner.run)
            await broker.wait_for_runner()
            yield Ruled(broker, runner, path)
            runner.shutdown()


LANGUAGE = """
[[rule]]
name = "trusted"
workflow_id = "w1"
node = "Py*"
language = "python"
"""
TRUSTED = {"workflowId": "w1", "nodeName": "Python 2"}


async def test_one_workflow_has_other_powers(tmp_path: Path) -> None:
    """In a pool of their own, made when it is first needed; the others have what they had. Each line names the rule."""
    write = "open('a', 'w').write('b' * %d)\nreturn {'done': True}"
    async with ruled(tmp_path / "p.toml", LANGUAGE + "scratch = '1MiB'") as it:
        with capture_logs() as lines:
            assert "eval" in await it.error(EVAL, workflowId="w1", nodeName="Code")
            assert it.sample("reptarium_pools") == 1
            assert await it.result(EVAL, **TRUSTED) == {"sum": 2}
            assert await it.result(write % 100, **TRUSTED) == {"done": True}
            assert 'raise scratch of the rule "trusted"' in await it.error(write % 2**21, **TRUSTED)
            while len(told := [line for line in lines if line["event"] == "task"]) < 4:
                await trio.sleep(0.01)
        assert [line["rule"] for line in told] == ["default", *["trusted"] * 3]
        assert len({line["worker"] for line in told}) == 4
        assert it.sample("reptarium_pools") == 2
        assert {check.name: check.ok for check in it.runner.checks()}["pools"]


async def test_limits_need_no_pool_of_their_own(tmp_path: Path) -> None:
    """Workers of one pool lower theirs to those of their task: memory with a MemoryError, threads, time, output, calls,
    result, descriptors. Nothing raises them again.
    """
    policy = """
    [[rule]]
    name = "small"
    workflow = "Small *"
    task_memory = "64MiB"
    max_threads = 2
    task_timeout = 0.5
    max_console = "1KiB"
    max_result = "2KiB"
    max_open_files = 20
    rpc_allow = []
    [[rule]]
    name = "large"
    workflow = "Large"
    task_memory = "300MiB"
    """
    small = {"workflowName": "Small one"}
    environ = {"REPTARIUM_TASK_MEMORY": "128MiB", "REPTARIUM_LANGUAGE": "python"}
    async with ruled(tmp_path / "p.toml", policy, environ) as it:
        assert "raise REPTARIUM_TASK_MEMORY" in await it.error(MEMORY % 250, workflowName="Else")
        assert await it.result(MEMORY % 100) == {"size": 100 * MIB}
        assert await it.result(MEMORY % 250, workflowName="Large") == {"size": 250 * MIB}
        told = await it.error(MEMORY % 100, **small)
        assert "memory limit of 64 MiB" in told
        assert 'raise task_memory of the rule "small"' in told
        told = await it.error("while True:\n    pass", **small)
        assert told == (
            "Task execution timed out after 0.5 seconds Make the code faster or process less data, or raise "
            'task_timeout of the rule "small".'
        )
        assert "over the limit of 2048 bytes" in await it.error("return 'x' * 3000", **small)
        assert await it.result(LIMITS) == {"files": [64, 64], "threads": await it.result(OWN_THREADS), "raised": "no"}
        assert (await it.result(LIMITS, **small))["files"] == [20, 20]
        assert (await it.result(LIMITS, **small))["raised"] == "no"
        refused = 'helpers.httpRequest is not allowed here; rpc_allow of the rule "small" lists what tasks may call'
        assert (await it.error(CALL, **small)).startswith(f"GET http://a.example: {refused} ")
        handle = it.broker.submit({"code": "print('x' * 2000)", "items": [], **small})
        await handle.outcome()
        assert "over the limit of 1024 bytes" in str(handle.console)
        assert it.runner.pools.count == 1


@pytest.mark.skipif(notify.problem() != "", reason="this machine hands over no connections")
async def test_each_rule_has_its_own_destinations(tmp_path: Path) -> None:
    """Out of one pool of workers that may connect; what a rule doesn't list is refused by its key, and the rest can't
    connect at all.
    """
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener[0].socket.getsockname()[1]
    policy = "".join(
        f"[[rule]]\nname = '{name}'\nnode = '{name}'\nconnect_allow = ['127.0.0.1:{allowed}']\n"
        for name, allowed in (("here", port), ("there", 1))
    )
    connect = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5).close()\nreturn {{'sum': 2}}"
    async with listener[0], ruled(tmp_path / "p.toml", policy, {"REPTARIUM_LANGUAGE": "python"}) as it:
        assert await it.result(connect, nodeName="here") == {"sum": 2}
        assert f'connect_allow of the rule "there" opens it by 127.0.0.1:{port} only' in await it.error(
            connect, nodeName="there"
        )
        assert "Operation not permitted" in await it.error(connect, nodeName="else")
        assert it.runner.pools.count == 2
        assert it.sample("reptarium_task_connections_total", outcome="connected") == 1
        assert it.sample("reptarium_task_connections_total", outcome="refused") == 1


async def test_rules_change_under_running_tasks(tmp_path: Path) -> None:
    """Each task keeps what it began with; a pool that no rule takes any more ends with its last task. A file that is
    broken changes nothing, loudly.
    """
    async with ruled(tmp_path / "p.toml", LANGUAGE) as it:
        asked, answered = trio.Event(), trio.Event()

        async def answer(task: object, name: str, params: object) -> Any:
            asked.set()
            await answered.wait()
            return {"statusCode": 200, "headers": {}, "body": ""}

        begun = {"code": "_helpers.http_request('http://a.example')\nreturn 'done'", "items": []}
        handle = it.broker.submit({**begun, **TRUSTED}, on_rpc=answer)
        await asked.wait()
        with capture_logs() as lines:
            await it.reload("[[rule]]\nname = 'x'\nlanguage = 'ruby'")
        assert [(line["log_level"], line["problem"].partition(": ")[2]) for line in lines] == [
            ("error", "rule \"x\": language: 'ruby': not one of them; expected restricted | python")
        ]
        assert it.sample("reptarium_policy_reads_total", result="refused") == 1
        assert it.sample("reptarium_policy_stale") == 1
        assert await it.result(EVAL, **TRUSTED) == {"sum": 2}
        await it.reload("")
        assert it.sample("reptarium_policy_stale") == 0
        assert it.runner.pools.count == 2
        assert "eval" in await it.error(EVAL, **TRUSTED)
        answered.set()
        assert (await handle.outcome()).status == "done"
        await it.pools(1)
        await it.reload("[[rule]]\nname = 'x'\ntask_memory = '2GiB'")  # more than the first pool's workers may have
        assert await it.result("return {'sum': 2}") == {"sum": 2}
        assert it.runner.pools.count == 2


@pytest.mark.slow
async def test_pools_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there may be no more, the oldest finishes its tasks and makes room; one that nobody uses ends."""
    monkeypatch.setattr(pools, "LOOK", 0.02)
    monkeypatch.setattr(pools, "TENURE", 0.0)
    policy = "".join(
        f"[[rule]]\nname = '{name}'\nworkflow_id = '{name}'\nbuiltins_deny = ['{builtin}']\n"
        for name, builtin in (("a", "min"), ("b", "max"))
    )
    async with ruled(tmp_path / "p.toml", policy, max_pools=2, pool_idle=0.1, max_concurrency=3) as it:
        most = 0

        async def run(name: str) -> None:
            nonlocal most
            handle = it.broker.submit({"code": WAIT % 0.1, "items": [], "workflowId": name})
            while not handle.console:
                await trio.sleep(0.01)
                most = max(most, it.runner.pools.count)
            assert (await handle.outcome()).status == "done"

        over = trio.Event()

        async def keep_busy() -> None:
            while not over.is_set():
                await run("a")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_busy)
            nursery.start_soon(keep_busy)
            await run("a")
            await run("b")  # though the other is never without a task
            over.set()
        assert most == 2
        await it.pools(1)
        assert it.sample("reptarium_pools") == 1
        assert it.sample("reptarium_faults_total", part="pool") == 0


async def test_a_pool_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tasks end with one error that says why; the others go on, and so does the runner. Later it is tried again."""
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    policy = "[[rule]]\nname = 'files'\nworkflow_id = 'f'\nscratch = '1MiB'"
    async with ruled(tmp_path / "p.toml", policy) as it:
        for _ in range(2):
            told = await it.error("return {}", workflowId="f")
            assert told.startswith(
                'The runner can\'t start workers scratch of the rule "files": no directory can be had'
            )
        assert await it.result("return {'sum': 2}") == {"sum": 2}
        ready = {check.name: check for check in it.runner.checks()}
        assert ready["pools"].ok
        assert "no directory can be had" in ready["pools"].detail
        assert it.runner.pools.count == 1
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(pools, "AGAIN", 0.0)
        assert await it.result("return {'sum': 2}", workflowId="f") == {"sum": 2}
