"""Exceptions carry what the failing code held: the object, the frames, the exceptions before them."""

from __future__ import annotations

import pytest
from programs import NO_SETTING, Attack, at_compile, attribute, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport

OBJ = f"the attribute 'obj' of an exception is not allowed: it betrays what the code failed on. {NO_SETTING}"
PATTERN_OBJ = f"this class pattern is not allowed: it would read the attribute 'obj'. {NO_SETTING}"
#: An AttributeError that carries the object in ``target``, and a NameError.
RAISED = "try: target.nope\nexcept AttributeError as e: error = e\n"

OF_OBJ = {
    "written": Attack("reached.append(error.obj)", OBJ),
    "getattr": Attack("reached.append(getattr(error, 'obj'))", OBJ),
    "getattr_default": Attack("reached.append(getattr(error, 'obj', 1))", OBJ),
    "attrgetter": Attack("import operator\nreached.append(operator.attrgetter('obj')(error))", OBJ),
    "attrgetter_path": Attack("import operator\nerror.e = error\nreached.append(operator.attrgetter('e.obj')(error))", OBJ),
    "methodcaller": Attack("import operator\nreached.append(operator.methodcaller('obj')(error))", OBJ),
    "format": Attack("reached.append('{0.obj}'.format(error))", OBJ),
    "keyword_pattern": Attack("match error:\n    case AttributeError(obj=o): reached.append(o)", "this class pattern is not allowed: it would read the attribute 'obj'. No setting allows it."),
    "keyword_pattern_of_object": Attack("match error:\n    case object(obj=o): reached.append(o)", "this class pattern is not allowed: it would read the attribute 'obj'. No setting allows it."),
    "positional_pattern": Attack("class E(AttributeError):\n    __match_args__ = ('obj',)\nmatch E(obj=error):\n    case E(o): reached.append(o)", PATTERN_OBJ),
    "positional_pattern_of_dataclass": Attack("from dataclasses import dataclass\n@dataclass\nclass E(AttributeError):\n    obj: int\nmatch E(1):\n    case E(o): reached.append(o)", PATTERN_OBJ),
    "registered_class": Attack("from abc import ABC\nclass A(ABC):\n    __match_args__ = ('obj',)\nA.register(AttributeError)\nmatch error:\n    case A(o): reached.append(o)", PATTERN_OBJ),
    "protocol": Attack("from typing import Protocol, runtime_checkable\n@runtime_checkable\nclass P(Protocol):\n    __match_args__ = ('obj',)\n    obj: int\nclass E(AttributeError):\n    __match_args__ = ()\nmatch E(obj=error):\n    case P(o): reached.append(o)", PATTERN_OBJ),
    "descriptor_called": Attack("reached.append(AttributeError.obj.__get__(error))", f"the attribute '__get__' is not allowed: it reads what no guard looks at, and is there for functions and the task's own descriptors. {NO_SETTING}"),
    "descriptor_in_a_class": Attack("class A: o = AttributeError.obj\nreached.append(A().o)", "descriptor 'obj' for 'AttributeError' objects doesn't apply to a 'A' object", TypeError),
    "descriptor_in_partialmethod": Attack("from functools import partialmethod\nclass A: o = partialmethod(AttributeError.obj)\nreached.append(A().o)", "descriptor 'obj' for 'AttributeError' objects doesn't apply to a 'A' object", TypeError),
    "subclass": Attack("class E(AttributeError): pass\nreached.append(E(name='n', obj=target).obj)", OBJ),
    "super": Attack("class E(AttributeError):\n    def f(self): return super().obj\nreached.append(E(obj=target).f())", OBJ),
    "name_error": Attack("try: nope\nexcept NameError as e: reached.append(e.obj)", OBJ),
    "copied": Attack("import copy\nreached.append(copy.copy(error).obj)", OBJ),
    "state": Attack("reached.append(error.__getstate__())", f"the attribute '__getstate__' is not allowed: it takes an object apart, and is there for the task's own methods; use vars(x). {NO_SETTING}"),
    "reduced": at_compile("reached.append(error.__reduce__())", "the attribute '__reduce__' is not allowed"),
}  # fmt: skip

#: Written, computed, by pattern, as targets.
CHAINED = {
    "written": "reached.append(error.NAME)",
    "assigned": "error.NAME = 1",
    "deleted": "del error.NAME",
    "keyword_pattern": "match error:\n    case Exception(NAME=x): reached.append(x)",
    "positional_pattern": "class E(Exception):\n    __match_args__ = ('NAME',)",
    "bound_in_a_class": "class E(Exception):\n    NAME = 1",
    "method_of_a_class": "class E(Exception):\n    def NAME(self): pass",
    "format": "reached.append('{0.NAME}'.format(error))",
}
TEXTS = {
    "assigned": "changing the attribute 'NAME' is not allowed",
    "deleted": "changing the attribute 'NAME' is not allowed",
    "keyword_pattern": "the attribute 'NAME' in a class pattern is not allowed",
    "positional_pattern": "this '__match_args__' is not allowed",
    "bound_in_a_class": "binding the name 'NAME' is not allowed",
    "method_of_a_class": "binding the name 'NAME' is not allowed",
    "format": "the attribute 'NAME' in a format string is not allowed",
}

TRACEBACKS = {
    "exit_argument": at_compile("class C:\n    def __enter__(self): pass\n    def __exit__(self, kind, value, tb): reached.append(tb.tb_frame)\nwith C(): 1 / 0", "the attribute 'tb_frame' is not allowed"),
    "exit_argument_computed": Attack("class C:\n    def __enter__(self): pass\n    def __exit__(self, kind, value, tb): reached.append(getattr(tb, 'tb' + '_frame'))\nwith C(): 1 / 0", attribute("tb_frame")),
    "exit_stack_callback": Attack("from contextlib import ExitStack\nwith ExitStack() as s:\n    s.push(lambda k, v, tb: reached.append(getattr(tb, 'tb_next')))\n    1 / 0", attribute("tb_next")),
    "exc_info": at_compile("import sys\ntry: 1 / 0\nexcept ZeroDivisionError: reached.append(sys.exc_info()[2].tb_frame)", "the attribute 'tb_frame' is not allowed"),
    "own_traceback": at_compile("try: 1 / 0\nexcept ZeroDivisionError as e: reached.append(e.__traceback__.tb_frame)", "the attribute 'tb_frame' is not allowed"),
    "own_traceback_computed": Attack("try: 1 / 0\nexcept ZeroDivisionError as e: reached.append(getattr(e.__traceback__, 'tb_' + 'next'))", attribute("tb_next")),
    "own_traceback_formatted": at_compile("try: 1 / 0\nexcept ZeroDivisionError as e: reached.append('{0.__traceback__.tb_frame}'.format(e))", "the attribute 'tb_frame' in a format string is not allowed"),
    "type_of_ones_own": Attack("try: 1 / 0\nexcept ZeroDivisionError as e: reached.append(type(e.__traceback__)(None, None, 1, 1))", "cannot create 'traceback' instances", TypeError),
    "last_traceback": Attack("import sys\nreached.append(sys.last_traceback)", "module 'sys' has no attribute 'last_traceback'", AttributeError),
    "walk_tb": Attack("import traceback\nreached.append(traceback.walk_tb)", "module 'traceback' has no attribute 'walk_tb'", AttributeError),
    "walk_stack": Attack("from traceback import walk_stack\nreached.append(walk_stack(None))", "cannot import name 'walk_stack' from 'traceback'", RefusedImport),
    "traceback_type": Attack("class C:\n    def __enter__(self): pass\n    def __exit__(self, kind, value, tb): reached.append(type(tb)(None, value, 1, 1))\nwith C(): 1 / 0", "cannot create 'traceback' instances", TypeError),
    "excepthook": at_compile("import sys\nsys.excepthook = lambda *e: reached.append(e)", "changing 'excepthook' of the module 'sys' is not allowed"),
    "excepthook_by_name": Attack("import sys\nsetattr(sys, 'excepthook', lambda *e: reached.append(e))", f"changing 'excepthook' of the module 'sys' is not allowed: a task leaves the standard library as it is; call a function of your own instead. {NO_SETTING}"),
    "unraisablehook": Attack("import sys\nreached.append(sys.unraisablehook)", "module 'sys' has no attribute 'unraisablehook'", AttributeError),
}  # fmt: skip

#: What exceptions tell is text, and what the program itself has put into them.
PLAIN = {
    "name": "if type(error.name) is not str: reached.append(error.name)",
    "import_name": "try: from json import nope\nexcept ImportError as e:\n    if type(e.name) is not str: reached.append(e.name)",
    "name_error_name": "try: nope\nexcept NameError as e:\n    if type(e.name) is not str: reached.append(e.name)",
    "args": "if [type(a) for a in error.args] != [str]: reached.append(error.args)",
    "vars": "if vars(error): reached.append(vars(error))",
    "dir": "reached.extend(n for n in dir(error) if n in ('__reduce__', '__setstate__', '__getattribute__'))",
    "hasattr": "reached.extend(n for n in ('__reduce__', '__traceback_entries__', '__objclass__') if hasattr(error, n))",
    "extracted": "import traceback\nfor f in traceback.extract_tb(error.__traceback__):\n    if (type(f.lineno), type(f.name), type(f.line), f.locals) != (int, str, str, None): reached.append(f)",
    "predecessors": "try:\n    try: 1 / 0\n    except ZeroDivisionError as e: raise ValueError from e\nexcept ValueError as e:\n    if (type(e.__cause__), type(e.__context__), e.__suppress_context__) != (ZeroDivisionError, ZeroDivisionError, True): reached.append(e)",
    "formatted": "import traceback\nfor line in traceback.format_exception(error):\n    if type(line) is not str: reached.append(line)",
    "formatted_to_a_file": "import traceback\nclass F:\n    def write(self, text):\n        if type(text) is not str: reached.append(text)\ntraceback.print_exception(error, file=F())",
    "without_traceback": "if error.with_traceback(None) is not error: reached.append(1)",
    "class_attribute": "if type(AttributeError.obj).__name__ not in ('member_descriptor', 'getset_descriptor'): reached.append(1)",
    "own_obj": "class E(Exception): obj = 1\nif E().obj != 1: reached.append(1)",
}  # fmt: skip


def generator() -> object:
    """What the code fails on: worth having."""
    return (x for x in [1])


@pytest.mark.parametrize("attack", by_id(OF_OBJ))
def test_object_of_an_error(attack: Attack) -> None:
    """``obj`` of AttributeError and NameError stays inside."""
    check(attack._replace(program=RAISED + attack.program), target=generator())


@pytest.mark.parametrize("way", CHAINED)
@pytest.mark.parametrize("name", ["__reduce__", "__reduce_ex__"])
def test_inside_of_errors(way: str, name: str) -> None:
    """What leads on from an exception or its traceback is not for tasks, to read or to change."""
    program = RAISED + CHAINED[way].replace("NAME", name)
    message = TEXTS.get(way, "the attribute 'NAME' is not allowed").replace("NAME", name)
    check(at_compile(program, message), target=1)


@pytest.mark.parametrize("attack", by_id(TRACEBACKS))
def test_traceback(attack: Attack) -> None:
    """Tracebacks that Python itself hands out are opaque."""
    check(attack)


@pytest.mark.parametrize("name", PLAIN)
def test_what_errors_tell(name: str) -> None:
    """The rest is text and harmless."""
    check_nothing_reached(RAISED + PLAIN[name], target=generator())
