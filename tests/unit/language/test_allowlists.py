"""The two allowlists: what an entry opens, and what somebody reads whose import it doesn't open."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement  # pytest needs it, too

from reptarium.sandbox.language import LanguagePolicy, PolicyViolation, RefusedImport, compile_task, preload
from reptarium.sandbox.language.guards import refusing
from reptarium.sandbox.language.hardening import arrivals, audit
from reptarium.sandbox.language.policy.allowlist import import_refusal
from reptarium.sandbox.language.runtime import builtins, facades
from tests.unit.language.support import execute

STDLIB = "N8N_RUNNERS_STDLIB_ALLOW"
EXTERNAL = "N8N_RUNNERS_EXTERNAL_ALLOW"
NOTHING = LanguagePolicy()


def stdlib(*names: str) -> LanguagePolicy:
    """A policy with these standard modules."""
    return LanguagePolicy(stdlib_allow=names)


def refusals(program: str, policy: LanguagePolicy) -> str:
    """What the person reads whose program is refused before it runs."""
    with pytest.raises(PolicyViolation) as caught:
        compile_task(program, policy)
    return caught.value.description


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Installed packages: ``shop`` (with ``shop.tools.deep``), ``carrier`` and ``latecomer`` (which bring ``carried``)."""
    files = {
        "shop/__init__.py": "VERSION = '1'\nfrom os import getcwd as where",
        "shop/tools/__init__.py": "def up(x): return x.upper()",
        "shop/tools/deep.py": "import json\nX = json.loads('5')\nfrom shop import tools",
        "shop/other.py": "Y = 6",
        "shop/_private.py": "Z = 7",
        "latecomer/__init__.py": "def make():\n    import carried\n    return carried.Thing()\n"
        "def read(x, name):\n    import carried\n    return carried.read(x, name)",
        "carrier/__init__.py": "import carried\ndef make(): return carried.Thing()",
        "carried/__init__.py": "class Thing:\n    real = 1\n    def eval(self): return 'unpatched'\n"
        "def read(x, name): return getattr(x, name)",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    _forget_facades()  # façades of the same policy from an earlier test
    yield tmp_path  # type: ignore[misc]
    _forget_facades()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("shop", "carrier", "carried", "latecomer")]:
        del sys.modules[name]


def _forget_facades() -> None:
    builtins.task_builtins.cache_clear()
    facades.importer.cache_clear()


# ---- what an entry opens ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "program", "expected"),
    [
        (("json",), "import json\nreturn json.dumps([1])", "[1]"),
        (("json", "math"), "import json, math\nreturn math.floor(json.loads('1.5'))", 1),
        (("json",), "import json.decoder\nreturn json.decoder.JSONDecodeError is json.JSONDecodeError", True),
        (("json",), "from json.decoder import JSONDecodeError as E\nreturn E.__name__", "JSONDecodeError"),
        (("json",), "from json import decoder\nreturn decoder.JSONDecoder().decode('3')", 3),
        (("json.decoder",), "from json.decoder import JSONDecoder\nreturn JSONDecoder().decode('3')", 3),
        (("json.decoder",), "import json.decoder\nreturn json.decoder.JSONDecoder().decode('3')", 3),
        (("json.decoder",), "import json.decoder as d\nreturn d.JSONDecoder().decode('3')", 3),
        (("json.decoder",), "from json import decoder\nreturn decoder.JSONDecoder().decode('3')", 3),
        (("os.path",), "import os.path\nreturn os.path.basename('/a/b')", "b"),
        (("os.path",), "from os.path import basename\nreturn basename('/a/b')", "b"),
        (("os.path",), "from os import path\nreturn path.basename('/a/b')", "b"),
        (("os",), "import os\nreturn os.path.basename('/a/b'), os.getenv('HOME')", ("b", None)),
        (("xml",), "import xml.etree.ElementTree as ET\nreturn ET.fromstring('<a/>').tag", "a"),
        (("xml.etree",), "from xml.etree import ElementTree\nreturn ElementTree.fromstring('<a/>').tag", "a"),
        (("xml.etree.ElementTree",), "import xml.etree.ElementTree\nreturn xml.etree.ElementTree.XML('<a/>').tag", "a"),
        (("urllib.parse",), "from urllib.parse import quote\nreturn quote('a b')", "a%20b"),
        (("urllib",), "from urllib import parse\nreturn parse.quote('a b')", "a%20b"),
        (("collections",), "from collections.abc import Mapping\nreturn isinstance({}, Mapping)", True),
        (("collections.abc",), "import collections.abc\nreturn isinstance({}, collections.abc.Mapping)", True),
        (("*",), "import json, re, math, csv\nreturn re.sub('a', 'b', 'a')", "b"),
        (("datetime",), "from datetime import date\nreturn date(2024, 2, 29).strftime('%d %B')", "29 February"),
        (("json",), "def f():\n    import json\n    return json.loads('1')\nreturn f()", 1),
        (
            ("json",),
            "def f():\n    from json import loads as l\n    return l('1')\nreturn [f() for _ in range(2)]",
            [1, 1],
        ),
        (("json",), "class A:\n    import json\nreturn A.json.loads('1')", 1),
        (("json", "importlib"), "import importlib\nreturn importlib.import_module('json').loads('1')", 1),
        (("json",), "return __import__('json').loads('1')", 1),
        (("json",), "try:\n    import json as fast\nexcept ImportError:\n    fast = None\nreturn fast.loads('1')", 1),
        (("dataclasses",), "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\nreturn A(1).x", 1),
        ((), "from __future__ import annotations\nx: int = 1\nreturn x", 1),
    ],
)
def test_entry_opens_the_module_and_what_is_below(allowed: tuple[str, ...], program: str, expected: object) -> None:
    """An entry opens the module of that name and its submodules, by every form of import."""
    assert execute(program, stdlib(*allowed)) == expected


@pytest.mark.parametrize(
    ("allowed", "program", "missing"),
    [
        (("json.decoder",), "import json.decoder\njson.dumps(1)", "module 'json' has no attribute 'dumps'"),
        (("os.path",), "import os\nos.getenv('HOME')", "module 'os' has no attribute 'getenv'"),
        (("xml.etree",), "import xml.etree\nxml.sax", "module 'xml' has no attribute 'sax'"),
        (
            ("collections.abc",),
            "import collections\ncollections.Counter",
            "module 'collections' has no attribute 'Counter'",
        ),
    ],
)
def test_the_way_to_an_entry_is_not_opened(allowed: tuple[str, ...], program: str, missing: str) -> None:
    """``import a.b`` binds ``a``: where only ``a.b`` is listed, ``a`` leads there and holds nothing else."""
    top = missing.split("'")[1]
    text = f"{missing}: {STDLIB} lists modules below '{top}', but not '{top}' itself"
    with pytest.raises(AttributeError) as caught:
        execute(program, stdlib(*allowed))
    assert str(caught.value) == text


def test_from_the_way_to_an_entry() -> None:
    """The same, asked for with ``from``."""
    with pytest.raises(RefusedImport) as caught:
        execute("from json import decoder, dumps", stdlib("json.decoder"))
    assert str(caught.value) == (
        f"cannot import name 'dumps' from 'json': {STDLIB} lists modules below 'json', but not 'json' itself"
    )


# ---- refusals ----------------------------------------------------------------------------

_NOT_STANDARD = f"it is not on the list of allowed standard modules. {STDLIB} decides this."
_NOT_EXTERNAL = f"it is not on the list of allowed packages. {EXTERNAL} decides this."


@pytest.mark.parametrize(
    ("policy", "program", "text"),
    [
        (NOTHING, "import json", f"Line 1: import of 'json' is not allowed: {_NOT_STANDARD}"),
        (NOTHING, "\n\nfrom json import loads", f"Line 3: import of 'json' is not allowed: {_NOT_STANDARD}"),
        (NOTHING, "import requests", f"Line 1: import of 'requests' is not allowed: {_NOT_EXTERNAL}"),
        (NOTHING, "def f():\n    import pandas as pd", f"Line 2: import of 'pandas' is not allowed: {_NOT_EXTERNAL}"),
        (NOTHING, "class A:\n    from lxml import etree", f"Line 2: import of 'lxml' is not allowed: {_NOT_EXTERNAL}"),
        (NOTHING, "x = 1\n__import__('json')", f"Line 2: import of 'json' is not allowed: {_NOT_STANDARD}"),
        (stdlib("json"), "import json, re", f"Line 1: import of 're' is not allowed: {_NOT_STANDARD}"),
        (stdlib("json"), "import jsonschema", f"Line 1: import of 'jsonschema' is not allowed: {_NOT_EXTERNAL}"),
        (stdlib("js"), "import json", f"Line 1: import of 'json' is not allowed: {_NOT_STANDARD}"),
        (stdlib("json.decoder"), "import json.encoder", f"Line 1: import of 'json.encoder' is not allowed: {_NOT_STANDARD}"),
        (stdlib("urllib.parse"), "import urllib.request", "Line 1: import of 'urllib.request' is not allowed: tasks have no network; let n8n do the request, with _helpers.http_request(…) or an HTTP Request node. REPTARIUM_CONNECT_ALLOW decides this."),
        (stdlib("*"), "import urllib.request", "Line 1: import of 'urllib.request' is not allowed: tasks have no network; let n8n do the request, with _helpers.http_request(…) or an HTTP Request node. REPTARIUM_CONNECT_ALLOW decides this."),
        (stdlib("*"), "import subprocess", "Line 1: import of 'subprocess' is not allowed: tasks start no processes; use threads (concurrent.futures), or let n8n do it in another node. No setting allows it."),
        (stdlib("subprocess"), "import subprocess", "Line 1: import of 'subprocess' is not allowed: tasks start no processes; use threads (concurrent.futures), or let n8n do it in another node. No setting allows it."),
        (stdlib("*"), "import requests", f"Line 1: import of 'requests' is not allowed: {_NOT_EXTERNAL}"),
        (stdlib("requests"), "import requests", f"Line 1: import of 'requests' is not allowed: {_NOT_EXTERNAL}"),
        (LanguagePolicy(external_allow=("*",)), "import json", f"Line 1: import of 'json' is not allowed: {_NOT_STANDARD}"),
        (LanguagePolicy(external_allow=("json",)), "import json", f"Line 1: import of 'json' is not allowed: {_NOT_STANDARD}"),
        (LanguagePolicy(external_allow=("a.b",)), "import a.c", f"Line 1: import of 'a.c' is not allowed: {_NOT_EXTERNAL}"),
        (LanguagePolicy(external_allow=("a",)), "import ab", f"Line 1: import of 'ab' is not allowed: {_NOT_EXTERNAL}"),
        (LanguagePolicy(external_allow=("*",)), "import a._b", "Line 1: import of 'a._b' is not allowed: it is a private module. No setting allows it."),
        (LanguagePolicy(external_allow=("*",)), "import reptarium.sandbox.language", "Line 1: import of 'reptarium.sandbox.language' is not allowed: it is the sandbox's own. No setting allows it."),
        (LanguagePolicy(("*",), ("*",)), "import _socket", "Line 1: import of '_socket' is not allowed: it is not among the modules for tasks. No setting allows it."),
    ],
)  # fmt: skip
def test_refusal_names_line_module_and_setting(policy: LanguagePolicy, program: str, text: str) -> None:
    """A refused import names its line, the module, why, and the setting that would allow it, or that none does."""
    assert refusals(program, policy) == text


def test_every_refused_import_is_told() -> None:
    """All refused imports of a program are told at once."""
    text = refusals("import json\nx = 1\nfrom requests.sessions import Session\nimport re", stdlib("re"))
    assert text == (
        f"Line 1: import of 'json' is not allowed: {_NOT_STANDARD}\n"
        f"Line 3: import of 'requests.sessions' is not allowed: {_NOT_EXTERNAL}"
    )


@pytest.mark.parametrize(
    "program",
    [
        "import importlib\nreturn importlib.import_module(name)",
        "from importlib import import_module\nreturn import_module(name)",
        "return __import__(name)",
        "return __import__(name, fromlist=['x'])",
    ],
)
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("json", _NOT_STANDARD),
        ("requests", _NOT_EXTERNAL),
        (
            "subprocess",
            "tasks start no processes; use threads (concurrent.futures), or let n8n do it in another node. No setting allows it.",
        ),
        ("os.path", _NOT_STANDARD),
    ],
)
def test_name_known_only_when_it_runs(program: str, name: str, why: str) -> None:
    """A module named by a variable meets the same lists and the same words, as an ImportError that can be caught."""
    with pytest.raises(RefusedImport) as caught:
        execute(program, stdlib("importlib"), name=name)
    assert str(caught.value) == f"import of '{name}' is not allowed: {why}"
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == name
    caught_inside = "try:\n    __import__(name)\nexcept ImportError as e:\n    return str(e)"
    assert execute(caught_inside, stdlib("importlib"), name=name) == str(caught.value)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("from http import server", "a task lives for its items and can't be connected to; let a Webhook node of n8n's answer"),
        ("from concurrent.futures import process", "tasks start no processes; use threads (concurrent.futures), or let n8n do it in another node"),
        ("from xml.dom import pulldom", "it is a part of 'xml', which has what tasks need of it"),
        ("from urllib import robotparser", "tasks have no network; let n8n do the request, with _helpers.http_request(…) or an HTTP Request node. REPTARIUM_CONNECT_ALLOW decides this."),
    ],
)  # fmt: skip
def test_a_part_that_is_refused_says_why_however_it_is_imported(program: str, why: str) -> None:
    """``from a import b`` as ``import a.b``."""
    package, part = program.removeprefix("from ").split(" import ")
    with pytest.raises(RefusedImport) as caught:
        execute(program, LanguagePolicy(("*",), ("*",)))
    assert str(caught.value) == f"cannot import name '{part}' from '{package}': {why}"
    with pytest.raises(PolicyViolation) as refused:
        compile_task(f"import {package}.{part}", LanguagePolicy(("*",), ("*",)))
    assert why in refused.value.description


@pytest.mark.parametrize(
    ("program", "kind", "text"),
    [
        ("import no_such_package", ModuleNotFoundError, "No module named 'no_such_package'"),
        ("from no_such_package.sub import x", ModuleNotFoundError, "No module named 'no_such_package'"),
        ("from json import no_such_name", ImportError, "cannot import name 'no_such_name' from 'json'"),
        (
            "import json.no_such_module",
            PolicyViolation,
            "Security violation: Line 1: import of 'json.no_such_module' is not allowed",
        ),
    ],
)
def test_what_does_not_exist(program: str, kind: type[Exception], text: str) -> None:
    """With everything allowed, what isn't there is missed in Python's own words."""
    with pytest.raises(kind) as caught:
        execute(program, LanguagePolicy(("*",), ("*",)))
    assert str(caught.value) == text


# ---- packages ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "program", "expected"),
    [
        ("shop", "import shop\nreturn shop.VERSION", "1"),
        ("shop", "from shop import tools\nreturn tools.up('a')", "A"),
        ("shop", "from shop import tools as t, VERSION, other\nreturn t.up('a'), VERSION, other.Y", ("A", "1", 6)),
        ("shop", "import shop.tools.deep\nreturn shop.tools.deep.X, shop.tools.up('a')", (5, "A")),
        ("shop", "import shop.tools.deep as d\nreturn d.X", 5),
        ("shop", "from shop.tools.deep import X\nreturn X", 5),
        ("shop", "from shop.tools import deep\nreturn deep.X", 5),
        ("shop", "def f():\n    from shop.tools import up\n    return up('b')\nreturn f()", "B"),
        ("shop.tools", "import shop.tools\nreturn shop.tools.up('a')", "A"),
        ("shop.tools", "from shop.tools.deep import X\nreturn X", 5),
        ("shop.tools", "from shop import tools\nreturn tools.up('a')", "A"),
        ("shop.tools.deep", "import shop.tools.deep\nreturn shop.tools.deep.X", 5),
        ("*", "import shop.other, carrier\nreturn shop.other.Y", 6),
    ],
)
@pytest.mark.usefixtures("packages")
def test_package_entries(allowed: str, program: str, expected: object) -> None:
    """Entries for packages open them and what is below, by every form of import."""
    assert execute(program, LanguagePolicy(external_allow=(allowed,))) == expected


@pytest.mark.parametrize(
    ("allowed", "program", "kind", "text"),
    [
        ("shop.tools", "import shop.tools\nshop.VERSION", AttributeError, f"module 'shop' has no attribute 'VERSION': {EXTERNAL} lists modules below 'shop', but not 'shop' itself"),
        ("shop.tools", "from shop import VERSION", ImportError, f"cannot import name 'VERSION' from 'shop': {EXTERNAL} lists modules below 'shop', but not 'shop' itself"),
        ("shop.tools.deep", "import shop.tools.deep\nshop.tools.up", AttributeError, f"module 'shop.tools' has no attribute 'up': {EXTERNAL} lists modules below 'shop.tools', but not 'shop.tools' itself"),
        ("shop", "import shop\nshop.other", AttributeError, "module 'shop' has no attribute 'other'"),
        ("shop", "from shop import _private", ImportError, "cannot import name '_private' from 'shop'"),
        ("carrier", "import carrier\ncarrier.carried", AttributeError, "module 'carrier' has no attribute 'carried'"),
        ("carrier", "from carrier import carried", ImportError, "cannot import name 'carried' from 'carrier'"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("packages")
def test_what_an_entry_does_not_open(allowed: str, program: str, kind: type[Exception], text: str) -> None:
    """The way to an entry, private modules, and what a package imports for itself stay closed."""
    with pytest.raises(kind) as caught:
        execute(program, LanguagePolicy(external_allow=(allowed,)))
    assert str(caught.value) == text


def test_an_allowed_package_brings_along_what_it_needs(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transitive imports need no entry; what is known to be dangerous in them is taken out all the same."""

    def patch(carried: Any) -> None:
        carried.Thing.eval = refusing("Thing.eval", "it runs text as code")

    monkeypatch.setitem(arrivals.PATCHES, "carried", patch)
    policy = LanguagePolicy(external_allow=("carrier",))
    assert execute("import carrier\nreturn type(carrier.make()).__name__", policy) == "Thing"
    with pytest.raises(AttributeError, match=r"^Thing\.eval is not allowed: it runs text as code"):
        execute("import carrier\ncarrier.make().eval()", policy)


def test_a_package_that_comes_in_the_middle_of_a_function(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a package imports while a task runs is treated before anyone gets hold of it."""

    def patch(carried: Any) -> None:
        carried.Thing.eval = refusing("Thing.eval", "it runs text as code")

    monkeypatch.setitem(arrivals.PATCHES, "carried", patch)
    policy = LanguagePolicy(external_allow=("latecomer",))
    execute("return 1", policy)
    monkeypatch.setattr(audit, "_ROOTS", (*audit._ROOTS, f"{packages}/"))  # where packages lie
    assert execute("import latecomer\nreturn latecomer.read(latecomer.make(), 'real')", policy) == 1
    with pytest.raises(AttributeError, match=r"^Thing\.eval is not allowed: it runs text as code"):
        execute("import latecomer\nlatecomer.make().eval()", policy)
    with pytest.raises(AttributeError, match=r"^the attribute '__globals__' is not allowed"):
        execute("import latecomer\nlatecomer.read(latecomer.make, '__globals__')", policy)


@pytest.mark.skipif(importlib.util.find_spec("dateutil") is None, reason="python-dateutil is not installed")
def test_a_package_uses_standard_modules_that_tasks_may_not() -> None:
    """Which standard modules a package imports is its own business."""
    policy = LanguagePolicy(external_allow=("dateutil",))
    assert execute("from dateutil.parser import parse\nreturn parse('2024-02-29').day", policy) == 29
    assert refusals("import datetime", policy) == f"Line 1: import of 'datetime' is not allowed: {_NOT_STANDARD}"


# ---- builtins and preloading ---------------------------------------------------------------


def test_denied_builtins_name_their_setting() -> None:
    """A builtin that the administrator takes away is refused with the setting; the program's own name is not."""
    policy = LanguagePolicy(builtins_deny=("print", "getattr"))
    assert refusals("x = 1\nprint(x)", policy) == (
        "Line 2: 'print' is not allowed: the administrator removed it. N8N_RUNNERS_BUILTINS_DENY decides this."
    )
    assert execute("def getattr(o, n): return n\nreturn getattr(1, 'x')", policy) == "x"


def test_preload_imports_what_is_named(packages: Path) -> None:
    """Explicit names of both lists and of REPTARIUM_PRELOAD are imported ahead; ``*`` and unlisted ones aren't."""
    policy = LanguagePolicy(("graphlib",), ("shop.tools", "not_installed"), preload=("carried", "nor_this"))
    sys.modules.pop("graphlib", None)
    failed = preload(policy)
    assert {"graphlib", "shop.tools", "carried"} <= sys.modules.keys()
    assert not {"shop.other", "carrier"} & sys.modules.keys()
    assert failed == ["not_installed: No module named 'not_installed'", "nor_this: No module named 'nor_this'"]


@pytest.mark.usefixtures("packages")
def test_preloading_allows_nothing() -> None:
    """A preloaded module that no list names is there for packages; user code still may not import it."""
    policy = LanguagePolicy(preload=("carried",))
    assert preload(policy) == []
    assert refusals("import carried", policy) == f"Line 1: import of 'carried' is not allowed: {_NOT_EXTERNAL}"
    with pytest.raises(RefusedImport):
        execute("__import__(name)", policy, name="carried")


def _needed(name: str, known: dict[str, set[str]]) -> dict[str, set[str]]:
    """The distributions that one needs, with itself → the modules that they bring."""
    if name not in known:
        known[name] = set()
        for requirement in map(Requirement, importlib.metadata.requires(name) or ()):
            # neither an extra's nor another Python's, which may be installed for somebody else's sake
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                _needed(requirement.name.lower().replace("_", "-"), known)
    return known


def test_all_that_the_runner_needs_is_its_own() -> None:
    """Whatever is installed for the runner's sake is opened by its name alone."""
    needed = _needed("reptarium", {})
    assert {"trio", "attrs", "markdown-it-py", "restrictedpython"} <= needed.keys()
    brought = {
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if not {name.lower().replace("_", "-") for name in names}.isdisjoint(needed)
    }
    assert {"trio", "dns", "markdown_it"} <= brought
    opened = sorted(name for name in brought if import_refusal(LanguagePolicy(external_allow=("*",)), name) is None)
    assert opened == ["attr", "attrs"]  # people's classes are written with it


@pytest.mark.parametrize(
    "name", ["structlog", "rich", "starlette", "prometheus_client", "typing_extensions", "trio", "h11", "dns"]
)
def test_the_star_does_not_open_what_the_runner_is_made_of(name: str) -> None:
    """Its own packages are there for itself; named, they are opened."""
    why = f"it is a part of the runner, which '*' does not open; name it to open it. {EXTERNAL} decides this."
    assert refusals(f"import {name}", LanguagePolicy(external_allow=("*",))) == (
        f"Line 1: import of '{name}' is not allowed: {why}"
    )
    assert import_refusal(LanguagePolicy(external_allow=(name,)), name) is None
    assert import_refusal(LanguagePolicy(external_allow=("*", name)), f"{name}.sub") is None
