"""`reptarium run` under a service manager that waits to be told (Type=notify, a watchdog): a real datagram socket."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import trio

from reptarium.pool.embedded_broker import BrokerConfig, open_broker
from tests.integration.cli.test_runner_command import ended, running, start
from tests.integration.cli.test_signals import free_port
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")


class Told:
    """What the runner has said so far."""

    def __init__(self, listening: trio.socket.SocketType) -> None:
        self._socket = listening
        self.all: list[str] = []

    async def until(self, assignment: str) -> None:
        """Listen until it says that, once more."""
        seen = self.all.count(assignment)
        while self.all.count(assignment) == seen:
            self.all += (await self._socket.recv(4096)).decode().split("\n")


@asynccontextmanager
async def listening(address: str) -> AsyncIterator[Told]:
    """A service manager's socket."""
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        await made.bind(address)
        yield Told(made)


async def test_a_runners_life_as_it_is_told(tmp_path: Path) -> None:
    """Ready once, how it is, the watchdog's food, that it stops; no child could speak for it."""
    address = str(tmp_path / "notify")
    with fail_after(60):
        async with (
            listening(address) as told,
            open_broker(BrokerConfig(auth_token="secret")) as broker,
            running(broker, N8N_RUNNERS_AUTH_TOKEN="secret", NOTIFY_SOCKET=address, WATCHDOG_USEC="1000000") as process,
        ):
            await told.until("STATUS=ready; 0 tasks")
            assert told.all[0] == "READY=1"
            for _ in range(3):
                await told.until("WATCHDOG=1")
            (zygote,) = psutil.Process(process.pid).children()
            if os.geteuid() == 0:  # nobody else looks into a process that isn't dumpable
                assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & zygote.environ().keys()
            process.send_signal(signal.SIGTERM)
            await told.until("STOPPING=1")
            status, said = await ended(process)
    assert status == 0, said
    assert told.all.count("READY=1") == 1


async def test_a_start_is_no_matter_of_the_brokers(tmp_path: Path) -> None:
    """Ready without one, fed without one; the status says what is missing."""
    address = str(tmp_path / "notify")
    environ = {
        "N8N_RUNNERS_AUTH_TOKEN": "x",
        "N8N_RUNNERS_TASK_BROKER_URI": f"http://127.0.0.1:{free_port()}",
        "NOTIFY_SOCKET": address,
        "WATCHDOG_USEC": "1000000",
    }
    with fail_after(60):
        async with listening(address) as told:
            process = start(environ)
            try:
                await told.until("STATUS=broker: not registered with any broker; 0 tasks")
                await told.until("WATCHDOG=1")
                assert "READY=1" in told.all
            finally:
                process.send_signal(signal.SIGTERM)
                with trio.CancelScope(shield=True):
                    status, said = await ended(process)
    assert status == 0, said


async def test_a_refused_start_is_not_ready(tmp_path: Path) -> None:
    """A runner that doesn't start says nothing: its exit status does."""
    address = str(tmp_path / "notify")
    with fail_after(30):
        async with listening(address) as told:
            assert (await ended(start({"NOTIFY_SOCKET": address})))[0] == 78
            with trio.move_on_after(0) as waited:
                await told.until("READY=1")
            assert waited.cancelled_caught
            assert told.all == []
