"""``python -m tests.packages``: every program of the corpus, three ways. What came out goes to ``docs/packages.json``
and ``docs/packages.md``. Exit status 1 where a program fails, or
a package isn't installed.

Each Python writes its own column; the others stay as they were.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import sys
from collections.abc import Callable
from typing import Any

from tests.packages import corpus, record


def judged(answers: dict[str, dict[str, Any]], program: corpus.Program) -> dict[str, str]:
    """Of each way in which the program went wrong: what it gave instead."""
    expected = {"result": program.returns}
    return {way: str(given.get("error", given)) for way, given in answers.items() if given != expected}


def counter(way: str, total: int) -> Callable[[str], None]:
    """What prints a line for each program that has run this way."""
    numbers = itertools.count(1)
    return lambda key: print(f"{way} {next(numbers)}/{total}: {key}", flush=True)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.packages", description=__doc__)
    parser.add_argument("packages", nargs="*", help="only these; nothing is written down then")
    only = set(parser.parse_args().packages)
    programs = [program for program in corpus.programs() if not only or {program.package, program.key} & only]
    installed = [program for program in programs if program.installed]
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"Python {python}: {len(installed)} programs of {len({program.package for program in installed})} packages")
    ahead = corpus.ahead(installed, counter("preloaded", len(installed)))
    late = corpus.late(installed, counter("late", sum(not program.by_name for program in installed)))
    of_python: dict[str, Any] = {}
    count = counter("plain CPython", len(installed))
    for program in installed:
        of_python[program.key] = corpus.of_python(program)
        count(program.key)
    results: dict[str, dict[str, Any]] = {}
    failures: dict[str, dict[str, str]] = {}
    for program in installed:
        answers = {"plain CPython": of_python[program.key], "preloaded": ahead[program.key]}
        if not program.by_name:
            answers["late"] = late[program.key]
        wrong = judged(answers, program)
        entry = results.setdefault(
            program.package, {"version": corpus.version(program.package), "passed": 0, "failed": {}}
        )
        entry["passed"] += not wrong
        if wrong:
            entry["failed"][program.key] = failures[program.key] = wrong
    for key, wrong in failures.items():
        print(f"FAILED {key}", *(f"{way}: {said}" for way, said in wrong.items()), sep="\n    ")
    missing = sorted({program.package for program in programs if not program.installed})
    print(f"not installed: {', '.join(missing)}" if missing else "all packages are installed")
    print(f"{len(installed) - len(failures)} programs passed, {len(failures)} failed")
    if any(map(corpus.runner_failed, (*ahead.values(), *late.values()))):
        print("nothing is written down: the runner itself failed, or the machine was too busy")
    elif not only:
        record.save(record.with_run(record.load(), python, datetime.date.today().isoformat(), results))
    return bool(failures or missing)


if __name__ == "__main__":
    sys.exit(main())
