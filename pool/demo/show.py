"""The demo's orders, what it runs, and how it shows the outcome."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import resources
from typing import Any

import msgspec

from reptarium.pool.embedded import embedded_runner, embedded_settings
from reptarium.pool.embedded_broker.outcome import failure_text
from reptarium.pool.ops.logs import configure_logging

ORDERS = [
    {
        "id": 1,
        "customer": "Ada",
        "quantity": 2,
        "price": 9.5,
        "placed": "2026-03-01T09:30:00",
        "note": "the red one, please",
    },
    {
        "id": 2,
        "customer": "Bob",
        "quantity": 0,
        "price": 120.0,
        "placed": "2026-03-02T12:00:00",
        "note": "cancel the order",
    },
    {
        "id": 3,
        "customer": "Ada",
        "quantity": 1,
        "price": 300.0,
        "placed": "2026-03-03T18:45:00",
        "note": "the blue one, wrapped",
    },
]

#: script, per item, time limit in seconds, whether it is meant to succeed
SCRIPTS: tuple[tuple[str, bool, float, bool], ...] = (
    ("aggregate_orders.py", False, 10, True),
    ("enrich_each.py", True, 10, True),
    ("text_statistics.py", False, 10, True),
    ("an_error.py", False, 10, False),
    ("refused_import.py", False, 10, False),
    ("runaway_loop.py", False, 1, False),
)
MODULES = "collections,dataclasses,datetime,json,re,statistics"


async def demo() -> int:
    """Run every script. Exit status 1 when one ends otherwise than it is meant to."""
    settings = embedded_settings(
        {
            "N8N_RUNNERS_STDLIB_ALLOW": MODULES,
            "REPTARIUM_ISOLATION": os.environ.get("REPTARIUM_ISOLATION", "enforce"),
        },
        task_timeout=10.0,
    )
    configure_logging(settings)
    surprises = 0
    for timeout in sorted({timeout for _, _, timeout, _ in SCRIPTS}, reverse=True):
        async with embedded_runner(msgspec.structs.replace(settings, task_timeout=float(timeout))) as broker:
            for name, per_item, limit, succeeds in SCRIPTS:
                if limit == timeout:
                    surprises += await _show(broker, name, per_item, succeeds)
    print(
        "All as it should be." if not surprises else f"{surprises} of {len(SCRIPTS)} ended otherwise than they should."
    )
    return 1 if surprises else 0


async def _show(broker: Any, name: str, per_item: bool, succeeds: bool) -> int:
    code = resources.files("reptarium.pool.demo").joinpath("scripts", name).read_text("utf-8")
    print(f"── {name} " + "─" * (60 - len(name)))
    print("\n".join("  │ " + line for line in code.rstrip().splitlines()))
    started = time.perf_counter()
    handle = broker.submit(
        {
            "code": code,
            "nodeMode": "runOnceForEachItem" if per_item else "runOnceForAllItems",
            "items": [{"json": order, "pairedItem": {"item": i}} for i, order in enumerate(ORDERS)],
            "nodeName": name,
        },
        on_console=lambda parts: print("  printed:", *parts),
    )
    outcome = await handle.outcome()
    took = (time.perf_counter() - started) * 1000
    if outcome.status == "done" and outcome.data is not None:
        print("  result: ", json.dumps(json.loads(bytes(outcome.data.result)), ensure_ascii=False))
    else:
        print("\n".join("  " + line for line in failure_text(outcome).splitlines()))
    print(f"  ({outcome.status}, {took:.1f} ms)\n")
    sys.stdout.flush()
    return int((outcome.status == "done") != succeeds)
