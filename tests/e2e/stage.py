"""Everything that scenarios play on: n8n (alone, or a main one with workers), the runner, a model (stdlib only)."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from harness import Calls, Timeout, limit, ports, wait_for
from model import Model
from n8nctl import N8n, N8nProcess, N8nWorker
from rest import UNENDED
from runnerctl import JavaScriptRunner, Runner
from services import Postgres, Redis
from workflows import Node, python, webhook

WORKERS = 2
SLOTS = 10
#: Ports that a stage takes, from `--port` on: n8n, workers, two runners' health, PostgreSQL, Redis.
_PORTS = 1 + WORKERS + 2 + 2


class Answer(NamedTuple):
    """What a webhook's caller got."""

    status: int
    body: Any


class Stage:
    """One n8n installation with a runner beside it, in plain or in queue mode."""

    def __init__(self, args: argparse.Namespace, mode: str) -> None:
        """Args:
            args: of live.py.
            mode: `plain` or `queue`.

        Raises:
            services.Missing: queue mode's programs aren't installed.
        """
        self.mode = mode
        self.args = args
        self.folder = Path(tempfile.mkdtemp(prefix="reptarium-stage-"))
        self.folder.chmod(0o711)  # PostgreSQL runs as somebody else
        web = ports(args.port, _PORTS)
        brokers = ports(args.broker_port, 1 + WORKERS)
        env = {
            "N8N_ENCRYPTION_KEY": "an-e2e-key",
            "N8N_GRACEFUL_SHUTDOWN_TIMEOUT": str(round(limit(30))),
            "N8N_RUNNERS_TASK_REQUEST_TIMEOUT": str(round(limit(60))),
            # n8n cancels a task when its own process stood still for that long between two messages
            "N8N_RUNNERS_TASK_ACCEPT_TIMEOUT": str(round(limit(2))),
        }
        self.services: list[Postgres | Redis] = []
        self.workers: list[N8nWorker] = []
        if mode == "queue":
            self.services = [Postgres(self.folder / "postgres", web[5]), Redis(self.folder / "redis", web[6])]
            for service in self.services:
                env |= service.environment()
            self.workers = [
                N8nWorker(args.n8n_dir, web[1 + n], brokers[1 + n], env, args.node, name=f"n8n worker {n + 1}")
                for n in range(WORKERS)
            ]
        self.main = N8n(args.n8n_dir, web[0], brokers[0], env, args.node)
        self._health_ports = [web[3], web[4]]
        self.runner = self.new_runner()
        self.model = Model()

    @property
    def brokers(self) -> list[N8nProcess]:
        """Every n8n process: each has a broker of its own."""
        return [self.main, *self.workers]

    def new_runner(self) -> Runner:
        """A runner that isn't started yet, with a health port that the current one doesn't use."""
        port = self._health_ports.pop(0)
        self._health_ports.append(port)
        env = {
            "N8N_RUNNERS_MAX_CONCURRENCY": str(SLOTS),
            "N8N_RUNNERS_STDLIB_ALLOW": "*",
            "N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT": str(round(limit(30))),
            "N8N_RUNNERS_TASK_TIMEOUT": str(round(limit(120))),
            "N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED": "true",
            "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": str(port),
        }
        log = self.args.runner_log or self.folder / "runner.log"
        return Runner(self.brokers, self.args.runner_cmd, None, env, None, log)

    def start(self) -> Self:
        """Start everything. Raises RuntimeError, Timeout."""
        for service in self.services:
            service.start()
        self.main.start().login()
        for worker in self.workers:
            worker.start()
        self.runner.start()
        self.model.start()
        return self

    def stop(self) -> None:
        """End everything that was started."""
        self.runner.stop()
        for one in reversed(self.brokers):
            one.stop()
        for service in reversed(self.services):
            service.stop()
        self.model.stop()
        if not self.args.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def settle(self, seconds: float = 60.0) -> None:
        """Wait until the runner is wholly at rest: no task, no slot, no broker was lost. Raises Timeout."""
        busy: list[str] = ["it doesn't answer"]

        def rests() -> bool:
            busy[:] = self.runner.busy()
            return not busy

        try:
            wait_for("the runner is at rest", rests, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {'; '.join(busy)}") from None

    # ---- workflows ---------------------------------------------------------------------------

    def publish(
        self, name: str, nodes: list[Node], connections: dict[str, Any], settings: dict[str, Any] | None = None
    ) -> str:
        """Create and publish a workflow. Returns its id."""
        return str(self.main.create_workflow(name, nodes, connections, settings)["id"])

    def publish_python(self, path: str, source: str, **options: Any) -> str:
        """Publish Webhook → Python. Returns the workflow's id."""
        connections = {"Webhook": {"main": [[{"node": "Python", "type": "main", "index": 0}]]}}
        return self.publish(path, [webhook(path), python(source, **options)], connections)

    def call(self, path: str, body: Any, timeout: float = 180.0) -> Answer:
        """Call a webhook. Raises OSError when n8n goes away meanwhile."""
        status, _, data = self.main.call_webhook(path, body, timeout)
        return Answer(status, data)

    def ask(self, path: str, body: Any, timeout: float = 180.0) -> list[Any]:
        """What a webhook answers. Raises AssertionError when it isn't 200."""
        answer = self.call(path, body, timeout)
        assert answer.status == 200, f"HTTP {answer.status}: {json.dumps(answer.body)[:1000]}"
        assert isinstance(answer.body, list), answer.body
        return answer.body

    def calls(self, path: str, bodies: Iterable[Any], timeout: float = 600.0) -> Calls[list[Any]]:
        """Call a webhook with each body at the same time; what `ask` returns are the results."""
        return Calls([partial(self.ask, path, body, timeout) for body in bodies])

    def all_ended(self, workflow: str, count: int, seconds: float = 60.0) -> list[dict[str, Any]]:
        """A workflow's executions, once there are `count` and all have ended. Raises Timeout."""

        def ended() -> list[dict[str, Any]] | None:
            rows = self.main.executions(workflow, count + 50)
            return rows if len(rows) >= count and not any(row["status"] in UNENDED for row in rows) else None

        return wait_for(f"{count} ended executions", ended, seconds, every=0.3)

    def errors(self, workflow: str) -> dict[str, int]:
        """How often a workflow's executions ended in which error; those that haven't ended yet are waited for."""

        def all_saved() -> bool:
            return not any(row["status"] in UNENDED for row in self.main.executions(workflow, 500))

        with suppress(Timeout):
            wait_for("the executions are saved", all_saved, 30, every=0.5)
        failed = [row for row in self.main.executions(workflow, 500) if row["status"] not in ("success", *UNENDED)]
        found: dict[str, int] = {}
        for row in failed:
            error = self.main.execution(row["id"])["data"]["resultData"].get("error") or {}
            text = f"{row['status']}: {error.get('message')} {error.get('description') or ''}".strip()
            found[text] = found.get(text, 0) + 1
        return found

    def until_running(self, tasks: int, seconds: float = 60.0) -> None:
        """Wait until the runner runs that many tasks at least. Raises Timeout."""
        wait_for(f"{tasks} running tasks", lambda: self.runner.running() >= tasks, seconds)

    def ran_in(self, executions: Iterable[str | int]) -> dict[str, set[int]]:
        """Which of some executions each worker says it started, by the worker's name."""
        asked = {int(execution) for execution in executions}
        found = {}
        for worker in self.workers:
            said = re.findall(r"Worker started execution (\d+) ", worker.log_text())
            found[worker.name] = asked & {int(execution) for execution in said}
        return found

    @contextmanager
    def javascript(self) -> Iterator[None]:
        """n8n's own JavaScript runners, one at each broker, for as long as they are needed."""
        runners: list[JavaScriptRunner] = []
        try:
            for number, one in enumerate(self.brokers):
                runners.append(JavaScriptRunner(one, self.folder / f"javascript{number}.log").start())
            yield
        finally:
            for runner in runners:
                runner.end(5)


#: What a scenario is: a function that raises AssertionError when something is wrong.
Play = Callable[[Stage], None]


class Scenario(NamedTuple):
    """A scenario and the modes in which it makes sense."""

    name: str
    play: Play
    modes: tuple[str, ...]


SCENARIOS: list[Scenario] = []


def scenario(*modes: str) -> Callable[[Play], Play]:
    """Register a scenario under its function's name; without modes for both."""

    def register(play: Play) -> Play:
        SCENARIOS.append(Scenario(play.__name__, play, modes or ("plain", "queue")))
        return play

    return register
