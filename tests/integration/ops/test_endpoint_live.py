"""What a running runner says of itself: health, readiness, metrics, log lines, reports of faults."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psutil
import pytest
import trio
from structlog.testing import capture_logs

from reptarium.pool.embedded_broker import Broker, BrokerConfig, open_broker
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.runner import Runner
from reptarium.pool.tasks.execution import Execution
from tests.conftest import make_settings
from tests.integration.ops.plain_http import get
from tests.integration.workers.liars import lying
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
TOKEN = "hush-hush"
LOOP = "print('on')\nwhile True:\n    pass"


class Reports(Reporter):
    """Keeps what would go to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[BaseException, dict[str, str]]] = []

    def report(self, error: BaseException, **tags: str) -> None:
        self.kept.append((error, tags))


class Site:
    """A broker and a runner whose endpoint is on."""

    def __init__(self, broker: Broker, runner: Runner, lines: list[Any], reports: Reports) -> None:
        self.broker = broker
        self.runner = runner
        self.lines = lines
        self.reports = reports

    @property
    def url(self) -> str:
        (line,) = (line for line in self.lines if line["event"] == "health and metrics")
        url: str = line["at"]
        return url

    def task_lines(self) -> list[Mapping[str, Any]]:
        return [line for line in self.lines if line["event"] == "task"]

    def sample(self, name: str, /, **labels: str) -> float:
        found = self.runner.metrics.registry.get_sample_value(name, labels)
        assert found is not None, (name, labels)
        return found

    async def ready(self) -> tuple[int, Any]:
        status, _, body = await get(self.url, "/readyz")
        return status, json.loads(body)


@asynccontextmanager
async def site(config: BrokerConfig | None = None, **changes: Any) -> AsyncIterator[Site]:
    """A warm runner of two slots with its endpoint on a free port; nothing is logged but kept."""
    reports, metrics = Reports(), Metrics()
    with capture_logs() as lines:
        async with open_broker(config or BrokerConfig(auth_token=TOKEN, drain_grace=0.2)) as broker:
            settings = msgspec.structs.replace(
                make_settings(health_enabled=True, health_port=0, **changes),
                broker_uris=(broker.uri,),
                auth_token=TOKEN,
            )
            runner = Runner(settings, metrics=metrics, reporter=reports)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runner.run)
                await broker.wait_for_runner()
                await runner.pool.wait_warm()
                try:
                    yield Site(broker, runner, lines, reports)
                finally:
                    runner.shutdown()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.01)


async def test_answers_while_saturated() -> None:
    """Every slot burns processor time, megabytes go through and a queue waits: all three paths answer."""
    with fail_after(60):
        async with site() as here:
            hogs = [here.broker.submit({"code": LOOP, "items": []}) for _ in range(2)]
            await until(lambda: all(hog.console for hog in hogs))
            big = [{"json": {"text": "x" * 1_000_000}}]
            queue = [here.broker.submit({"code": "return _items", "items": big}) for _ in range(20)]
            assert (await get(here.url, "/healthz"))[0] == 200
            assert (await here.ready())[0] == 200  # busy is ready
            assert (await get(here.url, "/metrics"))[0] == 200
            for hog in hogs:
                hog.cancel()
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(get, here.url, "/healthz")
            assert {(await handle.outcome()).status for handle in queue} == {"done"}


async def test_readiness_follows_the_broker_and_the_shutdown() -> None:
    """503 while no broker has us registered, and again while we shut down, each with its reason."""
    with fail_after(60):
        async with site() as here:
            assert await here.ready() == (
                200,
                {
                    "status": "ready",
                    "missing": [],
                    "checks": {
                        name: {"ok": True, "detail": ""}
                        for name in ("broker", "workers", "isolation", "preload", "pools", "draining")
                    },
                },
            )
            (view,) = here.broker.runners
            here.broker.disconnect(view.id, abrupt=True)
            status, body = 200, None
            while status == 200:
                status, body = await here.ready()
            assert status == 503
            assert body["missing"] == ["broker: not registered with any broker"]
            await here.broker.wait_for_runner()
            while status == 503:
                status, body = await here.ready()
            assert here.sample("reptarium_reconnects_total", broker=here.broker.uri) >= 1
            assert here.sample("reptarium_broker_connected", broker=here.broker.uri) == 1

            last = here.broker.submit({"code": LOOP, "items": []})
            await until(lambda: last.console)
            here.runner.shutdown()
            await until(lambda: here.runner.links[0].open_offers == 0)
            status, body = await here.ready()
            assert status == 503
            assert "draining: shutting down" in body["missing"]
            last.cancel()
            await last.outcome()


async def test_no_warm_worker_is_not_ready() -> None:
    """A pool that has none to give, and runs nothing, says so."""
    with fail_after(60):
        async with site() as here:
            here.runner.pool.close()  # no refills
            while (worker := here.runner.pool.lease_nowait()) is not None:
                here.runner.pool.discard(worker)
            status, body = await here.ready()
            assert status == 503
            assert body["missing"] == ["workers: no warm worker is parked"]


async def test_a_pool_that_can_start_no_worker_says_so_and_takes_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alive, not ready, with the reason; nothing is offered until a zygote is there again, and then all of it."""
    with fail_after(60):
        async with site() as here:
            (link,) = here.runner.links
            await until(lambda: link.open_offers == 2)
            lying(monkeypatch, "sys.exit(1)")
            psutil.Process().children()[0].kill()
            await until(lambda: link.open_offers == 0)
            assert here.sample("reptarium_capacity") == 0
            task = here.broker.submit({"code": "return 1", "items": []})
            await until(lambda: "exit status 1" in here.runner.pool.trouble)
            reason = "workers: no zygote is up: the zygote ended while it started; the log lines above tell why"
            status, body = await here.ready()
            assert status == 503
            assert body["missing"] == [f"{reason} (exit status 1)"]
            status, _, alive = await get(here.url, "/healthz")
            assert (status, alive) == (200, f"OK\n{reason} (exit status 1)".encode())
            assert here.runner.accepted == 0
            assert here.broker.counters.accepts == 0
            monkeypatch.undo()
            assert (await task.outcome()).status == "done"
            while (await here.ready())[0] != 200 or link.open_offers != 2:  # a slow zygote may owe workers for a while
                await trio.sleep(0.05)
            assert here.sample("reptarium_capacity") == 2
            assert here.sample("reptarium_faults_total", part="zygote") == len(here.reports.kept) > 0


async def test_a_tasks_line_says_how_much_it_took() -> None:
    """Of memory as much as was resident at most, though it ends between two looks; of processor time its worker's."""
    with fail_after(60):
        async with site() as here:
            for code in ("return 1", "x = b'x' * (64 << 20)\nreturn len(x)", "for n in range(10**6):\n    pass"):
                assert (await here.broker.submit({"code": code, "items": []}).outcome()).status == "done"
            await until(lambda: len(here.task_lines()) == 3)
            little, much, long = here.task_lines()
            assert 60 << 20 < much["peak_memory_bytes"] - little["peak_memory_bytes"] < 100 << 20
            assert long["cpu_s"] > little["cpu_s"] > 0


async def test_a_tasks_line_comes_though_nobody_says_how_its_worker_ended() -> None:
    """A zygote that stands still reaps no worker: the line doesn't wait for it."""
    with fail_after(60):
        async with site() as here:
            (zygote,) = psutil.Process().children()
            zygote.suspend()
            assert (await here.broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
            await until(lambda: here.task_lines())
            zygote.resume()
            (line,) = here.task_lines()
            assert line["outcome"] == "done"
            assert "cpu_s" not in line


async def test_tasks_are_counted_as_they_end() -> None:
    """Outcomes and kills by reason; what ends by itself is nobody's kill, and nothing is counted twice."""
    with fail_after(90):
        # long enough for what is cancelled and what is lost to be that before
        async with site(task_timeout=3, task_memory=64 * 2**20) as here:
            for code in (
                "return 1",
                "raise ValueError('mine')",
                "eval('1')",
                "import time\ntime.sleep(300)",
                "x = []\nwhile True:\n    x.append('y' * 10**6)",
            ):
                await here.broker.submit({"code": code, "items": []}).outcome()
            cancelled = here.broker.submit({"code": LOOP, "items": []})
            await until(lambda: cancelled.console)
            cancelled.cancel()
            await cancelled.outcome()
            lost = here.broker.submit({"code": LOOP, "items": []})
            await until(lambda: lost.console)
            here.broker.disconnect(here.broker.runners[0].id, abrupt=True)
            await until(lambda: len(here.task_lines()) == 7)
            ends = {"done": 1, "error": 2, "timeout": 1, "memory": 1, "cancelled": 1, "lost": 1, "failed": 0}
            for outcome, count in ends.items():
                assert here.sample("reptarium_tasks_total", outcome=outcome) == count, outcome
            for reason in ("timeout", "memory", "cancelled", "disconnected"):
                await until(lambda reason=reason: here.sample("reptarium_worker_kills_total", reason=reason) == 1)
            assert here.sample("reptarium_tasks_running") == here.sample("reptarium_tasks_waiting") == 0
            assert here.sample("reptarium_task_duration_seconds_count") == 7
            assert here.sample("reptarium_rpc_calls_total", name="logNodeOutput", result="success") >= 2
            assert here.sample("reptarium_workers_cpu_seconds_total") > 0.1  # the loops: short tasks take 0.04
            assert here.reports.kept == []  # user code's errors are its own


async def test_processor_time_of_short_tasks_counts() -> None:
    """Tasks that end between two looks of the watchdog are counted by what their workers used in all."""
    with fail_after(60):
        async with site() as here:
            before = here.sample("reptarium_workers_cpu_seconds_total")
            for _ in range(5):
                await here.broker.submit({"code": "return sum(range(100_000))", "items": []}).outcome()
            await until(lambda: here.sample("reptarium_worker_refills_total") >= 7)
            await until(lambda: here.sample("reptarium_workers_cpu_seconds_total") - before > 0.003)


async def test_a_shutdown_loses_what_does_not_end() -> None:
    """What is still running after the graceful time-out is lost to us, not cancelled by anybody."""
    with fail_after(60):
        async with site(graceful_shutdown_timeout=0.1) as here:
            handle = here.broker.submit({"code": LOOP, "items": []})
            await until(lambda: handle.console)
            here.runner.shutdown()
            assert (await handle.outcome()).status == "error"
            await until(lambda: here.task_lines())
            assert here.sample("reptarium_tasks_total", outcome="lost") == 1


async def test_a_fault_of_ours_fails_one_task_and_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the supervisor is answered, counted as ours, reported once; the next task is served."""
    real = Execution._listen

    async def broken(self: Execution, worker: Any) -> Any:
        raise RuntimeError("a bug")

    with fail_after(60):
        async with site() as here:
            monkeypatch.setattr(Execution, "_listen", broken)
            outcome = await here.broker.submit({"code": "return 1", "items": []}).outcome()
            assert outcome.error is not None
            assert outcome.error.message == "The task failed through a fault of the runner"
            monkeypatch.setattr(Execution, "_listen", real)
            await until(lambda: len(here.task_lines()) == 1)  # a task's line follows its outcome
            assert (await here.broker.submit({"code": "return 1", "items": []}).outcome()).status == "done"
            await until(lambda: len(here.task_lines()) == 2)
            assert here.sample("reptarium_tasks_total", outcome="failed") == 1
            assert here.sample("reptarium_tasks_total", outcome="lost") == 0
            assert [line["log_level"] for line in here.task_lines()] == ["error", "info"]
            ((error, tags),) = here.reports.kept
            assert (str(error), tags) == ("a bug", {"part": "execution"})


async def test_the_line_of_a_task_says_all_but_what_is_the_users() -> None:
    """Ids and names, duration, sizes, outcome and worker; neither code nor items nor tokens are in any line."""
    task = {
        "code": "print('printed-secret')\nreturn [{'json': {'answer': 'result-secret'}}]",
        "items": [{"json": {"in": "item-secret"}}],
        "workflowId": "w1",
        "workflowName": "Invoices",
        "nodeId": "n1",
        "nodeName": "Sum up",
    }
    with fail_after(60):
        async with site() as here:
            handle = here.broker.submit(task)
            await handle.outcome()
            await until(lambda: here.task_lines())
            (line,) = here.task_lines()
            assert {name: line[name] for name in ("task", "workflow", "workflow_id", "node", "node_id", "outcome")} == {
                "task": handle.task_id,
                "workflow": "Invoices",
                "workflow_id": "w1",
                "node": "Sum up",
                "node_id": "n1",
                "outcome": "done",
            }
            assert line["ms"] > 0
            assert line["request_bytes"] > len(task["code"])
            assert line["result_bytes"] > 0
            assert line["worker"] >= 1
            assert line["broker"] == here.broker.uri
            assert 0 < line["queue_ms"] < 30_000
            assert 0 < line["cpu_s"] < 30
            assert 2**20 < line["peak_memory_bytes"] < 2**29
            assert here.sample("reptarium_task_peak_memory_bytes_sum") == line["peak_memory_bytes"]
        said = repr([line for line in here.lines if line["log_level"] != "debug"])
    for secret in ("printed-secret", "result-secret", "item-secret", TOKEN):
        assert secret not in said


async def test_offers_that_nobody_takes_are_counted() -> None:
    """Idle offers are renewed, and the old ones count as expired; those that are taken as accepted."""
    with fail_after(60):
        async with site() as here:
            link = here.runner.links[0]
            assert link._serving is not None
            await here.broker.submit({"code": "return 1", "items": []}).outcome()
            now = trio.current_time()
            link._serving._do(link._serving.session.tick(now + 6))  # renewed: the old ones may still be on their way
            link._serving._do(link._serving.session.tick(now + 8))
            assert here.sample("reptarium_offers_total", event="accepted") == 1
            assert here.sample("reptarium_offers_total", event="expired") == 2
            assert here.sample("reptarium_offers_total", event="sent") == 5
            assert here.sample("reptarium_offers_total", event="rejected") == 0


async def test_isolation_is_shown_as_it_is() -> None:
    """Each layer that the zygote reports is a gauge in its state."""
    with fail_after(60):
        async with site() as here:
            layers = here.runner.pool.layers
            assert {"seccomp", "landlock"} <= {layer.name for layer in layers}
            for layer in layers:
                assert here.sample("reptarium_isolation_layer", layer=layer.name, state=layer.state) == 1
