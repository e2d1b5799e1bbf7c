"""The harness tells an n8n that is late from one that is wrong."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

NOT_READY = (503, {}, {"code": 503, "message": "Database is not ready!"})


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tests/e2e/rest.py, whose scripts find each other by their folder; its pauses take no time."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "e2e"))
    module = importlib.import_module("rest")
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return module


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([NOT_READY, NOT_READY, (200, {}, {"data": 1})], 200),
        ([(503, {}, {"message": "Service unavailable"}), (200, {}, None)], 503),
        ([(404, {}, "nothing here"), (200, {}, None)], 404),
        ([NOT_READY] * 1000, 503),
    ],
    ids=["late", "down", "wrong", "never ready"],
)
def test_a_database_that_is_late(
    rest: ModuleType, monkeypatch: pytest.MonkeyPatch, answers: list[Any], expected: int
) -> None:
    """A request that n8n didn't look at, since its database was late, is asked again, and no other."""
    coming = iter(answers)
    monkeypatch.setattr(rest, "http_json", lambda *_: next(coming))
    assert rest.http_when_ready(1, "GET", "/")[0] == expected
