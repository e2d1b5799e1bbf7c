"""Speed of the language layer: hot loops in the sandbox against plain CPython in the same run.

``python -m reptarium.pool.bench.language``. Both sides run the same program as a function; they alternate, and a
row's ratio is the median of the per-round ratios. The loops are long enough that what each task costs before and after
its code (some 40 µs here, where all is cold) is no part of it.
"""

from __future__ import annotations

import gc
import statistics
import textwrap
import time
from collections.abc import Callable
from typing import NamedTuple

from reptarium.sandbox.language import LanguagePolicy, compile_task, make_namespace, run
from reptarium.sandbox.language.runtime.facades import importer

POLICY = LanguagePolicy(stdlib_allow=("*",), external_allow=("*",))

CASES: dict[str, str] = {
    "dict field sums": "rows = [{'n': i} for i in range(1000)]\nt = 0\nfor _ in range(100):\n    for r in rows:\n        t += r['n']\nreturn t",
    "building dicts": "return [{'a': i, 'b': i * 2, 'c': {'d': i}} for i in range(40_000)]",
    "string building": "out = []\nfor i in range(40_000):\n    out.append('x' + str(i) + f'{i:>5}')\nreturn ','.join(out)",
    "nested indexing": "d = {'a': [{'b': {'c': 1}}]}\nt = 0\nfor i in range(100_000):\n    t += d['a'][0]['b']['c']\nreturn t",
    "method calls": "class A:\n    def __init__(self):\n        self.v = 1\n    def get(self, n):\n        return self.v + n\na = A()\nt = 0\nfor i in range(100_000):\n    t += a.get(i)\nreturn t",
    "comprehensions": "return sum(len([x * x for x in range(50) if x % 2]) for _ in range(2000))",
    "unpacking": "t = 0\nfor i in range(100_000):\n    a, (b, *c) = i, [1, 2, 3]\n    t += a + b\nreturn t",
    "class patterns": "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int\nrows, t = [P(1, 2), P(0, 5)] * 10_000, 0\nfor row in rows:\n    match row:\n        case P(0, y): t += y\n        case P(x, _): t += x\nreturn t",
    "module calls": "import math, time\nt = 0\nfor i in range(50_000):\n    t += math.sqrt(i) + math.floor(0.5) + (time.monotonic() > 0)\nreturn t",
    "attribute +=": "class A:\n    n = 0\na = A()\nfor i in range(150_000):\n    a.n += i\nreturn a.n",
}

SCRIPT = (
    "from datetime import datetime\n"
    + "\n".join(
        f"def f{i}(rows):\n    out = []\n    for row in rows:\n        if row['json'].get('n', 0) > {i}:\n            out.append({{'n': row['json']['n'] + 1}})\n    return out\nx{i} = f{i}([])\ny{i} = len(x{i}) * 2\nz{i} = f'{{y{i}:>4}}'"
        for i in range(6)
    )
    + "\nreturn x0"
)


class Measurement(NamedTuple):
    """``value`` is a ratio sandbox/plain, or microseconds for the costs at the end."""

    name: str
    value: float
    unit: str


def _timed(call: Callable[[], object]) -> float:
    gc.collect()  # alternating sides would otherwise meet the collector's generations at different, fixed times
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(rounds: int = 15) -> list[Measurement]:
    """A row per hot loop, then the warm façade import and the compilation of a 56-line script."""
    rows = []
    for name, source in CASES.items():
        plain_names: dict[str, Callable[[], object]] = {}
        exec(f"def plain():\n{textwrap.indent(source, '    ')}", {}, plain_names)  # noqa: S102 - our own text
        plain, code = plain_names["plain"], compile_task(source, POLICY)
        namespace = make_namespace(POLICY, {})
        ratios = []
        for _ in range(rounds):
            expected = _timed(plain)
            ratios.append(_timed(lambda code=code, namespace=namespace: run(code, namespace)) / expected)  # type: ignore[misc]
        rows.append(Measurement(name, statistics.median(ratios), "ratio"))
    imports = importer(POLICY)
    imports.import_("json", True)
    rows.append(Measurement("façade import, warm", _cost(lambda: imports.import_("json", True), rounds), "µs"))
    rows.append(Measurement("make_namespace", _cost(lambda: make_namespace(POLICY, {"_items": []}), rounds), "µs"))
    rows.append(
        Measurement(
            f"compile, {len(SCRIPT.splitlines())} lines",
            _cost(lambda: compile_task(SCRIPT, POLICY), rounds),
            "µs",
        )
    )
    return rows


def _cost(call: Callable[[], object], rounds: int) -> float:
    call()
    return statistics.median(_timed(call) for _ in range(rounds * 4)) * 1e6


if __name__ == "__main__":
    for row in measure():
        print(f"{row.name:24} {row.value:8.3f} {row.unit}")
