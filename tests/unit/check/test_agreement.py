"""What is said agrees with what runs: of programs that are known to run nothing is said to stand in the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reptarium.pool.embedded_broker.items import NotItems, items_of
from tests.packages.corpus import programs
from tests.unit.check.exported import only

ALL = {"N8N_RUNNERS_STDLIB_ALLOW": "*"}
ORDINARY = [json.loads(line) for line in (Path(__file__).parents[2] / "data/programs.jsonl").read_text().splitlines()]
#: Programs that connect to nothing, though the library is there for that: they run without, and it isn't seen.
CONNECT = {"mor_urllib_request_message"}
REFUSED = "n8n refuses what the code returns"


def is_taken(result: object) -> bool:
    """Whether n8n takes it: what these programs give is looked at as it is."""
    try:
        items_of(result)
    except NotItems:
        return False
    return True


def in_the_way(source: str, packages: str, *, each: bool = False) -> list[str]:
    """What is refused of a program, wherever its packages are installed or not."""
    refusals = only(source, {**ALL, "N8N_RUNNERS_EXTERNAL_ALLOW": packages}, each=each).refusals
    return [f"{one.kind}: {one.message}: {one.why}" for one in refusals if one.kind != "install"]


@pytest.mark.parametrize("program", ORDINARY, ids=[program["name"] for program in ORDINARY])
def test_ordinary_programs(program: dict[str, Any]) -> None:
    """Programs that run in a worker (tests/integration/language/test_programs.py) are said to."""
    refused = in_the_way(program["code"], "*", each=program.get("each", False))
    found = [one for one in refused if REFUSED not in one or is_taken(program.get("result"))]
    assert [one.partition(":")[0] for one in found] == (["connections"] if program["name"] in CONNECT else [])


def test_programs_with_packages() -> None:
    """So are those of the corpus of packages (docs/packages.md), but for connections, whose libraries they use."""
    said = {
        one.key: found
        for one in programs()
        if (found := [said for said in in_the_way(one.code, ",".join(one.imports)) if "connections" not in said])
    }
    assert said == {}
