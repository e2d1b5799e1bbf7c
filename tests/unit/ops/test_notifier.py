"""What the service manager is told, over a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from reptarium.pool.ops.endpoint import ReadinessCheck
from reptarium.pool.ops.systemd import Notifier, keep_told, open_notifier


class Manager:
    """A service manager's socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """Every assignment since the last time."""
        found: list[str] = []
        while True:
            try:
                found += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@reptarium-test-{os.getpid()}")
    yield made
    made.close()


class Service:
    """A runner, as far as it matters here."""

    def __init__(self) -> None:
        self.stopping = False
        self.accepted = 0
        self.missing: dict[str, str] = {}

    def checks(self) -> Sequence[ReadinessCheck]:
        return [
            ReadinessCheck(name, name not in self.missing, self.missing.get(name, ""))
            for name in dict.fromkeys(("broker", "workers", *self.missing))
        ]


def environ(manager: Manager, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.address, "TZ": "UTC", **more}


async def test_ready_status_and_stopping(manager: Manager, autojump_clock: trio.testing.MockClock) -> None:
    """Nothing before it has started; then ready, its status as often as that changes, and that it stops."""
    service, started = Service(), trio.Event()
    service.missing["broker"] = "not registered with any broker"
    async with telling(environ(manager), service, started) as nursery:
        await trio.sleep(10)
        assert manager.heard() == []
        started.set()
        await trio.sleep(10)
        assert manager.heard() == ["READY=1", "STATUS=broker: not registered with any broker; 0 tasks"]
        service.missing.clear()
        service.accepted = 1
        await trio.sleep(10)
        assert manager.heard() == ["STATUS=ready; 1 task"]
        service.stopping = True
        await trio.sleep(10)
        assert manager.heard() == ["STOPPING=1"]
        nursery.cancel_scope.cancel()
    assert manager.heard() == ["STOPPING=1", "STATUS=ending"]


async def test_a_start_that_installs_gets_more_time(manager: Manager, autojump_clock: trio.testing.MockClock) -> None:
    """Told again and again while packages are installed, and at what step that is; not once they are there."""
    service, started = Service(), trio.Event()
    service.missing["packages"] = "Downloading pandas"
    async with telling(environ(manager), service, started) as nursery:
        told = []
        for _ in range(60):  # the socket holds a few
            await trio.sleep(1.5)
            told += manager.heard()
        assert told.count("EXTEND_TIMEOUT_USEC=60000000") > 45
        assert set(told) == {"EXTEND_TIMEOUT_USEC=60000000", "STATUS=installing packages: Downloading pandas"}
        service.missing.clear()
        await trio.sleep(5)
        manager.heard()
        await trio.sleep(90)
        assert manager.heard() == []
        nursery.cancel_scope.cancel()


async def test_the_watchdog_is_fed_while_it_lives(manager: Manager, autojump_clock: trio.testing.MockClock) -> None:
    """At half of its time, while there are workers or tasks; a broker that is away and a drain don't matter."""
    service, started = Service(), trio.Event()
    started.set()
    given = environ(manager, WATCHDOG_USEC="60000000", WATCHDOG_PID=str(os.getpid()))
    async with telling(given, service, started) as nursery:
        await trio.sleep(0.5)
        assert manager.heard().count("WATCHDOG=1") == 1
        service.missing["broker"] = "away"
        service.stopping = True
        await trio.sleep(300)
        assert manager.heard().count("WATCHDOG=1") == 10
        service.missing["workers"] = "no warm worker is parked"
        await trio.sleep(300)
        assert "WATCHDOG=1" not in manager.heard()
        service.accepted = 1
        await trio.sleep(1.5)
        assert manager.heard().count("WATCHDOG=1") == 1
        service.accepted = 0
        await trio.sleep(300)
        assert "WATCHDOG=1" not in manager.heard()
        del service.missing["workers"]
        await trio.sleep(1.5)
        assert manager.heard().count("WATCHDOG=1") == 1
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def telling(given: dict[str, str], service: Service, started: trio.Event) -> AsyncIterator[trio.Nursery]:
    """The service manager is told in the background, until the nursery is cancelled."""
    with open_notifier(given) as notifier:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_told, notifier, service, started)
            yield nursery


def test_nothing_of_it_stays_in_the_environment(manager: Manager) -> None:
    """No child could speak for us."""
    given = environ(manager, WATCHDOG_USEC="1000000", WATCHDOG_PID="1")
    with open_notifier(given):
        pass
    assert given == {"TZ": "UTC"}


@pytest.mark.parametrize(
    ("microseconds", "process", "expected"),
    [
        *(("", "", 0.0), ("30000000", "", 30.0), ("30000000", "1", 0.0), ("x", "", 0.0), ("-1", "", 0.0)),
        *(("٣", "", 0.0), ("9" * 5000, "", 0.0), ("9" * 400, "", 0.0)),
    ],
)
def test_whose_watchdog_it_is(microseconds: str, process: str, expected: float) -> None:
    """One for another process, or without a number, is none."""
    given = {"WATCHDOG_USEC": microseconds, "WATCHDOG_PID": process}
    assert open_notifier(given).watchdog == expected


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/path"])
async def test_no_service_manager(address: str) -> None:
    """Without one, or with one that is reached in another way, nothing is done."""
    notifier = open_notifier({"NOTIFY_SOCKET": address})
    assert not notifier.enabled
    notifier.tell("READY=1")
    await keep_told(notifier, Service(), trio.Event())


def test_a_service_manager_that_is_away_or_does_not_read(manager: Manager) -> None:
    """What can't be sent is lost; nobody waits and nothing is raised."""
    with Notifier(manager.address) as notifier:
        for _ in range(1000):
            notifier.tell("STATUS=" + "x" * 2000)
        heard = manager.heard()
        assert 0 < len(heard) < 1000
        manager.close()
        notifier.tell("READY=1")
