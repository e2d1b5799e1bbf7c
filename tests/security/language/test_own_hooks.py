"""What a task's own classes answer and are given in Python's place opens nothing: hooks for attributes, namespaces of class
bodies, states, methods that are set later, groups of exceptions.
"""

from __future__ import annotations

import builtins
import sys
import types

import pytest

from tests.security.language.programs import (
    NO_SETTING,
    TAKEN,
    Attack,
    at_compile,
    attribute,
    by_id,
    changing,
    check,
    check_nothing_reached,
)

OTHERS = "the class isn't the task's own: derive one"
STATE = f"it takes an object apart, and is there for the task's own methods; use vars(x). {NO_SETTING}"
OF_METHODS = f"it leads to the interpreter's own names, and is read of methods of the task's own. {NO_SETTING}"
STANDS = "the attribute '{}' of what stands for another object is not allowed: read it of that object. " + NO_SETTING
ATTACKS = {
    "super_reads_an_interpreters_name": Attack("class A:\n    def __getattribute__(self, name): return super().__getattribute__('gi_' + 'frame')\nreached.append(A().x)", attribute("gi_frame")),
    "object_reads_a_generator": Attack("reached.append(object.__getattribute__(target, 'gi_' + 'frame'))", attribute("gi_frame")),
    "object_reads_a_function": Attack("reached.append(object.__getattribute__(len, '__self' + '__'))", attribute("__self__")),
    "own_method_reads_a_generator": Attack("reached.append(target.__getattribute__('gi_' + 'code'))", attribute("gi_code")),
    "type_reads_a_class": Attack("reached.append(type.__getattribute__(int, '__sub' + 'classes__'))", attribute("__subclasses__")),
    "reads_a_guarded_method": Attack("reached.append(object.__getattribute__('{0.gi_frame}', 'format')(target))", f"the attribute 'gi_frame' in a format string is not allowed: it reads attributes by name. {NO_SETTING}"),
    "reads_an_array_s_memory": Attack("import numpy\nreached.append(object.__getattribute__(numpy.zeros(1), 'ctypes'))", f"the attribute 'ctypes' of an array is not allowed: it writes files or hands out pointers. {NO_SETTING}"),
    "reads_what_an_error_failed_on": Attack("try: (1).x\nexcept AttributeError as error: reached.append(object.__getattribute__(error, 'obj'))", f"the attribute 'obj' of an exception is not allowed: it betrays what the code failed on. {NO_SETTING}"),
    "lying_name": Attack("class S(str):\n    def __eq__(self, other): return True\n    def __hash__(self): return 1\nreached.append(object.__getattribute__(target, S('gi_frame')))", "attribute name must be exactly str, not 'S'", TypeError),
    "by_computed_name": Attack("reached.append(getattr(object, '__getattribute__'))", attribute("__getattribute__")),
    "hook_by_assignment": at_compile("class A:\n    __getattribute__ = reached.append", "binding the name '__getattribute__' this way is not allowed"),
    "hook_by_lambda": at_compile("class A:\n    __getattribute__ = lambda s, n: 1", "binding the name '__getattribute__' this way is not allowed"),
    "hook_set_later": at_compile("class A: pass\nA.__getattribute__ = lambda s, n: 1", "changing the attribute '__getattribute__' is not allowed"),
    "hook_set_by_name": Attack("class A: pass\nsetattr(A, '__getattri' + 'bute__', lambda s, n: 1)", changing("__getattribute__")),
    "hook_in_a_class_made_by_a_call": Attack("reached.append(type('A', (), {'__getattribute__': lambda s, n: 1}))", f"the name '__getattribute__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "hook_taken_reads_another_object": Attack(TAKEN + "reached.append(taken[0](target, 'gi_frame'))", "this __getattribute__ is another class's", TypeError),
    "hook_taken_reads_what_takes_it_apart": Attack(TAKEN + "reached.append(taken[0](A(), '__reduce_ex__'))", "'A' object has no attribute '__reduce_ex__'", AttributeError),
    "hook_taken_reads_a_class": Attack(TAKEN + "reached.append(taken[0](int, '__class__'))", "this __getattribute__ is another class's", TypeError),
    "hook_taken_asked_by_a_library": Attack(TAKEN + "import concurrent.futures as c\nwith c.ThreadPoolExecutor(1) as pool:\n    reached.append(pool.submit(taken[0], A(), '__getstate__').result())", "'A' object has no attribute '__getstate__'", AttributeError),
    "hook_taken_writes_for_a_library": Attack(TAKEN + "import concurrent.futures as c\nwith c.ThreadPoolExecutor(1) as pool:\n    pool.submit(taken[0], A(), '__setattr__').result()('__array_interface__', 1)\nreached.append(1)", changing("__array_interface__")),
    "hook_taken_reads_the_dict_for_a_library": Attack(TAKEN + "import concurrent.futures as c\nwith c.ThreadPoolExecutor(1) as pool:\n    pool.submit(taken[0], A(), '__dict__').result()['__array_interface__'] = 1\nreached.append(1)", changing("__array_interface__")),
    "state_of_a_library_s_object": Attack("import logging\nreached.append(logging.root.__getstate__())", f"the attribute '__getstate__' is not allowed: {STATE}"),
    "state_set_on_a_library_s_object": Attack("import random\nreached.append(random.Random().__setstate__)", f"the attribute '__setstate__' is not allowed: {STATE}"),
    "state_of_a_super_of_a_library_s_class": Attack("from collections import OrderedDict\nreached.append(super(OrderedDict, OrderedDict()).__getstate__())", f"the attribute '__getstate__' is not allowed: {STATE}"),
    "self_of_a_library_s_method": Attack("import logging\nreached.append(logging.root.info.__self__)", f"the attribute '__self__' is not allowed: {OF_METHODS}"),
    "function_of_a_library_s_method": Attack("import logging\nreached.append(logging.root.info.__func__)", f"the attribute '__func__' is not allowed: {OF_METHODS}"),
    "self_of_a_builtin": Attack("reached.append(len.__self__)", f"the attribute '__self__' is not allowed: {OF_METHODS}"),
    "weak_method_of_a_library_s": Attack("import weakref, logging\nreached.append(weakref.WeakMethod(logging.root.info))", f"WeakMethod() of a library's method is not allowed: it tells whose the method is; keep weakref.ref() of the object, and the method's name. {NO_SETTING}"),
    "weak_method_made_beside": Attack("import weakref, logging\nclass W(weakref.WeakMethod): pass\nreached.append(W(logging.root.info)._obj_ref())", f"WeakMethod() of a library's method is not allowed: it tells whose the method is; keep weakref.ref() of the object, and the method's name. {NO_SETTING}"),
    "weak_method_beyond_ours": Attack("import weakref, logging\nw = weakref.WeakMethod\nreached.append(super(w, w).__new__(w, logging.root.info))", f"WeakMethod() of a library's method is not allowed: it tells whose the method is; keep weakref.ref() of the object, and the method's name. {NO_SETTING}"),
    "weak_method_among_bases": Attack("import weakref, logging\nclass W(weakref.WeakMethod): pass\nfor cls in W.__mro__[1:-1]: reached.append(cls(logging.root.info))", f"WeakMethod() of a library's method is not allowed: it tells whose the method is; keep weakref.ref() of the object, and the method's name. {NO_SETTING}"),
    "error_read_by_a_reader": Attack("import codecs\ntry: (1).x\nexcept AttributeError as error: reached.append(codecs.getreader('utf-8')(error).obj)", STANDS.format("obj")),
    "error_read_by_an_alias": Attack("import types\ntry: (1).x\nexcept AttributeError as error: reached.append(types.GenericAlias(error, ()).obj)", STANDS.format("obj")),
    "array_read_by_a_reader": Attack("import codecs, numpy\nreader = codecs.getreader('utf-8')(numpy.zeros(1))\nreached.append(reader.ctypes)", STANDS.format("ctypes")),
    "check_by_assignment": at_compile("class M(type):\n    __subclasscheck__ = reached.append", "binding the name '__subclasscheck__' this way is not allowed"),
    "check_set_later": at_compile("class M(type): pass\nM.__instancecheck__ = reached.append", "changing the attribute '__instancecheck__' is not allowed"),
    "method_of_a_library_s_class": Attack("import json\njson.JSONEncoder.__init__ = reached.append", f"changing the attribute '__init__' is not allowed: {OTHERS}. {NO_SETTING}"),
    "method_of_a_builtin_class": Attack("setattr(int, '__add__', reached.append)", f"changing the attribute '__add__' is not allowed: {OTHERS}. {NO_SETTING}"),
    "method_of_a_module": Attack("import json\nm = json\nm.__len__ = reached.append", f"changing the attribute '__len__' is not allowed: {OTHERS}. {NO_SETTING}"),
    "pattern_s_names_set_later": at_compile("class A: pass\nA.__match_args__ = ('gi_frame',)", "changing the attribute '__match_args__' is not allowed"),
    "prepared_mapping": Attack("class M(dict):\n    def __getitem__(self, name):\n        reached.append(name)\n        raise KeyError(name)\nclass Meta(type):\n    @classmethod\n    def __prepare__(metacls, name, bases): return M()\nclass A(metaclass=Meta):\n    x = len", "a __prepare__ that returns another mapping is not available in a task: return a dict", TypeError),
    "prepared_guard": Attack("class Meta(type):\n    @classmethod\n    def __prepare__(metacls, name, bases): return {'guard getattr': reached.append}\nclass A(metaclass=Meta):\n    x = print.format", "a __prepare__ that returns other names is not available in a task: return names of Python", TypeError),
    "prepared_name_of_the_interpreter": Attack("class Meta(type):\n    @classmethod\n    def __prepare__(metacls, name, bases): return {'__reduce__': reached.append}\nclass A(metaclass=Meta): pass", f"the name '__reduce__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "prepare_set_later": at_compile("class Meta(type): pass\nMeta.__prepare__ = lambda *a: {}", "changing the attribute '__prepare__' is not allowed"),
    "check_in_a_pattern": Attack("class Meta(type):\n    def __instancecheck__(cls, value): return True\nclass A(metaclass=Meta): pass\ntry: (1).x\nexcept AttributeError as error:\n    match error:\n        case A(obj=x): reached.append(x)", f"this class pattern is not allowed: it would read the attribute 'obj'. {NO_SETTING}"),
    "check_and_positions": Attack("class Meta(type):\n    def __instancecheck__(cls, value): return True\nclass A(metaclass=Meta):\n    __match_args__ = ('format',)\nmatch 'text':\n    case A(f): reached.append(f)", f"this class pattern is not allowed: it would read the attribute 'format'. {NO_SETTING}"),
    "class_of_a_method_beyond": at_compile("reached.append(__class__)", "the name '__class__' is not allowed"),
    "class_rebound": at_compile("class A:\n    def f(self):\n        __class__ = 1", "binding the name '__class__' is not allowed"),
    "metadata_that_runs_text": Attack("from typing import get_type_hints\ndef f(x: \"Annotated[int, (lambda: reached.append(1))()]\"): pass\nget_type_hints(f)", "the annotation 'Annotated[int, (lambda: reached.append(1))()]' is not allowed: it must be a type's name, not an expression"),
    "metadata_that_reads": Attack("from typing import get_type_hints, Annotated\ndef f(x: \"Annotated[int, reached.append(len.__self__)]\"): pass\nget_type_hints(f)", "the name '__self__' in an annotation is not allowed"),
    "metadata_that_imports": Attack("from typing import get_type_hints, Annotated\ndef f(x: \"Annotated[int, reached.append(__import__('os'))]\"): pass\nget_type_hints(f)", "the name '__import__' in an annotation is not allowed"),
    "call_beside_the_metadata": Attack("from typing import get_type_hints, Annotated\ndef f(x: \"Annotated[reached.append(1), 2]\"): pass\nget_type_hints(f)", "the annotation 'Annotated[reached.append(1), 2]' is not allowed: it must be a type's name, not an expression"),
}  # fmt: skip


def _target() -> object:
    yield 1


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """It ends in the refusal, and has reached nothing."""
    check(attack, target=_target())


@pytest.mark.skipif(sys.version_info >= (3, 13, 2), reason="this Python looks at what split() returns")
@pytest.mark.parametrize("raised", ["Odd('g', [ValueError()])", "Odd('g', [Odd('h', [ValueError()])])"])
def test_except_star_believes_no_group_of_ones_own(raised: str) -> None:
    """Older Pythons take what its ``split()`` returns for a pair, whatever it is (CVE-2025-22153)."""
    program = f"""
class Odd(ExceptionGroup):
    def split(self, kind): return reached
try: raise {raised}
except* ValueError as group: reached.append(group)
"""
    message = (
        "except* with a Odd is not allowed: this version of Python believes what its split() returns; use except. "
        + NO_SETTING
    )
    check(Attack(program, message))


def test_hooks_are_not_asked_for_what_libraries_look_for() -> None:
    """numpy asks objects for addresses, and copy for what takes them apart: the hook hears nothing of it. It hears of what
    classes may have."""
    check_nothing_reached(
        """
        import copy
        import numpy
        class A:
            def __getattribute__(self, name):
                if name.startswith('__') and name not in ('__array__', '__copy__', '__deepcopy__', '__float__', '__len__'):
                    reached.append(name)
                return super().__getattribute__(name)
        numpy.asarray(A())
        copy.copy(A())
        copy.deepcopy(A())
        isinstance(A(), int)
        hasattr(A(), '__array_interface__')
        """
    )


def test_what_a_hook_reads_of_its_object_is_the_tasks_own_view() -> None:
    """Its dict is the checked one, its class never a metaclass."""
    check_nothing_reached(
        """
        class A:
            def __getattribute__(self, name): return super().__getattribute__(name)
            def dict(self): return super().__getattribute__('__dict__')
            def kind(self): return super().__getattribute__('__class__')
        a = A()
        for write in (lambda d: d.__setitem__('__array_interface__', 1), lambda d: d.update(gi_frame=1)):
            try:
                write(a.dict())
            except AttributeError:
                continue
            reached.append(a)
        if a.kind() is not A or object.__getattribute__(A, '__class__') is not type:
            reached.append(a)
        """
    )


def test_a_prepared_namespace_is_a_copy() -> None:
    """The class body's names can't be changed by who has prepared them, while it runs."""
    check_nothing_reached(
        """
        kept = {}
        class Meta(type):
            @classmethod
            def __prepare__(metacls, name, bases): return kept
        def change():
            kept['guard getattr'] = lambda value, name: reached.append(name)
        class A(metaclass=Meta):
            change()
            x = 'a'.format
        """
    )


def test_what_keeps_an_obj_of_its_own_is_read() -> None:
    """A reader's, or any object's; pandas' frames have columns of that name."""
    check_nothing_reached(
        """
        import codecs, io
        class Reader(codecs.getreader('utf-8')): obj = 1
        reader = Reader(io.BytesIO(b'text'))
        if (reader.obj, memoryview(b'x').obj) != (1, b'x'): reached.append(reader.obj)
        """
    )


@pytest.mark.parametrize("value", ["getattr", "type", "exec", "vars"])
def test_defaults_of_a_library_are_what_a_facade_carries(value: str) -> None:
    """``def f(self, name, getattr=getattr)`` holds the real one."""
    real = vars(builtins)[value]
    check_nothing_reached(
        "reached.extend(each for each in target.__defaults__ if each is real())",
        target=types.FunctionType((lambda x=0: x).__code__, {}, "f", (real,)),
        real=lambda: real,
    )
