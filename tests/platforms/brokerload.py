"""An embedded broker on port 5679 that gives the runner that comes its tasks, in rounds, and says what came of each.

``python brokerload.py TOKEN ROUNDS``: each round waits for a runner anew. Exit status 1: an answer was another than it
must be.
"""

from __future__ import annotations

import sys

import trio

from reptarium.pool.embedded_broker import BrokerConfig, open_broker

# name, code, how it must end, what the answer must contain
TASKS = (
    ("plain", "return [{'json': {'n': len(_items)}}]", "done", '"n":1'),
    ("print", "print('hello'); return []", "done", "[]"),
    ("error", "raise ValueError('boom')", "error", "boom"),
    ("memory", "return len(bytearray(2**31))", "error", "emory"),
    ("zone", "import zoneinfo\nreturn [{'json': {'t': str(zoneinfo.ZoneInfo('UTC'))}}]", "done", '"t":"UTC"'),
    ("endless", "while True: pass", "error", "time"),
)


async def main(token: str, rounds: int) -> int:
    """Give the tasks. Returns the exit status."""
    wrong = 0
    async with open_broker(BrokerConfig(port=5679, auth_token=token)) as broker:
        print("broker listens", flush=True)
        for number in range(1, rounds + 1):
            with trio.fail_after(600):
                await broker.wait_for_runner()
                for name, code, ends, contains in TASKS:
                    task = broker.submit({"code": code, "items": [{"json": {}}], "nodeMode": "runOnceForAllItems"})
                    outcome = await task.outcome()
                    said = bytes(outcome.data.result).decode() if outcome.data else str(outcome.error)
                    right = outcome.status == ends and contains in said.replace('": ', '":')
                    wrong += not right
                    print(name, outcome.status, said[:200].replace("\n", " "), "" if right else "WRONG", flush=True)
            print(f"round {number}", flush=True)
            if number < rounds:
                with trio.fail_after(600):  # until this runner has gone
                    while broker.runners:
                        await trio.sleep(0.1)
    return 1 if wrong else 0


sys.exit(trio.run(main, sys.argv[1], int(sys.argv[2])))
