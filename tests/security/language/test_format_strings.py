"""``str.format`` and ``format_map`` are small programs that read attributes: what they name is checked before they run."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
from programs import NO_SETTING, Attack, at_compile, by_id, check, check_nothing_reached, in_format

from reptarium.sandbox.language.policy.names import DENIED_ATTRIBUTES, GUARDED_ATTRIBUTES, GUARDED_DUNDERS
from tests.each import each

NAMES = ["__class__", "__globals__", "gi_frame", "__dict__"]
#: Names that a guard looks at, as where they are written.
LOOKED_AT = sorted(name for name in GUARDED_ATTRIBUTES - GUARDED_DUNDERS if "future" not in name)

#: A text that names NAME, and what reads it.
KNOWN_TEXTS = {
    "positional": "'{0.NAME}'.format(target)",
    "automatic": "'{.NAME}'.format(target)",
    "named": "'{a.NAME}'.format(a=target)",
    "path": "'{0.a.NAME.b}'.format(target)",
    "after_item": "'{0[a].NAME}'.format({'a': target})",
    "before_item": "'{0.NAME[a]}'.format(target)",
    "converted": "'{0.NAME!r}'.format(target)",
    "in_specification": "'{0:{1.NAME}}'.format(1, target)",
    "after_others": "'{0}{1:>{2}}{0.NAME}'.format(target, 1, 2)",
    "after_escapes": "'{{}}{{{0.NAME}}}'.format(target)",
    "implicitly_joined": "('{0.' 'NAME}').format(target)",
}
COMPUTED_TEXTS = {
    "variable": "('{0.' + name + '}').format(target)",
    "joined": "''.join(['{0.', name, '}']).format(target)",
    "f_string": "f'{{0.{name}}}'.format(target)",
    "formatted_twice": "'{{0.{}}}'.format(name).format(target)",
    "percent": "('{0.%s}' % name).format(target)",
    "specification": "('{0:{1.' + name + '}}').format(1, target)",
    "map": "('{a.' + name + '}').format_map({'a': target})",
    "map_of_own_class": "('{a.' + name + '}').format_map(type('D', (), {}) if False else {'a': target})",
    "unbound": "str.format('{0.' + name + '}', target)",
    "unbound_map": "str.format_map('{a.' + name + '}', {'a': target})",
    "by_name": "getattr('{0.' + name + '}', 'format')(target)",
    "unbound_by_name": "getattr(str, 'format')('{0.' + name + '}', target)",
    "of_type": "type('').format('{0.' + name + '}', target)",
    "of_class": "''.__class__.format('{0.' + name + '}', target)",
    "aliased": "(lambda f: f(target))(('{0.' + name + '}').format)",
    "mapped": "list(map(str.format, ['{0.' + name + '}'], [target]))",
    "mapped_bound": "list(map(('{0.' + name + '}').format, [target]))",
    "methodcaller": "__import__('operator').methodcaller('format', target)('{0.' + name + '}')",
    "attrgetter": "__import__('operator').attrgetter('format')('{0.' + name + '}')(target)",
    "partial": "__import__('functools').partial(str.format, '{0.' + name + '}')(target)",
    "partial_bound": "__import__('functools').partial(('{0.' + name + '}').format)(target)",
    "reduce": "__import__('functools').reduce(str.format, ['{0.' + name + '}', target])",
    "starred": "str.format(*['{0.' + name + '}', target])",
    "sorted_key": "sorted([target], key=('{0.' + name + '}').format)",
    "enum_member": "__import__('enum').StrEnum('E', {'a': '{0.' + name + '}'}).a.format(target)",
    "numpy_string": "__import__('numpy').str_('{0.' + name + '}').format(target)",
}  # fmt: skip
STATEMENTS = {
    "subclass": "class S(str): pass\nreached.append(S(text).format(target))",
    "subclass_unbound": "class S(str): pass\nreached.append(S.format(text, target))",
    "subclass_alias": "class S(str):\n    render = str.format\nreached.append(S(text).render(target))",
    "subclass_super": "class S(str):\n    def format(self, *a): return super().format(*a)\nreached.append(S(text).format(target))",
    "subclass_super_map": "class S(str):\n    def format_map(self, m): return super().format(m['a'])\nreached.append(S(text).format_map({'a': target}))",
    "super_with_arguments": "class S(str): pass\nreached.append(super(S, S(text)).format(target))",
    "super_of_class": "class S(str):\n    @classmethod\n    def f(cls): return super().format(text, target)\nreached.append(S.f())",
    "class_attribute": "class A:\n    f = staticmethod(str.format)\nreached.append(A.f(text, target))",
    "property": "class A:\n    f = property(str.format)\nclass B(str):\n    f = A.f\nreached.append(B(text).f)",
    "as_key_pattern": "class S(str):\n    __match_args__ = ('upper',)\nmatch S(text):\n    case S(u): reached.append(u().lower().format(target))",
    "dataclass_field": "from dataclasses import dataclass\n@dataclass\nclass D:\n    format: str\nreached.append(D(text).format.format(target))",
    "in_exception": "class E(Exception):\n    def __str__(self): return text.format(target)\ntry: raise E\nexcept E as e: reached.append(str(e))",
    "in_f_string_conversion": "class A:\n    def __format__(self, spec): return spec.format(target)\nreached.append(f'{A():{text}}')",
    "alias": "import types\nreached.append(types.GenericAlias(str, ()).format(text, target))",
    "alias_map": "import types\nreached.append(types.GenericAlias(str, ()).format_map(text, {'a': target}))",
    "annotated": "import typing\nreached.append(typing.Annotated[str, 1].format(text, target))",
    "weak_proxy": "import weakref\nclass S(str): pass\ns = S(text)\nreached.append(weakref.proxy(s).format(target))",
    "in_textwrap": "import textwrap\nreached.append(textwrap.dedent(text).format(target))",
    "decoded": "reached.append(text.encode().decode('utf-8').format(target))",
}  # fmt: skip

MALFORMED = {
    "unclosed": Attack("reached.append(('{0.' + name).format(target))", "expected '}' before end of string", ValueError),
    "empty_attribute": Attack("reached.append('{0.}'.format(target))", "Empty attribute in format string", ValueError),
    "checked_before_the_mistake": Attack("reached.append(('{0.' + name + '}{').format(target))", in_format("gi_frame")),
    "checked_in_specification": Attack("reached.append(('{0:{1.' + name + '}{').format(1, target))", "unmatched '{' in format spec", ValueError),
    "too_deep": Attack("reached.append(('{0:{1:{2.' + name + '}}}').format(1, 2, target))", in_format("gi_frame")),
}  # fmt: skip

MATCHED = {
    "keyword": Attack("match text:\n    case str(format=f): reached.append(f(target))", "this class pattern is not allowed: it would read the attribute 'format'. No setting allows it."),
    "keyword_map": Attack("match text:\n    case str(format_map=f): reached.append(f(target))", "this class pattern is not allowed: it would read the attribute 'format_map'. No setting allows it."),
    "positional": Attack("class S(str):\n    __match_args__ = ('format',)\nmatch S(text):\n    case S(f): reached.append(f(target))", "this class pattern is not allowed: it would read the attribute 'format'. No setting allows it."),
    "positional_map": Attack("class S(str):\n    __match_args__ = ('format_map',)\nmatch S(text):\n    case S(f): reached.append(f({'a': target}))", "this class pattern is not allowed: it would read the attribute 'format_map'. No setting allows it."),
}  # fmt: skip


def generator() -> object:
    """Something to read attributes of."""
    return (x for x in [1])


@pytest.mark.parametrize("text", KNOWN_TEXTS)
@pytest.mark.parametrize("name", NAMES)
def test_known_text(text: str, name: str) -> None:
    """A text that stands in the program is refused before it runs."""
    program = f"reached.append({KNOWN_TEXTS[text].replace('NAME', name)})"
    check(at_compile(program, f"the attribute '{name}' in a format string is not allowed"), target=1)


@each("name", LOOKED_AT)
def test_every_name_that_is_looked_at(name: str) -> None:
    """A module of a library's is refused, a value of the task's own is shown."""
    program = "reached.append(('{0.' + name + '}').format(target))"
    own = f"class A: pass\na = A()\na.{name} = 1\nif ('{{0.{name}}}{{0.' + name + '}}').format(a) != '11': reached.append(a)"
    check_nothing_reached(own, name=name)
    holder = SimpleNamespace(**{name: importlib.import_module("subprocess")})
    text = f"the attribute '{name}' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"
    check(Attack(program, text), target=holder, name=name)
    check(Attack(f"reached.append('{{0.{name}}}'.format(target))", text), target=holder)


@each("name", sorted({*GUARDED_DUNDERS, *DENIED_ATTRIBUTES}))
def test_every_name(name: str) -> None:
    """No name of the interpreter's is read."""
    check(Attack("reached.append(('{0.' + name + '}').format(target))", in_format(name)), target=1, name=name)


@pytest.mark.parametrize("text", COMPUTED_TEXTS)
@pytest.mark.parametrize("name", ["__class__", "gi_frame", "__globals__"])
def test_computed_text(text: str, name: str) -> None:
    """A text that is made at run time is refused when it would be used."""
    check(Attack(f"reached.append({COMPUTED_TEXTS[text]})", in_format(name)), target=generator(), name=name)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_other_ways_to_format(statement: str) -> None:
    """Subclasses, aliases and whatever else leads to ``str.format``."""
    check(Attack(STATEMENTS[statement], in_format("gi_frame")), target=generator(), text="{0.gi_frame}")


@pytest.mark.parametrize("attack", by_id(MALFORMED))
def test_malformed_text(attack: Attack) -> None:
    """A mistake in the text helps nobody: what stands before it is judged first."""
    check(attack, target=generator(), name="gi_frame")


@pytest.mark.parametrize("attack", by_id(MATCHED))
def test_method_taken_out_by_a_pattern(attack: Attack) -> None:
    """Patterns read attributes too, without a guard."""
    check(attack, target=generator(), text="{0.gi_frame}")


def test_builtin_format_reads_nothing() -> None:
    """``format(x, spec)`` and f-strings take specifications, which name no attributes."""
    check_nothing_reached(
        """
        for attempt in (lambda: format(target, '{0.gi_frame}'), lambda: f"{target:{'{0.gi_frame}'}}"):
            try: reached.append(attempt())
            except TypeError: pass
        """,
        target=generator(),
    )


def test_bytes_have_no_format() -> None:
    """Only text can be a format string."""
    check(
        Attack("reached.append(b'{0.gi_frame}'.format(1))", "'bytes' object has no attribute 'format'", AttributeError)
    )
