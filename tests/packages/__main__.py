"""``python -m tests.packages``: every program of the corpus, three ways. What came out goes to ``docs/packages.json``
and ``docs/packages.md``. Exit status 1 where a program fails.

Each Python writes its own column; the others stay as they were.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from typing import Any

from tests.packages import corpus, record


def judged(answers: dict[str, dict[str, Any]], program: corpus.Program) -> dict[str, str]:
    """Of each way in which the program went wrong: what it gave instead."""
    expected = {"result": program.returns}
    return {way: str(given.get("error", given)) for way, given in answers.items() if given != expected}


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.packages", description=__doc__)
    parser.add_argument("packages", nargs="*", help="only these; nothing is written down then")
    only = set(parser.parse_args().packages)
    programs = [program for program in corpus.programs() if not only or {program.package, program.key} & only]
    installed = [program for program in programs if program.installed]
    ahead, late = corpus.ahead(installed), corpus.late(installed)
    results: dict[str, dict[str, Any]] = {}
    failed = 0
    for program in installed:
        answers = {
            "plain CPython": corpus.of_python(program),
            "preloaded": ahead[program.key],
        }
        if not program.by_name:
            answers["late"] = late[program.key]
        wrong = judged(answers, program)
        failed += bool(wrong)
        print(program.key, *(f"\n    {way}: {said}" for way, said in wrong.items()) if wrong else ["ok"], flush=True)
        entry = results.setdefault(
            program.package, {"version": corpus.version(program.package), "passed": 0, "failed": {}}
        )
        entry["passed"] += not wrong
        if wrong:
            entry["failed"][program.key] = wrong
    missing = sorted({program.package for program in programs if not program.installed})
    print(f"{len(installed) - failed} passed, {failed} failed", "" if not missing else f"; not installed: {missing}")
    if not only:
        python = ".".join(map(str, sys.version_info[:3]))
        record.save(record.with_run(record.load(), python, datetime.date.today().isoformat(), results))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
