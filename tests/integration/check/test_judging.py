"""Judges as processes: what they answer, and what becomes of a program that one hangs or dies over."""

from __future__ import annotations

import sys

import pytest

from reptarium.pool.check import judging
from reptarium.pool.check.judging import judge_all
from reptarium.sandbox.judge.messages import JudgeRequest
from reptarium.sandbox.language.policy import LanguagePolicy
from tests.limits import fail_after

#: A judge that answers everything but what it is told to die or to hang over.
FAULTY = """
import os, sys, time
for line in sys.stdin:
    if "die" in line: os._exit(1)
    if "hang" in line: time.sleep(60)
    while "spin" in line: pass
    if "lie" in line: print("{", flush=True); continue
    print('{"refusals": [], "needs": {}, "features": {}}', flush=True)
"""


async def test_answers_in_order() -> None:
    """Each request has its own answer, equal ones the same, and progress counts them."""
    sources = ["import json", "eval('1')", "import json", "x = 1", "half \ud800"]
    done: list[int] = []
    with fail_after(60):
        found = await judge_all([JudgeRequest(source, LanguagePolicy()) for source in sources], done.append)
    assert [[refusal.kind for refusal in one.refusals] for one in found] == [
        ["imports"], ["language"], ["imports"], [], ["syntax"]
    ]  # fmt: skip
    assert found[0] is found[2]
    assert done[-1] == 4


async def test_nothing_to_judge() -> None:
    """Without a request no process is started."""
    assert await judge_all([]) == []


@pytest.mark.slow
async def test_a_judge_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that its judge hangs, dies or talks nonsense over is said to be too much; the others are judged."""
    monkeypatch.setattr(judging, "_COMMAND", (sys.executable, "-c", FAULTY))
    monkeypatch.setattr(judging, "TIME", 1.0)
    monkeypatch.setattr(judging, "PATIENCE", 600)  # what it has done tells, not the clock
    sources = ["die", "fine", "hang", "spin", "fine as well", "lie", "fine, too"]
    with fail_after(30):
        found = await judge_all([JudgeRequest(source, LanguagePolicy()) for source in sources], at_once=1)
    said = [one.refusals[0].why if one.refusals else "" for one in found]
    assert said == [
        "its compiler gives up",
        "",
        "it takes more than 1 s",
        "it takes more than 1 s",
        "",
        "its compiler gives up",
        "",
    ]
