"""Ordinary programs in real workers: sealed, restricted, with their packages imported ahead and late.

``tests/data/programs.jsonl`` has a program a line: ``name``, ``what`` it is, ``packages`` (import names), ``items``,
``code``, ``each`` where it runs once for each item, and what it must end in: ``result`` (plain CPython's, as JSON),
``error`` (what the message or its description contains), or ``or_reason`` (a result, or an error that gives a reason).
Where CPython itself gives something else from some version on, ``result_since`` has that, by version; ``before`` is the
version from which on it fails. With them the corpus of packages is run (``tests/packages/corpus.toml``). A program is
skipped whose packages aren't installed; ``make packages`` installs them all.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from reptarium.pool.embedded import embedded_runner
from reptarium.pool.embedded_broker import BrokerConfig
from tests.conftest import make_settings
from tests.each import each
from tests.limits import fail_after
from tests.packages import corpus


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _lines() -> dict[str, dict[str, Any]]:
    path = Path(__file__).parents[2] / "data" / "programs.jsonl"
    programs = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    programs = [one for one in programs if _version(one.get("before", "9")) > sys.version_info]
    named = {program["name"]: program for program in programs}
    assert len(named) == len(programs), "two programs have the same name"
    return named


PROGRAMS: dict[str, dict[str, Any]] = _lines() | {
    program.key: {
        "packages": list(program.imports),
        "items": [],
        "code": program.code,
        "result": program.returns,
        "by_name": program.by_name,
    }
    for program in corpus.programs()
}

#: The runner's own packages are open by name alone.
LATE = [name for name, program in PROGRAMS.items() if not program.get("by_name")]

#: Those that any installation can run.
WITHOUT_PACKAGES = [name for name, program in PROGRAMS.items() if not program["packages"]]


def given(name: str) -> dict[str, Any]:
    """The task of a program."""
    program = PROGRAMS[name]
    mode = {"node_mode": "runOnceForEachItem"} if program.get("each") else {}
    return {"code": program["code"], "items": program["items"], **mode}


def missing(name: str) -> list[str]:
    """The packages that the program needs and that aren't installed."""
    return [package for package in PROGRAMS[name]["packages"] if not corpus.is_there(package)]


def runnable() -> list[str]:
    """The programs whose packages are installed."""
    return [name for name in PROGRAMS if not missing(name)]


async def answers(names: list[str], external: str) -> dict[str, Any]:
    """What each program ends in: ``{"result": …}`` or ``{"error": …}``."""
    settings = make_settings(
        {
            "N8N_RUNNERS_EXTERNAL_ALLOW": external,
            "REPTARIUM_TASK_MEMORY": "1GiB",
            "N8N_RUNNERS_TASK_TIMEOUT": "60",
        }
    )
    found: dict[str, Any] = {}
    with fail_after(600):
        # many packages are imported before the runner shows up
        config = BrokerConfig(grant_ttl=300.0, max_payload=settings.max_payload)
        async with embedded_runner(settings, config=config) as broker:
            for name in names:
                outcome = await broker.submit(given(name)).outcome()
                if outcome.data is not None:
                    found[name] = {"result": json.loads(bytes(outcome.data.result))}
                else:
                    assert outcome.error is not None
                    found[name] = {"error": f"{outcome.error.message}\n{outcome.error.description or ''}"}
    return found


@pytest.fixture(scope="module")
def late() -> dict[str, Any]:
    """Answers where everything is allowed and nothing named: each worker imports for itself."""
    return trio.run(answers, [name for name in runnable() if name in LATE], "*")


@pytest.fixture(scope="module")
def ahead() -> dict[str, Any]:
    """Answers of the programs with packages where those are named: the zygote imports them, once."""
    names = [name for name in runnable() if PROGRAMS[name]["packages"]]
    packages = {package for name in names for package in PROGRAMS[name]["packages"]}
    return trio.run(answers, names, ",".join(sorted(packages)))


def check(name: str, answer: dict[str, Any]) -> None:
    """The answer is what the program's line says."""
    program = PROGRAMS[name]
    if "result" in program:
        since: dict[str, Any] = program.get("result_since", {})
        here = [each for each in since if _version(each) <= sys.version_info]
        assert answer == {"result": since[here[-1]] if here else program["result"]}
    elif "error" in program:
        assert program["error"] in answer.get("error", "no error")
    else:
        assert "result" in answer or ": " in answer["error"].partition("is not ")[2], answer


@each("name", WITHOUT_PACKAGES)
def test_a_program_gives_what_plain_python_gives(name: str, late: dict[str, Any]) -> None:
    """Its result, or its error with the line."""
    check(name, late[name])


@pytest.mark.parametrize("name", [name for name in LATE if PROGRAMS[name]["packages"]])
def test_a_program_with_packages_gives_it(name: str, request: pytest.FixtureRequest) -> None:
    """In a worker that imports for itself what the program needs."""
    if missing(name):
        pytest.skip(f"not installed: {', '.join(missing(name))}")
    check(name, request.getfixturevalue("late")[name])


@pytest.mark.parametrize("name", [name for name, program in PROGRAMS.items() if program["packages"]])
def test_a_program_gives_it_when_its_packages_are_imported_ahead(name: str, request: pytest.FixtureRequest) -> None:
    """In a worker whose zygote has imported the program's packages."""
    if missing(name):
        pytest.skip(f"not installed: {', '.join(missing(name))}")
    check(name, request.getfixturevalue("ahead")[name])
