"""A broker that stops reading: what the runner holds for it stays bounded, nothing new is offered, and it recovers."""

from __future__ import annotations

import re
import socket

import pytest
import trio

from tests.integration.ops.test_endpoint import get
from tests.limits import fail_after
from tests.load.support import one_runner, printed, runner_of, until

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.slow]

MB = 1_000_000
#: What is printed and returned in all while the broker reads nothing, and how much of it the supervisor may hold.
LINE, LINES, RESULT, HELD = 5 * MB, 80, 20 * MB, 200 * MB


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def offers_sent(port: int) -> int:
    """How many offers the runner says to have made."""
    status, _, body = await get(f"http://127.0.0.1:{port}", "/metrics")
    assert status == 200
    (count,) = re.findall(rb'^reptarium_offers_total\{event="sent"\} (\d+)', body, re.M)
    return int(count)


async def test_slow_reader() -> None:
    """Prints wait in their worker, a result waits for room, offers lapse; then all of it arrives."""
    port = free_port()
    environ = {
        "REPTARIUM_MAX_CONSOLE": "1GiB",
        "N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED": "true",
        "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT": str(port),
    }
    with fail_after(120):
        async with one_runner(**environ) as runner:
            broker, (process,) = runner.site.broker, runner.site.processes()
            talker = f"print(1)\nfor n in range({LINES}): print('x' * {LINE})\nreturn 1"
            flood = broker.submit({"code": talker, "items": []})
            code = f"print(1)\nimport time\ntime.sleep(0.5)\nreturn [{{'json': {{'x': 'x' * {RESULT}}}}}]"
            large = broker.submit({"code": code, "items": []})
            await printed(flood)
            await printed(large)
            broker.faults.throttle(runner_of(runner.site).id, 0)
            before, sent, most = process.memory_info().rss, await offers_sent(port), 0
            ends = trio.current_time() + 5.8  # an offer is renewed when it is about five seconds old
            while trio.current_time() < ends:
                most = max(most, process.memory_info().rss - before)
                await trio.sleep(0.02)
            print(f"{most / MB:.0f} MB held")
            assert most < HELD
            assert await offers_sent(port) == sent
            assert not flood.done
            assert not large.done
            broker.faults.throttle(runner_of(runner.site).id, None)
            runner.struck()
            outcome = await large.outcome()
            assert outcome.status == "done", outcome
            assert outcome.data is not None
            assert len(memoryview(outcome.data.result)) >= RESULT
            assert (await flood.outcome()).status == "done"
            assert [len(line[0]) for line in flood.console[1:]] == [LINE + 2] * LINES
            await until(lambda: runner_of(runner.site).offers, "it offers again")
            await runner.again()
            assert broker.counters.connects == 1
