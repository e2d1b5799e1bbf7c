"""Libraries import by names that they are given, and read attributes by names that they made objects of: not what opens
the interpreter, for a task.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest
from programs import NO_SETTING, OPEN, Attack, attribute, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport, hardening
from reptarium.sandbox.language.hardening.imports_by_name import library_import
from reptarium.sandbox.language.runtime.facades import Importer

TEXT = """
import importlib
def by_function(name): return importlib.import_module(name)
def by_builtin(name): return __import__(name)
def by_parts(name): return __import__(name, {}, {}, ["x"])
def of_its_own(): return importlib.import_module("os")
def for_another(name): return by_function(name) if name != "os" else None
"""


def refused(name: str) -> str:
    return (
        f"import of {name!r} is not allowed: a library was given that name, and tasks may not import it. {NO_SETTING}"
    )


WAYS = {
    "by_function": ("by_function('sys')", "sys"),
    "by_builtin": ("by_builtin('builtins')", "builtins"),
    "by_parts": ("by_parts('os.path')", "os.path"),
    "for_another": ("for_another('subprocess')", "subprocess"),
    "lying_string": ("by_function(type('S', (str,), {'partition': lambda s, x: ('a', '', '')})('ctypes'))", "ctypes"),
    "mapped": ("list(map(by_builtin, ['posix']))", "posix"),
}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A package's module, as it is when it has arrived."""
    hardening.harden()
    module = ModuleType("library")
    module.__dict__.update(__package__="library", __import__=library_import)
    exec(TEXT, module.__dict__)  # noqa: S102 - as a module is run
    monkeypatch.setitem(sys.modules, "library", module)
    return {name: value for name, value in vars(module).items() if name[:1] != "_" and callable(value)}


@pytest.mark.parametrize("way", WAYS)
def test_names_that_came_as_data(library: dict[str, object], way: str) -> None:
    """What opens the interpreter or the machine isn't imported for a task."""
    program, name = WAYS[way]
    check(Attack(f"reached.append({program})", refused(name), RefusedImport), **library)


def test_names_of_its_own(library: dict[str, object]) -> None:
    """What its text names, what tasks may import, and parts of its package are a library's to import."""
    check_nothing_reached(
        "for each in (lambda: of_its_own(), lambda: by_function('json'), lambda: by_builtin('library')):\n    each()",
        **library,
    )


READS = {
    "attribute": Attack("reached.append(library.attribute(print))", attribute("__globals__")),
    "method": Attack("reached.append(library.method([]))", attribute("__reduce__")),
    "method_with_named_arguments": Attack("reached.append(library.named([]))", attribute("__reduce_ex__")),
}


@pytest.mark.parametrize("attack", by_id(READS))
def test_readers_that_a_package_has_made(monkeypatch: pytest.MonkeyPatch, attack: Attack) -> None:
    """``six.get_function_globals``: made while the package was imported, by the real ones."""
    hardening.harden()
    real = importlib.import_module("_operator")  # of the other tests' process: operator has ours by now
    module = ModuleType("library_of_readers")
    module.__dict__.update(
        attribute=real.attrgetter("__globals__"),
        method=real.methodcaller("__reduce__"),
        named=real.methodcaller("__reduce_ex__", protocol=2),
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    facade = Importer(OPEN).facade(module.__name__)
    check(attack, library=facade)


def test_six() -> None:
    """As it is."""
    pytest.importorskip("six")
    check(
        Attack("import six\nreached.append(six.MovedModule('m', 'os', 'os')._resolve())", refused("os"), RefusedImport)
    )
    check(Attack("import six, json\nreached.append(six.get_function_globals(json.dumps))", attribute("__globals__")))
