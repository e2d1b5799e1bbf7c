"""``license``, ``credits``, ``copyright`` and ``help`` are objects of Python code: their methods' globals hold ``os`` and ``sys``."""

from __future__ import annotations

import re

import pytest
from programs import Attack, at_compile, by_id, check, check_nothing_reached

from reptarium.sandbox.language import RefusedImport

PRINTERS = ["license", "credits", "copyright", "help", "exit", "quit"]
USES = {
    "called": "reached.append(NAME())",
    "setup": "reached.append(NAME._Printer__setup())",
    "globals": "reached.append(NAME._Printer__setup)",
    "files": "NAME._Printer__filenames = ['/etc/passwd']\nNAME()\nreached.append(1)",
    "class": "reached.append(type(NAME))",
    "repr": "reached.append(repr(NAME))",
    "pattern": "match 1:\n    case _ if NAME: reached.append(NAME)",
}
MODULES = {
    "site": at_compile("import site\nreached.append(site)", "import of 'site' is not allowed"),
    "sitebuiltins": at_compile("import _sitebuiltins\nreached.append(_sitebuiltins)", "import of '_sitebuiltins' is not allowed"),
    "pydoc": at_compile("import pydoc\nreached.append(pydoc)", "import of 'pydoc' is not allowed"),
    "pydoc_data": at_compile("from pydoc_data import topics\nreached.append(topics)", "import of 'pydoc_data' is not allowed"),
    "computed": Attack("reached.append(__import__('si' + 'te'))", "import of 'site' is not allowed: it opens the interpreter itself. No setting allows it.", RefusedImport),
    "kept_by_sys": Attack("import sys\nreached.append(sys.displayhook)", "module 'sys' has no attribute 'displayhook'", AttributeError),
    "numpy_info": Attack("import numpy\nreached.append(numpy.info)", "module 'numpy' has no attribute 'info'", AttributeError),
}  # fmt: skip


@pytest.mark.parametrize("printer", PRINTERS)
@pytest.mark.parametrize("use", USES)
def test_printer(printer: str, use: str) -> None:
    """The name is refused, whatever would be done with it."""
    program = USES[use].replace("NAME", printer)
    # an attribute that is assigned counts as a use of the name too
    check(at_compile(program, "; ".join([f"'{printer}' is not allowed"] * _uses(program, printer))))


def _uses(program: str, printer: str) -> int:
    return len(re.findall(rf"\b{printer}\b", program))


@pytest.mark.parametrize("attack", by_id(MODULES))
def test_module(attack: Attack) -> None:
    """Nor can the module that makes them be had."""
    check(attack)


def test_not_even_their_traces() -> None:
    """No class of theirs is among what builtins and their classes show."""
    check_nothing_reached(
        "for x in (print, len, int, object, type, str, Exception):\n"
        "    for name in dir(x):\n"
        "        if 'Printer' in name or 'Quitter' in name or 'Helper' in name: reached.append(name)"
    )
