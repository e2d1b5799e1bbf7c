"""The language layer: what users write works at native speed, and nothing dangerous has a name.

See README.md beside this file for what is accepted, refused and guarded.
"""

from reptarium.sandbox.language.compile.program import compile_task, silence_compiler
from reptarium.sandbox.language.guards import passes_for
from reptarium.sandbox.language.hardening.sealing import seal
from reptarium.sandbox.language.packages.standard.process import REDIRECTED, show_environment
from reptarium.sandbox.language.policy import Finding, LanguagePolicy, PolicyViolation, RefusedAttribute, RefusedImport
from reptarium.sandbox.language.runtime.facades import preload
from reptarium.sandbox.language.runtime.run import Late, make_namespace, run

__all__ = [
    "REDIRECTED",
    "Finding",
    "LanguagePolicy",
    "Late",
    "PolicyViolation",
    "RefusedAttribute",
    "RefusedImport",
    "compile_task",
    "make_namespace",
    "passes_for",
    "preload",
    "run",
    "seal",
    "show_environment",
    "silence_compiler",
]
