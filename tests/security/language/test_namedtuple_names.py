"""``namedtuple`` evaluates text made of its fields' names, and its classes read attributes in patterns."""

from __future__ import annotations

import keyword

import pytest
from programs import Attack, by_id, check, check_nothing_reached

from reptarium.sandbox.language.policy.names import DENIED_ATTRIBUTES
from tests.each import each

IDENTIFIERS = "Type names and field names must be valid identifiers: {!r}"
UNDERSCORE = "Field names cannot start with an underscore: {!r}"
MAKERS = {
    "list": "from collections import namedtuple\nreached.append(namedtuple('N', [name]))",
    "text": "from collections import namedtuple\nreached.append(namedtuple('N', name))",
    "second": "from collections import namedtuple\nreached.append(namedtuple('N', ['a', name]))",
    "with_commas": "from collections import namedtuple\nreached.append(namedtuple('N', f'a, {name}'))",
    "renaming": "from collections import namedtuple\nreached.append(namedtuple('N', [name], rename=True))",
    "typed": "from typing import NamedTuple\nreached.append(NamedTuple('N', [(name, int)]))",
    "attribute": "import collections\nreached.append(collections.namedtuple('N', [name]))",
}
CODE = ["a: print()", "a=1", "a, *b", "a)", "(", "lambda: 1", "a b", "1", "a.b", "ａ b", "a\n", "print()"]
ATTACKS = {
    "name_of_the_class": Attack("from collections import namedtuple\nreached.append(namedtuple('N: __import__(\"os\")', 'a'))", IDENTIFIERS.format('N: __import__("os")'), ValueError),
    "keyword_as_name_of_the_class": Attack("from collections import namedtuple\nreached.append(namedtuple('class', 'a'))", "Type names and field names cannot be a keyword: 'class'", ValueError),
    "class_statement": Attack("from typing import NamedTuple\nclass N(NamedTuple):\n    gi_frame: int\nreached.append(N)", "'gi_frame' is not allowed as a field's name: it isn't a plain name of your own"),
    "fields_from_an_iterator": Attack("from collections import namedtuple\nreached.append(namedtuple('N', iter(['a', 'gi_code'])))", "'gi_code' is not allowed as a field's name: it isn't a plain name of your own"),
    "object_as_name": Attack("from collections import namedtuple\nclass T:\n    def __str__(self): return 'gi_frame'\nreached.append(namedtuple('N', [T()]))", "'gi_frame' is not allowed as a field's name: it isn't a plain name of your own"),
    "object_of_two_names": Attack("from collections import namedtuple\nseen = []\nclass T:\n    def __str__(self):\n        seen.append(1)\n        return 'gi_frame' if len(seen) > 1 else 'a'\nreached.append(namedtuple('N', [T()])._fields != ('a',) or [][0])", "list index out of range", IndexError),
    "defaults": Attack("from collections import namedtuple\nreached.append(namedtuple('N', 'a', defaults=[1, 2]))", "Got more default values than field names", TypeError),
    "keyword_field": Attack("from collections import namedtuple\nreached.append(namedtuple('N', ['def']))", "Type names and field names cannot be a keyword: 'def'", ValueError),
    "dunder_method": Attack("from typing import NamedTuple\nclass N(NamedTuple):\n    a: int\n    def __new__(cls): reached.append(1)", "Cannot overwrite NamedTuple attribute __new__", AttributeError),
}  # fmt: skip


@pytest.mark.parametrize("maker", MAKERS)
@each("name", sorted(DENIED_ATTRIBUTES))
def test_interpreters_name(maker: str, name: str) -> None:
    """No field has the name of an attribute of the interpreter's."""
    check(
        Attack(MAKERS[maker], f"{name!r} is not allowed as a field's name: it isn't a plain name of your own"),
        name=name,
    )


@pytest.mark.parametrize("maker", ["list", "second", "typed", "attribute"])
@pytest.mark.parametrize("name", ["__class__", "__dict__", "_private"])
def test_underscores(maker: str, name: str) -> None:
    """Python itself takes no underscore in front."""
    check(Attack(MAKERS[maker], UNDERSCORE.format(name), ValueError), name=name)


@pytest.mark.parametrize("maker", ["list", "typed"])
@pytest.mark.parametrize("name", CODE)
def test_code(maker: str, name: str) -> None:
    """What isn't an identifier doesn't reach the text that is evaluated."""
    assert not keyword.iskeyword(name)
    check(Attack(MAKERS[maker], IDENTIFIERS.format(name), ValueError), name=name)


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_other_ways(attack: Attack) -> None:
    """Names of classes, iterators, objects that print as names."""
    check(attack)


def test_class_is_the_tasks() -> None:
    """Whatever module it is said to be from."""
    check_nothing_reached(
        "from collections import namedtuple\n"
        "for options in ({}, {'module': 'sys'}, {'module': 'reptarium.sandbox.language.guards.attributes'}):\n"
        "    n = namedtuple('N', 'a', **options)\n    if n.__module__ != '__main__': reached.append(n.__module__)"
    )


def test_fields_changed_later() -> None:
    """``_fields`` names keys of a dict, and no attribute is read by them."""
    check_nothing_reached(
        "from collections import namedtuple\nN = namedtuple('N', 'a')\nN._fields = ('__class__',)\n"
        "if N(1)._asdict() != {'__class__': 1}: reached.append(N(1)._asdict())"
    )
