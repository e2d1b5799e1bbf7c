"""What the standard library makes when it is first used, found by running programs: the list for ``preloading.py``.

    python -m tests.first_uses [--times N] [--least MICROSECONDS] [FILE.jsonl ...]

Each line of a file is a program (``code``, ``items``, ``query``; ``mode`` "each": for each item), those of
``tests/data`` if none is named. A process prepares itself as a zygote does; of it a child is forked for each program,
which runs it twice. What a call out of the program takes longer the first time than the second (processor time), and
the pages that it writes to for the first time, is what the zygote could have made: the least of so many children is
shown, by function, those first that cost all programs together most. Modules that were imported are shown as well.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from reptarium.sandbox.language import LanguagePolicy, compile_task, make_namespace, preload, run
from reptarium.sandbox.task.failures import FILENAME

PROGRAMS = Path(__file__).parent / "data" / "programs.jsonl"
POLICY = LanguagePolicy(stdlib_allow=("*",), external_allow=("*",))


class Cost(NamedTuple):
    """What calls of one function took together: microseconds of processor time, and pages."""

    time: float
    pages: int

    def beyond(self, other: Cost) -> Cost:
        """What it is more."""
        return Cost(self.time - other.time, self.pages - other.pages)


class Calls:
    """A profiling function (sys.setprofile) that adds up what calls out of the program's own frames take."""

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = defaultdict(lambda: Cost(0.0, 0))
        self._depth = 0
        self._name, self._began = "", Cost(0.0, 0)

    def __call__(self, frame: FrameType, event: str, called: Any) -> None:
        """One event of the interpreter's."""
        if event.endswith("call"):
            if self._depth:
                self._depth += 1
            else:
                caller = frame if event == "c_call" else frame.f_back
                if caller is not None and caller.f_code.co_filename == FILENAME:
                    if event == "c_call":
                        self._begin(f"{called.__module__ or type(called.__self__).__name__}.{called.__qualname__}")
                    elif frame.f_code.co_filename != FILENAME:
                        self._begin(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}")
        elif self._depth:
            self._depth -= 1
            if not self._depth:
                cost, now = self.costs[self._name], _now().beyond(self._began)
                self.costs[self._name] = Cost(cost.time + now.time, cost.pages + now.pages)

    def _begin(self, name: str) -> None:
        self._depth, self._name, self._began = 1, name, _now()


def _now() -> Cost:
    return Cost(time.thread_time() * 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_minflt)


def _run(program: dict[str, Any]) -> dict[str, Cost]:
    calls = Calls()
    items = program.get("items") or []
    names = [{"_item": item} for item in items] if program.get("mode") == "each" else [{"_items": items}]
    for given in names:
        try:
            code = compile_task(program["code"], POLICY, filename=FILENAME)
            space = make_namespace(POLICY, {"_query": program.get("query"), "print": lambda *_, **__: None, **given})
            sys.setprofile(calls)
            try:
                run(code, space)
            finally:
                sys.setprofile(None)
        except BaseException:  # what it comes to is nothing to us
            break
    return calls.costs


def observed(program: dict[str, Any]) -> tuple[dict[str, Cost], list[str]]:
    """In a child: what each function's first use cost, and the modules that came."""
    read, write = os.pipe()
    if not os.fork():
        try:
            before = set(sys.modules)
            first = _run(program)
            came = sorted(set(sys.modules) - before)
            second = _run(program)
            more = {name: cost.beyond(second.get(name, Cost(0.0, 0))) for name, cost in first.items()}
            with open(write, "w", encoding="utf-8", closefd=False) as file:
                json.dump([more, came], file)
        finally:
            os._exit(0)
    os.close(write)
    with open(read, encoding="utf-8") as file:
        text = file.read()
    os.wait()
    costs, came = json.loads(text or "[{}, []]")
    return {name: Cost(*cost) for name, cost in costs.items()}, came


def first_uses(programs: Iterable[dict[str, Any]], times: int) -> tuple[dict[str, list[Cost]], dict[str, int]]:
    """Of each function what its first use cost in each program, and of each module how many programs imported it."""
    uses: dict[str, list[Cost]] = defaultdict(list)
    modules: dict[str, int] = defaultdict(int)
    for program in programs:
        looks = [observed(program) for _ in range(times)]
        for name in looks[0][0]:
            costs = [costs[name] for costs, _ in looks if name in costs]
            uses[name].append(Cost(min(cost.time for cost in costs), min(cost.pages for cost in costs)))
        for module in looks[0][1]:
            modules[module] += 1
    return uses, modules


def programs_of(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The programs in these files."""
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def main() -> None:
    """Print both lists."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, default=[PROGRAMS])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--least", type=float, default=50.0)
    arguments = parser.parse_args()
    preload(POLICY)
    for _ in range(3):
        _run({"code": "import json\nreturn [{'json': json.loads('{}')}]"})
    gc.collect()
    gc.freeze()
    uses, modules = first_uses(programs_of(arguments.files), arguments.times)
    print(f"{'programs':>8} {'µs first':>9} {'pages':>6}  function")
    for name, costs in sorted(uses.items(), key=lambda use: -sum(cost.time for cost in use[1])):
        middle = sorted(cost.time for cost in costs)[len(costs) // 2]
        if middle >= arguments.least:
            pages = sorted(cost.pages for cost in costs)[len(costs) // 2]
            print(f"{len(costs):>8} {middle:>9.0f} {pages:>6}  {name}")
    print("\nmodules that were imported, by how many programs")
    for module, count in sorted(modules.items(), key=lambda pair: (-pair[1], pair[0])):
        if module.partition(".")[0] in sys.stdlib_module_names:
            print(f"{count:>8}  {module}")


if __name__ == "__main__":
    main()
