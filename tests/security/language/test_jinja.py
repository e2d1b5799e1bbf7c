"""Jinja2 compiles text; its lexer, parser, extensions and generator belong to the task."""

from __future__ import annotations

import pytest

from tests.security.language.programs import Attack, by_id, check, check_nothing_reached

MORE = "this template is not allowed: what Jinja made of it is more than a template. No setting allows it."

ATTACKS = {
    "a code generator of one's own": Attack(
        """
        import jinja2
        env = jinja2.Environment()
        real = env.code_generator_class
        class G(real):
            def visit_Template(self, node, frame=None):
                self.stream.write("import os\\nname = None\\nblocks = {}\\ndebug_info = ''\\n"
                                  "def root(context, environment=environment):\\n    yield os.name\\n")
        env.code_generator_class = G
        reached.append(env.from_string('x').render())
        """,
        MORE,
    ),
    "a name that isn't one": Attack(
        """
        import jinja2
        env = jinja2.Environment()
        tree = env.parse('{{ a }}')
        tree.body[0].nodes[0].name = "a[().__class__]"
        reached.append(env.from_string(tree).render())
        """,
        MORE,
    ),
    "getattr in the text": Attack(
        """
        import jinja2
        env = jinja2.Environment()
        tree = env.parse('{{ a }}')
        tree.body[0].nodes[0].name = "a[getattr(context, '__class__')]"
        reached.append(env.from_string(tree).render())
        """,
        MORE,
    ),
    "an imported extension": Attack(
        """
        import jinja2
        reached.append(jinja2.Environment(extensions=['os.system']))
        """,
        "the Jinja extension 'os.system' is not allowed: it is not one of Jinja's own",
    ),
    "a sandbox that allows everything": Attack(
        """
        import jinja2
        class Open(jinja2.Environment):
            def is_safe_attribute(self, obj, attr, value): return True
        def f(): pass
        text = Open().from_string('{{ f.__globals__ }}').render(f=f)
        if text: reached.append(text)
        raise KeyError('nothing there')
        """,
        "'nothing there'",
        KeyError,
    ),
    "an attribute by filter": Attack(
        """
        import jinja2
        class Open(jinja2.Environment):
            def is_safe_attribute(self, obj, attr, value): return True
        def f(): pass
        text = Open().from_string("{{ f | attr('__globals__') }}{{ [f] | map(attribute='__globals__') | list }}").render(f=f)
        if 'builtins' in text: reached.append(text)
        raise KeyError('nothing there')
        """,
        "'nothing there'",
        KeyError,
    ),
    "the sandbox's format": Attack(
        """
        import jinja2
        class Open(jinja2.Environment):
            def is_safe_attribute(self, obj, attr, value): return True
        reached.append(Open().from_string("{{ '{0.__class__.__mro__}'.format(1) }}").render())
        """,
        "the attribute '__class__' in a format string is not allowed: it reads attributes by name. No setting allows it.",
    ),
}


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """Whatever part of Jinja the task exchanges, the text is refused before Python compiles it."""
    check(attack)


def test_every_kind_of_statement_is_still_a_template() -> None:
    """What Jinja generates for its own statements passes the check."""
    check_nothing_reached(
        """
        import jinja2
        templates = {
            'base': "{% block x %}base{% endblock %}",
            'macros': "{% macro f(a, b=2) %}{{ a + b }}{{ caller() if caller else '' }}{{ varargs|length }}{% endmacro %}",
            'part': "part {{ n }}",
        }
        env = jinja2.Environment(loader=jinja2.DictLoader(templates), extensions=['jinja2.ext.do', 'jinja2.ext.loopcontrols'],
                                 autoescape=True)
        text = env.from_string('''{% extends 'base' %}{% import 'macros' as m %}{% from 'macros' import f as g with context %}
        {% block x %}{{ super() }}{{ self.x is defined }}
        {% for i in rows if i.k recursive %}{{ loop.index }}{{ i['k'] }}{{ loop(i.c) if i.c else '' }}{% else %}none{% endfor %}
        {% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
        {{ m.f(1) }}{{ g(1, b=3) }}{% call m.f(5) %}inside{% endcall %}
        {% set ns = namespace(q=1) %}{% set ns.q = 2 %}{% set a, b = 1, 2 %}{% set c %}block{% endset %}{{ ns.q }}{{ a ~ b ~ c }}
        {% filter upper %}filtered{% endfilter %}{% with z = 1 %}{{ z }}{% endwith %}{% include 'part' %}{% include ['no', 'part'] %}
        {% raw %}{{ x }}{% endraw %}{% do l.append(1) %}{{ l }}{% autoescape false %}{{ '<' }}{% endautoescape %}{{ '<' }}
        {{ rows|map(attribute='k')|join('-') }}{{ rows|selectattr('k')|list|length }}{{ rows|groupby('k')|length }}
        {{ 'a' if n else 'b' }}{{ n is odd and not false or n in [1] }}{{ l[0:1] }}{{ {'d': (1, 2.5)} }}{{ undefined_name is defined }}
        {{ '%s-%05.1f'|format('x', 2.25) }}{{ 'x{}'.format(1) }}{{ n // 2 + n ** 2 % 3 - -n }}{% endblock %}''').render(
            rows=[{'k': 1, 'c': [{'k': 2}]}, {'k': 3}], n=7, l=[])
        for piece in ('base', 'filtered'.upper(), 'part 7', '{{ x }}', 'x-002.2', 'inside', '1-3', '&lt;'):
            assert piece in text, (piece, text)
        """
    )
