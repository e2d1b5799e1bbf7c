"""The measurement of what memory that is cheap to fork brings."""

from __future__ import annotations

import math
from typing import Any

import pytest

from reptarium.pool.bench import heap
from reptarium.pool.workers import zygote
from reptarium.pool.workers.configuration import zygote_config
from tests.conftest import make_settings
from tests.limits import fail_after


def test_ratio() -> None:
    """It is the geometric mean of each pair's ratio; pairs that agree leave no room, others an interval around it."""
    assert heap.ratio([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == pytest.approx((0.5, 0.5, 0.5))
    middle, low, high = heap.ratio([1.0, 4.0], [2.0, 2.0])
    assert middle == pytest.approx(1.0)
    assert high == pytest.approx(math.exp(1.96 * math.log(2)))
    assert low == pytest.approx(1 / high)


@pytest.mark.parametrize(("with_it", "status"), [([0.8, 0.81], 0), ([0.7, 1.3], 1)])
def test_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], with_it: list[float], status: int
) -> None:
    """It says whether the interval leaves a doubt."""

    async def measured(*_: Any) -> tuple[list[float], list[float]]:
        return with_it, [1.0, 1.0]

    monkeypatch.setattr(heap, "measure", measured)
    assert heap.main([]) == status
    assert "95 % interval 0." in capsys.readouterr().out


@pytest.mark.usefixtures("nothing_left")
async def test_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """One figure a round, from workers of two zygotes."""
    monkeypatch.setattr(zygote, "_COMMAND", zygote._COMMAND)
    with fail_after(60):
        found = await heap.measure(1, 1, 1, zygote_config(make_settings()))
    assert [len(side) for side in found] == [1, 1]
    assert all(0.0 < figure < math.inf for side in found for figure in side)
