"""The same programs under n8n's own runner with everything allowed and under ours with powers given: the same results.

n8n's runner is started by the command in ORIGINAL_CMD (`make e2e-original`); without it what it has once given is what
ours is held to.
"""

from __future__ import annotations

import os

import pytest
import trio

from reptarium.sandbox.kernel import namespaces, notify, paths, privileges
from tests.integration.differences import driver
from tests.limits import fail_after
from tests.powers import programs, servers
from tests.powers.rig import echo

ORIGINAL = os.environ.get("ORIGINAL_CMD", "")
BOUND = 300 * driver.FACTOR

pytestmark = [
    pytest.mark.skipif(notify.problem() != "", reason="this machine hands over no connections"),
    pytest.mark.slow,
]


async def outcomes(command: str, powers: bool) -> dict[str, str]:
    """What each program gives under the runner that `command` starts."""
    with fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            ports = {}
            for name in ("http", "smtp", "imap", "echo"):
                handler = echo if name == "echo" else getattr(servers, name)
                listeners = await trio.open_tcp_listeners(0, host=servers.HOST)
                nursery.start_soon(trio.serve_listeners, handler, listeners)
                ports[name] = listeners[0].socket.getsockname()[1]
            ports["closed"] = await servers.free_port()
            environ = dict(programs.EVERYTHING)
            if powers:
                listed = [f"127.0.0.1:{port}" for port in ports.values()]
                environ |= {
                    "REPTARIUM_LANGUAGE": "python",
                    "REPTARIUM_SCRATCH": "64MiB",
                    "REPTARIUM_MAX_THREADS": "16",
                    "REPTARIUM_CONNECT_ALLOW": ", ".join([*listed, "localhost:*"]),
                }
            tasks = [
                {"code": code, "items": [{"json": ports}], "nodeMode": "runOnceForAllItems"}
                for code, _ in programs.PROGRAMS.values()
            ]
            took = await driver.run_programs(command, environ, tasks)
            nursery.cancel_scope.cancel()
    return dict(zip(programs.PROGRAMS, [each.outcome for each in took], strict=True))


EXPECTED = {name: outcome for name, (_, outcome) in programs.PROGRAMS.items()}


async def test_ours_with_powers_gives_what_the_original_gives() -> None:
    """Every program ends in the same result, prints or error text."""
    got, expected = await outcomes(driver.OWN, powers=True), dict(EXPECTED)
    if not _mounts():
        got, expected = ({n: o for n, o in each.items() if n not in programs.IN_TMP} for each in (got, expected))
    assert got == expected


def _mounts() -> bool:
    """Whether workers here have a mount namespace."""
    if privileges.effective() >> privileges.CAP_SYS_ADMIN & 1:
        return True
    return namespaces._try_in_child(paths.readable(), None, "") == ""


@pytest.mark.skipif(not ORIGINAL, reason="no ORIGINAL_CMD: n8n's own runner is not asked")
async def test_the_original_with_everything_allowed_gives_it() -> None:
    """What is written down is what n8n's runner gives."""
    assert await outcomes(ORIGINAL, powers=False) == EXPECTED
