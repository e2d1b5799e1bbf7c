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
import json
import re
import sys
import threading
import time
from pathlib import Path

from case_workflows import build, expand_items
from cases import CASES
from harness import add_arguments, limit, no_n8n, nothing_chosen, nothing_left, ports, prepare_output, wait_for
from n8nctl import N8n
from outcomes import CODE_NODE, Scrub, differences, node_outputs, prints_since, shrink, tidy_error, write_json
from rest import UNENDED
from runnerctl import Runner

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


class Suite:
    def __init__(self, n8n: N8n, args, scrub):
        self.n8n, self.args, self.scrub = n8n, args, scrub
        self.workflows: dict[str, dict] = {}
        self.runner: Runner | None = None

    def run(self, case):
        wf_id = self.workflows[case["name"]]["id"]
        before = self.n8n.last_execution(wf_id)
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

        def ended():
            rows = [r for r in self.n8n.executions(wf_id, 50) if int(r["id"]) > before]
            return rows if len(rows) == case["n"] and not any(r["status"] in UNENDED for r in rows) else None

        rows = wait_for("all executions ended", ended, 30, every=0.3)
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

        def running():
            rows = (r for r in self.n8n.executions(wf_id) if int(r["id"]) > before)
            return next((r for r in rows if r["status"] == "running"), None)

        row = wait_for("a running execution", running, 20)
        time.sleep(limit(1.5))
        self.n8n.stop_execution(row["id"])
        th.join(limit(30))
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
        before = self.n8n.last_execution(wf["id"])
        self.post(probe)
        return self.n8n.wait_execution(wf["id"], after=before)["status"] == "success"


# ---- all of them --------------------------------------------------------------------------


def arguments():
    """The parsed command line."""
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(ap)
    ap.add_argument("--node", help="node binary (default: the one in --n8n-dir)")
    ap.add_argument("--n8n-env", action="append", default=[], metavar="K=V")
    ap.add_argument("--runner-cwd")
    ap.add_argument("--runner-env", action="append", default=[], metavar="K=V")
    ap.add_argument("--task-timeout", type=int, default=6, help="the runner's N8N_RUNNERS_TASK_TIMEOUT")
    ap.add_argument("--broker-task-timeout", type=int, default=12, help="n8n's N8N_RUNNERS_TASK_TIMEOUT")
    ap.add_argument("--profile", action="append", choices=list(PROFILES), help="repeatable; default: all")
    ap.add_argument("--skip-tag", action="append", default=[])
    ap.add_argument("--case-timeout", type=float, default=60.0)
    ap.add_argument("--record", metavar="FILE")
    ap.add_argument("--expect", metavar="FILE", default=str(Path(__file__).parent / "expected.json"))
    ap.add_argument("--compare", choices=("exact", "outcome"), default="outcome")
    ap.add_argument("--report", metavar="FILE", help="JSON report ('-' for stdout)")
    ap.add_argument("--keep-home", action="store_true")
    return ap.parse_args()


def run_all(args, cases, profiles):
    """Run the cases in every profile. Returns the report."""
    user_env = dict(kv.split("=", 1) for kv in args.runner_env)
    n8n_env = {
        "N8N_RUNNERS_TASK_TIMEOUT": str(round(limit(args.broker_task_timeout))),
        "N8N_RUNNERS_TASK_REQUEST_TIMEOUT": str(round(limit(20))),
        "N8N_GRACEFUL_SHUTDOWN_TIMEOUT": "5",
        **dict(kv.split("=", 1) for kv in args.n8n_env),
    }
    (port,), (broker_port,) = ports(args.port, 1), ports(args.broker_port, 1)
    n8n = N8n(args.n8n_dir, port, broker_port, n8n_env, node=args.node, keep_home=args.keep_home)
    suite, report = None, {"profiles": {}}
    try:
        n8n.start().login()
        scrub = Scrub(
            [
                (str(n8n.home), "<home>"),
                (str(Path(args.runner_cwd).resolve()) if args.runner_cwd else "", "<runner>"),
                (str(n8n.n8n_dir), "<n8n>"),
                (sys.prefix, "<prefix>"),
                (f":{port}/", ":<port>/"),
            ]
        )
        suite = Suite(n8n, args, scrub)
        log(f"n8n is up; creating {len(cases)} workflows")
        for c in cases:
            suite.workflows[c["name"]] = build(n8n, c)
        for profile in profiles:
            timeout = str(round(limit(args.task_timeout)))
            env = {"N8N_RUNNERS_TASK_TIMEOUT": timeout, **PROFILES[profile], **user_env}
            suite.runner = Runner(n8n, args.runner_cmd, args.runner_cwd, env, None, args.runner_log).start()
            rows = report["profiles"][profile] = {}
            for c in cases:
                rows[c["name"]] = row = run_one(suite, c)
                err = row.get("error", {}).get("message", "")
                log(f"{profile:9} {c['name']:34} {row['status']!s:9} {row.get('duration_ms', 0):6} ms  {err[:90]!r}")
            suite.runner.stop()
    finally:
        if suite and suite.runner:
            suite.runner.stop()
        refused = n8n.refused()
        n8n.stop()
    report["meta"] = {
        "n8n": n8n.version,
        "cases": len(cases),
        "profiles": {p: PROFILES[p] for p in profiles},
        "runner_task_timeout": args.task_timeout,
        "broker_task_timeout": args.broker_task_timeout,
        "refused_by_loopback_guard": refused,
    }
    return report


def run_one(suite, case):
    """A case's outcome; the harness's own trouble has the status `harness`."""
    restarted = False
    if not suite.runner.alive():
        suite.runner.start()
        restarted = True
    try:
        row = suite.run(case)
    except Exception as e:
        row = {"ok": False, "status": "harness", "error": {"message": f"{type(e).__name__}: {e}"}}
    if restarted:
        row["runner_restarted"] = True
    return row


def judge(report, want, how):
    """Compare outcomes with those of the original, and say where they differ. Returns (passed, failed)."""
    passed = failed = 0
    for profile, rows in report["profiles"].items():
        for name, got in rows.items():
            exp = want.get(profile, {}).get(name)
            diff = ["(nothing recorded for this case)"] if exp is None else differences(exp, got, how)
            reason = KNOWN_DIFFERENCES.get((profile, name)) if how == "outcome" else None
            if bool(diff) == bool(reason):
                passed += 1
                if reason:
                    print(f"differs as it should: {profile}/{name}: {reason}")
                continue
            failed += 1
            print(f"FAILED {profile}/{name}" + (f": no longer differs, but should: {reason}" if reason else ""))
            for line in diff[:40]:
                print("   ", line[:300])
    return passed, failed


def main():
    """Run, compare or record. Returns the exit status."""
    prepare_output()
    args = arguments()
    if no_n8n(args.n8n_dir):
        return 0
    cases = [
        c
        for c in CASES
        if (not args.only or re.search(args.only, c["name"])) and not set(c["tags"]) & set(args.skip_tag)
    ]
    if not cases:
        return nothing_chosen()
    with nothing_left():
        report = run_all(args, cases, args.profile or list(PROFILES))
    if args.record:
        write_json(args.record, report)
    if args.report == "-":
        print(json.dumps(report, indent=1, sort_keys=True))
    elif args.report:
        write_json(args.report, report)
    if args.record:
        statuses = [row["status"] for rows in report["profiles"].values() for row in rows.values()]
        failed = statuses.count("harness")
        passed = len(statuses) - failed
    else:
        want = json.loads(Path(args.expect).read_text("utf-8"))["profiles"]
        passed, failed = judge(report, want, args.compare)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def log(text):
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
