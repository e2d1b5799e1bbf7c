r"""A runner to compare with: each task forks from a multiprocessing forkserver and imports its needs anew.

    N8N_RUNNERS_TASK_BROKER_URI=... N8N_RUNNERS_AUTH_TOKEN=... \
        python -m reptarium.pool.bench.baseline [--offer-interval S] [--by monty|nsjail]

``--by`` has something else run the tasks (``others.py``). No sandbox otherwise, no helpers, no reconnect: only the way
a task gets its process is of interest. By default a free slot is offered at once, which flatters it;
``--offer-interval 0.25`` tops offers up every quarter of a second, as runners do that poll.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import msgspec
import trio

from reptarium.pool.bench import baseline_task
from reptarium.pool.bench.others import OTHERS, Missing, Perform
from reptarium.pool.brokers.connection import Connection, connect
from reptarium.pool.brokers.grant import fetch_grant
from reptarium.pool.protocol.messages import (
    BrokerInfoRequest,
    BrokerRunnerRegistered,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    RunnerInfo,
    RunnerTaskAccepted,
    RunnerTaskDone,
    RunnerTaskError,
    RunnerTaskOffer,
    TaskDoneData,
    TaskErrorData,
    TaskSettings,
    decode_broker_message,
)

_TIMEOUT = 60.0


class _Baseline:
    def __init__(self, connection: Connection, slots: int, interval: float, perform: Perform) -> None:
        self._connection, self._slots, self._interval, self._perform = connection, slots, interval, perform
        self._held, self._offers, self._registered = 0, 0, False

    def _offer(self) -> None:
        while self._registered and self._held < self._slots:
            self._held += 1
            self._offers += 1
            self._connection.send_nowait(RunnerTaskOffer(f"offer-{self._offers}", -1))

    async def _poll(self) -> None:
        while True:
            await trio.sleep(self._interval)
            self._offer()

    async def serve(self) -> None:
        async with trio.open_nursery() as nursery:
            if self._interval:
                nursery.start_soon(self._poll)
            async for frame in self._connection.frames():
                message = decode_broker_message(frame)
                if isinstance(message, BrokerInfoRequest):
                    self._connection.send_nowait(RunnerInfo("baseline"))
                elif isinstance(message, BrokerRunnerRegistered):
                    self._registered = True
                    self._offer()
                elif isinstance(message, BrokerTaskOfferAccept):
                    self._connection.send_nowait(RunnerTaskAccepted(message.task_id))
                elif isinstance(message, BrokerTaskSettings):
                    nursery.start_soon(self._run, message.task_id, message.settings)
            nursery.cancel_scope.cancel()

    async def _run(self, task_id: str, settings: TaskSettings) -> None:
        try:
            per_item = settings.node_mode == "runOnceForEachItem"
            ok, data = await trio.to_thread.run_sync(self._perform, settings.code, bytes(settings.items), per_item)
        except OSError as error:
            ok, data = False, str(error).encode()
        if ok:
            await self._connection.send(RunnerTaskDone(task_id, TaskDoneData(msgspec.Raw(data))))
        else:
            await self._connection.send(RunnerTaskError(task_id, TaskErrorData(message=data.decode())))
        self._held -= 1
        if not self._interval:
            self._offer()


def _in_process(code: str, items: bytes, per_item: bool) -> tuple[bool, bytes]:
    """One task in a process of its own, over a pipe. Blocks; called in a thread."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=baseline_task.main, args=(theirs,))
    process.start()
    theirs.close()
    try:
        ours.send_bytes(json.dumps([code, per_item]).encode())
        ours.send_bytes(items)
        if not ours.poll(_TIMEOUT):
            return False, b"Task execution timed out"
        head = ours.recv_bytes()
        return head == b"ok", ours.recv_bytes()
    except EOFError:
        return False, b"The task's process ended without a result"
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


async def _main(arguments: argparse.Namespace, environ: Any) -> None:
    base = environ["N8N_RUNNERS_TASK_BROKER_URI"].rstrip("/")
    grant = await fetch_grant(base, "/runners", environ["N8N_RUNNERS_AUTH_TOKEN"])
    slots = int(environ.get("N8N_RUNNERS_MAX_CONCURRENCY", "5"))
    with ExitStack() as stack:
        perform = OTHERS[arguments.by](slots, stack) if arguments.by else _in_process
        async with connect(base, "/runners", f"baseline-{os.getpid()}", grant, 2**30) as connection:
            await _Baseline(connection, slots, arguments.offer_interval, perform).serve()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the broker closes the connection."""
    parser = argparse.ArgumentParser(prog="python -m reptarium.pool.bench.baseline")
    parser.add_argument("--offer-interval", type=float, default=0.0, help="seconds; 0: offer at once")
    parser.add_argument("--by", choices=OTHERS, help="what runs the tasks")
    arguments = parser.parse_args(argv)
    if not arguments.by:
        # the forkserver first: it must not inherit the connection, nor import what this process has
        multiprocessing.get_context("forkserver").Process(target=int).start()
    try:
        trio.run(_main, arguments, os.environ)
    except Missing as missing:
        print(f"baseline: {missing}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
