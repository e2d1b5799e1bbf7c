"""Runs one program as a worker does: compile, fresh namespace, run."""

from __future__ import annotations

import textwrap

from sandbox.language import LanguagePolicy, compile_task, make_namespace, run

OPEN = LanguagePolicy(stdlib_allow=("*",), external_allow=("*",))


def execute(source: str, policy: LanguagePolicy = OPEN, **names: object) -> object:
    """What the program returns."""
    return run(compile_task(textwrap.dedent(source), policy), make_namespace(policy, names))
