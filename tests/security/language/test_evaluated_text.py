"""Text that a library evaluates for a task: what it says is judged, it runs with no names of the library's that lead on,
and it leaves no builtins behind.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from programs import NO_SETTING, Attack, attribute, by_id, check, check_nothing_reached

from reptarium.sandbox.language.hardening import RefusedOperation, evaluating
from reptarium.sandbox.language.hardening.audit import OUR_MAKERS

LIBRARY = """
from __future__ import annotations
import importlib
import math
import sys
import dataclasses
from operator import attrgetter
another = eval
def of(text, names, local=None): return eval(text, names, local)
def in_ours(text, local): return eval(text, globals(), local)
def run(text, names): exec(text, names)
def compiled(text, names): return eval(compile(text, "made", "eval"), names)
def here(text):
    kept = 2
    exec("seen = kept + len(text)")
    return eval(text)
def attribute(name): return getattr(dataclasses, name)
def call(function): return function()
def renamed(code): return code.replace(co_name="another")
class Evaluator:
    def __init__(self): self.names = {"one": 1}
    def eval(self, text): return eval(text, self.names)
"""


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that has arrived as all do."""
    (tmp_path / "evaluates.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "evaluates", raising=False)


def judged(what: str) -> str:
    return f"this code is not made: it {what}, which no library's own does. {NO_SETTING}"


def module(name: str) -> str:
    return f"text that becomes code and uses the module '{name}' is not allowed: it belongs to the interpreter. {NO_SETTING}"


BUILTINS = "{'exec', 'eval', 'vars', 'setattr', 'open', 'globals'} & names['__builtins__'].keys()"
ATTACKS = {
    "dict_of_a_class": Attack("reached.append(e.of(\"object.__dict__['__getattri' + 'bute__'](f, '__globals__')\", {'object': object, 'f': e.of}))", judged("reads the attribute '__dict__'"), RefusedOperation),
    "defaults": Attack("reached.append(e.of('f.__defaults__', {'f': e.of}))", judged("reads the attribute '__defaults__'"), RefusedOperation),
    "setter": Attack("reached.append(e.of('f.__setattr__', {'f': e.of}))", judged("reads the attribute '__setattr__'"), RefusedOperation),
    "holder_of_builtins": Attack("import re\nreached.append(e.of('f.enum.bltns', {'f': re}))", judged("reads the attribute 'bltns', which leads to a module"), RefusedOperation),
    "holder_of_paths": Attack("import pathlib\nreached.append(e.of('p._flavour', {'p': pathlib.PurePath}))", judged("reads the attribute '_flavour', which leads to a module"), RefusedOperation),
    "file_of_its_own": Attack("e.run('__file__ = 1', {})\nreached.append(1)", judged("says what file it is from"), RefusedOperation),
    "module_of_the_library_s": Attack("e.in_ours('got(sys)', {'got': reached.append})", module("sys")),
    "module_within_a_function": Attack("e.in_ours('(lambda: got(importlib))()', {'got': reached.append})", module("importlib")),
    "name_that_it_spells": Attack("e.in_ours(\"got(attrgetter('__globals__')(of))\", {'got': reached.append})", attribute("__globals__")),
    "name_that_it_puts_together": Attack("e.in_ours(\"got(attrgetter('__glo' + 'bals__')(of))\", {'got': reached.append})", attribute("__globals__")),
    "text_that_makes_code": Attack("reached.append(e.in_ours(\"another('1')\", {}))", f"compile (making code) is not available in a task: it runs text as code. {NO_SETTING}", RefusedOperation),
    "bytecode_in_the_library_s_place": Attack("import functools, jinja2\ncode = jinja2.Environment().compile('x')\nreached.append(e.call(functools.partial(code.replace, co_name='x')))", f"code.__new__ (making code) is not available in a task: it runs text as code. {NO_SETTING}", RefusedOperation),
}  # fmt: skip
#: What is done with the names of a text, which are ``names``.
LEFT_BEHIND = {
    "of_a_dict_of_the_task_s": "names = {}\ne.of('1', names)",
    "of_code_made_before": "names = {}\ne.compiled('1', names)",
    "of_statements": "names = {}\ne.run('x = 1', names)",
    "of_an_object": "evaluator = e.Evaluator()\nevaluator.eval('one')\nnames = evaluator.names",
    "while_it_runs": "seen = []\nown = {'f': lambda: seen.append(dict(own))}\ne.of('f()', own)\nnames = seen[0]",
    "of_what_writes_data_classes": "names = {}\nrun = next(map(e.attribute, ['exec']))\nrun('x = 1', names, {})",
    "by_the_text": "names = e.of('locals()', {}).copy()\nnames.setdefault('__builtins__', {})",
}


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_text_is_judged(attack: Attack) -> None:
    """Whoever evaluates it: it reads nothing that leads to the interpreter, by no name of its own."""
    check(attack._replace(program=f"import evaluates as e\n{attack.program}"))


#: What a text's names say of where they are from, and the text, in which C code makes code of code.
NAMES_THAT_SAY = {
    **{name: (f"'__name__': {name!r}", "f()") for name in (*sorted(OUR_MAKERS), evaluating.__name__)},
    "a_file": ("'__name__': 'x', '__file__': '<string>', 'replace': 1", "[f(), replace]"),
    "a_frozen_module": ("'__name__': 'string>', '__file__': '<string>', 'CodeType': 1", "[f(), CodeType]"),
    "another_s_specification": (
        "'__name__': 'x', '__file__': '<string>', '__spec__': e, 'replace': 1",
        "[f(), replace]",
    ),
}


@pytest.mark.parametrize("where", NAMES_THAT_SAY)
def test_names_say_nothing_of_whose_code_it_is(where: str) -> None:
    """Neither ours, nor a module's of a file: what a task hands over says what it likes."""
    pytest.importorskip("jinja2")
    said, text = NAMES_THAT_SAY[where]
    check(
        Attack(
            "import evaluates as e, functools, jinja2\n"
            "make = functools.partial(jinja2.Environment().compile('x').replace, co_name='x')\n"
            f"reached.append(e.of({text!r}, {{'f': functools.partial(make), {said}}}))",
            f"code.__new__ (making code) is not available in a task: it runs text as code. {NO_SETTING}",
            RefusedOperation,
        )
    )


TEXTS_ALONE = "it is for the text that a library evaluates"
IN_ITS_PLACE = "its statements are looked at before they run, and no others do"
#: What is done with the builtins of a text, which are ``left``; the refusal.
WITH_BUILTINS = {
    "import": ("reached.append(left['__import__']('os'))", "importing in a text's name", TEXTS_ALONE),
    "import_by_the_text": (
        "reached.append(e.of('f()', {'f': functools.partial(left['__import__'], 'os')}))",
        "importing in a text's name",
        IN_ITS_PLACE,
    ),
    "class": ("left['__build_class__'](reached.append, 'A')", "a class statement in a text's name", TEXTS_ALONE),
    "locals_of_a_library": (
        "e.call(functools.partial(next, map(reached.append, iter(left['locals'], 0))))",
        "locals() in a text's name",
        TEXTS_ALONE,
    ),
    "super_of_a_library": (
        "e.call(functools.partial(next, map(reached.append, iter(left['super'], 0))))",
        "super() in a text's name",
        TEXTS_ALONE,
    ),
}


@pytest.mark.parametrize("what", WITH_BUILTINS)
def test_what_texts_run_with_serves_no_task(what: str) -> None:
    """A task finds them where its names were evaluated: they answer text alone."""
    program, refused, why = WITH_BUILTINS[what]
    before = "import evaluates as e, functools\nnames = {}\ne.of('1', names)\nleft = names['__builtins__']\n"
    check(Attack(before + program, f"{refused} is not allowed: {why}. {NO_SETTING}"))


def test_what_texts_run_with_is_a_task_s() -> None:
    """No real type, which makes metaclasses, and no real getattr."""
    check_nothing_reached(
        "import evaluates as e\nnames = {}\ne.of('1', names)\nleft = names['__builtins__']\n"
        "if left['type'] is not type or left['getattr'] is not getattr: reached.append(left)"
    )


@pytest.mark.parametrize("way", LEFT_BEHIND)
def test_no_builtins_are_left_behind(way: str) -> None:
    """Python puts them among the names that a text runs with, and there a task would find them."""
    check_nothing_reached(f"import evaluates as e\n{LEFT_BEHIND[way]}\nif {BUILTINS}: reached.append(names)")


def test_a_copy_is_no_other_text_s() -> None:
    """What a task changes in one is not what another text runs with."""
    check_nothing_reached(
        "import evaluates as e\nnames = {}\ne.of('1', names)\nnames['__builtins__']['len'] = reached.append\n"
        "e.of('len([1])', {})"
    )


def test_honest_text_runs() -> None:
    """Functions, classes, imports, names of the library's own, comprehensions, its own names where it gives none."""
    check_nothing_reached(
        """
        import evaluates as e
        names = {"offset": 3}
        e.run(
            "import math\\nclass B:\\n    def f(self, x): return math.floor(x)\\n"
            "class A(B):\\n    def f(self, x: 'int') -> int: return super().f(x) + offset + len('ab')",
            names,
        )
        names["offset"] = 4
        answers = (
            names["A"]().f(1.5), e.of(" [x * offset for x in range(2)]", names), e.in_ours("math.sqrt(n)", {"n": 4}),
            e.compiled("getattr(x, 'real')", {"x": 3}), e.here("kept + 1"), e.of("abs(n)", {}, {"n": -2}),
        )
        if answers != (7, [0, 4], 2.0, 3, 3, 2): reached.append(answers)
        """
    )


def test_libraries_make_code_of_code() -> None:
    """Who says so in its own text, as Jinja's tracebacks do."""
    pytest.importorskip("jinja2")
    check_nothing_reached("import evaluates as e, jinja2\ne.renamed(jinja2.Environment().compile('x'))")


@pytest.mark.parametrize("name", ["eval", "exec", "getattr", "vars", "super"])
def test_a_library_s_builtins_stay(name: str) -> None:
    """A function of the task's in the place of one would be handed what the library hands that: its own names."""
    program = f"import evaluates as e\nsetattr(e, '{name}', lambda *given: reached.append(given))\ne.in_ours('1', {{}})"
    why = "its own code means the built-in by that name"
    check(Attack(program, f"setting '{name}' of the module 'evaluates' is not allowed: {why}. {NO_SETTING}"))
