#!/usr/bin/env python3
"""Run Python Code nodes through a real n8n and an external Python task runner.

  e2e.py --n8n-dir DIR --runner-cmd 'reptarium run' \
         [--profile star --profile allowlist --profile open] [--report FILE]

DIR is what setup.sh made; without it everything is skipped. The runner is started by this
script, once per profile, with N8N_RUNNERS_GRANT_TOKEN (fresh), N8N_RUNNERS_AUTH_TOKEN and
N8N_RUNNERS_TASK_BROKER_URI set. Outcomes are compared with expected.json, which was recorded with
n8n's own Python runner; KNOWN_DIFFERENCES are those where ours is another, and why.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import difflib
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from cases import CASES
from n8nctl import AUTH_TOKEN, HOST, N8n, link, node

PROFILES = {
    # everything in the standard library, default denied builtins
    "star": {"N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_EXTERNAL_ALLOW": ""},
    # a small explicit list, as an administrator would write it
    "allowlist": {
        "N8N_RUNNERS_STDLIB_ALLOW": "json, re,math,datetime,collections,itertools,functools",
        "N8N_RUNNERS_EXTERNAL_ALLOW": "",
    },
    # standard library and all builtins, so that classes, getattr, open ... get past the runner's checks
    "open": {
        "N8N_RUNNERS_STDLIB_ALLOW": "*",
        "N8N_RUNNERS_EXTERNAL_ALLOW": "*",
        "N8N_RUNNERS_BUILTINS_DENY": "",
    },
}
_CLASSES = "class statements work: the original forbids them by default for lack of a sandbox"
_NAN = "NaN and infinities become null: the original sends invalid JSON, and the task hangs until n8n's time-out"
_STRFTIME = "strftime works where datetime is allowed: in the original it needs an import that is not"
_PROCESSES = "no setting lets a task start processes: '*' turns off the import check, not the sandbox"
#: (profile, case): the outcome is another than the original's, and right.
KNOWN_DIFFERENCES = {
    ("star", "class_simple"): _CLASSES,
    ("allowlist", "class_simple"): _CLASSES,
    ("star", "nan_infinity_output"): _NAN,
    ("allowlist", "nan_infinity_output"): _NAN,
    ("open", "nan_infinity_output"): _NAN,
    ("allowlist", "datetime_parse_format"): _STRFTIME,
    ("star", "import_subprocess"): _PROCESSES,
    ("open", "import_subprocess"): _PROCESSES,
}
CODE_NODE = "Python"
BIG = 20_000
LOG_LINE = re.compile(r"^\d\d:\d\d:\d\d\.\d{3}\s|^\d{4}-\d\d-\d\dT")


# ---- workflows ------------------------------------------------------------------


def expand_items(items):
    """Cases with large inputs describe them instead of holding them."""
    if not (isinstance(items, dict) and "make" in items):
        return items
    if items["make"] == "rows":
        return [{"n": i, "name": f"row {i}", "blob": "abcdefghij" * (items["blob"] // 10)} for i in range(items["n"])]
    return [{"blob": "0123456789" * (items["blob"] // 10)}]


def code_node(case, pos):
    extra = {}
    if case["on_error"]:
        extra["onError"] = case["on_error"]
    mode = "runOnceForAllItems" if case["mode"] == "all" else "runOnceForEachItem"
    return node(
        CODE_NODE,
        "n8n-nodes-base.code",
        2,
        {"mode": mode, "language": "pythonNative", "pythonCode": case["code"]},
        pos,
        **extra,
    )


def webhook_node(case):
    return node(
        "Webhook",
        "n8n-nodes-base.webhook",
        2,
        {
            "httpMethod": "POST",
            "path": case["name"],
            "responseMode": "lastNode",
            "responseData": "allEntries",
            "options": {},
        },
        0,
        webhookId=case["name"],
    )


def build(n8n: N8n, case):
    """Create (and publish) the workflow of a case."""
    kind, settings, pin = case["kind"], {}, None
    if kind == "tool":
        tool_params = {"description": "e2e", "language": "python", "pythonCode": case["code"]}
        if case.get("schema"):
            tool_params |= {
                "specifyInputSchema": True,
                "schemaType": "fromJson",
                "jsonSchemaExample": json.dumps(case["items"]),
            }
        nodes = [
            webhook_node(case),
            node(
                "Executor",
                "@n8n/n8n-nodes-langchain.toolExecutor",
                1,
                {"query": json.dumps({CODE_NODE: case["items"]}), "toolName": CODE_NODE},
                1,
            ),
            node(CODE_NODE, "@n8n/n8n-nodes-langchain.toolCode", 1.3, tool_params, 2),
        ]
        conns = link("Webhook", "Executor")
        conns[CODE_NODE] = {"ai_tool": [[{"node": "Executor", "type": "ai_tool", "index": 0}]]}
        return n8n.create_workflow(case["name"], nodes, conns)
    if kind == "manual":
        nodes = [node("Manual", "n8n-nodes-base.manualTrigger", 1, {}, 0), code_node(case, 1)]
        return n8n.create_workflow(
            case["name"],
            nodes,
            link("Manual", CODE_NODE),
            activate=False,
            pin_data={"Manual": [{"json": i} for i in case["items"]]},
        )
    if kind == "exec_timeout":
        settings["executionTimeout"] = 2
    nodes = [
        webhook_node(case),
        node(
            "Split",
            "n8n-nodes-base.splitOut",
            1,
            {"fieldToSplitOut": "body.items", "options": {}},
            1,
            alwaysOutputData=True,
        ),
    ]
    chain = ["Webhook", "Split"]
    if case.get("pre") == "to_file":
        nodes.append(
            node(
                "ToFile",
                "n8n-nodes-base.convertToFile",
                1.1,
                {"operation": "toText", "sourceProperty": "text", "options": {"fileName": "a.txt"}},
                2,
            )
        )
        chain.append("ToFile")
    nodes.append(code_node(case, 3))
    chain.append(CODE_NODE)
    conns = link(*chain)
    if case["on_error"] == "continueErrorOutput":
        nodes += [node("Good", "n8n-nodes-base.noOp", 1, {}, 4), node("Bad", "n8n-nodes-base.noOp", 1, {}, 4)]
        conns[CODE_NODE] = {
            "main": [
                [{"node": "Good", "type": "main", "index": 0}],
                [{"node": "Bad", "type": "main", "index": 0}],
            ]
        }
    return n8n.create_workflow(case["name"], nodes, conns, settings=settings, pin_data=pin)


# ---- the runner under test ----------------------------------------------------------


class Runner:
    def __init__(self, n8n: N8n, cmd, cwd, env, broker_port, log_path):
        self.n8n, self.cmd, self.cwd, self.broker_port = n8n, cmd, cwd, broker_port
        self.env, self.log_path = env, log_path
        self.proc: subprocess.Popen | None = None

    def start(self, timeout=40.0):
        before = self.n8n.log_text().count("Registered runner")
        env = {k: v for k, v in os.environ.items() if not k.startswith("N8N_")}
        env.update(
            N8N_RUNNERS_AUTH_TOKEN=AUTH_TOKEN,
            N8N_RUNNERS_TASK_BROKER_URI=f"http://{HOST}:{self.broker_port}",
            PYTHONUNBUFFERED="1",
            TZ="UTC",
            **self.env,
        )
        env["N8N_RUNNERS_GRANT_TOKEN"] = self.n8n.grant_token()
        log = open(self.log_path, "ab") if self.log_path else subprocess.DEVNULL  # noqa: SIM115 (the child's)
        self.proc = subprocess.Popen(
            shlex.split(self.cmd),
            cwd=self.cwd or None,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.proc.poll() is not None:
                raise RuntimeError(f"runner exited with {self.proc.returncode} (see --runner-log)")
            if self.n8n.log_text().count("Registered runner") > before:
                time.sleep(0.5)  # first offers
                return self
            time.sleep(0.1)
        self.stop()
        raise RuntimeError("runner did not register with n8n (see --runner-log)")

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def stop(self, grace=15.0):
        if self.alive():
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(grace)
            except subprocess.TimeoutExpired:
                os.killpg(self.proc.pid, signal.SIGKILL)
                self.proc.wait()


# ---- running one case ----------------------------------------------------------------


class Scrub:
    """Make results comparable across machines and runs."""

    def __init__(self, pairs):
        self.pairs = [(a, b) for a, b in pairs if a]

    def text(self, s):
        for a, b in self.pairs:
            s = s.replace(a, b)
        return re.sub(r"0x[0-9a-f]{6,}", "0x?", s)

    def __call__(self, v):
        if isinstance(v, str):
            return self.text(v)
        if isinstance(v, list):
            return [self(x) for x in v]
        if isinstance(v, dict):
            return {self.text(k): self(x) for k, x in v.items()}
        return v


def shrink(value):
    """Large values are compared by digest."""
    text = json.dumps(value, sort_keys=True)
    if len(text) <= BIG:
        return value
    return {
        "digest": hashlib.sha256(text.encode()).hexdigest(),
        "chars": len(text),
        "n": len(value) if hasattr(value, "__len__") else None,
    }


def tidy_item(item):
    out = {k: v for k, v in item.items() if k != "binary"}
    if isinstance(item.get("binary"), dict):
        out["binary"] = {
            k: {f: b[f] for f in sorted(b) if f not in ("data", "id", "directory", "bytes")}
            if isinstance(b, dict)
            else b
            for k, b in item["binary"].items()
        }
    if isinstance(out.get("error"), dict):
        out["error"] = tidy_error(out["error"])
    return out


def tidy_error(err):
    keep = ("name", "message", "description", "lineNumber", "messages", "context", "level", "itemIndex")
    out = {k: err[k] for k in keep if err.get(k) not in (None, [], {}, "")}
    if isinstance(err.get("cause"), dict):
        cause = {k: err["cause"][k] for k in ("name", "message", "description") if err["cause"].get(k)}
        if cause:
            out["cause"] = cause
    return out


def node_outputs(execution, name):
    runs = execution["data"]["resultData"]["runData"].get(name) or []
    if not runs:
        return None
    data = runs[-1].get("data") or {}
    ports = next(iter(data.values()), [])
    return [[tidy_item(i) for i in port] if port is not None else None for port in ports]


def prints_since(n8n, offset, workflow_id):
    """console lines that n8n printed for this workflow (CODE_ENABLE_STDOUT)."""
    with open(n8n.log_path, "rb") as fh:
        fh.seek(offset)
        text = fh.read().decode("utf-8", "replace")
    prefix, out, inside = f'[Workflow "{workflow_id}"][Node "{CODE_NODE}"]', [], False
    for line in text.splitlines():
        if line.startswith(prefix):
            out.append(line[len(prefix) + 1 :])
            inside = True
        elif LOG_LINE.match(line) or line.startswith("[Workflow "):
            inside = False
        elif inside:
            out[-1] += "\n" + line
    return out


class Suite:
    def __init__(self, n8n: N8n, args, scrub):
        self.n8n, self.args, self.scrub = n8n, args, scrub
        self.workflows: dict[str, dict] = {}
        self.runner: Runner | None = None

    def last_id(self, wf_id):
        return max((int(r["id"]) for r in self.n8n.executions(wf_id)), default=0)

    def run(self, case):
        wf_id = self.workflows[case["name"]]["id"]
        before = self.last_id(wf_id)
        offset = self.n8n.log_path.stat().st_size
        t0 = time.monotonic()
        result = getattr(self, "kind_" + case["kind"])(case, wf_id, before)
        result["duration_ms"] = round((time.monotonic() - t0) * 1000)
        prints = prints_since(self.n8n, offset, wf_id)
        if prints:
            result["prints"] = prints
        for key in ("response", "outputs", "prints"):
            if key in result:
                result[key] = shrink(result[key])
        return self.scrub(result)

    def post(self, case, items=None):
        body = {"items": expand_items(case["items"] if items is None else items)}
        status, _, data = self.n8n.call_webhook(case["name"], body)
        if isinstance(data, dict):
            data = {k: v for k, v in data.items() if k not in ("stacktrace", "executionId")}
        return status, data

    def finish(self, wf_id, before, http=None, response=None, name=CODE_NODE):
        ex = self.n8n.wait_execution(wf_id, after=before, timeout=self.args.case_timeout)
        res = ex["data"]["resultData"]
        out = {"ok": ex["status"] == "success", "status": ex["status"]}
        if http is not None:
            out |= {"http": http, "response": response}
        outputs = node_outputs(ex, name)
        if outputs is not None:
            out["outputs"] = outputs
        if res.get("error"):
            out["error"] = tidy_error(res["error"])
        out["last_node"] = res.get("lastNodeExecuted")
        return out

    def kind_webhook(self, case, wf_id, before):
        http, response = self.post(case)
        return self.finish(wf_id, before, http, response)

    def kind_tool(self, case, wf_id, before):
        http, response = self.post(case, [])
        return self.finish(wf_id, before, http, response)

    def kind_parallel(self, case, wf_id, before):
        with concurrent.futures.ThreadPoolExecutor(case["n"]) as pool:
            got = list(pool.map(lambda i: self.post(case, [{"who": i}]), range(case["n"])))
        time.sleep(0.5)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            rows = [r for r in self.n8n.executions(wf_id, 50) if int(r["id"]) > before]
            if len(rows) == case["n"] and all(r["status"] not in ("running", "new") for r in rows):
                break
            time.sleep(0.2)
        return {
            "ok": all(r["status"] == "success" for r in rows),
            "status": sorted({r["status"] for r in rows}),
            "http": sorted({h for h, _ in got}),
            "response": [d for _, d in got],
        }

    def kind_stop(self, case, wf_id, before):
        box = {}
        th = threading.Thread(
            target=lambda: box.update(zip(("http", "response"), self.post(case), strict=True)), daemon=True
        )
        th.start()
        row, end = None, time.monotonic() + 20
        while row is None and time.monotonic() < end:
            row = next(
                (r for r in self.n8n.executions(wf_id) if int(r["id"]) > before and r["status"] == "running"),
                None,
            )
            time.sleep(0.1)
        time.sleep(1.5)
        self.n8n.stop_execution(row["id"])
        th.join(30)
        out = self.finish(wf_id, before, box.get("http"), box.get("response"))
        out["still_works"] = self.still_works()
        return out

    def kind_exec_timeout(self, case, wf_id, before):
        http, response = self.post(case)
        out = self.finish(wf_id, before, http, response)
        out["still_works"] = self.still_works()
        return out

    def kind_manual(self, case, wf_id, before):
        self.n8n.rest("POST", f"/workflows/{wf_id}/run", {"triggerToStartFrom": {"name": "Manual"}})
        return self.finish(wf_id, before)

    def still_works(self):
        probe = next(c for c in CASES if c["name"] == "passthrough")
        wf = self.workflows.get("passthrough") or self.workflows.setdefault("passthrough", build(self.n8n, probe))
        before = self.last_id(wf["id"])
        self.post(probe)
        return self.n8n.wait_execution(wf["id"], after=before)["status"] == "success"


# ---- comparison ---------------------------------------------------------------------------


def comparable(result, how):
    out = {k: v for k, v in result.items() if k not in ("duration_ms", "runner_restarted")}
    if how == "exact":
        return out
    # outcome: did it succeed, and if so with which items; error and print texts are the runner's own
    keep = {k: out[k] for k in ("ok", "status", "http", "still_works") if k in out}
    if out.get("ok"):
        for key in ("outputs", "response"):
            if key in out and not any(w in json.dumps(out[key]) for w in ('"error"',)):
                keep[key] = out[key]
    return keep


def differences(expected, got, how):
    a = json.dumps(comparable(expected, how), indent=1, sort_keys=True, ensure_ascii=False).splitlines()
    b = json.dumps(comparable(got, how), indent=1, sort_keys=True, ensure_ascii=False).splitlines()
    return list(difflib.unified_diff(a, b, "expected", "got", lineterm="", n=0))[2:]


def write_json(path, value):
    Path(path).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--n8n-dir", help="folder made by setup.sh; without it everything is skipped")
    ap.add_argument("--node", help="node binary (default: the one in --n8n-dir)")
    ap.add_argument("--port", type=int, default=5688)
    ap.add_argument("--broker-port", type=int, default=5689)
    ap.add_argument("--n8n-env", action="append", default=[], metavar="K=V")
    ap.add_argument("--runner-cmd", required=True)
    ap.add_argument("--runner-cwd")
    ap.add_argument("--runner-env", action="append", default=[], metavar="K=V")
    ap.add_argument("--runner-log", metavar="FILE")
    ap.add_argument("--task-timeout", type=int, default=6, help="the runner's N8N_RUNNERS_TASK_TIMEOUT")
    ap.add_argument("--broker-task-timeout", type=int, default=12, help="n8n's N8N_RUNNERS_TASK_TIMEOUT")
    ap.add_argument("--profile", action="append", choices=list(PROFILES), help="repeatable; default: all")
    ap.add_argument("--only", metavar="REGEX")
    ap.add_argument("--skip-tag", action="append", default=[])
    ap.add_argument("--case-timeout", type=float, default=60.0)
    ap.add_argument("--record", metavar="FILE")
    ap.add_argument("--expect", metavar="FILE", default=str(Path(__file__).parent / "expected.json"))
    ap.add_argument("--compare", choices=("exact", "outcome"), default="outcome")
    ap.add_argument("--report", metavar="FILE", help="JSON report ('-' for stdout)")
    ap.add_argument("--keep-home", action="store_true")
    args = ap.parse_args()
    if not args.n8n_dir or not Path(args.n8n_dir, "node_modules", "n8n").is_dir():
        print(f"skipped: no n8n in '{args.n8n_dir or ''}' (see tests/e2e/README.md)")
        return 0

    cases = [
        c
        for c in CASES
        if (not args.only or re.search(args.only, c["name"])) and not set(c["tags"]) & set(args.skip_tag)
    ]
    profiles = args.profile or list(PROFILES)
    user_env = dict(kv.split("=", 1) for kv in args.runner_env)
    n8n_env = {
        "N8N_RUNNERS_TASK_TIMEOUT": str(args.broker_task_timeout),
        "N8N_RUNNERS_TASK_REQUEST_TIMEOUT": "20",
        "N8N_GRACEFUL_SHUTDOWN_TIMEOUT": "5",
        **dict(kv.split("=", 1) for kv in args.n8n_env),
    }
    n8n = N8n(args.n8n_dir, args.port, args.broker_port, n8n_env, node=args.node, keep_home=args.keep_home)
    suite, report = None, {"profiles": {}}
    try:
        n8n.start().login()
        scrub = Scrub(
            [
                (str(n8n.home), "<home>"),
                (str(Path(args.runner_cwd).resolve()) if args.runner_cwd else "", "<runner>"),
                (str(n8n.n8n_dir), "<n8n>"),
                (sys.prefix, "<prefix>"),
                (f":{args.port}/", ":<port>/"),
            ]
        )
        suite = Suite(n8n, args, scrub)
        log(f"n8n is up; creating {len(cases)} workflows")
        for c in cases:
            suite.workflows[c["name"]] = build(n8n, c)
        for profile in profiles:
            env = {"N8N_RUNNERS_TASK_TIMEOUT": str(args.task_timeout), **PROFILES[profile], **user_env}
            suite.runner = Runner(
                n8n,
                args.runner_cmd,
                args.runner_cwd,
                env,
                args.broker_port,
                args.runner_log,
            )
            suite.runner.start()
            rows = report["profiles"][profile] = {}
            for c in cases:
                restarted = False
                if not suite.runner.alive():
                    suite.runner.start()
                    restarted = True
                try:
                    row = suite.run(c)
                except Exception as e:
                    row = {"ok": False, "status": "harness", "error": {"message": f"{type(e).__name__}: {e}"}}
                if restarted:
                    row["runner_restarted"] = True
                rows[c["name"]] = row
                err = row.get("error", {}).get("message", "")
                log(f"{profile:9} {c['name']:34} {row['status']!s:9} {row.get('duration_ms', 0):6} ms  {err[:90]!r}")
            suite.runner.stop()
    finally:
        if suite and suite.runner:
            suite.runner.stop()
        refused = n8n.refused() if n8n.log_path else []
        n8n.stop()

    report["meta"] = {
        "n8n": json.loads((n8n.n8n_dir / "node_modules/n8n/package.json").read_text())["version"],
        "cases": len(cases),
        "profiles": {p: PROFILES[p] for p in profiles},
        "runner_task_timeout": args.task_timeout,
        "broker_task_timeout": args.broker_task_timeout,
        "refused_by_loopback_guard": refused,
    }
    if args.record:
        write_json(args.record, report)
    if args.report == "-":
        print(json.dumps(report, indent=1, sort_keys=True))
    elif args.report:
        write_json(args.report, report)

    passed = failed = 0
    if not args.record:
        want = json.loads(Path(args.expect).read_text("utf-8"))["profiles"]
        for profile, rows in report["profiles"].items():
            for name, got in rows.items():
                exp = want.get(profile, {}).get(name)
                diff = ["(nothing recorded for this case)"] if exp is None else differences(exp, got, args.compare)
                reason = KNOWN_DIFFERENCES.get((profile, name))
                if reason is not None and args.compare == "outcome":
                    if diff:
                        passed += 1
                        print(f"differs as it should: {profile}/{name}: {reason}")
                    else:
                        failed += 1
                        print(f"--- {profile}/{name}: no longer differs, but should: {reason}")
                elif diff:
                    failed += 1
                    print(f"--- {profile}/{name}")
                    for line in diff[:40]:
                        print("   ", line[:300])
                else:
                    passed += 1
    else:
        for rows in report["profiles"].values():
            passed += sum(r["status"] != "harness" for r in rows.values())
            failed += sum(r["status"] == "harness" for r in rows.values())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def log(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
