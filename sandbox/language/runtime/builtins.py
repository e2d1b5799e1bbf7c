"""The builtins of a task: Python's, without what opens the interpreter, with guards where a name is not enough."""

from __future__ import annotations

import builtins
import importlib
from functools import lru_cache
from typing import Any

from reptarium.sandbox.language import guards, hardening
from reptarium.sandbox.language.hardening import sealing
from reptarium.sandbox.language.policy import LanguagePolicy, names
from reptarium.sandbox.language.runtime.facades import importer, unbound

_NATIVE = """
    abs aiter all anext any ascii bin bool bytearray bytes callable chr classmethod complex dict divmod enumerate
    filter float format frozenset hash hex id int isinstance issubclass iter len list map max memoryview
    min next object oct ord pow print property range repr reversed round set slice sorted staticmethod
    str sum super tuple zip None True False Ellipsis NotImplemented __debug__
""".split()
_NATIVE += [name for name in ("frozendict", "sentinel") if hasattr(builtins, name)]  # from 3.15 on

_GUARDED: dict[str, Any] = {
    "getattr": guards.guarded_getattr,
    "setattr": guards.guarded_setattr,
    "delattr": guards.guarded_delattr,
    "hasattr": guards.guarded_hasattr,
    "type": guards.TypeFacade,
    "dir": guards.guarded_dir,
    "vars": guards.guarded_vars,
    "locals": guards.guarded_locals,
}

#: Looked up by the interpreter on the task's behalf, whatever a setting takes away. No program can name them.
_INTERPRETERS = frozenset({"__build_class__", "__import__"})
#: The administrator's name of a builtin → ours, where the two differ.
_SPELLED = {"__import__": names.DUNDER_IMPORT}


def interpreter_import(name: str, *_: object) -> None:
    """What C code calls when it needs a module on user code's behalf (``datetime.strftime`` needs ``time``).

    User code cannot spell this one. C code takes the module from ``sys.modules``, so nothing is handed out.
    """
    if type(name) is str:
        with hardening.trusted():
            sealing.seal_module(importlib.import_module(name))


def build_class(function: Any, name: str, /, *bases: Any, **keywords: Any) -> Any:
    """What a class statement calls: Python's own, unless it would make a metaclass of a library's, or with one."""
    guards.refuse_metaclasses(bases)
    if "metaclass" in keywords:
        keywords["metaclass"] = guards.checked_metaclass(keywords["metaclass"])
    return builtins.__build_class__(function, name, *bases, **keywords)


@lru_cache(maxsize=64)
def task_builtins(policy: LanguagePolicy) -> dict[str, Any]:
    """``__builtins__`` of every task under this policy. User code has no way to change it.

    What ``N8N_RUNNERS_BUILTINS_DENY`` removes is kept, under a name that no source can spell, for the code that
    ``dataclasses`` generates.
    """
    imports = importer(policy)
    table = {name: getattr(builtins, name) for name in _NATIVE}
    table |= {
        name: value
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    table |= _GUARDED
    if policy.files:
        table["open"] = open
    table["__import__"] = interpreter_import
    table["__build_class__"] = build_class
    table[names.DUNDER_IMPORT] = unbound(imports.dunder_import)
    table |= {
        names.GETATTR: guards.guarded_read,
        names.IMPORT: imports.import_,
        names.IMPORT_FROM: imports.import_from,
        names.STAR: unbound(imports.import_star),
        names.MATCH_CLASS: guards.match_class,
        names.GETATTR_HOOK: guards.modest_getattr,
        names.GETATTRIBUTE_HOOK: guards.modest_getattribute,
        names.CHECK_HOOK: guards.checked_class_hook,
        names.SUPER: guards.Super,
        names.CHANGED: guards.changed,
        names.OWN_CHANGED: guards.own_changed,
        names.GROUPS: guards.no_odd_group,
    }
    if not policy.builtins_deny:
        return table
    builtin = vars(builtins).keys() & policy.builtins_deny  # ours are no business of a setting
    removed = {_SPELLED.get(name, name) for name in builtin} - _INTERPRETERS
    return {name: value for name, value in table.items() if name not in removed} | {names.GENERATED: table}
