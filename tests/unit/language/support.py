"""Runs one program as a worker does, and lets Python itself answer the same programs."""

from __future__ import annotations

import json
import linecache
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from reptarium.sandbox.language import LanguagePolicy, compile_task, make_namespace, run
from tests.limits import within
from tests.unit.language import plain

OPEN = LanguagePolicy(stdlib_allow=("*",), external_allow=("*", "msgspec"))


def execute(source: str, policy: LanguagePolicy = OPEN, **names: object) -> object:
    """What the program returns."""
    return run(compile_task(textwrap.dedent(source), policy), make_namespace(policy, names))


def sandbox_answer(source: str, **given: object) -> str:
    """What the program returns in the sandbox, as text that :func:`plain.described` makes. Exceptions come through."""
    source = textwrap.dedent(source)
    linecache.cache[plain.FILENAME] = (len(source), None, source.splitlines(True), plain.FILENAME)
    try:
        code = compile_task(source, OPEN, filename=plain.FILENAME)
        # described while it may still run code of the program's own, as a worker encodes a result
        return plain.described(run(code, make_namespace(OPEN, given)))
    finally:
        del linecache.cache[plain.FILENAME]


def python_answers(programs: Mapping[str, str], **given: Any) -> dict[str, str]:
    """What Python itself answers, by name, from an interpreter that knows nothing of the sandbox."""
    request = json.dumps({"programs": dict(programs), "given": given})
    script = [sys.executable, "-X", "utf8", "-P", plain.__file__]
    done = subprocess.run(script, input=request, capture_output=True, text=True, encoding="utf-8", timeout=within(120))
    assert done.returncode == 0, done.stderr
    answers: dict[str, str] = json.loads(done.stdout)
    return answers


def assert_same(source: str, answer: str, **given: Any) -> None:
    """The sandbox gives Python's answer, which is neither an exception nor nothing to compare."""
    assert answer != "None"
    assert not answer.startswith("raised ")
    assert sandbox_answer(source, **given) == answer


def answers_of_python(programs: Mapping[str, str], **given: Any) -> Callable[[], dict[str, str]]:
    """A fixture for a test module: Python's answers to its programs, asked for once."""

    @pytest.fixture(scope="module", name="python")
    def python() -> dict[str, str]:
        return python_answers(programs, **given)

    return python
