"""Runs programs through a real runner beside the embedded broker, and writes what came of each as one text."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from reptarium.pool.embedded_broker import Broker, BrokerConfig, TaskHandle, open_broker
from reptarium.sandbox.nesting import room

OWN = shlex.join([sys.executable, "-m", "reptarium", "run"])
#: Waiting is so many times longer on a slow or busy machine.
FACTOR = float(os.environ.get("E2E_TIME_FACTOR") or 1)
#: Seconds in which a runner that is started registers.
REGISTERS = 60.0 * FACTOR
#: Seconds that a task may run in the runner, and until the broker calls it hanging: n8n's own limit is five minutes.
TASK_TIMEOUT, HANGS = round(20 * FACTOR), 40.0 * FACTOR
#: For many programs at once: they wait for their turn.
CONFIG = BrokerConfig(
    request_timeout=3600.0, task_timeout=HANGS, grant_ttl=30.0 * FACTOR, heartbeat_interval=30.0 * FACTOR
)
#: For starts and ends: n8n's own limits.
PATIENT = BrokerConfig(request_timeout=60.0 * FACTOR, task_timeout=300.0 * FACTOR, grant_ttl=30.0 * FACTOR)
#: Of a refusal's text, either runner's: what it is about is in the row, its words are not compared.
_REFUSALS = (
    "Security violation",  # both, before the code runs; the original while it runs
    "No setting allows it",
    "decides this",
    "REPTARIUM_LANGUAGE=python allows it",
    "REPTARIUM_SCRATCH gives tasks files",
    "is not allowed",
    "not available in a task",
    "only absolute imports by name are available",
)


class Took(msgspec.Struct, frozen=True):
    """What came of a program."""

    outcome: str
    """``= RESULT`` as JSON, ``refused``, ``! MESSAGE`` or ``hangs``; prints follow after `` | ``, as JSON."""
    description: str = ""


def launch(broker: Broker, command: str, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start ``command`` with a grant token of the broker's, as n8n's launcher does, and ``environ`` on top."""
    given = {
        "PATH": os.environ["PATH"],
        "TZ": "UTC",
        "N8N_RUNNERS_TASK_BROKER_URI": broker.uri,
        "N8N_RUNNERS_GRANT_TOKEN": broker.grant_token(),
        **environ,
    }
    return subprocess.Popen(shlex.split(command), env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def ended(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """The exit status, waited for up to ``seconds``; None when it still runs."""
    with trio.move_on_after(seconds):
        while process.poll() is None:
            await trio.sleep(0.01)
    return process.poll()


async def stop(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, and SIGKILL for one that doesn't end by that. Returns the exit status."""
    if process.poll() is None:
        process.terminate()
    with trio.CancelScope(shield=True):
        status = await ended(process, 20)
    if status is None:
        process.kill()
        status = process.wait()
    return status


@asynccontextmanager
async def registered(
    broker: Broker, command: str, environ: Mapping[str, str]
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A registered runner, stopped on leaving."""
    process = launch(broker, command, environ)
    try:
        await broker.wait_for_runner(REGISTERS)
        yield process
    finally:
        await stop(process)


async def run_programs(command: str, environ: Mapping[str, str], programs: Sequence[Mapping[str, Any]]) -> list[Took]:
    """Run ``programs`` (task settings in the protocol's form) in one runner, as many at once as it offers.

    Raises:
        RuntimeError: the runner ended before the last of them.
    """
    # the time limit is the administrator's where a program is about it
    environ = {"N8N_RUNNERS_TASK_TIMEOUT": str(TASK_TIMEOUT), **environ}
    async with open_broker(CONFIG) as broker, registered(broker, command, environ) as process:
        async with trio.open_nursery() as nursery:
            # without it what nobody takes any more would be waited for an hour
            nursery.start_soon(_cancel_when_ended, process, nursery.cancel_scope)
            found = await submitted(broker, programs)
            nursery.cancel_scope.cancel()
            return found
    raise RuntimeError(f"the runner ended with status {process.returncode}")


async def _cancel_when_ended(process: subprocess.Popen[bytes], scope: trio.CancelScope) -> None:
    while process.poll() is None:
        await trio.sleep(0.2)
    scope.cancel()


async def submitted(broker: Broker, programs: Sequence[Mapping[str, Any]]) -> list[Took]:
    """Submit ``programs`` all at once, and wait for what comes of them."""
    handles = [broker.submit(program) for program in programs]
    return [await taken(handle) for handle in handles]


async def taken(handle: TaskHandle) -> Took:
    """What came of one submitted task."""
    outcome = await handle.outcome()
    printed = f" | {compact(handle.console)}" if handle.console else ""
    if outcome.data is not None:
        # json reads what a runner may write and msgspec doesn't: lone surrogates
        with room():  # for what is nested as deep as it may be
            return Took(f"= {compact(json.loads(bytes(outcome.data.result)))}{printed}")
    if outcome.status == "timeout":
        return Took("hangs")
    assert outcome.error is not None, outcome
    message, description = outcome.error.message, outcome.error.description
    description = description if isinstance(description, str) else ""
    refused = any(words in f"{message}\n{description}" for words in _REFUSALS)
    return Took(("refused" if refused else f"! {_portable(message)}") + printed, description)


def compact(value: object) -> str:
    """JSON in the form in which outcomes are written down."""
    return _portable(json.dumps(value, separators=(", ", ": ")))


def _portable(text: str) -> str:
    """Without what another machine has another of: addresses of objects, places of files."""
    return re.sub(r"\(/[^)]*\)", "(a path)", re.sub(r"0x[0-9a-f]+", "0x?", text))
