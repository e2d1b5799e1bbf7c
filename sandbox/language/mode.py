"""The two language modes, each as the functions that a worker and its zygote call.

``restricted``: the person's own code is judged and guarded; ``python``: plain CPython, held by the kernel layer alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import CodeType
from typing import NamedTuple

from reptarium.sandbox.language.compile import program
from reptarium.sandbox.language.compile.program import CompileTask
from reptarium.sandbox.language.hardening import arm_for_life
from reptarium.sandbox.language.hardening.sealing import seal
from reptarium.sandbox.language.plain import program as plain_program
from reptarium.sandbox.language.plain import runtime as plain_runtime
from reptarium.sandbox.language.policy import LanguagePolicy
from reptarium.sandbox.language.runtime import facades, run


class Mode(NamedTuple):
    """How user code is compiled and run, and what is done to the process before."""

    compile_task: CompileTask
    make_namespace: Callable[[LanguagePolicy, dict[str, object]], dict[str, object]]
    run: Callable[[CodeType, dict[str, object]], object]
    #: Zygote: imports what the policy names, but for some, and tells of each; a line for each module that failed.
    preload: Callable[[LanguagePolicy, Callable[[str], None], Collection[str]], list[str]]
    #: Zygote: whether library classes can't be changed from here on; None where that isn't wanted.
    seal: Callable[[], bool | None]
    #: Worker: user code will come, and nothing else.
    arm: Callable[[], None]


def _nothing() -> None:
    """Plain Python has no such step."""


_MODES = {
    "restricted": Mode(program.compile_task, run.make_namespace, run.run, facades.preload, seal, arm_for_life),
    "python": Mode(
        plain_program.compile_task,
        plain_runtime.make_namespace,
        plain_runtime.run,
        plain_runtime.preload,
        _nothing,
        _nothing,
    ),
}


def mode_of(policy: LanguagePolicy) -> Mode:
    """The mode that the policy names."""
    return _MODES[policy.mode]
