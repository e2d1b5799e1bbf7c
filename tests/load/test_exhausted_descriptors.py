"""A process of the runner has no free descriptor left (EMFILE): tasks wait or are served, and nothing ends.

The limits are lowered on the runner's own processes while they run, and raised again.
"""

from __future__ import annotations

import os
import resource

import pytest
import trio

from reptarium.pool.embedded_broker import TaskHandle
from reptarium.sandbox.wire import BUSY_NAME, IDLE_NAME
from tests.limits import fail_after
from tests.load.support import WORKERS, Whole, descriptors, limited, one_runner, runner_of, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]
QUICK = {"code": "return 1", "items": []}


async def use_up(runner: Whole) -> list[TaskHandle]:
    """More tasks than there are warm workers: those are done, the others wait for a fork."""
    handles = [runner.site.broker.submit(QUICK) for _ in range(2 * WORKERS)]
    for handle in handles[:WORKERS]:
        assert (await handle.outcome()).status == "done"
    await until(lambda: not runner.pids(IDLE_NAME, BUSY_NAME), "every warm worker is used")
    await trio.sleep(0.3)  # the pool tries again
    assert not any(handle.done for handle in handles[WORKERS:])
    runner.struck()
    return handles


async def recovers(runner: Whole, handles: list[TaskHandle], connects: int = 1) -> None:
    """All tasks are done, the pool is whole, and the runner is the one of before."""
    for handle in handles:
        assert (await handle.outcome()).status == "done"
    await runner.again()
    assert runner.site.broker.counters.connects == connects


@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks into a process that isn't dumpable")
async def test_supervisor_without_descriptors_for_new_workers() -> None:
    """A forked worker whose descriptors find no room in the supervisor is given up, and others forked later."""
    with fail_after(60):
        async with one_runner() as runner:
            (process,) = runner.site.processes()
            for room in range(4):  # for none, for one or two of the three, for one worker at a time
                # each used worker gives three descriptors back: socket, pidfd, what it prints
                limit = descriptors(process.pid) - 3 * WORKERS + room
                with limited(process.pid, resource.RLIMIT_NOFILE, limit):
                    if room:
                        handles = [runner.site.broker.submit(QUICK) for _ in range(2 * WORKERS)]
                        await trio.sleep(0.2)
                        runner.struck()
                    else:
                        handles = await use_up(runner)
                await recovers(runner, handles)
                assert runner.zygotes() == runner.zygote


async def test_zygote_without_descriptors() -> None:
    """Be it a socket pair, a pidfd or what the child needs that finds no room: the zygote says so and lives on."""
    with fail_after(60):
        async with one_runner() as runner:
            (zygote,) = runner.zygotes()
            with limited(zygote, resource.RLIMIT_NOFILE, 3):
                handles = await use_up(runner)
            await recovers(runner, handles)
            for limit in range(7, 14):  # it holds eight by itself, not in a row: each of these fails elsewhere
                with limited(zygote, resource.RLIMIT_NOFILE, limit):
                    handles = [runner.site.broker.submit(QUICK) for _ in range(WORKERS)]
                    for handle in handles:
                        assert (await handle.outcome()).status == "done"
                    await trio.sleep(0.1)
                    runner.struck()
                await recovers(runner, [runner.site.broker.submit(QUICK)])
                assert runner.zygotes() == runner.zygote


async def test_connection_lost_and_zygote_killed_without_descriptors() -> None:
    """Neither can be had anew as long as there is no descriptor; both come back when there is."""
    with fail_after(60):
        async with one_runner() as runner:
            (process,) = runner.site.processes()
            with limited(process.pid, resource.RLIMIT_NOFILE, 3):
                (zygote,) = process.children()
                zygote.kill()
                runner.site.broker.disconnect(runner_of(runner.site).id, abrupt=True)
                await until(lambda: not process.children(), "the zygote is gone")
                await trio.sleep(0.5)
                assert process.is_running()
                handle = runner.site.broker.submit(QUICK)
                assert not runner.site.broker.runners
                runner.struck()
            await recovers(runner, [handle], connects=2)
