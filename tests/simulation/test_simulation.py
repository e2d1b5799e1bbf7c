"""Histories of a runner among hostile neighbours, from seeds. ``make simulate SEED=n`` shows one, event by event."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from reptarium.pool.brokers.capacity import Capacity, Holder
from tests.simulation.world import Failure, play

#: Seeds that are played here, so many a test, and on which of them `make test` ends. `make simulate` plays any number.
SEEDS, AT_ONCE, FIRST = 400, 40, 40


@pytest.mark.parametrize(
    "first",
    [pytest.param(seed, marks=pytest.mark.slow if seed >= FIRST else ()) for seed in range(0, SEEDS, AT_ONCE)],
)
def test_what_is_promised_holds_whatever_the_neighbours_do(first: int) -> None:
    """Connections break, brokers lie, workers die, time jumps: each accepted task has one outcome, nothing is left."""
    for seed in range(first, first + AT_ONCE):
        try:
            play(seed)
        except Failure as failure:
            last = "\n".join(failure.events[-60:])
            pytest.fail(f"{failure}\nmake simulate SEED={failure.seed}\n{last}")


@pytest.mark.parametrize("seed", [8, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (106, 127, 160))])
def test_a_seed_has_one_history(seed: int) -> None:
    """The same seed gives the same events at the same times, in another process and with other hashes too."""
    here = play(seed, keep=None).lines()
    assert here == play(seed, keep=None).lines()
    there = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", str(seed)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert there.stdout.splitlines() == [*here, f"seed {seed}: well"]


def test_seeds_have_histories_of_their_own() -> None:
    """Another seed, another history."""
    assert play(1).lines() != play(2).lines()


def test_a_failure_names_its_seed_and_shows_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that takes one task more than there is room for is found out, and says with which seed."""
    honest = Capacity.room

    def generous(self: Capacity, holder: Holder) -> int | None:
        room = honest(self, holder)
        return None if room is None else room + 1

    monkeypatch.setattr(Capacity, "room", generous)
    with pytest.raises(Failure, match=r"tasks are accepted, with \d slots") as failed:
        deque(map(play, range(100)), maxlen=0)
    assert str(failed.value).startswith(f"seed {failed.value.seed}: ")
    assert any("runner:taskaccepted" in event for event in failed.value.events)
