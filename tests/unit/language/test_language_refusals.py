"""What isn't there for tasks is refused before anything runs, in words that say where, what, why and what to do."""

from __future__ import annotations

import textwrap

import pytest

from reptarium.sandbox.language import PolicyViolation, compile_task, with_other_mode
from tests.unit.language.support import OPEN, execute

#: A refused statement → what the person reads, but for the line and the setting.
REFUSALS = {
    "from . import x": "a relative import is not allowed: a task is not part of a package",
    "from .json import loads": "a relative import is not allowed: a task is not part of a package",
    "from ... import json": "a relative import is not allowed: a task is not part of a package",
    "eval('1')": "'eval' is not allowed: it runs text as code; for data use json.loads or ast.literal_eval",
    "exec('1')": "'exec' is not allowed: it runs text as code",
    "compile('1', '', 'eval')": "'compile' is not allowed: it makes code from text",
    "open('f')": "'open' is not allowed: tasks have no files; use the node's binary data, or io.StringIO and io.BytesIO",
    "input()": "'input' is not allowed: nobody is there to type; read _items or _item",
    "breakpoint()": "'breakpoint' is not allowed: there is no debugger in a task",
    "globals()": "'globals' is not allowed: it hands out the interpreter's names; use locals(), or keep a dict of your own",
    "exit(1)": "'exit' is not allowed: use return, or raise an exception",
    "help(len)": "'help' is not allowed: it starts an interactive reader",
    "map(eval, ['1'])": "'eval' is not allowed: it runs text as code; for data use json.loads or ast.literal_eval",
    "x = [1, open][0]": "'open' is not allowed: tasks have no files; use the node's binary data, or io.StringIO and io.BytesIO",
    "f'{globals()}'": "'globals' is not allowed: it hands out the interpreter's names; use locals(), or keep a dict of your own",
    "().__class__.__mro__": "the attribute '__mro__' is not allowed: it walks to every class of the interpreter",
    "f.__globals__": "the attribute '__globals__' is not allowed: it leads to the interpreter's own names",
    "x.gi_frame": "the attribute 'gi_frame' is not allowed: it belongs to the interpreter",
    "o.__dict__ = {}": "changing the attribute '__dict__' is not allowed: whoever holds it writes any names; "
    "update it: x.__dict__.update(…)",
    "__builtins__": "the name '__builtins__' is not allowed: it belongs to the interpreter",
    "__file__": "the name '__file__' is not allowed: it belongs to the interpreter",
    "__name__ = 1": "binding the name '__name__' is not allowed: it belongs to the interpreter",
    "class A: __registry__ = {}": "binding the name '__registry__' is not allowed: names of this form are Python's "
    "and its libraries'; begin one of your own with one underscore",
    "f.__tags__ = []": "changing the attribute '__tags__' is not allowed: names of this form are Python's and its "
    "libraries'; begin one of your own with one underscore",
    "f(__class__=1)": "the keyword argument '__class__' is not allowed: it belongs to the interpreter",
    "'{0.__class__}'.format(1)": (
        "the attribute '__class__' in a format string is not allowed: a format string reads attributes by name"
    ),
}  # fmt: skip

#: Where the refused line stands: what comes before it, and its number.
PLACES = {
    "alone": ("", 1),
    "in a function": ("def f():\n    def g(a):\n", 3),
    "in a method": ("class K:\n    x = 1\n    def m(self):\n", 4),
    "in a branch": ("if _items:\n    for i in _items:\n", 3),
    "in a handler": ("try:\n    pass\nexcept ValueError:\n    with c:\n", 5),
    "in a case": ("match 1:\n    case [_]:\n", 3),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("statement", REFUSALS)
def test_refusal(statement: str, place: str) -> None:
    """The construct is refused wherever it stands: its line, what, why, and that no setting allows it."""
    before, line = PLACES[place]
    program = before + (textwrap.indent(statement, " " * 8) if before else statement)
    with pytest.raises(PolicyViolation) as caught:
        compile_task(program, OPEN)
    text = REFUSALS[statement]
    advice = "Python itself refuses it, too." if text.startswith("a relative import") else "No setting allows it."
    assert caught.value.description == f"Line {line}: {text}. {advice}"
    assert caught.value.message == f"Security violation: Line {line}: {text.partition(':')[0]}"


@pytest.mark.parametrize("head", ["def f():", "class A:"])
def test_star_import(head: str) -> None:
    """As in Python a star import stands at the outermost level; it brings what the module's façade shows."""
    assert execute("if True:\n    from math import *\nreturn round(sqrt(2) + pi, 3)") == 4.556
    with pytest.raises(PolicyViolation) as caught:
        compile_task(f"{head}\n    from json import *", OPEN)
    assert caught.value.description == (
        "Line 2: 'from json import *' is not allowed here: it belongs to the outermost level. Python itself refuses it, too."
    )


def test_yield_outside_a_function() -> None:
    """The task itself is no generator: its result would be nothing that n8n could use."""
    with pytest.raises(PolicyViolation) as caught:
        compile_task("for item in _items:\n    yield item", OPEN)
    assert (
        caught.value.description
        == "Line 2: 'yield' outside a function is not allowed: return a list instead. No setting allows it."
    )


def test_every_finding_is_told_in_the_order_of_lines() -> None:
    """A program with several mistakes is told all of them at once; the message speaks of the first."""
    with pytest.raises(PolicyViolation) as caught:
        compile_task("import subprocess\nx = 1\nglobals()\nopen('a'); eval('b')", OPEN)
    assert [finding.line for finding in caught.value.findings] == [1, 3, 4, 4]
    assert caught.value.message == "Security violation: Line 1: import of 'subprocess' is not allowed (and 3 more)"
    assert len(caught.value.description.splitlines()) == 4


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("type('A', ())", "type() takes 1 or 3 arguments"),
        (
            "import enum\nclass A(metaclass=enum.Enum): pass",
            "this metaclass is not available in a task: use type, abc.ABCMeta or one that inherits from them",
        ),
        (
            "class A(**{'metaclass': print}): pass",
            "this metaclass is not available in a task: use type, abc.ABCMeta or one that inherits from them",
        ),
        ("class S(str): pass\ngetattr(1, S('real'))", "attribute name must be exactly str, not 'S'"),
    ],
)
def test_refused_when_it_runs(program: str, message: str) -> None:
    """What only running can tell is refused with its reason."""
    with pytest.raises(TypeError) as caught:
        execute(program)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "program",
    [
        "def open(x): return x\nreturn open(1)",
        "class Reader:\n    def open(self): return 1\n    def eval(self, input): return input\nreturn Reader().open()",
        "input = _items[0]\nreturn input",
        "return {'eval': 1, 'open': 2}['eval']",
        "def f(*, locals=1): return locals\nreturn f()",
        "return [compile for compile in [1]][0]",
    ],
)
def test_own_names_are_not_mistaken_for_builtins(program: str) -> None:
    """Names of the program's own, attributes, keys and texts aren't the builtins of that name."""
    assert execute(program, _items=[1]) == 1


def test_what_a_library_wraps_a_refusal_in_is_no_refusal() -> None:
    """statsmodels says first what it was about: the word of the other mode stands behind the refusal alone."""
    text = "predict wants a frame.\n\nThe error was:\nthe attribute 'x' is not allowed: why. No setting allows it."
    assert with_other_mode(text) == text.replace("No setting allows it.", "REPTARIUM_LANGUAGE=python allows it.")
    assert with_other_mode("no attribute 'fork'\n") == "no attribute 'fork'. REPTARIUM_LANGUAGE=python allows it.\n"
