"""A subclass of ``str`` can say anything about itself: guards take names that are exactly ``str``, and texts by their content."""

from __future__ import annotations

import pytest
from programs import Attack, at_compile, attribute, by_id, check, check_nothing_reached, in_format

from reptarium.sandbox.language import RefusedImport

#: Agrees with every comparison, has every hash, holds nothing that is looked for, and prints as something else.
LIAR = """
class Liar(str):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return hash('real')
    def __str__(self): return 'real'
    def __repr__(self): return "'real'"
    def __format__(self, spec): return 'real'
    def __contains__(self, part): return False
    def __getitem__(self, index): return 'r'
    def __len__(self): return 4
    def __iter__(self): return iter('real')
    def startswith(self, *args): return False
    def endswith(self, *args): return False
    def isidentifier(self): return True
    def split(self, *args): return ['real']
    def replace(self, *args): return 'real'
    def partition(self, *args): return ('real', '', '')
def gen(): yield 1
target = gen()
"""

NAME = "attribute name must be exactly str, not 'Liar'"
ATTACKS = {
    "getattr": Attack("reached.append(getattr(target, Liar('gi_frame')))", NAME, TypeError),
    "getattr_default": Attack("reached.append(getattr(target, Liar('gi_frame'), 0))", NAME, TypeError),
    "hasattr": Attack("reached.append(hasattr(target, Liar('gi_frame')))", NAME, TypeError),
    "setattr": Attack("setattr(Liar, Liar('__match_args__'), ('gi_frame',))", NAME, TypeError),
    "delattr": Attack("delattr(Liar, Liar('__module__'))", NAME, TypeError),
    "object_setattr": Attack("object.__setattr__(Liar('a'), Liar('__class__'), int)", NAME, TypeError),
    "bound_setattr": Attack("Liar('a').__setattr__(Liar('__class__'), int)", NAME, TypeError),
    "vars_item": Attack("vars(Liar('a'))[Liar('__class__')] = 1", NAME, TypeError),
    "attrgetter": Attack("from operator import attrgetter\nreached.append(attrgetter(Liar('gi_frame'))(target))", NAME, TypeError),
    "attrgetter_changed": Attack("from operator import attrgetter\na = attrgetter('x')\na._names = (Liar('gi_frame'),)\nreached.append(a(target))", NAME, TypeError),
    "methodcaller": Attack("from operator import methodcaller\nreached.append(methodcaller(Liar('gi_frame'))(target))", NAME, TypeError),
    "reduce": Attack("from functools import reduce\nreached.append(reduce(getattr, [Liar('gi_frame')], target))", NAME, TypeError),
    "format": Attack("reached.append(Liar('{0.gi_frame}').format(target))", in_format("gi_frame")),
    "format_map": Attack("reached.append(Liar('{t.gi_frame}').format_map({'t': target}))", in_format("gi_frame")),
    "unbound_format": Attack("reached.append(str.format(Liar('{0.gi_frame}'), target))", in_format("gi_frame")),
    "unbound_format_map": Attack("reached.append(str.format_map(Liar('{t.gi_frame}'), {'t': target}))", in_format("gi_frame")),
    "own_format": Attack("class F(Liar):\n    def format(self, *a): return super().format(*a)\nreached.append(F('{0.gi_frame}').format(target))", in_format("gi_frame")),
    "formatter": Attack("import string\nreached.append(string.Formatter().format(Liar('{0.gi_frame}'), target))", attribute("gi_frame")),
    "formatter_get_field": Attack("import string\nreached.append(string.Formatter().get_field(Liar('0.gi_frame'), (target,), {}))", attribute("gi_frame")),
    "import_module": Attack("import importlib\nreached.append(importlib.import_module(Liar('subprocess')))", "only absolute imports by name are available: a task is not part of a package", RefusedImport),
    "dunder_import": Attack("reached.append(__import__(Liar('subprocess')))", "only absolute imports by name are available: a task is not part of a package", RefusedImport),
    "make_dataclass_field": Attack("from dataclasses import make_dataclass\nreached.append(make_dataclass('D', [Liar('gi_frame')]))", "'real' is not allowed as a field's name: it isn't a plain name of your own"),
    "field_name": Attack("from dataclasses import field\nf = field()\nf.name = Liar('x=1):\\n pass #')\nreached.append(f)", "'real' is not allowed as a field's name: it isn't a plain name of your own"),
    "enum_member": Attack("from enum import Enum\nreached.append(Enum('E', {Liar('__reduce_ex__'): 1}))", "'real' is not allowed as a member's name: it isn't a plain name of your own"),
    "enum_member_in_pairs": Attack("from enum import Enum\nreached.append(Enum('E', [(Liar('__reduce_ex__'), 1)]))", "'real' is not allowed as a member's name: it isn't a plain name of your own"),
    "forward_reference": Attack("from typing import ForwardRef\nreached.append(ForwardRef(Liar('(1).real')))", "a forward reference must be exactly str", TypeError),
    "match_args": at_compile("class A:\n    __match_args__ = (Liar('gi_frame'),)\nmatch target:\n    case A(x): reached.append(x)", "this '__match_args__' is not allowed"),
    "pandas_method": Attack("import pandas\nreached.append(pandas.Series([1]).agg(Liar('__reduce__')))", attribute("__reduce__")),
    "pandas_group_method": Attack("import pandas\nreached.append(pandas.Series([1]).groupby(level=0).agg(Liar('__reduce__')))", attribute("__reduce__")),
}  # fmt: skip

#: What is read from the liar is what it says, once and for all.
IN_VAIN = {
    "namedtuple_field": "from collections import namedtuple\nf = namedtuple('N', [Liar('a, b: 1')])._fields\nif f != ('real',): reached.append(f)",
    "namedtuple_string": "from collections import namedtuple\nf = namedtuple('N', Liar('gi_frame'))._fields\nif f != ('real',): reached.append(f)",
    "user_string": "from collections import UserString\nu = UserString('')\nu.data = Liar('{0.gi_frame}')\nf = u.format(target)\nif f != 'real': reached.append(f)",
    "percent": "f = Liar('%(target.gi_frame)s') % {'target.gi_frame': 'text'}\nif f != 'text': reached.append(f)",
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_lie_is_not_believed(attack: Attack) -> None:
    """The string is refused for its class, or judged by what it really holds."""
    check(attack._replace(program=LIAR + attack.program))


@pytest.mark.parametrize("name", IN_VAIN)
def test_lie_has_no_effect(name: str) -> None:
    """A function that asks the string gets the lie, and nothing else."""
    check_nothing_reached(LIAR + IN_VAIN[name])
