"""What a task sets on a module, and what a module binds anew while it runs: neither is lost on a façade.

What a task sets on a façade reaches the real module, or is refused. What the real module may bind anew (settings,
counters; functions and classes stay what they are) its façade hasn't itself: it is read there each time.
"""

from __future__ import annotations

import builtins
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from reptarium.sandbox.language import guards
from reptarium.sandbox.language.packages import registry
from reptarium.sandbox.language.policy import stdlib
from reptarium.sandbox.language.policy.names import is_dunder, may_write


class Facade(ModuleType):
    """A façade; what is set on it reaches the real module, or is refused."""

    def __setattr__(self, name: str, value: object) -> None:
        set_on_module(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise guards.deleting(self, name)


def set_on_module(facade: ModuleType, name: str, value: object) -> None:
    """``module.name = value`` in a task. Raises :class:`RefusedAttribute` where it is not for tasks."""
    module = facade.__name__
    if not may_write(name) or is_dunder(name):
        raise guards.refused(f"changing the attribute '{name}' is not allowed")
    refusal = stdlib.setting_refusal(module, name)
    if refusal is not None:
        raise guards.refused(*refusal)
    if registry.is_replaced(module, name):
        raise guards.refused(
            f"changing '{name}' of the module '{module}' is not allowed",
            "tasks have something of the sandbox's in its place",
        )
    if name in vars(builtins) and not hasattr(facade, name):
        raise guards.refused(
            f"setting '{name}' of the module '{module}' is not allowed", "its own code means the built-in by that name"
        )
    if isinstance(value, ModuleType):
        raise guards.refused(
            f"changing '{name}' of the module '{module}' is not allowed",
            "what tasks have for modules is not for packages",
        )
    setattr(sys.modules[module], name, value)
    live(module).add(name)
    vars(facade).pop(name, None)


guards.SET_ON_MODULE.append(set_on_module)

_LIVE: dict[str, set[str]] = {}


def live(module: str) -> set[str]:
    """The names of a module that its façades haven't themselves: the real module is asked each time."""
    if module not in _LIVE:
        _LIVE[module] = {*stdlib.SETTINGS.get(module, "").split(), *stdlib.REBOUND.get(module, "").split()}
    return _LIVE[module]


def stays(attribute: str, value: Any) -> bool:
    """Whether a package's module keeps this under this name: a function, a class, a part of the package."""
    if isinstance(value, ModuleType):
        return True
    if not isinstance(value, (type, FunctionType, BuiltinFunctionType)) and "__name__" not in vars(type(value)):
        return False  # numpy's functions, and those of Cython, have a name, too
    return bool(callable(value) and getattr(value, "__name__", None) == attribute)
