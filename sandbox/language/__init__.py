"""The language layer: what users write works at native speed, and nothing dangerous has a name.

See README.md beside this file for what is accepted, refused and guarded.
"""

from reptarium.sandbox.language.compile.program import compile_task, silence_compiler
from reptarium.sandbox.language.guards import passes_for
from reptarium.sandbox.language.hardening.audit import RefusedOperation
from reptarium.sandbox.language.hardening.sealing import seal
from reptarium.sandbox.language.mode import Mode, mode_of
from reptarium.sandbox.language.packages.standard.process import (
    REDIRECTED,
    discount_frames,
    show_environment,
    shown_environment,
)
from reptarium.sandbox.language.packages.standard.threads import bound_threads
from reptarium.sandbox.language.policy import Finding, LanguagePolicy, PolicyViolation, RefusedAttribute, RefusedImport
from reptarium.sandbox.language.policy.files import NOWHERE
from reptarium.sandbox.language.policy.refusals import with_other_mode
from reptarium.sandbox.language.runtime.facades import preload
from reptarium.sandbox.language.runtime.missing import explained
from reptarium.sandbox.language.runtime.run import Late, make_namespace, run

__all__ = [
    "NOWHERE",
    "REDIRECTED",
    "Finding",
    "LanguagePolicy",
    "Late",
    "Mode",
    "PolicyViolation",
    "RefusedAttribute",
    "RefusedImport",
    "RefusedOperation",
    "bound_threads",
    "compile_task",
    "discount_frames",
    "explained",
    "make_namespace",
    "mode_of",
    "passes_for",
    "preload",
    "run",
    "seal",
    "show_environment",
    "shown_environment",
    "silence_compiler",
    "with_other_mode",
]
