"""Text that a library evaluates for a task: what it says is judged, it runs with no names of the library's that lead on,
and it leaves no builtins behind.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from programs import NO_SETTING, Attack, attribute, by_id, check, check_nothing_reached

from reptarium.sandbox.language.hardening import RefusedOperation

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
        e.run("import math\\nclass A:\\n    def f(self, x: 'int') -> int: return math.floor(x) + offset + len('ab')", names)
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
