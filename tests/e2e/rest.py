"""n8n over HTTP: its REST API, its webhooks, its saved executions (stdlib only)."""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from harness import HOST, limit, wait_for

#: Executions that n8n has not ended yet.
UNENDED = ("running", "new", "waiting")


class RestError(Exception):
    """n8n answered with a status of 400 or more."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body[:400]}")
        self.status = status
        self.body = body


def http_json(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> tuple[int, Any, Any]:
    """One HTTP request to loopback. Returns (status, headers, decoded body).

    The body is sent as ASCII: JSON's own escapes carry lone surrogates, UTF-8 doesn't.
    """
    conn = http.client.HTTPConnection(HOST, port, timeout=limit(timeout))
    try:
        sent = {"Accept": "application/json", **(headers or {})}
        payload = None
        if body is not None:
            payload = json.dumps(body).encode("ascii")
            sent["Content-Type"] = "application/json; charset=utf-8"
        conn.request(method, path, body=payload, headers=sent)
        response = conn.getresponse()
        raw = response.read().decode("utf-8", "replace")
        try:
            data = json.loads(raw) if raw else None
        except ValueError:
            data = raw
        return response.status, response.headers, data
    except http.client.HTTPException as error:
        raise ConnectionError(f"{method} {path}: {error!r}") from error
    finally:
        conn.close()


def http_when_ready(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> tuple[int, Any, Any]:
    """:func:`http_json`, asked again for up to a minute while n8n says that its database isn't ready.

    It says so before it looks at a request, whenever its ping of the database was late: on a busy machine.
    """
    end = time.monotonic() + limit(60)
    while True:
        status, answered, data = http_json(port, method, path, body, headers, timeout)
        if status != 503 or "Database is not ready" not in json.dumps(data) or time.monotonic() > end:
            return status, answered, data
        time.sleep(0.5)


def _cursor(below: int) -> str:
    """The cursor of n8n's list of executions after which all ids are lower. Only the id of it is looked at."""
    position = {"version": 1, "v1": {"id": str(below), "timestamp": "1970-01-01T00:00:00.000Z"}}
    return base64.urlsafe_b64encode(json.dumps(position).encode()).rstrip(b"=").decode()


def unflatten(text: str) -> Any:
    """Decode n8n's saved execution data: a JSON array in which every string
    inside a container is an index into that array (the 'flatted' layout)."""
    table = json.loads(text)
    done: dict[int, Any] = {}

    def resolve(index: int) -> Any:
        if index in done:
            return done[index]
        raw = table[index]
        if isinstance(raw, dict):
            fields: dict[str, Any] = {}
            done[index] = fields
            for key, value in raw.items():
                fields[key] = resolve(int(value)) if isinstance(value, str) else value
        elif isinstance(raw, list):
            elements: list[Any] = []
            done[index] = elements
            for value in raw:
                elements.append(resolve(int(value)) if isinstance(value, str) else value)
        else:
            done[index] = raw
        return done[index]

    return resolve(0)


class Rest:
    """A logged-in session with the n8n that listens on `port`."""

    port: int

    def __init__(self) -> None:
        self.cookie = ""

    def rest(self, method: str, path: str, body: Any = None, timeout: float = 60.0) -> Any:
        """One call of the REST API. Raises RestError."""
        headers = {"Cookie": self.cookie} if self.cookie else {}
        status, answered, data = http_when_ready(self.port, method, "/rest" + path, body, headers, timeout)
        for value in answered.get_all("Set-Cookie") or []:
            first = value.split(";", 1)[0]
            if first.startswith("n8n-auth="):
                self.cookie = first
        if status >= 400:
            raise RestError(status, json.dumps(data) if not isinstance(data, str) else data)
        return data.get("data", data) if isinstance(data, dict) else data

    def create_workflow(
        self,
        name: str,
        nodes: list[dict[str, Any]],
        connections: dict[str, Any],
        settings: dict[str, Any] | None = None,
        pin_data: dict[str, Any] | None = None,
        activate: bool = True,
    ) -> dict[str, Any]:
        """Create a workflow and publish it. Returns what n8n says about it."""
        body = {
            "name": name,
            "nodes": nodes,
            "connections": connections,
            "settings": {"executionOrder": "v1", **(settings or {})},
            "active": False,
        }
        if pin_data:
            body["pinData"] = pin_data
        made: dict[str, Any] = self.rest("POST", "/workflows", body)
        if activate:
            self.rest("POST", f"/workflows/{made['id']}/activate", {"versionId": made["versionId"]})
        return made

    def call_webhook(
        self, path: str, body: Any, timeout: float = 120.0, publish_wait: float = 60.0
    ) -> tuple[int, Any, Any]:
        """POST to a production webhook. Publication is asynchronous in n8n 2.x, so
        'not registered' is retried for a while."""
        end = time.monotonic() + limit(publish_wait)
        while True:
            status, headers, data = http_when_ready(self.port, "POST", f"/webhook/{path}", body, timeout=timeout)
            if status == 404 and "not registered" in json.dumps(data) and time.monotonic() < end:
                time.sleep(0.25)
                continue
            return status, headers, data

    def executions(self, workflow_id: str, count: int = 20) -> list[dict[str, Any]]:
        """A workflow's newest executions, without their data, newest first.

        n8n gives a hundred at a time, ordered by when they began, not by their ids. So more are asked for in ranges of
        a hundred ids; or, of an n8n that has cursors instead (from 2.41 on), in hundreds that overlap by half: a cursor
        names the id that all are below, and what comes is again ordered by beginnings.
        """
        first = self._executions(workflow_id, min(count, 100))
        rows = {int(row["id"]): row for row in first["results"]}
        if count > 100 and len(rows) >= 100:
            # Those with higher ids than these hundred may have begun earlier
            below = max(rows) + 301
            while below > 1 and sum(number >= below for number in rows) < count:
                if "nextCursor" in first:
                    position, step = f"&cursor={_cursor(below)}", 50
                else:
                    position, step = f"&firstId={below - 101}&lastId={below}", 100
                rows |= {int(row["id"]): row for row in self._executions(workflow_id, 100, position)["results"]}
                below -= step
        return [rows[number] for number in sorted(rows, reverse=True)][:count]

    def _executions(self, workflow_id: str, count: int, position: str = "") -> dict[str, Any]:
        chosen = urllib.parse.quote(json.dumps({"workflowId": workflow_id}))
        page: dict[str, Any] = self.rest("GET", f"/executions?filter={chosen}&limit={count}{position}")
        return page

    def last_execution(self, workflow_id: str) -> int:
        """The id of a workflow's newest execution; 0: none yet."""
        return max((int(row["id"]) for row in self.executions(workflow_id)), default=0)

    def execution(self, execution_id: str | int) -> dict[str, Any]:
        """An execution with its data."""
        found: dict[str, Any] = self.rest("GET", f"/executions/{execution_id}")
        if isinstance(found.get("data"), str):
            found["data"] = unflatten(found["data"])
        return found

    def wait_execution(self, workflow_id: str, after: int | None = None, timeout: float = 60.0) -> dict[str, Any]:
        """The newest ended execution of a workflow (with an id greater than `after`)."""

        def newest() -> dict[str, Any] | None:
            rows = [row for row in self.executions(workflow_id) if after is None or int(row["id"]) > after]
            if not rows or any(row["status"] in UNENDED for row in rows):
                return None
            return self.execution(max(rows, key=lambda row: int(row["id"]))["id"])

        return wait_for(f"an ended execution of {workflow_id}", newest, timeout)

    def stop_execution(self, execution_id: str | int) -> Any:
        """Stop a running execution, as a person's click does."""
        return self.rest("POST", f"/executions/{execution_id}/stop", {})
