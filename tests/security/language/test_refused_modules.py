"""Modules that no allowlist opens, by every way of importing: statement, ``from``, ``as``, call, importlib, façade attribute."""

from __future__ import annotations

import sys

import pytest
from programs import OPEN, Attack, at_compile, by_id, check

from reptarium.sandbox.language import LanguagePolicy, RefusedImport
from reptarium.sandbox.language.policy.allowlist import import_refusal
from reptarium.sandbox.language.policy.stdlib import NETWORK, REFUSED, REFUSED_EXTERNAL
from tests.each import each

#: What n8n has in the place of a module that connects.
NO_NETWORK = "tasks have no network; let n8n do the request, with _helpers.http_request(…) or an HTTP Request node"
NO_SERVICE = dict.fromkeys(
    ("ftplib", "imaplib", "poplib", "smtplib"),
    "tasks have no network; let a node of n8n's do it: Send Email, Email Trigger (IMAP), FTP",
)
#: Every refused module, those behind them, the sandbox's own, and submodules of what is open.
MODULES = [
    *sorted(name for name in REFUSED if name in sys.stdlib_module_names or "." in name),
    *sorted(REFUSED_EXTERNAL),
    "_thread", "_ctypes", "posix", "_io", "_imp", "_socket", "_posixsubprocess", "_pickle", "_testcapi", "_sitebuiltins",
    "reptarium.sandbox.language", "reptarium.sandbox.wire", "reptarium.pool.runner", "RestrictedPython.Guards", "_pytest.monkeypatch",
    "importlib.util", "importlib.machinery", "importlib.abc", "importlib.resources", "importlib._bootstrap",
    "os.nothing", "logging.config", "json.tool", "json.scanner", "collections._x", "email._policybase",
    "unittest.mock", "concurrent.futures.process", "multiprocessing.connection", "ctypes.util", "xml.dom.pulldom", "xml.sax.expatreader",
    "html._x", "urllib.request", "urllib.error", "http.client", "http.server", "zoneinfo._common", "encodings.idna",
    "numpy._core", "numpy._core.multiarray", "pandas._libs", "pydantic._internal", "__main__", "__future__.x", "__mp_main__",
]  # fmt: skip
#: Where the name is known when the program is compiled.
KNOWN = {
    "import": "import NAME as m\nreached.append(m)",
    "from": "from NAME import thing\nreached.append(thing)",
    "in_a_function": "def f():\n    import NAME as m\n    reached.append(m)\nf()",
    "call": "reached.append(__import__('NAME'))",
    "in_a_try": "try:\n    import NAME as m\n    reached.append(m)\nexcept ImportError: pass",
}
#: Where it is not.
COMPUTED = {
    "call": "reached.append(__import__(name))",
    "call_with_a_list": "reached.append(__import__(name, None, None, ['x']))",
    "import_module": "import importlib\nreached.append(importlib.import_module(name))",
    "import_module_from": "from importlib import import_module\nreached.append(import_module(name))",
    "mapped": "reached.append(list(map(__import__, [name])))",
    "partial": "from functools import partial\nreached.append(partial(__import__, name)())",
}


def why(name: str) -> str:
    """The reason that the policy gives, and what decides: nothing, but for what connects."""
    refusal = import_refusal(OPEN, name)
    assert refusal is not None
    if name in NETWORK:
        no_network = NO_SERVICE.get(name, NO_NETWORK)
        assert refusal == (no_network, "REPTARIUM_CONNECT_ALLOW")
        return f"{no_network}. REPTARIUM_CONNECT_ALLOW decides this."
    assert refusal[1] is None
    return f"{refusal[0]}. No setting allows it."


@pytest.mark.parametrize("way", KNOWN)
@each("name", MODULES)
def test_known_name(name: str, way: str) -> None:
    """The program is refused before it runs; a ``try`` around what a setting decides gets the ImportError."""
    if way == "in_a_try" and name in NETWORK:
        program = f"{KNOWN[way].replace('NAME', name)}\nraise ValueError('not imported')"
        check(Attack(program, "not imported", ValueError))
        return
    check(at_compile(KNOWN[way].replace("NAME", name), f"import of '{name}' is not allowed"))


@pytest.mark.parametrize("way", COMPUTED)
@each("name", MODULES)
def test_computed_name(name: str, way: str) -> None:
    """The import is refused when it would happen."""
    message = f"import of '{name}' is not allowed: {why(name)}"
    check(Attack(COMPUTED[way], message, RefusedImport), name=name)


@pytest.mark.parametrize("name", ["subprocess", "ctypes", "builtins", "reptarium.sandbox", "importlib.util"])
def test_naming_it_in_an_allowlist_opens_nothing(name: str) -> None:
    """A refused module stays refused when the administrator lists it."""
    policy = LanguagePolicy(stdlib_allow=(name, "importlib"), external_allow=(name,))
    check(at_compile(f"import {name} as m\nreached.append(m)", f"import of '{name}' is not allowed"), policy)


UNLISTED = {
    "standard": ("json", "it is not on the list of allowed standard modules. N8N_RUNNERS_STDLIB_ALLOW decides this."),
    "external": ("numpy", "it is not on the list of allowed packages. N8N_RUNNERS_EXTERNAL_ALLOW decides this."),
}


@pytest.mark.parametrize("kind", UNLISTED)
def test_what_is_not_listed(kind: str) -> None:
    """The allowlist decides on the others, at run time as well."""
    name, reason = UNLISTED[kind]
    policy = LanguagePolicy(stdlib_allow=("importlib",))
    attack = Attack(COMPUTED["import_module"], f"import of '{name}' is not allowed: {reason}", RefusedImport)
    check(attack, policy, name=name)


NO_NAMES = {
    "relative": Attack("import importlib\nreached.append(importlib.import_module('.x', 'os'))", "only absolute imports by name are available: a task is not part of a package", RefusedImport),
    "relative_by_level": Attack("reached.append(__import__('x', None, None, (), 1))", "only absolute imports by name are available: a task is not part of a package", RefusedImport),
    "bytes": Attack("reached.append(__import__(b'os'))", "only absolute imports by name are available: a task is not part of a package", RefusedImport),
    "no_name": Attack("reached.append(__import__(None))", "only absolute imports by name are available: a task is not part of a package", RefusedImport),
    "empty": Attack("import importlib\nreached.append(importlib.import_module('.'))", "only absolute imports by name are available: a task is not part of a package", RefusedImport),
    "with_globals": at_compile("reached.append(__import__('subprocess', {'__name__': 'os', '__builtins__': {}}))", "import of 'subprocess' is not allowed"),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(NO_NAMES))
def test_other_arguments(attack: Attack) -> None:
    """Relative imports, other types and made-up globals."""
    check(attack)
