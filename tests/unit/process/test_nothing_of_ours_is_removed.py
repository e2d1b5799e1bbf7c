"""What a setting takes away from user code, ours does not need: warm-up, generated code, what C code asks for."""

from __future__ import annotations

import builtins
import json
from typing import Any

import pytest

from reptarium.pool.config import load_settings
from reptarium.pool.embedded import embedded_runner
from reptarium.sandbox import wire
from reptarium.sandbox.kernel import IsolationConfig
from reptarium.sandbox.language import LanguagePolicy, PolicyViolation
from reptarium.sandbox.language.mode import mode_of
from reptarium.sandbox.process import worker
from reptarium.sandbox.task.execute import TaskResult
from reptarium.sandbox.task.execute import execute as run_task
from tests.conftest import make_settings
from tests.each import each
from tests.limits import fail_after
from tests.unit.language.support import OPEN, execute

NAMES = sorted(dir(builtins))
ALL = tuple(NAMES)

#: Programs that name no builtin. What libraries and the interpreter do for them needs plenty.
PROGRAMS: dict[str, tuple[str, object]] = {
    "items": ("return [item['json']['n'] + 1 for item in [{'json': {'n': 1}}]]", [2]),
    "class": ("class A:\n    x = 1\n    def double(self): return self.x * 2\nreturn A().double()", 2),
    "dataclass": (
        "from dataclasses import dataclass, field, FrozenInstanceError\n"
        "@dataclass(frozen=True, order=True)\n"
        "class P:\n    x: 'number'\n    y: 'number' = field(default=5)\n"
        "try:\n    P(1).x = 2\nexcept FrozenInstanceError as e:\n    refused = f'{e}'\n"
        "return refused, f'{P(1)}', P(1) == P(1), P(1) == 7, P(1) < P(2), {P(1), P(1)} == {P(1)}",
        ("cannot assign to field 'x'", "P(x=1, y=5)", True, False, True, True),
    ),
    "dataclass with slots": (
        "from dataclasses import dataclass, replace, asdict\n"
        "@dataclass(slots=True, kw_only=True, unsafe_hash=True)\n"
        "class P:\n    x: 'number'\n"
        "return asdict(replace(P(x=1), x=2)), {P(x=1): 3}[P(x=1)]",
        ({"x": 2}, 3),
    ),
    "make_dataclass": ("from dataclasses import make_dataclass\nreturn f\"{make_dataclass('P', ['x'])(3)}\"", "P(x=3)"),
    "named tuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\nreturn f'{P(1, y=2)._replace(x=3)}'",
        "P(x=3, y=2)",
    ),
    "typed named tuple": (
        "from typing import NamedTuple\nclass P(NamedTuple):\n    x: 'number' = 4\nreturn f'{P()}'",
        "P(x=4)",
    ),
    "enum": ("from enum import Enum\nclass E(Enum):\n    A = 1\nreturn f'{E(1)}', E['A'].value", ("E.A", 1)),
    "total_ordering": (
        "from functools import total_ordering\n"
        "@total_ordering\n"
        "class N:\n    def __init__(self, n): self.n = n\n"
        "    def __eq__(self, other): return self.n == other.n\n"
        "    def __lt__(self, other): return self.n < other.n\n"
        "return N(1) >= N(0)",
        True,
    ),
    "import by C code": ("import datetime\nreturn datetime.date(2026, 2, 3).strftime('%Y %B')", "2026 February"),
    "match": ("match {'k': [1, 2]}:\n    case {'k': [a, *_]}:\n        return a", 1),
    "assert": ("assert 1\nreturn [*map_] if (map_ := [1]) else 0", [1]),
    "with": ("import contextlib\nwith contextlib.nullcontext(3) as x:\n    return x", 3),
}


def config(**language: Any) -> wire.ZygoteConfig:
    """A zygote's configuration with this language policy."""
    return wire.ZygoteConfig(language=LanguagePolicy(**language), isolation=IsolationConfig(policy="best-effort"))


@each("name", NAMES)
def test_warm_up_needs_no_builtin(name: str) -> None:
    """The dummy task runs, whichever builtin is denied."""
    worker.warm_up(config(builtins_deny=(name,)))


@pytest.mark.parametrize("denied", [("sorted",), ("print", "len"), ALL, ("_items", "_query", "guard getattr", "*")])
def test_rehearsal_needs_no_builtin(denied: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's whole life is rehearsed to a result, whatever is denied, what is no builtin at all included."""
    results: list[TaskResult] = []

    def watched(*args: Any) -> TaskResult:
        results.append(run_task(*args))
        return results[-1]

    monkeypatch.setattr(worker, "execute", watched)
    worker.rehearse(config(builtins_deny=denied), times=2)
    assert [json.loads(outcome.result)[0]["json"]["total"] for outcome in results] == [3, 3]


@pytest.mark.slow
@each("name", NAMES)
def test_program_without_the_denied_builtin(name: str) -> None:
    """Without one builtin, programs that don't name it run as ever."""
    policy = LanguagePolicy(("*",), ("*",), (name,))
    for program in ("class", "dataclass", "import by C code"):
        code, expected = PROGRAMS[program]
        assert execute(code, policy) == expected


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_without_any_builtin(name: str) -> None:
    """Without any builtin, what a program doesn't name itself works as ever."""
    program, expected = PROGRAMS[name]
    assert execute(program, OPEN) == expected
    assert execute(program, LanguagePolicy(("*",), ("*",), ALL)) == expected


def test_plain_python_without_any_builtin() -> None:
    """So it is under `REPTARIUM_LANGUAGE=python`, from the warm-up on."""
    policy = LanguagePolicy(("*",), ("*",), ALL, mode="python")
    worker.warm_up(config(builtins_deny=ALL, mode="python"))
    mode = mode_of(policy)
    for code, expected in PROGRAMS.values():
        assert mode.run(mode.compile_task(code, policy), mode.make_namespace(policy, {})) == expected


@each("name", [n for n in NAMES if n.isidentifier() and n not in ("None", "True", "False")])
def test_denied_builtin_is_refused(name: str) -> None:
    """What is denied is gone from user code, spelled or not."""
    policy = LanguagePolicy(("*",), ("*",), (name,))
    with pytest.raises(PolicyViolation):
        execute(f"return {name}", policy)
    with pytest.raises((PolicyViolation, NameError)):
        execute(f"if 0: {name} = 1\nreturn {name}", policy)


def test_names_of_a_task_are_no_builtins() -> None:
    """The setting removes built-in names: what a task is given stays, and the start warns."""
    assert execute("return _items", LanguagePolicy(builtins_deny=("_items",)), _items=[1]) == [1]
    loaded = load_settings({"N8N_RUNNERS_BUILTINS_DENY": "_items,prnt,print"})
    assert loaded.builtins_deny == ("_items", "prnt", "print")
    assert [line for line in loaded.warnings if "BUILTINS_DENY" in line] == [
        "N8N_RUNNERS_BUILTINS_DENY: '_items' is no built-in name and removes nothing",
        "N8N_RUNNERS_BUILTINS_DENY: 'prnt' is no built-in name and removes nothing; did you mean print?",
    ]


@pytest.mark.usefixtures("nothing_left")
async def test_tasks_of_a_runner_that_allows_nothing() -> None:
    """With every builtin denied and nothing to import, a real runner serves what needs none, and refuses the rest."""
    environ = {
        "N8N_RUNNERS_BUILTINS_DENY": ",".join(ALL),
        "N8N_RUNNERS_STDLIB_ALLOW": "",
        "N8N_RUNNERS_EXTERNAL_ALLOW": "",
    }
    code = "return [{'json': {'n': item['json']['n'] * 2}} for item in _items]"
    each = "class A:\n    n = _item['json']['n']\nreturn {'n': f'{A().n:>3}'}"
    with fail_after(60):
        async with embedded_runner(make_settings(environ)) as broker:
            items = [{"json": {"n": 1}}, {"json": {"n": 2}}]
            outcome = await broker.submit({"code": code, "items": items}).outcome()
            assert outcome.data is not None, outcome
            assert json.loads(bytes(outcome.data.result)) == [{"json": {"n": 2}}, {"json": {"n": 4}}]
            outcome = await broker.submit({"code": each, "items": items, "nodeMode": "runOnceForEachItem"}).outcome()
            assert outcome.data is not None, outcome
            assert [row["json"] for row in json.loads(bytes(outcome.data.result))] == [{"n": "  1"}, {"n": "  2"}]
            refused = await broker.submit({"code": "print(1)", "items": items}).outcome()
            assert refused.error is not None
            assert "'print' is not allowed" in refused.error.message
