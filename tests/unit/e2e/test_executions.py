"""Listing more executions than n8n gives in one page: none is left out, of an older n8n or of a newer one."""

from __future__ import annotations

import base64
import importlib
import json
import random
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

E2E = Path(__file__).resolve().parents[2] / "e2e"


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(E2E))
    return importlib.import_module("rest")


class Listing:
    """n8n's list of one workflow's executions, which began nearly in the order of their ids."""

    def __init__(self, rest: ModuleType, *, ids: list[int], cursors: bool) -> None:
        rng = random.Random(0)
        self.latest_first = sorted(ids, key=lambda number: number + rng.uniform(0, 30), reverse=True)
        self._cursors = cursors
        self._refusal = rest.RestError

    def get(self, _method: str, path: str) -> dict[str, Any]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        limit = int(query["limit"])
        assert limit <= 100, "n8n gives no more at a time"
        low, high = int(query.get("firstId", 0)), int(query.get("lastId", 10**9))
        if self._cursors:
            if "firstId" in query or "lastId" in query:
                raise self._refusal(400, "Use cursor to load execution pages")
            if "cursor" in query:
                position = json.loads(base64.urlsafe_b64decode(query["cursor"] + "==="))
                high = int(position["v1"]["id"])
        found = [number for number in self.latest_first if low < number < high][:limit]
        page: dict[str, Any] = {"results": [{"id": str(number), "status": "success"} for number in found]}
        return {**page, "nextCursor": None} if self._cursors else page


@pytest.mark.parametrize("cursors", [False, True], ids=["ranges", "cursors"])
@pytest.mark.parametrize("total", [30, 100, 201, 350])
def test_every_execution_is_listed(
    rest: ModuleType, monkeypatch: pytest.MonkeyPatch, total: int, cursors: bool
) -> None:
    """The newest so many, once each, in the order of their ids; also where other workflows' are in between."""
    ids = random.Random(total).sample(range(1, total * 2), total)
    n8n = rest.Rest()
    monkeypatch.setattr(n8n, "rest", Listing(rest, ids=ids, cursors=cursors).get)
    listed = [int(row["id"]) for row in n8n.executions("w", 250)]
    assert listed == sorted(ids, reverse=True)[:250]
