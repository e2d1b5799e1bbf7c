"""``Enum("E", names)`` makes classes from data, and enum classes have tools that copy modules into members and back."""

from __future__ import annotations

import sys
from enum import Enum

import pytest
from programs import NO_SETTING, Attack, at_compile, attribute, by_id, changing, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport
from reptarium.sandbox.language.policy import names as rules
from tests.each import each

NAMES = ["__reduce_ex__", "__class__", "__getattribute__", "__array_interface__", "__match_args__", "__init__", "__call__", "__doc__",
         "gi_frame", "f_globals", "cell_contents", "_convert_"]  # fmt: skip
#: Every form of names that the functional API takes.
FORMS = {
    "text": "Enum('E', name)",
    "text_of_two": "Enum('E', 'A ' + name)",
    "text_with_commas": "Enum('E', 'A,' + name)",
    "list": "Enum('E', [name])",
    "tuple": "Enum('E', ('A', name))",
    "pairs": "Enum('E', [(name, 1)])",
    "lists_as_pairs": "Enum('E', [[name, 1]])",
    "dict": "Enum('E', {name: 1})",
    "keyword": "Enum('E', names=[name])",
    "iterator": "Enum('E', iter([(name, 1)]))",
    "own_mapping": "Enum('E', Mapping(name))",
    "int_enum": "IntEnum('E', [(name, 1)])",
    "str_enum": "StrEnum('E', [(name, 'a')])",
    "flag": "Flag('E', [name])",
    "int_flag": "IntFlag('E', {name: 1})",
    "own_enum": "Own('E', [name])",
    "with_a_type": "Enum('E', [(name, 1)], type=int)",
    "with_a_start": "Enum('E', [name], start=5)",
    "enum_of_a_library": "Library('E', [name])",
}
PRELUDE = """
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
class Own(Enum):
    def f(self): pass
class Mapping:
    def __init__(self, name): self.name = name
    def items(self): return [(self.name, 1)]
"""
MEMBER = "{!r} is not allowed as a member's name: it isn't a plain name of your own"
ATTACKS = {
    "convert": at_compile("reached.append(Enum._convert_('E', 'sys', lambda n: n == 'path'))", "the attribute '_convert_' is not allowed"),
    "convert_by_name": Attack("reached.append(getattr(IntEnum, '_convert_')('E', 'sys', lambda n: n == 'path'))", attribute("_convert_")),
    "convert_by_methodcaller": Attack("import operator\nreached.append(operator.methodcaller('_convert_', 'E', 'os', bool)(Enum))", attribute("_convert_")),
    "convert_by_super": at_compile("class A(Enum):\n    @classmethod\n    def f(cls): return super()._convert_('E', 'sys', bool)\nreached.append(A.f())", "the attribute '_convert_' is not allowed"),
    "convert_by_pattern": at_compile("match Enum:\n    case object(_convert_=c): reached.append(c)", "the attribute '_convert_' in a class pattern is not allowed"),
    "create": at_compile("reached.append(Own._create_('E', {'__reduce__': 1}))", "the attribute '_create_' is not allowed"),
    "create_by_name": Attack("reached.append(getattr(Own, '_create_')('E', {'__reduce__': 1}))", attribute("_create_")),
    "add_member": at_compile("Own._add_member_('__reduce__', 1)", "the attribute '_add_member_' is not allowed"),
    "add_member_by_name": Attack("getattr(Own, '_add_member_')('__reduce__', 1)", attribute("_add_member_")),
    "prepare": Attack("reached.append(Enum.__prepare__('E', ()))", f"the attribute '__prepare__' is not allowed: it is for metaclasses of the task's own. {NO_SETTING}"),
    "global_enum": Attack("import enum\nreached.append(enum.global_enum)", "module 'enum' has no attribute 'global_enum'", AttributeError),
    "global_enum_from": Attack("from enum import global_enum\nreached.append(global_enum)", "cannot import name 'global_enum' from 'enum'", RefusedImport),
    "enum_dict": Attack("import enum\nreached.append(enum._EnumDict)", "module 'enum' has no attribute '_EnumDict'", AttributeError),
    "simple_enum": Attack("import enum\nreached.append(enum._simple_enum)", "module 'enum' has no attribute '_simple_enum'", AttributeError),
    "builtins_of_enum": Attack("import enum\nreached.append(enum.bltns)", "module 'enum' has no attribute 'bltns'", AttributeError),
    "descriptor_of_enum": Attack("import enum\nreached.append(enum.property(len).__get__(1))", f"the attribute '__get__' is not allowed: it reads what no guard looks at, and is there for functions and the task's own descriptors. {NO_SETTING}"),
    "number_as_a_name": Attack("reached.append(Enum('E', [(1, 1)]))", MEMBER.format(1)),
    "string_class_as_a_name": Attack("class S(str): pass\nreached.append(Enum('E', [S('__reduce__')]))", MEMBER.format("__reduce__")),
    "member_set": Attack("setattr(Own, '__reduce__', 1)", changing("__reduce__")),
    "members_changed": Attack("Own.__members__['x'] = 1\nreached.append(Own.x)", "'mappingproxy' object does not support item assignment", TypeError),
}  # fmt: skip


class Library(Enum):
    """Stands for a library's class, which no façade has changed."""


@pytest.mark.parametrize("form", FORMS)
@each("name", NAMES)
def test_member_name(form: str, name: str) -> None:
    """No member has a special name or one of the interpreter's."""
    program = f"{PRELUDE}reached.append({FORMS[form]})"
    check(Attack(program, MEMBER.format(name)), name=name, Library=Library)


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """The tools of enum classes are not for tasks."""
    check(attack._replace(program=PRELUDE + attack.program))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="enum members of this Python have no aliases to add")
def test_alias() -> None:
    """An alias is a name as well."""
    program = "from enum import Enum\nclass E(Enum):\n    A = 1\n    def __init__(self, v): self._add_alias_('__reduce__')\nreached.append(E)"
    ended = MEMBER.format("__reduce__")
    check(Attack(program, ended))


def test_module_is_the_tasks() -> None:
    """An enum that says it is from another module is from the task's."""
    check_nothing_reached(
        "from enum import Enum, IntEnum\nfor module in ('sys', 'builtins', 'reptarium.sandbox.language.policy.names'):\n"
        "    for made in (Enum('E', 'a', module=module), IntEnum('E', {'b': 1}, module=module)):\n"
        "        if made.__module__ != '__main__': reached.append(made.__module__)"
    )
    assert not hasattr(rules, "a")


def test_any_other_name_works() -> None:
    """Names that no identifier could be are the user's business."""
    check_nothing_reached(
        "from enum import Enum\nE = Enum('E', {'a b': 1, 'class': 2, '1': 3, '_private': 4})\n"
        "if [m.value for m in E] != [1, 2, 3, 4] or E['a b'].value != 1: reached.append(E)"
    )


def test_libraries_keep_the_whole_api() -> None:
    """Outside of tasks the functional API is Python's own."""
    assert Enum("E", {"__x__": 1, "a": 2}, module="somewhere").__module__ == "somewhere"  # type: ignore[call-overload]
