"""The log is on a disk without room: the runner serves on, and ends as if nothing were the matter."""

from __future__ import annotations

import pytest

from reptarium.pool.bench.runners import OWN
from tests.limits import fail_after
from tests.load.support import one_runner, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]


async def test_log_that_cannot_be_written() -> None:
    """Tasks are done, prints come, a dead zygote is replaced, though each log line about it fails (full(4))."""
    with fail_after(60):
        command = f"sh -c 'exec {OWN} >/dev/full 2>&1'"
        async with one_runner(command=command, REPTARIUM_LOG_LEVEL="debug") as runner:
            for _ in range(30):
                handle = runner.site.broker.submit({"code": "print('said')\nreturn 1", "items": []})
                assert (await handle.outcome()).status == "done"
                assert handle.console == [["'said'"]]
            (process,) = runner.site.processes()
            (zygote,) = process.children()
            zygote.kill()
            runner.struck()
            await until(lambda: not zygote.is_running(), "the dead zygote is noticed")
            await runner.again()
            assert runner.site.broker.counters.connects == 1
        assert runner.site.runners[0].status == 0
