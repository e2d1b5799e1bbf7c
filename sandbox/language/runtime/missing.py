"""Why a façade lacks what the real module has: each name that is withheld says so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.packages import registry
from reptarium.sandbox.language.packages.package import WITHHELD
from reptarium.sandbox.language.policy import LanguagePolicy, stdlib


def told(error: AttributeError, why: str) -> AttributeError:
    """The error with the reason, and the mark for who tells the person which mode has it (task/failures.py)."""
    error.args = (f"{error}: {why}",)
    vars(error)["elsewhere"] = True
    return error


def missing_of_short(name: str, real: ModuleType, policy: LanguagePolicy) -> Callable[[str], Any]:
    """The module ``__getattr__`` of a short façade: says why what the real module has isn't there."""

    def __getattr__(attribute: str) -> Any:
        error = AttributeError(f"module {name!r} has no attribute {attribute!r}")
        # modules that it uses itself are missing as in every façade
        if type(attribute) is str and not isinstance(getattr(real, attribute, real), ModuleType):
            why = stdlib.withheld_reason(name, attribute, policy.files, policy.connections)
            if why:
                raise told(error, why)
        raise error

    return __getattr__


def reason(module: str, attribute: str, replaced: dict[str, Any]) -> str | None:
    """Why a façade that isn't short lacks a name; None where it isn't decided on the name."""
    if replaced.get(attribute) is WITHHELD:
        return f"{registry.withheld_reason(module, attribute)}. No setting allows it."
    return stdlib.withheld_reason(module, attribute) if attribute in stdlib.OPEN.get(module, ()) else None


def explained(error: AttributeError) -> AttributeError:
    """The error, with the reason where a read of a module of hot loops failed: nothing of ours saw that read."""
    module, attribute = error.obj, error.name
    if isinstance(module, ModuleType) and guards.is_facade(module) and type(attribute) is str:
        name = module.__name__
        there = vars(sys.modules[name]).get(attribute, module) if name in stdlib.HOT else module
        if not isinstance(there, ModuleType) and "elsewhere" not in vars(error):
            why = stdlib.withheld_reason(name, attribute) if name in stdlib.ONLY else reason(name, attribute, {})
            return told(error, why) if why else error
    return error
