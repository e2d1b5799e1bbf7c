"""What a task sets on a module reaches the real one or is refused, and what a module binds anew is seen: never nothing."""

from __future__ import annotations

import collections
import contextlib
import heapq
import importlib.util
import json
import os
import re
import sys
import textwrap
import urllib.parse
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from reptarium.sandbox.language import PolicyViolation, compile_task, explained, shown_environment
from reptarium.sandbox.language.policy import stdlib
from reptarium.sandbox.language.runtime.facades import Importer, importer
from tests.unit.language.support import OPEN, execute

LIBRARY = '''
counter = 0
limit = 5
current = len

def bump():
    """Bind two names anew."""
    global counter, current
    counter += 1
    current = bump

def get():
    return limit
'''

#: Every way to set, or delete, something on a module of the standard library that tasks have as a plain module object.
SPELLINGS = {
    "by its name": "import json\njson.x = 1",
    "by another name": "import json\nm = json\nm.x = 1",
    "import as": "import json as m\nm.x = 1",
    "in a tuple": "import json\n(json.x, a), b = (1, 2), 3",
    "starred": "import json\nm = json\n[m.x, *m.y] = 1, 2",
    "for": "import json\nm = json\nfor m.x in [1]: pass",
    "comprehension": "import json\n[0 for json.x in [1]]",
    "with": "import json, contextlib\nm = json\nwith contextlib.nullcontext(1) as m.x: pass",
    "annotated": "import json\nm = json\nm.x: int = 1",
    "augmented": "import json\nm = json\nm.__doc__ += 'x'",
    "del": "import json\nm = json\ndel m.loads",
    "delattr": "import json\ndelattr(json, 'loads')",
    "setattr": "import json\nsetattr(json, 'x', 1)",
    "setattr by another name": "import json\nf = setattr\nf(json, 'x', 1)",
    "object.__setattr__": "import json\nobject.__setattr__(json, 'x', 1)",
    "its class's __setattr__": "import json\ntype(json).__setattr__(json, 'x', 1)",
    "its own __setattr__": "import json\njson.__setattr__('x', 1)",
    "its own __delattr__": "import json\njson.__delattr__('loads')",
    "__dict__": "import json\njson.__dict__['x'] = 1",
    "vars": "import json\nvars(json)['x'] = 1",
    "type of vars": "import json\nclass A: pass\ntype(vars(A()))(json, {})['x'] = 1",
    "vars of another": "import json\nclass A: pass\nd = vars(A())\nd._owner = json\nd['x'] = 1",
    "locals": "import json\nlocals()['json'].x = 1",
    "parameter": "import json\ndef f(m): m.x = 1\nf(json)",
    "default": "import json\ndef f(json=json): json.x = 1\nf()",
    "returned": "import json\n(lambda: json)().x = 1",
    "conditional": "import json, math\nm = math if _items else json\nm.x = 1",
    "one of two imports": "try:\n  import missing_module as json\nexcept ImportError:\n  import json\njson.x = 1",
    "in a list": "import json\nfor m in [json]: m.x = 1",
    "of a class": "import json\nclass C:\n  module = json\nC.module.x = 1",
    "imported in a class": "class C:\n  import json\nC().json.x = 1",
    "match": "import json\nmatch json:\n  case m: m.x = 1",
    "walrus": "import json\n(m := json).x = 1",
    "__import__": "__import__('json').x = 1",
    "import_module": "from importlib import import_module as get\nget('json').x = 1",
    "importlib": "import importlib as i\ni.import_module('json').x = 1",
    "part": "import urllib.parse\nurllib.parse.x = 1",
    "part by another name": "import urllib.parse\np = urllib.parse\np.x = 1",
    "part of another name": "import urllib as u\np = u.parse\np.x = 1",
    "part from": "from urllib import parse\nparse.x = 1",
    "part by star": "from urllib import *\nparse.x = 1",
    "library's setattr": "import json, functools\nfunctools.update_wrapper(json, len)",
    "another class of façades": "import logging\nm = logging\nm.x = 1",
}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package's module, as one that an administrator has installed."""
    module = ModuleType("settings_library")
    exec(LIBRARY, vars(module))  # noqa: S102 - our own text
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_setting_something_on_a_standard_module_is_refused(spelling: str) -> None:
    """In every spelling, with a word on it, and neither the real module nor what the task has for it is changed."""
    source = SPELLINGS[spelling]
    seen = execute("import json, urllib.parse\nreturn [dir(json), json.__name__, dir(urllib.parse)]")
    before = [dict(vars(json)), dict(vars(urllib.parse))]
    with pytest.raises((AttributeError, PolicyViolation)) as caught:
        execute(source, _items=[])
    said: Any = caught.value
    assert "not allowed" in getattr(said, "description", str(said))
    assert [dict(vars(json)), dict(vars(urllib.parse))] == before
    assert execute("import json, urllib.parse\nreturn [dir(json), json.__name__, dir(urllib.parse)]") == seen


def test_a_package_takes_settings_in_every_spelling(library: ModuleType) -> None:
    """They reach the real module, and are read back."""
    source = """
    import settings_library as m
    m.limit = 7
    seen = [m.get(), m.limit]
    m.limit += 1
    seen.append(m.get())
    setattr(m, "limit", 9)
    seen.append(m.get())
    for m.limit in [10]:
        seen.append(m.get())
    (m.limit, m._private), m.fresh = (11, 2), "x"
    from settings_library import fresh
    return [*seen, m.get(), m._private, fresh]
    """
    assert execute(source) == [7, 7, 8, 9, 10, 11, 2, "x"]
    assert (vars(library)["limit"], vars(library)["fresh"]) == (11, "x")


def test_what_a_package_binds_anew_is_seen(library: ModuleType) -> None:
    """A counter and a function of the module's, through the module, from-imports and stars."""
    source = """
    import settings_library
    before = settings_library.counter
    settings_library.bump()
    settings_library.bump()
    from settings_library import counter
    return [before, settings_library.counter, counter, settings_library.current.__name__, "counter" in dir(settings_library)]
    """
    assert execute(source) == [0, 2, 2, "bump", True]
    assert execute("from settings_library import *\nreturn [counter, bump.__name__]") == [2, "bump"]


def test_what_standard_modules_bind_anew_is_listed() -> None:
    """Of the names that functions of a standard module bind in it, tasks have none as it once was."""
    rebinds = re.compile(r"^[ \t]+global ([\w, \t]+)", re.MULTILINE)
    lazy = re.compile(r"^def __getattr__.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)  # binds what it then finds
    stale = []
    for module in sorted({*stdlib.OPEN, *stdlib.SUBMODULES}):
        with contextlib.suppress(ModuleNotFoundError):  # not in this Python
            found = importlib.util.find_spec(module)
            if found is not None and found.origin is not None and found.origin.endswith(".py"):
                text = lazy.sub("", Path(found.origin).read_text("utf-8"))
                names = re.split(r"[\s,]+", " ".join(rebinds.findall(text)))
                there = vars(importer(OPEN).facade(module))
                stale += [f"{module}.{each}" for each in names if each in there]
    assert stale == []


def test_a_module_that_another_imports_at_first_use_is_neither_before_nor_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What stands in its place until then (None: ``collections.heapq`` since 3.14) is no name for tasks either."""
    monkeypatch.setattr(collections, "heapq", None, raising=False)
    facade = Importer(OPEN).facade("collections")
    shown = [(name in dir(facade), hasattr(facade, name)) for name in ("heapq", "Counter")]
    monkeypatch.setattr(collections, "heapq", heapq)
    shown += [(name in dir(facade), hasattr(facade, name)) for name in ("heapq", "Counter")]
    assert shown == [(False, False), (True, True)] * 2


def test_the_filters_of_warnings_are_those_in_force() -> None:
    """A block that keeps them, and a filter that is added, show in the list."""
    source = """
    import warnings
    before = len(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error", BytesWarning)
        warnings.simplefilter("ignore", ImportWarning)
        inside = [each[0] for each in warnings.filters[:2]]
    return [inside, len(warnings.filters) - before]
    """
    assert execute(source) == [["ignore", "error"], 0]


def test_attributes_of_ones_own_are_stored_natively() -> None:
    """A program that hands no module around pays nothing: no guard stands before its stores."""
    source = """
    import json
    class A: pass
    a = A()
    json.dumps(1)
    a.n = 1
    return a
    """
    assert "guard changed" not in compile_task(textwrap.dedent(source), OPEN).co_names
    assert "guard changed" in compile_task("import json\nm = json\nm.x = 1", OPEN).co_names


def test_modules_of_hot_loops_are_read_at_once() -> None:
    """Python reads a module twice as slowly that has a ``__getattr__``: none of them has."""
    facades = {name: importer(OPEN).facade(name) for name in stdlib.HOT}
    assert {name for name, facade in facades.items() if "__getattr__" in vars(facade)} == set()
    assert {type(facade) for facade in facades.values()} == {ModuleType}


def test_modules_of_hot_loops_have_their_parts_and_what_is_obsolete() -> None:
    """What others have when they are asked for it, these have from the start."""
    source = """
    import calendar, collections, html, json, urllib
    return [
        isinstance([], collections.abc.Sequence), json.decoder.JSONDecodeError.__name__, html.parser.HTMLParser.__name__,
        urllib.parse.quote("a b"), getattr(calendar, "January", 1), hasattr(urllib, "request"),
    ]
    """
    assert execute(source, OPEN) == [True, "JSONDecodeError", "HTMLParser", "a%20b", 1, False]
    online = execute(
        "import urllib\nreturn urllib.error.URLError.__name__", msgspec.structs.replace(OPEN, connections=True)
    )
    assert online == "URLError"


def test_the_time_zone_that_a_task_sets_is_read_of_the_module() -> None:
    """The module's names change with ``time.tzset``."""
    source = """
    import os, time
    os.environ["TZ"] = "XYZ-3"
    time.tzset()
    return time.timezone, time.tzname[0]
    """
    before = os.environ.get("TZ")
    try:
        assert execute(source, OPEN) == (-10800, "XYZ")
    finally:
        shown_environment.pop("TZ", None)
        if before is not None:
            shown_environment["TZ"] = before
        execute("import time\ntime.tzset()", OPEN)


@pytest.mark.parametrize("spelling", ["copy.dispatch_table", "m.dispatch_table", "getattr(copy, 'dispatch_table')"])
def test_what_a_module_of_hot_loops_lacks_is_told_with_the_reason(spelling: str) -> None:
    """The read itself is Python's own: the reason comes with the failure."""
    with pytest.raises(AttributeError) as caught:
        execute(f"import copy\nm = copy\nreturn {spelling}", OPEN)
    assert "No setting allows it" in str(explained(caught.value))


@pytest.mark.parametrize("name", [None, 5, [], "", "nowhere", "_private", "weakref"])
def test_an_error_of_the_tasks_own_making_is_left_as_it_is(name: Any) -> None:
    """What it says of the module's attribute is anything."""
    error = AttributeError("mine", name=name, obj=importer(OPEN).facade("copy"))
    assert explained(error).args == ("mine",)
