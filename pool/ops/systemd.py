"""What the service manager is told: sd_notify(3), spoken without its library.

``READY=1`` once workers are parked and the brokers are being called: whether one answers is the broker's own matter
(``STATUS=`` and ``/readyz`` say it), and a start that waited for n8n would fail after ``TimeoutStartSec``. One that
installs packages gets more time (``EXTEND_TIMEOUT_USEC=``), as long as it does.
``WATCHDOG=1`` from the event loop, while it turns and there are tasks or workers for some: a runner that stands is
ended and started anew. ``STOPPING=1`` when it drains. Nothing here waits for the service manager; without one nothing
is done.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import Protocol, Self

import structlog
import trio

from reptarium.pool.ops.endpoint import INSTALLING, HealthSource, ReadinessCheck

log = structlog.get_logger("reptarium.pool.ops.systemd")

#: Seconds between two looks at what there is to tell.
PERIOD = 1.0
#: Microseconds that a start may still take, told again and again while packages are installed.
_MORE = 60_000_000
#: Digits of the longest number of 64 bits.
LONGEST_NUMBER = 20


class Service(HealthSource, Protocol):
    """What is told about."""

    @property
    def stopping(self) -> bool: ...
    @property
    def accepted(self) -> int: ...


class Notifier:
    """The way to the service manager, closed as a context manager.

    ``address`` as in ``NOTIFY_SOCKET``; ``watchdog`` in seconds, 0: there is none.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self.watchdog = watchdog
        # "@" begins the name of an abstract socket (unix(7))
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    @property
    def enabled(self) -> bool:
        """Whether anybody is told."""
        return self._socket is not None

    def tell(self, *assignments: str) -> None:
        """Send some assignments (``READY=1``) in one datagram. Never waits; what can't be sent is lost."""
        if self._socket is not None and assignments:
            with suppress(OSError):
                self._socket.sendto("\n".join(assignments).encode(errors="backslashreplace"), self._address)


def open_notifier(environ: MutableMapping[str, str]) -> Notifier:
    """A notifier for what a service manager has put into the environment.

    That is taken out, so that no child speaks for us. A watchdog that is meant for another process (``WATCHDOG_PID``),
    or that is no number, is none.
    """
    address = environ.pop("NOTIFY_SOCKET", "")
    microseconds, process = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    number = microseconds.isascii() and microseconds.isdigit() and len(microseconds) <= LONGEST_NUMBER
    meant = number and process in ("", str(os.getpid()))
    if address and not address.startswith(("/", "@")):
        log.warning("NOTIFY_SOCKET is no unix socket: the service manager is not told", address=address)
        address = ""
    return Notifier(address, int(microseconds) / 1e6 if meant else 0.0)


async def keep_told(notifier: Notifier, service: Service, started: trio.Event) -> None:
    """Tell the service manager how the service is, from ``started`` on, until cancelled."""
    if not notifier.enabled:
        return
    feeding = notifier.watchdog / 2
    fed = -math.inf
    told: set[str] = set()
    while not started.is_set():
        for check in service.checks():
            if check.name == INSTALLING and not check.ok:
                notifier.tell(f"STATUS=installing packages: {check.detail}", f"EXTEND_TIMEOUT_USEC={_MORE}")
        with trio.move_on_after(PERIOD):
            await started.wait()
    notifier.tell("READY=1")
    while True:
        checks = service.checks()
        news = {_status(checks, service.accepted)} | ({"STOPPING=1"} if service.stopping else set())
        notifier.tell(*sorted(news - told))
        told = news
        if feeding and trio.current_time() >= fed + feeding and _lives(checks, service.accepted):
            notifier.tell("WATCHDOG=1")
            fed = trio.current_time()
        try:
            await trio.sleep(min(PERIOD, feeding / 2 or PERIOD))
        except trio.Cancelled:
            notifier.tell("STOPPING=1", "STATUS=ending")
            raise


def _lives(checks: Sequence[ReadinessCheck], accepted: int) -> bool:
    """Whether tasks run or could be run: without a broker, and while it drains, it lives all the same."""
    return accepted > 0 or all(check.ok for check in checks if check.name == "workers")


def _status(checks: Sequence[ReadinessCheck], accepted: int) -> str:
    missing = [f"{check.name}: {check.detail}" if check.detail else check.name for check in checks if not check.ok]
    tasks = "1 task" if accepted == 1 else f"{accepted} tasks"
    return "STATUS=" + ("; ".join([*missing, tasks]) if missing else f"ready; {tasks}").replace("\n", " ")
