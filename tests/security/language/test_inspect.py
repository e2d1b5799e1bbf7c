"""``inspect`` and its like read frames, sources and attributes past any guard: none can be imported, nor found elsewhere."""

from __future__ import annotations

import inspect

import pytest
from programs import NO_SETTING, Attack, at_compile, attribute, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport

MODULES = ["inspect", "dis", "opcode", "symtable", "linecache", "tokenize", "code", "codeop", "bdb", "pdb", "trace"]
ATTACKS = {
    "computed": Attack("reached.append(__import__('ins' + 'pect'))", f"import of 'inspect' is not allowed: it opens the interpreter itself. {NO_SETTING}", RefusedImport),
    "kept_by_dataclasses": Attack("import dataclasses\nreached.append(dataclasses.inspect)", "module 'dataclasses' has no attribute 'inspect'", AttributeError),
    "kept_by_dataclasses_from": Attack("from dataclasses import inspect\nreached.append(inspect)", "cannot import name 'inspect' from 'dataclasses'", RefusedImport),
    "kept_by_a_class": Attack("reached.append(keeper.inspect)", f"the attribute 'inspect' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "signature": at_compile("def f(x): pass\nreached.append(f.__signature__)", "the attribute '__signature__' is not allowed"),
    "defaults": at_compile("def f(x=[]): pass\nreached.append(f.__defaults__)", "the attribute '__defaults__' is not allowed"),
    "keyword_defaults": Attack("def f(*, x=1): pass\nreached.append(getattr(f, '__kwdefaults__'))", attribute("__kwdefaults__")),
    "annotations": at_compile("def f(x: int): pass\nreached.append(f.__annotations__)", "the attribute '__annotations__' is not allowed"),
    "closure": at_compile("def f(x): return lambda: x\nreached.append(f(1).__closure__)", "the attribute '__closure__' is not allowed"),
    "code": at_compile("def f(): pass\nreached.append(f.__code__.co_consts)", "the attribute 'co_consts' is not allowed"),
    "ast_classes": Attack("import ast\nreached.append(ast.NodeVisitor)", "module 'ast' has no attribute 'NodeVisitor'", AttributeError),
    "ast_parse": Attack("import ast\nreached.append(ast.parse('1'))", "module 'ast' has no attribute 'parse'", AttributeError),
    "numpy_source": Attack("import numpy\nreached.append(numpy.source)", "module 'numpy' has no attribute 'source'", AttributeError),
    "numpy_lookfor": Attack("import numpy\nreached.append(numpy.lookfor)", "module 'numpy' has no attribute 'lookfor'", AttributeError),
    "unittest_mock": at_compile("from unittest.mock import patch\nreached.append(patch)", "import of 'unittest.mock' is not allowed"),
}  # fmt: skip


class Keeper:
    """Stands for a library's class that keeps the module."""

    inspect = inspect


@pytest.mark.parametrize("name", MODULES)
def test_module(name: str) -> None:
    """The module is refused."""
    check(at_compile(f"import {name}\nreached.append({name})", f"import of '{name}' is not allowed"))


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """Nothing of what it shows can be read."""
    check(attack, keeper=Keeper)


@pytest.mark.parametrize(
    "text", ["__import__('os')", "open('x')", "(1).real", "a", "lambda: 1", "[x for x in (1,)]", "f'{1}'"]
)
def test_literal_eval_takes_literals(text: str) -> None:
    """``ast.literal_eval`` parses; what isn't a literal is refused by it."""
    program = "import ast\ntry: reached.append(ast.literal_eval(text))\nexcept ValueError: pass"
    check_nothing_reached(program, text=text)
