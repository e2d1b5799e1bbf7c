"""From code to a result: the globals of a run, and the run itself."""

from __future__ import annotations

import sys
from types import CodeType, FunctionType, ModuleType

from reptarium.sandbox.language import hardening
from reptarium.sandbox.language.policy import LanguagePolicy
from reptarium.sandbox.language.runtime.builtins import task_builtins

#: The name of user code's module, as it sees it.
MODULE = "__main__"


def make_namespace(policy: LanguagePolicy, names: dict[str, object]) -> dict[str, object]:
    """Fresh globals for one run: the policy's builtins and ``names`` (``_items``, ``print``, …), which win."""
    hardening.harden()
    namespace = ModuleType(MODULE).__dict__
    namespace.clear()
    namespace["__name__"] = MODULE
    namespace["__doc__"] = None
    namespace["__builtins__"] = task_builtins(policy)
    namespace.update(names)
    return namespace


def run(code: CodeType, namespace: dict[str, object]) -> object:
    """Run compiled code with these globals and return what it returned.

    Whatever the code raises comes through. While it runs, ``__main__`` is the task's namespace: string annotations are
    looked up there by libraries.
    """
    task = FunctionType(code, namespace)
    module = ModuleType(MODULE)
    previous_main = sys.modules.get(MODULE)
    vars(module).update(namespace)
    sys.modules[MODULE] = module
    previous = hardening.arm(namespace)
    try:
        return task()
    finally:
        hardening.disarm(previous)
        if previous_main is not None:
            sys.modules[MODULE] = previous_main
