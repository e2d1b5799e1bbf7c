"""The policy has decided on every syntax node of every supported Python, and does what it decided."""

from __future__ import annotations

import _ast
import ast
import sys
import warnings

import pytest
from ast_nodes import BASES, NODES

from reptarium.sandbox.language import LanguagePolicy, PolicyViolation, compile_task
from reptarium.sandbox.language.compile.transformer import Transformer
from reptarium.sandbox.language.policy.nodes import DECISIONS

OPEN = LanguagePolicy(stdlib_allow=("*",))
RUNNING = sys.version_info[:2]
KINDS = {"plain", "checked", "refused", "never parsed"}


def classes_of(module: object) -> set[str]:
    """The names of a module's syntax node classes, deprecated ones too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, ast.AST)}


@pytest.mark.parametrize("version", NODES, ids=lambda version: ".".join(map(str, version)))
def test_every_node_of_a_version_is_decided(version: tuple[int, int]) -> None:
    """Each node that the version's parser makes is plain, checked or refused; its bases are never parsed."""
    assert {name for name in NODES[version] if DECISIONS.get(name, "never parsed") == "never parsed"} == set()
    assert {name for name in BASES[version] if DECISIONS.get(name) != "never parsed"} == set()


@pytest.mark.skipif(RUNNING not in NODES, reason="a Python whose nodes are not listed")
def test_running_python_has_the_listed_nodes() -> None:
    """The list of the running version is what its parser knows: nothing missing, nothing else."""
    assert classes_of(_ast) == NODES[RUNNING] | BASES[RUNNING]


def test_every_node_of_the_running_python_is_decided() -> None:
    """Listed or not, no class of the running Python's ``ast`` is without a decision."""
    assert classes_of(ast) | classes_of(_ast) <= set(DECISIONS)


def test_decisions_speak_of_nodes_only() -> None:
    """A decision on a node that no version knows would hide a spelling mistake."""
    known = set().union(*NODES.values(), *BASES.values())
    strange = {name for name, kind in DECISIONS.items() if kind != "never parsed"} - known
    assert strange == set()
    assert set(DECISIONS.values()) <= KINDS


ACCEPTED = [
    "x: int = 1\nx += 2\ndel x\nassert True, 'no'",
    "def f(a, /, b=1, *c, d=2, **e) -> int:\n    global g\n    g = a\n    n = 0\n    def h():\n        nonlocal n\n        n = 1\n    return h",
    "def f():\n    yield 1\n    yield from [2]\nreturn (lambda a: a)(1)",
    "class A(object):\n    x = 1\n    def f(self):\n        return self.x",
    "for a in [1]:\n    continue\nwhile False:\n    break\nif (b := 1):\n    pass",
    "try:\n    raise ValueError from None\nexcept ValueError as e:\n    pass",
    "import json\nfrom json import loads as l\nwith open_it() as f:\n    pass",
    "x = 1 and 2 or not 3\nx = 1 + 2 - 3 * 4 / 5 % 6 ** 7 << 8 >> 9 | 10 ^ 11 & 12 // 13 @ 14\nx = +1, -1, ~1",
    "x = 1 == 2 != 3 < 4 <= 5 > 6 >= 7\nx = 1 is 2, 1 is not 2, 1 in [2], 1 not in [2]",
    "x = 1 if 2 else 3\nx = {1: 2}, {1}, [1], (1, *[2]), f'{x!r:>3}', x[1:2]\nf(k=1)",
    "x = [a for a in []], {a for a in []}, {a: a for a in []}, (a for a in [])",
    "match x:\n    case 1 | None:\n        pass\n    case [1, *a] | {'k': 1, **a}:\n        pass\n    case int() as a:\n        pass",
]
ACCEPTED += [
    "try: pass\nexcept* ValueError as e: pass",
    "async def f():\n    async for x in y: pass\n    async with x: pass\n    await x\n    return [x async for x in y]",
]
ACCEPTED_3_12 = ["type A[T: int, *Ts, **P] = list[T]", "def f[T](a: T) -> T:\n    return a"]
ACCEPTED_3_14 = ["x = 1\nreturn t'a{x!r:>3}'"]
REFUSED: dict[str, str] = {}
#: Other roots than a program's, and type comments, which the parser is not asked for.
NOT_IN_A_PROGRAM = {"Interactive", "Expression", "FunctionType", "TypeIgnore"}


def nodes_of(sources: list[str]) -> set[str]:
    return {type(node).__name__ for source in sources for node in ast.walk(ast.parse(source))}


def accepted_sources() -> list[str]:
    """Programs that hold, together, every node of the running version that a task may use."""
    later = (ACCEPTED_3_12 if sys.version_info >= (3, 12) else []) + (
        ACCEPTED_3_14 if sys.version_info >= (3, 14) else []
    )
    return ACCEPTED + later


@pytest.mark.parametrize("source", ACCEPTED)
def test_accepted_nodes_compile(source: str) -> None:
    """Programs of plain and checked nodes are accepted."""
    compile_task(source, OPEN)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
@pytest.mark.parametrize("source", ACCEPTED_3_12)
def test_accepted_nodes_of_3_12_compile(source: str) -> None:
    """Type parameters and ``type`` statements are accepted."""
    compile_task(source, OPEN)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="syntax of Python 3.14")
@pytest.mark.parametrize("source", ACCEPTED_3_14)
def test_accepted_nodes_of_3_14_compile(source: str) -> None:
    """Template strings are accepted."""
    compile_task(source, OPEN)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_nodes_do_not_compile(name: str) -> None:
    """A program with a refused node is refused, and the node is why."""
    assert DECISIONS[name] == "refused"
    assert name in nodes_of([REFUSED[name]])
    with pytest.raises(PolicyViolation, match="is not allowed"):
        compile_task(REFUSED[name], OPEN)


@pytest.mark.skipif(RUNNING not in NODES, reason="a Python whose nodes are not listed")
def test_the_programs_above_hold_every_node() -> None:
    """Every node of the running version is in an accepted or in a refused program, as it was decided."""
    accepted = nodes_of(accepted_sources())
    assert accepted == {name for name in NODES[RUNNING] if DECISIONS[name] in ("plain", "checked")}
    assert NODES[RUNNING] - accepted == REFUSED.keys() | NOT_IN_A_PROGRAM


def test_an_undecided_node_is_refused() -> None:
    """A node class that the transformer has never heard of makes the whole program refused."""

    class Novelty(ast.stmt):
        _fields = ()

    walk = Transformer(OPEN, lambda name: None)
    walk.visit(ast.Module([Novelty(lineno=3, col_offset=0)], []))
    assert [(f.line, f.message, f.why) for f in walk.findings] == [
        (3, "Novelty is not allowed", "this layer doesn't know it")
    ]
