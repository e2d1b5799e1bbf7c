"""``type`` with three arguments makes classes from any names: a task's ``type`` tells classes and makes none."""

from __future__ import annotations

import dataclasses

import pytest
from programs import Attack, at_compile, by_id, check

ONE = "only type(x) with one argument is available; write a class statement instead"
NAMESPACE = "{'__reduce__': lambda s: 1}"

ATTACKS = {
    "plain": Attack(f"reached.append(type('X', (), {NAMESPACE}))", ONE, TypeError),
    "keywords": Attack("reached.append(type('X', bases=(), dict={}))", ONE, TypeError),
    "one_and_a_keyword": Attack("reached.append(type('X', x=1))", ONE, TypeError),
    "no_arguments": Attack("reached.append(type())", ONE, TypeError),
    "two_arguments": Attack("reached.append(type('X', ()))", ONE, TypeError),
    "starred": Attack("reached.append(type(*('X', (), {})))", ONE, TypeError),
    "of_a_class": Attack("reached.append(type(int)('X', (), {}))", ONE, TypeError),
    "of_type": Attack("reached.append(type(type)('X', (), {}))", ONE, TypeError),
    "of_an_abstract_class": Attack("from abc import ABC\nreached.append(type(ABC)('X', (), {}))", ONE, TypeError),
    "of_an_enum": Attack("from enum import Enum\nreached.append(type(Enum)('X', (), {}))", ONE, TypeError),
    "of_a_protocol": Attack("from typing import Protocol\nreached.append(type(Protocol)('X', (), {}))", ONE, TypeError),
    "of_a_typed_dict": Attack("from typing import TypedDict\nclass D(TypedDict): pass\nreached.append(type(D)('X', (), {}))", ONE, TypeError),
    "class_of_a_class": Attack("reached.append(int.__class__('X', (), {}))", ONE, TypeError),
    "class_by_name": Attack("reached.append(getattr(int, '__class__')('X', (), {}))", ONE, TypeError),
    "class_by_attrgetter": Attack("from operator import attrgetter\nreached.append(attrgetter('__class__')(int)('X', (), {}))", ONE, TypeError),
    "class_by_attrgetter_twice": Attack("from operator import attrgetter\nreached.append(attrgetter('__class__.__class__')(1)('X', (), {}))", ONE, TypeError),
    "class_by_methodcaller": Attack("from operator import methodcaller\nreached.append(methodcaller('__class__', 'X', (), {})(int))", ONE, TypeError),
    "class_by_reduce": Attack("from functools import reduce\nreached.append(reduce(getattr, ['__class__', '__class__'], 1)('X', (), {}))", ONE, TypeError),
    "partial": Attack("from functools import partial\nreached.append(partial(type, 'X', ())({}))", ONE, TypeError),
    "mapped": Attack("reached.append(list(map(type, ['X'], [()], [{}])))", ONE, TypeError),
    "starmap": Attack("from itertools import starmap\nreached.append(list(starmap(type, [('X', (), {})])))", ONE, TypeError),
    "subscripted": Attack("reached.append(type[int]('X', (), {}))", ONE, TypeError),
    "bound_call": Attack("reached.append(type.__call__('X', (), {}))", ONE, TypeError),
    "bound_call_by_name": Attack("reached.append(getattr(type, '__call__')('X', (), {}))", ONE, TypeError),
    "new": Attack("reached.append(type.__new__(type, 'X', (), {}))", "type() takes no arguments", TypeError),
    "new_of_super": Attack("class A:\n    def __new__(cls): return super().__new__(cls, 'X', (), {})\nreached.append(A())", "object.__new__() takes exactly one argument (the type to instantiate)", TypeError),
    "typing_type": Attack("from typing import Type\nreached.append(Type('X', (), {}))", "metaclasses are not available in a task", TypeError),
    "typing_type_subscripted": Attack("from typing import Type\nreached.append(Type[int]('X', (), {}))", "metaclasses are not available in a task", TypeError),
    "typing_type_made_callable": Attack("from typing import Type\nt = Type[int]\nt._inst = True\nreached.append(t('X', (), {}))", "metaclasses are not available in a task", TypeError),
    "typing_type_call": Attack("from typing import Type\nt = Type[int]\nt._inst = True\nreached.append(t.__call__('X', (), {}))", "metaclasses are not available in a task", TypeError),
    "origin_of_typing_type": Attack("from typing import Type, get_origin\nreached.append(get_origin(Type[int])('X', (), {}))", ONE, TypeError),
    "argument_of_a_union": Attack("from typing import get_args\nreached.append(get_args(union)[0]('X', (), {}))", ONE, TypeError),
    "generic_alias": Attack("from types import GenericAlias\nreached.append(GenericAlias(type, (int,))('X', (), {}))", ONE, TypeError),
    "type_of_a_field": Attack("from dataclasses import fields\nreached.append(fields(record)[0].type('X', (), {}))", ONE, TypeError),
    "value_of_a_library_class": Attack("import pandas\nreached.append(pandas.CategoricalDtype.type('X', (), {}))", ONE, TypeError),
    "numpy_dtype_class": Attack("import numpy\nreached.append(type(numpy.dtype)('X', (), {}))", ONE, TypeError),
    "pydantic_model": Attack("import pydantic\nreached.append(type(pydantic.BaseModel)('X', (), {}))", ONE, TypeError),
    "ctypes_like": Attack("import struct\nreached.append(type(struct.Struct)('X', (), {}))", ONE, TypeError),
    "exception_group": Attack("reached.append(type(ExceptionGroup)('X', (), {}))", ONE, TypeError),
    "new_class": Attack("import types\nreached.append(types.new_class('X'))", "module 'types' has no attribute 'new_class'", AttributeError),
    "prepare_class": Attack("import types\nreached.append(types.prepare_class('X'))", "module 'types' has no attribute 'prepare_class'", AttributeError),
    "resolve_bases": Attack("import types\nreached.append(types.resolve_bases(()))", "module 'types' has no attribute 'resolve_bases'", AttributeError),
    "attribute_of_type_changed": Attack("type.x = 1", "cannot change attributes of 'type'", TypeError),
    "attribute_of_type_deleted": Attack("del type.x", "cannot change attributes of 'type'", TypeError),
    "attribute_of_type_set": Attack("setattr(type, 'x', 1)", "cannot change attributes of 'type'", TypeError),
    "subclasses": at_compile("reached.append(type.__subclasses__(object))", "the attribute '__subclasses__' is not allowed"),
    "mro_of_type": Attack("reached.append(type.mro()[1] is not object and 1 or [][0])", "list index out of range", IndexError),
    "instance_of_type": Attack("t = object.__new__(type)\nreached.append(t('X', (), {}))", "'type' object is not callable", TypeError),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_type(attack: Attack) -> None:
    """No ``type`` that a task can get hold of makes a class."""
    record = dataclasses.make_dataclass("Record", [("a", type[int])])
    check(attack, union=type[int] | None, record=record)
