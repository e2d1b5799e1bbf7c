"""A metaclass answers for its classes (``__instancecheck__``, ``__prepare__``): a task's own inherits from one of ours, which
looks at the names of what it makes. No library's is to be had.
"""

from __future__ import annotations

import sys
import types

import pytest
from programs import NO_SETTING, Attack, at_compile, by_id, check, check_nothing_reached

NONE = "this metaclass is not available in a task: inherit from type or abc.ABCMeta"
THIS = "this metaclass is not available in a task: use type, abc.ABCMeta or one that inherits from them"
BASES = {
    "type": "type",
    "type_of_a_class": "type(int)",
    "class_of_a_class": "int.__class__",
    "type_of_type": "type(type(type))",
    "starred": "*[type]",
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
    "keyword": Attack("class M(metaclass=meta): pass\nreached.append(M)", THIS, TypeError),
    "keyword_of_none": Attack("class M(metaclass=None): pass\nreached.append(M)", THIS, TypeError),
    "keyword_in_a_nested_class": Attack("class A:\n    class M(metaclass=lambda *a: reached.append(a)): pass", THIS, TypeError),
    "keyword_of_a_dict": Attack("k = {'metaclass': reached.append}\nclass M(**k): pass", THIS, TypeError),
    "classic_name": at_compile("class M:\n    __metaclass__ = reached.append", "binding the name '__metaclass__' is not allowed"),
    "abc_meta": Attack("from abc import ABCMeta\nreached.append(ABCMeta('X', (), {'__reduce__': len}))", f"the name '__reduce__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "abc_meta_attribute": Attack("import abc\nclass M(abc.ABCMeta): pass\nreached.append(M('X', (), {'__reduce__': len}))", f"the name '__reduce__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "enum_meta_called": Attack("from enum import EnumMeta\nreached.append(EnumMeta('E', (), {}))", "cannot create 'EnumType' instances", TypeError),
    "enum_meta_inherited": Attack("import enum\nclass M(enum.EnumType): pass\nreached.append(M)", "type 'EnumType' is not an acceptable base type", TypeError),
    "enum_meta_as_metaclass": Attack("import enum\nclass A(metaclass=enum.EnumMeta): pass\nreached.append(A)", "this metaclass is not available in a task: use type, abc.ABCMeta or one that inherits from them", TypeError),
    "named_tuple_meta": Attack("import typing\nreached.append(typing.NamedTupleMeta)", "module 'typing' has no attribute 'NamedTupleMeta'", AttributeError),
    "private_protocol_meta": Attack("import typing\nreached.append(typing._ProtocolMeta)", "module 'typing' has no attribute '_ProtocolMeta'", AttributeError),
    "pydantic_meta": Attack("import pydantic.main\nreached.append(pydantic.main.ModelMetaclass)", "module 'pydantic.main' has no attribute 'ModelMetaclass'", AttributeError),
    "yaml_meta": Attack("import yaml\nreached.append(yaml.YAMLObjectMetaclass)", "module 'yaml' has no attribute 'YAMLObjectMetaclass'", AttributeError),
    "given_metaclass": Attack("class M(meta): pass\nreached.append(M)", NONE, TypeError),
}  # fmt: skip


#: Bases that stand for ``type`` itself: what inherits from them inherits from ours.
OURS = frozenset(
    "type subscripted type_of_a_class class_of_a_class type_of_type starred origin argument_of_a_union abstract enum protocol "
    "library_value".split()
)


@pytest.mark.parametrize("base", BASES)
def test_inheriting(base: str) -> None:
    """What a task inherits from makes classes of checked names only; no library's metaclass is inherited from."""
    program = f"import abc, enum, types, typing\nclass A: pass\nclass M({BASES[base]}): pass\n"
    attack = Attack(program + "reached.append(M)", NONE, TypeError)
    if base in OURS:
        refused = f"the name '__reduce__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}"
        attack = Attack(program + "reached.append(M('X', (), {'__reduce__': len}))", refused)
    names = {
        "union": type[int] | None,
        "holder": type("Holder", (), {"type": type}),
        "alias": type[int],
        "abc_alias": type("Meta", (type,), {}),
    }
    check(attack, **names)


GRAB = "class M(type): pass\nmade = {}\nreached.append(made(M, 'X', (), {{'__reduce__': len}}))"
FORGED = "the name '{}' in a class made by a call is not allowed: it belongs to the interpreter. " + NO_SETTING
#: An object that says that it comes from where the guards of hooks do.
GUARDED = """
import types
class N(types.SimpleNamespace):
    def __call__(self, name): return name
hook = N(**{'__module__': 'reptarium.sandbox.language.guards.attributes'})
reached.append(type('C', (), {'%s': hook}))
"""
BEYOND = {
    **{
        f"{kind}_beyond_type": Attack(GRAB.format(f"super({made}).__new__"), FORGED.format("__reduce__"))
        for kind, made in (("type", "type, type"), ("metaclass", "type, M"), ("own", "M, M"))
    },
    **{f"forged{name}": Attack(GUARDED % name, FORGED.format(name)) for name in ("__getattr__", "__getattribute__")},
}


@pytest.mark.parametrize("attack", by_id(BEYOND))
def test_beyond_the_metaclass_of_ours(attack: Attack) -> None:
    """``super(type, …)`` leads to no other maker of classes, and a hook is one that was guarded, not one that says so."""
    check(attack)


def test_checks_are_given_no_metaclass_and_no_module() -> None:
    """An abstract class is asked about the classes of whatever anybody looks at."""
    check_nothing_reached(
        """
        import abc, collections.abc, types
        asked = []
        class A(abc.ABC):
            @classmethod
            def __subclasshook__(cls, other):
                asked.append(other)
                return NotImplemented
        class Meta(type):
            def __subclasscheck__(cls, other):
                asked.append(other)
                return False
            def __instancecheck__(cls, value):
                asked.append(value)
                return False
        class B(metaclass=Meta): pass
        collections.abc.Sized.register(B)
        isinstance(int, A)
        isinstance(int, collections.abc.Sized)
        isinstance(lambda: 1, A)
        isinstance(types.SimpleNamespace, B)
        isinstance(module, B)
        reached.extend(other for other in asked if isinstance(other, types.ModuleType) or is_real(other))
        if type not in asked or types.FunctionType not in asked: reached.append(asked)
        """,
        module=sys,
        is_real=lambda value: value in (type, types.FunctionType),
    )


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
