"""Task runners as processes: the one under test, and n8n's own for JavaScript (stdlib only)."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from harness import HOST, wait_for
from n8nctl import AUTH_TOKEN, N8nProcess, http_json
from processes import Child


class Runner(Child):
    """The runner under test, beside one n8n process or several."""

    def __init__(
        self,
        n8n: N8nProcess | Sequence[N8nProcess],
        cmd: str,
        cwd: str | Path | None,
        env: Mapping[str, str],
        broker_port: int | None = None,
        log_path: str | Path | None = None,
        name: str = "runner",
    ) -> None:
        """Args:
        n8n: whose brokers it serves; more than one are named in a comma list.
        cmd: its command line.
        env: its settings, on top of the addresses and the token.
        broker_port: another port of the one broker than n8n's.
        """
        super().__init__(name, log_path)
        self.n8n = [n8n] if isinstance(n8n, N8nProcess) else list(n8n)
        self.cmd, self.cwd, self.env = cmd, cwd, env
        self.brokers = [f"http://{HOST}:{broker_port}"] if broker_port else [one.broker for one in self.n8n]

    def environment(self) -> dict[str, str]:
        """Its environment. One broker's grant token is fetched for it, as n8n's launcher does."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("N8N_")}
        env.update(
            N8N_RUNNERS_AUTH_TOKEN=AUTH_TOKEN,
            N8N_RUNNERS_TASK_BROKER_URI=",".join(self.brokers),
            PYTHONUNBUFFERED="1",
            TZ="UTC",
            **self.env,
        )
        if len(self.n8n) == 1:
            env["N8N_RUNNERS_GRANT_TOKEN"] = self.n8n[0].grant_token()
        return env

    def start(self, timeout: float = 40.0) -> Self:
        """Start it and wait until every n8n has registered it.

        Raises:
            RuntimeError: it ended.
            Timeout: it isn't registered in time.
        """
        before = [one.registered() for one in self.n8n]

        def registered() -> bool:
            if not self.alive():
                assert self.proc is not None
                raise RuntimeError(f"{self.name} exited with {self.proc.returncode} (see --runner-log)")
            return all(one.registered() > count for one, count in zip(self.n8n, before, strict=True))

        self.launch(shlex.split(self.cmd), self.environment(), self.cwd)
        try:
            wait_for(f"{self.name} is registered with n8n (see --runner-log)", registered, timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, grace: float = 15.0) -> int | None:
        """End it. Returns its exit status."""
        return self.end(grace)

    # ---- what it says of itself --------------------------------------------------------------

    @property
    def health_port(self) -> int:
        """The port of its health endpoint."""
        return int(self.env["N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT"])

    def metrics(self) -> dict[str, float]:
        """Its metrics by name and labels, as they stand in Prometheus' text. Raises OSError."""
        _, _, text = http_json(self.health_port, "GET", "/metrics", timeout=10)
        found = {}
        for line in str(text).splitlines():
            if match := re.fullmatch(r"([a-z_]+(?:\{.*\})?) ([0-9.e+-]+)", line):
                found[match[1]] = float(match[2])
        return found

    def running(self) -> float:
        """How many tasks it runs now."""
        return self.metrics()["reptarium_tasks_running"]

    def outcomes(self) -> dict[str, float]:
        """How many tasks have ended, by outcome."""
        pattern = re.compile(r'reptarium_tasks_total\{outcome="(\w+)"\}')
        return {match[1]: value for key, value in self.metrics().items() if (match := pattern.fullmatch(key))}

    def busy(self) -> list[str]:
        """What keeps it from being wholly at rest: nothing runs, every broker is connected and has what it needs.

        That is an offer of every slot where it is the only one, and one offer each where there are several: with that
        a broker may take a slot, and then gets the next (pool/brokers/capacity.py).
        """
        now = self.metrics()
        connected = {key: value for key, value in now.items() if key.startswith("reptarium_broker_connected{")}
        found = [f"{key} {value:g}" for key, value in connected.items() if value != 1]
        if len(connected) != len(self.brokers):
            found.append(f"{len(connected)} of {len(self.brokers)} brokers are known")
        for name in ("reptarium_tasks_running", "reptarium_tasks_waiting"):
            if now[name]:
                found.append(f"{name} {now[name]:g}")
        least = now["reptarium_capacity"] if len(self.brokers) == 1 else len(self.brokers)
        if now["reptarium_offers_open"] < least:
            found.append(f"{now['reptarium_offers_open']:g} offers stand, of {least:g} at least")
        return found


class JavaScriptRunner(Child):
    """n8n's own runner for JavaScript, as its launcher would start it."""

    def __init__(self, n8n: N8nProcess, log_path: str | Path | None = None) -> None:
        super().__init__("n8n's JavaScript runner", log_path)
        self.n8n = n8n

    def start(self, timeout: float = 60.0) -> Self:
        """Start it and wait until n8n has registered it. Raises Timeout, RuntimeError."""
        before = self.n8n.registered()

        def registered() -> bool:
            if not self.alive():
                raise RuntimeError(f"{self.name} ended")
            return self.n8n.registered() > before

        environ = {
            "PATH": os.environ.get("PATH", ""),
            "N8N_RUNNERS_TASK_BROKER_URI": self.n8n.broker,
            "N8N_RUNNERS_GRANT_TOKEN": self.n8n.grant_token(),
            "GENERIC_TIMEZONE": "UTC",
        }
        program = self.n8n.n8n_dir / "node_modules/@n8n/task-runner/dist/start.js"
        self.launch([str(self.n8n.node), str(program)], environ)
        try:
            wait_for(f"{self.name} is registered", registered, timeout)
        except BaseException:
            self.end(5)
            raise
        return self
