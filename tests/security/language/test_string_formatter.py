"""``string.Formatter`` reads attributes in Python code of its own: every method of it goes through the guard."""

from __future__ import annotations

import pytest
from programs import Attack, attribute, check, check_nothing_reached

NAMES = ["__mro__", "__globals__", "gi_frame", "cell_contents"]
METHODS = {
    "format": "string.Formatter().format(text, target)",
    "format_named": "string.Formatter().format(text.replace('0', 'a'), a=target)",
    "vformat": "string.Formatter().vformat(text, (target,), {})",
    "inner_vformat": "string.Formatter()._vformat(text, (target,), {}, set(), 2)",
    "get_field": "string.Formatter().get_field(text[1:-1], (target,), {})",
    "get_field_unbound": "string.Formatter.get_field(string.Formatter(), text[1:-1], (target,), {})",
    "get_field_by_name": "getattr(string.Formatter(), 'get_field')(text[1:-1], (target,), {})",
    "get_field_of_stranger": "string.Formatter.get_field(type('S', (), {}) if False else Stranger(), text[1:-1], (target,), {})",
    "in_specification": "string.Formatter().format('{0:' + text.replace('0', '1') + '}', 1, target)",
    "converted": "string.Formatter().format(text[:-1] + '!r}', target)",
    "methodcaller": "operator.methodcaller('format', text, target)(string.Formatter())",
}
SUBCLASSES = {
    "plain": "class F(string.Formatter): pass",
    "get_value": "class F(string.Formatter):\n    def get_value(self, key, args, kwargs): return target",
    "super_get_field": "class F(string.Formatter):\n    def get_field(self, f, a, k): return super().get_field(f, a, k)",
    "parse": "class F(string.Formatter):\n    def parse(self, t): return [('', text[1:-1], '', None)]",
    "format_field": "class F(string.Formatter):\n    def format_field(self, value, spec): reached.append(value)",
    "convert_field": "class F(string.Formatter):\n    def convert_field(self, value, c): reached.append(value)",
    "check_unused_args": "class F(string.Formatter):\n    def check_unused_args(self, u, a, k): reached.append(a)",
}  # fmt: skip
PRELUDE = """
import string, operator
class Stranger:
    def get_value(self, key, args, kwargs): return args[0]
"""


def generator() -> object:
    """Something to read attributes of."""
    return (x for x in [1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_method(method: str, name: str) -> None:
    """The attribute is refused, whichever method would read it."""
    program = f"{PRELUDE}reached.append({METHODS[method]})"
    check(Attack(program, attribute(name)), target=generator(), text=f"{{0.{name}}}")


@pytest.mark.parametrize("subclass", SUBCLASSES)
def test_subclass(subclass: str) -> None:
    """Methods of a subclass get nothing either."""
    program = f"import string\n{SUBCLASSES[subclass]}\nreached.append(F().format(text, target))"
    check(Attack(program, attribute("gi_frame")), target=generator(), text="{0.gi_frame}")


def test_parse_names_only() -> None:
    """``parse`` tells what a text names; it reads nothing."""
    check_nothing_reached(
        "import string\nfor _, field, *_ in string.Formatter().parse('{0.gi_frame}'):\n"
        "    if field != '0.gi_frame': reached.append(field)"
    )


def test_own_reader_is_the_users_own() -> None:
    """A ``get_field`` of one's own has no reader but the guarded one."""
    program = (
        "import string\nclass F(string.Formatter):\n    def get_field(self, field, args, kwargs):\n"
        "        return getattr(args[0], field.partition('.')[2]), 0\nreached.append(F().format(text, target))"
    )
    check(Attack(program, attribute("gi_frame")), target=generator(), text="{0.gi_frame}")


def test_patched_method_cannot_be_undone() -> None:
    """What was there before isn't kept anywhere that a task could look."""
    check_nothing_reached(
        "import string\nfor name in dir(string.Formatter):\n"
        "    f = vars(string.Formatter).get(name)\n"
        "    if callable(f) and vars(f): reached.append(vars(f))"
    )
