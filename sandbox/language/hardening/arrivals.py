"""What is done with a library's module as it arrives, whoever imports it: a task, or a package within a function.

Before it runs it gets the readers (``readers.py``); when it has run it is patched (``packages/``), and sealed if it is
of the standard library: once all has come that was asked for with it, since a package may write to its parts' classes
(``tomllib`` says where its error comes from). What was imported before the process was hardened gets all of this then.
"""

from __future__ import annotations

import _thread
import importlib._bootstrap_external
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from reptarium.sandbox.language.hardening.audit import trusted
from reptarium.sandbox.language.hardening.readers import guard_readers
from reptarium.sandbox.language.hardening.sealing import seal_module

#: Module → what changes it, once. Filled by packages/registry.py.
PATCHES: dict[str, Callable[[Any], None]] = {}


def watch_arrivals() -> None:
    """Treat the modules that are there, and from here on each that is loaded from a file in Python."""
    loader: Any = importlib._bootstrap_external.SourceFileLoader
    execute = loader.exec_module
    arriving = _thread._local()

    def exec_module(self: Any, module: ModuleType) -> None:
        guard_readers(module, arriving=True)
        outermost = not hasattr(arriving, "modules")
        if outermost:
            arriving.modules = []
        try:
            execute(self, module)
            with trusted():
                _patch(module.__name__, module)
            arriving.modules.append(module)
        finally:
            if outermost:
                with trusted():  # sealing goes by way of ctypes
                    for arrived in arriving.modules:
                        seal_module(arrived)
                del arriving.modules

    loader.exec_module = exec_module
    for name, module in list(sys.modules.items()):
        if issubclass(type(module), ModuleType):
            guard_readers(module, arriving=False)
            _patch(name, module)


def _patch(name: str, module: ModuleType) -> None:
    patch = PATCHES.pop(name, None)
    if patch is not None:
        patch(module)
