"""The work that the load generator hands out, and what must come back.

Each case makes settings for its n-th task and checks that task's own outcome: the number travels
through the user code, so a result that reached the wrong task is a failure and not a fast answer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from functools import cache

import msgspec

from reptarium.pool.embedded_broker import Outcome
from reptarium.pool.embedded_broker.settings import task_settings
from reptarium.pool.protocol.messages import TaskSettings

Check = Callable[[int, Outcome], bool]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of task. ``bulk`` is the size of its items in bytes.

    ``concurrency`` and ``pause`` (seconds between a worker's tasks) are defaults for the closed loop,
    ``share`` its weight in the mix (0: left out). ``cancel_after`` and ``timeout`` are seconds.
    ``environ`` is what its runner must be started with.
    """

    name: str
    about: str
    code: str
    items: int = 1
    bulk: int = 0
    per_item: bool = False
    expect: str = "done"
    returns: str = "number"
    concurrency: int = 50
    tasks: int = 1000
    pause: float = 0.0
    share: int = 0
    cancel_after: float | None = None
    timeout: float | None = None
    prints: int = 0
    environ: Mapping[str, str] = {}

    def settings(self, number: int) -> TaskSettings:
        """The settings of task ``number``."""
        base = _base(self.name)
        if self.returns == "bulk":
            return base
        if self.items == 1:
            raw = b'[{"json":{"n":%d},"pairedItem":{"item":0}}]' % number
        else:
            raw = json.dumps(
                [
                    {"json": {"n": number, "i": i, "name": f"item {i}"}, "pairedItem": {"item": i}}
                    for i in range(self.items)
                ]
            ).encode()
        return msgspec.structs.replace(base, items=msgspec.Raw(raw))

    def right(self, number: int, outcome: Outcome, console: int = 0) -> bool:
        """Whether ``outcome`` is what task ``number`` must end in; ``console`` is how many prints came."""
        if outcome.status != self.expect:
            return False
        if self.expect != "done":
            return self.expect != "error" or (outcome.error is not None and f"wrong {number}" in outcome.error.message)
        assert outcome.data is not None
        if self.returns == "bulk":
            return len(memoryview(outcome.data.result)) >= self.bulk * 9 // 10
        result = outcome.result()
        if not isinstance(result, list) or len(result) != (self.items if self.returns == "items" else 1):
            return False
        return console == self.prints and all(item["json"]["n"] == number + 1 for item in result)

    def told(self, outcome: Outcome) -> str:
        """What is wrong with a result that isn't right, in words."""
        return "another task's result"


_NUMBER = 'n = _items[0]["json"]["n"]\n'
_ANSWER = 'return [{"json": {"n": n + 1}}]\n'

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case(name="idle", about="trivial, one at a time on an idle pool", code=_NUMBER + _ANSWER,
             concurrency=1, tasks=500, pause=0.02),
        Case(name="trivial", about="one item in, one out", code=_NUMBER + _ANSWER, tasks=4000, share=30),
        Case(name="reuse", about="trivial, in workers that may serve the same code again", code=_NUMBER + _ANSWER,
             tasks=4000, environ={"REPTARIUM_WORKER_REUSE": "same-node"}),
        Case(name="reuse-idle", about="the same, one at a time on an idle pool", code=_NUMBER + _ANSWER,
             tasks=500, concurrency=1, pause=0.02, environ={"REPTARIUM_WORKER_REUSE": "same-node"}),
        Case(name="map100", about="100 items mapped in one go", items=100, returns="items", share=20, tasks=2000,
             code='return [{"json": {**it["json"], "n": it["json"]["n"] + 1}} for it in _items]'),
        Case(name="each100", about="100 items, the code runs for each", items=100, returns="items", per_item=True,
             share=15, code='return {"n": _item["json"]["n"] + 1}'),
        Case(name="text", about="re, json, hashlib, datetime on a text", share=10,
             code="import re, json, hashlib, datetime\n" + _NUMBER
             + 'text = " ".join(f"word{i} {i * 7 % 13}" for i in range(500))\n'
             'found = re.findall(r"word(\\d+) (\\d)", text)\n'
             "digest = hashlib.sha256(json.dumps(found).encode()).hexdigest()\n"
             "day = datetime.date(2026, 1, 1) + datetime.timedelta(days=len(found))\n"
             'return [{"json": {"n": n + 1, "digest": digest, "day": day.isoformat()}}]'),
        Case(name="prints", about="ten print calls", prints=10, share=5,
             code=_NUMBER + 'for i in range(10):\n    print("line", i, "of task", n)\n' + _ANSWER),
        Case(name="flood", about="50,000 short prints, all of which n8n gets", prints=50_000, tasks=5, concurrency=1,
             environ={"REPTARIUM_MAX_CONSOLE": "16MiB"},
             code=_NUMBER + 'for i in range(50_000):\n    print(f"line {i}")\n' + _ANSWER),
        Case(name="format", about="the loop of flood, which prints nothing", tasks=50, concurrency=1,
             code=_NUMBER + 'for i in range(50_000):\n    f"line {i}"\n' + _ANSWER),
        Case(name="cpu", about="a loop of 200,000 turns", tasks=400, concurrency=10, share=5,
             code=_NUMBER + "total = 0\nfor i in range(200_000):\n    total += i * i % 7\n" + _ANSWER),
        Case(name="1mb", about="1 MB in and out", bulk=1_000_000, returns="bulk", code="return _items",
             concurrency=4, tasks=100, share=1),
        Case(name="10mb", about="10 MB in and out, one at a time", bulk=10_000_000, returns="bulk",
             code="return _items", concurrency=1, tasks=12),
        Case(name="pandas", about="group-by of 500 rows, pandas preloaded", concurrency=1, tasks=200, pause=0.02,
             environ={"N8N_RUNNERS_EXTERNAL_ALLOW": "pandas,numpy", "REPTARIUM_PRELOAD": "pandas"},
             code="import pandas as pd\n" + _NUMBER
             + 'frame = pd.DataFrame({"k": [i % 7 for i in range(500)], "v": [float(i) for i in range(500)]})\n'
             'sums = frame.groupby("k")["v"].sum().to_dict()\n'
             'return [{"json": {"n": n + 1, "groups": len(sums)}}]'),
        Case(name="unnamed", about="import of pandas, which is allowed and not named for preloading", concurrency=1,
             tasks=200, pause=0.02, environ={"N8N_RUNNERS_EXTERNAL_ALLOW": "*"},
             code="import pandas as pd\n" + _NUMBER + 'return [{"json": {"n": int(pd.Series([n, 1]).sum())}}]'),
        Case(name="failing", about="user code raises", expect="error", share=5,
             code=_NUMBER + 'raise ValueError(f"wrong {n}")'),
        Case(name="cancelled", about="cancelled 20 ms after its request", expect="cancelled", cancel_after=0.02,
             tasks=300, concurrency=8, share=3, code="import time\ntime.sleep(60)"),
        Case(name="timeout", about="runs into the broker's time limit of 50 ms", expect="timeout", timeout=0.05,
             tasks=200, concurrency=8, share=3, code="import time\ntime.sleep(60)"),
        Case(name="rpc", about="one call into n8n and back", share=3,
             code=_NUMBER + "_helpers.binary_info(0)\n" + _ANSWER),
    )
}  # fmt: skip

#: What ``reptarium bench`` runs when no case is named.
DEFAULT_CASES = (*CASES, "mix")


@cache
def _base(name: str) -> TaskSettings:
    case = CASES[name]
    settings: dict[str, object] = {
        "code": case.code,
        "items": bulk_items(case.bulk) if case.bulk else [],
        "nodeMode": "runOnceForEachItem" if case.per_item else "runOnceForAllItems",
        "workflowId": "bench",
        "workflowName": "bench",
        "nodeId": name,
        "nodeName": name,
    }
    return task_settings(settings)


def bulk_items(size: int) -> list[dict[str, object]]:
    """Items of about ``size`` bytes of JSON: short texts, numbers and a nested list, as people's data has."""
    one: dict[str, object] = {
        "id": 100_000, "name": "Ada Lovelace", "mail": "ada@example.com", "score": 12.5, "active": True,
        "note": "the quick brown fox jumps over the lazy dog " * 3, "tags": ["a", "bb", "ccc"],
    }  # fmt: skip
    item: dict[str, object] = {"json": one, "pairedItem": {"item": 0}}
    count = max(size // len(json.dumps(item, separators=(",", ":"))), 1)
    return [{"json": {**one, "id": 100_000 + i}, "pairedItem": {"item": i}} for i in range(count)]


class Mix:
    """A seeded sequence of cases by their shares: the same for both runners of a comparison."""

    def __init__(self, seed: int, cases: Iterable[Case] = CASES.values()) -> None:
        self._cases = [case for case in cases if case.share]
        self._weights = [case.share for case in self._cases]
        self._rng = random.Random(seed)

    def __call__(self) -> Case:
        """The next task's case."""
        return self._rng.choices(self._cases, self._weights)[0]
