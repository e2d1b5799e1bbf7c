"""What `reptarium doctor` makes of what it has found, and of what it couldn't find out in time."""

from __future__ import annotations

from typing import Any

import pytest

from reptarium.pool.doctor import Attempt, Examination, examine
from reptarium.pool.workers.configuration import zygote_config
from reptarium.sandbox.kernel import LayerStatus
from tests.conftest import make_settings
from tests.limits import fail_after

FORK = Attempt(name="fork", layer="seccomp", wanted="refused", got="EPERM")
THREAD = Attempt(name="run a thread", layer="seccomp", wanted="works", got="works")


def found(**what: Any) -> Examination:
    """An examination in which nothing is amiss but what is told."""
    whole = {
        "python": "3.11.7", "kernel": "5.10.0", "machine": "x86_64", "policy": "enforce", "refusal": "",
        "layers": tuple(LayerStatus(name, "active") for name in ("seccomp", "landlock", "no_new_privs", "rlimits")),
        "attempts": (FORK, THREAD),
    }  # fmt: skip
    return Examination(**{**whole, **what})


def landlock(instead: str = "") -> tuple[LayerStatus, ...]:
    """All layers, with Landlock missing."""
    return (*found().layers[:1], LayerStatus("landlock", "missing", "too old", "", instead), *found().layers[2:])


@pytest.mark.parametrize(
    ("what", "healthy", "words"),
    [
        ({}, True, "Tasks are isolated."),
        ({"layers": landlock("more holds it")}, True, "Tasks are isolated. Landlock is missing, more holds it."),
        ({"layers": landlock()}, False, "NOT isolated as they should be: landlock is missing."),
        ({"attempts": (FORK, Attempt(name="exec", layer="seccomp", wanted="refused", got="works"))}, False,
         "NOT isolated as they should be: “exec” must be refused: works."),
        ({"attempts": (Attempt(name="list /proc", layer="landlock", wanted="refused", got="NameError"),)}, False,
         "NOT isolated as they should be: “list /proc” must be refused: NameError."),
        ({"attempts": (Attempt(name="run a thread", layer="seccomp", wanted="works", got="EPERM"),)}, False,
         "NOT isolated as they should be: “run a thread” must be works: EPERM."),
        ({"refusal": "no seccomp"}, False, "NOT isolated as they should be: the sandbox refuses to start."),
        ({"unfinished": "“fork” took long"}, False, "It is NOT KNOWN whether tasks are isolated: “fork” took long."),
        ({"attempts": ()}, False, "It is NOT KNOWN whether tasks are isolated: nothing was tried."),
        ({"unfinished": "x", "layers": landlock()}, False, "NOT isolated as they should be: landlock is missing."),
    ],
)  # fmt: skip
def test_verdict_names_what_it_is_for(what: dict[str, Any], healthy: bool, words: str) -> None:
    """One sentence: isolated, not and why, or not known and why; a layer that another stands in for is no fault."""
    one = found(**what)
    assert one.healthy is healthy
    assert words in one.verdict


@pytest.mark.slow
@pytest.mark.parametrize("namespaces", ["auto", "off"])
@pytest.mark.parametrize("language", ["restricted", "python"])
async def test_every_power_is_tried(namespaces: str, language: str, kernel_layer: None, nothing_left: None) -> None:
    """With all powers given each of them works, and its opposite is refused."""
    powers = {"REPTARIUM_LANGUAGE": language, "REPTARIUM_SCRATCH": "8MiB", "REPTARIUM_CONNECT_ALLOW": "127.0.0.1:9"}
    config = zygote_config(make_settings({**powers, "REPTARIUM_NAMESPACES": namespaces}))
    with fail_after(120):
        examination = await examine(config)
    assert examination.problems == ()
    assert {one.layer for one in examination.attempts} >= {"language", "connections"}


async def test_slow_is_not_open(monkeypatch: pytest.MonkeyPatch, nothing_left: None) -> None:
    """An attempt that has no end in time makes the finding unknown, with its name; what was found before is shown."""
    monkeypatch.setattr("reptarium.pool.doctor.examination.STEP", 0.0)
    with fail_after(60):
        one = await examine(zygote_config(make_settings()))
    assert one.layers
    assert not one.healthy
    assert not one.problems
    assert one.verdict.startswith("It is NOT KNOWN whether tasks are isolated: “read /etc/passwd” took more than 0 s")


async def test_slow_start_is_not_open(monkeypatch: pytest.MonkeyPatch, nothing_left: None) -> None:
    """A zygote that isn't ready in time, which ends a runner's start, is no refusal of the sandbox here."""
    monkeypatch.setattr("reptarium.pool.workers.zygote.START_TIMEOUT", 0.0)
    with fail_after(60):
        one = await examine(zygote_config(make_settings()))
    assert (one.refusal, one.attempts) == ("", ())
    assert one.verdict.startswith("It is NOT KNOWN whether tasks are isolated: the zygote was not ready after")
