"""What a module has for ``sys`` that looks names up in whoever calls it: frames of the task's without its builtins, and
of a library's no more than which module's they are. What is written in C calls what it is given in the name of the code
around it, so that a library's place is easily had.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType, ModuleType
from typing import Any

from reptarium.sandbox.language.hardening.audit import frame_is_users, watching

_BUILTINS = "__builtins__"


def names_of_a_task(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """A copy, without what isn't the task's."""
    return {name: value for name, value in dict(namespace).items() if name.isidentifier() and name != _BUILTINS}


class ShownFrame:
    """A frame, as those see it who look names up there."""

    def __init__(self, frame: FrameType) -> None:
        self._frame = frame
        self.f_code, self.f_lineno = frame.f_code, frame.f_lineno
        whole = frame.f_globals
        if frame_is_users(frame):
            self.f_globals = names_of_a_task(whole)
            self.f_locals = self.f_globals if frame.f_locals is whole else names_of_a_task(frame.f_locals)
        else:
            self.f_globals = {"__name__": whole.get("__name__")}
            self.f_locals = {}

    @property
    def f_back(self) -> Any:
        """Who called it."""
        frame = self._frame.f_back
        return None if frame is None else place(frame)


def place(frame: FrameType) -> Any:
    """The frame as it is where no task runs."""
    return ShownFrame(frame) if watching() else frame


class _Sys(ModuleType):
    """``sys``, but for frames. A module: as such it is nothing that façades carry, or that guards let through."""

    def _getframe(self, depth: int = 0) -> Any:
        return place(sys._getframe(depth + 1))

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


_SYS = _Sys("sys")


def show_places(module: Any) -> None:
    """The module sees frames so from now on."""
    if type(vars(module).get("sys")) is ModuleType:
        module.sys = _SYS


def without_modules(names: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """What gives a module's names, without the modules and builtins among them while a task runs."""
    known: dict[int, tuple[int, dict[str, Any]]] = {}

    def given(*args: Any) -> dict[str, Any]:
        found = names(*args)
        if not watching() or found.get("__name__") == "__main__":
            return found
        size, shown = known.get(id(found), (-1, {}))
        if size != len(found):
            shown = {name: value for name, value in found.items() if name[:2] != "__" and type(value) is not ModuleType}
            known[id(found)] = len(found), shown
        return shown

    return given
