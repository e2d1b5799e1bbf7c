"""Tests' own limits of time: all of them follow REPTARIUM_TEST_SLOWNESS."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import trio

from tests import limits

TESTS = Path(__file__).resolve().parents[2]
#: Imaginary time; n8n's own factor; what runs on other machines, without the tests.
OTHERS = ("simulation", "e2e", "platforms")
#: What waits as long as it is told, by an argument called `timeout` or by its first one.
WAITING = frozenset(
    {"run", "call", "check_call", "check_output", "communicate", "wait", "wait_procs", "urlopen", "create_connection"}
)
FIRST = frozenset({"settimeout", "join"})
LIKELY = re.compile(r"timeout\s*=\s*\d|settimeout\(\d|join\(\d|trio\.fail_after|import fail_after|fail_at\(")


def plain_limits(source: str) -> Iterator[int]:
    """The lines of a test file that wait for so many seconds on any machine."""
    if LIKELY.search(source) is None:  # to parse them all would take seconds
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "trio":
            yield from (node.lineno for name in node.names if name.name.startswith("fail_"))
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        named = [each.value for each in node.keywords if each.arg == "timeout" and name in WAITING]
        if ast.unparse(node.func) in ("trio.fail_after", "trio.fail_at") or any(
            isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value >= 1
            for value in (*named, *(node.args[:1] if name in FIRST else ()))
        ):
            yield node.lineno


def test_every_limit_follows_the_factor() -> None:
    """No test waits for a plain number of seconds: an emulated machine would only run into it."""
    files = [path for path in TESTS.rglob("*.py") if path.relative_to(TESTS).parts[0] not in OTHERS]
    found = [
        f"{path.relative_to(TESTS.parent)}:{line}"
        for path in files
        if path != Path(limits.__file__)
        for line in plain_limits(path.read_text("utf-8"))
    ]
    assert len(files) > 200
    assert not found, "use fail_after() and within() of tests/limits.py"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("with trio.fail_after(5): pass", [1]),
        ("with trio.fail_after(within(5)): pass", [1]),
        ("from trio import fail_after", [1]),
        ("\nsubprocess.run(\n    ['x'], timeout=60\n)", [2]),
        ("process.wait(timeout=2.0)", [1]),
        ("ours.settimeout(30)", [1]),
        ("with fail_after(5): subprocess.run([], timeout=within(60))", []),
        ("psutil.wait_procs(left, timeout=0.1)", []),
        ("Limits(timeout=60.0)", []),
        ("', '.join(['timeout=1'])", []),
    ],
)
def test_plain_numbers_are_found(source: str, lines: list[int]) -> None:
    """What waits is told from what is set, in whatever lines it stands."""
    assert list(plain_limits(source)) == lines


def test_hypothesis_has_no_limit_of_time() -> None:
    """Neither for an example nor for making some; what a test sets for itself keeps that."""
    for settings in (hypothesis.settings(), hypothesis.settings(max_examples=5)):
        assert settings.deadline is None
        assert hypothesis.HealthCheck.too_slow in settings.suppress_health_check


def test_factor() -> None:
    """It is 1 where nothing is said, and what isn't a number of 1 or more is refused by its name."""
    name = "REPTARIUM_TEST_SLOWNESS"
    assert (limits.factor_of(name, {}), limits.factor_of(name, {name: "20"})) == (1, 20)
    for text in ("0", "-3", "0.5", "fast", "inf", "nan"):
        with pytest.raises(ValueError, match=name):
            limits.factor_of(name, {name: text})


def test_more_examples_are_tried_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make properties` tries many of each property; what is usual is what `make test` has time for."""
    usual = hypothesis.settings().max_examples
    assert usual == limits.examples(limits.USUAL)
    monkeypatch.setattr(limits, "EXAMPLES", 25.0)
    assert limits.examples(limits.USUAL) == 25 * limits.USUAL


async def test_limits_are_longer_by_the_factor(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scope ends so many times later."""
    monkeypatch.setattr(limits, "SLOWNESS", 20.0)
    with limits.fail_after(3) as scope:
        assert scope.deadline == trio.current_time() + 60
        await trio.sleep(59)
    with pytest.raises(trio.TooSlowError), limits.fail_after(3):
        await trio.sleep(61)
