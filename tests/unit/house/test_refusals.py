"""docs/user-code.md lists all that the restricted mode refuses, with its reason, and what opens it."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from docs import refusals
from reptarium.sandbox.language import LanguagePolicy
from reptarium.sandbox.language.policy import files, names, stdlib
from reptarium.sandbox.language.policy.allowlist import import_refusal, unlisted
from reptarium.sandbox.language.runtime.facades import Importer
from tests.each import each

ALL = LanguagePolicy(("*",), ("*",))
#: What opens something → the policy of a runner that has it.
OPENED: dict[str, dict[str, Any]] = {
    "`REPTARIUM_SCRATCH`": {"files": True},
    "`REPTARIUM_CONNECT_ALLOW`": {"connections": True},
}


def test_the_list_is_as_the_tables_are() -> None:
    """``python docs/refusals.py`` has nothing to write."""
    page = refusals.PAGE.read_text("utf-8")
    assert refusals.written(page) == page


def test_the_list_has_every_name() -> None:
    """Each builtin, module and package that is refused stands on the page."""
    page = refusals.PAGE.read_text("utf-8")
    for name in (*names.DENIED_BUILTINS, *stdlib.REFUSED, *stdlib.REFUSED_EXTERNAL):
        assert f"`{name}`" in page, name


def test_every_refusal_has_a_reason() -> None:
    """No table and no place of the source refuses something without saying why."""
    for table in refusals.tables().values():
        assert [name for name, why in table.items() if len(why) < 10] == []
    assert [each for each in refusals.said() if not each.why and not each.what.endswith("…")] == []


@each("name", sorted(name for name in refusals.modules() if name.partition(".")[0] in sys.stdlib_module_names))
def test_what_opens_a_module_is_true(name: str) -> None:
    """A module opens with what its refusal names; with nothing else of ours where it names the other mode."""
    way = refusals.ways(refusals.modules()[name])
    assert import_refusal(ALL, name) is not None
    for setting, given in OPENED.items():
        assert (import_refusal(msgspec.structs.replace(ALL, **given), name) is None) == (way == setting), setting
    if way == "`REPTARIUM_LANGUAGE=python`":
        assert unlisted(ALL, name) is None


def test_what_opens_a_name_of_a_module_is_true() -> None:
    """A name that a façade lacks is there with what its refusal names."""
    for name, why in (refusals.parts() | refusals.functions()).items():
        module, _, attribute = name.rpartition(".")
        way = refusals.ways(why)
        if way not in OPENED or module not in sys.stdlib_module_names | {"os.path"} or attribute.endswith("…"):
            continue
        facade = Importer(msgspec.structs.replace(ALL, **OPENED[way])).facade(module)
        assert hasattr(facade, attribute) == hasattr(sys.modules[module], attribute), name


def test_what_is_open_with_files_is_refused_without_for_that_reason_alone() -> None:
    """Each name that files bring says so where there are none."""
    for module, listed in files.NAMES.items():
        for name in set(listed.split()) - set(stdlib.ONLY[module].split()):
            why = stdlib.withheld_reason(module, name)
            assert why is not None
            assert refusals.ways(why.partition(". ")[0]) == "`REPTARIUM_SCRATCH`"
