"""Imports in libraries' Python code by names that came as data: ``sympy.external.import_module("os")`` returns the
module. What a task may not import for that it opens the interpreter or the machine, no library imports for it; what the
library's own text names is its own business, and so is each part of its package.

As with ``getattr`` (``readers.py``): ``__import__`` is a name in each module's own namespace, which import statements
don't look at.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from types import CodeType, FrameType
from typing import Any

from reptarium.sandbox.language.hardening.audit import importing, watching
from reptarium.sandbox.language.policy import RefusedImport
from reptarium.sandbox.language.policy.stdlib import NETWORK, REFUSED

#: Of the standard library. Encodings are modules that a name of a text's encoding leads to.
_WITHHELD = frozenset("os sys types importlib inspect gc traceback threading codecs io".split()) | {
    name for name in REFUSED if "." not in name and name not in NETWORK and name != "encodings"
}
_import, real_import_module = builtins.__import__, importlib.import_module


def is_withheld(name: str) -> bool:
    """Whether it is a module of the standard library that no library imports for a task."""
    return name.partition(".")[0] in _WITHHELD


def _check(name: object, caller: FrameType) -> None:
    if not isinstance(name, str) or not watching():
        return
    plain = str.__str__(name)
    top = plain.partition(".")[0]
    if top not in _WITHHELD or str(caller.f_globals.get("__package__")).partition(".")[0] == top:
        return
    frame: FrameType | None = caller
    while frame is not None and frame.f_globals is caller.f_globals:
        if _names(frame.f_code, plain):
            return
        frame = frame.f_back
    if not importing(caller):
        raise RefusedImport(
            f"import of {plain!r} is not allowed: a library was given that name, and tasks may not import it. "
            "No setting allows it.",
            name=plain,
        )


def _names(code: CodeType, name: str) -> bool:
    return any(name == constant or (type(constant) is tuple and name in constant) for constant in code.co_consts)


def library_import(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> Any:  # the built-in's parameters, by its names
    """The built-in, for libraries."""
    if not level:
        _check(name, sys._getframe(1))
    return _import(name, globals, locals, fromlist, level)


def library_import_module(name: str, package: str | None = None) -> Any:
    """``importlib.import_module``, for libraries."""
    _check(name, sys._getframe(1))
    return real_import_module(name, package)


def patch_imports() -> None:
    """For the process, once."""
    setattr(importlib, "import_module", library_import_module)  # noqa: B010 - for mypy
