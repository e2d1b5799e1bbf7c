"""Packages that look builtins up by names that came as data, in the table of all of them: Mako for what a template
names, SymPy for its transformations (which a task may write), SQLAlchemy for annotations that are text.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.hardening.annotations import is_type
from reptarium.sandbox.language.hardening.audit import watching
from reptarium.sandbox.language.hardening.evaluating import OF_TEXTS
from reptarium.sandbox.language.packages.package import Package


def show_builtins(module: Any) -> None:
    """The module knows those that judged text may use, and no others, from now on."""
    shown = ModuleType("builtins")  # as a module it is nothing that façades carry, or that guards let through
    vars(shown).update({name: value for name, value in OF_TEXTS.items() if name not in vars(shown)})
    module.builtins = shown


def _types_only(real: Callable[..., Any]) -> Callable[..., Any]:
    def found(*args: Any, **options: Any) -> Any:
        """What the name stands for, if that may be an annotation."""
        value = real(*args, **options)
        if not watching():
            return value
        if not is_type(value):
            raise guards.refused(f"the annotation {args[0]!r} is not allowed", "it isn't a type")
        return guards.checked_value(value, str(args[0]))

    return found


def _patch_typing(module: Any) -> None:
    for name in ("eval_expression", "eval_name_only"):
        real = vars(module).get(name)
        if real is not None:
            setattr(module, name, _types_only(real))


MAKO = Package("mako", patches={"mako.runtime": show_builtins})
SQLALCHEMY = Package("sqlalchemy", patches={"sqlalchemy.util.typing": _patch_typing})
