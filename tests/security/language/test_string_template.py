"""``string.Template`` substitutes by name: its subclasses choose delimiters and patterns, and still read no attribute."""

from __future__ import annotations

import re

import pytest
from programs import Attack, check, check_nothing_reached

REFUSED = {
    "attribute_as_name": Attack(
        "class T(Template): idpattern = r'[a-z0-9_.]+'\nreached.append(T('$t.gi_frame').substitute(t=target))",
        "'t.gi_frame'",
        KeyError,
    ),
    "braced": Attack(
        "class T(Template): braceidpattern = r'[a-z0-9_.]+'\nreached.append(T('${t.gi_frame}').substitute({'t': target}))",
        "'t.gi_frame'",
        KeyError,
    ),
    "pattern": Attack(
        "class T(Template):\n    pattern = r'(?P<escaped>\\$\\$)|<(?P<named>[^>]+)>|(?P<braced>a^)|(?P<invalid>b^)'\n"
        "reached.append(T('<t.gi_frame>').substitute(t=target))",
        "'t.gi_frame'",
        KeyError,
    ),
    "brace_delimiter": Attack(
        "class T(Template): delimiter = '{'\nreached.append(T('{t.gi_frame}').substitute(u=target))",
        "'t'",
        KeyError,
    ),
    "code_as_pattern": Attack(
        "class T(Template): pattern = '(?{__import__(\"os\")})'\nreached.append(T('a').substitute())",
        "unknown extension ?{ at position 1",
        re.error,
    ),
}
IN_VAIN = {
    "safe_substitute": (
        "class T(Template): idpattern = r'[a-z0-9_.]+'\n"
        "text = T('$t.gi_frame').safe_substitute(t=target)\nif text != '$t.gi_frame': reached.append(text)"
    ),
    "identifiers": "if hasattr(Template, 'get_identifiers'):\n    if Template('$a.gi_frame').get_identifiers() != ['a']: reached.append(1)",
    "mapping_gets_a_name": (
        "class M:\n    def __getitem__(self, name):\n        if type(name) is not str: reached.append(name)\n        return ''\n"
        "Template('$a ${b}').substitute(M())"
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_template(name: str) -> None:
    """What stands between the delimiters is a key, whatever it looks like."""
    attack = REFUSED[name]
    check(attack._replace(program=f"from string import Template\n{attack.program}"), target=(x for x in [1]))


@pytest.mark.parametrize("name", IN_VAIN)
def test_template_reads_nothing(name: str) -> None:
    """The program runs, and has read nothing."""
    check_nothing_reached(f"from string import Template\n{IN_VAIN[name]}", target=(x for x in [1]))
