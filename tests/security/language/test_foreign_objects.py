"""A method of a library's takes anything for ``self``: a class has ``object.__getattribute__`` among its attributes, and
a module everything.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator

import pytest
from programs import Attack, by_id, check, check_nothing_reached

from reptarium.sandbox.language.packages.standard.holders import METHODS
from reptarium.sandbox.language.policy import stdlib


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


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_foreign_objects(attack: Attack) -> None:
    """What shows or compares all that its object has shows nothing of a class."""
    check(attack)


#: Why what reads ``__dict__`` or ``vars()`` may be called with anything.
HARMLESS = {
    "argparse._SubParsersAction.__call__": "it sets what it has read, under the task's rules",
    "collections.UserDict.__copy__": "a new object of the class is made first",
    "collections.UserList.__copy__": "a new object of the class is made first",
    "enum.Enum.__dir__": "names",
    "enum._proto_member.__set_name__": "of the class in whose body it stands",
    "functools.cached_property.__get__": "of the object that has it",
    "logging.Logger.makeRecord": "it looks for names only",
    "optparse.Values.read_module": "refused",
    "typing._BaseGenericAlias.__getattr__": "it looks for one name, and reads none of the interpreter's",
}
#: Packages of the standard library whose methods tasks reach, and of those the modules that nothing leads to.
TOPS = {name.partition(".")[0] for name in stdlib.OPEN} - {"http", "importlib"}
APART = ("logging.handlers", "logging.config")


def methods_of_whole_objects() -> Iterator[str]:
    """Methods whose code names ``__dict__`` or ``vars``, but for metaclasses'."""
    for name in sorted({*stdlib.OPEN, *stdlib.SUBMODULES} - stdlib.REFUSED.keys()):
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # of another Python
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] not in TOPS or name in APART or not isinstance(module, types.ModuleType):
            continue
        for cls in list(vars(module).values()):
            if not isinstance(cls, type) or cls.__module__ != name or issubclass(cls, type):
                continue
            for each, method in list(vars(cls).items()):
                code = getattr(method, "__code__", None)
                if type(method) is types.FunctionType and {"__dict__", "vars"} & set(code.co_names if code else ()):
                    yield f"{name}.{cls.__qualname__}.{each}"


def test_each_is_decided() -> None:
    """Whatever of the standard library reads all that its object has is guarded, or is known to be harmless."""
    check_nothing_reached("pass")  # hardens this process
    found = {
        name
        for name in methods_of_whole_objects()
        # no-op constructors of protocols, which look for another
        if not (name.startswith("typing.") and name.endswith((".__init__", ".__subclasshook__")))
    }
    assert found - HARMLESS.keys() == set()
    for module, classes in METHODS.items():
        for cls, methods in classes.items():
            for method in methods.split():
                guarded = getattr(vars(importlib.import_module(module))[cls], method)
                assert guarded.__code__.co_filename.endswith("holders.py"), (cls, method)


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
        """
    )
