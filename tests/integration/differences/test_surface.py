"""The whole surface under ours: what each item gives is what `surface.json` records."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import Any

import pytest
import trio

from reptarium.pool.differences.table import Difference, load, stands_for
from reptarium.pool.embedded import embedded_runner
from tests.conftest import make_settings
from tests.integration.differences import driver, recorded, surface
from tests.limits import fail_after

RECORDED = recorded.load()
ROWS = load().row
DIFFERING = [item for item, pair in RECORDED.items() if pair.original != pair.ours]
#: Kind and profile of what programs show; starts and ends have tests of their own.
KINDS = sorted(
    {"/".join(item.split("/")[:2]) for item in RECORDED if item.split("/")[0] not in ("start", "end", "health")}
)

#: Modules that a Python has if it was built beside the libraries that they need.
NOT_EVERYWHERE = {"_dbm", "_gdbm", "dbm.gnu", "dbm.ndbm", "_tkinter", "nis", "ossaudiodev", "readline", "_curses"}


#: The whole surface is 2,700 tasks; of each kind one in so many is seen in `make test`, all in `make slow`.
SAMPLE = 12


def some(step: int) -> list[surface.Item]:
    """Every so manieth item of each kind."""
    by_kind = defaultdict(list)
    for item in surface.items():
        by_kind["/".join(item.id.split("/")[:2])].append(item)
    return [item for items in by_kind.values() for item in items[::step]]


@pytest.fixture(scope="module", params=[SAMPLE, pytest.param(1, marks=pytest.mark.slow)], ids=["sample", "all"])
def outcomes(request: pytest.FixtureRequest) -> dict[str, str]:
    """What ours gives for each item, through a real broker, runner and sandbox: one runner for each profile."""
    by_profile = defaultdict(list)
    for item in some(request.param):
        # to ours an emptied list of denied builtins is what it has anyway
        by_profile[item.profile.replace("bare", "star")].append(item)
    found: dict[str, str] = {}

    async def run() -> None:
        for profile, items in by_profile.items():
            took = await outcomes_under(surface.PROFILES[profile], [surface.settings(item) for item in items])
            found.update({item.id: outcome for item, outcome in zip(items, took, strict=True)})

    trio.run(run)
    return found


async def outcomes_under(environ: dict[str, str], programs: list[dict[str, Any]]) -> list[str]:
    """What the programs give in one runner; of equal ones the first is run."""
    settings = make_settings({"N8N_RUNNERS_STDLIB_ALLOW": "", **environ})
    different = {json.dumps(program): program for program in programs}
    with fail_after(300):
        async with embedded_runner(settings, config=driver.CONFIG) as broker:
            took = await driver.submitted(broker, list(different.values()))
    found = dict(zip(different, took, strict=True))
    return [found[json.dumps(program)].outcome for program in programs]


@pytest.mark.parametrize("kind", KINDS)
def test_ours_gives_what_is_recorded(kind: str, outcomes: dict[str, str]) -> None:
    """Each item gives what is recorded. Where a change is meant, docs/differences.toml has to know of it, too."""
    got = {item: recorded.written(item, outcome) for item, outcome in outcomes.items() if item.startswith(f"{kind}/")}
    assert got
    changed = {
        item: {"recorded": RECORDED[item].ours, "now": outcome}
        for item, outcome in got.items()
        if item in RECORDED and not recorded.same(item, RECORDED[item].ours, outcome)
    }
    assert changed == {}
    if sys.version_info[:2] <= recorded.PYTHON:  # a newer Python's new modules and builtins wait for their recording
        assert {item for item in got if item.rpartition("/")[2] not in NOT_EVERYWHERE} <= set(RECORDED)


@pytest.mark.parametrize("since", recorded.NEWER)
def test_names_of_later_pythons_are_theirs(since: tuple[int, int]) -> None:
    """A name that is left out of the comparison as a later Python's is there in that one, and in none before."""
    there = sys.version_info[:2] >= since
    for module, names in recorded.NEWER[since].items():
        assert [name for name in names.split() if (name in surface.public_names(module)) != there] == [], module


def test_every_difference_belongs_to_one_row() -> None:
    """No item that differs is left out of the table, or in two of its rows."""
    owners = {item: [row.id for row in ROWS if row.claims(item)] for item in DIFFERING}
    assert {item: found for item, found in owners.items() if len(found) != 1} == {}


@pytest.mark.parametrize("row", [row for row in ROWS if row.surface], ids=lambda row: row.id)
def test_what_a_row_names_differs(row: Difference) -> None:
    """Each item of the surface that a row names differs, and each of its patterns stands for one that does."""
    for pattern in row.surface:
        assert any(stands_for(pattern, item) for item in DIFFERING), pattern


@pytest.mark.parametrize("name", [row.id for row in ROWS if any(item.startswith("names/") for item in row.surface)])
def test_the_page_has_every_name_that_a_module_has_or_has_not(name: str) -> None:
    """Of a module whose names are not all there, the row's text lists those that are, or those that aren't."""
    (row,) = (row for row in ROWS if row.id == name)
    for item in DIFFERING:
        if item.startswith("names/") and row.claims(item):
            module = item.split("/")[2]
            listed = " ".join(f"`{one}`" for one in recorded.listed(RECORDED[item].ours))
            assert f"`{module}`: {listed or 'no name of its own'}" in " ".join(row.ours.split()), item


def test_original_conversion_writes_what_the_original_writes() -> None:
    """Under `REPTARIUM_RESULT_CONVERSION=original` results are the original's, but for what no JSON can hold."""
    items = [item for item in surface.items() if item.id.startswith("result/")]
    environ = {**surface.PROFILES["star"], "REPTARIUM_RESULT_CONVERSION": "original"}
    took = trio.run(outcomes_under, environ, [surface.settings(item) for item in items])
    expected = {item.id: RECORDED[item.id].original for item in items}
    got = {item.id: outcome for item, outcome in zip(items, took, strict=True)}
    differing = {item for item in got if got[item] != expected[item]}
    assert differing == {"result/star/nan", "result/star/infinity", "result/star/lone-surrogate"}
