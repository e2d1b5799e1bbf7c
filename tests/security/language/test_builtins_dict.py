"""``__builtins__`` holds what a task must not have: no name, attribute, item or import leads to it."""

from __future__ import annotations

import pytest
from programs import OPEN, Attack, at_compile, attribute, by_id, check, check_nothing_reached, in_format

from reptarium.sandbox.language import LanguagePolicy, RefusedImport, make_namespace
from reptarium.sandbox.language.policy.names import DENIED_BUILTINS

NAME = "the name '__builtins__' is not allowed"
WRITTEN = "the attribute '__builtins__' is not allowed"

ATTACKS = {
    "name": at_compile("reached.append(__builtins__)", NAME),
    "item": at_compile("reached.append(__builtins__['eval'])", NAME),
    "attribute_of_it": at_compile("reached.append(__builtins__.eval)", NAME),
    "in_a_function": at_compile("def f(): return __builtins__\nreached.append(f())", NAME),
    "in_a_class": at_compile("class A: b = __builtins__\nreached.append(A.b)", NAME),
    "in_a_comprehension": at_compile("reached.append([__builtins__ for _ in [1]])", NAME),
    "in_an_f_string": at_compile("reached.append(f'{__builtins__}')", NAME),
    "in_a_default": at_compile("def f(b=__builtins__): return b\nreached.append(f())", NAME),
    "in_an_annotation": at_compile("def f(b: __builtins__): pass\nreached.append(f)", NAME),
    "in_a_lambda": at_compile("reached.append((lambda: __builtins__)())", NAME),
    "deleted": at_compile("del __builtins__", "binding the name '__builtins__' is not allowed"),
    "global": at_compile("def f():\n    global __builtins__\n    __builtins__ = {}\nf()", "binding the name '__builtins__' is not allowed; binding the name '__builtins__' is not allowed"),
    "augmented": at_compile("__builtins__ |= {}", "binding the name '__builtins__' is not allowed"),
    "of_a_function": at_compile("reached.append((lambda: 1).__builtins__)", WRITTEN),
    "of_a_function_by_name": Attack("reached.append(getattr(lambda: 1, '__builtins__'))", attribute("__builtins__")),
    "of_a_function_by_format": Attack("reached.append(('{0.__builtins' + '__}').format(lambda: 1))", in_format("__builtins__")),
    "of_a_library_function": Attack("import json\nreached.append(getattr(json.dumps, '__builtins__'))", attribute("__builtins__")),
    "of_a_facade": at_compile("import json\nreached.append(json.__builtins__)", WRITTEN),
    "of_a_facade_by_name": Attack("import json\nreached.append(getattr(json, '__builtins__'))", attribute("__builtins__")),
    "from_a_facade": at_compile("from json import __builtins__ as b\nreached.append(b)", "the name '__builtins__' is not allowed"),
    "globals": at_compile("reached.append(globals()['__builtins__'])", "'globals' is not allowed"),
    "vars": Attack("reached.append(vars()['__builtins__'])", "'__builtins__'", KeyError),
    "dir": Attack("import json\nif dir() != ['json']: reached.append(dir())\nreached.append(locals()['__builtins__'])", "'__builtins__'", KeyError),
    "module": at_compile("import builtins\nreached.append(builtins)", "import of 'builtins' is not allowed"),
    "module_by_call": at_compile("reached.append(__import__('builtins'))", "import of 'builtins' is not allowed"),
    "module_by_computed_call": Attack("reached.append(__import__('built' + 'ins'))", "import of 'builtins' is not allowed: its names are there without it. No setting allows it.", RefusedImport),
    "module_by_importlib": Attack("import importlib\nreached.append(importlib.import_module('built' + 'ins'))", "import of 'builtins' is not allowed: its names are there without it. No setting allows it.", RefusedImport),
    "old_module": at_compile("import __builtin__\nreached.append(__builtin__)", "import of '__builtin__' is not allowed; binding the name '__builtin__' is not allowed; the name '__builtin__' is not allowed"),
    "frame": at_compile("reached.append((x for x in [1]).gi_frame.f_builtins)", "the attribute 'f_builtins' is not allowed"),
    "module_kept_by_re": Attack("import re\nreached.append(re.enum)", "module 're' has no attribute 'enum'", AttributeError),
    "module_kept_by_enum": Attack("import enum\nreached.append(enum.bltns)", "module 'enum' has no attribute 'bltns'", AttributeError),
    "module_kept_by_codecs": Attack("import codecs\nreached.append(codecs.builtins)", "module 'codecs' has no attribute 'builtins'", AttributeError),
    "module_kept_by_gzip": Attack("import gzip\nreached.append(gzip.builtins)", "module 'gzip' has no attribute 'builtins'", AttributeError),
    "module_kept_by_reprlib": Attack("import reprlib\nreached.append(reprlib.builtins)", "module 'reprlib' has no attribute 'builtins'", AttributeError),
    "module_kept_by_operator": Attack("import operator\nreached.append(operator.builtins)", "module 'operator' has no attribute 'builtins'", AttributeError),
    "open_kept_by_tarfile": Attack("import tarfile\nreached.append(tarfile.bltn_open)", "module 'tarfile' has no attribute 'bltn_open'", AttributeError),
    "open_kept_by_io": Attack("import io\nreached.append(io.open)", "module 'io' has no attribute 'open'", AttributeError),
    "reload": at_compile("reload(1)", "'reload' is not allowed"),
    "getattr_of_a_builtin": Attack("reached.append(getattr(print, '__self__'))", attribute("__self__")),
    "reduce_of_a_builtin": Attack("reached.append(getattr(len, '__reduce__')())", attribute("__reduce__")),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_builtins(attack: Attack) -> None:
    """The table of builtins is nowhere to be had."""
    check(attack)


def test_table_holds_no_denied_builtin() -> None:
    """And if it were: it is a table of our own, without what opens the interpreter."""
    table = make_namespace(OPEN, {})["__builtins__"]
    assert isinstance(table, dict)
    assert not DENIED_BUILTINS.keys() & table.keys()
    assert table["__import__"] is not __import__
    assert table["getattr"] is not getattr
    assert table["type"] is not type


#: What a text of another class says that it is.
LIES = "class S(str):\n    def __eq__(self, other): return other == 'xml'\n    def __hash__(self): return hash('xml')\n"
NO_STRING = "attribute name must be exactly str, not 'S'"
HANDED_OUT = {
    "read": Attack("reached.append(table['guard getattr'](print, '__globals__'))", attribute("__globals__")),
    "read_of_a_generator": Attack("reached.append(table['guard getattr']((x for x in [1]), 'gi_frame'))", attribute("gi_frame")),
    "read_by_a_lying_name": Attack(LIES + "reached.append(table['guard getattr'](print, S('__globals__')))", NO_STRING, TypeError),
    "import": Attack("reached.append(table['guard import']('ctypes', True))", "import of 'ctypes' is not allowed: it opens the interpreter itself. No setting allows it.", RefusedImport),
    "import_by_a_lying_name": Attack("import xml\n" + LIES + "reached.append(table['guard import'](S('ctypes'), True))", NO_STRING, TypeError),
    "star_in_a_library_s_place": Attack("import collections, functools\nclass C(collections.Counter): items = staticmethod(functools.partial(table['guard star'], 'math'))\nC('a').most_common(1)", "setting names of a module that isn't the task's is not allowed: others use it. No setting allows it."),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(HANDED_OUT))
def test_what_is_among_them_does_no_more_than_a_task_may(attack: Attack) -> None:
    """Libraries look names up in whoever calls them, and may hand out what they find."""
    check(attack, table=make_namespace(OPEN, {})["__builtins__"])


def test_removed_builtins_are_gone() -> None:
    """The administrator's list takes away more."""
    policy = LanguagePolicy(builtins_deny=("sorted", "print", "__build_class__"))
    table = make_namespace(policy, {})["__builtins__"]
    assert isinstance(table, dict)
    assert "sorted" not in table
    assert "__build_class__" in table  # class statements need it, and no program can name it
    check(at_compile("reached.append(sorted)", "'sorted' is not allowed"), policy)
    program = "reached.append(('{0.' + '__self__}').format(len))"
    check(Attack(program, in_format("__self__")), policy)


def test_interpreters_import_hands_out_nothing() -> None:
    """C code imports on the task's behalf (``strftime`` needs ``time``), by a function that returns no module."""
    table = make_namespace(OPEN, {})["__builtins__"]
    assert isinstance(table, dict)
    assert table["__import__"]("time") is None
    check_nothing_reached("import datetime\nif datetime.date(2024, 2, 3).strftime('%Y') != '2024': reached.append(1)")
