"""What an administrator allows, and what may be imported under it.

The supervisor reads :class:`LanguagePolicy` too: nothing here imports anything that costs time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from typing import Literal

import msgspec

from reptarium.sandbox.language.policy import files, stdlib

STDLIB_SETTING = "N8N_RUNNERS_STDLIB_ALLOW"
EXTERNAL_SETTING = "N8N_RUNNERS_EXTERNAL_ALLOW"
BUILTINS_SETTING = "N8N_RUNNERS_BUILTINS_DENY"
CONNECT_SETTING = "REPTARIUM_CONNECT_ALLOW"


class LanguagePolicy(msgspec.Struct, frozen=True):
    """What an administrator allows. Travels to the zygote as JSON.

    ``("*",)`` allows every module of its kind, ``()`` none; an entry allows a module and everything
    below it (``urllib`` or ``urllib.parse``). ``builtins_deny`` removes names on top of ours;
    ``preload`` names modules that the zygote imports ahead of need (``REPTARIUM_PRELOAD``). ``connections``:
    whether tasks may connect to anything; ``files``: whether they have some of their own. ``mode``: see
    ``language/mode.py``.
    """

    stdlib_allow: tuple[str, ...] = ()
    external_allow: tuple[str, ...] = ()
    builtins_deny: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    connections: bool = False
    mode: Literal["restricted", "python"] = "restricted"
    files: bool = False


def import_refusal(policy: LanguagePolicy, name: str) -> tuple[str, str | None] | None:
    """Why ``name`` may not be imported, with the setting that decides it (None: none does); None when it may."""
    top = name.partition(".")[0]
    if policy.files and name in files.MODULES:
        return unlisted(policy, name)
    if top in sys.stdlib_module_names:
        if name in stdlib.NETWORK:
            if not policy.connections:
                return stdlib.REFUSED.get(name, stdlib.NO_NETWORK), CONNECT_SETTING
        elif name in stdlib.REFUSED or top in stdlib.REFUSED:
            return stdlib.REFUSED.get(name) or stdlib.REFUSED[top], None
        elif top not in stdlib.OPEN:
            return "it is not among the modules for tasks", None
        elif "." in name and name not in stdlib.SUBMODULES:
            return f"it is a part of '{top}', which has what tasks need of it", None
        return unlisted(policy, name)
    if top in stdlib.REFUSED_EXTERNAL:
        return stdlib.REFUSED_EXTERNAL[top], None
    if any(part.startswith("_") for part in name.split(".")):
        return "it is a private module", None
    return unlisted(policy, name)


def absent(policy: LanguagePolicy, name: str) -> tuple[str, str] | None:
    """What Python says of ``json.nothing``, and the module that it means: one that a standard module which may be
    imported hasn't got below it. None where it is there, and where nothing is to be said. Imports nothing.
    """
    parent, *rest = name.split(".")
    if parent not in sys.stdlib_module_names:
        return None
    below = None
    for part in rest:
        if part.startswith("_") or import_refusal(policy, parent):
            return None
        child = f"{parent}.{part}"
        spec = _found(parent, below)
        if spec is None or parent == "os":  # which no finder knows all modules of
            return None
        below = spec.submodule_search_locations
        if below is None:
            return f"No module named {child!r}; {parent!r} is not a package", child
        if _found(child, below) is None:
            return f"No module named {child!r}", child
        parent = child
    return None


def refused_part(policy: LanguagePolicy, name: str, path: Iterable[str] | None) -> str | None:
    """Why a module may not be imported that is there below one that may be, whose parts lie in ``path``. None: there is
    no such module, or a private one, or nothing stands in its way. Imports nothing.
    """
    refusal = import_refusal(policy, name)
    if refusal is None or path is None or "._" in name or _found(name, path) is None:
        return None
    why, setting = refusal
    return f"{why}. {setting} decides this." if setting else why


def _found(name: str, path: Iterable[str] | None) -> ModuleSpec | None:
    """Where the module is, with its parent's search path."""
    for finder in (BuiltinImporter, FrozenImporter, PathFinder):
        spec: ModuleSpec | None = finder.find_spec(name, path)  # type: ignore[arg-type]
        if spec is not None:
            return spec
    return None


def unlisted(policy: LanguagePolicy, name: str) -> tuple[str, str] | None:
    """Why the lists alone refuse ``name``, with the setting that is its list; None when it is on it."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        if not _listed(policy.stdlib_allow, name):
            return "it is not on the list of allowed standard modules", STDLIB_SETTING
    elif not _listed(policy.external_allow, name):
        return "it is not on the list of allowed packages", EXTERNAL_SETTING
    if top in stdlib.RUNNERS_OWN and not _listed(tuple(e for e in policy.external_allow if e != "*"), name):
        return "it is a part of the runner, which '*' does not open; name it to open it", EXTERNAL_SETTING
    return None


def _listed(allowed: tuple[str, ...], name: str) -> bool:
    # "urllib" opens urllib.parse; "urllib.parse" lets "import urllib" through, as the way to it
    return _listed_itself(allowed, name) or any(entry.startswith(f"{name}.") for entry in allowed)


def _listed_itself(allowed: tuple[str, ...], name: str) -> bool:
    return "*" in allowed or any(name == entry or name.startswith(f"{entry}.") for entry in allowed)


def only_the_way(policy: LanguagePolicy, name: str) -> str | None:
    """The setting that lists something below the module, but not the module itself; None when it is listed."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        return None if _listed_itself(policy.stdlib_allow, name) else STDLIB_SETTING
    return None if _listed_itself(policy.external_allow, name) else EXTERNAL_SETTING


def beyond_the_way(name: str, setting: str) -> str:
    """What a person reads who went further than the list does."""
    return f"{setting} lists modules below '{name}', but not '{name}' itself"
