"""A broker and its runner in one process, when the start is slow or the runner fails."""

from __future__ import annotations

import pytest

from reptarium.pool.embedded import RunnerEnded, embedded_runner
from reptarium.pool.embedded_broker import BrokerConfig
from reptarium.pool.runner import Runner
from tests.conftest import make_settings
from tests.limits import fail_after


async def test_start_may_take_longer_than_a_grant_holds(nothing_left: None) -> None:
    """On a slow machine a zygote is there only when any grant made before it has run out: the runner is served."""
    with fail_after(60):
        async with embedded_runner(make_settings(), config=BrokerConfig(grant_ttl=0.25)) as broker:
            outcome = await broker.submit(
                {"code": "return []", "items": [], "nodeMode": "runOnceForAllItems"}
            ).outcome()
    assert outcome.status == "done"


async def test_runner_that_ends_by_itself_isnt_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a runner that has given up is told so instead of waiting for ever."""

    async def gives_up(self: Runner) -> int:
        return 1

    monkeypatch.setattr(Runner, "run", gives_up)
    with fail_after(60), pytest.RaisesGroup(RunnerEnded, allow_unwrapped=True, flatten_subgroups=True):
        async with embedded_runner(make_settings()):
            pytest.fail("there is no runner")
