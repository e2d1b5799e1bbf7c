"""Starts of a runner: every variable of n8n's with the values that people give it, and what the start comes to."""

from __future__ import annotations

import re
import socket
import statistics
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import trio

from reptarium.pool.embedded_broker import Broker, open_broker
from tests.integration.differences.driver import FACTOR, PATIENT, REGISTERS, launch, stop, taken

#: Seconds that a runner may take to register or to end.
PATIENCE = REGISTERS
#: Seconds after which a runner has had all its offers for most of the time.
OFFERED = 6.0 * FACTOR
#: Seconds after which one that still runs and isn't registered doesn't get there.
NO_CONNECTION = 25.0 * FACTOR
#: Seconds after which one that has made no offer makes none.
NO_OFFER = 8.0 * FACTOR


class Start(NamedTuple):
    """One start. In values ``{broker}`` is host and port of the broker, ``{taken}`` a port that is taken.

    ``{file}`` is a file with ``content``; there is none where that is None.
    """

    id: str
    environ: dict[str, str]
    probe: str = ""
    """What is looked at once it is registered: a name of :data:`PROBES`."""
    content: str | None = None


_WHOLE = ["", " 5 ", "+5", "05", "1_000", "5.0", "1.5", "0", "-1", "banana", "5s"]
_BOOLEANS = ["", "true", "TRUE", " true ", "1", "yes", "on", "false", "0", "banana"]
_LISTS = ["", " ", "json", " json , math ,", "json,json", "*", " * ", "*,json", "**", "a b", "a-b", "json.decoder"]
_TEXTS = ["", "a b", "é", "x" * 2000]
_VALUES: dict[str, tuple[list[str], str]] = {
    "N8N_RUNNERS_MAX_CONCURRENCY": ([*_WHOLE, "1001"], "slots"),
    "N8N_RUNNERS_TASK_TIMEOUT": ([*_WHOLE, "9" * 30], ""),
    "N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT": (_WHOLE, ""),
    "N8N_RUNNERS_AUTO_SHUTDOWN_TIMEOUT": (["", "30", "0", "-1", "1.5", "banana"], ""),
    "N8N_RUNNERS_MAX_PAYLOAD": (["", "1048576", "100MiB", "1.5", "0", "-1", "banana", "5000000000"], ""),
    "N8N_BLOCK_RUNNER_ENV_ACCESS": (_BOOLEANS, "environment"),
    "N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED": (_BOOLEANS, "health"),
    "N8N_RUNNERS_ALLOW_TRANSITIVE_IMPORTS": (_BOOLEANS, ""),
    "N8N_RUNNERS_STDLIB_ALLOW": (_LISTS, "json"),
    "N8N_RUNNERS_EXTERNAL_ALLOW": (["", "pandas", "*", "*,pandas", "a b", "a-b"], ""),
    "N8N_RUNNERS_BUILTINS_DENY": (["", "print", "len", " len , sum ", "*", "nosuch", "__build_class__"], "builtins"),
    "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": (["", "0", "-1", "65536", "banana", "8080.5"], ""),
    "N8N_RUNNERS_HEALTH_CHECK_SERVER_HOST": (["", "127.0.0.1", "localhost", "not a host", "::1"], ""),
    "N8N_RUNNERS_LAUNCHER_LOG_LEVEL": (["", "debug", "INFO", "warn", "trace", "banana", "5"], ""),
    "N8N_RUNNERS_ID": (["", "abc", "a b", "é", "x" * 200, "a/b?c=d"], "id"),
    "N8N_RUNNERS_GRANT_TOKEN": (["", " ", "two words", "é"], ""),
    "N8N_RUNNERS_TASK_BROKER_URI": (
        [
            "",
            "{broker}",
            "http://{broker}",
            "http://{broker}/",
            "HTTP://{broker}",
            "ws://{broker}",
            "wss://{broker}",
            "https://{broker}",
            "http://{broker}/n8n",
            "http://user:word@{broker}",
            "http://{broker},http://{broker}",
            "banana",
            "ftp://{broker}",
        ],
        "",
    ),
    "N8N_SENTRY_DSN": (["", "banana", "two words"], ""),
    "N8N_SENTRY_TRACES_SAMPLE_RATE": (["", "0", "0.5", "1", "2", "-1", "banana"], ""),
    "N8N_SENTRY_PROFILES_SAMPLE_RATE": (["", "0", "0.5", "1", "2", "-1", "banana"], ""),
    "N8N_VERSION": (_TEXTS, ""),
    "ENVIRONMENT": (_TEXTS, ""),
    "DEPLOYMENT_NAME": (_TEXTS, ""),
}  # fmt: skip
#: Given as a file: name of the case, the file's content (None: there is no file), and more of the environment.
_FILES = [
    ("file", "7\n", {}),
    ("file-with-spaces", "  7  \n\n", {}),
    ("file-empty", "", {}),
    ("file-missing", None, {}),
    ("file-and-value", "7", {"N8N_RUNNERS_MAX_CONCURRENCY": "3"}),
    ("file-and-empty-value", "7", {"N8N_RUNNERS_MAX_CONCURRENCY": ""}),
]


def starts() -> Iterator[Start]:
    """Every start."""
    yield Start("start/nothing-set", {}, "slots")
    for variable, (values, probe) in _VALUES.items():
        for value in values:
            extra = {"N8N_SENTRY_DSN": "http://a@127.0.0.1:9/1"} if "SAMPLE_RATE" in variable else {}
            if probe in ("environment", "builtins"):
                extra = {"N8N_RUNNERS_STDLIB_ALLOW": "*"}
            yield Start(f"start/{variable}={_shown(value)}", {variable: value, **extra}, probe)
    for name, content, extra in _FILES:
        environ = {"N8N_RUNNERS_MAX_CONCURRENCY_FILE": "{file}", **extra}
        yield Start(f"start/N8N_RUNNERS_MAX_CONCURRENCY_FILE={name}", environ, "slots", content)
    yield Start("start/misspelt-variable", {"N8N_RUNNERS_MAX_CONCURENCY": "3"}, "slots")
    yield Start("start/unset-stdlib", {}, "json")
    health = {"N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED": "true", "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": "{taken}"}
    yield Start("start/health-port-taken", health)


def _shown(value: str) -> str:
    """A value in an id; in the table's patterns a star stands for any text."""
    return f"{value[0]} x {len(value)}" if len(value) > 9 and len(set(value)) == 1 else value.replace("*", "star")


# ---- what a start comes to -----------------------------------------------------------------


async def outcome(command: str, start: Start, folder: Path) -> str:
    """What comes of starting ``command``: ``starts``, with what the probe saw, ``exit N`` or ``doesn't connect``."""
    with socket.create_server(("127.0.0.1", 0)) as taken_port, socket.create_server(("127.0.0.1", 0)) as free_port:
        ports = {"{taken}": str(taken_port.getsockname()[1])}
        health = {"N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": str(free_port.getsockname()[1])}
        free_port.close()
        async with open_broker(PATIENT) as broker:
            places = {"{broker}": broker.uri.removeprefix("http://"), **ports}
            process = launch(broker, command, {**health, **filled(start, places, folder), "MARK": "seen"})
            try:
                if (refused := await _refused(process, broker, "URI" in start.id)) is not None:
                    return refused
                return "starts" + await PROBES[start.probe](broker, health)
            finally:
                await stop(process)


async def _refused(process: subprocess.Popen[bytes], broker: Broker, about_address: bool) -> str | None:
    """How a start fails; None when the runner is registered."""
    # an address that can't be reached is tried again and again
    with trio.move_on_after(NO_CONNECTION if about_address else PATIENCE):
        while process.poll() is None:
            if any(view.registered for view in broker.runners):
                return None
            await trio.sleep(0.02)
        return f"exit {process.poll()}"
    return "doesn't connect"


def filled(start: Start, places: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of a start: its values with what ``places`` has for ``{broker}`` and the like."""
    path = folder / re.sub(r"\W", "-", start.id)
    if start.content is not None:
        path.write_text(start.content)
    environ = dict(start.environ)
    for place, text in {**places, "{file}": str(path)}.items():
        environ = {name: value.replace(place, text) for name, value in environ.items()}
    return environ


async def _nothing(_: Broker, __: Mapping[str, str]) -> str:
    return ""


async def _slots(broker: Broker, _: Mapping[str, str]) -> str:
    """How many offers stand most of the time: they come one after the other, soon after the registration.

    Each expires and is renewed a little before or after that, so that for moments there are more of them, or fewer.
    """
    standing: list[int] = []
    waited = 0.0
    while len(standing) < OFFERED * 10 if standing else waited < NO_OFFER:
        await trio.sleep(0.1)
        waited += 0.1
        if now := broker.runners[-1].offers:
            standing.append(now)
    return f", {statistics.mode(standing) if standing else 0} slots"


#: What ``json`` and ``builtins`` look at.
JSON, BUILTINS = "import json\nreturn json.dumps(1)", "v = sum([len('a')])\nclass A: pass\nreturn v"


async def _program(broker: Broker, code: str) -> str:
    took = await taken(broker.submit({"code": code, "items": []}))
    return f", {took.outcome}"


async def _environment(broker: Broker, _: Mapping[str, str]) -> str:
    seen = await _program(broker, "import os\nreturn 'MARK' in os.environ")
    return {", = true": ", environment shown", ", = false": ", environment hidden"}.get(seen, seen)


async def _health(_: Broker, environ: Mapping[str, str]) -> str:
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", int(environ["N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT"]))
    except OSError:
        return ", no health endpoint"
    await stream.aclose()
    return ", health endpoint"


async def _json(broker: Broker, _: Mapping[str, str]) -> str:
    return await _program(broker, JSON)


async def _builtins(broker: Broker, _: Mapping[str, str]) -> str:
    return await _program(broker, BUILTINS)


async def _id(broker: Broker, _: Mapping[str, str]) -> str:
    return f", id {broker.runners[-1].id}" if len(broker.runners[-1].id) < 16 else ", an id of its own"


PROBES = {
    "": _nothing,
    "slots": _slots,
    "environment": _environment,
    "health": _health,
    "json": _json,
    "builtins": _builtins,
    "id": _id,
}
