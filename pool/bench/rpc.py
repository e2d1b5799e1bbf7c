"""The round trip of a call from user code into n8n: ``python -m reptarium.pool.bench.rpc [--calls N]``.

One task in a real sandboxed worker makes the calls, one after the other, and times each itself; they go
through the supervisor and a real WebSocket to the embedded broker, which answers at once. What is measured
is therefore everything of ours and nothing of n8n's. Small calls, task data, and 1 MB of binary data.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Sequence
from typing import Any

import trio

from reptarium.pool.embedded import embedded_runner, embedded_settings
from reptarium.pool.embedded_broker import TaskHandle

#: The target: median of a small call, in milliseconds.
TARGET = 2.0
_MEGABYTE = 1_000_000

_CODE = """
from time import perf_counter

def timed(call, times):
    found = []
    for _ in range(times):
        begun = perf_counter()
        call()
        found.append((perf_counter() - begun) * 1000)
    return found

calls = _items[0]["json"]["calls"]
return {
    "small call": timed(lambda: _helpers.binary_info(0), calls),
    "HTTP call": timed(lambda: _helpers.http_request("http://example.com/"), calls),
    "task data": timed(lambda: _node(str(perf_counter())).first(), calls),
    "1 MB of binary data": timed(lambda: _helpers.get_binary(0), max(calls // 20, 3)),
}
"""


async def measure(calls: int) -> dict[str, list[float]]:
    """Milliseconds of each call, by kind."""
    file = {"type": "Buffer", "data": list(os.urandom(_MEGABYTE))}

    async def rpc(task: TaskHandle, name: str, params: list[Any]) -> Any:
        if name == "helpers.getBinaryDataBuffer":
            return file
        if name == "helpers.httpRequest":
            return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": {"ok": True}}
        return {"mimeType": "text/plain"}

    async def task_data(task: TaskHandle, request: dict[str, Any]) -> Any:
        runs = {name: [{"data": {"main": [[{"json": {"n": 1}}]]}}] for name in request["dataOfNodes"]}
        state = {"resultData": {"runData": runs}}
        return {"workflow": {}, "envProviderState": {"env": {}}, "runExecutionData": state}

    environ = {"N8N_RUNNERS_STDLIB_ALLOW": "time", "REPTARIUM_RPC_MAX_CALLS": str(8 * calls + 100)}
    settings = embedded_settings(environ, max_concurrency=1, warm_workers=1)
    async with embedded_runner(settings) as broker:
        broker.rpc_handler, broker.task_data_handler = rpc, task_data
        outcome = await broker.submit({"code": _CODE, "items": [{"json": {"calls": calls}}]}).outcome()
        found: dict[str, list[float]] = outcome.result()
        return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the medians. Returns 1 when that of a small call is over :data:`TARGET`."""
    parser = argparse.ArgumentParser(description="Round trip of calls from user code.")
    parser.add_argument("--calls", type=int, default=500, help="how many of each kind (default: 500)")
    found = trio.run(measure, parser.parse_args(argv).calls)
    for kind, times in found.items():
        times.sort()
        print(
            f"{kind:20} median {statistics.median(times):8.3f} ms, p99 {times[len(times) * 99 // 100]:.3f} ms"
            f"   ({len(times)} calls)"
        )
    median = statistics.median(found["small call"])
    print(f"target: median of a small call at most {TARGET:g} ms: {'met' if median <= TARGET else 'missed'}")
    return int(median > TARGET)


if __name__ == "__main__":
    raise SystemExit(main())
