"""Scripts of one's own as cases: ``reptarium bench --script CODE.py --items ITEMS.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from reptarium.pool.bench.cases import Case
from reptarium.pool.embedded_broker import Outcome
from reptarium.pool.embedded_broker.items import NotItems, items_of
from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.protocol.messages import TaskSettings

#: Results that are remembered as right, so that the generator needn't take them apart again: as many, as long (bytes).
_REMEMBERED, _SHORT = 64, 64 * 1024


class Script(Case, frozen=True, kw_only=True):
    """A script, and the items for each of its tasks: all get the same.

    A task is right when n8n would take its result and, with ``wanted``, when that gives those items.
    """

    given: TaskSettings
    wanted: list[dict[str, Any]] | None = None
    known: set[bytes] = msgspec.field(default_factory=set)

    def settings(self, number: int) -> TaskSettings:
        """The settings of each task."""
        return self.given

    def right(self, number: int, outcome: Outcome, console: int = 0) -> bool:
        """Whether ``outcome`` is what a task must end in."""
        if outcome.status != "done" or outcome.data is None:
            return False
        raw = bytes(outcome.data.result)
        if raw in self.known:
            return True
        try:
            found = items_of(json.loads(raw))
        except NotItems:
            return False
        if self.wanted is not None and not _same(found, self.wanted):
            return False
        if len(raw) <= _SHORT and len(self.known) < _REMEMBERED:
            self.known.add(raw)
        return True

    def told(self, outcome: Outcome) -> str:
        """What is wrong with a result, in words."""
        try:
            found = json.dumps(items_of(outcome.result()), ensure_ascii=False)
        except NotItems as error:
            return f"n8n would refuse the result: {error}"
        return f"not what --expect has, but {found if len(found) <= 120 else found[:120] + ' …'}"


def _same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """Whether the items are those; what each is paired with only where it is said."""
    return len(found) == len(wanted) and all(
        one == other or ("pairedItem" not in other and {**one, "pairedItem": None} == {**other, "pairedItem": None})
        for one, other in zip(found, wanted, strict=True)
    )


def script(
    path: Path, code: str, items: list[dict[str, Any]], *, weight: int, each_item: bool, wanted: object = None
) -> Script:
    """The case of a script. ``wanted``: what must come out, as JSON decodes (None: whatever n8n takes).

    Raises NotItems when that is nothing that could come out.
    """
    settings = {
        "code": code,
        "items": items,
        "nodeMode": "runOnceForEachItem" if each_item else "runOnceForAllItems",
        "workflowName": "bench",
        "nodeName": path.name,
    }
    return Script(
        name=path.stem, about=str(path), code=code, share=weight, given=task_settings(settings),
        wanted=None if wanted is None else items_of(wanted),
    )  # fmt: skip
