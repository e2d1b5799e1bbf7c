#!/usr/bin/env python3
"""Compare a runner of n8n's with ours: the whole surface, every start, every end, every row of docs/differences.toml.

  original.py --original-cmd 'CMD' [--runner-cmd 'reptarium run'] [--only REGEX] [--record]

CMD starts n8n's own Python runner (`packages/@n8n/task-runner-python` of its repository) with the environment that
it is given. Both are run beside the embedded broker; no n8n is needed. Exit status 1: an outcome is another than
the table says, which means that there is a difference that isn't in it, or a row that no longer differs.
With --record the surface's outcomes are written down instead of compared (rows are compared always).
"""

from __future__ import annotations

import argparse
import logging
import re
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog
import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from reptarium.pool.differences.table import Difference, load
from tests.integration.differences import driver, ends, recorded, rows, starts, surface

#: Runners that are started at the same time, where each item starts one.
AT_ONCE = 2
#: How the outcome begins of what a runner gave none for.
NO_OUTCOME = "no outcome: "
#: How it begins where the original's process for a task died.
DIED = "! Task subprocess exited with code"
#: Programs that one runner is given before what they gave is kept.
PORTION = 200
#: Seconds that a start or an end may take at most.
LONGEST = 300.0 * driver.FACTOR


async def of_surface(command: str, items: list[surface.Item]) -> dict[str, str]:
    """What each item gives under ``command``."""
    by_profile: dict[str, list[surface.Item]] = defaultdict(list)
    for item in items:
        by_profile[item.profile].append(item)
    found: dict[str, str] = {}
    for profile, group in by_profile.items():
        for start in range(0, len(group), PORTION):
            part = group[start : start + PORTION]
            log(f"  {profile}: {start} of {len(group)}")
            try:
                took = await driver.run_programs(
                    command, surface.PROFILES[profile], [surface.settings(i) for i in part]
                )
            except Exception as error:
                found |= {i.id: nothing(error) for i in part}
            else:
                found |= {i.id: recorded.written(i.id, one.outcome) for i, one in zip(part, took, strict=True)}
    return found


async def of_processes(command: str, only: re.Pattern[str]) -> dict[str, str]:
    """What each start and each end comes to."""
    found: dict[str, str] = {}
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def note(name: str, ask: Callable[[], Awaitable[str]]) -> None:
        async with limiter:
            try:
                with trio.fail_after(LONGEST):
                    found[name] = await ask()
            except Exception as error:
                found[name] = nothing(error)
            if len(found) % 25 == 0:
                log(f"  {len(found)} starts and ends")

    with tempfile.TemporaryDirectory() as folder:
        async with trio.open_nursery() as nursery:
            for start in starts.starts():
                if only.search(start.id):
                    nursery.start_soon(note, start.id, partial(starts.outcome, command, start, Path(folder)))
            for name, scenario in ends.SCENARIOS.items():
                if only.search(name):
                    nursery.start_soon(note, name, partial(scenario, command))
    return found


async def asked_again(
    command: str, items: list[surface.Item], found: dict[str, str], table: dict[str, recorded.Pair]
) -> dict[str, str]:
    """What the original gives for the programs that its processes died of, when it is asked once more.

    One in some thousands of them ends with status 255 on a busy machine, whatever its program. Ours isn't asked again.
    """
    died = [
        item
        for item in items
        if found[item.id].startswith(DIED) and item.id in table and not table[item.id].original.startswith(DIED)
    ]
    if not died:
        return {}
    log(f"original: {len(died)} programs again, whose process died: {', '.join(item.id for item in died)}")
    return await of_surface(command, died)


async def of_rows(command: str, table_rows: list[Difference]) -> list[tuple[rows.Shown, driver.Took]]:
    """What each row's programs give."""
    found = []
    for environ, shown in rows.by_environment(table_rows):
        took = await driver.run_programs(command, environ, [one.settings for one in shown])
        found += list(zip(shown, took, strict=True))
    return found


async def both(arguments: argparse.Namespace) -> int:
    """Run everything under both; returns the exit status."""
    only = re.compile(arguments.only)
    items = [item for item in surface.items() if only.search(item.id)]
    found: dict[str, dict[str, str]] = {}
    for label, command in (("original", arguments.original_cmd), ("ours", arguments.runner_cmd)):
        log(f"{label}: {len(items)} programs, then starts and ends")
        found[label] = await of_surface(command, items) | await of_processes(command, only)
    table = recorded.load() if recorded.PATH.exists() else {}
    found["original"] |= await asked_again(arguments.original_cmd, items, found["original"], table)
    pairs = {name: recorded.Pair(outcome, found["ours"][name]) for name, outcome in found["original"].items()}
    wrong = 0
    if arguments.record:
        # error texts are Python's own: from another one come only the modules that it alone has
        own = sys.version_info[:2] == recorded.PYTHON
        given = {name: pair for name, pair in pairs.items() if not any(one.startswith(NO_OUTCOME) for one in pair)}
        recorded.save(table | {name: pair for name, pair in given.items() if own or name not in table})
    else:
        for name, pair in pairs.items():
            expected = table.get(name)
            if expected is None:
                wrong += say(name, "is not in surface.json", f"original: {pair.original}", f"ours: {pair.ours}")
                continue
            for label, was, now in zip(("original", "ours"), expected, pair, strict=True):
                if not recorded.same(name, was, now):
                    wrong += say(name, f"{label}, as recorded: {was}", f"{label}, now: {now}")

    table_rows = [row for row in load().row if only.search(row.id)]
    programs = 0
    for label, command in (("original", arguments.original_cmd), ("ours", arguments.runner_cmd)):
        log(f"{label}: {sum(len(row.program) for row in table_rows)} programs of rows")
        for shown, took in await of_rows(command, table_rows):
            programs += 1
            wrong += sum(say(shown.id, f"{label}: {line}") for line in shown.wrong(label, took))
    differing = sum(pair.original != pair.ours for pair in pairs.values())
    print(
        f"{len(pairs)} items of the surface, {differing} differ; {len(table_rows)} rows, {programs // 2} programs; "
        f"{wrong} not as the table says"
    )
    return 1 if wrong else 0


def nothing(error: Exception) -> str:
    """What is noted where a runner gave no outcome: a busy machine shouldn't cost the half hour before it."""
    return f"{NO_OUTCOME}{type(error).__name__}: {error}"


def say(name: str, *lines: str) -> int:
    """One finding; counts as 1."""
    print(f"--- {name}", *(f"    {line}" for line in lines), sep="\n", flush=True)
    return 1


def log(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original-cmd", default="", metavar="CMD")
    parser.add_argument("--runner-cmd", default=driver.OWN, metavar="CMD")
    parser.add_argument("--only", default="", metavar="REGEX", help="items and rows whose id has it")
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    if not arguments.original_cmd:
        print("skipped: no --original-cmd (see tests/e2e/README.md)")
        return 0
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
        signal.signal(signal.SIGHUP, lambda *_: None)  # unlike an ignored signal, a handled one isn't inherited
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return trio.run(both, arguments)


if __name__ == "__main__":
    sys.exit(main())
