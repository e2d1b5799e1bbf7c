"""The corpus of packages: what people do with them in Code nodes, and what plain CPython gives for it.

``corpus.toml`` has the programs. Each is run three ways: in an interpreter that knows nothing of the sandbox, in a
worker whose zygote has imported what the administrator named, and in a worker that imports for itself.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import trio

from reptarium.pool.embedded import embedded_runner
from reptarium.pool.embedded_broker import BrokerConfig
from reptarium.sandbox.language.policy.stdlib import RUNNERS_OWN
from tests.conftest import make_settings
from tests.limits import fail_after, within

#: Where everything is allowed, each worker imports for itself.
EVERYTHING = "*"
#: Programs whose packages one zygote imports: a start takes two minutes at most.
_TOGETHER = 10
RUNNER_FAILED = "the runner failed"


class Program(NamedTuple):
    """One program of the corpus. ``imports``: what an administrator lists for it. ``returns``: as JSON holds it."""

    key: str
    package: str
    imports: tuple[str, ...]
    code: str
    returns: Any
    pip: str
    note: str

    @property
    def by_name(self) -> bool:
        """Whether ``*`` doesn't open what it imports, since the runner is made of it."""
        return not RUNNERS_OWN.isdisjoint(self.imports)

    @property
    def installed(self) -> bool:
        """Whether all that it imports is there."""
        return all(map(is_there, self.imports))


def is_there(package: str) -> bool:
    """Whether a package is installed. What another has for itself is not: setuptools puts its own on ``sys.path``."""
    spec = importlib.util.find_spec(package)
    return spec is not None and "_vendor" not in str(spec.origin)


def programs() -> list[Program]:
    """All of them, in the file's order."""
    counted: dict[str, int] = {}
    found = []
    for table in tomllib.loads(Path(__file__).with_name("corpus.toml").read_text("utf-8"))["program"]:
        package = table["package"]
        counted[package] = counted.get(package, 0) + 1
        found.append(
            Program(
                package if counted[package] == 1 else f"{package} {counted[package]}",
                package,
                tuple(table.get("imports", [package])),
                table["code"],
                json.loads(table["returns"]),
                table.get("pip", package),
                table.get("note", ""),
            )
        )
    return found


def version(package: str) -> str:
    """The version that is installed."""
    return importlib.metadata.version(package)


PLAIN = """
import ast, json, sys
module = ast.parse("def task(): pass")
module.body[0].body = ast.parse(sys.stdin.read()).body
names = {"_items": []}
exec(compile(module, "<task>", "exec"), names)
sys.stdout.write("\\n" + json.dumps(names["task"]()))
"""


def of_python(program: Program) -> Any:
    """What plain CPython gives: ``{"result": …}`` or ``{"error": …}``."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN], input=program.code, capture_output=True, text=True, timeout=within(300)
    )
    if done.returncode:
        return {"error": done.stderr.strip().rpartition("\n")[2]}
    return {"result": json.loads(done.stdout.rpartition("\n")[2])}


async def of_workers(chosen: Iterable[Program], external: str, said: Callable[[str], None]) -> dict[str, Any]:
    """What each gives in a worker under this list: ``{"result": …}`` or ``{"error": …}``. ``said`` is told of each."""
    settings = make_settings(
        {"N8N_RUNNERS_EXTERNAL_ALLOW": external, "REPTARIUM_TASK_MEMORY": "1GiB", "N8N_RUNNERS_TASK_TIMEOUT": "900"}
    )
    found: dict[str, Any] = {}
    with fail_after(3600):
        # many packages are imported before the runner shows up
        config = BrokerConfig(grant_ttl=1800.0, max_payload=settings.max_payload)
        async with embedded_runner(settings, config=config) as broker:
            for program in chosen:
                outcome = await broker.submit({"code": program.code, "items": []}).outcome()
                if outcome.data is not None:
                    found[program.key] = {"result": json.loads(bytes(outcome.data.result))}
                else:
                    assert outcome.error is not None
                    words = f"{outcome.error.message}\n{outcome.error.description or ''}"
                    found[program.key] = {"error": words.strip()}
                said(program.key)
    return found


def runner_failed(answer: dict[str, Any]) -> bool:
    """Whether it tells of the runner, or of a machine that was too busy, and not of the package."""
    return str(answer.get("error")).startswith((RUNNER_FAILED, "Task execution timed out"))


def _answers(chosen: list[Program], external: str, said: Callable[[str], None]) -> dict[str, Any]:
    """As of :func:`of_workers`; where the runner itself fails, that is what each of them gave."""
    try:
        return trio.run(of_workers, chosen, external, said)
    except Exception as error:
        return {program.key: {"error": f"{RUNNER_FAILED}: {error!r}"} for program in chosen}


def ahead(chosen: list[Program], said: Callable[[str], None]) -> dict[str, Any]:
    """Their answers where what they import is named, and so imported by the zygote: a few packages each."""
    found: dict[str, Any] = {}
    waiting = [chosen[start : start + _TOGETHER] for start in range(0, len(chosen), _TOGETHER)]
    while waiting:
        few = waiting.pop(0)
        named = {name for program in few for name in program.imports}
        gave = _answers(few, ",".join(sorted(named)), said)
        if len(few) > 1 and any(map(runner_failed, gave.values())):  # too many for the time that a start may take
            waiting[:0] = [few[: len(few) // 2], few[len(few) // 2 :]]
        else:
            found |= gave
    return found


def late(chosen: list[Program], said: Callable[[str], None]) -> dict[str, Any]:
    """Their answers where everything is allowed: each worker imports for itself."""
    return _answers([program for program in chosen if not program.by_name], EVERYTHING, said)
