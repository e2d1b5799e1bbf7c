"""Every variable of n8n's with the values that people give it: what ours makes of each is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from reptarium.pool.config import ConfigError, Settings, load_settings, require_credentials
from reptarium.pool.config.table import VARIABLES
from reptarium.sandbox.language.policy import LanguagePolicy, PolicyViolation
from tests.integration.differences import driver, ends, recorded, starts
from tests.limits import fail_after
from tests.unit.language.support import execute

RECORDED = recorded.load()
STARTS = list(starts.starts())
#: What settings take and a started runner refuses: tests/e2e/original.py sees it.
BEYOND_SETTINGS = {"start/health-port-taken", "start/N8N_SENTRY_DSN=banana"}


def outcome(start: starts.Start, folder: Path) -> str:
    """What settings and language layer make of a start. Connecting is not tried here: see :func:`comparable`."""
    environ = {
        "N8N_RUNNERS_GRANT_TOKEN": "granted",
        **starts.filled(start, {"{broker}": "127.0.0.1:5679", "{taken}": "5681"}, folder),
    }
    try:
        settings = load_settings(environ)
        require_credentials(settings)
    except ConfigError:
        return "exit 78"
    return "starts" + LOOKED_AT.get(start.probe, lambda _: "")(settings)


def ran(code: str, settings: Settings) -> str:
    policy = LanguagePolicy(stdlib_allow=settings.stdlib_allow, builtins_deny=settings.builtins_deny)
    try:
        return f", = {driver.compact(execute(code, policy, print=lambda *_: None))}"
    except PolicyViolation:
        return ", refused"
    except Exception as error:
        return f", ! {error}"


LOOKED_AT = {
    "slots": lambda settings: f", {settings.max_concurrency} slots",
    "environment": lambda settings: ", environment hidden" if settings.block_env_access else ", environment shown",
    "health": lambda settings: ", health endpoint" if settings.health_enabled else ", no health endpoint",
    "json": lambda settings: ran(starts.JSON, settings),
    "builtins": lambda settings: ran(starts.BUILTINS, settings),
    "id": lambda settings: f", id {settings.runner_id}" if settings.runner_id else ", an id of its own",
}


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.id)
def test_start_comes_to_what_is_recorded(start: starts.Start, tmp_path: Path) -> None:
    """Each value is taken, with the effect that is recorded, or refused with the status of a wrong configuration."""
    expected = RECORDED[start.id].ours
    if start.id in BEYOND_SETTINGS or expected in ("doesn't connect", "exit 3"):
        expected = "starts"
    assert outcome(start, tmp_path) == expected


def test_every_variable_of_n8ns_is_tried() -> None:
    """The values above leave no variable of n8n's runner out."""
    tried = {name for start in STARTS for name in start.environ}
    ours_alone = {"N8N_RUNNERS_AUTH_TOKEN", "N8N_RUNNERS_PATH"}  # the launcher's, and n8n's
    names = {variable.name for variable in VARIABLES if not variable.name.startswith("REPTARIUM_")}
    assert names - ours_alone <= tried


@pytest.fixture(scope="module")
def ended() -> dict[str, str]:
    """What came of each scenario, each with a broker and a runner of its own, some at the same time."""
    found: dict[str, str] = {}
    limiter = trio.CapacityLimiter(4)

    async def go_through(name: str) -> None:
        async with limiter:
            found[name] = await ends.SCENARIOS[name](driver.OWN)

    async def all_of_them() -> None:
        with fail_after(300):
            async with trio.open_nursery() as nursery:
                for name in ends.SCENARIOS:
                    nursery.start_soon(go_through, name)

    trio.run(all_of_them)
    return found


@pytest.mark.slow  # a runner for each, half a minute of processor time
@pytest.mark.parametrize("name", ends.SCENARIOS)
def test_end_is_what_is_recorded(name: str, ended: dict[str, str]) -> None:
    """Ours ends, and answers of its health, as it is recorded."""
    assert ended[name] == RECORDED[name].ours
