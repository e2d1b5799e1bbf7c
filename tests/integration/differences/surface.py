"""The surface that code of n8n's Python node stands on, item by item, as small programs.

Every builtin, the import of every module of the standard library and each of its public names, what results,
keys and prints may hold, every exception's text, each construct of the language and each special attribute. What
each gives under n8n's own runner and under ours is recorded in ``surface.json``; ``test_surface.py`` holds ours
against it, ``tests/e2e/original.py`` both.
"""

from __future__ import annotations

import builtins
import importlib.util
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from reptarium.sandbox.language.policy import LanguagePolicy
from reptarium.sandbox.language.policy.allowlist import import_refusal
from tests.integration.differences.programs import (
    ARGUMENTS,
    FAILURES,
    NAMES,
    PRINTS,
    RETURNS,
    SPECIAL,
    SYNTAX,
    UNHASHABLE,
    USES,
    VALUES,
)

_EVERYTHING = LanguagePolicy(stdlib_allow=("*",))

#: The settings that programs run under, by name.
PROFILES: dict[str, dict[str, str]] = {
    "default": {},
    "star": {"N8N_RUNNERS_STDLIB_ALLOW": "*"},
    # what administrators write who want classes and getattr
    "bare": {"N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_BUILTINS_DENY": ""},
    # where the original checks nothing before it runs the code
    "open": {
        "N8N_RUNNERS_STDLIB_ALLOW": "*",
        "N8N_RUNNERS_EXTERNAL_ALLOW": "*",
        "N8N_RUNNERS_BUILTINS_DENY": "",
    },
}


class Item(NamedTuple):
    """One program. ``id`` is ``kind/profile/name``."""

    id: str
    code: str
    mode: str = "all"
    continue_on_fail: bool = False

    @property
    def profile(self) -> str:
        return self.id.split("/")[1]


def settings(item: Item) -> dict[str, Any]:
    """The task's settings, in the protocol's form."""
    return {
        "code": item.code,
        "nodeMode": "runOnceForAllItems" if item.mode == "all" else "runOnceForEachItem",
        "items": [{"json": {"n": 1}}, {"json": {"n": 2}}],
        "continueOnFail": item.continue_on_fail,
    }


def items() -> Iterator[Item]:
    """The whole surface, as far as the running Python has it."""
    for make in (_builtins, _imports, _names, _values, _exceptions, _failures, _syntax, _attributes, _given_names):
        yield from make()


# ---- builtins ------------------------------------------------------------------------------


def _builtins() -> Iterator[Item]:
    for profile in ("star", "bare", "open"):
        for name in sorted(set(dir(builtins)) - {"None", "True", "False", "_"}):
            use = USES.get(name, f"{name} is None")
            yield Item(f"builtin/{profile}/{name}", f"return [{{'json': {{'v': {use}}}}}]")


# ---- modules -------------------------------------------------------------------------------

#: Importing it opens a browser.
_NOT_IMPORTED = {"antigravity"}
#: Packages whose submodules nobody's data needs: Python's own tests, tools with a window, one module per encoding.
_NO_SUBMODULES = {"test", "idlelib", "lib2to3", "turtledemo", "encodings", "ensurepip", "tkinter", "pydoc_data"}


@cache
def modules() -> tuple[str, ...]:
    """The standard library's modules that can be imported here, and the submodules of its packages, by name."""
    found = []
    for name in sorted(sys.stdlib_module_names - _NOT_IMPORTED):
        found.append(name)
        if name not in _NO_SUBMODULES and (path := _path(name)):
            found += [f"{name}.{each.name}" for each in pkgutil.iter_modules(path) if each.name != "__main__"]
            found += [
                f"{name}.{each.name}.{deeper.name}"
                for each in pkgutil.iter_modules(path)
                if each.ispkg
                for deeper in pkgutil.iter_modules(_path(f"{name}.{each.name}") or [])
                if deeper.name != "__main__"
            ]
    # some have their own tests within
    found = [name for name in found if ".test" not in name]
    return tuple(name for name in found if name in importable(tuple(found)))


def _path(name: str) -> list[str] | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.submodule_search_locations is None else list(spec.submodule_search_locations)


@cache
def importable(names: tuple[str, ...]) -> frozenset[str]:
    """Which of ``names`` an interpreter of its own imports: a build may lack some."""
    program = (
        "import importlib, os, sys, warnings\nwarnings.simplefilter('ignore')\nout = os.dup(1)\nos.dup2(2, 1)\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n        importlib.import_module(name)\n    except BaseException:\n        continue\n"
        "    os.write(out, name.encode() + b'\\n')\n"
    )
    return frozenset(_interpreter(program, names).split())


@cache
def _all_public_names() -> dict[str, tuple[str, ...]]:
    program = (
        "import importlib, json, os, sys, types, warnings\nwarnings.simplefilter('ignore')\n"
        "out = os.dup(1)\nos.dup2(2, 1)\nfound = {}\n"
        "for name in sys.argv[1:]:\n"
        "    module = importlib.import_module(name)\n"
        "    found[name] = sorted(n for n, v in vars(module).items() if not n.startswith('_') and n != 'format'\n"
        "                         and not isinstance(v, types.ModuleType)\n"
        "                         and (v is not None or n not in sys.stdlib_module_names))\n"  # comes at first use
        "os.write(out, json.dumps(found).encode())\n"
    )
    done = _interpreter(program, [name for name in modules() if import_refusal(_EVERYTHING, name) is None])
    return {name: tuple(names) for name, names in json.loads(done).items()}


def public_names(module: str) -> tuple[str, ...]:
    """The public names of an open module that aren't modules themselves, as an interpreter of its own has them.

    But for ``format``, which the original refuses whoever has it.
    """
    return _all_public_names()[module]


def _interpreter(program: str, arguments: Iterable[str]) -> str:
    """What a program prints that an interpreter without any of ours runs."""
    command = [sys.executable, "-I", "-c", program, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()


def _imports() -> Iterator[Item]:
    for where in ("default", "star"):
        for name in modules():
            if where == "star" or "." not in name:
                yield Item(f"import/{where}/{name}", f"import {name}\nreturn [{{'json': {{'v': True}}}}]")


def _names() -> Iterator[Item]:
    """What of a module's public names can't be read; a whole module that is refused shows in its import."""
    for module in modules():
        if import_refusal(_EVERYTHING, module) is None:
            lines = [f"import {module}", "missing = []"]
            for name in public_names(module):
                lines += ["try:", f"    {module}.{name}", "except Exception:", f"    missing.append('{name}')"]
            lines.append("return [{'json': {'missing': missing}}]")
            yield Item(f"names/star/{module}", "\n".join(lines))


# ---- values --------------------------------------------------------------------------------


def _values() -> Iterator[Item]:
    for name, imports, value in VALUES + UNHASHABLE:
        yield Item(f"result/star/{name}", f"{imports}\nreturn [{{'json': {{'v': {value}}}}}]".lstrip())
        yield Item(f"print/star/{name}", f"{imports}\nprint({value})\nreturn []".lstrip())
    for name, imports, value in VALUES:
        yield Item(f"key/star/{name}", f"{imports}\nreturn [{{'json': {{{value}: 1}}}}]".lstrip())
    for name, code in RETURNS.items():
        yield Item(f"return/star/{name}", code)
        yield Item(f"return-each/star/{name}", code, mode="each")
    for name, code in PRINTS.items():
        yield Item(f"print/star/call-{name}", f"{code}\nreturn []")
    yield Item("print/star/call-each", "print(_item['json']['n'])\nreturn None", mode="each")


# ---- errors --------------------------------------------------------------------------------


def _exceptions() -> Iterator[Item]:
    for name in sorted(dir(builtins)):
        cls = getattr(builtins, name)
        if not (isinstance(cls, type) and issubclass(cls, BaseException)) or name.startswith("_"):
            continue
        yield Item(f"raise/star/{name}", f"raise {name}({ARGUMENTS.get(name, repr('text'))})")
        if name not in ARGUMENTS:
            yield Item(f"raise-without-text/star/{name}", f"raise {name}()")


def _failures() -> Iterator[Item]:
    for name, code in FAILURES.items():
        yield Item(f"error/star/{name}", code)
        yield Item(f"error-each/star/{name}", code, mode="each")
        yield Item(f"error-continue/star/{name}", code, continue_on_fail=True)


# ---- the language --------------------------------------------------------------------------


def _syntax() -> Iterator[Item]:
    for profile in ("star", "bare", "open"):
        for name, code in SYNTAX.items():
            ending = "" if name == "indented-program" else "\nreturn [{'json': {'v': v}}]"
            yield Item(f"syntax/{profile}/{name}", code + ending)


def _attributes() -> Iterator[Item]:
    for profile in ("star", "open"):
        for name in SPECIAL:
            code = (
                f"def f(): pass\nseen = []\nfor x in (f, 'a', ValueError('b')):\n    try:\n        x.{name}\n"
                "        seen.append('there')\n    except AttributeError:\n        seen.append('not there')\n"
                "return [{'json': {'seen': seen}}]"
            )
            yield Item(f"attribute/{profile}/{name}", code)


def _given_names() -> Iterator[Item]:
    for name in NAMES:
        for mode in ("all", "each"):
            code = (
                f"def read():\n    return {name}\nv = 'not there'\n"
                "try:\n    read()\n    v = 'there'\nexcept NameError:\n    pass\n"
            )
            ending = "return [{'json': {'v': v}}]" if mode == "all" else "return {'v': v}"
            yield Item(f"given-{mode}/star/{name}", code + ending, mode=mode)
