"""A library reads, or sets, a name that a task stored in one of the library's objects: under the task's rules.

Each program would have got hold of something once (``json.dumps.__globals__``, the real ``posixpath``, memory of the
process), or put something where none of its statements may. All run in this interpreter, where a name that a library
spells itself stays its own business.
"""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec

import pytest
from programs import Attack, attribute, by_id, changing, check, check_nothing_reached, in_format

from reptarium.sandbox.language.hardening.readers import library_attrgetter, library_getattr, library_methodcaller

HOLDER = "parser" if sys.version_info >= (3, 13) else "_flavour"
#: Where numpy would find an address of memory.
ADDRESS = "{'__array_interface__': {'data': (id(5), True), 'shape': (2,), 'typestr': '<i8', 'version': 3}}"


def led(name: str) -> str:
    """The text of the refusal of an attribute that leads to a module."""
    return f"the attribute '{name}' is not allowed: it leads to a module that isn't allowed. No setting allows it."


READ = {
    "string_formatter": Attack(
        "import string, json\nreached.append(string.Formatter().get_field('0.__globals__', (json.dumps,), {}))",
        attribute("__globals__"),
    ),
    "formatter_of_logging": Attack(
        """
        import logging, json
        style = logging.Formatter('{msg}', style='{')._style
        style._fmt = '{msg.__globals__}'
        reached.append(style.format(logging.makeLogRecord({'msg': json.dumps})))
        """,
        in_format("__globals__"),
    ),
    "formatter_of_logging_that_changes": Attack(
        """
        import logging, json
        class Style(type(logging.Formatter('{msg}', style='{')._style)):
            asked = 0
            @property
            def _fmt(self):
                self.asked += 1
                return '{msg.__globals__}' if self.asked % 2 == 0 else '{msg}'
            @_fmt.setter
            def _fmt(self, text): pass
        record = logging.makeLogRecord({'msg': json.dumps})
        style = Style('')
        reached.extend(text for text in (style.format(record), style.format(record)) if 'built-in' in text)
        style.asked = 1
        style.format(record)
        """,
        in_format("__globals__"),
    ),
    "getattr_that_a_library_gives_away": Attack(
        """
        import json
        reached.append(given_away(json.dumps, '__globals__'))
        """,
        attribute("__globals__"),
    ),
    "getattr_given_away_and_mapped": Attack(
        """
        import json
        reached.extend(map(given_away, [json.dumps], ['__globals__']))
        """,
        attribute("__globals__"),
    ),
    "dataclass_compared": Attack(
        """
        import dataclasses, json
        class Equal:
            def __eq__(self, other): reached.append(other('{0.__globals__}', json.dumps))
        @dataclasses.dataclass(init=False)
        class Data:
            format: object
        class Text(str): pass
        a, b = Text('{1.__globals__}'), Text()
        b.format = Equal()
        Data.__eq__(a, b)
        """,
        in_format("__globals__"),
    ),
    "tarfile_open_meth": Attack(
        """
        import tarfile, io
        class Archive(tarfile.TarFile):
            OPEN_METH = {'tar': '__getattribute__'}
        reached.append(Archive.open('__dict__', 'r:tar', io.BytesIO()))
        """,
        attribute("__getattribute__"),
    ),
    "tarfile_open_meth_of_all": Attack(
        """
        import tarfile, io
        tarfile.TarFile.OPEN_METH['odd'] = '__reduce_ex__'
        reached.append(tarfile.open('x', 'r:odd', io.BytesIO()))
        """,
        attribute("__reduce_ex__"),
    ),
    "pandas_aggregation": Attack(
        "import pandas\nreached.append(pandas.Series([1]).agg('__reduce_ex__', 0, 2))", attribute("__reduce_ex__")
    ),
    "pandas_grouped": Attack(
        "import pandas\nf = pandas.DataFrame({'a': [1], 'b': [2]})\n"
        "reached.append(f.groupby('a').agg('__getattribute__', '__dict__'))",
        attribute("__getattribute__"),
    ),
    "pandas_styler": Attack(
        "import pandas, json\nf = pandas.DataFrame({'a': [json.dumps]}, dtype=object)\n"
        "reached.append(f.style.format('{0.__globals__}').to_html())",
        in_format("__globals__"),
    ),
    "pandas_styler_of_labels": Attack(
        "import pandas, json\nf = pandas.DataFrame({'a': [1]}, index=pandas.Index([json.dumps], dtype=object))\n"
        "reached.append(f.style.format_index('{0.__globals__}').to_html())",
        in_format("__globals__"),
    ),
    "pandas_float_format": Attack(
        "import pandas\nreached.append(pandas.DataFrame({'a': [1.5]}).to_csv(float_format='{0.__class__.__init__}'))",
        in_format("__class__"),
    ),
    "pandas_float_format_that_lies": Attack(
        """
        import pandas
        class Format(str):
            def __contains__(self, text): return False
            def format(self, *args): return super().format(*args)
        frame = pandas.DataFrame({'a': [1.5]})
        reached.append(frame.to_string(float_format=Format('{0.__class__.__init__}')))
        """,
        in_format("__class__"),
    ),
    "pydantic_numpy_true": Attack(
        """
        import numpy, pathlib
        from pydantic import BaseModel, Field
        class Model(BaseModel):
            model_config = {'from_attributes': numpy.bool_(True)}
            way: object = Field(None, alias='HOLDER')
        reached.append(Model.model_validate(pathlib.PurePosixPath('a')).way)
        """.replace("HOLDER", HOLDER),
        f"the field '{HOLDER}' is not allowed with from_attributes: it could lead to a module. Give the model a dict. "
        "No setting allows it.",
    ),
    "pydantic_computed": Attack(
        """
        import json
        from pydantic_core import SchemaSerializer
        computed = {'type': 'computed-field', 'property_name': '__globals__', 'return_schema': {'type': 'any'}}
        fields = {'type': 'model-fields', 'fields': {}, 'computed_fields': [computed]}
        reached.append(SchemaSerializer({'type': 'model', 'cls': dict, 'schema': fields}).to_python(json.dumps))
        """,
        "the field '__globals__' is not allowed: it belongs to the interpreter",
    ),
    "jinja_filter_in_an_open_environment": Attack(
        """
        import pandas, json
        shown = pandas.DataFrame({'a': [1]}).style.env.from_string("{{ '{0.__globals__}'.format(x) }}")
        reached.append(shown.render(x=json.dumps))
        """,
        in_format("__globals__"),
    ),
    "reduced_with_getattr": Attack(
        "import functools, json\nreached.append(functools.reduce(getattr, ['dumps', '__globals__'], json))",
        attribute("__globals__"),
    ),
}  # fmt: skip

if sys.version_info >= (3, 12):  # before, no path class carried a module, and no property a class
    READ["dataclass_replaced"] = Attack(
        """
        import dataclasses, pathlib, types
        @dataclasses.dataclass(init=False)
        class Path(pathlib.PurePosixPath):
            HOLDER: object
        @dataclasses.dataclass(init=False)
        class Odd(types.GenericAlias):
            def __new__(cls, *args, **kwargs):
                reached.extend(kwargs.values())
                return super().__new__(cls, *args)
        dataclasses.replace(Odd(Path, (int,)))
        """.replace("HOLDER", HOLDER),
        led(HOLDER),
    )
    READ["dataclass_compared_to_a_path"] = Attack(
        """
        import dataclasses, pathlib
        class Equal:
            def __eq__(self, other): reached.append(other)
            __gt__ = __eq__
        @dataclasses.dataclass(init=False, order=True)
        class Data:
            HOLDER: object
        class Path(pathlib.PurePosixPath): pass
        a, b = Path('a'), Path('b')
        b.HOLDER = Equal()
        Data.__lt__(a, b)
        """.replace("HOLDER", HOLDER),
        led(HOLDER),
    )
    READ["enum_property"] = Attack(
        """
        import enum, json
        descriptor = enum.property()
        class Odd:
            x = descriptor
        descriptor.fget, descriptor._attr_type, descriptor._cls_type = None, 'attr', json.dumps
        descriptor.name = '__globals__'
        reached.append(Odd().x)
        """,
        attribute("__globals__"),
    )
    READ["enum_property_of_a_value"] = Attack(
        """
        import enum, json
        descriptor = enum.property()
        class Odd:
            x = descriptor
            _value_ = json.dumps
        descriptor.fget, descriptor._attr_type = None, 'desc'
        descriptor.name = '__globals__'
        reached.append(Odd().x)
        """,
        attribute("__globals__"),
    )

SET = {
    "argparse": Attack(
        """
        import argparse, json
        options = argparse.ArgumentParser()
        options.add_argument('--x', dest='__kwdefaults__', type=lambda text: {'cls': print})
        options.parse_args(['--x', '1'], namespace=json.dumps)
        reached.append(json.dumps)
        """,
        changing("__kwdefaults__"),
    ),
    "argparse_class": Attack(
        """
        import argparse
        class Mine: pass
        options = argparse.ArgumentParser()
        options.add_argument('--x', dest='__class__', type=lambda text: Mine)
        reached.append(options.parse_args(['--x', '1']))
        """,
        changing("__class__"),
    ),
    "argparse_place_of_a_class": Attack(
        """
        import argparse
        class A: pass
        options = argparse.ArgumentParser()
        options.add_argument("--a", dest="__module__")
        options.parse_args(["--a", "os"], namespace=A)
        reached.append(A.__module__)
        """,
        changing("__module__"),
    ),
    "argparse_names_of_a_pattern": Attack(
        """
        import argparse
        class A: pass
        options = argparse.ArgumentParser()
        options.add_argument("--a", dest="__match_args__", default=("gi_frame",))
        options.parse_args([], namespace=A)
        reached.append(A.__match_args__)
        """,
        changing("__match_args__"),
    ),
    "argparse_namespace": Attack(
        f"import argparse, numpy\nreached.append(numpy.array(argparse.Namespace(**{ADDRESS})))",
        changing("__array_interface__"),
    ),
    "optparse": Attack(
        f"import optparse, numpy\nreached.append(numpy.array(optparse.Values({ADDRESS})))",
        changing("__array_interface__"),
    ),
    "log_record": Attack(
        f"import logging, numpy\nreached.append(numpy.array(logging.makeLogRecord({ADDRESS})))",
        changing("__array_interface__"),
    ),
    "log_record_of_own_class": Attack(
        f"""
        import logging, numpy
        class Record:
            def __init__(self, *args): pass
        logging.setLogRecordFactory(Record)
        try:
            reached.append(numpy.array(logging.makeLogRecord({ADDRESS})))
        finally:
            logging.setLogRecordFactory(logging.LogRecord)
        """,
        changing("__array_interface__"),
    ),
    "log_record_extra": Attack(
        f"import logging\nreached.append(logging.getLogger('x').makeRecord('', 1, '', 1, '', (), None, extra={ADDRESS}))",
        changing("__array_interface__"),
    ),
    "syntax_node": Attack(
        f"import ast, numpy, warnings\nwarnings.simplefilter('ignore')  # 3.13\nreached.append(numpy.array(ast.Name(**{ADDRESS})))",
        changing("__array_interface__"),
    ),
    "cached_property": Attack(
        f"""
        import functools, numpy
        cached = functools.cached_property(lambda self: {ADDRESS}['__array_interface__'])
        class Odd:
            x = cached
        cached.attrname = '__array_interface__'
        odd = Odd()
        odd.x
        reached.append(numpy.array(odd))
        """,
        changing("__array_interface__"),
    ),
}

#: Expressions that give an object which was told of an address. numpy takes it for an object like any other.
ADDRESSED = {
    "namespace": f"types.SimpleNamespace(**{ADDRESS})",
    "class_of_a_namespace": f"type(sys.implementation)(**{ADDRESS})",
    "own_namespace": f"type('Own', (types.SimpleNamespace,), {{}})(**{ADDRESS})",
    "copied_namespace": f"copy.copy(types.SimpleNamespace(**{ADDRESS}))",
    "loose_values": "loose()",
    "series": f"pandas.Series({{**{ADDRESS}, 'b': 1}}, dtype=object)",
    "pydantic_extra": f"Open(**{ADDRESS})",
    "pydantic_constructed": f"Open.model_construct(**{ADDRESS})",
    "pydantic_dataclass": f"OpenData(**{ADDRESS})",
    "pydantic_copied": f"Closed().model_copy(update={ADDRESS})",
}
_ADDRESSED = """
import copy, numpy, optparse, pandas, pydantic, sys, types
from pydantic.dataclasses import dataclass
class Open(pydantic.BaseModel):
    model_config = {"extra": "allow"}
class Closed(pydantic.BaseModel):
    pass
@dataclass(config={"extra": "allow"})
class OpenData:
    pass
def loose():
    values = optparse.Values()
    values._update_loose(ADDRESS)
    return values
array = numpy.array(EXPRESSION)
if array.dtype != object:
    reached.append(array)
"""


@pytest.mark.parametrize("attack", by_id(READ))
def test_names_that_are_read(attack: Attack) -> None:
    """A name that came to a library as data is read under the task's rules, whatever object it stands in."""
    check(attack, given_away=library_getattr)


@pytest.mark.parametrize("name", ["pickle_by_enum_name", "pickle_by_global_name"])
def test_enum_gives_no_getattr_away(name: str) -> None:
    """Called from C, in the place of a library that spells the name, it would mean it."""
    program = f"import enum\nclass Named: _name_ = 'x'\nreached.append(enum.{name}(Named(), 4)[0])"
    check(Attack(program, f"module 'enum' has no attribute '{name}'", AttributeError))


@pytest.mark.parametrize("attack", by_id(SET))
@pytest.mark.filterwarnings(
    "ignore:.* got an unexpected keyword argument:DeprecationWarning"
)  # syntax nodes, from 3.13
def test_names_that_are_set(attack: Attack) -> None:
    """A name that came to a library as data becomes no attribute that the interpreter or numpy would believe."""
    check(attack)
    assert json.dumps.__kwdefaults__ is not None
    assert "cls" in json.dumps.__kwdefaults__
    assert json.dumps.__kwdefaults__["cls"] is None


@pytest.mark.parametrize("expression", ADDRESSED.values(), ids=ADDRESSED)
def test_addresses_in_data(expression: str) -> None:
    """An object whose attributes came as data leads numpy to no memory."""
    check_nothing_reached(_ADDRESSED.replace("EXPRESSION", expression).replace("ADDRESS", ADDRESS))


NOTHING = {
    "yaml_dump_of_a_method": """
        import yaml, json
        class Seeing(yaml.Dumper):
            def represent_data(self, data):
                seen.append(data)
                return super().represent_data(data)
        seen = []
        for value in (json.JSONEncoder().encode, [].append, json.dumps, len, seen.append, json.JSONEncoder):
            try:
                yaml.dump(value, Dumper=Seeing)
            except (TypeError, yaml.YAMLError):
                pass
        reached.extend(each for each in seen if type(each).__name__ == 'module' or each is getattr(print, '__call__', 0))
        reached.extend(each for each in seen if str(each).startswith(('<module', '<built-in function getattr')))
        """,
    "jinja_in_an_open_environment": """
        import pandas, json
        render = pandas.DataFrame({'a': [1]}).style.env.from_string
        for text in ('{{ x.__globals__ }}', '{{ x|attr("__globals__") }}', '{{ [x]|map(attribute="__globals__")|list }}'):
            shown = render(text).render(x=json.dumps)
            if 'built-in' in shown:
                reached.append(shown)
        """,
    "xml_target": """
        from xml.etree import ElementTree
        class Target:
            def __getattr__(self, name):
                asked.append(name)
                return lambda *args: asked.extend(args)
        asked = []
        parser = ElementTree.XMLParser(target=Target())
        parser.feed('<a b="c">d<!-- e --><?f g?></a>')
        parser.close()
        reached.extend(each for each in asked if type(each) not in (str, dict))
        """,
    "json_hooks": """
        import json
        seen = []
        json.loads('{"__globals__": {"__class__": 1}}', object_hook=seen.append, object_pairs_hook=None)
        json.dumps({'a': len}, default=lambda value: seen.append(value))
        class Encoder(json.JSONEncoder):
            def default(self, value):
                seen.append(value)
        encoder = Encoder()
        encoder.item_separator = encoder.key_separator = ' '
        encoder.encode([print])
        reached.extend(each for each in seen if each not in (None, len, print) and type(each) is not dict)
        """,
    "csv_dialects": """
        import csv, io
        class Odd(csv.Dialect):
            delimiter, quotechar, lineterminator, quoting = ',', '"', '\\n', csv.QUOTE_MINIMAL
            def __getattr__(self, name):
                raise AttributeError(name)
        dialect = csv.reader(io.StringIO('a'), Odd()).dialect
        reached.extend(getattr(dialect, name) for name in dir(dialect) if callable(getattr(dialect, name)) and name[0] != '_')
        """,
    "configparser_converters": """
        import configparser
        seen = []
        parser = configparser.ConfigParser(converters={'__globals__': seen.append, 'odd': seen.append})
        parser.read_string('[a]\\nb=c')
        parser['a'].getodd('b')
        parser.getodd('a', 'b')
        reached.extend(each for each in seen if type(each) is not str)
        """,
    "sqlite_factories": """
        import sqlite3
        seen = []
        base = sqlite3.connect(':memory:')
        base.row_factory = lambda cursor, row: seen.append((cursor, row))
        base.text_factory = seen.append
        sqlite3.register_adapter(dict, seen.append)
        base.execute("select 'a' as __globals__").fetchall()
        base.row_factory = sqlite3.Row
        row = base.execute('select 1 as __globals__').fetchone()
        reached.extend(each for each in seen if type(each) not in (bytes, tuple))
        reached.extend([row['__globals__']] if row['__globals__'] != 1 else [])
        """,
    "syntax_fields_of_a_class": """
        import ast, json
        class Text(str): _fields = ('format', 'format_map')
        for owner in (Text, Text('{0.__globals__}')):
            for name, value in ast.iter_fields(owner):
                try:
                    reached.append(value('{0.__globals__}', json.dumps))
                except AttributeError:
                    pass
                except TypeError:  # format_map takes a mapping alone
                    pass
        """,
    "sorting_keys": """
        import functools, operator
        class Odd:
            def __lt__(self, other):
                seen.append(other)
                return True
        seen = []
        sorted([Odd(), Odd()], key=functools.cmp_to_key(lambda a, b: seen.append((a, b)) or 0))
        max([Odd(), Odd()], key=operator.itemgetter(0) if False else id)
        reached.extend(each for each in seen if type(each) not in (Odd, tuple))
        """,
    "html_and_email": """
        import email.policy, html.parser
        seen = []
        class Parser(html.parser.HTMLParser):
            def __getattr__(self, name):
                seen.append(name)
                return seen.append
        Parser().feed('<a b=c>&amp;')
        policy = email.policy.EmailPolicy().clone(**{'__class__': type('Mine', (email.policy.EmailPolicy,), {})})
        reached.extend(each for each in seen if type(each) is not str)
        """,
}


@pytest.mark.parametrize("program", NOTHING.values(), ids=NOTHING)
def test_objects_that_are_configured(program: str) -> None:
    """What hooks of libraries are given, and what a configured object shows, is the task's own data."""
    check_nothing_reached(program)


def test_libraries_read_on() -> None:
    """What a library spells itself it reads, and plain names of data it reads and sets, while a task runs."""
    check_nothing_reached(
        """
        import argparse, copy, dataclasses, enum, functools, logging, operator, optparse, types
        options = argparse.ArgumentParser()
        options.add_argument('--size', type=int, dest='size')
        space = options.parse_args(['--size', '3'])
        assert (space, vars(space)) == (argparse.Namespace(size=3), {'size': 3})
        values, rest = optparse.OptionParser().parse_args(['x'])
        assert rest == ['x']
        point = types.SimpleNamespace(x=1, y=types.SimpleNamespace(z=[]))
        assert repr(point) == 'namespace(x=1, y=namespace(z=[]))' and point == copy.deepcopy(point)
        assert type(point) is types.SimpleNamespace and isinstance(point, types.SimpleNamespace)
        assert logging.getLogger('x').makeRecord('', 1, '', 1, 'a %s', ('b',), None, extra={'c': 1}).c == 1
        class Lazy:
            @functools.cached_property
            def value(self): return [1]
        lazy = Lazy()
        assert lazy.value is lazy.value and vars(lazy) == {'value': [1]}
        """
    )


GETTERS = {
    "a getter": "import operator\ndef made(name): return operator.attrgetter(name)",
    "a getter of a path": "import operator\ndef made(name): return operator.attrgetter('x.' + name)",
    "a caller": "import operator\ndef made(name): return operator.methodcaller(name)",
}


@pytest.mark.parametrize("source", GETTERS.values(), ids=GETTERS)
def test_a_getter_that_a_library_makes(source: str) -> None:
    """A library's ``attrgetter`` or ``methodcaller`` is made of names that it spells, or that a task may read."""
    others, own = ({"__name__": "library", "__spec__": ModuleSpec("library", None)} for _ in range(2))
    exec(source, others)  # noqa: S102 - a library's module
    exec(f"{source}\nNAMES = ['__globals__']", own)  # noqa: S102
    check(Attack("reached.append(made('__globals__'))", attribute("__globals__")), made=others["made"])
    check_nothing_reached("made('__globals__')", made=own["made"])
    check_nothing_reached("made('real')", made=others["made"])


def test_what_every_module_has_is_no_table_of_its_own() -> None:
    """The builtins' names (``type`` and ``format`` among them) stand in each module's namespace: no library means them."""

    class Library:
        type = __import__("os")

    namespace = {"getattr": library_getattr, "__name__": "library", "__builtins__": vars(__import__("builtins"))}
    exec("def read(value, name):\n    return getattr(value, name)\n", namespace)  # noqa: S102 - as a module is run
    check(Attack("reached.append(read(value, 'type'))", led("type")), read=namespace["read"], value=Library())
    check(Attack("reached.append(read(value, '__spec__'))", attribute("__spec__")), read=namespace["read"], value=json)


def test_readers_that_a_library_makes_of_a_name() -> None:
    """Data lies under ``type`` in libraries, and modules: what it leads to is looked at, not the name."""

    class Library:
        type, parser, nested = "data", sys, None

        def dump(self, value: int, *, more: int) -> int:
            return value + more

    Library.nested = Library  # type: ignore[assignment]
    made: dict[str, object] = {
        "attrgetter": library_attrgetter,
        "methodcaller": library_methodcaller,
        "__name__": "library",
    }
    exec("def getter(*names): return attrgetter(*names)\ndef caller(*a, **k): return methodcaller(*a, **k)\n", made)  # noqa: S102
    names = {"getter": made["getter"], "caller": made["caller"], "value": Library()}
    check_nothing_reached(
        """
        found = [getter('type')(value), getter('type', 'nested.type')(value), caller('dump', 2, more=3)(value)]
        if found != ['data', ('data', 'data'), 5]: reached.append(found)
        """,
        **names,
    )
    check(Attack("reached.append(getter('parser')(value))", led("parser")), **names)
    check(Attack("reached.append(getter('nested.parser')(value))", led("parser")), **names)
    check(Attack("reached.append(getter('__globals__')(print))", attribute("__globals__")), **names)
    check(Attack("reached.append(caller('format', value)('{0.parser}'))", led("parser")), **names)
