"""Generators, coroutines, frames, tracebacks and code objects name their way to the globals of whoever calls.

No program can write ``async``; the objects are given to it by the test, as a library might.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace, TracebackType

import pytest
from programs import Attack, at_compile, attribute, by_id, check, check_nothing_reached, in_format

from reptarium.sandbox.language import LanguagePolicy
from reptarium.sandbox.language.hardening.readers import library_getattr
from reptarium.sandbox.language.packages import callers
from reptarium.sandbox.language.policy.names import INTERPRETER_ATTRIBUTES
from tests.each import each


def _generator() -> Iterator[int]:
    yield 1


async def _coroutine() -> None: ...


async def _async_generator():  # type: ignore[no-untyped-def]
    yield 1


def _traceback() -> TracebackType:
    with pytest.raises(ValueError, match=r"^$") as caught:
        raise ValueError
    return caught.tb


@contextmanager
def every_object() -> Iterator[dict[str, object]]:
    """One of each kind, by the first letters of its attributes."""
    coroutine = _coroutine()
    try:
        yield {
            "gi": _generator(),
            "cr": coroutine,
            "ag": _async_generator(),
            "f": sys._getframe(),
            "tb": _traceback(),
            "co": _generator.__code__,
        }
    finally:
        coroutine.close()


#: A number: the line that an exception came through.
HARMLESS = frozenset({"tb_lineno"})

#: Every attribute that those objects really have on this Python, found by looking.
with every_object() as _objects:
    REAL = sorted(
        (prefix, name)
        for prefix, value in _objects.items()
        for name in dir(value)
        if name.startswith(f"{prefix}_") and name not in HARMLESS
    )

WAYS = {
    "written": "reached.append(target.NAME)",
    "getattr": "reached.append(getattr(target, 'NAME'))",
    "attrgetter": "import operator\nreached.append(operator.attrgetter('NAME')(target))",
    "format": "reached.append('{0.NAME}'.format(target))",
    "class_pattern": "match target:\n    case object(NAME=x): reached.append(x)",
    "deleted": "del target.NAME",
    "assigned": "target.NAME = 1",
    "class_attribute": "reached.append(type(target).NAME)",
}
MESSAGES = {
    "getattr": "the attribute 'NAME' is not allowed: it belongs to the interpreter. No setting allows it.",
    "attrgetter": "the attribute 'NAME' is not allowed: it belongs to the interpreter. No setting allows it.",
    "format": "the attribute 'NAME' in a format string is not allowed",
    "class_pattern": "the attribute 'NAME' in a class pattern is not allowed",
    "deleted": "changing the attribute 'NAME' is not allowed",
    "assigned": "changing the attribute 'NAME' is not allowed",
}
WALKS = {
    "caller_of_a_generator": "def g(): yield gen.gi_frame.f_back.f_globals\ngen = g()\nreached.append(next(gen))",
    "expression": "reached.append((x for x in [1]).gi_frame.f_builtins)",
    "yield_from": "def g(): yield from h()\ndef h(): yield 1\nx = g()\nnext(x)\nreached.append(x.gi_yieldfrom.gi_frame)",
    "traceback_in_exit": "class C:\n    def __enter__(self): pass\n    def __exit__(self, *e): reached.append(e[2].tb_frame); return True\nwith C(): 1 / 0",
    "traceback_of_throw": "def g():\n    try: yield\n    except ValueError as e: reached.append(e)\nx = g()\nnext(x)\nx.throw(ValueError, ValueError(), None).tb_next",
    "next_traceback": "import traceback\nreached.append(traceback.format_exc.tb_next)",
    "contextmanager_generator": "from contextlib import contextmanager\n@contextmanager\ndef c(): yield 1\nreached.append(c().gen.gi_frame.f_locals)",
}  # fmt: skip


@each(("prefix", "name"), REAL)
def test_policy_knows_the_attribute(prefix: str, name: str) -> None:
    """Every attribute that this Python's objects have is on the list."""
    assert name in INTERPRETER_ATTRIBUTES, prefix


@pytest.mark.parametrize("way", WAYS)
@each(("prefix", "name"), REAL)
def test_attribute(prefix: str, name: str, way: str) -> None:
    """No way leads to it."""
    message = MESSAGES.get(way, "the attribute 'NAME' is not allowed").replace("NAME", name)
    program = WAYS[way].replace("NAME", name)
    with every_object() as objects:
        if way in ("getattr", "attrgetter"):
            check(Attack(program, message), target=objects[prefix])
        else:
            check(at_compile(program, message), target=objects[prefix])


@pytest.mark.parametrize("name", ["gi_frame", "cr_frame", "ag_frame", "f_globals", "tb_frame", "co_consts"])
def test_positional_pattern(name: str) -> None:
    """A class whose ``__match_args__`` would name the attribute is refused when it is written."""
    program = f"class A:\n    __match_args__ = ('{name}',)\nmatch target:\n    case A(x): reached.append(x)"
    with every_object() as objects:
        target = objects[name.partition("_")[0]]
        check(at_compile(program, "this '__match_args__' is not allowed"), target=target)


@pytest.mark.parametrize("walk", WALKS)
def test_walk(walk: str) -> None:
    """A whole attack stops at the first attribute that it would need."""
    ended = WALKS[walk]
    names = [
        name
        for name in ended.replace("(", " ").replace(")", " ").replace(".", " ").split()
        if name in INTERPRETER_ATTRIBUTES
    ]
    outermost = names[-1]
    check(at_compile(ended, f"the attribute '{outermost}' is not allowed"))


CALLS = {
    "stack_of_a_task": Attack("import asyncio\ntask = asyncio.Task\nreached.append(getattr(task, 'get_' + 'stack'))", attribute("get_stack")),
    "stack_of_a_task_written": at_compile("import asyncio\nreached.append(asyncio.current_task().get_stack())", "the attribute 'get_stack' is not allowed"),
    "format_of_a_frame": Attack("reached.append(('{0.' + name + '}').format(target))", in_format("f_globals")),
    "reduce": Attack("from functools import reduce\nreached.append(reduce(getattr, ['f_back', name], target))", attribute("f_back")),
    "stand_in_of_the_class": Attack("reached.append(type(target)(1))", "cannot create 'frame' instances", TypeError),
    "stand_in_as_a_base": Attack("class F(type(target)): pass\nreached.append(F)", "type 'frame' is not an acceptable base type", TypeError),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(CALLS))
def test_frame(attack: Attack) -> None:
    """Nor do computed names, or the class of a frame."""
    with every_object() as objects:
        check(attack, target=objects["f"], name="f_globals")


def test_nothing_is_listed() -> None:
    """dir() shows none of them, and hasattr denies them."""
    with every_object() as objects:
        check_nothing_reached(
            """
            for target in targets:
                for name in dir(target):
                    if name.partition('_')[0] in ('gi', 'cr', 'ag', 'f', 'tb', 'co') and name not in harmless: reached.append(name)
                for name in names:
                    if hasattr(target, name): reached.append(name)
            """,
            harmless=HARMLESS,
            targets=list(objects.values()),
            names=sorted(INTERPRETER_ATTRIBUTES),
        )


# ---- libraries that look up the stack -----------------------------------------------------


def library(source: str) -> dict[str, object]:
    """The names of a package's module."""
    names: dict[str, object] = {"__name__": "somebodys"}
    exec(source, names)  # noqa: S102
    return names


def test_a_library_gets_no_frame_of_what_runs_the_task() -> None:
    """So many callers up as a task says: parser generators hand out the names of that one. Above it there is nothing."""
    names = library("import sys\ndef caller(levels): return sys._getframe(levels).f_globals")
    below = Attack("reached.append('sys' in caller(2))", "call stack is not deep enough", ValueError)
    check(below, caller=names["caller"])
    check_nothing_reached("assert caller(1)['reached'] is reached", caller=names["caller"])
    check_nothing_reached("def f(): return caller(2)['reached']\nassert f() is reached", caller=names["caller"])


#: A module of each, as far as it captures frames.
CAPTURING = {
    "patsy": """
import sys, inspect
class EvalEnvironment:
    def __init__(self, namespaces, flags): self.names = {k: v for each in namespaces for k, v in each.items()}
    @classmethod
    def capture(cls, eval_env=0, reference=0):
        if isinstance(eval_env, cls): return eval_env
        frame = inspect.currentframe()
        for _ in range(eval_env + reference + 1): frame = frame.f_back
        return cls([frame.f_globals], 0)
def captured(*depth): return EvalEnvironment.capture(*depth)
""",
    "formulaic": """
import sys
def capture_context(context=0):
    if isinstance(context, int): context = sys._getframe(context + 1).f_globals
    return context
def captured(depth=0): return capture_context(depth)
""",
}


@pytest.mark.parametrize("package", CAPTURING)
def test_formulas_have_names_of_the_task(package: str) -> None:
    """A formula is evaluated with the task's names, never with those of a library that has called, or of what runs it."""
    module = SimpleNamespace()
    names = library(CAPTURING[package])
    vars(module).update(names)
    patches = {**callers.PATSY.patches, **callers.FORMULAIC.patches}
    next(patch for name, patch in patches.items() if name.startswith(package))(module)
    names.update(vars(module))
    for others in (0, 2):
        check_nothing_reached(
            f"names = captured({others})\nif getattr(names, 'names', names): reached.append(names)",
            captured=names["captured"],
        )
    check_nothing_reached(
        "names = captured(1)\nassert getattr(names, 'names', names)['reached'] is reached", captured=names["captured"]
    )


def test_names_are_set_of_the_task_alone() -> None:
    """SymPy's ``var()`` makes names of the caller's: of the task's, never of a library that calls what it was given."""
    module = SimpleNamespace()
    symbols = library(
        "class Symbol:\n    def __init__(self, name): self.name = name\ndef symbols(name): return Symbol(name)"
    )
    module.symbols = symbols["symbols"]
    callers.SYMPY.patches["sympy.core.symbol"](module)
    calling = library("called = 0\ndef call(function): return function()")
    names = {"var": module.var, "call": calling["call"]}
    attack = "import functools\nreached.append(call(functools.partial(var, 'called')))"
    refusal = "setting names of a module that isn't the task's is not allowed: others use it. No setting allows it."
    check(Attack(attack, refusal), **names)
    assert calling["called"] == 0
    check(
        Attack(
            "reached.append(var('__builtins__'))",
            "setting the name '__builtins__' is not allowed: it belongs to the interpreter. No setting allows it.",
        ),
        **names,
    )
    check_nothing_reached("var('x')\nassert x.name == 'x'", **names)


def test_a_task_without_its_builtins_is_no_library() -> None:
    """A package hands out the names of who calls (parser generators do): the task's builtins can be emptied."""
    given = library("import sys\ndef globals_(): return sys._getframe(1).f_globals")
    program = "import json\nglobals_()['__builtins__'].clear()\nreached.append(read(json.dumps, '__globals__'))"
    own = LanguagePolicy(stdlib_allow=("enum", "json"))  # its table of builtins is nobody else's
    check(Attack(program, attribute("__globals__")), own, globals_=given["globals_"], read=library_getattr)
