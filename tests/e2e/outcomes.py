"""What came of a case, made comparable across machines and runs, and compared."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from pathlib import Path

CODE_NODE = "Python"
BIG = 20_000
LOG_LINE = re.compile(r"^\d\d:\d\d:\d\d\.\d{3}\s|^\d{4}-\d\d-\d\dT")


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
