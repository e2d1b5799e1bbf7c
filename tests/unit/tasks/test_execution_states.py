"""The table of an execution's states."""

from __future__ import annotations

from reptarium.pool.tasks.states import EXECUTION_TRANSITIONS


def test_who_ends_a_task_need_not_know_how_far_it_is() -> None:
    """A task can be killed or abandoned in every state, and ends once."""
    for state, row in EXECUTION_TRANSITIONS.items():
        assert {"killed", "abandoned"} <= row.keys()
        assert ("outcome" in row) == (state != "ended")


def test_what_was_ended_from_outside_never_runs_on() -> None:
    """Settings or a dispatch that come after the kill don't bring the task back."""
    for state in ("killed", "abandoned"):
        assert set(EXECUTION_TRANSITIONS[state].values()) <= {"killed", "abandoned", "ended"}


def test_the_end_is_the_end() -> None:
    """Nothing leads out of the last state."""
    assert set(EXECUTION_TRANSITIONS["ended"].values()) == {"ended"}
