"""A method of a library's takes anything for ``self``: a class has ``object.__getattribute__`` among its attributes, and
a module everything; the class of a class makes classes of any names.
"""

from __future__ import annotations

import sys

import pytest
from programs import Attack, by_id, check, check_nothing_reached


def foreign(method: str) -> str:
    """The text of the refusal."""
    return f"{method}() of a class or a module is not allowed: it belongs to the interpreter. No setting allows it."


#: What is compared with all that ``object`` has.
EQUAL = """
class Equal:
    def __eq__(self, other):
        reached.append(other)
        return True
names = {name: Equal() for name in ALL}
""".replace("ALL", repr(list(vars(object))))

ATTACKS = {
    "optparse": Attack(f"import optparse\n{EQUAL}\noptparse.Values.__eq__(object, names)", foreign("Values.__eq__")),
    "argparse": Attack(
        "import argparse\nreached.append(argparse.Namespace._get_kwargs(object))",
        foreign("_AttributeHolder._get_kwargs"),
    ),
    "weak_proxy": Attack(
        "import argparse, weakref\nreached.append(argparse.Namespace._get_kwargs(weakref.proxy(object)))",
        foreign("_AttributeHolder._get_kwargs"),
    ),
    "alias": Attack(
        "import argparse\nreached.append(argparse.Namespace._get_kwargs(list[int]))",
        foreign("_AttributeHolder._get_kwargs"),
    ),
    "copied_names_of_a_class": Attack(
        "import argparse, functools\nreached.append(argparse.Namespace._get_kwargs(functools.lru_cache(object)))",
        foreign("_AttributeHolder._get_kwargs"),
    ),
    "context_manager_of_a_class": Attack(
        "import contextlib, optparse\nreached.append(optparse.Values.__str__(contextlib.contextmanager(object)))",
        foreign("Values.__str__"),
    ),
    "argparse_help": Attack(
        """
        import argparse
        class Seeing:
            def __mod__(self, values): reached.append(values)
        class Formatter(argparse.HelpFormatter):
            def _get_help_string(self, action): return Seeing()
        Formatter('x')._expand_help(object)
        """,
        foreign("HelpFormatter._expand_help"),
    ),
    "logging": Attack(
        """
        import logging
        class Seeing:
            def __mod__(self, values): reached.append(values)
        style = logging.Formatter()._style
        style._fmt = Seeing()
        style._format(record=object)
        """,
        foreign("PercentStyle._format"),
    ),
    "logging_template": Attack(
        """
        import logging
        class Seeing:
            def substitute(self, **values): reached.append(values)
        style = logging.Formatter('$x', style='$', validate=False)._style
        style._tpl = Seeing()
        style._format(object)
        """,
        foreign("StringTemplateStyle._format"),
    ),
    "logging_brace": Attack(
        """
        import logging
        style = logging.Formatter('{x}', style='{', validate=False)._style
        style._fmt = '{__getattribute__}'
        reached.append(style._format(object))
        """,
        foreign("StrFormatStyle._format"),
    ),
    "email_policy": Attack(
        """
        import email.policy
        class Seeing:
            def clone(self, **values): reached.append(values)
        email.policy.EmailPolicy.__add__(Seeing(), object)
        """,
        foreign("_PolicyBase.__add__"),
    ),
    "pprint": Attack(
        """
        import pprint, io
        class Printer(pprint.PrettyPrinter):
            def _format_namespace_items(self, items, *rest): reached.extend(items)
        for method in {Printer._pprint_simplenamespace, *Printer._dispatch.values()}:
            if method.__name__ == '_pprint_simplenamespace':
                method(Printer(), object, io.StringIO(), 0, 0, {}, 0)
        """,
        foreign("PrettyPrinter._pprint_simplenamespace"),
    ),
    "user_list": Attack("import collections\nreached.append(collections.UserList.copy(int))", foreign("UserList.copy")),
    "user_string": Attack(
        """
        import collections
        class Text:
            class data:
                def upper(): return int
        reached.append(collections.UserString.upper(Text))
        """,
        foreign("UserString.upper"),
    ),
    "user_list_of_a_proxy": Attack(
        "import collections, weakref\nreached.append(collections.UserList.copy(weakref.proxy(int)))",
        foreign("UserList.copy"),
    ),
    "counter": Attack(
        "import collections\nreached.append(collections.Counter.copy(self=int))", foreign("Counter.copy")
    ),
    "chain_map": Attack(
        """
        import collections
        class Q:
            maps = [(), {'__getattribute__': reached}]
        reached.append(collections.ChainMap.new_child(Q, 'made'))
        """,
        foreign("ChainMap.new_child"),
    ),
    "chain_map_parents": Attack(
        """
        import collections
        class Q:
            maps = [0, 'made', (), {'__getattribute__': reached}]
        reached.append(collections.ChainMap.parents.fget(Q))
        """,
        foreign("ChainMap.parents"),
    ),
    "context_manager": Attack(
        """
        import contextlib
        class Q:
            func, args, kwds = 'made', (), {'__module__': 'os', '__getattribute__': reached}
        @contextlib.contextmanager
        def managed(): yield
        reached.append(type(managed())._recreate_cm(Q))
        """,
        foreign("_GeneratorContextManagerBase._recreate_cm"),
    ),
    "flags": Attack(
        """
        import enum, re
        class Both:
            def __or__(self, other): return int
        class Q:
            _value_ = Both()
        for flags in (enum.Flag, enum.IntFlag, type(re.I)):
            for method in (flags.__or__, flags.__ror__):
                try:
                    reached.append(method(Q, Q))
                except AttributeError as error:
                    refused = error
        raise refused
        """,
        foreign("Flag.__or__"),
    ),
    "traceback_of_a_class": Attack(
        """
        import traceback
        class Q(Exception): pass
        Q.__cause__, Q.__suppress_context__ = None, True
        reached.append(traceback.TracebackException.from_exception(Q, limit=0, compact=True).exc_type)
        """,
        foreign("TracebackException.__init__"),
    ),
    "optparse_module": Attack(
        """
        import optparse
        class Seeing:
            def _update(self, values, mode): reached.append(values)
        optparse.Values.read_module(Seeing(), 'os')
        """,
        "Values.read_module is not allowed: it hands on a whole module. No setting allows it.",
    ),
    "optparse_file": Attack(
        "import optparse\nreached.append(optparse.Values().read_file('/etc/passwd'))",
        "Values.read_file is not allowed: it runs text as code. No setting allows it.",
    ),
}


if sys.version_info >= (3, 12):
    ATTACKS["path"] = Attack(
        "import pathlib\nreached.append(pathlib.PurePath.with_segments(int, 'made', (), {'__getattribute__': reached}))",
        foreign("PurePathBase.with_segments" if sys.version_info[:2] == (3, 13) else "PurePath.with_segments"),
    )


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_foreign_objects(attack: Attack) -> None:
    """What shows or compares all that its object has shows nothing of a class."""
    check(attack)


def test_their_own_objects_work() -> None:
    """The same methods of their own objects, beside classes where those are values, do what they do."""
    check_nothing_reached(
        """
        import argparse, email.message, email.policy, logging, optparse, pprint, types
        space = argparse.Namespace(a=int)
        assert space == argparse.Namespace(a=int) and space != int and 'a' in space and int not in space
        assert repr(space) == "Namespace(a=<class 'int'>)"
        assert (optparse.Values({'a': 1}) == {'a': 1}, optparse.Values() == int) == (True, False)
        policy = email.policy.default.clone(message_factory=email.message.EmailMessage) + email.policy.strict
        assert policy.raise_on_defect
        assert pprint.pformat(types.SimpleNamespace(a=1)) == 'namespace(a=1)'
        for style, text in (('%', '%(message)s %(x)s'), ('{', '{message} {x}'), ('$', '$message $x')):
            record = logging.makeLogRecord({'msg': 'a %s', 'args': (int,), 'x': str})
            assert logging.Formatter(text, style=style).format(record) == "a <class 'int'> <class 'str'>"
        options = argparse.ArgumentParser()
        options.add_subparsers().add_parser('go').add_argument('--n', type=int, help='%(prog)s %(default)s')
        class Into: pass
        assert options.parse_args(['go', '--n', '3'], namespace=Into).n == 3
        assert 'go' in options.format_help()
        import collections, contextlib, enum, pathlib, re, traceback
        text = collections.UserString('a b')
        assert type(text.upper() + text[:1] * 2) is collections.UserString and 'x' + text == 'xa b'
        assert collections.UserList([int]).copy() + [str] == [int, str]
        assert collections.ChainMap({'a': int}).new_child({'b': 1}).parents['a'] is int
        assert collections.Counter('aab').copy() == collections.Counter(a=2, b=1)
        assert (re.I | re.M) & re.M == re.M and ~re.I & re.M == re.M
        @contextlib.contextmanager
        def managed(): yield
        @managed()
        def called(): return 1
        assert called() + called() == 2
        assert str(pathlib.PurePosixPath('a') / 'b') == 'a/b'
        try:
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise KeyError(1) from error
        except KeyError as error:
            assert traceback.TracebackException(type(error), error, None, limit=0).__cause__ is not None
        """
    )
