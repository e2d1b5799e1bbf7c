"""What imports of foreign modules may change in the zygote, and what it then does all the same."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reptarium.sandbox import wire
from reptarium.sandbox.kernel import IsolationConfig
from reptarium.sandbox.language.policy import LanguagePolicy
from reptarium.sandbox.process import zygote

_getenv = ctypes.CDLL(None).getenv
_getenv.restype = ctypes.c_char_p


@pytest.fixture
def environment() -> Iterator[None]:
    """Variables are put back, for Python and for C."""
    before = dict(os.environ)
    yield
    for name in wire.NO_THREADS:
        os.unsetenv(name)
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("environment")
def test_a_variable_that_an_import_has_removed() -> None:
    """A module that removes what keeps libraries from threads fails no start, and C libraries find it again."""
    os.environ.update(wire.NO_THREADS)
    del os.environ["OMP_NUM_THREADS"]
    zygote._hide_our_own(wire.ZygoteConfig(language=LanguagePolicy(), isolation=IsolationConfig()))
    assert os.environ.keys() & wire.NO_THREADS.keys() == set()
    assert _getenv(b"OMP_NUM_THREADS") == b"1"


@pytest.mark.usefixtures("environment")
def test_what_libraries_ask_for_in_python_is_there_when_a_task_imports_them() -> None:
    """polars puts together what its allocator is told of what it finds, numexpr and joblib count processors."""
    config = wire.ZygoteConfig(language=LanguagePolicy(), isolation=IsolationConfig())
    zygote._set_environment(config)
    zygote._hide_our_own(config)
    wanted = {"_RJEM_MALLOC_CONF": "background_thread:false", "NUMEXPR_NUM_THREADS": "1", "JOBLIB_MULTIPROCESSING": "0"}
    assert {name: os.environ.get(name) for name in wanted} == wanted
    assert _getenv(b"_RJEM_MALLOC_CONF") == b"background_thread:false"


def test_arguments_that_an_import_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that empties ``sys.argv`` changes nothing about what is executed anew."""
    executed: list[Any] = []

    def execve(*what: Any) -> None:
        executed.append(what)
        config = int(what[1][4])
        executed.append(Path(f"/proc/self/fd/{config}").read_bytes())
        os.close(config)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "orig_argv", [])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        zygote._start_anew(["-m", "reptarium.sandbox"], ours, b"{}", {"A": "b"}, ("late",))
        (program, told, environ), config = executed
        assert (program, environ, config) == (sys.executable, {"A": "b"}, b"{}")
        assert told == [sys.executable, "-m", "reptarium.sandbox", str(ours.fileno()), told[4], "late"]
