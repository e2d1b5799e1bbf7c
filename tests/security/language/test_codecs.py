"""``codecs`` imports modules by an encoding's name, opens files and registers functions: a task has ``encode`` and ``decode``."""

from __future__ import annotations

import codecs

import pytest
from programs import NO_SETTING, Attack, at_compile, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport
from reptarium.sandbox.language.policy.stdlib import ONLY

ATTACKS = {
    "computed_encodings": Attack("reached.append(__import__('enco' + 'dings'))", f"import of 'encodings' is not allowed: it is what codecs is made of; use that. {NO_SETTING}", RefusedImport),
    "encodings": at_compile("import encodings\nreached.append(encodings)", "import of 'encodings' is not allowed"),
    "one_encoding": at_compile("import encodings.idna\nreached.append(encodings.idna)", "import of 'encodings.idna' is not allowed"),
    "c_module": at_compile("import _codecs\nreached.append(_codecs)", "import of '_codecs' is not allowed"),
    "kept_by_json": Attack("import json\nreached.append(json.codecs)", "module 'json' has no attribute 'codecs'", AttributeError),
    "kept_by_json_from": Attack("from json import codecs\nreached.append(codecs)", "cannot import name 'codecs' from 'json'", RefusedImport),
    "kept_by_a_class": Attack("reached.append(keeper.codecs)", f"the attribute 'codecs' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "error_handler": Attack("import codecs\ncodecs.register_error('x', lambda e: reached.append(e))", "module 'codecs' has no attribute 'register_error'", AttributeError),
    "unknown_error_handler": Attack("reached.append('é'.encode('ascii', 'os.system'))", "unknown error handler name 'os.system'", LookupError),
    "unknown_encoding": Attack("reached.append('a'.encode('os'))", "unknown encoding: os", LookupError),
    "dotted_encoding": Attack("reached.append('a'.encode('os.path'))", "unknown encoding: os.path", LookupError),
    "relative_encoding": Attack("reached.append(b'a'.decode('..subprocess'))", "unknown encoding: ..subprocess", LookupError),
    "path_as_encoding": Attack("import codecs\nreached.append(codecs.decode(b'a', '/etc/passwd'))", "unknown encoding: /etc/passwd", LookupError),
    "file_behind_a_stream": Attack("import io\nreached.append(io.FileIO)", "module 'io' has no attribute 'FileIO'", AttributeError),
}  # fmt: skip


class Keeper:
    """Stands for a library's class that keeps the module."""

    codecs = codecs


@pytest.mark.parametrize("attack", by_id(ATTACKS))
def test_attack(attack: Attack) -> None:
    """Nothing but text and bytes comes out."""
    check(attack, keeper=Keeper)


@pytest.mark.parametrize(
    "name", sorted(name for name in vars(codecs) if not name.startswith("__") and name not in ONLY["codecs"].split())
)
def test_what_codecs_does_not_carry(name: str) -> None:
    """Everything but the two functions and the byte order marks stays behind."""
    text = f"module 'codecs' has no attribute '{name}'"
    check(Attack(f"import codecs\nreached.append(codecs.{name})", text, AttributeError))


def test_no_encoding_imports_what_isnt_one() -> None:
    """An encoding's name finds encodings only: nothing new is imported for another name."""
    import sys

    before = set(sys.modules)
    check_nothing_reached(
        "for name in ('antigravity', 'this', 'xml.dom.minidom', '__main__'):\n"
        "    try: reached.append('a'.encode(name))\n    except LookupError: pass"
    )
    assert not {"antigravity", "this", "xml.dom.minidom"} & (set(sys.modules) - before)
