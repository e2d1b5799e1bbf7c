"""No task changes a class of the standard library: it would call what was put there, with what it has inside.

Classes of packages can be changed (``DetectorFactory.seed = 0`` is how a package says that it is done): what a package hands
around inside is memory of the same process, and the kernel layer holds what can be done with it.

Through the whole path, since only a zygote seals the classes of its process.
"""

from __future__ import annotations

import json

import pytest

from reptarium.pool.embedded import embedded_runner
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")

ATTEMPTS = """
import typing, json, collections, decimal, enum, logging, string, csv, html.parser, dataclasses, email.message

def grab(*args, **kwargs):
    reached.append(args)
    return int

class Mine: pass

reached, changed, refused = [], [], []
targets = [typing.ForwardRef, json.JSONEncoder, collections.OrderedDict, collections.UserDict, decimal.Decimal, enum.Enum,
           logging.Formatter, string.Formatter, csv.DictReader, html.parser.HTMLParser, dataclasses.Field, email.message.Message,
           type(_helpers), type(print), type(json), Exception, int, type(Mine)]
for cls in targets:
    for way in (lambda: setattr(cls, "_evaluate", grab), lambda: delattr(cls, "_evaluate")):
        try:
            way()
        except (TypeError, AttributeError) as error:
            refused.append(str(error))
        else:
            changed.append(str(cls))
try:  # and as a statement
    typing.ForwardRef._evaluate = grab
    changed.append("statement")
except TypeError as error:
    refused.append(str(error))
Mine.answer = 42
del Mine.answer
return {"changed": changed, "reached": reached, "refused": len(refused), "last": refused[-1]}
"""


async def _run(code: str) -> object:
    settings = make_settings({"N8N_RUNNERS_EXTERNAL_ALLOW": "*"})
    with fail_after(60):
        async with embedded_runner(settings) as broker:
            outcome = await broker.submit({"code": code, "items": []}).outcome()
    assert outcome.data is not None, outcome
    return json.loads(bytes(outcome.data.result))


async def test_library_classes_cannot_be_changed() -> None:
    """Every store on a class that the task didn't make ends in Python's TypeError; on its own classes none does."""
    assert await _run(ATTEMPTS) == {
        "changed": [],
        "reached": [],
        "refused": 37,
        "last": "cannot set '_evaluate' attribute of immutable type 'ForwardRef'",
    }


@pytest.mark.slow
async def test_classes_of_a_module_that_the_task_imports_first() -> None:
    """What a first import brings of the standard library is sealed when it is there; a package's own classes are not."""
    code = """
import graphlib, pandas, xml.dom.minidom
said = []
xml.dom.minidom.parseString("<a/>")  # imports expatbuilder
for cls in (graphlib.TopologicalSorter, xml.dom.minidom.Document):
    try:
        cls.add = print
    except TypeError as e:
        said.append(str(e))
pandas.DataFrame.total = lambda self: int(self.sum().sum())
return [*said, pandas.DataFrame({"a": [1, 2]}).total()]
"""
    pytest.importorskip("pandas")
    assert await _run(code) == [
        "cannot set 'add' attribute of immutable type 'TopologicalSorter'",
        "cannot set 'add' attribute of immutable type 'Document'",
        3,
    ]


async def test_packages_work_with_their_classes_sealed() -> None:
    """Groups, joins, models, singletons and tables of tags do what they do elsewhere."""
    for package in ("pandas", "pydantic", "yaml", "dateutil"):
        pytest.importorskip(package)
    code = """
import numpy, pandas, pydantic, yaml, enum, dataclasses, typing, abc
from dateutil import tz, parser
frame = pandas.DataFrame({"k": ["a", "b", "a"], "v": [1, 2, 3]})
class Row(pydantic.BaseModel):
    v: int
    at: typing.Optional["Row"] = None
class Flags(enum.Flag):
    A = 1
    B = 2
class Base(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
class Child(Base):
    def f(self): return 1
yaml.SafeLoader.add_constructor("!twice", lambda loader, node: 2 * int(loader.construct_scalar(node)))
return {
    "sums": frame.groupby("k").v.sum().to_dict(),
    "merged": len(frame.merge(frame, on="k")),
    "row": Row(v=1, at=Row(v=2)).model_dump(),
    "flags": (Flags.A | Flags.B).value,
    "child": Child().f(),
    "zone": tz.gettz("UTC") is tz.gettz("UTC"),
    "date": parser.parse("2024-02-29").isoformat(),
    "yaml": yaml.safe_load("!twice 21"),
    "masked": str(numpy.ma.masked.reshape(1)),  # sets __class__
}
"""
    assert await _run(code) == {
        "sums": {"a": 4, "b": 2},
        "merged": 5,
        "row": {"v": 1, "at": {"v": 2, "at": None}},
        "flags": 3,
        "child": 1,
        "zone": True,
        "date": "2024-02-29T00:00:00",
        "yaml": 42,
        "masked": "[--]",
    }


async def test_what_sealed_classes_carry() -> None:
    """A descriptor in Python calls what its own attributes say: those of the standard library's classes stay."""
    code = """
import enum, functools, ipaddress, types
name = vars(enum.Enum)["name"]
lazy = ipaddress.IPv4Network.broadcast_address
ways = [
    lambda: setattr(name, "fget", print),
    lambda: object.__setattr__(name, "fget", print),
    lambda: vars(name).update(fget=print),
    lambda: types.DynamicClassAttribute.__init__(name, print),
    lambda: delattr(name, "fget"),
    lambda: vars(name).pop("fget"),
    lambda: setattr(lazy, "func", print),
    lambda: vars(lazy).update(func=print),
    lambda: functools.cached_property.__init__(lazy, print),
]
said = []
for way in ways:
    try:
        way()
        said.append("changed")
    except AttributeError as error:
        said.append("carries it" in str(error))
class Colour(enum.Enum):
    RED = 1
class Own:
    @functools.cached_property
    def x(self): return 1
    @types.DynamicClassAttribute
    def y(self): return 2
vars(Own)["y"].fget = lambda self: 3
Own.x.func = lambda self: 4
return {"said": said, "works": [Colour.RED.name, str(ipaddress.ip_network("10.0.0.0/8").broadcast_address), Own().x, Own().y]}
"""
    assert await _run(code) == {"said": [True] * 9, "works": ["RED", "10.255.255.255", 4, 3]}
