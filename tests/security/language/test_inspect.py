"""``inspect`` and its like read frames, sources and attributes past any guard: what does is not to be had."""

from __future__ import annotations

import inspect

import pytest
from programs import NO_SETTING, Attack, at_compile, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport

MODULES = ["dis", "opcode", "symtable", "linecache", "tokenize", "code", "codeop", "bdb", "pdb", "trace"]
ATTACKS = {
    "computed": Attack("reached.append(__import__('d' + 'is'))", f"import of 'dis' is not allowed: it opens the interpreter itself. {NO_SETTING}", RefusedImport),
    "frames": Attack("import inspect\nreached.append(inspect.currentframe())", "module 'inspect' has no attribute 'currentframe'", AttributeError),
    "stack": Attack("from inspect import stack\nreached.append(stack())", "cannot import name 'stack' from 'inspect'", RefusedImport),
    "source": Attack("import inspect\nreached.append(inspect.getsource(len))", "module 'inspect' has no attribute 'getsource'", AttributeError),
    "static_read": Attack("import inspect\nreached.append(inspect.getattr_static(len, '__self__'))", "module 'inspect' has no attribute 'getattr_static'", AttributeError),
    "text_in_a_signature": Attack("import inspect\ndef f(x: 'reached.append(1)'): pass\nreached.append(inspect.signature(f, eval_str=True))", "signature() with eval_str is not allowed: it runs text as code; use typing.get_type_hints"),
    "members": Attack("import inspect\nfound = dict(inspect.getmembers(lambda: 1))\nreached.append(found['__globals__'])", "'__globals__'", KeyError),
    "kept_by_dataclasses": Attack("import dataclasses\nreached.append(dataclasses.inspect)", "module 'dataclasses' has no attribute 'inspect'", AttributeError),
    "kept_by_dataclasses_from": Attack("from dataclasses import inspect\nreached.append(inspect)", "cannot import name 'inspect' from 'dataclasses'", RefusedImport),
    "kept_by_a_class": Attack("reached.append(keeper.inspect)", f"the attribute 'inspect' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "signature": at_compile("def f(x): pass\nreached.append(f.__signature__)", "the attribute '__signature__' is not allowed"),
    "module_in_a_default": Attack("reached.append(keeper.method.__defaults__)", f"the attribute '__defaults__' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "module_in_an_annotation": Attack("reached.append(getattr(keeper.method, '__annotations__'))", f"the attribute '__annotations__' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "module_in_a_signature": Attack("import inspect\nreached.append(inspect.signature(keeper.method))", f"the attribute 'default' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "module_in_a_signature_of_the_class_s": Attack("import inspect\nreached.append(inspect.Signature.from_callable(keeper.method))", f"the attribute 'default' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "module_in_arguments": Attack("import inspect\nreached.append(inspect.getfullargspec(keeper.method))", f"the attribute 'defaults' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "closure": at_compile("def f(x): return lambda: x\nreached.append(f(1).__closure__)", "the attribute '__closure__' is not allowed"),
    "code": at_compile("def f(): pass\nreached.append(f.__code__.co_consts)", "the attribute 'co_consts' is not allowed"),
    "numpy_source": Attack("import numpy\nreached.append(numpy.source)", "module 'numpy' has no attribute 'source'", AttributeError),
    "numpy_lookfor": Attack("import numpy\nreached.append(numpy.lookfor)", "module 'numpy' has no attribute 'lookfor'", AttributeError),
    "unittest_mock": at_compile("from unittest.mock import patch\nreached.append(patch)", "import of 'unittest.mock' is not allowed"),
}  # fmt: skip


class Keeper:
    """Stands for a library's class that keeps the module."""

    inspect = inspect

    def method(self, kept: object = inspect) -> None:
        """Keeps it in its signature as well."""

    method.__annotations__["kept"] = inspect


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


def test_what_a_signature_holds() -> None:
    """The real ``getattr`` and ``type`` of libraries' functions are a task's there."""

    def library(name: type, read: object = getattr, *, make: object = type) -> type:
        raise AssertionError(name, read, make)

    library.__annotations__ = {"name": type, "return": type}
    check_nothing_reached(
        """
        import inspect
        made = inspect.signature(library)
        told = inspect.getfullargspec(library)
        found = [made.parameters['read'].default, made.parameters['make'].default, made.parameters['name'].annotation,
                 made.return_annotation, *told.defaults, *told.kwonlydefaults.values(), *told.annotations.values(),
                 made.bind(int).signature.parameters['read'].default]
        reached.extend(each for each in found if each is not getattr and each is not type)
        """,
        library=library,
    )
