"""The programs of docs/differences.toml under ours: each gives what its row says of us."""

from __future__ import annotations

import os
from unittest.mock import patch

import pytest
import trio

from reptarium.pool.differences.table import load
from reptarium.pool.embedded import embedded_runner
from tests.conftest import make_settings
from tests.integration.differences import driver, rows
from tests.limits import fail_after

GROUPS = list(rows.by_environment(load().row))
SHOWN = [shown for _, group in GROUPS for shown in group]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, driver.Took]:
    """What came of each program; those that share an environment shared a runner."""
    found: dict[str, driver.Took] = {}

    async def run() -> None:
        for environ, group in GROUPS:
            settings = make_settings({"N8N_RUNNERS_STDLIB_ALLOW": "", **environ})
            # what tasks may see of the environment is the runner's own
            patched = patch.dict(os.environ, {**environ, "N8N_RUNNERS_GRANT_TOKEN": "granted"})
            with fail_after(120), patched:
                async with embedded_runner(settings, config=driver.CONFIG) as broker:
                    took = await driver.submitted(broker, [shown.settings for shown in group])
            found.update({shown.id: one for shown, one in zip(group, took, strict=True)})

    trio.run(run)
    return found


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.id)
def test_program_gives_what_its_row_says(shown: rows.Shown, outcomes: dict[str, driver.Took]) -> None:
    """Ours gives the row's outcome, which is another than the original's."""
    assert shown.wrong("ours", outcomes[shown.id]) == []
    program = shown.program
    assert (program.ours, program.ours_description) != (program.original, program.original_description)


@pytest.mark.parametrize(
    ("expected", "got", "right"),
    [
        ("= 1", "= 1", True),
        ("= 1", "= 12", False),
        ("! a…", "! abc", True),
        ("! …c", "! abc", True),
        ("! a…c…e", "! abcde", True),
        ("! a…c…e", "! abcd", False),
        ("! ab…bc", "! abc", False),
    ],
)
def test_dots_stand_for_any_text(expected: str, got: str, right: bool) -> None:
    """`…` in an outcome stands for any text, and nothing else does."""
    assert rows.matches(expected, got) is right
