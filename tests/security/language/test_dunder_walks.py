"""The classic walk from any object to the interpreter: each step's name is refused before the program runs."""

from __future__ import annotations

import sys
import types

import pytest
from programs import NO_SETTING, OPEN, Attack, at_compile, by_id, check

from reptarium.sandbox.language import PolicyViolation, compile_task, make_namespace, run
from reptarium.sandbox.language.policy.names import DENIED_ATTRIBUTES
from tests.each import each

WALKS_CLASSES = f"it walks to every class of the interpreter, and is read of the task's own classes alone. {NO_SETTING}"
OF_METHODS = f"it leads to the interpreter's own names, and is read of methods of the task's own. {NO_SETTING}"
STATE = f"it takes an object apart, and is there for the task's own methods; use vars(x). {NO_SETTING}"
LEADS_ON = f"it leads to the interpreter's own names, and is read where it is the task's own function. {NO_SETTING}"

#: Special attributes that lead somewhere, or that only the interpreter has any business with.
DUNDERS = """
    __annotate__ __base__ __bases__ __basicsize__
    __bound__ __build_class__ __builtins__ __cached__ __closure__ __code__ __constraints__
    __conform__ __dataclass_params__ __debug__ __default__ __del__ __delete__ __dictoffset__
    __file__ __flags__ __forward_arg__ __forward_module__ __func__ __get__ __getattr__ __getinitargs__
    __getnewargs__ __getnewargs_ex__ __getstate__ __globals__ __import__ __itemsize__
    __loader__ __mro__ __mro_entries__ __objclass__
    __package__ __path__ __reduce__ __reduce_ex__ __self__ __self_class__ __set__ __set_name__
    __setstate__ __signature__ __spec__ __static_attributes__ __subclasses__
    __text_signature__ __thisclass__ __type_params__ __unpacked__ __value__
    __warningregistry__ __weakref__ __weakrefoffset__ __wrapped__ __array_interface__ __array_struct__
    __buffer__ __release_buffer__ __dlpack__ __dlpack_device__ __pydantic_validator__
""".split()

#: Refused where the program runs: they are there for what the task itself made (guards/own.py).
OF_OWN = {
    **dict.fromkeys(["__mro__", "__bases__", "__base__", "__subclasses__"], WALKS_CLASSES),
    "__wrapped__": LEADS_ON,
    **dict.fromkeys(["__self__", "__func__"], OF_METHODS),
    **dict.fromkeys(["__getstate__", "__setstate__"], STATE),
    "__get__": f"it reads what no guard looks at, and is there for functions and the task's own descriptors. {NO_SETTING}",
}
#: What has them and isn't the task's: all else is a class.
HAVING = {
    "__wrapped__": "functools.lru_cache(len)",
    "__get__": "property(len)",
    "__self__": "logging.root.info",
    "__func__": "logging.root.info",
    "__getstate__": "logging.root",
    "__setstate__": "random.Random()",
}

#: Where an attribute can be read: the name alone decides, wherever it stands.
PLACES = {
    "expression": "reached.append(x.NAME)",
    "chain": "reached.append(x.y.NAME.z)",
    "call": "reached.append(x.NAME())",
    "subscript": "reached.append(x.NAME[0])",
    "index": "reached.append({}[x.NAME])",
    "literal": "reached.append(().NAME)",
    "f_string": "reached.append(f'{x.NAME}')",
    "f_string_spec": "reached.append(f'{1:{x.NAME}}')",
    "f_string_debug": "reached.append(f'{x.NAME=}')",
    "lambda": "reached.append((lambda: x.NAME)())",
    "default": "def f(a=x.NAME): return a\nreached.append(f())",
    "keyword_default": "def f(*, a=x.NAME): return a\nreached.append(f())",
    "decorator": "@x.NAME\ndef f(): pass\nreached.append(f)",
    "base": "class A(x.NAME): pass\nreached.append(A)",
    "class_keyword": "class A(k=x.NAME): pass\nreached.append(A)",
    "annotation": "def f(a: x.NAME): pass\nreached.append(f)",
    "return_annotation": "def f() -> x.NAME: pass\nreached.append(f)",
    "variable_annotation": "a: x.NAME = 1\nreached.append(a)",
    "comprehension": "reached.append([a.NAME for a in [x]])",
    "condition": "reached.append([a for a in [x] if a.NAME])",
    "generator": "reached.append(next(a.NAME for a in [x]))",
    "walrus": "reached.append((a := x.NAME))",
    "star": "reached.append([*x.NAME])",
    "double_star": "reached.append({**x.NAME})",
    "argument": "reached.append(repr(x.NAME))",
    "keyword_argument": "reached.append(dict(a=x.NAME))",
    "conditional": "reached.append(x.NAME if x.NAME else 0)",
    "boolean": "reached.append(x.NAME or 1)",
    "comparison": "reached.append(x.NAME is None)",
    "with": "with x.NAME as a: reached.append(a)",
    "for": "for a in x.NAME: reached.append(a)",
    "while": "while x.NAME: reached.append(1)",
    "raise": "raise x.NAME",
    "except": "try: x\nexcept x.NAME: reached.append(1)",
    "assert": "assert not x.NAME, x",
    "return": "return reached.append(x.NAME)",
    "yield": "def f(): yield x.NAME\nreached.append(list(f()))",
    "value_pattern": "match x:\n    case y.NAME: reached.append(1)",
    "mapping_key_pattern": "match x:\n    case {y.NAME: z}: reached.append(z)",
    "guard_of_case": "match x:\n    case z if z.NAME: reached.append(z)",
    "slice": "reached.append([][x.NAME:])",
    "augmented_value": "a = 0\na += x.NAME\nreached.append(a)",
}

#: Where an attribute can be changed.
TARGETS = {
    "assignment": "x.NAME = 1",
    "chained_assignment": "a = x.NAME = 1",
    "unpacking": "x.NAME, a = 1, 2",
    "star_unpacking": "*x.NAME, a = 1, 2",
    "list_unpacking": "[x.NAME, a] = 1, 2",
    "nested_unpacking": "a, (b, x.NAME) = 1, (2, 3)",
    "augmented": "x.NAME += 1",
    "annotated": "x.NAME: int = 1",
    "delete": "del x.NAME",
    "delete_several": "del x, x.NAME",
    "for": "for x.NAME in [1]: pass",
    "with": "with x as x.NAME: pass",
    "comprehension": "[0 for x.NAME in [1]]",
}

WALKS = {
    "subclasses": at_compile(
        "reached.append(().__class__.__base__.__subclasses__())",
        "the attribute '__subclasses__' is not allowed",
    ),
    "subclasses_of_a_variables": Attack(
        "x = ()\nreached.append(x.__class__.__base__.__subclasses__())",
        f"the attribute '__base__' is not allowed: {WALKS_CLASSES}",
    ),
    "subclasses_of_object": Attack(
        "reached.append(object.__subclasses__())",
        f"the attribute '__subclasses__' is not allowed: {WALKS_CLASSES}",
    ),
    "subclasses_of_a_base_of_ones_own": Attack(
        "class A(dict): pass\nreached.append(A.__base__.__subclasses__())",
        f"the attribute '__subclasses__' is not allowed: {WALKS_CLASSES}",
    ),
    "subclasses_of_a_metaclass_of_ones_own": Attack(
        "class M(type): pass\nreached.append(M.__base__.__subclasses__(M))",
        f"the attribute '__subclasses__' is not allowed: {WALKS_CLASSES}",
    ),
    "mro_of_a_liar": Attack(
        "class A:\n    __class__ = property(lambda self: int)\nreached.append(A().__mro__)",
        "binding the name '__class__' is not allowed",
        PolicyViolation,
    ),
    "mro_in_a_postponed_annotation": at_compile(
        "from __future__ import annotations\ndef f(a: int.__mro__): reached.append(a)",
        "the attribute '__mro__' is not allowed in an annotation",
    ),
    "globals_of_init": at_compile(
        "import json\nreached.append(json.JSONEncoder.__init__.__globals__['__builtins__'])",
        "the attribute '__globals__' is not allowed",
    ),
    "builtin_self": Attack("reached.append(print.__self__.open)", f"the attribute '__self__' is not allowed: {OF_METHODS}"),
    "method_function": at_compile(
        "class A:\n    def f(self): pass\nreached.append(A().f.__func__.__code__)",
        "the attribute '__code__' is not allowed",
    ),
    "closure": at_compile(
        "def f(x): return lambda: x\nreached.append(f(1).__closure__[0].cell_contents)",
        "the attribute 'cell_contents' is not allowed",
    ),
    "module_loader": at_compile(
        "import json\nreached.append(json.__loader__.load_module('os'))",
        "the attribute '__loader__' is not allowed",
    ),
    "module_spec": at_compile(
        "import json\nreached.append(json.__spec__.loader)",
        "the attribute '__spec__' is not allowed",
    ),
    "wrapped": Attack(
        "import functools\nreached.append(functools.lru_cache(len).__wrapped__)",
        f"the attribute '__wrapped__' is not allowed: {LEADS_ON}",
    ),
    "wrapped_of_a_librarys": Attack(
        "import functools, json\nreached.append(functools.lru_cache(json.dumps).__wrapped__)",
        f"the attribute '__wrapped__' is not allowed: {LEADS_ON}",
    ),
    "wrapped_set_by_oneself": Attack(
        "class A: pass\na = A()\nvars(a).update(b=1)\nreached.append(a.__wrapped__)",
        "'A' object has no attribute '__wrapped__'",
        AttributeError,
    ),
    "generic_alias": Attack(
        "from typing import Type\nreached.append(Type[int].__origin__('A', (), {'__reduce__': 1}))",
        f"the name '__reduce__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}",
    ),
    "parameter_of_an_alias": Attack(
        "reached.append(list[type].__args__[0]('A', (), {'__reduce__': 1}))",
        f"the name '__reduce__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}",
    ),
    "alias_of_a_module": Attack(
        "reached.append(alias.__origin__)",
        f"the attribute '__origin__' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}",
    ),
    "module_among_an_aliases_parameters": Attack(
        "reached.append(getattr(alias, '__args__'))",
        f"the attribute '__args__' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}",
    ),
    "super_object": at_compile(
        "class A:\n    def f(self): return super().__thisclass__\nreached.append(A().f())",
        "the attribute '__thisclass__' is not allowed",
    ),
    "two_at_once": at_compile(
        "reached.append(x.__globals__)\nreached.append(x.__code__)",
        "the attribute '__globals__' is not allowed; the attribute '__code__' is not allowed",
    ),
    "confusable_letters": at_compile(
        "reached.append(().__𝒸lass__.__ｍro__)",  # the parser reads compatibility letters as their plain forms
        "the attribute '__mro__' is not allowed",
    ),
    "inside_a_class": Attack(
        "class A:\n    def f(self): return self.__mro__\nreached.append(A().f())",  # not a private name: it ends in __
        f"the attribute '__mro__' is not allowed: {WALKS_CLASSES}",
    ),
}  # fmt: skip

#: Read through a guard, and what the program gets then; or as it stands (`__await__`: what an ``await`` waits for).
HARMLESS = {
    "bases_of_ones_own": "class A(dict): pass\nclass B(A): pass\nreturn B.__mro__ == (B, A, dict, object) == (B, *A.__mro__) and B.__bases__ == (A,) and B.__base__ is A",
    "metaclass_of_ones_own": "class M(type): pass\nreturn M.__mro__ == (M, type, object) and M.__bases__ == (type,) and type(M.__base__) is type",
    "subclasses_of_ones_own": "class A: pass\nclass B(A): pass\nreturn A.__subclasses__() == [B] and B.__subclasses__() == []",
    "wrapped_of_ones_own": "from functools import lru_cache, wraps\nfrom contextlib import contextmanager\ndef f(): yield\nreturn all(g.__wrapped__ is f for g in (lru_cache(f), contextmanager(f), wraps(f)(lambda: 1)))",
    "binding_of_ones_own": "class D:\n    def __get__(self, o, c=None): return (o, c)\ndef f(x): return x\nreturn f.__get__(1)() == 1 and D().__get__(1) == (1, None)",
    "awaited": "class A:\n    def __await__(self): return g().__await__()\nasync def g(): return 1\ntry: A().__await__().send(None)\nexcept StopIteration as e: return e.value == 1",
    "iterated": "async def g(): yield 1\nstep = g().__aiter__().__anext__()\ntry: step.send(None)\nexcept StopIteration as e: return e.value == 1",
    "class_of_instance": "return (1).__class__ is int",
    "class_of_class": "return int.__class__ is type",
    "no_metaclass": "from enum import Enum\nreturn Enum.__class__ is type and type(Enum) is type",
    "dict_is_a_copy": "class A: pass\na = A()\na.x = 1\nd = a.__dict__\nreturn d == {'x': 1} and type(d).__name__ == 'InstanceDict'",
    "class_dict_of_ones_own_names": "class A:\n    x = 1\n    def __init__(self): pass\n    def __getattr__(self, name): pass\nreturn sorted(A.__dict__) == ['__doc__', '__init__', '__module__', 'x'] and A.__dict__['__init__'] is A.__init__",
    "class_dict_of_others_without_dunders": "import json, enum\nreturn not any(name[:2] == '__' for cls in (int, object, type, json.JSONEncoder, enum.Enum) for name in vars(cls))",
}


@each("name", [*DUNDERS, *sorted(DENIED_ATTRIBUTES)])
def test_special_attribute_cannot_be_read(name: str) -> None:
    """The name is refused, before the program runs or when it reads it of what isn't the task's own."""
    refusal = f"the attribute '{name}' is not allowed"
    if name in OF_OWN:
        check(
            Attack(
                f"import functools, logging, random\nreached.append({HAVING.get(name, 'int')}.{name})",
                f"{refusal}: {OF_OWN[name]}",
            )
        )
    else:
        check(at_compile(f"x = 1\nreached.append(x.{name})", refusal))


@each(
    "name",
    [
        *DUNDERS,
        "__traceback__",
        "__context__",
        "__annotations__",
        "__defaults__",
        "__kwdefaults__",
        "__class__",
        "__dict__",
        "__module__",
        "__getattribute__",
        "__prepare__",
        "__slots__",
        *sorted(DENIED_ATTRIBUTES),
    ],
)
def test_special_attribute_cannot_be_changed(name: str) -> None:
    """Nor can it be assigned, not even those that may be read."""
    check(at_compile(f"class A: pass\nA.{name} = 1", f"changing the attribute '{name}' is not allowed"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["__globals__", "gi_frame"])
def test_every_place_of_an_expression(place: str, name: str) -> None:
    """It makes no difference where the attribute stands."""
    program = PLACES[place].replace("NAME", name)
    messages = [f"the attribute '{name}' is not allowed"] * program.count(name)
    check(at_compile(program, "; ".join(messages)), x=1, y=1)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["__class__", "gi_frame"])
def test_every_form_of_a_change(target: str, name: str) -> None:
    """It makes no difference how the attribute is changed."""
    check(at_compile(TARGETS[target].replace("NAME", name), f"changing the attribute '{name}' is not allowed"))


@pytest.mark.parametrize("attack", by_id(WALKS))
def test_walk(attack: Attack) -> None:
    """The whole program is refused because of the step that leads out."""
    check(attack, alias=types.GenericAlias(sys, (sys,)))


@pytest.mark.parametrize("name", HARMLESS)
def test_guarded_attribute_is_harmless(name: str) -> None:
    """``__class__`` and ``__dict__`` may be read: what comes is no metaclass, and a copy."""
    assert run(compile_task(HARMLESS[name], OPEN), make_namespace(OPEN, {})) is True
