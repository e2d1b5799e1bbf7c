"""Random hostile programs: each is refused, or runs and gets hold of nothing forbidden.

hypothesis composes them (see ``hostile_grammar.py``; hypothesmith was tried, and its programs name nothing that exists,
so that they reach nothing). Each runs in a forked child, as tasks do: what it does to libraries ends with it. What a
program keeps, returns, raises and leaves in its namespace is searched by the walk of ``forbidden.py``; an audit hook of
the child's own sees whether it so much as asks for what no task does, even where the product's hook stops that.

`make test` takes few programs of a fixed list, `make slow` more of it, `make properties` many. For a longer search, other programs each time: ``REPTARIUM_FUZZ=20000 pytest …/test_fuzz.py``.
"""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import functools
import inspect
import os
import random
import resource
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest
from forbidden import walk, why_forbidden
from hostile_grammar import (
    MODULE_TREASURES,
    POLICY,
    TREASURES,
    asked,
    augmented,
    configured,
    corpus,
    foreign,
    mutants,
    objects,
    program,
    statement_lists,
)
from hypothesis import HealthCheck, given, settings

from reptarium.sandbox.language import PolicyViolation, compile_task, make_namespace, run
from reptarium.sandbox.language.compile.transformer import Transformer
from reptarium.sandbox.language.guards import attributes, instances
from reptarium.sandbox.language.hardening import audit
from reptarium.sandbox.task.console import StderrTail
from tests.limits import examples

#: Programs of a search that somebody asked for; 0 for the fixed profile.
SEARCH = int(os.environ.get("REPTARIUM_FUZZ", "0"))


def profile(programs: int) -> settings:
    """So many programs, or as many as were asked for."""
    return settings(
        max_examples=SEARCH or examples(programs),
        derandomize=not SEARCH,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


#: Seconds of processor time that a program may run before it is interrupted, and before the kernel ends the child; that a
#: child may take. A program that is asleep is interrupted between one and two looks.
PROGRAM_TIME, CHILD_CPU, CHILD_TIME = 1, 20, 90
LOOK = 0.5

# ---- the child that runs them -----------------------------------------------------------------

#: What CPython reports when something is done that no task does, whoever stops it.
ALARMING = frozenset(
    """
        os.system os.exec os.fork os.forkpty os.spawn os.posix_spawn os.kill os.killpg os.remove os.rename os.mkdir
        os.rmdir os.chmod os.chown os.link os.symlink subprocess.Popen socket.connect socket.bind ctypes.dlopen
        ctypes.dlsym ctypes.call_function code.__new__ function.__new__ pickle.find_class marshal.loads
        sys.settrace sys.setprofile sys._current_frames gc.get_objects gc.get_referrers gc.get_referents mmap.__new__
        cpython.run_command
    """.split()
)
#: What makes code itself: compile_task() and run(), imports, Jinja's tracebacks, and Python 3.14 of an annotation's.
TRUSTED = ("reptarium.sandbox.", "importlib._bootstrap", "jinja2.debug", "annotationlib")


class Interrupted(BaseException):
    """The program ran for too long."""


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise Interrupted


class _Asleep:
    """Interrupts what has used no processor time since the last look; on a busy machine all take longer."""

    def __init__(self) -> None:
        self.used = time.process_time()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        used, self.used = self.used, time.process_time()
        if self.used - used < 0.001:
            raise Interrupted


@functools.cache
def _harmless() -> dict[int, object]:
    """What leads nowhere, so that it isn't looked at for each program anew: classes of Python's and of the library's."""
    seen: dict[int, object] = {}
    found = walk(
        {"objects": list(objects().values()), "plain": [[].append, None, "", 1, 1.0, b"", {}, (), set()]}, 3, seen=seen
    )
    assert found == []
    return seen


def _interrupt_after(seconds: float) -> None:
    """Again and again from then on; 0 for never."""
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.05)
    signal.setitimer(signal.ITIMER_REAL, LOOK if seconds else 0, LOOK)


def _attributes(value: object) -> dict[str, object]:
    """What is stored in an object itself; a copy."""
    return dict(getattr(value, "__dict__", None) or {})


def judge(source: str, alarms: list[str]) -> str | None:
    """What is wrong with how the language layer treats this program; None when nothing is."""
    try:
        code = compile_task(source, POLICY)
    except (PolicyViolation, SyntaxError):
        return None
    except Exception as error:
        if type(error) is ValueError and "\0" in source:
            return None  # Python 3.11; task/execute.py reports it as a syntax error
        return f"compile_task raised {type(error).__name__}: {error}"
    kept: list[object] = []
    given = objects()
    before = {name: _attributes(value) for name, value in given.items()}
    namespace = make_namespace(POLICY, {**given, "keep": kept.append, "_items": [{"json": {"a": 1}}], "_item": {}})
    start = dict(namespace)
    alarms.clear()
    _interrupt_after(PROGRAM_TIME)
    try:
        kept.append(run(code, namespace))
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit, Interrupted) as error:
        kept.append(error)
    finally:
        _interrupt_after(0)
    if alarms:
        return f"asked for {alarms[0]}"
    stored: dict[str, object] = {"kept": kept}
    stored |= {name: value for name, value in namespace.items() if start.get(name) is not value}
    for name, value in given.items():
        changed = [each for key, each in _attributes(value).items() if before[name].get(key) is not each]
        if changed:
            stored[f"in {name}"] = changed
    # reading runs properties and the like of the program's own
    _interrupt_after(5 * PROGRAM_TIME)
    try:
        found = walk(stored, 3, seen=dict(_harmless()))
    finally:
        _interrupt_after(0)
    return f"got hold of {found[0]}" if found else None


def _child(source: str, out: int) -> None:
    """Judge the program; what is wrong goes into the pipe."""
    alarms: list[str] = []

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event in ALARMING and (not args or not sys._getframe(1).f_globals["__name__"].startswith(TRUSTED)):
            alarms.append(event)

    resource.setrlimit(resource.RLIMIT_CPU, (CHILD_CPU, CHILD_CPU))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 30), size + (1 << 30)))
    signal.signal(signal.SIGPROF, _interrupt)
    signal.signal(signal.SIGALRM, _Asleep())
    refuse = audit._refuse

    def refusing(event: str, what: str = "") -> NoReturn:
        watch(event, ())
        refuse(event, what)

    # the product's hook was there first, and what it refuses no later hook sees
    audit._refuse = refusing
    sys.addaudithook(watch)
    sys.stdout = sys.stderr = StderrTail()
    warnings.simplefilter("ignore")
    with contextlib.suppress(MemoryError, Interrupted):
        try:
            wrong = judge(source, alarms) or ""
        except Exception as error:
            wrong = f"the judge raised {error!r}"
        os.write(out, wrong.encode(errors="backslashreplace")[:500])


def problem(source: str) -> str | None:
    """What is wrong with how the language layer treats this program, with the program; None when nothing is."""
    why_forbidden(None)
    _harmless()  # so that the child finds its tables made
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an idle thread of another test's is not copied
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            _child(source, writer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    try:
        if not select.select([reader], [], [], CHILD_TIME)[0]:
            os.kill(pid, signal.SIGKILL)  # asleep where no signal wakes it
        wrong = os.read(reader, 1000).decode(errors="replace")
    finally:
        os.close(reader)
        _, status = os.waitpid(pid, 0)
    ended = os.waitstatus_to_exitcode(status)
    if ended not in (0, -signal.SIGKILL, -signal.SIGXCPU):
        wrong = f"the child ended with {ended}"
    return f"{wrong}\n{source}" if wrong else None


# ---- the tests --------------------------------------------------------------------------------


@profile(12)
@given(statement_lists)
def test_hostile_programs(statements: list[str]) -> None:
    """Hostile statements are refused or get hold of nothing, even in company."""
    _stay_harmless(statements)


@pytest.mark.slow
@profile(60)
@given(statement_lists)
def test_many_hostile_programs(statements: list[str]) -> None:
    """The same, of more of them."""
    _stay_harmless(statements)


def _stay_harmless(statements: list[str]) -> None:
    wrong = problem(program(statements))
    for statement in statements if wrong else ():
        alone = problem(program([statement]))
        assert alone is None
    assert wrong is None


@profile(15)
@given(mutants())
def test_mutated_programs(source: str) -> None:
    """A program of the other tests with hostile expressions in it is refused or gets hold of nothing."""
    assert problem(source) is None


@pytest.mark.slow
@profile(60)
@given(mutants())
def test_many_mutated_programs(source: str) -> None:
    """The same, of more of them."""
    assert problem(source) is None


LEAKY = {
    "keep(leak)": "got hold of kept[0]: the builtin eval",
    "return {'a': [leak]}": "got hold of kept[0]['a'][0]: the builtin eval",
    "global a\nclass A:\n    x = leak\na = A()": "got hold of a.x: the builtin eval",
    "plain.x = leak": "got hold of in plain[0]: the builtin eval",
    "raise ValueError(leak)": "got hold of kept[0].args[0]: the builtin eval",
    "keep(str(leak))": "got hold of kept[0]: the text of <built-in function eval>",
    "signal(0, 0)": "asked for os.kill",
    "try:\n    signal(0, 0)\nexcept BaseException:\n    pass": "asked for os.kill",
}


@pytest.mark.parametrize("source", LEAKY)
def test_the_judge_sees_a_leak(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a leak among its names, a program that keeps, returns, shows or uses it is found out."""
    real = objects
    monkeypatch.setitem(globals(), "objects", lambda: {**real(), "leak": eval, "signal": os.kill})
    assert problem(source) == f"{LEAKY[source]}\n{source}"
    assert problem(source.replace("leak", "len").replace("signal(0, 0)", "pass")) is None


def _many(kind: Callable[..., str], *about: str) -> str:
    return program([kind(random.Random(seed), *about) for seed in range(60)])


def test_the_fuzzer_knows_augmented_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Augmented assignment that reads past the guard, as it once did, is found out."""
    assert problem(_many(augmented)) is None
    monkeypatch.setitem(Transformer.handlers, ast.AugAssign, Transformer._children)
    assert "got hold of" in (problem(_many(augmented)) or "")


def test_the_fuzzer_knows_objects_that_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that reads any name that it was given, as they once did, is found out."""
    assert problem(_many(configured)) is None
    monkeypatch.setattr(ast, "getattr", getattr)
    assert "got hold of" in (problem(_many(configured)) or "")


def test_the_fuzzer_knows_places_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of whoever calls, told to whom they aren't, as they once were, are found out."""
    programs = _many(asked)
    assert problem(programs) is None
    for module in (attributes, instances):
        monkeypatch.setattr(module, "own_names", lambda frame, _: dict(frame.f_locals))
    assert "got hold of" in (problem(programs) or "")


#: What the programs call → where what once stood there stands now, its name, and it.
HOLES: dict[str, tuple[Any, str, Any]] = {
    "eval_str": (inspect, "get_annotations", inspect.get_annotations.__closure__[0].cell_contents),  # type: ignore[attr-defined]
    "_get_kwargs": (argparse.Namespace, "_get_kwargs", lambda self: list(self.__dict__.items())),
    "UserList.copy": (collections.UserList, "copy", lambda self: self.__class__(self)),
    "_recreate_cm": (
        contextlib._GeneratorContextManager,
        "_recreate_cm",
        lambda self: self.__class__(self.func, self.args, self.kwds),
    ),
}


@pytest.mark.parametrize("method", HOLES)
def test_the_fuzzer_knows_methods_of_other_objects(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library's method that takes anything for its object, as each of these once did, is found out."""
    programs = _many(foreign, method)
    assert problem(programs) is None
    monkeypatch.setattr(*HOLES[method])
    assert "got hold of" in (problem(programs) or "")


def test_there_is_something_to_find() -> None:
    """The programs aim at forbidden objects that are there, and the other tests' programs are found."""
    assert len(TREASURES) > 100
    assert len(MODULE_TREASURES) > 300
    assert len(corpus()) > 300
