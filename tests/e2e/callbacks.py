#!/usr/bin/env python3
"""User code's calls into a real n8n: HTTP, binary data, other nodes, static and custom data.

  callbacks.py --n8n-dir DIR --runner-cmd 'reptarium run' [--only REGEX]

Starts a private n8n, an HTTP server on loopback and the runner, and runs each case as a workflow
Webhook → Split → Fields → File → Python: two items, each with a text file. A case's ``check`` looks at
what n8n saved.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
from http.server import ThreadingHTTPServer
from typing import Any

from callback_cases import CASES, RUNNERS, Case
from harness import HOST, add_arguments, free_ports, no_n8n, nothing_chosen, nothing_left, ports, prepare_output
from n8nctl import N8n
from runnerctl import Runner
from web import Web
from workflows import link, node, python, split, webhook


def build(n8n: N8n, one: Case, web: str) -> dict[str, Any]:
    """Create and publish the workflow of a case."""
    text = {"id": "a", "name": "text", "value": "={{ $json.text }}!", "type": "string"}
    fields = {"assignments": {"assignments": [text]}, "includeOtherFields": True, "options": {}}
    to_file = {"operation": "toText", "sourceProperty": "text", "options": {"fileName": "a.txt"}}
    nodes = [
        webhook(one.name),
        split(),
        node("Fields", "n8n-nodes-base.set", 3.4, fields, 2),
        node("File", "n8n-nodes-base.convertToFile", 1.1, to_file, 3),
        python(one.code.replace("@WEB@", web), each=one.each, pos=4),
        node("Unrun", "n8n-nodes-base.set", 3.4, {}, 5),
    ]
    chain = link("Webhook", "Split", "Fields", "File", "Python")
    settings = {"timezone": "Europe/Berlin"} | ({"executionTimeout": one.time_limit} if one.time_limit else {})
    return n8n.create_workflow(one.name, nodes, chain, settings=settings)


def run(n8n: N8n, one: Case, workflow: dict[str, Any]) -> None:
    """Run a case and check it. Raises AssertionError."""
    before = max((int(row["id"]) for row in n8n.executions(workflow["id"])), default=0)
    items = [{"text": "one"}, {"text": "two"}]
    for _ in range(one.runs):
        n8n.call_webhook(one.name, {"items": items})
        execution = n8n.wait_execution(workflow["id"], after=before)
        before = int(execution["id"])
    data = execution["data"]["resultData"]
    if execution["status"] != "success":
        raise AssertionError(f"{execution['status']}: {json.dumps(data.get('error'))[:1500]}")
    (output,) = data["runData"]["Python"][-1]["data"]["main"]
    one.check(execution, output)


def chosen(args: argparse.Namespace) -> list[Case]:
    """The cases that --only leaves."""
    return [one for one in CASES if not args.only or re.search(args.only, one.name)]


def run_all(args: argparse.Namespace, n8n: N8n, web: str) -> tuple[int, int]:
    """Run the cases, each on a runner with its settings. Returns how many passed and failed."""
    failed = passed = 0
    health = args.health_port or free_ports(1)[0]
    for settings, environ in RUNNERS.items():
        mine = [one for one in chosen(args) if one.runner == settings]
        if not mine:
            continue
        environ = {
            "N8N_RUNNERS_STDLIB_ALLOW": "*",
            "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": str(health),
            **environ,
        }
        runner = Runner(n8n, args.runner_cmd, None, environ, None, args.runner_log).start()
        try:
            for one in mine:
                try:
                    run(n8n, one, build(n8n, one, web))
                except Exception as error:
                    failed += 1
                    print(f"FAILED {one.name}: {type(error).__name__}: {error}", flush=True)
                else:
                    passed += 1
                    print(f"passed {one.name}", flush=True)
        finally:
            runner.stop()
    return passed, failed


def main() -> int:
    """Run the cases. Returns the exit status."""
    prepare_output()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--health-port", type=int, default=0, help="of the runner; 0: the system chooses")
    args = parser.parse_args()
    if no_n8n(args.n8n_dir):
        return 0
    if not chosen(args):
        return nothing_chosen()
    web = ThreadingHTTPServer((HOST, 0), Web)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    n8n = N8n(
        args.n8n_dir,
        *ports(args.port, 1),
        *ports(args.broker_port, 1),
        {"N8N_BLOCK_ENV_ACCESS_IN_NODE": "false", "COLOUR": "blue", "MY_SECRET": "x"},
    )
    with nothing_left():
        try:
            n8n.start().login()
            passed, failed = run_all(args, n8n, f"http://{HOST}:{web.server_address[1]}")
        finally:
            n8n.stop()
            web.shutdown()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
