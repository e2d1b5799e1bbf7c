"""Which package's declarations apply to a module, by the package's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reptarium.sandbox.language.hardening import arrivals, audit
from reptarium.sandbox.language.packages import (
    attrs,
    builtins_by_name,
    callers,
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
from reptarium.sandbox.language.packages.standard import (
    databases,
    files,
    getters,
    holders,
    paths,
    process,
    reflection,
    threads,
)
from reptarium.sandbox.language.policy.files import is_of_files

PACKAGES: dict[str, Package] = {
    package.name: package
    for package in (
        attrs.PACKAGE,
        builtins_by_name.MAKO,
        builtins_by_name.SQLALCHEMY,
        callers.FORMULAIC,
        callers.PATSY,
        callers.PUBLIC,
        callers.SYMPY,
        callers.TYPEGUARD,
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
        yaml.RUAMEL,
        *databases.PACKAGES,
        *files.PACKAGES,
        *getters.PACKAGES,
        *holders.PACKAGES,
        *paths.PACKAGES,
        *process.PACKAGES,
        *reflection.PACKAGES,
        *threads.PACKAGES,
    )
}

#: Class of a value → what makes a task's of it: objects that read what their names say.
READING: dict[type, Callable[[Any], Any]] = getters.READING
_DECLARED: dict[str, dict[str, Any]] = {}
#: Module and name → why façades don't carry it.
_REASONS: dict[tuple[str, str], str] = {}
#: By the id of the real value: its stand-in in every façade.
EVERYWHERE: dict[int, Any] = {}

for _package in PACKAGES.values():
    _DECLARED |= _package.declared()
    _REASONS.update({(_module, _name): _why for _module, _name, _why in _package.reasons()})
    EVERYWHERE |= {id(real): stand_in for real, stand_in in _package.everywhere}
    arrivals.PATCHES.update(_package.patches)
    audit.CODE_CHECKS.update(_package.code_checks)


def is_replaced(module: str, name: str) -> bool:
    """Whether the module's façade carries something else under this name, or nothing."""
    return name in _DECLARED.get(module, ())


def is_withheld(module: str, name: str) -> bool:
    """Whether the module's façade carries nothing under this name."""
    return _DECLARED.get(module, {}).get(name) is WITHHELD


def withheld_reason(module: str, name: str) -> str:
    """Why the module's façade carries nothing under a name that the module has."""
    return _REASONS.get((module, name), f"it is a part of '{module}' that tasks have no need of")


def replacements(module: str, real: Any, *, files: bool = False) -> dict[str, Any]:
    """What the façade of ``module`` carries in place of the real one's values: stand-ins, or ``WITHHELD``.

    ``files``: tasks have some of their own, and what deals with them is real.
    """
    table = dict(_DECLARED.get(module, ()))
    package = PACKAGES.get(module.partition(".")[0])
    if package is None:
        return table
    table |= package.stand_ins(module, real)
    if not files:
        return table
    real_ones = package.of_files(module)
    return {name: value for name, value in table.items() if name not in real_ones and not is_of_files(module, name)}
