#!/usr/bin/env python3
"""Scenarios on a real n8n as people run it: alone, or with PostgreSQL, Redis and two workers.

  live.py --mode plain|queue --n8n-dir DIR --runner-cmd 'reptarium run' [--only REGEX]

Everything is private, on loopback, and ended in the end. After each scenario the runner must be wholly at rest:
no task runs, every broker is connected, every slot is offered. Exit status: 1 when a scenario failed, 2 when
something that queue mode needs isn't installed.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import traceback

from harness import add_arguments, no_n8n, nothing_chosen, nothing_left, prepare_output
from scenarios import agent, faults, files, flow, load
from services import Missing
from stage import SCENARIOS, Scenario, Stage

#: In the order in which they are imported here: what is simple first.
SUBJECTS = (flow, files, agent, load, faults)


def choose(mode: str, only: str | None) -> list[Scenario]:
    """The scenarios of a mode that --only leaves, what is simple first."""
    order = [module.__name__ for module in SUBJECTS]
    chosen = [one for one in SCENARIOS if mode in one.modes and (not only or re.search(only, one.name))]
    return sorted(chosen, key=lambda one: order.index(one.play.__module__))


def perform(stage: Stage, chosen: list[Scenario]) -> tuple[int, int]:
    """Run scenarios. Returns how many passed and failed."""
    passed = failed = 0
    for one in chosen:
        began = time.monotonic()
        try:
            one.play(stage)
            stage.settle()
            dead = [child.name for child in (*stage.brokers, stage.runner) if not child.alive()]
            assert not dead, f"no longer there: {dead}"
        except Exception as error:
            failed += 1
            where = "".join(traceback.format_tb(error.__traceback__)[-2:])
            print(f"FAILED {one.name}: {type(error).__name__}: {error}\n{where}", flush=True)
            revive(stage)
        else:
            passed += 1
            print(f"passed {one.name} ({time.monotonic() - began:.1f} s)", flush=True)
    return passed, failed


def revive(stage: Stage) -> None:
    """Start again what a failed scenario left dead, so that the next one isn't its victim."""
    for child in (*stage.brokers, stage.runner):
        if not child.alive():
            child.start()
    stage.main.login()


def main() -> int:
    """Run the scenarios of a mode. Returns the exit status."""
    prepare_output()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--mode", choices=("plain", "queue"), required=True)
    parser.add_argument("--node", help="node binary (default: the one in --n8n-dir)")
    parser.add_argument("--keep", action="store_true", help="keep folders and logs")
    args = parser.parse_args()
    if no_n8n(args.n8n_dir):
        return 0
    chosen = choose(args.mode, args.only)
    if not chosen:
        return nothing_chosen()
    with nothing_left():
        try:
            stage = Stage(args, args.mode)
        except Missing as missing:
            print(f"cannot run: {missing}", file=sys.stderr)
            return 2
        try:
            began = time.monotonic()
            stage.start()
            print(f"n8n {stage.main.version}, {args.mode} mode, is up ({time.monotonic() - began:.0f} s)", flush=True)
            for service in stage.services:
                print(f"      {service.name} {service.version}", flush=True)
            passed, failed = perform(stage, chosen)
        finally:
            stage.stop()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
