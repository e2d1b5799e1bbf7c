"""Which package's declarations apply to a module, by the package's name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from reptarium.sandbox.language.hardening import audit
from reptarium.sandbox.language.packages import (
    httpx,
    jinja2,
    lxml,
    msgspec,
    numpy,
    openpyxl,
    pandas,
    pydantic,
    threadpoolctl,
    xlsxwriter,
    yaml,
)
from reptarium.sandbox.language.packages.package import WITHHELD, Package
from reptarium.sandbox.language.packages.standard import files, paths, process, reflection
from reptarium.sandbox.language.policy.files import is_of_files

PACKAGES: dict[str, Package] = {
    package.name: package
    for package in (
        httpx.PACKAGE,
        jinja2.PACKAGE,
        lxml.PACKAGE,
        msgspec.PACKAGE,
        numpy.PACKAGE,
        openpyxl.PACKAGE,
        pandas.PACKAGE,
        pydantic.PACKAGE,
        pydantic.CORE,
        threadpoolctl.PACKAGE,
        xlsxwriter.PACKAGE,
        yaml.PACKAGE,
        *files.PACKAGES,
        *paths.PACKAGES,
        *process.PACKAGES,
        *reflection.PACKAGES,
    )
}

_DECLARED: dict[str, dict[str, Any]] = {}
#: By the id of the real value: its stand-in in every façade.
EVERYWHERE: dict[int, Any] = {}
#: What waits for its package to be imported.
_PATCHES: dict[str, Callable[[Any], None]] = {}

for _package in PACKAGES.values():
    _DECLARED |= _package.declared()
    EVERYWHERE |= {id(real): stand_in for real, stand_in in _package.everywhere}
    if _package.patch is not None:
        _PATCHES[_package.name] = _package.patch
    audit.CODE_CHECKS.update(_package.code_checks)


def is_replaced(module: str, name: str) -> bool:
    """Whether the module's façade carries something else under this name, or nothing."""
    return name in _DECLARED.get(module, ())


def is_withheld(module: str, name: str) -> bool:
    """Whether the module's façade carries nothing under this name."""
    return _DECLARED.get(module, {}).get(name) is WITHHELD


def replacements(module: str, real: Any, *, files: bool = False) -> dict[str, Any]:
    """What the façade of ``module`` carries in place of the real one's values: stand-ins, or ``WITHHELD``.

    ``files``: tasks have some of their own, and what deals with them is real.
    """
    table = dict(_DECLARED.get(module, ()))
    package = PACKAGES.get(module.partition(".")[0])
    if package is not None:
        table |= package.stand_ins(module, real)
    return {name: value for name, value in table.items() if not (files and is_of_files(module, name))}


def patch_packages() -> None:
    """What no façade can hide, because instances carry it, and what a module would look for in files of the machine.

    To be called after each import: what an allowed package brings along gives user code its objects too.
    """
    for name in [name for name in _PATCHES if name in sys.modules]:
        _PATCHES.pop(name)(sys.modules[name])
