"""What tasks see of the runner's environment: nothing, or what the administrator released, never a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reptarium.pool.config import ConfigError
from reptarium.pool.embedded import embedded_runner
from reptarium.pool.workers.configuration import zygote_config
from tests.conftest import make_settings
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")
CODE = """
import os
return [dict(os.environ), os.getenv("COLOUR"), os.getenv("COLOUR", "none"), os.environ.get("TZ"), os.getenv("MY_TOKEN")]
"""


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner's environment."""
    for name, value in {
        "COLOUR": "green",
        "TZ": "Europe/Berlin",
        "MY_TOKEN": "hush",
        "LINK": "http://me:pw@db/",
    }.items():
        monkeypatch.setenv(name, value)


async def seen(block: str) -> Any:
    """What a task finds, with N8N_BLOCK_RUNNER_ENV_ACCESS as given."""
    settings = make_settings({"N8N_BLOCK_RUNNER_ENV_ACCESS": block, "N8N_RUNNERS_AUTH_TOKEN": "secret"})
    with fail_after(60):
        async with embedded_runner(settings) as broker:
            outcome = await broker.submit({"code": CODE, "items": []}).outcome()
    assert outcome.status == "done", outcome
    assert outcome.data is not None
    return json.loads(bytes(outcome.data.result))


async def test_nothing_unless_released() -> None:
    """By default `os.environ` is empty, the time zone's variable included."""
    assert await seen("true") == [{}, None, "none", None, None]


async def test_released_without_secrets() -> None:
    """Released, it is the runner's environment but for what is or holds a secret."""
    everything, colour, same, zone, token = await seen("false")
    assert (colour, same, zone, token) == ("green", "green", "Europe/Berlin", None)
    assert everything["COLOUR"] == "green"
    assert not {"MY_TOKEN", "LINK", "N8N_RUNNERS_AUTH_TOKEN"} & everything.keys()


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that can't be handed on in one piece ends the start, with the variable to change."""
    settings = make_settings({"N8N_BLOCK_RUNNER_ENV_ACCESS": "false"})
    monkeypatch.setenv("HUGE", "x" * 100_000)
    with pytest.raises(ConfigError, match="N8N_BLOCK_RUNNER_ENV_ACCESS=false"):
        zygote_config(settings)
    assert zygote_config(make_settings()).environ == {}
