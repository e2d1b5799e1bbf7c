"""A metaclass answers for its classes (``__instancecheck__``, ``__prepare__``): a task inherits from none, and finds none."""

from __future__ import annotations

import pytest
from programs import Attack, at_compile, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport

NONE = "metaclasses are not available in a task"
BASES = {
    "type": "type",
    "type_of_a_class": "type(int)",
    "class_of_a_class": "int.__class__",
    "type_of_type": "type(type(type))",
    "starred": "*[type]",
    "before_another": "type, dict",
    "subscripted": "type[int]",
    "typing_type": "typing.Type",
    "typing_type_subscripted": "typing.Type[int]",
    "typing_type_after_another": "A, typing.Type",
    "origin": "typing.get_origin(typing.Type[int])",
    "argument_of_a_union": "typing.get_args(union)[0]",
    "abstract": "type(abc.ABC)",
    "enum": "type(enum.Enum)",
    "protocol": "type(typing.Protocol)",
    "generic_alias": "types.GenericAlias(type, (int,))",
    "library_value": "holder.type",
    "library_alias": "alias",
    "given_metaclass_alias": "abc_alias",
}
OTHERS = {
    "keyword": at_compile("class M(metaclass=type): pass", "the keyword 'metaclass' is not allowed"),
    "keyword_of_none": at_compile("class M(metaclass=None): pass", "the keyword 'metaclass' is not allowed"),
    "keyword_in_a_nested_class": at_compile("class A:\n    class M(metaclass=lambda *a: reached.append(a)): pass", "the keyword 'metaclass' is not allowed"),
    "keyword_of_a_dict": at_compile("k = {'metaclass': reached.append}\nclass M(**k): pass", "'**' in a class statement is not allowed"),
    "classic_name": at_compile("class M:\n    __metaclass__ = reached.append", "binding the name '__metaclass__' is not allowed"),
    "abc_meta": Attack("from abc import ABCMeta\nreached.append(ABCMeta)", "cannot import name 'ABCMeta' from 'abc'", RefusedImport),
    "abc_meta_attribute": Attack("import abc\nreached.append(abc.ABCMeta)", "module 'abc' has no attribute 'ABCMeta'", AttributeError),
    "enum_meta": Attack("from enum import EnumMeta\nreached.append(EnumMeta)", "cannot import name 'EnumMeta' from 'enum'", RefusedImport),
    "enum_type": Attack("import enum\nreached.append(enum.EnumType)", "module 'enum' has no attribute 'EnumType'", AttributeError),
    "named_tuple_meta": Attack("import typing\nreached.append(typing.NamedTupleMeta)", "module 'typing' has no attribute 'NamedTupleMeta'", AttributeError),
    "private_protocol_meta": Attack("import typing\nreached.append(typing._ProtocolMeta)", "module 'typing' has no attribute '_ProtocolMeta'", AttributeError),
    "pydantic_meta": Attack("import pydantic.main\nreached.append(pydantic.main.ModelMetaclass)", "module 'pydantic.main' has no attribute 'ModelMetaclass'", AttributeError),
    "yaml_meta": Attack("import yaml\nreached.append(yaml.YAMLObjectMetaclass)", "module 'yaml' has no attribute 'YAMLObjectMetaclass'", AttributeError),
    "given_metaclass": Attack("class M(meta): pass\nreached.append(M)", NONE, TypeError),
}  # fmt: skip


@pytest.mark.parametrize("base", BASES)
def test_inheriting(base: str) -> None:
    """No base makes a class a metaclass, and no hook of another base sees one."""
    program = (
        "import abc, enum, types, typing\nclass A:\n    def __init_subclass__(cls): reached.append(cls)\n"
        f"class M({BASES[base]}): pass\nreached.append(M)"
    )
    names = {
        "union": type[int] | None,
        "holder": type("Holder", (), {"type": type}),
        "alias": type[int],
        "abc_alias": type("Meta", (type,), {}),
    }
    check(Attack(program, NONE, TypeError), **names)


@pytest.mark.parametrize("attack", by_id(OTHERS))
def test_other_ways(attack: Attack) -> None:
    """The keyword and the usual names of metaclasses."""
    check(attack, meta=type("Meta", (type,), {}))


def test_abstract_classes_and_enums_still_work() -> None:
    """Their metaclasses do their work unseen: ``type`` of such a class is ``type``."""
    check_nothing_reached(
        """
        from abc import ABC, abstractmethod
        from enum import Enum
        class A(ABC):
            @abstractmethod
            def f(self): ...
        class E(Enum):
            X = 1
        for cls in (A, E):
            if type(cls) is not type or cls.__class__ is not type: reached.append(type(cls))
        """
    )
