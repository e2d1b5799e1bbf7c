"""From code to a result: the globals of a run, and the run itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

from reptarium.sandbox.language import hardening
from reptarium.sandbox.language.policy import LanguagePolicy
from reptarium.sandbox.language.runtime.builtins import task_builtins

CO_COROUTINE = 0x80  # inspect.CO_COROUTINE, whose module costs much to import
#: The name of user code's module, as it sees it.
MODULE = "__main__"


class Late:
    """Stands for a value that is made when the name is read as a global that the program hasn't bound."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


class _LateBuiltins(dict[str, Any]):
    """The builtins, and late names: the interpreter looks here for globals that aren't bound."""

    __slots__ = ("_late",)

    def __init__(self, table: dict[str, Any], late: dict[str, Any]) -> None:
        super().__init__(table)
        self._late = late

    def __missing__(self, name: str) -> object:
        value = self[name] = self._late[name].make()
        return value


def make_namespace(policy: LanguagePolicy, names: dict[str, object]) -> dict[str, object]:
    """Fresh globals for one run: the policy's builtins and ``names`` (``_items``, ``print``, …), which win.

    A value may be :class:`Late`. The interpreter reads all globals of such a run more slowly (some 50 ns each with
    CPython 3.11), so it is for the few programs that need it.
    """
    hardening.harden()
    return fresh_globals(task_builtins(policy), names)


def fresh_globals(table: dict[str, Any], names: dict[str, object]) -> dict[str, object]:
    """Globals with these builtins; see :func:`make_namespace`."""
    namespace = ModuleType(MODULE).__dict__
    namespace.clear()
    namespace["__name__"] = MODULE
    namespace["__doc__"] = None
    namespace["__builtins__"] = table
    namespace.update(names)
    if Late in map(type, names.values()):
        late = {name: namespace.pop(name) for name, value in names.items() if type(value) is Late}
        namespace["__builtins__"] = _LateBuiltins(table, late)
    return namespace


def _awaited(task: Any) -> object:
    """What a task that awaits at its outermost level returns."""
    with hardening.trusted():
        asyncio: Any = importlib.import_module("asyncio")
    return asyncio.run(task)


def run(code: CodeType, namespace: dict[str, object]) -> object:
    """Run compiled code with these globals and return what it returned.

    Whatever the code raises comes through. While it runs, ``__main__`` is the task's namespace: string annotations are
    looked up there by libraries.
    """
    task = FunctionType(code, namespace)
    with as_main(namespace):
        previous = hardening.arm(namespace)
        try:
            return outcome(code, task())
        finally:
            hardening.disarm(previous)


def outcome(code: CodeType, value: Any) -> object:
    """What code returned: that of a program that awaits at its outermost level is awaited for."""
    return _awaited(value) if code.co_flags & CO_COROUTINE else value


class _Main(ModuleType):
    """``__main__`` as libraries see it: with what the task's namespace holds when they look (types that annotations
    name in text), some names ``instead`` of its own.
    """

    __slots__ = ("_instead", "_names", "_shown")

    def show(self, names: dict[str, object], instead: Mapping[str, object]) -> None:
        """Once, before anybody looks."""
        self._names, self._instead = names, instead
        self._shown: dict[str, object] = {}

    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]
        self._shown.update(self._names)
        self._shown.update(self._instead)
        return self._shown

    def __getattr__(self, name: str) -> object:
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {MODULE!r} has no attribute {name!r}") from None


class as_main:  # used like a function; a generator-made one costs each task five calls
    """While it lasts, ``__main__`` is a module with the task's names."""

    __slots__ = ("_module", "_previous")

    def __init__(self, namespace: dict[str, object], instead: Mapping[str, object] = MappingProxyType({})) -> None:
        self._module = _Main(MODULE)
        self._module.show(namespace, instead)

    def __enter__(self) -> None:
        self._previous = sys.modules.get(MODULE)
        sys.modules[MODULE] = self._module

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            sys.modules[MODULE] = self._previous
