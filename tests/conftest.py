"""Shared by all tests: settings for an embedded runner, and a check that nothing is left behind."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import hypothesis
import psutil
import pytest
import structlog
import trio

from reptarium.pool.config import Settings
from reptarium.pool.embedded import embedded_settings
from reptarium.sandbox.kernel import landlock, seccomp
from tests.limits import USUAL, examples, within


def pytest_configure() -> None:
    """How long hypothesis' examples take is no test's business: a machine may be busy. And what a runner does on a
    signal is tested: none is left ignored, as they are below `nohup` or a shell's `&`.
    """
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile(
        "busy machine", deadline=None, suppress_health_check=slow, max_examples=examples(USUAL)
    )
    hypothesis.settings.load_profile("busy machine")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: three for two processors, since two fifths of a test's time is waiting for others."""
    return (len(os.sched_getaffinity(0)) * 3 + 1) // 2


def pytest_runtest_teardown() -> None:
    """Logging is the process's own: what a command has configured in a test doesn't hide the next one's lines."""
    root = logging.getLogger()
    ours = [one for one in root.handlers if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)]
    if ours:
        root.handlers[:] = [one for one in root.handlers if one not in ours]
        root.setLevel(logging.WARNING)
    structlog.reset_defaults()
    # nor does what it held back: whatever is started next would hold it, too
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def make_settings(environ: dict[str, str] | None = None, **changes: Any) -> Settings:
    """Settings for a runner beside an embedded broker: everything of the standard library, two slots."""
    base = {"N8N_RUNNERS_STDLIB_ALLOW": "*", "REPTARIUM_LOG_LEVEL": "error", **(environ or {})}
    return embedded_settings(base, **{"max_concurrency": 2, "warm_workers": 2, **changes})


@pytest.fixture
def settings() -> Settings:
    """The defaults of :func:`make_settings`."""
    return make_settings()


@asynccontextmanager
async def others_turns() -> AsyncIterator[Callable[[], int]]:
    """How often everything else has had its turn since the block began."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        yield lambda: turns
        nursery.cancel_scope.cancel()


def kernel_layer_lacks() -> str:
    """What this machine lacks of the kernel layer's required parts; empty when it has them."""
    parts = {"seccomp": seccomp.available() == 0, "Landlock": landlock.abi()[0] > 0}
    return " and ".join(name for name, there in parts.items() if not there)


@pytest.fixture(scope="session")
def kernel_layer() -> None:
    """For tests of the kernel layer: a machine that has none can't run them, and one that is to vouch for it must.

    ``CI`` in the environment says that it is one; nobody looks at what is skipped there.
    """
    if lacks := kernel_layer_lacks():
        if os.environ.get("CI"):
            pytest.fail(f"this machine lacks {lacks}: what holds tasks is not tested here", pytrace=False)
        pytest.skip(f"this machine lacks {lacks}")


@contextmanager
def no_child_left() -> Iterator[None]:
    """Fails when the block leaves a child process or a zombie behind."""
    me = psutil.Process()
    known = {child.pid for child in me.children(recursive=True)}
    yield
    _, alive = psutil.wait_procs([c for c in me.children(recursive=True) if c.pid not in known], timeout=within(5))
    assert not alive, f"processes left: {[(c.pid, c.name(), c.status()) for c in alive]}"


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fails the test when it leaves a child process, a zombie or a descriptor behind."""
    before = set(os.listdir("/proc/self/fd"))
    with no_child_left():
        yield
    left = set(os.listdir("/proc/self/fd")) - before
    # the listing itself opens one
    assert len(left) <= 1, {fd: _target(fd) for fd in left}


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return "gone"
