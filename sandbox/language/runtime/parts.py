"""Parts of standard packages that are there without being imported by name: ``import urllib``, then ``urllib.parse``.

In Python that works when something else has imported the part, which nobody who writes a task knows. Here it works
whenever the part may be imported, whatever the process has loaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

from reptarium.sandbox.language.policy import LanguagePolicy, files, stdlib
from reptarium.sandbox.language.policy.allowlist import import_refusal


def is_part(name: str) -> bool:
    """Whether a dotted name is that of a part which tasks may have, under some policy."""
    return "." in name and (name in stdlib.SUBMODULES or name in stdlib.NETWORK or name in files.MODULES)


#: Names that modules of hot loops make when they are asked for them, each with a warning that they are obsolete.
_OBSOLETE = {"calendar": ("January", "February"), "urllib.parse": ("Quoter",)}


def have_all(name: str, facade: ModuleType, real: ModuleType, policy: LanguagePolicy, of: Callable[[str], Any]) -> bool:
    """Give the façade of a module of hot loops what its ``__getattr__`` would give; whether that is all. Python reads a
    module that has one at half the speed, whatever is read of it. ``of`` makes the façade of a part, and gives it to
    its package's.
    """
    parts = {part for part in stdlib.SUBMODULES | stdlib.NETWORK if part.rpartition(".")[0] == name}
    allowed = {part for part in parts if import_refusal(policy, part) is None}
    for part in allowed - stdlib.NETWORK:
        with suppress(ModuleNotFoundError):  # of a later Python
            of(part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        obsolete = {each: getattr(real, each) for each in _OBSOLETE.get(name, ()) if hasattr(real, each)}
    vars(facade).update(obsolete)
    return not allowed & stdlib.NETWORK  # those are dear to import


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
