"""Hostile programs for test_fuzz.py, as hypothesis strategies.

Three kinds of material: attacks on what is really there (every forbidden object that Python's own ``getattr`` would
reach from the objects of a prelude, by every way to read, show or take that we know, with the name in any spelling, at
any place in a program); expressions and statements at random; and the programs of the other language tests with such
expressions put in.
"""

from __future__ import annotations

import ast
import random
import sys
import textwrap
import warnings
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from forbidden import why_forbidden
from hypothesis import strategies as st

from reptarium.sandbox.language import LanguagePolicy, PolicyViolation, compile_task, make_namespace, run
from reptarium.sandbox.language.policy.names import DENIED_BUILTINS, may_write
from reptarium.sandbox.language.runtime.facades import importer

POLICY = LanguagePolicy(stdlib_allow=("*",), external_allow=("*",))
#: Attacks in one program.
STATEMENTS = 20

# ---- what programs are made of ----------------------------------------------------------------

HOSTILE = sorted(
    {
        *"__class__ __dict__ __globals__ __builtins__ __subclasses__ __mro__ __bases__ __base__ __code__ __closure__".split(),
        *"__self__ __func__ __wrapped__ __traceback__ __context__ __cause__ __import__ __loader__ __spec__".split(),
        *"__getattribute__ __reduce__ __reduce_ex__ __defaults__ __init__ __new__ __call__ __get__ __set__".split(),
        *"__init_subclass__ __set_name__ __class_getitem__ __match_args__ __annotations__ __module__ __name__".split(),
        *"__getattr__ __setattr__ __delattr__ __dir__ __slots__ __prepare__ __instancecheck__ __type_params__".split(),
        *"format format_map obj tb_frame gi_frame gi_code f_globals f_back f_locals f_builtins mro type _module".split(),
        *"sys os builtins pathmod _flavour parser ctypes modules path cell_contents".split(),
    }
)
PLAIN = (
    "args name value func fget fset registry dispatch register keywords data items keys values append update pop get "
    "real x m send throw close raw buffer stream file group string pattern cache_info strings fields default "
    "default_factory metadata exceptions object reason filename code msg text encoding errors _fields _asdict _replace "
    "_make _field_defaults strftime isoformat copy join split replace encode decode translate maketrans with_traceback "
    "add_note _name_ _value_ name __doc__ __qualname__ _data _value _evaluate __forward_arg__ resolve evaluate handlers "
    "manager root filters formatter emit handle makeRecord getMessage exc_info stack_info"
).split()
BUILTINS = (
    "type super object getattr setattr delattr hasattr vars dir isinstance issubclass callable iter next map filter zip "
    "sorted min max sum any all enumerate reversed list tuple dict set frozenset str repr ascii format bytes bytearray "
    "memoryview int property classmethod staticmethod slice print id hash len Exception BaseException AttributeError "
    "NameError KeyError StopIteration ExceptionGroup __import__"
).split()
#: Modules whose functions are called with anything; not those that change the process for the tests after (a child has
#: its own anyway) or that sleep.
MODULES = (
    "abc array ast base64 bisect calendar codecs collections collections.abc configparser contextlib contextvars copy csv "
    "dataclasses datetime decimal difflib email.message email.parser email.policy email.utils enum fractions functools "
    "graphlib heapq html.parser importlib io ipaddress itertools json logging math numbers operator os os.path pathlib "
    "pprint queue random re reprlib statistics string struct sys textwrap traceback types typing urllib.parse uuid "
    "warnings weakref xml.etree.ElementTree zipfile zoneinfo"
).split()
#: Some of what those objects have, so that more than half of what is asked for is there.
READS = """
    function.__name__ function.__doc__ function.__call__ function.__dict__ running.send running.throw running.close method.__call__
    Plain.mro Plain.__init__ Plain.__new__ Plain.__dict__ Plain.__call__ Plain.__name__ Plain.__setattr__ plain.__class__ plain.__dict__
    plain.m plain.__setattr__ plain.__delattr__ plain.__init_subclass__ plain.__format__ plain.__dir__ Text.format Text.join Text.maketrans
    error.args error.name error.add_note error.with_traceback error.__class__ error.__notes__ name_error.name data.__class__ Data.__init__
    Color.RED Color.__members__ Color.RED._value_ Color._value2member_map_ Color.mro Color._missing_ Color._generate_next_value_ row._asdict
    row._replace Row._make Row._fields Row._field_defaults formatter.vformat formatter.parse formatter.check_unused_args formatter.get_value
    encoder._style encoder._fmt encoder.converter encoder.format encoder.formatStack managed.__name__ dispatched.registry dispatched.dispatch
    dispatched.register partial.func partial.args partial.keywords prop.fget prop.getter prop.setter cached.cache_info cached.cache_parameters
    user.data user.format user.format_map getter.__call__ made.__class__ builtin.__call__ builtin.__name__ typing.Type typing.Generic typing.Any
    typing.ForwardRef typing.get_type_hints typing.Protocol types.FunctionType types.ModuleType types.MethodType types.SimpleNamespace
    enum.Enum abc.ABC functools.partial functools.wraps functools.cached_property operator.attrgetter operator.methodcaller
    string.Formatter collections.UserString contextlib.ExitStack contextlib.contextmanager weakref.ref copy.copy copy.deepcopy
    dataclasses.fields dataclasses.asdict dataclasses.Field logging.LogRecord logging.Formatter logging.getLogger io.StringIO os.path
    traceback.format_exc traceback.format_exception traceback.format_tb json.JSONEncoder json.loads json.dumps csv.DictReader pathlib.PurePath
    xml.etree.ElementTree.XMLParser html.parser.HTMLParser configparser.ConfigParser importlib.import_module sys.implementation random.Random
""".split()
#: Calls without an end or a bound, or that wait.
ENDLESS = {
    "itertools.count", "itertools.cycle", "itertools.repeat", "itertools.product", "itertools.permutations",
    "itertools.combinations", "itertools.combinations_with_replacement", "math.factorial", "math.comb", "math.perm",
    "math.pow", "operator.pow", "operator.ipow", "operator.lshift", "operator.ilshift", "random.randbytes", "time.sleep",
    "os.urandom",
}  # fmt: skip


def _calls() -> list[str]:
    """``module.name`` of everything callable in those modules' façades."""
    found = []
    for module in MODULES:
        facade = importer(POLICY).facade(module)
        for name in dir(facade):
            if not name.startswith("_") and callable(getattr(facade, name)) and f"{module}.{name}" not in ENDLESS:
                found.append(f"{module}.{name}")
    return found


#: Objects that every program starts with, under their names.
PRELUDE = """
import functools, operator, dataclasses, enum, string, typing, contextlib, collections, logging, pathlib

def function(x=1, *args, **kwargs) -> "int":
    return x
def generator():
    x = yield 1
    yield x
def closure(x):
    return lambda: x
class Plain:
    '''doc'''
    x = 1
    def m(self, *args): return self
class Text(str):
    def __eq__(self, other): return True
    def __hash__(self): return 1
    def __str__(self): return '__class__'
class Asked:
    def __getattr__(self, name): keep(name); return self
    def __call__(self, *args, **kwargs): keep(args); keep(kwargs); return self
    def __getitem__(self, key): keep(key); raise IndexError
    def __iter__(self): return iter([self])
    def __enter__(self): return self
    def __exit__(self, *args): keep(args); return True
    def __format__(self, spec): keep(spec); return spec
class Told:
    def __init__(self, *args, **kwargs): keep(args)
    def __setattr__(self, name, value): keep(value)
    def __set_name__(self, owner, name): keep(owner)
    def __init_subclass__(cls, **kwargs): keep(cls); keep(kwargs)
    def __class_getitem__(cls, item): keep(item); return cls
class Descriptor:
    def __get__(self, instance, owner): keep(instance); return self
    def __set__(self, instance, value): keep(value)
@dataclasses.dataclass
class Data:
    x: int = 1
    obj: object = None
class Color(enum.Enum):
    RED = 1
class Row(typing.NamedTuple):
    x: int = 1
class Formatter(string.Formatter):
    def get_value(self, key, args, kwargs): keep(args); return function
    def format_field(self, value, spec): keep(value); return ''
    def convert_field(self, value, conversion): keep(value); return value
class Encoder(logging.Formatter):
    def formatException(self, info): keep(info); return ''
@contextlib.contextmanager
def managed():
    yield generator
@functools.wraps(function)
def wrapped(*args): return args
@functools.singledispatch
def dispatched(x): return x
try:
    (1).nope
except AttributeError as e:
    error = e
try:
    nothing
except NameError as e:
    name_error = e
running = generator()
next(running)
return dict(
    function=function, generator=generator, closure=closure(1), Plain=Plain, plain=Plain(), Text=Text, asked=Asked(),
    Told=Told, told=Told(), Descriptor=Descriptor, data=Data(), Data=Data, Color=Color, row=Row(), Row=Row,
    formatter=Formatter(), encoder=Encoder(), managed=managed, wrapped=wrapped, dispatched=dispatched, error=error,
    name_error=name_error, running=running, method=Plain().m, builtin=len, bound=[].append, partial=functools.partial(function, 1),
    made=dataclasses.make_dataclass('Made', ['a'])(1), getter=operator.attrgetter('x'), user=collections.UserString('{0.x}'),
    cached=functools.lru_cache(function), prop=property(function), path=pathlib.PurePosixPath('a'),
)
"""
OBJECTS = (
    "function generator closure Plain plain Text asked Told told Descriptor data Data Color row Row formatter encoder managed "
    "wrapped dispatched error name_error running method builtin bound partial made getter user cached prop"
).split()
VARIABLES = ["v0", "v1", "v2", "v3"]


def _one_of(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


def _filled(template: str, **parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """``template`` with its fields drawn."""
    return st.builds(lambda **drawn: template.format(**drawn), **parts)


hostile_names = st.sampled_from(HOSTILE)
attributes = st.one_of(*[st.sampled_from(PLAIN)] * 5, hostile_names)


def _spellings(name: str) -> list[str]:
    """Expressions whose value is this name, or claims to be."""
    half = len(name) // 2
    return [
        repr(name),
        f"{name[:half]!r} + {name[half:]!r}",
        f"''.join([{name[:half]!r}, {name[half:]!r}])",
        f"{name[::-1]!r}[::-1]",
        f"'%s{name[half:]}' % {name[:half]!r}",
        f'f"{{{name[:half]!r}}}{name[half:]}"',
        f"{name.encode()!r}.decode()",
        f"Text({name!r})",
        f"{name.upper()!r}.lower()",
        f"'{{}}'.format({name!r})",
        f"str({name!r})",
        f"{name!r} if v0 else ''",
    ]


name_texts = st.one_of(
    hostile_names.flatmap(lambda name: st.sampled_from(_spellings(name))), hostile_names.map(repr), attributes.map(repr)
)
atoms = st.one_of(
    *[st.sampled_from(OBJECTS)] * 4,
    *[st.sampled_from(READS)] * 4,
    *[st.sampled_from(BUILTINS)] * 2,
    *[st.sampled_from(sorted(_calls()))] * 2,
    st.sampled_from(VARIABLES),
    st.sampled_from(MODULES),
    name_texts,
    _one_of(
        "0",
        "1",
        "-1",
        "None",
        "True",
        "''",
        "'a'",
        "b'a'",
        "[]",
        "()",
        "{}",
        "...",
        "'{0}'",
        "1.5",
        "'%s'",
        "lambda *a: keep(a)",
    ),
)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    calls = st.sampled_from(sorted(_calls()))
    return st.one_of(
        _filled("{x}.{n}", x=inner, n=attributes),
        _filled("{x}.{n}({y})", x=inner, n=attributes, y=inner),
        *[_filled("{x}({y})", x=inner, y=inner)] * 3,
        _filled("{x}({y}, {z})", x=inner, y=inner, z=inner),
        _filled("{f}({x})", f=calls, x=inner),
        _filled("{f}({x}, {y})", f=calls, x=inner, y=inner),
        _filled("{f}({x}, {y}, {z})", f=calls, x=inner, y=inner, z=inner),
        _filled("{f}({x}, key={y})", f=st.one_of(calls, _one_of("sorted", "min", "max")), x=inner, y=inner),
        _filled("getattr({x}, {n})", x=inner, n=name_texts),
        _filled("getattr({x}, {n}, None)", x=inner, n=name_texts),
        _filled("{f}({x})", f=_one_of("type", "vars", "dir", "list", "next", "iter", "str", "repr", "id", "super"), x=inner),
        _filled("('{{0.' + {n} + '}}').format({x})", n=name_texts, x=inner),
        _filled("('{{a.' + {n} + '}}').format_map({{'a': {x}}})", n=name_texts, x=inner),
        _filled("str.format('{{0.' + {n} + '}}', {x})", n=name_texts, x=inner),
        _filled("'{{0:{{1.{n}}}}}'.format(1, {x})", n=attributes, x=inner),
        _filled("formatter.format('{{0.' + {n} + '}}', {x})", n=name_texts, x=inner),
        _filled("formatter.get_field({n}, [{x}], {{}})", n=name_texts, x=inner),
        _filled("string.Formatter.get_field(formatter, '0.' + {n}, ({x},), {{}})", n=name_texts, x=inner),
        _filled("f'{{{x}!r:>{{{y}}}}}'", x=_one_of("v0", "v1", "error", "plain"), y=_one_of("v0", "1")),
        _filled("operator.attrgetter({n})({x})", n=name_texts, x=inner),
        _filled("operator.methodcaller({n}, {y})({x})", n=name_texts, x=inner, y=inner),
        _filled("functools.reduce(getattr, [{n}, {m}], {x})", n=name_texts, m=name_texts, x=inner),
        _filled("functools.partial({x}, {y})({z})", x=inner, y=inner, z=inner),
        _filled("list(map({x}, [{y}], [{z}]))", x=inner, y=inner, z=inner),
        _filled("[{x} for {v} in [{y}]]", x=inner, v=st.sampled_from(VARIABLES), y=inner),
        _filled("{{{x}: {y} for {v} in {z}}}", x=inner, y=inner, v=st.sampled_from(VARIABLES), z=inner),
        _filled("list({x} for {v} in [{y}] if {z})", x=inner, v=st.sampled_from(VARIABLES), y=inner, z=inner),
        _filled("({v} := {x})", v=st.sampled_from(VARIABLES), x=inner),
        _filled("(lambda {v}, /, *a, **k: {x})({y})", v=st.sampled_from(VARIABLES), x=inner, y=inner),
        _filled("({x} if {y} else {z})", x=inner, y=inner, z=inner),
        _filled("({x} {o} {y})", x=inner, o=_one_of("or", "and", "==", "in", "is", "+", "%", "|", "<", "@"), y=inner),
        _filled("{x}[{y}]", x=inner, y=inner),
        _filled("[*{x}, {y}]", x=inner, y=inner),
        _filled("{{'a': {x}, **{y}}}", x=inner, y=inner),
        _filled("{x}(*{y}, **{z})", x=inner, y=inner, z=inner),
        _filled("{x}({n}={y})", x=inner, n=st.sampled_from(PLAIN), y=inner),
        _filled("__import__({n})", n=st.one_of(name_texts, st.sampled_from([repr(m) for m in (*MODULES, "subprocess", "gc")]))),
        _filled("importlib.import_module({n})", n=name_texts),
        _filled("typing.ForwardRef({n})", n=name_texts),
        _filled("enum.Enum({n}, {m})", n=name_texts, m=st.one_of(name_texts, inner)),
        _filled("collections.namedtuple('N', [{n}])({x})", n=name_texts, x=inner),
        _filled("dataclasses.make_dataclass('M', [{n}, ('b', {x}, {y})])", n=name_texts, x=inner, y=inner),
        _filled("dataclasses.replace({x}, {n}={y})", x=inner, n=attributes, y=inner),
        _filled("copy.{f}({x})", f=_one_of("copy", "deepcopy"), x=inner),
        _filled("dispatched.register({x}, {y})", x=inner, y=inner),
    )  # fmt: skip


#: One attack on one object, or something deeper that mostly goes wrong on the way.
expressions = st.one_of(_compound(st.sampled_from([*OBJECTS, *READS])), st.recursive(atoms, _compound, max_leaves=6))
methods = st.one_of(
    *[_one_of(
        "__init__", "__getattr__", "__setattr__", "__get__", "__set__", "__set_name__", "__call__", "__eq__", "__hash__", "__str__",
        "__init_subclass__", "__class_getitem__", "__format__", "__enter__", "__exit__", "__iter__", "__contains__", "__bool__",
        "__len__", "__index__", "__add__", "__del__", "__fspath__", "__post_init__", "__copy__", "__deepcopy__", "m", "emit", "handle",
        "default", "get_value", "format", "write", "read", "key", "_missing_", "_generate_next_value_", "_evaluate",
    )] * 5,
    *[st.sampled_from(PLAIN)] * 2,
    hostile_names,
)  # fmt: skip


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    x = y = z = inner
    v = st.sampled_from(VARIABLES)
    n = attributes
    anything = st.one_of(v, v, v, hostile_names, st.sampled_from(sorted(DENIED_BUILTINS)))
    return st.one_of(
        *[_filled("keep({x})", x=x)] * 4,
        *[_filled("{v} = {x}", v=v, x=x)] * 2,
        _filled("keep({x})", x=st.sampled_from(sorted(DENIED_BUILTINS))),
        _filled("{v}: {x} = {y}", v=v, x=x, y=y),
        _filled("{v}, *{w} = {x}", v=v, w=anything, x=x),
        _filled("{v} += {x}", v=v, x=x),
        _filled("{x}.{n} = {y}", x=st.sampled_from(OBJECTS), n=n, y=y),
        _filled("{x}.{n} += {y}", x=st.sampled_from(OBJECTS), n=n, y=y),
        _filled("setattr({x}, {n}, {y})", x=x, n=name_texts, y=y),
        _filled("vars({x})[{n}] = {y}", x=x, n=name_texts, y=y),
        _filled("object.__setattr__({x}, {n}, {y})", x=x, n=name_texts, y=y),
        _filled("{x}[{y}] = {z}", x=st.sampled_from(OBJECTS), y=y, z=z),
        _filled("del {x}", x=st.one_of(v, _filled("{o}.{n}", o=st.sampled_from(OBJECTS), n=n))),
        _filled("import {m} as {v}", m=st.sampled_from([*MODULES, "subprocess", "builtins", "ctypes", "gc"]), v=anything),
        _filled("from {m} import {n} as {v}", m=st.sampled_from(MODULES), n=n, v=anything),
        _filled("for {v} in {x}:\n    keep({v})\n    break", v=v, x=x),
        _filled("with {x} as {v}:\n    keep({v})\n    {y}", x=x, v=v, y=y),
        _filled("try:\n    {x}\nexcept {y} as {v}:\n    keep({v}.{n})", x=x, y=_one_of("Exception", "BaseException"), v=v, n=n),
        _filled("try:\n    raise {x} from {y}\nfinally:\n    keep({z})", x=x, y=y, z=z),
        _filled("match {x}:\n    case {c}({n}=v0):\n        keep(v0)\n    case {{'a': v0, **v1}}:\n        keep(v1)\n    case [v0, *v1]:\n        keep(v1)",
                x=x, c=_one_of("Plain", "AttributeError", "object", "Row", "type", "str", "Told"), n=n),
        _filled("match {x}:\n    case {c}(v0, v1) | {c}(v0, v1):\n        keep(v0)\n    case {m}:\n        keep(v2)",
                x=x, c=_one_of("Row", "Data", "Plain", "typing.NamedTuple", "error"), m=_one_of("v2", "1 as v2", "_ as v2", "error.obj")),
        _filled("class {k}({b}):\n    {n} = {x}\n    def {f}(self, *args, **kwargs):\n        keep(self); keep(args); keep(kwargs); return {y}\n    v1 = property({f})\nv2 = {k}\nkeep({k}({z}))",
                k=_one_of("A", "Text", "v0"), b=st.one_of(_one_of("", "Told", "Asked", "Text", "Data", "Row", "dict", "str", "Exception"), x),
                n=st.one_of(v, methods), f=methods, x=x, y=y, z=z),
        _filled("@{x}\nclass A:\n    a: {y} = {z}\nkeep(A)", x=x, y=y, z=z),
        _filled("@{x}\ndef {f}({v}, /, *args: {y}, k={z}) -> {y}:\n    global {g}\n    keep({v}); keep(args)\n    return {z}\nkeep({f}(1, 2))",
                x=x, f=_one_of("h", "v2"), v=_one_of("a", "b"), g=_one_of("v3", "keep", "__name__", "v1"), y=y, z=z),
        _filled("def h():\n    v0 = yield {x}\n    keep(v0)\n    yield from {y}\nfor v1 in h():\n    keep(v1)\n    break", x=x, y=y),
        _filled("running.{f}({x})", f=_one_of("send", "throw", "close"), x=x),
        _filled("class A:\n    __match_args__ = ({n},)\n    __slots__ = ({m},)\nkeep(A())", n=name_texts, m=name_texts),
        _filled("type A[T: {x}] = {y}\nkeep(A.__value__)" if sys.version_info >= (3, 12) else "keep({x}); keep({y})", x=x, y=y),
        _filled("return {x}", x=x),
    )  # fmt: skip


# ---- attacks on what is really there ------------------------------------------------------------


_PRELUDE: CodeType = compile_task(PRELUDE, POLICY)


def objects() -> dict[str, Any]:
    """What the prelude makes, and the modules: the names that every program starts with."""
    made: Any = run(_PRELUDE, make_namespace(POLICY, {"keep": [].append}))
    try:
        raise AttributeError("of a library", obj=sys)
    except AttributeError as error:
        made["library_error"] = error.with_traceback(None)
    return {name.partition(".")[0]: importer(POLICY).import_(name, False) for name in MODULES} | made


def _treasures(depth: int) -> list[tuple[str, tuple[str, ...]]]:
    """Forbidden objects that Python's own ``getattr`` would reach from the prelude's: where from, by which names."""
    found = [("closure", ("__closure__",))]
    seen: set[int] = set()
    level = [(name, (), value) for name, value in objects().items() if not isinstance(value, ModuleType)]
    for _ in range(depth):
        below = []
        for base, path, value in level:
            for name in sorted({*dir(value), *(dir(type(value)) if isinstance(value, type) else ())}):
                try:
                    inner = getattr(value, name)
                except Exception:  # Color.nope
                    continue
                if why_forbidden(inner):
                    found.append((base, (*path, name)))
                elif id(inner) not in seen and not isinstance(inner, (str, int)):
                    seen.add(id(inner))
                    below.append((base, (*path, name), inner))
        level = below
    return found


def _module_treasures() -> list[tuple[str, str]]:
    """Forbidden objects among the names of the real modules."""
    return [
        (module, name)
        for module in MODULES
        for name, value in vars(sys.modules[module]).items()
        if why_forbidden(value) and (name == "__builtins__" or not name.startswith("__"))
    ]


TREASURES = _treasures(2)
_BY_NAME: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
for _treasure in TREASURES:
    _BY_NAME.setdefault(_treasure[1][-1], []).append(_treasure)
MODULE_TREASURES = _module_treasures()

#: Those that stand under a name which may be assigned.
_ASSIGNABLE = [treasure for treasure in TREASURES if may_write(treasure[1][-1])]

#: Ways to read an attribute ``p`` of ``x``; ``n`` is the name as an expression.
STEPS = [
    "{x}.{p}", "{x}.{p}", "getattr({x}, {n})", "getattr({x}, {n}, None)", "operator.attrgetter({n})({x})", "functools.reduce(getattr, [{n}], {x})",
    "functools.partial(getattr, {x})({n})", "list(map(getattr, [{x}], [{n}]))[0]", "formatter.get_field('0.' + {n}, ({x},), {{}})[0]",
    "string.Formatter().get_field('0.' + {n}, ({x},), {{}})[0]", "string.Formatter.get_field(plain, 'm.' + {n}, (), {{}})", "vars({x})[{n}]",
    "{x}.__dict__[{n}]", "vars(type({x}))[{n}]", "type({x}).__dict__[{n}]", "object.__getattribute__({x}, {n})", "super(type({x}), {x}).{p}",
    "operator.methodcaller('__getattribute__', {n})({x})", "(lambda v, /, *a: v.{p})({x})", "[v.{p} for v in [{x}]][0]", "(v0 := {x}).{p}",
    "functools.cached_property(operator.attrgetter({n})).func({x})", "property(operator.attrgetter({n})).fget({x})", "types.MethodType(getattr, {x})({n})",
    "getattr(weakref.proxy({x}), {n})", "weakref.proxy({x}).{p}", "copy.copy({x}).{p}", "copy.deepcopy({x}).{p}", "types.SimpleNamespace(a={x}).a.{p}",
    "collections.ChainMap(vars({x}))[{n}]", "dataclasses.replace(Data(), obj={x}).obj.{p}", "dataclasses.asdict(Data(obj={x}))['obj'].{p}",
    "next(getattr(v, {n}) for v in [{x}])", "contextlib.nullcontext({x}).enter_result.{p}", "{x}.__getattribute__({n})", "type({x}).__getattribute__({x}, {n})",
    "functools.partialmethod(getattr).func({x}, {n})", "operator.itemgetter({n})(vars({x}))", "getattr(super(type({x}), {x}), {n})", "dict(vars({x}))[{n}]",
    "enum.Enum('E', {{'a': {x}}}).a.value.{p}", "type(getter)({n})({x})", "functools.singledispatch(operator.attrgetter({n}))({x})", "typing.cast(int, {x}).{p}",
    "functools.lru_cache(operator.attrgetter({n}))({x})", "contextlib.closing({x}).thing.{p}", "max([{x}], key=lambda v: keep(getattr(v, {n})) or 1)", "{x}[{n}]",
    "logging.LoggerAdapter({x}).logger.{p}", "functools.wraps({x}, ({n},))(Told)", "collections.UserDict(vars({x}))[{n}]", "getattr({x}, {n}.strip())",
]  # fmt: skip
#: Ways to read a dotted path ``d``, an expression, of ``x``, or to have it shown as text.
PATHS = [
    "operator.attrgetter({d})({x})", "functools.reduce(getattr, ({d}).split('.'), {x})", "('{{0.' + {d} + '}}').format({x})", "str.format('{{0.' + {d} + '}}', {x})",
    "('{{a.' + {d} + '}}').format_map({{'a': {x}}})", "str.format_map('{{a.' + {d} + '}}', {{'a': {x}}})", "Text('{{0.' + {d} + '}}').format({x})",
    "Text.format('{{0.' + {d} + '}}', {x})", "('{{0:{{1.' + {d} + '}}}}').format(1, {x})", "('{{0!s:{{1.' + {d} + '}}}}').format(asked, {x})", "('{{.' + {d} + '}}').format({x})",
    "formatter.format('{{0.' + {d} + '}}', {x})", "string.Formatter().vformat('{{0.' + {d} + '}}', ({x},), {{}})", "formatter.get_field('0.' + {d}, ({x},), {{}})",
    "collections.UserString('{{0.' + {d} + '}}').format({x})", "collections.UserString('{{a.' + {d} + '}}').format_map({{'a': {x}}})", "getattr('{{0.' + {d} + '}}', 'for' + 'mat')({x})",
    "super(Text, Text('{{0.' + {d} + '}}')).format({x})", "list(map(('{{0.' + {d} + '}}').format, [{x}]))", "list(map(str.format, ['{{0.' + {d} + '}}'], [{x}]))",
    "vars(str)['format']('{{0.' + {d} + '}}', {x})", "operator.methodcaller('format', {x})('{{0.' + {d} + '}}')", "operator.attrgetter('format')('{{0.' + {d} + '}}')({x})",
    "functools.partial(str.format, '{{0.' + {d} + '}}')({x})", "type('').format('{{0.' + {d} + '}}', {x})", "('{{0[0].' + {d} + '}}').format([{x}])", "('{{0.' + {d} + '.x}}').format({x})",
    "('{{0.' + {d} + '[0]}}').format({x})", "logging.Formatter('{{a.' + {d} + '}}', style='{{').format(types.SimpleNamespace(a={x}, getMessage=print, exc_info=None, exc_text='', stack_info=''))",
    "logging.Formatter(style='{{', fmt='{{a.' + {d} + '}}', validate=False)._style._format(types.SimpleNamespace(a={x}))", "format({x}, '{{0.' + {d} + '}}')", "asked.__format__('{{0.' + {d} + '}}')",
    "string.Template('${{a.' + {d} + '}}').safe_substitute(a={x})", "('%(a.' + {d} + ')s') % vars({x})", "typing.ForwardRef('v0.' + {d})", "list[{d}]", "typing.List['v0.' + {d}]",
]  # fmt: skip
#: Statements that read an attribute ``p`` of ``x``.
READING = [
    "match {x}:\n    case object({p}=v0):\n        keep(v0)", "match {x}:\n    case Plain({p}=v0) | Exception({p}=v0):\n        keep(v0)",
    "class Q(type({x})):\n    __match_args__ = ({n},)\nmatch {x}:\n    case Q(v0):\n        keep(v0)\nmatch Q():\n    case Q(v0):\n        keep(v0)",
    "class Q(abc.ABC):\n    __match_args__ = ('{p}',)\nQ.register(type({x}))\nmatch {x}:\n    case Q(v0):\n        keep(v0)",
    "@dataclasses.dataclass\nclass Q(abc.ABC):\n    {p}: int = 1\nQ.register(type({x}))\nmatch {x}:\n    case Q(v0):\n        keep(v0)\nkeep(dataclasses.asdict({x}))",
    "functools.update_wrapper(told, {x}, ({n},), ())", "functools.wraps({x}, ({n},), ())(told)", "contextlib.wraps({x}, assigned=({n},))(told)", "functools.wraps({x})(told)",
    "class Q:\n    a = property(operator.attrgetter({n}))\n    b = operator.attrgetter({n})\nkeep(Q.a.fget({x})); keep(Q.b({x})); keep(Q().b({x}))",
    "class Q({x} if isinstance({x}, type) else type({x})):\n    def m(self):\n        keep(super().{p}); keep(getattr(super(), {n}))\nQ().m(); Q.m(Q)",
    "for v0 in dir({x}):\n    keep(getattr({x}, v0, None))", "keep([getattr({x}, v0) for v0 in dir({x}) if v0 == {n}])", "def h(v0={x}.{p}): return v0\nkeep(h())",
    "class Q(string.Formatter):\n    def get_value(self, *a): return {x}\nkeep(Q().get_field('0.' + {n}, (), {{}}))\nkeep(Q().format('{{0.' + {n} + '}}'))",
    "try:\n    raise ValueError({x}) from error\nexcept ValueError as v0:\n    keep(v0.{p}); keep(getattr(v0, {n}))", "keep({x}.{p}.{p})", "del {x}.{p}", "{x}.{p} = keep\nkeep({x}.{p})",
    "class Q:\n    def __set_name__(self, owner, name): keep(getattr(owner, {n}))\nclass R({x} if isinstance({x}, type) else object):\n    q = Q()",
    "class Q(type({x})):\n    {p} = 1\n    def h(self): return self.{p}\nkeep(Q.{p}); keep(Q.h({x}))", "operator.setitem(vars(told), 'a', {x})\nkeep(told.a.{p})",
    "class Q(types.SimpleNamespace): pass\nkeep(Q(**{{{n}: {x}}})); keep(copy.copy(Q(**{{{n}: 1}})))", "setattr(told, {n}, {x})", "type.__setattr__(Told, {n}, {x})",
]  # fmt: skip
#: Statements that take a module's name ``p``.
HOPS = [
    "import {m}\nkeep({m}.{p})", "from {m} import {p} as v0\nkeep(v0)", "keep(getattr({m}, {n}))", "keep(importlib.import_module('{m}').{p})", "keep(__import__('{m}', fromlist=['x']).{p})",
    "keep(operator.attrgetter({n})({m}))", "keep(vars({m})[{n}])", "keep(('{{0.' + {n} + '}}').format({m}))", "match {m}:\n    case object({p}=v0):\n        keep(v0)", "import {m}.{p} as v0\nkeep(v0)",
    "keep({m}.__getattr__({n}))", "keep({m}.__dict__[{n}])", "class A:\n    from {m} import {p} as v0\nkeep(A.v0)", "keep(functools.reduce(getattr, [{n}], {m}))", "keep({m}.{p}.__class__)",
    "keep([getattr({m}, v0) for v0 in dir({m})])", "keep(copy.copy({m}).{p})", "keep(importlib.import_module('{m}.' + {n}))", "keep(getattr(importlib.import_module('{m}'), {n}, None))",
    "keep(types.ModuleType.__getattribute__({m}, {n}))", "keep(typing.ForwardRef({n}, module='{m}'))", "class Q:\n    x: '{m}.{p}'\nkeep(dataclasses.fields(dataclasses.dataclass(Q)))",
]  # fmt: skip
#: Statements that take a builtin ``b`` that tasks don't have.
TAKING = [
    "keep({b})", "class A:\n    {b} = 1\nkeep({b})", "def h():\n    return {b}\nkeep(h())", "try:\n    keep({b})\nexcept NameError:\n    {b} = 1", "keep((lambda: {b})())", "keep([{b} for v0 in [1]])",
    "import builtins\nkeep(builtins.{b})", "keep(__builtins__['{b}'])", "if not v0:\n    {b} = 1\nkeep({b})", "def h({b}=None):\n    return {b}\ndef i():\n    return {b}\nkeep(i())", "keep(__import__('builtins').{b})",
    "def h():\n    global {b}\n    keep({b})\nh()", "class A:\n    def {b}(self): return {b}\nkeep(A().{b}())", "keep(getattr(print, '__self__'))", "keep(vars(builtin)['{b}'])", "keep(({b} for {b} in [1]))\nkeep({b})",
    "def h():\n    {b} = 1\n    def i():\n        nonlocal {b}\n        del {b}\n        return {b}\n    return i()\nkeep(h())", "match 1:\n    case {b}:\n        del {b}\n        keep({b})", "keep(typing.ForwardRef('{b}'))",
    "class A:\n    x: '{b}' = 1\nkeep(dataclasses.fields(dataclasses.dataclass(A)))", "@dispatched.register\ndef h(x: '{b}'): pass\nkeep(dispatched.registry)", "for {b} in []:\n    pass\nelse:\n    keep({b})",
]  # fmt: skip
#: What is on the right is given what was read on the left.
AUGMENTED = (
    "class Q:\n    def __radd__(self, other): keep(other)\n"
    "    __rsub__ = __rmul__ = __rmatmul__ = __rmod__ = __ror__ = __rand__ = __rxor__ = __rlshift__ = __radd__\n"
    "{x}.{p} {o}= Q()"
)
OPERATORS = ["+", "-", "*", "@", "%", "|", "&", "^", "<<"]
#: Statements that store a name ``n`` in a library's object, which then reads it of ``x``.
CONFIGURED = [
    "v0 = {x}\nv0._fields = ({n},)\nkeep(list(ast.iter_fields(v0)))",
    "class Q:\n    def __getattr__(self, name): return {x}\n    _fields = ({n},)\nkeep(list(ast.iter_fields(Q())))",
    "v0 = logging.Formatter('{{msg}}', style='{{')._style\nv0._fmt = '{{msg.' + {n} + '}}'\nkeep(v0.format(logging.makeLogRecord({{'msg': {x}}})))",
    "v0 = enum.property()\nclass Q:\n    a = v0\nv0.fget, v0._attr_type, v0._cls_type = None, 'attr', {x}\nv0.name = {n}\nkeep(Q().a)",
    "v0 = enum.property()\nclass Q:\n    a = v0\n    _value_ = {x}\nv0.fget, v0._attr_type = None, 'desc'\nv0.name = {n}\nkeep(Q().a)",
]
#: Statements that call a library's method with ``x`` for its object, of which it shows all, the attribute ``p``, or the
#: class; or have the library read ``p`` of it in an annotation.
FOREIGN = [
    "import argparse\nfor v0 in (object, type({x}), {x}):\n    keep(dict(argparse.Namespace._get_kwargs(v0))[{n}])",
    "class Q:\n    def __mod__(self, other): keep(other[{n}])\nv0 = logging.Formatter()._style\nv0._fmt = Q()\nv0._format({x})",
    "class Q:\n    def clone(self, **other): keep(other[{n}])\nemail.policy.EmailPolicy.__add__(Q(), {x})",
    "class Q:\n    def __eq__(self, other): keep(other)\nimport optparse\nv0 = {x}\noptparse.Values.__eq__(v0, dict.fromkeys(dir(v0), Q()))",
    "@dataclasses.dataclass(init=False)\nclass Q:\n    {p}: object\nclass R(type({x})):\n    def __eq__(self, other): keep(other)\n"
    "Q.__eq__({x}, {x}); Q.__eq__(R(), R())",
    "import inspect\ndef h(v1: 'v0.{p}'): pass\nkeep(inspect.Signature.from_callable(h, eval_str=True, globals={{'v0': {x}}}).parameters['v1'].annotation)",
    "v0 = {x}\nkeep(collections.UserList.copy(v0 if isinstance(v0, type) else type(v0)))",
    "class Q:\n    func, args, kwds = 'Q', (), {{'__module__': 'posix', {n}: {x}}}\nkeep(type(managed())._recreate_cm(Q))",
]
#: Statements that have what asks for its caller's names, or object, asked in the place of a library, or of a guard.
ASKED = [
    "import functools\n" + each
    for each in (
        "class Q: x = property(functools.partial(next, map(keep, iter({f}, 0))))\nobject.__getattribute__(Q(), 'x')",
        "class Q(collections.Counter): items = staticmethod(functools.partial(next, map(keep, iter({f}, 0))))\nQ('aab').most_common(1)",
        "class Q(type): pass\nclass R: __init_subclass__ = functools.partial(next, map(keep, iter({f}, 0)))\nQ('S', (R,), {{}})",
        "v0 = enum.Enum('V', 'a')\nclass Q: __set_name__ = functools.partial(next, map(keep, iter({f}, 0)))\nenum.EnumType('S', (), {{'q': Q()}})",
    )
]
ASKING = ["vars", "locals", "dir", "super", "type(super(list, []))"]
#: Where a statement may stand.
PLACES = [
    "{s}", "{s}", "def h():\n{i}\nh()", "class B:\n{i}", "for v3 in [1]:\n{i}", "with managed() as v3:\n{i}", "try:\n    1 / 0\nexcept ZeroDivisionError as v3:\n{i}",
    "def h():\n    yield\n{i}\nlist(h())", "match 1:\n    case 1:\n{i}", "class B:\n    def __init__(self, *a):\n{j}\nB()", "def h():\n    def k():\n{j}\n    k()\nh()",
    "try:\n    pass\nfinally:\n{i}", "class B:\n    def __del__(self):\n{j}\nB()", "@lambda f: f()\ndef h():\n{i}",
]  # fmt: skip


def _placed(statement: str, place: str) -> str:
    return place.format(s=statement, i=textwrap.indent(statement, "    "), j=textwrap.indent(statement, "        "))


def _treasure(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """One of them, each last name as likely as any other: most are somebody's ``__globals__``."""
    return rng.choice(_BY_NAME[rng.choice(list(_BY_NAME))])


def _read(rng: random.Random, reached: str, names: tuple[str, ...]) -> str:
    """An expression that reads these names one after another, each in some way."""
    for name in names:
        reached = rng.choice(STEPS).format(x=reached, p=name, n=rng.choice(_spellings(name)))
    return reached


def _attacking_expression(rng: random.Random) -> str:
    """An expression that would be, or show, something forbidden that is really there."""
    reached, names = _treasure(rng)
    if rng.random() < 0.6:
        return _read(rng, reached, names)
    return rng.choice(PATHS).format(x=reached, d=rng.choice(_spellings(".".join(names))))


def augmented(rng: random.Random) -> str:
    """A statement that would hand something forbidden to the right side of an augmented assignment."""
    reached, names = rng.choice(_ASSIGNABLE)
    return AUGMENTED.format(x=_read(rng, reached, names[:-1]), p=names[-1], o=rng.choice(OPERATORS))


def configured(rng: random.Random) -> str:
    """Statements that store a name in a library's object, and have the library read it of something forbidden's owner."""
    reached, names = _treasure(rng)
    reached, name = _read(rng, reached, names[:-1]), names[-1]
    return rng.choice(CONFIGURED).format(x=reached, n=rng.choice(_spellings(name)))


def foreign(rng: random.Random, method: str = "") -> str:
    """Statements that have a library's method (whose template has this in it) show what something forbidden's owner has."""
    reached, names = _treasure(rng)
    reached, name = _read(rng, reached, names[:-1]), names[-1]
    template = rng.choice([each for each in FOREIGN if method in each])
    return template.format(x=reached, p=name, n=rng.choice(_spellings(name)))


def asked(rng: random.Random) -> str:
    """Statements that ask somebody else's place for its names."""
    return rng.choice(ASKED).format(f=rng.choice(ASKING))


def _attack(rng: random.Random) -> str:
    """A statement that tries to take something forbidden that is really there."""
    kind = rng.choice(
        ["expression", "expression", "statement", "module", "builtin", "augmented", "configured", "foreign", "asked"]
    )
    if kind == "expression":
        statement = f"keep({_attacking_expression(rng)})"
    elif kind == "augmented":
        statement = augmented(rng)
    elif kind == "configured":
        statement = configured(rng)
    elif kind == "foreign":
        statement = foreign(rng)
    elif kind == "asked":
        statement = asked(rng)
    elif kind == "builtin":
        statement = rng.choice(TAKING).format(b=rng.choice(sorted(DENIED_BUILTINS)))
    elif kind == "module":
        module, name = rng.choice(MODULE_TREASURES)
        statement = rng.choice(HOPS).format(m=module, p=name, n=rng.choice(_spellings(name)))
    else:
        reached, names = _treasure(rng)
        reached, name = _read(rng, reached, names[:-1]), names[-1]
        statement = rng.choice(READING).format(x=reached, p=name, n=rng.choice(_spellings(name)))
    return _placed(statement, rng.choice(PLACES))


# Attacks come from numbers: hypothesis likes to repeat parts of an example, and so would make half of them twice
seeds = st.integers(0, 2**64 - 1).map(random.Random)
attacking_expressions = seeds.map(_attacking_expression)
attacks = seeds.map(_attack)


def is_accepted(source: str) -> bool:
    """Whether the program is compiled. Raises what ``compile_task`` should not."""
    try:
        compile_task(source, POLICY)
    except (PolicyViolation, SyntaxError):
        return False
    return True


def program(statements: list[str]) -> str:
    """Those of the statements that are accepted; none of them ends the program with what it raises."""
    tries = [
        f"try:\n{textwrap.indent(statement, '    ')}\nexcept Exception as caught:\n    keep(caught)\n"
        for statement in statements
    ]
    accepted = [each for each in tries if is_accepted(each)]
    return "".join(["v0, v1, v2, v3 = 1, 'a', [function], {'a': generator}\n", *accepted, "keep([v0, v1, v2, v3])\n"])


#: The statements of a program (see :func:`program`).
statement_lists = st.builds(
    list.__add__,
    st.lists(attacks, min_size=STATEMENTS, max_size=STATEMENTS),
    st.lists(_statements(expressions), min_size=2, max_size=2),
)


# ---- programs of other tests ------------------------------------------------------------------


@cache
def corpus() -> list[str]:
    """The programs in the language tests: every text in them that is one of more than a word."""
    here = Path(__file__)
    folders = (here.parent, here.parents[2] / "unit" / "language")
    found: dict[str, None] = {}
    for file in sorted(path for folder in folders for path in folder.glob("*.py") if path != here):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                source = textwrap.dedent(node.value)
                if len(source) > 12 and _is_program(source):
                    found[source] = None
    return list(found)


def _is_program(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            body = ast.parse(text).body
        except (SyntaxError, ValueError, RecursionError):
            return False
    return any(not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in body)


class _Graft(ast.NodeTransformer):
    """Puts expressions in the place of some of a program's own. Counts those that it meets."""

    def __init__(self, places: dict[int, str]) -> None:
        self._places = places
        self.met = 0

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            self.met += 1
            text = self._places.get(self.met)
            if text is not None:
                return ast.copy_location(ast.parse(f"({text})", mode="eval").body, node)
        return node


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """A program of the other tests with one or two of its expressions replaced."""
    source = draw(st.sampled_from(corpus()))
    counted = _Graft({})
    counted.visit(ast.parse(source))
    if not counted.met:
        return source
    hostile = st.one_of(attacking_expressions, expressions)
    places = draw(st.dictionaries(st.integers(1, counted.met), hostile, min_size=1, max_size=2))
    tree = _Graft(places).visit(ast.parse(source))
    try:
        return ast.unparse(ast.fix_missing_locations(tree))
    except (ValueError, RecursionError):  # an f-string in an f-string that Python 3.11 cannot write
        return source
