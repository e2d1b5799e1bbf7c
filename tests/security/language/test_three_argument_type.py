"""``type`` with three arguments makes classes from any names: a task's ``type`` makes them of names that a class statement
may have.
"""

from __future__ import annotations

import dataclasses

import pytest
from programs import NO_SETTING, Attack, by_id, check, check_nothing_reached

ONE = f"the name '__reduce__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}"
COUNT = "type() takes 1 or 3 arguments"
NAMESPACE = "{'__reduce__': lambda s: 1}"

ATTACKS = {
    "plain": Attack(f"reached.append(type('X', (), {NAMESPACE}))", ONE),
    "keywords": Attack("reached.append(type('X', bases=(), dict={}))", COUNT, TypeError),
    "one_and_a_keyword": Attack("reached.append(type('X', x=1))", COUNT, TypeError),
    "no_arguments": Attack("reached.append(type())", COUNT, TypeError),
    "two_arguments": Attack("reached.append(type('X', ()))", COUNT, TypeError),
    "starred": Attack("reached.append(type(*('X', (), {'__reduce__': len})))", ONE),
    "of_a_class": Attack("reached.append(type(int)('X', (), {'__reduce__': len}))", ONE),
    "of_type": Attack("reached.append(type(type)('X', (), {'__reduce__': len}))", ONE),
    "of_an_abstract_class": Attack("from abc import ABC\nreached.append(type(ABC)('X', (), {'__reduce__': len}))", ONE),
    "of_an_enum": Attack("from enum import Enum\nreached.append(type(Enum)('X', (), {'__reduce__': len}))", ONE),
    "of_a_protocol": Attack("from typing import Protocol\nreached.append(type(Protocol)('X', (), {'__reduce__': len}))", ONE),
    "of_a_typed_dict": Attack("from typing import TypedDict\nclass D(TypedDict): pass\nreached.append(type(D)('X', (), {'__reduce__': len}))", ONE),
    "class_of_a_class": Attack("reached.append(int.__class__('X', (), {'__reduce__': len}))", ONE),
    "class_by_name": Attack("reached.append(getattr(int, '__class__')('X', (), {'__reduce__': len}))", ONE),
    "class_by_attrgetter": Attack("from operator import attrgetter\nreached.append(attrgetter('__class__')(int)('X', (), {'__reduce__': len}))", ONE),
    "class_by_attrgetter_twice": Attack("from operator import attrgetter\nreached.append(attrgetter('__class__.__class__')(1)('X', (), {'__reduce__': len}))", ONE),
    "class_by_methodcaller": Attack("from operator import methodcaller\nreached.append(methodcaller('__class__', 'X', (), {'__reduce__': len})(int))", ONE),
    "class_by_reduce": Attack("from functools import reduce\nreached.append(reduce(getattr, ['__class__', '__class__'], 1)('X', (), {'__reduce__': len}))", ONE),
    "partial": Attack("from functools import partial\nreached.append(partial(type, 'X', ())({'__reduce__': len}))", ONE),
    "mapped": Attack("reached.append(list(map(type, ['X'], [()], [{'__reduce__': len}])))", ONE),
    "starmap": Attack("from itertools import starmap\nreached.append(list(starmap(type, [('X', (), {'__reduce__': len})])))", ONE),
    "subscripted": Attack("reached.append(type[int]('X', (), {'__reduce__': len}))", ONE),
    "bound_call": Attack("reached.append(type.__call__(type, 'X', (), {'__reduce__': len}))", ONE),
    "bound_call_by_name": Attack("reached.append(getattr(type, '__call__')(type, 'X', (), {'__reduce__': len}))", ONE),
    "new": Attack("reached.append(type.__new__(type, 'X', (), {'__reduce__': len}))", ONE),
    "new_of_ones_own": Attack("class M(type): pass\nreached.append(M('X', (), {'__reduce__': len}))", ONE),
    "new_of_ones_own_by_super": Attack("class M(type):\n    def __new__(m, n, b, d): return super().__new__(m, n, b, {**d, '__getattribute__': len})\nclass X(metaclass=M): pass\nreached.append(X)", f"the name '__getattribute__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "hook_without_a_look": Attack("reached.append(type('X', (), {'__getattr__': lambda s, n: 1}))", f"the name '__getattr__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}"),
    "name_of_a_lying_string": Attack("class S(str): pass\nreached.append(type('X', (), {S('__reduce__'): len}))", "names of a class must be exactly str, not 'S'", TypeError),
    "base_that_is_a_librarys_metaclass": Attack("reached.append(type('X', (meta,), {}))", "this metaclass is not available in a task: inherit from type or abc.ABCMeta", TypeError),
    "new_of_super": Attack("class A:\n    def __new__(cls): return super().__new__(cls, 'X', (), {})\nreached.append(A())", "object.__new__() takes exactly one argument (the type to instantiate)", TypeError),
    "typing_type": Attack("from typing import Type\nreached.append(Type('X', (), {}))", "metaclasses are not available in a task: typing.Type only names classes", TypeError),
    "typing_type_subscripted": Attack("from typing import Type\nreached.append(Type[int]('X', (), {}))", "metaclasses are not available in a task: typing.Type only names classes", TypeError),
    "typing_type_made_callable": Attack("from typing import Type\nt = Type[int]\nt._inst = True\nreached.append(t('X', (), {}))", "metaclasses are not available in a task: typing.Type only names classes", TypeError),
    "typing_type_call": Attack("from typing import Type\nt = Type[int]\nt._inst = True\nreached.append(t.__call__('X', (), {}))", "metaclasses are not available in a task: typing.Type only names classes", TypeError),
    "origin_of_typing_type": Attack("from typing import Type, get_origin\nreached.append(get_origin(Type[int])('X', (), {'__reduce__': len}))", ONE),
    "argument_of_a_union": Attack("from typing import get_args\nreached.append(get_args(union)[0]('X', (), {'__reduce__': len}))", ONE),
    "generic_alias": Attack("from types import GenericAlias\nreached.append(GenericAlias(type, (int,))('X', (), {'__reduce__': len}))", ONE),
    "type_of_a_field": Attack("from dataclasses import fields\nreached.append(fields(record)[0].type('X', (), {'__reduce__': len}))", ONE),
    "value_of_a_library_class": Attack("import pandas\nreached.append(pandas.CategoricalDtype.type('X', (), {'__reduce__': len}))", ONE),
    "numpy_dtype_class": Attack("import numpy\nreached.append(type(numpy.dtype)('X', (), {'__reduce__': len}))", ONE),
    "pydantic_model": Attack("import pydantic\nreached.append(type(pydantic.BaseModel)('X', (), {'__reduce__': len}))", ONE),
    "ctypes_like": Attack("import struct\nreached.append(type(struct.Struct)('X', (), {'__reduce__': len}))", ONE),
    "exception_group": Attack("reached.append(type(ExceptionGroup)('X', (), {'__reduce__': len}))", ONE),
    "new_class": Attack("import types\nreached.append(types.new_class('X'))", "module 'types' has no attribute 'new_class'", AttributeError),
    "prepare_class": Attack("import types\nreached.append(types.prepare_class('X'))", "module 'types' has no attribute 'prepare_class'", AttributeError),
    "resolve_bases": Attack("import types\nreached.append(types.resolve_bases(()))", "module 'types' has no attribute 'resolve_bases'", AttributeError),
    "attribute_of_type_changed": Attack("type.x = 1", "cannot change attributes of 'type'", TypeError),
    "attribute_of_type_deleted": Attack("del type.x", "cannot change attributes of 'type'", TypeError),
    "attribute_of_type_set": Attack("setattr(type, 'x', 1)", "cannot change attributes of 'type'", TypeError),
    "subclasses": Attack("reached.append(type.__subclasses__(object))", f"the attribute '__subclasses__' is not allowed: it walks to every class of the interpreter, and is read of the task's own classes alone. {NO_SETTING}"),
    "mro_of_type": Attack("reached.append(type.mro()[1] is not object and 1 or [][0])", "unbound method type.mro() needs an argument", TypeError),
    "instance_of_type": Attack("t = object.__new__(type)\nreached.append(t('X', (), {}))", "object.__new__(type) is not safe, use type.__new__()", TypeError),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_type(attack: Attack) -> None:
    """No ``type`` that a task can get hold of makes a class."""
    record = dataclasses.make_dataclass("Record", [("a", type[int])])
    check(attack, union=type[int] | None, record=record, meta=type("Meta", (type,), {}))


def test_what_it_makes() -> None:
    """A class as of a class statement, and of the task's module, whatever the names say."""
    check_nothing_reached(
        """
        class Base:
            kind = 'base'
        Made = type('Made', (Base,), {'kind': 'made', '__module__': 'os', '__init__': lambda self, n: setattr(self, 'n', n)})
        if (Made(3).n, Made.kind, Made.__module__, Made.__name__) != (3, 'made', '__main__', 'Made'): reached.append(1)
        if type(Made) is not type or not isinstance(Made, type) or not issubclass(Made, Base): reached.append(2)
        """
    )


LINES = {
    "of_type": "type.mro(type)",
    "of_a_metaclass": "M.mro(M) + type.mro(M)",
    "of_abc_s": "ABCMeta.mro(ABCMeta)",
    "by_name": "getattr(type, 'mro')(M)",
    "by_super": "super(M, M).mro(M)",
    "by_methodcaller": "operator.methodcaller('mro', type)(type)",
    "by_attrgetter": "operator.attrgetter('mro')(type)(type)",
    "of_an_object_s_class": "type(Enum).mro(type(Enum))",
}


@pytest.mark.parametrize("way", LINES)
def test_a_line_of_bases_has_no_metaclass(way: str) -> None:
    """``mro()`` of any class is there; where Python's own ``type`` stands in it, or ours beneath, a task's stands."""
    check_nothing_reached(
        f"""
        import operator
        from abc import ABCMeta
        from enum import Enum
        class M(ABCMeta): pass
        found = {LINES[way]}
        reached.extend(each for each in found if each not in (M, ABCMeta, type, object))
        made = [each for each in found if each is not object]
        for each in made:
            try: reached.append(each('X', (), {{'__reduce__': len}}))
            except AttributeError: pass
        if bool.mro() != [bool, int, object] or not made: reached.append(made)
        """
    )
