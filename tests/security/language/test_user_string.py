"""``collections.UserString`` formats what it holds: with the check of ``str.format``."""

from __future__ import annotations

import pytest
from programs import Attack, check, in_format

PROGRAMS = {
    "format": "reached.append(UserString(text).format(target))",
    "format_map": "reached.append(UserString(text.replace('0', 'a')).format_map({'a': target}))",
    "unbound": "reached.append(UserString.format(UserString(text), target))",
    "unbound_map": "reached.append(UserString.format_map(UserString(text.replace('0', 'a')), {'a': target}))",
    "by_name": "reached.append(getattr(UserString(text), 'format')(target))",
    "subclass": "class S(UserString): pass\nreached.append(S(text).format(target))",
    "super": "class S(UserString):\n    def format(self, *a): return super().format(*a)\nreached.append(S(text).format(target))",
    "data_changed": "u = UserString('')\nu.data = text\nreached.append(u.format(target))",
    "data_of_its_own": "reached.append(UserString(text).data.format(target))",
    "object_that_prints": "class P:\n    def __str__(self): return text\nu = UserString('')\nu.data = P()\nreached.append(u.format(target))",
    "stranger": "class P: data = text\nreached.append(UserString.format(P(), target))",
    "concatenated": "reached.append((UserString('{0.') + 'gi_frame}').format(target))",
    "joined": "reached.append(UserString('').join(['{0.', 'gi_frame}']).format(target))",
    "methodcaller": "from operator import methodcaller\nreached.append(methodcaller('format', target)(UserString(text)))",
    "positional_pattern": "class S(UserString):\n    __match_args__ = ('data',)\nmatch S(text):\n    case S(d): reached.append(d.format(target))",
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["__class__", "gi_frame"])
def test_user_string(program: str, name: str) -> None:
    """The attribute in the text is refused."""
    source = "from collections import UserString\n" + PROGRAMS[program].replace("gi_frame", name)
    check(Attack(source, in_format(name)), target=(x for x in [1]), text=f"{{0.{name}}}")
