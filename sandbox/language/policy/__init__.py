"""What an administrator allows, what user code may name, and how a refusal is said. Facts: nothing is run in here.

`allowlist.py`    an administrator's policy, and what may be imported under it
`stdlib.py`       which modules of the standard library are open, shortened or refused, and why
`names.py`        names: denied, guarded, definable
`nodes.py`        the decision on each class of syntax node
`formats.py`      what a format string may name
`files.py`        what is open beyond that where tasks have files of their own
`refusals.py`     findings and errors
"""

from reptarium.sandbox.language.policy.allowlist import LanguagePolicy, import_refusal
from reptarium.sandbox.language.policy.refusals import Finding, PolicyViolation, RefusedAttribute, RefusedImport

__all__ = ["Finding", "LanguagePolicy", "PolicyViolation", "RefusedAttribute", "RefusedImport", "import_refusal"]
