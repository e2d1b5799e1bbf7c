"""A zygote that is killed before it is ready: the pool tries again, a few times when there was none before."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import msgspec
import psutil
import pytest
import trio

from reptarium.pool.refusal import PoolRefused
from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.pool import WorkerPool
from reptarium.pool.workers.zygotes import FIRST_STARTS
from reptarium.sandbox import wire
from tests.conftest import make_settings
from tests.limits import fail_after, within

pytestmark = pytest.mark.usefixtures("nothing_left")


async def kill_starting(times: int) -> None:
    """Kill that many zygotes, each as soon as it is there."""
    killed: set[int] = set()
    while len(killed) < times:
        for child in psutil.Process().children():
            if child.pid not in killed:
                killed.add(child.pid)
                child.kill()
        await trio.sleep(0.001)


async def test_first_zygote_that_is_killed_is_tried_again() -> None:
    """Being killed says nothing about whether it can start."""
    pool = WorkerPool(zygote_config(make_settings()), size=1)
    with fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill_starting, FIRST_STARTS - 1)
            await nursery.start(pool.run)
            await pool.wait_warm()
            pool.close()
            nursery.cancel_scope.cancel()


async def test_zygote_that_is_killed_each_time_it_starts_is_refused() -> None:
    """A runner that can't be had ends with a reason, and doesn't try for ever."""
    pool = WorkerPool(zygote_config(make_settings()), size=1)
    with fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill_starting, FIRST_STARTS)
            with pytest.raises(BaseExceptionGroup) as ended:
                await pool.run()
            assert ended.group_contains(PoolRefused, match="ended while it started")


with_namespaces = pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount namespace")

#: A zygote on Linux before 5.13, which has no Landlock and isn't expected to.
OLD_KERNEL = """
import sys
from reptarium.sandbox.kernel import isolation, landlock, layers
landlock.abi = lambda: (0, 38)
isolation.landlock_expected = layers.landlock_expected = lambda: False
from reptarium.sandbox.process import zygote
sys.exit(zygote.main())
"""


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        pytest.param(
            {}, "a root directory with nothing but what tasks may read holds what it would", marks=with_namespaces
        ),
        (
            {"REPTARIUM_NAMESPACES": "off"},
            "landlock is not available: this kernel is older than Linux 5.13, and there is no mount namespace",
        ),
        pytest.param(
            {"REPTARIUM_LANGUAGE": "python"},
            "REPTARIUM_LANGUAGE=python needs the whole kernel layer, and landlock is missing: ",
            marks=with_namespaces,
        ),
    ],
    ids=["mount namespace", "neither", "plain Python needs every layer"],
)
def test_files_are_kept_apart_on_an_old_kernel(environ: dict[str, str], says: str) -> None:
    """Without Landlock the mount namespace does, or the start is refused; plain Python wants both."""
    config = zygote_config(make_settings(environ))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(within(60))
        process = subprocess.Popen(
            [sys.executable, "-c", OLD_KERNEL, str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd="/"
        )
        try:
            ours.send(msgspec.json.encode(config))
            assert says in ours.recv(wire.MAX_CONTROL).decode()
        finally:
            ours.close()
            process.wait(60)
