"""Parts of standard packages that are there without being imported by name: ``import urllib``, then ``urllib.parse``.

In Python that works when something else has imported the part, which nobody who writes a task knows. Here it works
whenever the part may be imported, whatever the process has loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from reptarium.sandbox.language.policy import LanguagePolicy, files, stdlib
from reptarium.sandbox.language.policy.allowlist import import_refusal


def is_part(name: str) -> bool:
    """Whether a dotted name is that of a part which tasks may have, under some policy."""
    return "." in name and (name in stdlib.SUBMODULES or name in stdlib.NETWORK or name in files.MODULES)


def with_parts(
    name: str, policy: LanguagePolicy, facade: Callable[[str], ModuleType], otherwise: Callable[[str], Any]
) -> Callable[[str], Any]:
    """The module ``__getattr__`` of a standard package's façade: parts that may be imported, else what ``otherwise``
    gives.
    """

    def __getattr__(attribute: str) -> Any:
        if type(attribute) is str and is_part(part := f"{name}.{attribute}") and import_refusal(policy, part) is None:
            return facade(part)
        return otherwise(attribute)

    return __getattr__
