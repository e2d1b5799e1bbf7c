"""Patterns read attributes and items: by keyword, by the names in ``__match_args__``, and from mappings."""

from __future__ import annotations

import re

import pytest
from programs import NO_SETTING, Attack, at_compile, by_id, check, check_nothing_reached

from reptarium.sandbox.language.policy.names import DENIED_ATTRIBUTES, GUARDED_ATTRIBUTES, is_dunder
from tests.each import each

NAMES = sorted({"__class__", "__dict__", "__globals__", "__mro__"} | DENIED_ATTRIBUTES | GUARDED_ATTRIBUTES)


def reads(name: object) -> str:
    """The refusal of a class pattern whose class names this attribute."""
    return f"this class pattern is not allowed: it would read the attribute {name!r}. {NO_SETTING}"


def _not_a_class() -> str:
    """Python's own words, which differ between its versions."""
    function = len
    try:
        match 1:
            case function(_):
                raise AssertionError
    except TypeError as error:
        return str(error)
    raise AssertionError


NOT_A_TUPLE = f"this class pattern is not allowed: its __match_args__ is not a tuple. {NO_SETTING}"
METACLASSES = f"this class pattern is not allowed: its __match_args__ is its metaclass's to tell. {NO_SETTING}"
ARGS = "this '__match_args__' is not allowed"
#: Class bodies whose ``__match_args__`` is more than plain names spelled out.
MATCH_ARGS = {
    "interpreter_attribute": "__match_args__ = ('gi_frame',)",
    "special_attribute": "__match_args__ = ('__class__',)",
    "list": "__match_args__ = ['x']",
    "text": "__match_args__ = 'x'",
    "computed": "__match_args__ = ('gi_' + 'frame',)",
    "called": "__match_args__ = tuple(['gi_frame'])",
    "name": "__match_args__ = names",
    "starred": "__match_args__ = (*names,)",
    "conditional": "__match_args__ = ('x',) if names else ('gi_frame',)",
    "subclass_of_str": "class S(str): pass\n    __match_args__ = (S('gi_frame'),)",
    "number": "__match_args__ = (1,)",
    "keyword": "__match_args__ = ('class',)",
    "path": "__match_args__ = ('a.b',)",
    "annotated": "__match_args__: tuple = ('gi_frame',)",
    "chained": "a = __match_args__ = ('gi_frame',)",
    "with_others": "x = 1\n    __match_args__ = ('x', 'gi_frame')",
}
#: Other bindings of ``__match_args__`` in a class body: whatever gets through is looked at when the pattern runs.
LATE_MATCH_ARGS = {
    "for_target": Attack("class A:\n    for __match_args__ in [('gi_frame',)]: pass", reads("gi_frame")),
    "unpacked": Attack("class A:\n    __match_args__, x = ('gi_frame',), 1", reads("gi_frame")),
    "walrus": Attack("class A:\n    (__match_args__ := ('gi_frame',))", reads("gi_frame")),
    "in_an_if": Attack("class A:\n    if True: __match_args__ = ('gi_frame',)", reads("gi_frame")),
    "in_a_try": Attack("class A:\n    try: pass\n    finally: __match_args__ = ('gi_frame',)", reads("gi_frame")),
    "with_target": Attack("from contextlib import nullcontext\nclass A:\n    with nullcontext(('gi_frame',)) as __match_args__: pass", reads("gi_frame")),
    "star_target": Attack("class A:\n    *__match_args__, = 'gi_frame',", NOT_A_TUPLE),
    "property": Attack("class A:\n    @property\n    def __match_args__(self): return ('gi_frame',)", NOT_A_TUPLE),
    "descriptor": Attack("class D:\n    def __get__(self, o, c): return ('gi_frame',)\nclass A:\n    if True: __match_args__ = D()", NOT_A_TUPLE),
    "tuple_subclass": Attack("class T(tuple): pass\nclass A:\n    if True: __match_args__ = T(('gi_frame',))", NOT_A_TUPLE),
    "str_subclass": Attack("class S(str): pass\nclass A:\n    if True: __match_args__ = (S('gi_frame'),)", reads("gi_frame")),
    "inherited": Attack("class B:\n    if True: __match_args__ = ('gi_frame',)\nclass A(B): pass", reads("gi_frame")),
    "second": Attack("class A:\n    if True: __match_args__ = ('x', 'gi_frame')", reads("gi_frame")),
    "class": Attack("class A:\n    if True: __match_args__ = ('__class__',)", reads("__class__")),
    "tells_another_each_time": Attack(
        "class D:\n    asked = 0\n    def __get__(self, o, c):\n        D.asked += 1\n        return ('x',) if D.asked % 2 else ('gi_frame',)\n"
        "class M(type):\n    def __instancecheck__(cls, x): return True\nclass A(metaclass=M):\n    if True: __match_args__ = D()", NOT_A_TUPLE),
    "metaclass_property": Attack("class M(type):\n    @property\n    def __match_args__(cls): return ('gi_frame',)\nclass A(metaclass=M): pass", METACLASSES),
    "metaclass_getattr": Attack("class M(type):\n    def __getattr__(cls, name): return ('gi_frame',)\nclass A(metaclass=M): pass", METACLASSES),
    "metaclass_getattribute": Attack("class M(type):\n    def __getattribute__(cls, name): return ('gi_frame',)\nclass A(metaclass=M):\n    __match_args__ = ('x',)", METACLASSES),
    "own_dict": Attack("class A:\n    if True: __match_args__ = ('__dict__',)", reads("__dict__")),
}  # fmt: skip
#: Where a class pattern can stand; ``P`` is the pattern.
PLACES = {
    "alone": "case P: reached.append(x)",
    "in_a_sequence": "case [P]: reached.append(x)",
    "in_a_mapping": "case {'a': P}: reached.append(x)",
    "in_a_class": "case object(real=P): reached.append(x)",
    "bound": "case P as y: reached.append(x)",
    "alternative": "case (A(x) | [x]): reached.append(x)",
    "second_case": "case 1: pass\n    case P: reached.append(x)",
    "guarded": "case P if True: reached.append(x)",
    "starred": "case [*_, P]: reached.append(x)",
}
#: Where a match statement can stand; ``M`` is the statement.
STATEMENTS = {
    "function": "def f():\n    M\nf()",
    "method": "class C:\n    def f(self):\n        M\nC().f()",
    "class_body": "class C:\n    M",
    "loop": "for _ in [1]:\n    M",
    "else_of_loop": "for _ in []: pass\nelse:\n    M",
    "while": "while True:\n    M\n    break",
    "if": "if True:\n    M",
    "else": "if False: pass\nelse:\n    M",
    "try": "try:\n    M\nfinally: pass",
    "handler": "try: 1 / 0\nexcept ZeroDivisionError:\n    M",
    "finally": "try: pass\nfinally:\n    M",
    "with": "from contextlib import nullcontext\nwith nullcontext():\n    M",
    "inside_a_case": "match 1:\n    case 1:\n        M",
    "generator": "def g():\n    M\n    yield\nlist(g())",
}
SWAPS = {
    "class_swapped_by_the_subject": (
        # the subject rebinds the name of the class after its check: the checked class is the one that is used
        "class Good:\n    __match_args__ = ('x',)\nclass Evil:\n    if True: __match_args__ = ('gi_frame',)\nA = Good\n"
        "def subject():\n    global A\n    A = Evil\n    return target\n"
        "match subject():\n    case A(x): reached.append(x)"
    ),
    "class_swapped_by_a_guard": (
        "class Good:\n    __match_args__ = ('x',)\nclass Evil:\n    if True: __match_args__ = ('gi_frame',)\nA = Good\n"
        "def swap():\n    global A\n    A = Evil\n"
        "match target:\n    case _ if swap(): pass\n    case A(x): reached.append(x)"
    ),
    "names_told_by_a_decorator_in_between": (
        "from dataclasses import dataclass\nclass M(type):\n    def __instancecheck__(cls, x): return True\n"
        "class A(metaclass=M):\n    obj: int = 0\n"
        "def subject():\n    dataclass(A)\n    return Holder()\n"
        "try:\n    match subject():\n        case A(x): reached.append(x)\nexcept TypeError as error: assert '0 positional' in str(error)"
    ),
    "names_told_by_a_decorator_of_a_subclass_of_int": (
        "from dataclasses import dataclass\nclass M(type):\n    def __instancecheck__(cls, x): return True\n"
        "class A(int, metaclass=M):\n    obj: int = 0\n"
        "def subject():\n    dataclass(A)\n    return Holder()\n"
        "match subject():\n    case A(x) if type(x) is not Holder: reached.append(x)"
    ),
    "names_told_by_a_decorator_after_a_match": (
        "from dataclasses import dataclass\nclass Good:\n    __match_args__ = ('x',)\nclass A(Good):\n    obj: int = 0\n"
        "class B(Holder, A): pass\n"
        "def f(subject):\n    match subject:\n        case A(x): reached.append(x)\n"
        "f(1)\ndataclass(A)\nf(B())"
    ),
    "iterated_class_that_says_it_is_the_last_one": (
        "class M(type):\n    def __eq__(cls, other): return True\n    def __hash__(cls): return hash(Good)\n"
        "class Good:\n    __match_args__ = ('x',)\nclass Evil(metaclass=M):\n    if True: __match_args__ = ('gi_frame',)\n"
        "def f(classes):\n    for A in classes:\n        match target:\n            case A(x): reached.append(x)\n"
        "try: f([Good, Evil])\nexcept AttributeError: pass\nelse: reached.append(target)"
    ),
    "iterated_class": (
        "class Good:\n    __match_args__ = ('x',)\nclass Evil:\n    if True: __match_args__ = ('gi_frame',)\n"
        "def f(classes):\n    for A in classes:\n        match target:\n            case A(x): reached.append(x)\n"
        "try: f([Good, Evil])\nexcept AttributeError: pass"
    ),
}  # fmt: skip
OTHERS = {
    "value_pattern": at_compile("match 1:\n    case target.gi_frame: reached.append(1)", "the attribute 'gi_frame' is not allowed"),
    "value_pattern_through_a_guarded_name": at_compile("match 1:\n    case target.obj: reached.append(1)", "the attribute 'obj' is not allowed in a pattern"),
    "class_through_a_guarded_name": at_compile("match 1:\n    case target.type(): reached.append(1)", "the attribute 'type' is not allowed in a pattern"),
    "mapping_key": at_compile("match {}:\n    case {target.gi_frame: x}: reached.append(x)", "the attribute 'gi_frame' is not allowed"),
    "class_by_attribute": at_compile("match 1:\n    case target.__class__(): reached.append(1)", "the attribute '__class__' is not allowed in a pattern"),
    "rebound_builtin": at_compile("class str:\n    __match_args__ = ('x',)\nmatch target:\n    case str(x): reached.append(x)", "the class pattern 'str(…)' is not allowed"),
    "rebound_builtin_elsewhere": at_compile("def f(int):\n    match target:\n        case int(x): reached.append(x)\nf(target)", "the class pattern 'int(…)' is not allowed"),
    "not_a_class": Attack("A = lambda x: x\nmatch target:\n    case A(x): reached.append(x)", _not_a_class(), TypeError),
    "object_with_match_args": Attack("class A: pass\na = A()\nmatch target:\n    case a(x): reached.append(x)", _not_a_class(), TypeError),
    "match_args_assigned": at_compile("class A: pass\nA.__match_args__ = ('gi_frame',)", "changing the attribute '__match_args__' is not allowed"),
    "match_args_set": Attack("class A: pass\nsetattr(A, '__match_args__', ('gi_frame',))", f"changing the attribute '__match_args__' is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "outside_of_a_class": at_compile("__match_args__ = ('gi_frame',)", "binding the name '__match_args__' here is not allowed"),
    "module_kept_by_a_library_class": Attack("from pathlib import PurePosixPath\nclass P(PurePosixPath):\n    __match_args__ = ('_flavour',)\nmatch P('a'):\n    case P(x): reached.append(x)", reads("_flavour")),
    "module_kept_since_3_13": Attack("from pathlib import PurePosixPath\nclass P(PurePosixPath):\n    __match_args__ = ('parser',)\nmatch P('a'):\n    case P(x): reached.append(x)", reads("parser")),
    "library_class_renamed_as_ones_own": Attack("from functools import wraps\nclass A: pass\nwraps(A)(Library)\nclass P(Library):\n    __match_args__ = ('parser',)\nmatch P():\n    case P(x): reached.append(x)", reads("parser")),
    "dataclass_field_of_registered_class": Attack("from abc import ABC\nfrom dataclasses import dataclass\n@dataclass\nclass A(ABC):\n    obj: int\nA.register(AttributeError)\ntry: (1).x\nexcept AttributeError as e:\n    match e:\n        case A(o): reached.append(o)", reads("obj")),
    "dataclass_field_that_a_library_has": Attack("from dataclasses import dataclass\n@dataclass\nclass A:\n    parser: str\nclass B(A, Library):\n    def __init__(self): pass\nmatch B():\n    case A(p): reached.append(p)", reads("parser")),
    "keyword_that_a_library_has": Attack("class A:\n    parser: str\nclass B(A, Library): pass\nmatch B():\n    case A(parser=p): reached.append(p)", reads("parser")),
    "namedtuple_field": Attack("from collections import namedtuple\nN = namedtuple('N', 'gi_frame')\nmatch target:\n    case N(x): reached.append(x)", "'gi_frame' is not allowed as a field's name: it isn't a plain name of your own"),
    "typed_namedtuple_field": Attack("from typing import NamedTuple\nN = NamedTuple('N', [('gi_frame', int)])\nmatch target:\n    case N(x): reached.append(x)", "'gi_frame' is not allowed as a field's name: it isn't a plain name of your own"),
}  # fmt: skip
MAPPINGS = {
    "rest_of_a_facade": "import json\nmatch json:\n    case {'loads': x, **rest}: reached.append(rest)",
    "rest_of_a_class_dict": "match vars(type(target)):\n    case {'gi_frame': x}: reached.append(x)",
    "rest_holds_no_descriptor": "match vars(AttributeError):\n    case {**rest}: reached.extend(v for v in rest.values() if type(v).__name__.endswith('_descriptor'))",
    "globals": "match target:\n    case {'__builtins__': x}: reached.append(x)",
}  # fmt: skip


def generator() -> object:
    """The subject: something whose attributes are worth having."""
    return (x for x in [1])


@each("name", NAMES)
def test_keyword(name: str) -> None:
    """``case C(name=x)`` reads the attribute: a plain one, or one of a class of the task's own, which holds data."""
    program = f"match target:\n    case object({name}=x): reached.append(x)"
    attack = at_compile(program, f"the attribute '{name}' in a class pattern is not allowed")
    if name in GUARDED_ATTRIBUTES and not is_dunder(name):
        attack = Attack(program, reads(name))
    check(attack, target=generator())


@pytest.mark.parametrize("name", ["sys", "os", "type", "format", "obj", "_module", "parser"])
def test_keyword_of_ones_own_class(name: str) -> None:
    """A class of the task's own with nothing but the task's under it keeps data there; one of a library's does not."""
    own = f"class A:\n    def __init__(self): self.{name} = 1\nmatch A():\n    case A({name}=1): pass\n    case _: reached.append(1)"
    check_nothing_reached(own)
    registered = f"from abc import ABC\nclass A(ABC):\n    def __init__(self): self.{name} = 1\nmatch A():\n    case A({name}=1): pass\n    case _: reached.append(1)"
    check_nothing_reached(registered)
    derived = f"class A(Library): pass\nmatch A():\n    case A({name}=x): reached.append(x)"
    library = type("Library", (), {"__module__": "library", name: re})
    check(Attack(derived, reads(name)), Library=library)


@pytest.mark.parametrize("body", MATCH_ARGS)
def test_match_args(body: str) -> None:
    """``__match_args__`` is a tuple of plain names, spelled out."""
    program = f"names = ['gi_frame']\nclass A:\n    {MATCH_ARGS[body]}\nmatch target:\n    case A(x): reached.append(x)"
    check(at_compile(program, ARGS), target=generator())


@pytest.mark.parametrize("attack", by_id(LATE_MATCH_ARGS))
def test_match_args_bound_otherwise(attack: Attack) -> None:
    """However it came there, it is looked at before the pattern reads anything."""
    check(
        attack._replace(program=f"{attack.program}\nmatch target:\n    case A(x): reached.append(x)"),
        target=generator(),
    )


@pytest.mark.parametrize("place", PLACES)
def test_place_of_the_pattern(place: str) -> None:
    """The class is checked wherever its pattern stands."""
    case = PLACES[place].replace("P", "A(x)")
    program = f"class A:\n    if True: __match_args__ = ('gi_frame',)\nmatch target:\n    {case}"
    check(Attack(program, reads("gi_frame")), target=generator())


@pytest.mark.parametrize("statement", STATEMENTS)
def test_place_of_the_statement(statement: str) -> None:
    """The check comes with the statement into every block."""
    indent = next(line for line in STATEMENTS[statement].splitlines() if line.endswith("M"))[:-1]
    match = f"match target:\n{indent}    case A(x): reached.append(x)"
    program = "class A:\n    if True: __match_args__ = ('gi_frame',)\n" + STATEMENTS[statement].replace("M", match)
    check(Attack(program, reads("gi_frame")), target=generator())


@pytest.mark.parametrize("swap", SWAPS)
def test_class_cannot_be_swapped(swap: str) -> None:
    """What was checked is what is used."""
    check_nothing_reached(SWAPS[swap], target=generator(), Holder=type("Holder", (), {"obj": re}))


@pytest.mark.parametrize("attack", by_id(OTHERS))
def test_other_patterns(attack: Attack) -> None:
    """Values, keys, builtins, and classes made from data."""
    library = type("Library", (), {"__module__": "library", "parser": re})
    check(attack, target=generator(), Library=library)


@pytest.mark.parametrize("program", MAPPINGS)
def test_mapping_pattern(program: str) -> None:
    """Mapping patterns read keys of mappings, and façades and objects are none."""
    check_nothing_reached(MAPPINGS[program], target=generator())


PACKAGES = {
    "msgspec": "class A(msgspec.Struct):\n    n: int\n    type: str = 'q'",
    "pydantic": "class A(pydantic.BaseModel):\n    n: int\n    type: str = 'q'\n    __match_args__ = ('n', 'type')",
    "attrs": "@attrs.define\nclass A:\n    n: int\n    type: str = 'q'",
}


@pytest.mark.parametrize("package", PACKAGES)
def test_classes_of_packages(package: str) -> None:
    """What a class of a package's kind keeps in slots, or in its instance, is data under any name."""
    pytest.importorskip(package)
    check_nothing_reached(
        f"import {package}\n{PACKAGES[package]}\n"
        "match A(n=1):\n    case A(n, type=t) if (n, t) == (1, 'q'): pass\n    case x: reached.append(x)\n"
        "match A(n=1):\n    case A(n, t) if (n, t) == (1, 'q'): pass\n    case x: reached.append(x)"
    )
