"""Modules keep the modules that they use: façades carry none of them, and guarded names stop where classes keep some.

The known hops, one by one; ``test_facade_walk.py`` looks for unknown ones.
"""

from __future__ import annotations

import posixpath

import pytest
from programs import NO_SETTING, Attack, at_compile, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport
from reptarium.sandbox.language.policy.names import MODULE_HOLDERS
from tests.each import each

#: Module, and a module that it keeps under this name on some supported Python.
HOPS = [
    ("json", "codecs"), ("json", "scanner"), ("json.decoder", "scanner"), ("json.decoder", "re"), ("json.encoder", "re"),
    ("re", "enum"), ("re", "functools"), ("re", "copyreg"), ("re", "_compiler"), ("enum", "sys"), ("enum", "bltns"),
    ("uuid", "os"), ("uuid", "sys"), ("uuid", "_uuid"), ("contextlib", "os"), ("contextlib", "sys"), ("contextlib", "abc"),
    ("contextlib", "_collections_abc"), ("statistics", "sys"), ("statistics", "math"), ("random", "_os"), ("random", "_sha512"),
    ("collections", "_sys"), ("collections", "_collections_abc"), ("functools", "abc"), ("typing", "sys"), ("typing", "types"),
    ("typing", "functools"), ("typing", "collections"), ("typing", "contextlib"), ("typing", "operator"), ("dataclasses", "sys"),
    ("dataclasses", "inspect"), ("dataclasses", "builtins"), ("dataclasses", "keyword"), ("dataclasses", "abc"), ("copy", "types"),
    ("copy", "weakref"), ("copy", "copyreg"), ("string", "_string"), ("textwrap", "re"), ("datetime", "sys"), ("decimal", "_decimal"),
    ("fractions", "sys"), ("calendar", "sys"), ("calendar", "locale"), ("csv", "re"), ("csv", "io"), ("difflib", "difflib"),
    ("gzip", "builtins"), ("gzip", "io"), ("gzip", "os"), ("bz2", "os"), ("lzma", "os"), ("html", "re"), ("html.parser", "_markupbase"),
    ("email", "sys"), ("email.message", "binascii"), ("email.utils", "os"), ("email.utils", "socket"), ("email.utils", "random"),
    ("email.generator", "sys"), ("logging", "sys"), ("logging", "os"), ("logging", "io"), ("logging", "threading"), ("logging", "weakref"),
    ("logging", "warnings"), ("traceback", "linecache"), ("traceback", "sys"), ("warnings", "sys"), ("pprint", "sys"), ("queue", "threading"),
    ("queue", "types"), ("sched", "threading"), ("secrets", "os"), ("hashlib", "_hashlib"), ("hmac", "_hashopenssl"), ("ipaddress", "functools"),
    ("zoneinfo", "_tzpath"), ("zoneinfo", "_common"), ("zipfile", "shutil"), ("zipfile", "os"), ("zipfile", "threading"), ("zipfile", "importlib"),
    ("tarfile", "os"), ("tarfile", "pwd"), ("tarfile", "grp"), ("configparser", "os"), ("configparser", "sys"), ("plistlib", "codecs"),
    ("mimetypes", "os"), ("mimetypes", "posixpath"), ("locale", "os"), ("pathlib", "os"), ("pathlib", "io"), ("platform", "subprocess"),
    ("platform", "os"), ("weakref", "sys"), ("weakref", "gc"), ("urllib.parse", "sys"), ("urllib.parse", "unicodedata"),
    ("xml.etree.ElementTree", "sys"), ("xml.etree.ElementTree", "ElementPath"), ("xml.sax.saxutils", "os"), ("xml.sax.saxutils", "io"),
    ("os.path", "os"), ("os.path", "genericpath"), ("os.path", "sys"), ("os", "sys"), ("os", "abc"), ("os", "st"), ("ast", "sys"), ("types", "sys"),
    ("shlex", "os"), ("fnmatch", "posixpath"), ("fnmatch", "os"), ("reprlib", "builtins"), ("tomllib", "_parser"), ("graphlib", "types"),
    ("numpy", "os"), ("numpy", "sys"), ("numpy.linalg", "functools"), ("numpy.random", "_pickle"), ("pandas", "np"),
    ("pandas.api.types", "np"), ("yaml", "io"), ("pydantic", "sys"), ("pydantic.fields", "inspect"),
]  # fmt: skip
#: What hops lead to that is a module below the one that is asked: why it isn't had is said.
PARTS = {("json", "scanner"): ": it is a part of 'json', which has what tasks need of it"}
HOLDER = f"it leads to a module that isn't allowed. {NO_SETTING}"
ATTACKS = {
    "conditional_import": Attack("try:\n    from json import codecs\nexcept ImportError: raise\nreached.append(codecs)", "cannot import name 'codecs' from 'json'", RefusedImport),
    "import_as": at_compile("import json.codecs as c\nreached.append(c)", "import of 'json.codecs' is not allowed"),
    "dotted_import": at_compile("import uuid.os\nreached.append(uuid.os)", "import of 'uuid.os' is not allowed"),
    "import_through_a_package": at_compile("import xml.sax.expatreader as e\nreached.append(e)", "import of 'xml.sax.expatreader' is not allowed"),
    "module_set_by_the_user": at_compile("import json\njson.os = holder\nreached.append(json.os)", "changing 'os' of the module 'json' is not allowed"),
    "module_of_a_function": at_compile("import json\nreached.append(json.dumps.__globals__['codecs'])", "the attribute '__globals__' is not allowed"),
    "module_of_a_class": at_compile("import json\nreached.append(json.JSONDecoder.__init__.__globals__)", "the attribute '__globals__' is not allowed"),
}  # fmt: skip


class Holder:
    """Stands for a library's object that keeps modules, under every name that the policy knows."""


for _name in MODULE_HOLDERS:
    setattr(Holder, _name, posixpath)


@each(("module", "name"), HOPS)
def test_hop(module: str, name: str) -> None:
    """The façade has no such attribute, however one asks."""
    program = f"import {module} as m\n"
    gone = f"module '{module}' has no attribute '{name}'"
    check(Attack(f"{program}reached.append(m.{name})", gone, AttributeError))
    check(Attack(f"{program}reached.append(getattr(m, '{name}'))", gone, AttributeError))
    check(Attack(f"{program}import operator\nreached.append(operator.attrgetter('{name}')(m))", gone, AttributeError))
    check(
        Attack(
            f"from {module} import {name} as x\nreached.append(x)",
            f"cannot import name '{name}' from '{module}'" + PARTS.get((module, name), ""),
            RefusedImport,
        )
    )


@pytest.mark.parametrize("name", sorted(MODULE_HOLDERS))
def test_object_that_keeps_a_module(name: str) -> None:
    """A real module is not handed out, whatever keeps it."""
    text = f"the attribute '{name}' is not allowed: {HOLDER}"
    check(Attack(f"reached.append(holder.{name})", text), holder=Holder())
    check(Attack("reached.append(getattr(holder, name))", text), holder=Holder(), name=name)
    check(
        Attack("from operator import attrgetter\nreached.append(attrgetter(name)(holder))", text),
        holder=Holder(),
        name=name,
    )
    check_nothing_reached("if name in vars(kind): reached.append(vars(kind)[name])", kind=Holder, name=name)


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_other_ways(attack: Attack) -> None:
    """Dotted imports, functions' globals, attributes of the user's own."""
    check(attack, holder=Holder())


def test_paths_keep_their_module() -> None:
    """``PurePath._flavour`` and ``.parser`` are ``posixpath`` or hold it, depending on the Python: none comes out."""
    check_nothing_reached(
        """
        from pathlib import PurePosixPath, PureWindowsPath
        for kind in (PurePosixPath, PureWindowsPath):
            for owner in (kind, kind('a')):
                for name in ('_flavour', 'parser', '_parser'):
                    try: flavour = getattr(owner, name)
                    except AttributeError: continue
                    if type(flavour).__name__ == 'module': reached.append(flavour)
                    for inner in ('pathmod', 'os', 'genericpath', 'sys'):
                        try: found = getattr(flavour, inner)
                        except AttributeError: continue
                        if type(found).__name__ == 'module': reached.append(found)
        """
    )
