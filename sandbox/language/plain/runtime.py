"""What a task has when it runs as plain Python: real builtins, real modules, its own globals."""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib._bootstrap_external
import sys
from collections.abc import Callable, Collection
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from reptarium.sandbox.language.guards.classes import PASSING_FOR
from reptarium.sandbox.language.packages import openpyxl, xlsxwriter, yaml
from reptarium.sandbox.language.packages.standard import files, threads
from reptarium.sandbox.language.plain.program import CLASS_OF, IMPORT_STAR, TYPE
from reptarium.sandbox.language.policy import LanguagePolicy, RefusedImport
from reptarium.sandbox.language.policy.allowlist import unlisted
from reptarium.sandbox.language.runtime.preloading import load_each
from reptarium.sandbox.language.runtime.run import as_main, fresh_globals, outcome

_import = builtins.__import__
#: Looked up by the interpreter on the task's behalf, whatever a setting takes away.
_INTERPRETERS = frozenset({"__build_class__", "__import__"})


@functools.lru_cache(maxsize=64)
def _task_builtins(policy: LanguagePolicy) -> dict[str, Any]:
    removed = set(policy.builtins_deny) - _INTERPRETERS
    table = {name: value for name, value in vars(builtins).items() if name not in removed}
    ours = {IMPORT_STAR: _import_star, CLASS_OF: _class_of, TYPE: type}
    return table | ours | {"__import__": _checked_import(policy)}


def _class_of(value: object, /) -> type:
    """``type(x)``, which for what passes for a dict is ``dict``."""
    kind = type(value)
    return PASSING_FOR.get(kind, kind)


def _checked_import(policy: LanguagePolicy) -> Callable[..., Any]:
    def __import__(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        # C code that needs a module for user code's sake (datetime.strftime needs time) gives an empty list
        if level == 0 and not (type(fromlist) is list and not fromlist):
            refusal = unlisted(policy, name)
            if refusal is not None:
                why, setting = refusal
                raise RefusedImport(f"import of '{name}' is not allowed: {why}. {setting} decides this.", name=name)
        return _import(name, globals, locals, fromlist, level)

    return __import__


def _import_star(name: str) -> None:
    frame: FrameType = sys._getframe(1)
    exec(f"from {name} import *", frame.f_globals)  # noqa: S102 - the person's own statement


def make_namespace(policy: LanguagePolicy, names: dict[str, object]) -> dict[str, object]:
    """Fresh globals for one run: Python's builtins without what the administrator removed, and ``names``."""
    if "print" in names:
        names = {**names, "print": _following_stdout(names["print"])}
    return fresh_globals(_task_builtins(policy), names)


def _following_stdout(given: Any) -> Callable[..., None]:
    """``print`` that writes where ``sys.stdout`` leads once the task has put something else there."""
    own = sys.stdout

    @functools.wraps(given)
    def print(*args: object, file: Any = None, **options: Any) -> None:
        if file is None and sys.stdout is not own:
            if sys.stdout is None:
                return  # as in Python
            file = sys.stdout
        given(*args, file=file, **options)

    return print


def run(code: CodeType, namespace: dict[str, object]) -> object:
    """Run compiled code with these globals and return what it returned. Whatever it raises comes through."""
    # What libraries make for the person's classes (dataclasses) isn't theirs: nothing is removed for it
    with as_main(namespace, {"__builtins__": vars(builtins)}):
        return outcome(code, FunctionType(code, namespace)())


#: By module: what can't work in a task's process, wouldn't know its items, or wants a file where tasks have none.
_PATCHES: dict[str, Callable[[Any], None]] = {
    **threads.PATCHES,
    **yaml.PATCHES,
    **openpyxl.PACKAGE.patches,
    **xlsxwriter.PACKAGE.patches,
    "tempfile": files.patch_tempfile,
}


def _patch_arrivals() -> None:
    """These modules are changed as they are loaded, and no others."""
    loader: Any = importlib._bootstrap_external.SourceFileLoader
    execute, patches = loader.exec_module, dict(_PATCHES)

    def exec_module(self: Any, module: ModuleType) -> None:
        execute(self, module)
        patch = patches.pop(module.__name__, None)
        if patch is not None:
            patch(module)

    for name in patches.keys() & sys.modules.keys():
        patches.pop(name)(sys.modules[name])
    loader.exec_module = exec_module


def preload(policy: LanguagePolicy, imported: Callable[[str], None], late: Collection[str]) -> list[str]:
    """Import what the policy names, and the common modules when all are allowed, but for ``late``; ``imported`` is told
    after each. Returns a line for each that failed.
    """
    _patch_arrivals()
    return load_each(policy, importlib.import_module, imported, late)
