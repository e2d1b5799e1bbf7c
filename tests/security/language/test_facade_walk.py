"""From everything that a task can import or make, no chain of reads leads to the interpreter.

The walk (see ``forbidden.py``) starts at the façades of every open module of the standard library, of numpy, pandas and
other packages that people bring along, at the builtins of a task, and at objects of every kind that a task makes. The allowlists are open.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import importlib
import io
import logging
import operator
import os
import pkgutil
import sys
import types
import warnings
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import forbidden
import pytest
from forbidden import read, walk, why_forbidden

from reptarium.sandbox.language import LanguagePolicy, compile_task, guards, hardening, make_namespace, run
from reptarium.sandbox.language.compile.transformer import Transformer
from reptarium.sandbox.language.packages.standard import getters, reflection
from reptarium.sandbox.language.policy import files
from reptarium.sandbox.language.policy.stdlib import OPEN, SUBMODULES
from reptarium.sandbox.language.runtime.facades import importer
from reptarium.sandbox.task.console import StderrTail

POLICY = LanguagePolicy(stdlib_allow=("*",), external_allow=("*",))
DEPTH = 4
#: What people bring along; those that are installed are walked.
PACKAGES = "numpy pandas bs4 dateutil jinja2 lxml openpyxl orjson pydantic pytz requests yaml".split()

#: Expressions by the modules that they need: one object of each kind that people meet.
OBJECTS: dict[str, list[str]] = {
    "": [
        "1", "1.5", "1j", "'a'", "b'a'", "bytearray(b'a')", "memoryview(b'a')", "[1]", "(1,)", "{1: 2}", "{1}",
        "frozenset([1])", "range(3)", "slice(1)", "object()", "iter([1])", "iter({1: 2})", "zip([1])", "map(str, [1])",
        "filter(None, [1])", "enumerate([1])", "reversed([1])", "(x for x in [1])", "lambda: 1", "[].append", "''.format",
        "'a'.join", "str.format", "property(len)", "classmethod(len)", "staticmethod(len)", "list[int]", "int | str",
        "{}.items()", "{}.keys()", "type(1)", "vars(object)", "Ellipsis", "NotImplemented", "__import__",
        "ImportError('x', name='n', path='p')", "OSError(2, 'x', 'f')", "SyntaxError('x')", "StopIteration(1)",
        "UnicodeDecodeError('utf-8', b'x', 0, 1, 'r')", "ExceptionGroup('x', [ValueError()])", "SystemExit(1)",
    ],
    "array": ["array.array('i', [1])"],
    "bz2": ["bz2.BZ2Compressor()"],
    "calendar": ["calendar.Calendar()", "calendar.HTMLCalendar()"],
    "collections": [
        "collections.deque()", "collections.defaultdict(int)", "collections.Counter('a')", "collections.OrderedDict(a=1)",
        "collections.ChainMap({})", "collections.namedtuple('A', 'b')(1)", "collections.UserDict()",
        "collections.UserString('a')", "collections.UserList()",
    ],
    "configparser": ["configparser.ConfigParser()"],
    "contextlib": [
        "contextlib.ExitStack()", "contextlib.nullcontext()", "contextlib.suppress()", "contextlib.closing(1)",
        "contextlib.contextmanager(lambda: iter([1]))()",
    ],
    "contextvars": ["contextvars.ContextVar('a')", "contextvars.copy_context()"],
    "csv, io": ["csv.reader(io.StringIO('a'))", "csv.writer(io.StringIO())", "csv.DictReader(io.StringIO('a'))",
                "csv.get_dialect('excel')", "csv.Sniffer()"],
    "dataclasses": ["dataclasses.make_dataclass('A', ['b'])(1)", "dataclasses.field()",
                    "dataclasses.fields(dataclasses.make_dataclass('A', ['b']))"],
    "datetime": ["datetime.datetime.now()", "datetime.date.today()", "datetime.timedelta()", "datetime.time()",
                 "datetime.timezone.utc"],
    "decimal": ["decimal.Decimal(1)", "decimal.getcontext()"],
    "difflib": ["difflib.SequenceMatcher()", "difflib.Differ()"],
    "email.message": ["email.message.EmailMessage()", "email.message.Message()"],
    "email.parser": ["email.parser.Parser()", "email.parser.Parser().parsestr('a: b')", "email.parser.FeedParser()"],
    "email.policy": ["email.policy.default"],
    "enum": ["enum.Enum('A', 'b').b", "enum.Flag('A', 'b').b"],
    "fractions": ["fractions.Fraction(1)"],
    "functools": [
        "functools.partial(print)", "functools.lru_cache(len)", "functools.singledispatch(lambda x: 1)",
        "functools.cached_property(len)", "functools.cmp_to_key(len)(1)", "functools.partialmethod(print)",
        "functools.wraps(print)", "functools.total_ordering",
    ],
    "graphlib": ["graphlib.TopologicalSorter()"],
    "gzip, io": ["gzip.GzipFile(fileobj=io.BytesIO(), mode='w')"],
    "hashlib": ["hashlib.sha256()", "hashlib.blake2b()", "hashlib.new('md5')"],
    "hmac": ["hmac.new(b'a', digestmod='sha256')"],
    "html.parser": ["html.parser.HTMLParser()"],
    "io": ["io.StringIO()", "io.BytesIO()", "io.BytesIO().getbuffer()"],
    "ipaddress": ["ipaddress.ip_address('1.2.3.4')", "ipaddress.ip_network('1.2.3.0/24')",
                  "ipaddress.ip_interface('::1')"],
    "itertools": ["itertools.count()", "itertools.chain([1])", "itertools.groupby([1])", "itertools.tee([1])"],
    "json": ["json.JSONEncoder()", "json.JSONDecoder()"],
    "logging": ["logging.LoggerAdapter(None)", "logging.Formatter()", "logging.Formatter('{message}', style='{')",
                "logging.NullHandler()", "logging.LogRecord('a', 1, 'b', 2, 'c', (), None)", "logging.Filter()"],
    "lzma": ["lzma.LZMACompressor()"],
    "operator": ["operator.attrgetter('a')", "operator.itemgetter('a')", "operator.methodcaller('a')"],
    "pathlib": ["pathlib.PurePath('a/b')", "pathlib.PurePath('a/b').parents", "pathlib.PurePosixPath('a')",
                "pathlib.PureWindowsPath('a')"],
    "pprint": ["pprint.PrettyPrinter()"],
    "queue": ["queue.Queue()", "queue.SimpleQueue()", "queue.PriorityQueue()"],
    "random": ["random.Random()", "random.SystemRandom()"],
    "re": ["re.compile('a')", "re.match('a', 'a')", "re.finditer('a', 'a')", "re.I"],
    "reprlib": ["reprlib.Repr()"],
    "sched": ["sched.scheduler()"],
    "statistics": ["statistics.NormalDist()"],
    "string": ["string.Formatter()", "string.Template('$a')"],
    "struct": ["struct.Struct('i')"],
    "sys": ["sys.version_info", "sys.implementation", "sys.float_info"],
    "tarfile, io": ["tarfile.open(fileobj=io.BytesIO(), mode='w')", "tarfile.TarInfo('a')"],
    "textwrap": ["textwrap.TextWrapper()"],
    "time": ["time.localtime()", "time.get_clock_info('time')"],
    "types": ["types.SimpleNamespace(a=1)", "types.MappingProxyType({})", "types.MethodType(print, 1)",
              "types.GenericAlias(list, int)", "types.ModuleType('a')"],
    "typing": [
        "typing.TypeVar('A')", "typing.List[int]", "typing.Optional[int]", "typing.Union[int, str]", "typing.Any",
        "typing.NamedTuple('A', [('b', int)])(1)", "typing.TypedDict('A', {'b': int})", "typing.ForwardRef('a')",
        "typing.NewType('A', int)", "typing.Callable[[int], str]", "typing.Literal[1]", "typing.Annotated[int, 1]",
        "typing.ParamSpec('P')", "typing.ParamSpec('P').args", "typing.Protocol", "typing.Generic",
    ],
    "urllib.parse": ["urllib.parse.urlparse('http://a/b')", "urllib.parse.urlsplit(b'a')"],
    "uuid": ["uuid.uuid4()"],
    "warnings": ["warnings.formatwarning"],
    "weakref": ["weakref.ref(weakref.WeakSet())", "weakref.WeakKeyDictionary()",
                "weakref.proxy(weakref.WeakSet())"],
    "xml.etree.ElementTree": ["xml.etree.ElementTree.fromstring('<a b=\"c\"><d/></a>')",
                              "xml.etree.ElementTree.ElementTree()", "xml.etree.ElementTree.XMLPullParser()",
                              "xml.etree.ElementTree.TreeBuilder()"],
    "zipfile, io": ["zipfile.ZipFile(io.BytesIO(), 'w')", "zipfile.ZipInfo('a')"],
    "zlib": ["zlib.compressobj()", "zlib.decompressobj()"],
    "zoneinfo": ["zoneinfo.ZoneInfo('UTC')"],
    "numpy": [
        "numpy.array([1])", "numpy.array(['a'], dtype=object)", "numpy.zeros((2, 2), dtype=[('a', int)])", "numpy.float64(1)",
        "numpy.dtype('int')", "numpy.dtype([('a', int)])", "numpy.datetime64('2024')", "numpy.random.default_rng(1)",
        "numpy.random.RandomState(1)", "numpy.nditer([1])", "numpy.ma.array([1])", "numpy.add", "numpy.poly1d([1])",
        "numpy.finfo(float)", "numpy.errstate()", "numpy.vectorize(len)", "numpy.polynomial.Polynomial([1])",
        "numpy.matrix([1])", "numpy.recarray((1,), dtype=[('a', int)])", "numpy.array([1]).flat",
    ],
    "pandas": [
        "pandas.DataFrame({'a': [1], 'b': ['x']})", "pandas.Series([1])", "pandas.Series(['a']).str", "pandas.Index([1])",
        "pandas.Series(pandas.to_datetime(['2024-01-01'])).dt", "pandas.Timestamp('2024')", "pandas.Timedelta('1d')",
        "pandas.DataFrame({'a': [1]}).groupby('a')", "pandas.DataFrame({'a': [1]}).rolling(1)", "pandas.Categorical(['a'])",
        "pandas.Series([1]).groupby([1])", "pandas.DataFrame({'a': [1]}).iloc", "pandas.DataFrame({'a': [1]}).loc",
        "pandas.MultiIndex.from_tuples([(1, 2)])", "pandas.Period('2024')", "pandas.Interval(1, 2)", "pandas.NA",
        "pandas.Series(['a'], dtype='category').cat", "pandas.DataFrame({'a': [1]}).expanding()", "pandas.DateOffset(1)", "pandas.date_range('2024', periods=2).freq",
        "pandas.Grouper(key='a')", "pandas.date_range('2024', periods=2)", "pandas.CategoricalDtype(['a'])", "pandas.options",
        "pandas.Series([1], index=pandas.date_range('2024', periods=1)).resample('D')", "pandas.arrays.SparseArray([1])",
        "pandas.Series([1]).dtype", "pandas.Series(['a']).dtype", "pandas.Series([1]).array", "pandas.option_context('a', 1)",
        "pandas.DataFrame({'a': [1]}).itertuples()", "pandas.DataFrame({'a': [1]}).to_numpy()",
    ],
}  # fmt: skip

#: Objects that take more than an expression.
PROGRAMS = {
    "an AttributeError": "try:\n    (1).a\nexcept AttributeError as e:\n    return e",
    "a NameError": "try:\n    nothing\nexcept NameError as e:\n    return e",
    "a KeyError from another": "try:\n    try:\n        {}[1]\n    except KeyError as e:\n        raise ValueError from e\nexcept ValueError as e:\n    return e",
    "a traceback": "class A:\n    def __enter__(self): pass\n    def __exit__(self, *a):\n        self.a = a\n        return True\na = A()\nwith a:\n    1 / 0\nreturn a",
    "a class": "class A:\n    '''doc'''\n    x = 1\n    def f(self): pass\n    @property\n    def p(self): return self.f\n    @classmethod\n    def c(cls): pass\n    @staticmethod\n    def s(): pass\nreturn A",
    "an object": "class A:\n    def __init__(self): self.x = self\n    def f(self): pass\nreturn A()",
    "an object with slots": "class A:\n    __slots__ = ('a',)\nreturn A()",
    "a dataclass": "from dataclasses import dataclass, field\n@dataclass(order=True, frozen=True)\nclass A:\n    a: int\n    b: list = field(default_factory=list)\nreturn A(1)",
    "an ABC": "from abc import ABC, abstractmethod\nclass A(ABC):\n    @abstractmethod\n    def f(self): pass\nclass B(A):\n    def f(self): pass\nreturn B()",
    "a member of an Enum": "from enum import Enum\nclass A(Enum):\n    B = 1\nreturn A.B",
    "a generic": "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass A(Generic[T]):\n    a: T\nreturn A[int]()",
    "a protocol": "from typing import Protocol, runtime_checkable\n@runtime_checkable\nclass A(Protocol):\n    def f(self) -> int: ...\nreturn A",
    "super()": "class A:\n    def f(self): return super()\nreturn A().f()",
    "a generator": "def f():\n    x = yield 1\nreturn f()",
    "a running generator": "def f():\n    yield g\ng = f()\nnext(g)\nreturn g",
    "a decorated function": "from functools import wraps\ndef d(f):\n    @wraps(f)\n    def g(*a): return f(*a)\n    return g\n@d\ndef f(a: int = 1, *, b=2) -> str: return ''\nreturn f",
    "a closure": "def f(x):\n    def g(): return x\n    return g\nreturn f(1)",
}  # fmt: skip


def task(source: str) -> Any:
    """What the program returns, with the standard streams of a worker."""
    with contextlib.redirect_stdout(StderrTail()), contextlib.redirect_stderr(StderrTail()):
        return run(compile_task(source, POLICY), make_namespace(POLICY, {}))


def facades_of(package: str) -> Iterator[tuple[str, types.ModuleType]]:
    """The façades of an installed package and of every submodule that may be imported."""
    facade = importer(POLICY).facade(package)
    yield package, facade
    for found in pkgutil.iter_modules(getattr(sys.modules[package], "__path__", ())):
        name = f"{package}.{found.name}"
        if found.name in ("tests", "conftest"):
            continue
        try:
            yield from facades_of(name)
        except (ImportError, LookupError):  # refused; wants another package, or doctest (lxml)
            continue


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Deprecated attributes say so when they are read; the walk reads all there are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _but_slowest(names: Iterable[str]) -> list[Any]:
    """Of pandas there is as much as of all others together, of these as much as of the rest."""
    slowest = ("stdlib", "numpy", "pandas", "pydantic", "bs4", "jinja2")
    return [pytest.param(name, marks=pytest.mark.slow if name in slowest else ()) for name in names]


@pytest.mark.parametrize("group", _but_slowest(["stdlib", "some of stdlib", *PACKAGES]))
def test_no_path_from_a_module(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the façades of a package, or of all open modules, nothing forbidden is within four reads."""
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own, which are files
    if group.endswith("stdlib"):
        roots = {}
        for name in sorted({*OPEN, *SUBMODULES})[:: 8 if group == "some of stdlib" else 1]:
            with contextlib.suppress(ModuleNotFoundError):  # of another version
                roots[name] = importer(POLICY).facade(name)
        assert len(roots) > (12 if group == "some of stdlib" else 100)
    else:
        pytest.importorskip(group)
        roots = dict(facades_of(group))
        assert roots
    assert [str(found) for found in walk(roots, DEPTH)] == []


def test_no_path_from_modules_of_files() -> None:
    """Where tasks have files of their own, what deals with them is there by its own name, and leads no further."""
    policy = LanguagePolicy(stdlib_allow=("*",), external_allow=("*",), files=True)
    try:
        roots = {name: importer(policy).facade(name) for name in (*files.MODULES, *files.NAMES)}
        given = {f"{name}.{each}" for name, facade in roots.items() for each in vars(facade)}
        reached = {str(found).partition(":")[0] for found in walk(roots, DEPTH)}
        assert sorted(path for path in reached if not path.startswith(tuple(given))) == []
    finally:
        hardening.allow_files(False)


def test_no_path_from_the_builtins() -> None:
    """From what a task finds without an import, nothing forbidden is within four reads."""
    table = make_namespace(POLICY, {})["__builtins__"]
    assert isinstance(table, dict)
    # "__import__" in the table is for C code; the name in a program means another
    roots = {name: task(f"return {name}") for name in table if name.isidentifier() and name not in NOT_SPELLED}
    assert len(roots) > 100
    assert [str(found) for found in walk(roots, DEPTH)] == []


NOT_SPELLED = {"__build_class__"}


def objects(imports: str) -> dict[str, Any]:
    """The objects of one line of the table, by their expressions."""
    line = f"import {imports}\n" if imports else ""
    return {expression: task(f"{line}return {expression}") for expression in OBJECTS[imports]}


@pytest.mark.parametrize("imports", _but_slowest(OBJECTS))
def test_no_path_from_an_object(imports: str) -> None:
    """From the objects of a module that a task makes, nothing forbidden is within four reads."""
    if imports in ("numpy", "pandas"):
        pytest.importorskip(imports)
    assert [str(found) for found in walk(objects(imports), DEPTH)] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_path_from_what_a_program_makes(name: str) -> None:
    """From classes, functions and exceptions of a task's own, nothing forbidden is within four reads."""
    assert [str(found) for found in walk({name: task(PROGRAMS[name])}, DEPTH)] == []


# ---- what earlier walks found -----------------------------------------------------------------


@pytest.mark.parametrize("kind", [PurePosixPath, PureWindowsPath])
def test_the_path_module_of_pure_paths(kind: type) -> None:
    """``PurePosixPath._flavour.pathmod`` (``_flavour`` on 3.12, ``parser`` later) was the real posixpath; its twin too."""
    steps = ["_flavour", "pathmod"] if sys.version_info < (3, 12) else ["_flavour"]
    if sys.version_info >= (3, 13):
        steps = ["parser"]
    module = functools.reduce(getattr, steps, kind)
    assert isinstance(module, types.ModuleType)
    assert why_forbidden(module)
    for way in (f"P.{'.'.join(steps)}", f"P('a').{'.'.join(steps)}", f"reduce(getattr, {steps}, P)"):
        with pytest.raises(AttributeError, match="it leads to a module that isn't allowed"):
            task(f"from functools import reduce\nfrom pathlib import {kind.__name__} as P\nreturn {way}")


def test_the_metaclass_of_pandas_dtypes() -> None:
    """``pandas.CategoricalDtype.type`` was a metaclass, which makes classes of any kind."""
    pandas = pytest.importorskip("pandas")
    assert issubclass(pandas.CategoricalDtype.type, type)
    assert why_forbidden(pandas.CategoricalDtype.type)
    for way in ("D.type", "D().type", "getattr(D, 'ty' + 'pe')"):
        assert task(f"from pandas import CategoricalDtype as D\nreturn {way}") is guards.TypeFacade


def test_the_class_of_an_attrgetter_in_the_library() -> None:
    """``type(PurePath.drive.fget)`` was the real ``operator.attrgetter``."""
    assert why_forbidden(operator.attrgetter)
    kept = operator.attrgetter("__globals__"), operator.methodcaller("__reduce__")
    code = compile_task("return type(kept[0]), kept[1].__class__", POLICY)
    assert run(code, make_namespace(POLICY, {"kept": kept})) == (getters.attrgetter, getters.methodcaller)


def test_wraps_under_another_name() -> None:
    """``contextlib.wraps`` was the real one, which copies any attribute to where ``__setattr__`` waits."""
    assert why_forbidden(functools.wraps)
    assert task("from contextlib import wraps\nreturn wraps") is reflection.wraps


@pytest.mark.parametrize(
    "program",
    [
        "from copy import dispatch_table",  # a table that the whole process shares
        "from functools import RLock",
        "from reprlib import get_ident",
        "import shlex\nshlex.shlex().instream",  # the worker's standard input
        "from pathlib import PurePath\ngetattr(PurePath(), '_glo' + 'bber')",  # os.scandir, on Python 3.13
        "from numpy.lib import format",
        "import numpy.lib.npyio",
        "import numpy\nnumpy.lib.format.open_memmap",
        "import numpy\nnumpy.lib.npyio.DataSource",
    ],
)
def test_what_facades_carried_of_other_modules(program: str) -> None:
    """These were there; none of them is for tasks."""
    if "numpy" in program:
        pytest.importorskip("numpy")
    with pytest.raises((ImportError, AttributeError)):
        task(program)


@pytest.mark.parametrize("kind", [types.FunctionType, types.TracebackType])
def test_the_class_of_a_function(kind: type) -> None:
    """``type(f)`` and ``dataclasses.FunctionType`` were the real class, which makes functions of code objects."""
    example = {types.FunctionType: task, types.TracebackType: ValueError}[kind]
    value: Any = example
    if kind is types.TracebackType:
        try:
            raise ValueError
        except ValueError as error:
            value = error.__traceback__
    shown = run(compile_task("return type(x)", POLICY), make_namespace(POLICY, {"x": value}))
    assert shown is not kind
    assert why_forbidden(kind)
    assert why_forbidden(shown) is None
    assert isinstance(value, shown)
    with pytest.raises(TypeError, match="cannot create"):
        shown(None, {})
    with pytest.raises(TypeError, match="not an acceptable base type"):
        run(compile_task("class A(x): pass", POLICY), make_namespace(POLICY, {"x": shown}))


# ---- the walk itself ------------------------------------------------------------------------


def frame() -> types.FrameType:
    return sys._getframe()


def cell() -> types.CellType:
    x = 1
    closure = (lambda: x).__closure__
    assert closure is not None
    return closure[0]


LEAKS: dict[str, Any] = {
    "a module": os,
    "a refused module": importlib.import_module("subprocess"),
    **{f"the builtin {name}": getattr(builtins, name) for name in "eval exec compile open __import__ input".split()},
    **{f"the real {name}": getattr(builtins, name) for name in "getattr setattr vars type globals locals".split()},
    "a metaclass": type(pytest.Item),
    "FunctionType": types.FunctionType,
    "CodeType": types.CodeType,
    "a frame": frame(),
    "a cell": cell(),
    "a code object": frame.__code__,
    "a module's names": frame.__globals__,
    "sys.modules": sys.modules,
    "a loader": os.__loader__,
    "a spec": os.__spec__,
    "os.system": os.system,
    "os.open": os.open,
    "_io.FileIO": io.FileIO,
    "an open file": open(os.devnull, "rb", buffering=0),  # noqa: SIM115 - for as long as the tests run
    "a function of posix": importlib.import_module("posix").stat,
    "ctypes": importlib.import_module("ctypes").CDLL,
    "subprocess": importlib.import_module("subprocess").run,
    "a method of a refused module's class": importlib.import_module("subprocess").Popen.wait,
    "an object of a refused module's class": importlib.import_module("selectors").SelectSelector(),
    "the real functools.wraps": functools.wraps,
    "what reads any attribute": object.__getattribute__,
    "what reads any attribute of one object": [].__getattribute__,
    "what sets any attribute": object.__setattr__,
    "all subclasses": object.__subclasses__,
    "a text's format": "".format,
    "format of all texts": str.format,
    "format_map of a class of texts": type("Text", (str,), {}).format_map,
}


@pytest.mark.parametrize("leak", LEAKS)
def test_the_walk_finds_every_kind_of_leak(leak: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever slipped into a façade is found and named."""
    monkeypatch.setitem(vars(importer(POLICY).facade("json")), "leak", LEAKS[leak])
    found = walk({"json": importer(POLICY).facade("json")}, 1)
    assert [each.path for each in found] == ["json.leak"]
    assert found[0].why


class Holder:
    """Keeps a leak where attributes are."""

    def __init__(self, leak: object) -> None:
        self._private = leak


class Computed:
    """Makes a leak when it is asked for."""

    @property
    def value(self) -> object:
        return os


class Kind(type):
    """A metaclass with an attribute that ``dir`` of its classes doesn't list."""

    hidden = os


def carrier() -> None:
    """A function; its attributes are set below."""


carrier.leak = os  # type: ignore[attr-defined]

PLACES: dict[str, tuple[Any, str]] = {
    "an attribute": (Holder(os), "fake.top._private"),
    "a chain": (Holder(Holder(Holder(os))), "fake.top._private._private._private"),
    "a class attribute": (type("A", (), {"leak": os}), "fake.top.leak"),
    "an object's class": (type("A", (), {"__slots__": (), "leak": os})(), "fake.top.leak"),
    "the metaclass of a class": (Kind("A", (), {}), "fake.top.hidden"),
    "a property": (Computed(), "fake.top.value"),
    "a function's attribute": (carrier, "fake.top.leak"),
    "a method's function": (type("A", (), {"f": carrier})().f, "fake.top.leak"),
    "a partial": (functools.partial(print, os), "fake.top.args[0]"),
    "a list": ([1, [os]], "fake.top[1][0]"),
    "a dict's value": ({"a": {"b": os}}, "fake.top['a']['b']"),
    "a dict's key": ({os: 1}, "fake.top.keys(<module 'os' "),
    "a set": ({os}, "fake.top[0]"),
    "a mapping that is no dict": (types.MappingProxyType({"a": os}), "fake.top['a']"),
    "a name that is guarded elsewhere": (type("A", (), {"path": eval}), "fake.top.path"),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_walk_finds_a_leak_wherever_it_is(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leak behind anything that can be read is found, with the way to it."""
    facade = types.ModuleType("fake")
    facade.top, path = PLACES[place]  # type: ignore[attr-defined]
    monkeypatch.setitem(guards.FACADES, id(facade), facade)
    assert any(found.path.startswith(path) for found in walk({"fake": facade}, DEPTH))


def test_the_walk_asks_a_facade_for_what_it_makes_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that the real module has are asked of the façade, whose own listing lacks them."""
    real, facade = types.ModuleType("fake"), types.ModuleType("fake")
    real.late = 1  # type: ignore[attr-defined]
    facade.__getattr__ = lambda name: os if name == "late" else None  # type: ignore[method-assign]
    monkeypatch.setitem(guards.FACADES, id(facade), facade)
    monkeypatch.setitem(sys.modules, "fake", real)
    assert "fake.late" in [found.path for found in walk({"fake": facade}, DEPTH)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no path class carried a module")
def test_the_walk_knows_augmented_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an augmented assignment hands to its right side is found, where it is read past the guard."""
    holder = "parser" if sys.version_info >= (3, 13) else "_flavour"
    roots = {"P": PurePosixPath}
    assert walk(roots, 1) == []
    forbidden.augmented.cache_clear()
    monkeypatch.setitem(Transformer.handlers, ast.AugAssign, Transformer._children)
    assert [str(found) for found in walk(roots, 1)] == [f"P.{holder} +=: the module posixpath"]
    forbidden.augmented.cache_clear()


def test_the_walk_knows_names_that_a_library_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a library reads by a name that came to it as data is found, where it reads any."""
    roots = {"plain": task("class A:\n    def f(self): pass\nreturn A()")}
    assert walk(roots, 2) == []
    monkeypatch.setattr(ast, "getattr", getattr)
    assert "plain.f given __code__" in [each.path for each in walk(roots, 2)]


@pytest.mark.parametrize(
    "name", ["real", "_private", "format", "__class__", "__doc__", "os", "path", "obj", "__init__"]
)
def test_the_walk_reads_as_programs_do(name: str) -> None:
    """The walk's read of an attribute and the compiled program's are the same."""

    class Target:
        real = _private = path = obj = 1
        os = os

        def format(self) -> str:
            return ""

    def outcome(act: Any) -> Any:
        try:
            return act()
        except AttributeError as error:
            return str(error)

    target = Target()
    code = compile_task(f"return x.{name}", POLICY)
    assert outcome(lambda: read(target, name)) == outcome(lambda: run(code, make_namespace(POLICY, {"x": target})))
