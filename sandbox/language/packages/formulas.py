"""patsy (statsmodels) and formulaic: formulas are read with the names of a frame, as many callers up as one says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from reptarium.sandbox.language.guards import refused
from reptarium.sandbox.language.hardening.audit import frame_is_users, watching
from reptarium.sandbox.language.packages.package import Package


def _check_frame(depth: int) -> None:
    """Raise unless it is one of the task's own: a library's has all that the library imports."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(depth):
        frame = frame and frame.f_back
    if watching() and (frame is None or not frame_is_users(frame)):
        raise refused("a formula with the names of a frame that isn't the task's is not allowed")


def _patch_formulaic(context: Any) -> None:
    real: Callable[..., Any] = context.capture_context

    def capture_context(context: Any = 0) -> Any:
        """What of the caller's names a formula may use; an int says how many callers up."""
        if not isinstance(context, int):
            return real(context)
        _check_frame(context)
        return real(context + 1)

    context.capture_context = capture_context


def _patch_patsy(module: Any) -> None:
    environment = module.EvalEnvironment
    real: Callable[..., Any] = environment.capture.__func__

    def capture(cls: Any, eval_env: Any = 0, reference: Any = 0) -> Any:
        """The names of the caller's, or of a caller so many further up; an environment is itself."""
        if not isinstance(eval_env, int):
            return real(cls, eval_env, reference)
        _check_frame(eval_env + reference)
        return real(cls, eval_env, reference + 1)

    environment.capture = classmethod(capture)


FORMULAIC = Package("formulaic", patches={"formulaic.utils.context": _patch_formulaic})
PATSY = Package("patsy", patches={"patsy.eval": _patch_patsy})
