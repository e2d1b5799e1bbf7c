"""Attack programs, by technique: each is refused, before it runs or when it would reach something.

``COMPILE`` cases are refused with the named finding before anything runs. ``RUNTIME`` cases run into
the named exception; ``reached`` is set by the program only past the refusal.
"""

from __future__ import annotations

import ast

import pytest

from sandbox.language import LanguagePolicy, PolicyViolation, compile_task, make_namespace, run
from sandbox.language.policy import DENIED_BUILTINS, INTERPRETER_ATTRIBUTES
from sandbox.language.nodes import DECISIONS

OPEN = LanguagePolicy(stdlib_allow=("*",), external_allow=("*",))

DUNDERS = [
    "__subclasses__",
    "__globals__",
    "__mro__",
    "__bases__",
    "__base__",
    "__reduce__",
    "__reduce_ex__",
    "__getattribute__",
    "__code__",
    "__closure__",
    "__builtins__",
    "__self__",
    "__func__",
    "__wrapped__",
    "__traceback__",
    "__context__",
    "__cause__",
    "__match_args__",
    "__annotations__",
    "__loader__",
    "__spec__",
    "__file__",
    "__path__",
    "__defaults__",
    "__kwdefaults__",
    "__objclass__",
    "__origin__",
    "__getattr__",
    "__get__",
    "__subclasshook__",
    "__instancecheck__",
    "__prepare__",
    "__type_params__",
    "__weakref__",
]


def refusals(source: str) -> list[str]:
    with pytest.raises(PolicyViolation) as caught:
        compile_task(source, OPEN)
    return [finding.message for finding in caught.value.findings]


@pytest.mark.parametrize("name", [*DUNDERS, *sorted(INTERPRETER_ATTRIBUTES)])
def test_attribute_is_refused_when_compiled(name: str) -> None:
    """Reading an attribute of the interpreter's is refused before the program runs."""
    assert refusals(f"x = 1\nreturn x.{name}") == [f"the attribute '{name}' is not allowed"]


@pytest.mark.parametrize("name", [*DUNDERS, *sorted(INTERPRETER_ATTRIBUTES)])
@pytest.mark.parametrize(
    "program",
    [
        "return getattr(target, name)",
        "return getattr(target, name, None)",
        "from operator import attrgetter\nreturn attrgetter(name)(target)",
        "from operator import attrgetter\nreturn attrgetter('real.' + name)(1)",
        "from operator import methodcaller\nreturn methodcaller(name)(target)",
        "from functools import reduce\nreturn reduce(getattr, [name], target)",
        "from functools import partial\nreturn partial(getattr, target)(name)",
        "return ('{0.' + name + '}').format(target)",
        "return ('{a.' + name + '}').format_map({'a': target})",
        "return str.format('{0.' + name + '}', target)",
        "return ('{0:{1.' + name + '}}').format(1, target)",
        "import string\nreturn string.Formatter().format('{0.' + name + '}', target)",
        "import string\nreturn string.Formatter().get_field('0.' + name, (target,), {})",
        "import string\nclass F(string.Formatter): pass\nreturn F().vformat('{0.' + name + '}', (target,), {})",
        "from collections import UserString\nreturn UserString('{0.' + name + '}').format(target)",
    ],
)
def test_assembled_name_is_refused(name: str, program: str) -> None:
    """A name put together at run time meets the same rule."""
    code = compile_task(program, OPEN)
    with pytest.raises(AttributeError, match="is not allowed"):
        run(code, make_namespace(OPEN, {"target": refusals, "name": name}))


@pytest.mark.parametrize(
    "name", ["__class__", "__code__", "gi_frame", "__match_args__", "__annotations__", "__globals__"]
)
def test_assembled_write_is_refused(name: str) -> None:
    """setattr, delattr and their special methods write no attribute of the interpreter's."""
    for program in (
        "class A: pass\nsetattr(A, name, 1)",
        "class A: pass\ndelattr(A, name)",
        "class A: pass\nobject.__setattr__(A(), name, 1)",
        "class A:\n    def f(self): super().__setattr__(name, 1)\nA().f()",
        "class A: pass\nA().__dict__[name] = 1",
        "class A: pass\nvars(A()).update({name: 1})",
    ):
        with pytest.raises(AttributeError, match="is not allowed"):
            run(compile_task(program, OPEN), make_namespace(OPEN, {"name": name}))


BINDINGS = [
    "{0} = 1", "({0} := 1)", "for {0} in []: pass", "with x as {0}: pass", "try: pass\nexcept E as {0}: pass", "import json as {0}",
    "from json import loads as {0}", "def {0}(): pass", "class {0}: pass", "def f({0}): pass", "def f({0}, /): pass", "def f(*, {0}): pass",
    "def f(*{0}): pass", "def f(**{0}): pass", "lambda {0}: 1", "lambda {0}, /: 1", "[1 for {0} in []]", "def f():\n    global {0}", "match 1:\n    case {0}: pass",
    "match 1:\n    case [*{0}]: pass", "match 1:\n    case {{**{0}}}: pass", "match 1:\n    case 1 as {0}: pass", "a, *{0} = []", "del {0}", "{0}: int = 1", "{0} += 1", "f({0}=1)",
]  # fmt: skip


@pytest.mark.parametrize("form", BINDINGS)
def test_binding_an_interpreter_name_is_refused(form: str) -> None:
    """No binding form takes a name of the interpreter's."""
    assert any("__builtins__" in message for message in refusals(form.format("__builtins__")))


@pytest.mark.parametrize("form", BINDINGS[:-1])
def test_classic_guard_names_guard_nothing(form: str) -> None:
    """Our guards have names that no source can spell: binding RestrictedPython's changes nothing."""
    source = "def never():\n" + "\n".join(f"    {line}" for line in form.format("_getattr_").splitlines())
    code = compile_task(source + "\nreturn ('{0.' + '__class__}').format(1)", OPEN)
    with pytest.raises(AttributeError, match="is not allowed"):
        run(code, make_namespace(OPEN, {}))


@pytest.mark.parametrize("name", sorted(DENIED_BUILTINS))
def test_builtin_is_refused(name: str) -> None:
    """A builtin that opens the interpreter is refused by name, and isn't there at all."""
    assert refusals(f"{name}('1')") == [f"'{name}' is not allowed"]
    assert name not in make_namespace(OPEN, {})["__builtins__"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("async def f(): pass", "async def is not allowed"),
        ("try: pass\nexcept* ValueError: pass", "except* is not allowed"),
        ("from json import *", "'from json import *' is not allowed"),
        ("from . import x", "a relative import is not allowed"),
        ("class A(metaclass=M): pass", "the keyword 'metaclass' is not allowed"),
        ("class A(**k): pass", "'**' in a class statement is not allowed"),
        ("class A:\n    __match_args__ = ('gi_' + 'frame',)", "this '__match_args__' is not allowed"),
        (
            "match e:\n    case AttributeError(obj=o): pass",
            "the attribute 'obj' in a class pattern is not allowed",
        ),
        (
            "match e:\n    case object(__class__=o): pass",
            "the attribute '__class__' in a class pattern is not allowed",
        ),
        ("return '{0.__class__}'.format(1)", "the attribute '__class__' in a format string is not allowed"),
        (
            "class A:\n    def __getattribute__(s, n): pass",
            "binding the name '__getattribute__' is not allowed",
        ),
        ("class A:\n    def __reduce__(s): pass", "binding the name '__reduce__' is not allowed"),
        ("def __init__(): pass", "binding the name '__init__' here is not allowed"),
        ("yield 1", "'yield' outside a function is not allowed"),
        ("[x async for x in y]", "an asynchronous comprehension is not allowed"),
    ],
)
def test_construct_is_refused(source: str, message: str) -> None:
    """The construct is refused with this text."""
    assert message in refusals(source)


MODULES = [
    "subprocess",
    "ctypes",
    "importlib.util",
    "gc",
    "inspect",
    "pickle",
    "socket",
    "builtins",
    "code",
    "threading",
    "asyncio",
    "marshal",
    "_thread",
    "_ctypes",
    "posix",
    "doctest",
    "timeit",
    "shutil",
    "tempfile",
    "multiprocessing",
    "sandbox",
    "sandbox.language",
    "pool",
    "RestrictedPython",
    "psutil",
    "numpy._core",
]


@pytest.mark.parametrize("name", MODULES)
def test_module_is_refused_whatever_the_list(name: str) -> None:
    """The open list doesn't open what opens the interpreter; every way of importing agrees."""
    assert f"import of '{name}' is not allowed" in refusals(f"import {name}")
    for way in ("__import__(name)", "__import__('importlib').import_module(name)"):
        with pytest.raises(ImportError, match="is not allowed"):
            run(compile_task(f"return {way}", OPEN), make_namespace(OPEN, {"name": name}))


RUNTIME = {
    "type_three": ("type('X', (), {})", TypeError),
    "type_of_type": ("type(int)('X', (), {})", TypeError),
    "metaclass_by_inheritance": ("class M(type): pass", TypeError),
    "metaclass_from_abc": ("from abc import ABCMeta", ImportError),
    "metaclass_from_enum": ("from enum import EnumMeta", ImportError),
    "lying_str": ("class S(str):\n    def __eq__(self, o): return True\n    def __hash__(self): return 1\ngetattr(1, S('__class__'))", TypeError),
    "exception_obj": ("try:\n    (1).nope\nexcept AttributeError as e:\n    e.obj", AttributeError),
    "facade_hop_json": ("import json\njson.codecs", AttributeError),
    "facade_hop_re": ("import re\nre.enum", AttributeError),
    "facade_hop_from": ("from json import codecs", ImportError),
    "facade_hop_uuid": ("import uuid\nuuid.os", AttributeError),
    "facade_hop_contextlib": ("import contextlib\ncontextlib.os", AttributeError),
    "facade_hop_statistics": ("from statistics import sys", ImportError),
    "facade_numpy": ("import numpy\nnumpy.ctypeslib", AttributeError),
    "facade_numpy_from": ("from numpy import f2py", ImportError),
    "array_ctypes": ("import numpy\nnumpy.array([1]).ctypes", AttributeError),
    "numpy_load": ("import numpy\nnumpy.load('x', allow_pickle=True)", AttributeError),
    "pandas_eval": ("import pandas\npandas.eval('1')", AttributeError),
    "pandas_query": ("import pandas\npandas.DataFrame({'a': [1]}).query('a > @x.__class__')", AttributeError),
    "pandas_pickle": ("import pandas\npandas.read_pickle('x')", AttributeError),
    "pandas_path": ("import pandas\npandas.read_csv('/etc/passwd')", AttributeError),
    "pandas_agg_name": ("import pandas\npandas.Series([1]).agg('__reduce__')", AttributeError),
    "path_module": ("from pathlib import PurePosixPath as P\n(getattr(P, '_flavour', None) or P.parser).pathmod", AttributeError),
    "metaclass_from_pandas": ("import pandas\npandas.CategoricalDtype.type('X', (), {})", TypeError),
    "catch_warnings": ("import warnings\nwarnings.catch_warnings()._module", AttributeError),
    "namedtuple_name": ("from collections import namedtuple\nnamedtuple('A', 'gi_frame')", AttributeError),
    "make_dataclass_name": ("from dataclasses import make_dataclass\nmake_dataclass('A', ['gi_frame'])", AttributeError),
    "field_rename": ("from dataclasses import field\nfield().name = 'x=1):\\n pass #'", AttributeError),
    "update_wrapper_assigned": ("from functools import update_wrapper\nimport json\nupdate_wrapper(lambda: 1, json.dumps, ('__globals__',))", TypeError),
    "virtual_match": ("from abc import ABC\nfrom dataclasses import dataclass\n@dataclass\nclass A(ABC):\n    obj: int\nA.register(AttributeError)\ntry:\n    (1).x\nexcept AttributeError as e:\n    match e:\n        case A(o): pass", AttributeError),
    "get_type_hints": ("from typing import get_type_hints", ImportError),
    "forward_reference_call": ("from typing import ForwardRef\nForwardRef('__import__(\"os\")')", AttributeError),
    "annotation_list": ("from typing import List\nList['(1).real']", AttributeError),
    "xml_path": ("import xml.etree.ElementTree as ET\nET.parse('/etc/passwd')", AttributeError),
    "gzip_path": ("import gzip\ngzip.open('/etc/passwd')", AttributeError),
    "logging_file": ("from logging import FileHandler", ImportError),
    "yaml_unsafe": ("import yaml\nyaml.unsafe_load('a')", AttributeError),
    "yaml_loader": ("import yaml\nclass L: pass\nyaml.load('a', Loader=L)", AttributeError),
    "os_system": ("import os\nos.system('true')", AttributeError),
    "sys_modules": ("import sys\nsys.modules", AttributeError),
    "function_type": ("import types\ntypes.CodeType", AttributeError),
    "zip_path": ("import zipfile\nzipfile.ZipFile('/etc/passwd')", PermissionError),
    "tar_path": ("import tarfile\ntarfile.open('/etc/passwd')", PermissionError),
    "fileio_by_type": ("import logging, io\nimport gzip\ngzip.GzipFile('/etc/passwd')", PermissionError),
    "logging_brace": ("import logging\nf = logging.Formatter('{msg.__class__}', style='{')\nf.format(logging.LogRecord('n', 1, 'p', 1, 'm', (), None))", AttributeError),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNTIME)
def test_attack_is_refused_when_run(name: str) -> None:
    """The attack ends in this exception before it reaches anything."""
    source, error = RUNTIME[name]
    for package in ("numpy", "pandas", "yaml"):
        if package in source:
            pytest.importorskip(package)
    reached: list[int] = []
    with pytest.raises(error):
        run(compile_task(f"{source}\nreached.append(1)", OPEN), make_namespace(OPEN, {"reached": reached}))
    assert reached == []


@pytest.mark.parametrize("name", ["eval", "exec", "compile", "open"])
def test_audit_hook_stops_a_leaked_builtin(name: str) -> None:
    """Should a real builtin ever leak, the second line refuses what it does."""
    import builtins

    arguments = {"compile": "'1', 'f', 'eval'", "open": "'/etc/passwd'"}.get(name, "'1'")
    with pytest.raises(PermissionError):
        run(
            compile_task(f"return leaked({arguments})", OPEN),
            make_namespace(OPEN, {"leaked": getattr(builtins, name)}),
        )


@pytest.mark.parametrize("name", ["__code__"])
def test_audit_hook_stops_a_leaked_getter(name: str) -> None:
    """Should the real getattr ever leak, what CPython reports to audit hooks stays closed to user frames."""
    with pytest.raises(AttributeError):
        run(
            compile_task("return leaked(f, n)", OPEN),
            make_namespace(OPEN, {"leaked": getattr, "f": refusals, "n": name}),
        )


def test_every_syntax_node_is_decided() -> None:
    """The running Python's ast has no node class on which the policy hasn't decided."""
    nodes = {name for name, value in vars(ast).items() if isinstance(value, type) and issubclass(value, ast.AST)}
    assert nodes - set(DECISIONS) == set()


def test_all_findings_come_together() -> None:
    """Every refused construct is reported, with line, reason and setting."""
    with pytest.raises(PolicyViolation) as caught:
        compile_task("import json\nimport subprocess\nx.__globals__", LanguagePolicy())
    assert caught.value.message == "Security violation: Line 1: import of 'json' is not allowed (and 2 more)"
    assert [f.line for f in caught.value.findings] == [1, 2, 3]
    assert "N8N_RUNNERS_STDLIB_ALLOW" in caught.value.description
